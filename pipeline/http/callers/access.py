"""Access: whether a request may do what it asks. 401 without a key, 403 with one that may not, 429 if it hurries."""

import base64
import binascii
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from time import monotonic
from typing import Any

from litestar.connection import ASGIConnection
from litestar.exceptions import NotAuthorizedException, PermissionDeniedException, TooManyRequestsException
from litestar.handlers import BaseRouteHandler

from pipeline.errors import PeekproofError
from pipeline.http.callers.keys import Key, Keys, Role
from pipeline.http.callers.programs import Programs
from pipeline.http.callers.sessions import Session, Sessions
from pipeline.http.callers.shares import ExperimentShares, Share

CARRIERS = ("authorization", "x-api-key")  # headers that may show a key
LOOPBACK = ("127.0.0.1", "::1", "localhost")

READING: tuple[Role, ...] = ("viewer", "experimenter", "admin")
EDITING: tuple[Role, ...] = ("experimenter", "admin")
ADMINISTERING: tuple[Role, ...] = ("admin",)

# Requests a second that one key may make, and at once. Amplitude's management API allows 100.
RATES: dict[Role, int] = {"client": 1_000, "server": 1_000, "viewer": 100, "experimenter": 100, "admin": 100}

# Of a route: whoever has a link to an experiment is told of it there, or of what is the same for everybody.
SHOWN_BY_LINKS = "shown_by_links"
OF_LINK, ALWAYS = {SHOWN_BY_LINKS: "experiment"}, {SHOWN_BY_LINKS: "always"}

EVERYBODY = Key(id="", role="admin", name="demo", created=0, hash="")  # who comes to an open server without a key


class Access:
    """Lets requests in. `is_open`: everybody may do everything, with any key or none (the demo, on loopback)."""

    def __init__(self, keys: Keys, is_open: bool = False, clock: Callable[[], float] = monotonic) -> None:
        self.keys = keys
        self.sessions = Sessions(keys)
        self.shares = ExperimentShares(keys.data)
        self.programs = Programs()
        self.is_open = is_open
        self._clock = clock
        self._free: dict[str, tuple[float, float]] = {}  # by key: requests that it might make at once, and when

    def admit(self, text: str | None, roles: Collection[Role]) -> Key:
        """The key that reads so, if it has one of the roles and is within its rate. Raises Litestar's exceptions."""
        if self.is_open:
            return EVERYBODY
        key = self._find(text) if text else None
        if key is None:
            raise NotAuthorizedException(unknown(bool(text)), headers={"WWW-Authenticate": "Bearer"})
        return self.let_in(key, roles)

    def let_in(self, key: Key, roles: Collection[Role]) -> Key:
        """This key, if it has one of the roles and is within its rate. Raises Litestar's exceptions."""
        if not self.is_open:
            require(key, roles)
            self._take(key)
        return key

    def find(self, *texts: str | None) -> Key | None:
        """The key that one of these is."""
        with suppress(PeekproofError):  # whoever is let in by it hears of that
            return next((key for text in texts if text and (key := self._find(text))), None)
        return None

    def signed_in(self, cookies: str) -> Session | None:
        """The session whose cookie is among those that a browser shows."""
        with suppress(PeekproofError):
            text = self.sessions.cookie_of(cookies)
            return self.sessions.find(text) if text else None
        return None

    def had_session(self, cookies: str) -> bool:
        """Whether a cookie of ours is among them, be it of a session that has ended."""
        with suppress(PeekproofError):
            return self.sessions.cookie_of(cookies) is not None
        return False

    def is_within_rate(self, key: Key) -> bool:
        """Whether it may make a request now."""
        return self._left(key) >= 1

    def holds(self, key: Key) -> bool:
        """Whether a key that was let in is still one: a stream asks again and again."""
        if self.is_open:
            return True
        match key:
            case Session():
                return self.sessions.holds(key)
            case Share():
                return self.shares.holds(key)
            case _:
                return key in self.keys.all()

    def _find(self, text: str) -> Key | None:
        return self.keys.find(text) or self.shares.find(text)

    def _take(self, key: Key) -> None:
        free = self._left(key)
        self._free[key.id] = (free - 1 if free >= 1 else free, self._clock())
        if free < 1:
            raise TooManyRequestsException(
                f"'{key.id}' makes more than {RATES[key.role]} requests a second; send fewer, or several things in one",
                headers={"Retry-After": "1"},
            )

    def _left(self, key: Key) -> float:
        now, rate = self._clock(), RATES[key.role]
        free, then = self._free.get(key.id, (rate, now))
        return min(rate, free + (now - then) * rate)


