"""Durable: a file that is there whole or not at all, and stays there after a crash of the machine."""

import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import PeekproofError

ABANDONED = 3_600.0  # seconds after which an unfinished file has no writer any more


_FULL = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT))


class DiskFullError(PeekproofError):
    """There is no room for what must be written."""


def is_full(error: Exception) -> bool:
    """Whether an error, in whatever library's words, is that of a full disk."""
    return any(text in str(error) for text in _FULL)


@contextmanager
def room_for(path: Path | str) -> Iterator[None]:
    """Turns the error of a full disk into a DiskFullError."""
    try:
        yield
    except Exception as error:
        if isinstance(error, DiskFullError) or not is_full(error):
            raise
        raise DiskFullError(
            f"there is no room left for {path}: free some, or give the disk or the quota more; nothing is lost, and "
            "work goes on where it stopped"
        ) from error


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """A name to write the file under. It is renamed when the block ends, and deleted when that fails."""
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with room_for(path):
            yield temporary
            rename(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def rename(temporary: Path, path: Path) -> None:
    """Give a finished file its name: flush it, rename it, flush the directory."""
    _flush(temporary)
    temporary.rename(path)
    _flush(path.parent)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
