"""Owner: the one process that writes in a directory, as long as it lives."""

import fcntl
import os
import socket
from pathlib import Path
from typing import IO

from pipeline.errors import PeekproofError


class OwnerError(PeekproofError):
    """Another process owns the directory."""


def own(directory: Path) -> IO[str]:
    """Own the directory until the file is closed, or this process has ended, however it does.

    Raises OwnerError where another process does.
    """
    directory.mkdir(parents=True, exist_ok=True)
    file = (directory / "lock").open("a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.seek(0)
        holder = file.read().strip() or "another process"
        file.close()
        raise OwnerError(
            f"{directory} belongs to {holder}, and has one owner: stop that worker, or set PEEKPROOF_DATA to another "
            "directory, where this one keeps everything a second time"
        ) from error
    except OSError as error:
        file.close()
        raise OwnerError(
            f"{directory} cannot be locked ({error.strerror}), so two workers could write in it at once: set "
            "PEEKPROOF_DATA to a directory on a file system that has locks"
        ) from error
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}")
    file.flush()
    return file


def held_since(directory: Path) -> float:
    """When the newest owner took the directory (seconds since 1970)."""
    return (directory / "lock").stat().st_mtime


def holder(directory: Path) -> str | None:
    """Who owns the directory; None: nobody."""
    try:
        with (directory / "lock").open(encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return file.read().strip() or "another process"
    except OSError:
        pass
    return None
