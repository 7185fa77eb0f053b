"""Keys: who may do what over HTTP. A file beside the data holds a hash and a prefix of each; the key is shown once.

A key is its role and 40 letters and digits drawn at random. The first 8 make its public name; the other 32 hold 190
bits, which no dictionary covers: one SHA-256 is as hard to invert as a slow hash, and cheap enough for every request.
"""

import hmac
import secrets
import string
import time
from collections.abc import Container, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Literal, TypeVar, get_args

import msgspec

from pipeline.errors import PeekproofError
from pipeline.http.callers.private_file import PrivateFile
from schemas.plan import AUTHOR as PLAN

Role = Literal["client", "server", "viewer", "experimenter", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)
OF_DEPLOYMENTS: tuple[Role, ...] = ("client", "server")  # anybody may see a client's

_CHARACTERS = string.ascii_letters + string.digits
_NAME, _SECRET = 8, 32  # characters


class Key(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is kept of a key. `deployment`: the one whose flags it is served."""

    id: str  # the key's role and first characters
    role: Role
    name: str  # whose it is: the author of what is changed with it
    created: int  # ms UTC
    hash: str  # SHA-256 of the whole key, hexadecimal
    deployment: str | None = None


AnyKey = TypeVar("AnyKey", bound=Key)


class Keys:
    """The keys of an installation."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self._kept: PrivateFile[list[Key]] = PrivateFile(data / "keys.json", list[Key], [])
        self._listed: list[Key] = []
        self._by_id: dict[str, Key] = {}

    def all(self) -> list[Key]:
        """Every key, oldest first. Raises PeekproofError where the file cannot be read."""
        return [*self._current().values()]

    @property
    def exist(self) -> bool:
        """Whether there is any."""
        return bool(self._current())

    def find(self, text: str) -> Key | None:
        """The key that reads so."""
        return find(text, self._current())

    def of(self, name: str) -> Key | None:
        """The key of this public name."""
        return self._current().get(name)

    def create(self, role: Role, name: str, deployment: str | None = None) -> tuple[Key, str]:
        """A new key and its text, which nobody can tell again. Raises PeekproofError for what doesn't fit together.

        Whether there is such a deployment is the caller's question: the catalog tells.
        """
        if (deployment is None) == (role in OF_DEPLOYMENTS):
            raise PeekproofError(
                f"a {role} key belongs to a deployment; say which: --deployment KEY"
                if deployment is None
                else f"a key of the role {role} belongs to no deployment; leave it out, or make a client or server key"
            )
        if name.strip().casefold() == PLAN:
            raise PeekproofError(
                f"'{name}' signs the versions that a flag's plan writes by itself; name the key after who has it"
            )
        with self._kept.changing():
            keys = self._current()
            identity, text = new_text(role, keys)
            key = Key(
                id=identity,
                role=role,
                name=name,
                created=time.time_ns() // 1_000_000,
                hash=sha256(text.encode()).hexdigest(),
                deployment=deployment,
            )
            self._kept.write([*keys.values(), key])
        return key, text

    def revoke(self, name: str) -> Key:
        """Make a key worthless, at once. Raises PeekproofError where there is none of that name."""
        with self._kept.changing():
            keys = dict(self._current())
            if name not in keys:
                raise PeekproofError(f"there is no key '{name}'; `peekproof key list` shows them")
            revoked = keys.pop(name)
            self._kept.write([*keys.values()])
        return revoked

    def _current(self) -> dict[str, Key]:
        if (listed := self._kept.read()) is not self._listed:
            self._listed, self._by_id = listed, {key.id: key for key in listed}
        return self._by_id


def find(text: str, kept: Mapping[str, AnyKey]) -> AnyKey | None:
    """The one of those, by public name, that reads so, found in a time that doesn't depend on how much is right."""
    found = kept.get(_id_of(text))
    given = sha256(text.encode()).hexdigest()
    return found if hmac.compare_digest(found.hash if found else "", given) else None


def new_text(begins: str, known: Container[str]) -> tuple[str, str]:
    """A public name that is not known yet, and the whole text that it is of."""
    text = ""
    while not text or _id_of(text) in known:
        text = f"{begins}-" + "".join(secrets.choice(_CHARACTERS) for _ in range(_NAME + _SECRET))
    return _id_of(text), text


def _id_of(text: str) -> str:
    role, _, rest = text.partition("-")
    return f"{role}-{rest[:_NAME]}"
