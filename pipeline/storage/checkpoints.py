"""Checkpoints: immutable states of partitions of a topic, each written whole under a name of its own, then renamed.

A state and the input offset that it reaches are one file, so they cannot disagree. The newest is the one with the
highest offset; two writers of one partition (a worker and its zombie) can only write the same bytes or other names.

    LOCATION/PARTITION/OFFSET.arrow      MAGIC, the BLAKE2b digest of what follows, a line of JSON (`_Log`), the state
    LOCATION/PARTITION/OFFSET.damaged    one that was not what had been written

These are of `units`; those of another topic lie in a folder of its name.
"""

import hashlib
import logging
import re
import time
import uuid
from pathlib import Path
from typing import NamedTuple

import msgspec
from pyarrow import fs

from pipeline import durable
from pipeline.errors import PeekproofError
from schemas.topics import UNITS

KEPT = 2  # the newest, and the one before it, which stands in where that is damaged
DAMAGED = ".damaged"
FILE_NAME = re.compile(r"(\d{20})\.arrow")
_KEPT = re.compile(r"(\d{20})(\.arrow|\.damaged)")
MAGIC = b"peekproof checkpoint\n"
DIGEST = 16  # bytes
_UNSEALED = b"\xff\xff\xff\xff"  # an Arrow IPC stream, as they were

_log = logging.getLogger(__name__)


class _Log(msgspec.Struct, frozen=True):
    """What a state's offset belongs to."""

    cluster: str
    log: str


class Checkpoint(NamedTuple):
    """A state and the offset that it reaches, of the log `log` on `cluster`."""

    offset: int
    cluster: str
    log: str
    state: bytes
    path: str


class Kept(NamedTuple):
    """A file: the offset that its state reaches, its bytes, and when it was written (s)."""

    offset: int
    path: str
    size: int
    written: float
    is_aside: bool


