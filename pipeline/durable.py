"""Durable: a file that is there whole or not at all, and stays there after a crash of the machine."""

import os
from pathlib import Path


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
