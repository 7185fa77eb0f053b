"""Private file: one beside the data, for its owner alone. Another process may change it, so it is read again."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from pipeline import durable
from pipeline.errors import PeekproofError

Value = TypeVar("Value")


class PrivateFileError(PeekproofError):
    """Of such a file nothing can be read, or nothing changed."""


class PrivateFile(Generic[Value]):
    """One value, in a file of that name; where there is no file, `empty`."""

    def __init__(self, path: Path, kind: type[Value], empty: Value) -> None:
        self._path = path
        self._kind = kind
        self._empty = self._value = empty
        self._read_as: tuple[int, ...] | None = None

    def read(self) -> Value:
        """The value that the file holds now. Raises PrivateFileError."""
        try:
            found = self._path.stat()
            version = (found.st_ino, found.st_mtime_ns, found.st_size)
            if version != self._read_as:
                self._value = msgspec.json.decode(self._path.read_bytes(), type=self._kind)
                self._read_as = version
        except FileNotFoundError:
            self._read_as, self._value = None, self._empty
        except (OSError, msgspec.MsgspecError) as error:
            raise PrivateFileError(
                f"'{self._path}' holds no {self._path.stem} ({error}); restore it, or remove it"
            ) from None
        return self._value

    def write(self, value: Value) -> None:
        """Keep another value. To be called by whoever is `changing` it."""

        def private(path: str, flags: int) -> int:
            return os.open(path, flags, 0o600)

        with durable.writing(self._path) as temporary, open(temporary, "xb", opener=private) as file:
            file.write(msgspec.json.format(msgspec.json.encode(value)) + b"\n")

    @contextmanager
    def changing(self) -> Iterator[Value]:
        """The value; two who change it at once take turns. Raises PrivateFileError where it stays as it was."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            directory = os.open(self._path.parent, os.O_RDONLY)
            try:
                fcntl.flock(directory, fcntl.LOCK_EX)
                yield self.read()
            finally:
                os.close(directory)
        except OSError as error:
            raise PrivateFileError(
                f"'{self._path}' cannot be written ({error.strerror}), and stays as it was; make room, or have it be a "
                "directory's that is yours (PEEKPROOF_DATA), and say it again"
            ) from None
