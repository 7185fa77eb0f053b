"""Kept: a file beside the data that its owner alone may read. Another process may change it, so it is read again."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from pipeline import durable
from pipeline.errors import PeekproofError

Held = TypeVar("Held")


class KeptError(PeekproofError):
    """Of such a file nothing can be read, or nothing changed."""


class Kept(Generic[Held]):
    """One value, in a file of that name; where there is no file, `empty`."""

    def __init__(self, path: Path, kind: type[Held], empty: Held) -> None:
        self._path = path
        self._kind = kind
        self._empty = self._value = empty
        self._read_as: tuple[int, ...] | None = None

    def read(self) -> Held:
        """The value that the file holds now. Raises KeptError."""
        try:
            found = self._path.stat()
            version = (found.st_ino, found.st_mtime_ns, found.st_size)
            if version != self._read_as:
                self._value = msgspec.json.decode(self._path.read_bytes(), type=self._kind)
                self._read_as = version
        except FileNotFoundError:
            self._read_as, self._value = None, self._empty
        except (OSError, msgspec.MsgspecError) as error:
            raise KeptError(f"'{self._path}' holds no {self._path.stem} ({error}); restore it, or remove it") from None
        return self._value

    def write(self, value: Held) -> None:
        """Keep another value. To be called by whoever is `changing` it."""

        def private(path: str, flags: int) -> int:
            return os.open(path, flags, 0o600)

        with durable.writing(self._path) as temporary, open(temporary, "xb", opener=private) as file:
            file.write(msgspec.json.format(msgspec.json.encode(value)) + b"\n")

    @contextmanager
    def changing(self) -> Iterator[Held]:
        """The value; two who change it at once take turns. Raises KeptError where it stays as it was."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            directory = os.open(self._path.parent, os.O_RDONLY)
            try:
                fcntl.flock(directory, fcntl.LOCK_EX)
                yield self.read()
            finally:
                os.close(directory)
        except OSError as error:
            raise KeptError(
                f"'{self._path}' cannot be written ({error.strerror}), and stays as it was; make room, or have it be a "
                "directory's that is yours (PEEKPROOF_DATA), and say it again"
            ) from None
