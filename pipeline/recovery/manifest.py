"""Manifest: what a backup holds. Written last, so a backup without one was not finished.

A backup is laid out as a data directory:

    DIRECTORY/backup.json                  the manifest
    DIRECTORY/archive/…                    as in `data`, up to the time of the backup
    DIRECTORY/checkpoints/…                the newest of each units partition
    DIRECTORY/keys.json, shares.json, …    who may use the server, and the settings file, where there are some

Files are immutable, and those of the standing manifest stay until the next one is written.
"""

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from pipeline import durable
from pipeline.errors import PeekproofError
from pipeline.kafka.logs import NOTE
from pipeline.settings import Settings
from schemas.logs import Logs

MANIFEST = "backup.json"
UNFINISHED = "backup.unfinished"  # a backup began, and did not end
PRIVATE = ("keys.json", "sessions.json", "shares.json")  # for their owner alone
ARCHIVE_NOTE = f"archive/{NOTE}"
FORMAT = 1
FIXED = ("units_partitions", "horizon")  # for the life of an installation
TOLD_SETTINGS = ("prefix", *FIXED, "tolerance", "archive_interval", "archive_keep", "checkpoint_interval")

_CHUNK = 1 << 20
_DIGEST = 16  # bytes

Tell = Callable[[int], None]  # so many bytes more are done


class BackupFile(msgspec.Struct, frozen=True):
    """One file, its path relative to the directory; `digest` is BLAKE2b's."""

    path: str
    size: int
    digest: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """`time` (ms UTC) is when the backup began: what had been appended by then is in it.

    `waiting` source records are in its archive, but in no message on `units` yet.
    """

    format: int = FORMAT
    time: int
    version: str
    logs: Logs | None
    settings: dict[str, Any]
    waiting: int
    files: list[BackupFile]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def read_manifest(directory: Path) -> Manifest | None:
    """The directory's manifest; None: it has none. Raises PeekproofError for one that cannot be read."""
    path = directory / MANIFEST
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise PeekproofError(f"{path} is damaged ({error}): take another backup") from error
    if manifest.format != FORMAT:
        raise PeekproofError(
            f"{path} has format {manifest.format}, this version reads format {FORMAT}: restore it with version "
            f"{manifest.version} of peekproof"
        )
    return manifest


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """From now on the directory is this backup."""
    with durable.writing(directory / MANIFEST) as temporary:
        temporary.write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))


def told(settings: Settings) -> dict[str, Any]:
    """The settings that what is kept depends on."""
    return {name: getattr(settings, name) for name in TOLD_SETTINGS}


def describe(directory: Path, path: Path) -> BackupFile:
    """A file as a manifest tells it."""
    return BackupFile(str(path.relative_to(directory)), path.stat().st_size, digest(path))


def digest(path: Path) -> str:
    """Of a file's bytes."""
    hashed = hashlib.blake2b(digest_size=_DIGEST)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            hashed.update(chunk)
    return hashed.hexdigest()


def damaged(directory: Path, manifest: Manifest, tell: Tell) -> list[str]:
    """Which files are not what was kept, and why."""
    found = []
    for file in manifest.files:
        path = directory / file.path
        if not path.is_file():
            found.append(f"{path} is missing")
        elif (size := path.stat().st_size) != file.size:
            found.append(f"{path} has {size:,} bytes instead of {file.size:,}")
        elif digest(path) != file.digest:
            found.append(f"{path} does not have the digest that it was kept with")
        tell(file.size)
    return found


def link(source: Path, path: Path) -> None:
    """An immutable file under another name: the same one where both lie on one file system, else a copy."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with durable.writing(path) as temporary:
        try:
            os.link(source, temporary)
        except FileNotFoundError:
            raise
        except OSError:
            shutil.copyfile(source, temporary)


def copy(source: Path, path: Path) -> None:
    """A file of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with durable.writing(path) as temporary:
        shutil.copyfile(source, temporary)
