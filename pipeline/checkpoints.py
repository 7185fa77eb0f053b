"""Checkpoints: immutable states of units partitions, each written whole under a name of its own, then renamed.

A state and the input offset that it reaches are one file, so they cannot disagree. The newest is the one with the
highest offset; two writers of one partition (a worker and its zombie) can only write the same bytes or other names.
"""

import time
import uuid
from pathlib import Path

from pyarrow import fs

from pipeline import durable
from pipeline.errors import PeekproofError

KEPT = 2  # the newest, and the one before it in case a person wants to look


class Checkpoints:
    """The checkpoints under one location: a directory, or the URI of an object store that several hosts share.

    Raises PeekproofError for a URI that names no store.
    """

    def __init__(self, location: str) -> None:
        try:
            self._files, self._root = fs.FileSystem.from_uri(
                location if "://" in location else Path(location).absolute().as_uri()
            )
        except (ValueError, OSError) as error:
            raise PeekproofError(
                f"checkpoints is '{location}': {error}; name a directory, or a bucket that is there, as in "
                "s3://bucket/peekproof"
            ) from error

    def newest(self, partition: int) -> tuple[int, bytes] | None:
        """The highest offset that a checkpoint of this units partition reaches, and the state there."""
        offsets = self._offsets(partition)
        if not offsets:
            return None
        with self._files.open_input_file(self._path(partition, offsets[-1])) as file:
            return offsets[-1], file.read()

    def write(self, partition: int, offset: int, state: bytes) -> None:
        """Keep the state that covers every record before `offset`; when this returns, it survives a crash."""
        path = self._path(partition, offset)
        temporary = f"{path}.{uuid.uuid4().hex}.tmp"
        self._files.create_dir(f"{self._root}/{partition}", recursive=True)
        self._sweep(partition)
        try:
            with self._files.open_output_stream(temporary, compression=None) as stream:
                stream.write(state)
            if isinstance(self._files, fs.LocalFileSystem):
                durable.rename(Path(temporary), Path(path))
            else:
                self._files.move(temporary, path)
        except BaseException:
            self._delete(temporary)
            raise
        for old in self._offsets(partition)[:-KEPT]:
            self._delete(self._path(partition, old))

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
        names = [info.base_name for info in self._infos(partition)]
        return sorted(int(name.removesuffix(".arrow")) for name in names if name.endswith(".arrow"))

    def _infos(self, partition: int) -> list[fs.FileInfo]:
        return self._files.get_file_info(fs.FileSelector(f"{self._root}/{partition}", allow_not_found=True))

    def _path(self, partition: int, offset: int) -> str:
        return f"{self._root}/{partition}/{offset:020d}.arrow"
