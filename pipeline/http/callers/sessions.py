"""Sessions: what a browser shows instead of a key, after somebody signed in: a cookie that no script can read.

A cookie says itself whose session it is and until when, and is signed with a secret that is kept beside the keys: every
server of an installation takes what another gave, and a restart ends none. What ends one sooner is kept there too. A
session that a key began is that key's: it may what the key may now, and is none once the key is revoked.
"""

import base64
import binascii
import hmac
import secrets
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import msgspec

from pipeline.http.callers.keys import Key, Keys, Role
from pipeline.http.callers.private_file import PrivateFile

HOUR = 3_600_000
BY_KEY, BY_PROVIDER = 7 * 24 * HOUR, 12 * HOUR  # ms that a session lives; roles of a provider may change meanwhile
MOST_ENDED = 10_000  # that were ended before their time and are told apart; beyond, all that began by now are ended
SECURE = "__Host-"  # begins the name of a cookie that browsers take and send over TLS alone, and of this host alone


class Session(Key, frozen=True, kw_only=True):
    """The key that a session is of, or a person's whom a provider let in, for as long as it lives."""

    session: str
    began: int  # ms UTC
    expires: int  # ms UTC


class _Said(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a cookie says. A person's says who it is; of a key the rest is looked up."""

    session: str
    began: int
    expires: int
    id: str
    role: Role | None = None
    name: str = ""


class _Memory(msgspec.Struct, frozen=True, kw_only=True):
    secret: str = ""
    since: int = 0  # ms UTC; what began before has ended
    ended: dict[str, int] = {}  # when each would have expired


class Sessions:
    """The sessions of an installation, over the keys."""

    def __init__(self, keys: Keys, clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> None:
        self._keys = keys
        self._clock = clock
        self._kept: PrivateFile[_Memory] = PrivateFile(file_in(keys.data), _Memory, _Memory())

    def begin(self, holder: Key, lives: int) -> tuple[Session, str]:
        """A session of a key, or of somebody who has none (without a `hash`), and the text of its cookie.

        Raises PeekproofError where the secret cannot be read, or kept.
        """
        now = self._clock()
        said = _Said(session=secrets.token_urlsafe(12), began=now, expires=now + lives, id=holder.id)
        if not holder.hash:
            said = msgspec.structs.replace(said, role=holder.role, name=holder.name)
        return _session(holder, said), self.signed("session", msgspec.json.encode(said))

    def find(self, text: str) -> Session | None:
        """The session that a cookie of this text is of, if it goes on."""
        try:
            said = msgspec.json.decode(self.unsigned("session", text) or b"", type=_Said)
        except msgspec.MsgspecError:
            return None
        if said.role is None:
            holder = self._keys.of(said.id)
        else:
            holder = Key(id=said.id, role=said.role, name=said.name, created=said.began, hash="")
        session = _session(holder, said) if holder else None
        return session if session and self.holds(session) else None

    def holds(self, session: Session) -> bool:
        """Whether a session goes on."""
        memory = self._kept.read()
        return (
            self._clock() < session.expires
            and session.began >= memory.since
            and session.session not in memory.ended
            and (not session.hash or self._keys.of(session.id) is not None)
        )

    def end(self, session: Session) -> None:
        """End it, for whoever else has its cookie, too. Raises PeekproofError where that cannot be kept."""
        with self._kept.changing() as memory:
            now = self._clock()
            ended = {each: expires for each, expires in memory.ended.items() if expires > now}
            ended[session.session] = session.expires
            is_full = len(ended) > MOST_ENDED
            since = now if is_full else memory.since
            self._kept.write(_Memory(secret=memory.secret, since=since, ended={} if is_full else ended))

    def signed(self, use: str, said: bytes) -> str:
        """A text that says this, for one use, and that nobody else could have made. Raises as `begin` does."""
        secret, body = self._secret(), base64.urlsafe_b64encode(said).decode().rstrip("=")
        return f"{body}.{_signature(secret, use, body)}"

    def unsigned(self, use: str, text: str) -> bytes | None:
        """What such a text says; None: it is none of ours."""
        body, _, signature = text.partition(".")
        secret = self._kept.read().secret
        if not secret or not hmac.compare_digest(_signature(secret, use, body).encode(), signature.encode()):
            return None
        try:
            return base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
        except (binascii.Error, ValueError):
            return None

    def cookie_of(self, cookies: str) -> str | None:
        """The text of our own cookie among those that a browser shows: it sends those of other ports as well."""
        if not (secret := self._kept.read().secret):
            return None
        by_name = dict(each.strip().partition("=")[::2] for each in cookies.split(";"))
        name = _name(secret)
        return by_name.get(SECURE + name) or by_name.get(name)

    def cookie(self, text: str, seconds: int, is_secure: bool) -> str:
        """The header that has a browser keep a cookie of this text for so long; 0: not any more."""
        name = _name(self._secret())
        kept = f"{name}={text}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict"
        return f"{SECURE}{kept}; Secure" if is_secure else kept

    def _secret(self) -> str:
        if not (secret := self._kept.read().secret):
            with self._kept.changing() as memory:
                if not (secret := memory.secret):
                    secret = secrets.token_hex(32)
                    self._kept.write(_Memory(secret=secret))
        return secret


def file_in(data: Path) -> Path:
    """Where it is kept."""
    return data / "sessions.json"


def _session(holder: Key, said: _Said) -> Session:
    of_key = {field: getattr(holder, field) for field in Key.__struct_fields__}
    return Session(**of_key, session=said.session, began=said.began, expires=said.expires)


def _signature(secret: str, use: str, body: str) -> str:
    return hmac.new(secret.encode(), f"{use}.{body}".encode(), sha256).hexdigest()


def _name(secret: str) -> str:
    return f"peekproof-{sha256(secret.encode()).hexdigest()[:8]}"
