"""Keys: who may do what over HTTP. A file beside the data holds a hash and a prefix of each; the key is shown once.

A key is its role and 40 letters and digits drawn at random. The first 8 make its public name; the other 32 hold 190
bits, which no dictionary covers: one SHA-256 is as hard to invert as a slow hash, and cheap enough for every request.
"""

import fcntl
import hmac
import os
import secrets
import string
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Literal, get_args

import msgspec

from pipeline import durable
from pipeline.errors import PeekproofError
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


class KeysError(PeekproofError):
    """Of the keys nothing can be read, or nothing changed."""


class Keys:
    """The keys of an installation. Another process may change the file: it is read again whenever it differs."""

    def __init__(self, data: Path) -> None:
        self._path = data / "keys.json"
        self._read_as: tuple[int, ...] | None = None
        self._keys: dict[str, Key] = {}

    def all(self) -> list[Key]:
        """Every key, oldest first. Raises PeekproofError where the file cannot be read."""
        return [*self._current().values()]

    @property
    def exist(self) -> bool:
        """Whether there is any."""
        return bool(self._current())

    def find(self, text: str) -> Key | None:
        """The key that reads so, found in a time that doesn't depend on how much of a secret is right."""
        found = self._current().get(_id_of(text))
        given = sha256(text.encode()).hexdigest()
        return found if hmac.compare_digest(found.hash if found else "", given) else None

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
        with self._changing():
            keys = self._current()
            text = ""
            while not text or _id_of(text) in keys:
                text = f"{role}-" + "".join(secrets.choice(_CHARACTERS) for _ in range(_NAME + _SECRET))
            key = Key(
                id=_id_of(text),
                role=role,
                name=name,
                created=time.time_ns() // 1_000_000,
                hash=sha256(text.encode()).hexdigest(),
                deployment=deployment,
            )
            self._write([*keys.values(), key])
        return key, text

    def revoke(self, name: str) -> Key:
        """Make a key worthless, at once. Raises PeekproofError where there is none of that name."""
        with self._changing():
            keys = dict(self._current())
            if name not in keys:
                raise PeekproofError(f"there is no key '{name}'; `peekproof key list` shows them")
            revoked = keys.pop(name)
            self._write([*keys.values()])
        return revoked

    def _current(self) -> dict[str, Key]:
        try:
            found = self._path.stat()
            version = (found.st_ino, found.st_mtime_ns, found.st_size)
            if version != self._read_as:
                keys = msgspec.json.decode(self._path.read_bytes(), type=list[Key])
                self._read_as, self._keys = version, {key.id: key for key in keys}
        except FileNotFoundError:
            self._read_as, self._keys = None, {}
        except (OSError, msgspec.MsgspecError) as error:
            raise KeysError(f"'{self._path}' holds no keys ({error}); restore it, or remove it") from None
        return self._keys

    def _write(self, keys: list[Key]) -> None:
        def private(path: str, flags: int) -> int:
            return os.open(path, flags, 0o600)

        with durable.writing(self._path) as temporary, open(temporary, "xb", opener=private) as file:
            file.write(msgspec.json.format(msgspec.json.encode(keys)) + b"\n")

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Two who change the keys at once take turns. Raises KeysError where they stay as they were."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            directory = os.open(self._path.parent, os.O_RDONLY)
            try:
                fcntl.flock(directory, fcntl.LOCK_EX)
                yield
            finally:
                os.close(directory)
        except OSError as error:
            raise KeysError(
                f"'{self._path}' cannot be written ({error.strerror}), and stays as it was; make room, or have it be a "
                "directory's that is yours (PEEKPROOF_DATA), and say it again"
            ) from None


def _id_of(text: str) -> str:
    role, _, rest = text.partition("-")
    return f"{role}-{rest[:_NAME]}"
