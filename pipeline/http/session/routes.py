"""Who one is, and a session for whoever has a key."""

from typing import Any, Literal

import msgspec
from litestar import Request, Response, Router, delete, get, post
from litestar.exceptions import ClientException, NotAuthorizedException, PermissionDeniedException

from pipeline.http.backend import Backend
from pipeline.http.callers.access import ADMINISTERING, ALWAYS, EDITING, READING, requires, unknown
from pipeline.http.callers.keys import OF_DEPLOYMENTS, ROLES, Key, Role
from pipeline.http.callers.origins import FOREIGN, is_foreign
from pipeline.http.callers.sessions import BY_KEY, Session
from pipeline.http.callers.shares import Share
from pipeline.http.management.bodies import ExactRequest

MOST_BYTES = 10_000  # of what somebody signs in with

May = Literal["evaluate", "send", "read", "edit", "administer"]


class Me(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks, and what that one may. `expires` is when the session ends (ms UTC), `experiment` all that is shown.

    `is_open`: the server wants no keys, and everybody may do everything.
    """

    id: str
    name: str
    role: Role
    may: list[May]
    is_open: bool
    experiment: str | None = None
    expires: int | None = None


class SignIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key, which is told this once."""

    key: str


class WayIn(msgspec.Struct, frozen=True, kw_only=True):
    """How one signs in besides by a key: the name of a provider. `ended`: this browser was signed in."""

    provider: str | None
    ended: bool


class SignedOut(msgspec.Struct, frozen=True, kw_only=True):
    """A session that has ended. `leave`: where the provider's own session is ended, too."""

    leave: str | None


@get("/session")
async def tell_way(request: Request[Any, Any, Any], backend: Backend) -> WayIn:
    """How one signs in, for whoever is not."""
    provider = request.app.state.provider
    ended = backend.access.had_session(request.headers.get("cookie", ""))
    return WayIn(provider=provider.name if provider else None, ended=ended)


@get("/me", guards=[requires(ROLES)], opt=ALWAYS)
async def tell_me(request: Request[Any, Key, Any], backend: Backend) -> Me:
    """Who one is, and what one may."""
    return me(request.auth, backend)


@post("/session", status_code=200, request_max_body_size=MOST_BYTES)
async def sign_in(request: Request[Any, Any, Any], backend: Backend, data: SignIn) -> Response[Me]:
    """Begin a session with a key: a cookie takes its place, which no script can read."""
    require_own(request)
    key = backend.access.keys.find(data.key.strip())
    if key is None:
        raise NotAuthorizedException(unknown(bool(data.key)), headers={"WWW-Authenticate": "Bearer"})
    if key.role in OF_DEPLOYMENTS:
        raise PermissionDeniedException(f"'{key.id}' is a key of the role {key.role}, which programs use; {PEOPLES}")
    begun, text = backend.access.sessions.begin(key, BY_KEY)
    return Response(me(begun, backend), headers={"Set-Cookie": cookie(request, backend, text, BY_KEY // 1_000)})


@delete("/session", status_code=200)
async def sign_out(request: Request[Any, Any, Any], backend: Backend) -> Response[SignedOut]:
    """End the session, wherever else its cookie may be."""
    caller = request.scope.get("state", {}).get("caller")
    if not isinstance(caller, Session):
        raise ClientException("there is no session to end")
    backend.access.sessions.end(caller)
    provider = request.app.state.provider
    away = await provider.farewell() if provider and not caller.hash else None
    return Response(SignedOut(leave=away), headers={"Set-Cookie": cookie(request, backend, "", 0)})


PEOPLES = "people sign in with one of the roles viewer, experimenter or admin"

session = Router(
    "/api/1", route_handlers=[tell_me, tell_way, sign_in, sign_out], request_class=ExactRequest, tags=["session"]
)


def me(caller: Key, backend: Backend) -> Me:
    """What is told of whoever asks."""
    return Me(
        id=caller.id,
        name=caller.name,
        role=caller.role,
        may=may(caller.role),
        is_open=backend.access.is_open,
        experiment=caller.experiment if isinstance(caller, Share) else None,
        expires=caller.expires if isinstance(caller, Session | Share) else None,
    )


def may(role: Role) -> list[May]:
    """What a role allows."""
    roles: dict[May, tuple[Role, ...]] = {
        "evaluate": OF_DEPLOYMENTS,
        "send": OF_DEPLOYMENTS,
        "read": READING,
        "edit": EDITING,
        "administer": ADMINISTERING,
    }
    return [what for what, of in roles.items() if role in of]


def require_own(request: Request[Any, Any, Any]) -> None:
    """Raises PermissionDeniedException for what a page of another origin has a browser ask."""
    if is_foreign(request.method, dict(request.scope["headers"])):
        raise PermissionDeniedException(f"{FOREIGN}; send it from a page of this server, which says its Origin")


def cookie(request: Request[Any, Any, Any], backend: Backend, text: str, seconds: int) -> str:
    """The header that has a browser keep it; over TLS for TLS alone, also where that ends at a proxy before us."""
    is_secure = request.url.scheme == "https" or request.headers.get("origin", "").startswith("https:")
    return backend.access.sessions.cookie(text, seconds, is_secure)