def unknown(is_shown: bool) -> str:
    """What whoever has shown no key, or one that is none, is told."""
    was = "is not known (any more)" if is_shown else "is missing"
    return (
        f"the key {was}; `peekproof key create` makes one, which requests carry as 'Authorization: Bearer KEY' or "
        "'X-API-Key: KEY'"
    )


def bearer(authorization: str | None) -> str | None:
    """The key that a header `Authorization` carries; Amplitude's SDKs say `Api-Key`, everybody else `Bearer`."""
    scheme, _, key = (authorization or "").partition(" ")
    return key.strip() or None if scheme.lower() in ("bearer", "api-key") else None


def shown(headers: Mapping[str, str]) -> str | None:
    """The key that a request shows in one of `CARRIERS`; the second is OFREP's other way."""
    authorization, api_key = (headers.get(name) for name in CARRIERS)
    return bearer(authorization) or api_key or None


def password(authorization: str | None) -> str | None:
    """The password that a header `Authorization` carries, of whatever user."""
    scheme, _, text = (authorization or "").partition(" ")
    try:
        return base64.b64decode(text).decode().partition(":")[2] if scheme.lower() == "basic" else None
    except (binascii.Error, ValueError):
        return None


def _or(roles: Collection[Role]) -> str:
    *others, last = roles
    return f"{', '.join(others)} or {last}" if others else last


def require(key: Key, roles: Collection[Role]) -> None:
    """Raises PermissionDeniedException for a key of another role."""
    if key.role not in roles:
        raise PermissionDeniedException(f"'{key.id}' is a key of the role {key.role}; this wants {_or(roles)}")


def requires(roles: Collection[Role]) -> Callable[[ASGIConnection[Any, Any, Any, Any], BaseRouteHandler], None]:
    """A guard that lets keys of these roles in; the key is then `request.auth`.

    Where a router has one and its handler another, it is one request of the key's rate.
    """

    def guard(connection: ASGIConnection[Any, Any, Any, Any], route: BaseRouteHandler) -> None:
        if (admitted := connection.scope.get("auth")) is not None:
            require(admitted, roles)
            return
        access: Access = connection.app.state.backend.access
        session = connection.scope.get("state", {}).get("caller")
        if isinstance(session, Session):
            connection.scope["auth"] = access.let_in(session, roles)
        else:
            connection.scope["auth"] = access.admit(shown(connection.headers), roles)
        if isinstance(admitted := connection.scope["auth"], Share):
            require_shared(access, admitted, connection, route)

    return guard


def require_shared(
    access: Access, share: Share, connection: ASGIConnection[Any, Any, Any, Any], route: BaseRouteHandler
) -> None:
    """Raises PermissionDeniedException for a link that has expired, and for what it does not show."""
    if access.shares.is_over(share):
        raise PermissionDeniedException(f"the link has expired; ask {share.by}, who made it, for another")
    named = {*connection.query_params.getall("experiment", [])}  # of which a route takes any one
    named |= {connection.path_params["key"]} if "key" in connection.path_params else set()
    shows = route.opt.get(SHOWN_BY_LINKS)
    if not (shows == "always" or (shows and named == {share.experiment})):
        raise PermissionDeniedException(f"the link shows the experiment '{share.experiment}' and nothing else")
