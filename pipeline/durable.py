"""Durable: a file that is there whole or not at all, and stays there after a crash of the machine."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ABANDONED = 3_600.0  # seconds after which an unfinished file has no writer any more


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """A name to write the file under. It is renamed when the block ends, and deleted when that fails."""
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
    try:
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