class Checkpoints:
    """A topic's checkpoints under one location: a directory, or the URI of an object store that several hosts share.

    Raises PeekproofError for a URI that names no store.
    """

    def __init__(self, location: str, topic: str = UNITS) -> None:
        self._topic = topic
        self._folder = "" if topic == UNITS else topic
        try:
            self._files, root = fs.FileSystem.from_uri(
                location if "://" in location else Path(location).absolute().as_uri()
            )
        except (ValueError, OSError) as error:
            raise PeekproofError(
                f"checkpoints is '{location}': {error}; name a directory, or a bucket that is there, as in "
                "s3://bucket/peekproof"
            ) from error
        self._root = f"{root}/{self._folder}" if self._folder else root

    def copy(self, partition: int, directory: Path) -> Path | None:
        """The newest whole checkpoint of this partition as a file, in a directory as it lies in the location."""
        newest = self.newest(partition)
        if newest is None:
            return None
        path = directory / self._folder / str(partition) / Path(newest.path).name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            head, digest = _sealed(newest.state, newest.cluster, newest.log)
            with durable.writing(path) as temporary, temporary.open("wb") as file:
                for part in (MAGIC, digest, head, newest.state):
                    file.write(part)
        return path

    def newest(self, partition: int) -> Checkpoint | None:
        """The whole checkpoint of this partition that reaches the highest offset.

        Damaged ones before it are set aside, and told in the log: they have another name from then on. Raises
        PeekproofError for one of an earlier version.
        """
        for offset in reversed(self._offsets(partition)):
            try:
                return self.read(partition, offset)
            except ValueError as error:
                path = self._path(partition, offset)
                aside = f"{path.removesuffix('.arrow')}{DAMAGED}"
                self._files.move(path, aside)
                told = f"checkpoint {path} of {self._topic}/{partition} is damaged ({error}) and set aside as {aside}"
                _log.warning("%s; the one before it, or the log, stands in", told)
        return None

    def read(self, partition: int, offset: int) -> Checkpoint:
        """One checkpoint. Raises ValueError for a damaged one, PeekproofError for one of an earlier version."""
        path = self._path(partition, offset)
        with self._files.open_input_file(path) as file:
            content = file.read()
        if content.startswith(_UNSEALED):
            raise PeekproofError(
                f"checkpoint {path} was written by an earlier version: `peekproof recover rebuild` makes the state "
                "anew from the archive"
            )
        log, state = _opened(content)
        return Checkpoint(offset, log.cluster, log.log, state, path)

    def kept(self, partition: int) -> list[Kept]:
        """What lies there of a partition, the newest first."""
        found = [
            Kept(int(name[1]), info.path, info.size or 0, (info.mtime_ns or 0) / 1e9, name[2] == DAMAGED)
            for info in self._infos(partition)
            if (name := _KEPT.fullmatch(info.base_name))
        ]
        return sorted(found, reverse=True)

    def write(self, partition: int, offset: int, state: bytes, cluster: str, log: str) -> None:
        """Keep the state that covers every record before `offset`; when this returns, it survives a crash."""
        self._write(partition, offset, state, cluster, log)
        for old in self._offsets(partition)[:-KEPT]:
            self._delete(self._path(partition, old))

    def replace(self, partition: int, offset: int, state: bytes, cluster: str, log: str) -> None:
        """Keep this state alone, also instead of such as reach further; they go when it survives a crash."""
        self._write(partition, offset, state, cluster, log)
        for other in self._offsets(partition):
            if other != offset:
                self._delete(self._path(partition, other))

    def _write(self, partition: int, offset: int, state: bytes, cluster: str, log: str) -> None:
        path = self._path(partition, offset)
        temporary = f"{path}.{uuid.uuid4().hex}.tmp"
        head, digest = _sealed(state, cluster, log)
        try:
            with durable.room_for(path):
                self._files.create_dir(f"{self._root}/{partition}", recursive=True)
                self._sweep(partition)
                with self._files.open_output_stream(temporary, compression=None) as stream:
                    for part in (MAGIC, digest, head, state):
                        stream.write(part)
                if isinstance(self._files, fs.LocalFileSystem):
                    durable.rename(Path(temporary), Path(path))
                else:
                    self._files.move(temporary, path)
        except BaseException:
            self._delete(temporary)
            raise

    def _sweep(self, partition: int) -> None:
        """Delete what killed writers left unfinished."""
        for info in self._infos(partition):
            if info.extension == "tmp" and time.time() - info.mtime_ns / 1e9 > durable.ABANDONED:
                self._delete(info.path)

    def _delete(self, path: str) -> None:
        try:
            self._files.delete_file(path)
        except FileNotFoundError:  # another worker of this partition was faster
            pass

    def _offsets(self, partition: int) -> list[int]:
        """Ascending. What has another name is not ours."""
        names = (FILE_NAME.fullmatch(info.base_name) for info in self._infos(partition))
        return sorted(int(name[1]) for name in names if name)

    def _infos(self, partition: int) -> list[fs.FileInfo]:
        return self._files.get_file_info(fs.FileSelector(f"{self._root}/{partition}", allow_not_found=True))

    def _path(self, partition: int, offset: int) -> str:
        return f"{self._root}/{partition}/{offset:020d}.arrow"


def _sealed(state: bytes, cluster: str, log: str) -> tuple[bytes, bytes]:
    """What stands before a state, and the digest of both."""
    head = msgspec.json.encode(_Log(cluster, log)) + b"\n"
    return head, _digest(head, state)


def _opened(content: bytes) -> tuple[_Log, bytes]:
    """What the state belongs to, and the state. Raises ValueError for bytes that are not what was written."""
    begin = len(MAGIC) + DIGEST
    if len(content) < begin or not content.startswith(MAGIC):
        raise ValueError("it does not begin as they do")
    end = content.find(b"\n", begin) + 1
    head, state = content[begin:end], content[end:]
    if _digest(head, state) != content[len(MAGIC) : begin]:
        raise ValueError("its bytes do not have the digest that they were written with")
    return msgspec.json.decode(head, type=_Log), state


def _digest(*parts: bytes) -> bytes:
    digest = hashlib.blake2b(digest_size=DIGEST)
    for part in parts:
        digest.update(part)
    return digest.digest()
