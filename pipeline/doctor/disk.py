"""Disk: what is free under the data directory, and what takes the room."""

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from pipeline.doctor.finding import Finding, size
from pipeline.doctor.sight import Sight

AREA = "disk"
LEAST = 500_000_000  # bytes: minutes of traffic, and a compaction of the archive
LOW = 0.05  # of the disk


def check(sight: Sight) -> Iterator[Finding]:
    """The disk, then what lies there."""
    data = sight.settings.data.absolute()
    if not data.exists():
        yield Finding(AREA, "ok", f"there is no directory {data} yet")
    elif not os.access(data, os.R_OK | os.W_OK | os.X_OK):
        yield Finding(AREA, "wrong", f"{data} cannot be written by this user, so no stage can keep anything there")
    there = next(place for place in (data, *data.parents) if place.exists())
    usage = shutil.disk_usage(there)
    sizes = {name: taken(data / name) for name in ("archive", "checkpoints", "store", "logs", "broker")}
    snapshot = sight.settings.snapshot
    sizes["snapshot"] = _allocated(snapshot.stat()) if snapshot.exists() else 0
    largest = sorted((name for name, bytes_ in sizes.items() if bytes_), key=lambda name: -sizes[name])
    held = ", ".join(f"{name} {size(sizes[name])}" for name in largest) or "nothing"
    told = f"{size(usage.free)} of {size(usage.total)} are free under {data}, which holds {held}"
    if usage.free < LEAST:
        yield Finding(AREA, "wrong", f"{told}; make room, or stages end")
    else:
        yield Finding(AREA, "warning" if usage.free < LOW * usage.total else "ok", told)


def taken(directory: Path) -> int:
    """The bytes that all files below take on the disk; what cannot be seen, or goes meanwhile, takes none."""
    bytes_ = 0
    for place, _, names in os.walk(directory):
        for name in names:
            with suppress(OSError):
                bytes_ += _allocated((Path(place) / name).lstat())
    return bytes_


def _allocated(file: os.stat_result) -> int:
    """The broker's indexes are files of 10 MB that are mostly holes."""
    return 512 * file.st_blocks
