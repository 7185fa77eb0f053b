"""Archived: the files of the archive, and the records that they hold. How they come to be is told in archive.py."""

import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice, pairwise
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import PeekproofError
from pipeline.storage.bands import Band, bands, batches, that_may_hold, whole
from schemas.duration import DAY_MS
from schemas.records import Headers, RecordKeys, Records
from schemas.topics import MARK, SOURCES

SLICE_ROWS = 1 << 15  # at most, of what is read at once
FEW_ROWS = 1 << 8  # of what is read for a first one

SCHEMA = pa.schema(
    [
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("append_time", pa.int64(), nullable=False),  # ms UTC
        pa.field("headers", pa.list_(pa.struct([("key", pa.string()), ("value", pa.binary())])), nullable=False),
        pa.field("value", pa.binary()),
    ]
)
_NOTHING = pa.RecordBatch.from_pylist([], SCHEMA)
EMPTY = "_schema.parquet"
EXPIRED = "expired.json"


class ArchiveGapError(PeekproofError):
    """Records that the archive should hold are not there."""


class ArchiveDamageError(PeekproofError):
    """A file of the archive is not what was written."""

    def __init__(self, path: Path, cause: BaseException) -> None:
        super().__init__(
            f"{path} is damaged ({str(cause).partition(chr(10))[0]}): bring it back from a backup; or rename it and "
            "start the archive's worker again, which archives once more what the log still holds"
        )
        self.path = path


class Expired(msgspec.Struct, frozen=True):
    """Records before offset `before` were deleted as archive_keep says; the last were of about `time` (ms UTC)."""

    before: int
    time: int

    @property
    def until(self) -> str:
        """The time, for people."""
        return datetime.fromtimestamp(self.time / 1_000, UTC).strftime("%Y-%m-%d %H:%M UTC")


class ArchivedRecord(NamedTuple):
    """One record as it stood on its partition; `append_time` in ms UTC."""

    offset: int
    append_time: int
    headers: Headers
    value: bytes | None


class ArchiveFile(NamedTuple):
    """The records with offsets in [begin, end); the last of them belongs to `interval` (its start, ms UTC)."""

    begin: int
    end: int
    interval: int
    path: Path


class ArchivedGroup(NamedTuple):
    """Some of the records of one file: a band of it."""

    topic: str
    partition: int
    path: Path
    band: Band


class Excerpt(NamedTuple):
    """Records that were asked for among `rows` neighbours; the last of these was appended at `time` (ms UTC)."""

    records: Records
    rows: int
    time: int


def chain(directory: Path, topic: str, partition: int) -> list[ArchiveFile]:
    """The files that hold a partition from its first archived record on, without overlap; larger ones preferred.

    Raises `ArchiveGapError` where a file begins beyond the end of the others.
    """
    files = standing(directory, topic, partition)
    for file, following in pairwise(files):
        if following.begin > file.end:
            raise ArchiveGapError(
                f"the archive of {topic}/{partition} has a hole from offset {file.end} to {following.begin}, before "
                f"{following.path}: bring the file between them back, or start the archive's worker again, which "
                "archives once more what the log still holds"
            )
    return files


def standing(directory: Path, topic: str, partition: int) -> list[ArchiveFile]:
    """The same, but for holes: whatever there is of a partition, each record once."""
    files = sorted(files_in(directory / topic / str(partition)))
    links: list[ArchiveFile] = []
    while files:
        links += _linked(files)
        files = [file for file in files if file.begin >= links[-1].end]
    return links


def unbroken(directory: Path, topic: str, partition: int) -> list[ArchiveFile]:
    """The same, up to the first hole."""
    return _linked(sorted(files_in(directory / topic / str(partition))))


def expired(directory: Path, topic: str, partition: int) -> Expired | None:
    """What was deleted before the first file, as the setting archive_keep says."""
    try:
        return msgspec.json.decode((directory / topic / str(partition) / EXPIRED).read_bytes(), type=Expired)
    except FileNotFoundError:
        return None


def offset_at(directory: Path, topic: str, partition: int, time: int) -> int:
    """An offset before which everything archived was appended before `time` (ms UTC), by the files' statistics."""
    begin = 0
    for file in standing(directory, topic, partition):
        if file.interval < time - DAY_MS:  # whatever an interval is: no longer
            begin = file.end
            continue
        with suppress(FileNotFoundError), reading(file.path) as parquet:
            for band in bands(parquet):
                if band.time >= time:
                    return begin
                begin = band.end
    return begin


def source_topics(directory: Path) -> tuple[str, ...]:
    """Exposures, events, and the topics that are not ours and have files."""
    return *SOURCES, *sorted(entry.name for entry in directory.glob(f"{MARK}*"))


def partitions(directory: Path, topic: str) -> list[int]:
    """The partitions of a topic that have files, ascending."""
    place = directory / topic
    return sorted(int(entry.name) for entry in place.iterdir() if entry.name.isdigit()) if place.exists() else []


def read(
    directory: Path, topic: str, partition: int, end: int | None = None, begin: int = 0
) -> Iterator[ArchivedRecord]:
    """Every archived record of a partition (in [begin, end)) in the order of its offsets, each once.

    Raises as `slices` does.
    """
    for records in slices(directory, topic, partition, end, begin):
        for row in range(len(records)):
            headers = records.headers.get(row, ())
            yield ArchivedRecord(int(records.offset[row]), int(records.append_time[row]), headers, records.value(row))


def slices(directory: Path, topic: str, partition: int, end: int | None = None, begin: int = 0) -> Iterator[Records]:
    """The archived records of a partition (in [begin, end)) as columns, each slice behind the one before it.

    Raises `ArchiveGapError` if a file is missing between others, and `ArchiveDamageError`.
    """
    return (excerpt.records for excerpt in excerpts(directory, topic, partition, end, begin))


def excerpts(  # noqa: PLR0917
    directory: Path,
    topic: str,
    partition: int,
    end: int | None = None,
    begin: int = 0,
    names: Collection[str] | None = None,
) -> Iterator[Excerpt]:
    """The same, and what each slice stands for; of records without any of these `names` those that are at hand.

    Slices may be empty, and are then of neighbours that have other names.
    """
    files = [file for file in chain(directory, topic, partition) if file.end > begin]
    position = max(begin, files[0].begin) if files else 0
    while files and (end is None or files[0].begin < end):
        file = files[0]
        last = file.end if end is None else min(end, file.end)
        try:
            with reading(file.path) as parquet:
                for band in bands(parquet):
                    if band.end <= position or band.begin >= last:
                        continue
                    if names is not None and position <= band.begin and band.end <= last and len(band.row_groups) > 1:
                        wanted = that_may_hold(parquet, band, names)
                        batch = whole(parquet, wanted) if wanted else _NOTHING
                        records = replace(_slice(topic, partition, position, batch), end=band.end)
                        yield Excerpt(records, band.rows, band.time)
                        position = band.end
                        continue
                    for batch in batches(parquet, band, SLICE_ROWS):
                        offset = batch.column("offset").to_numpy()
                        first, stop = np.searchsorted(offset, (position, last)).tolist()
                        if first < stop:
                            records = _slice(topic, partition, position, batch.slice(first, stop - first))
                            yield Excerpt(records, len(records), int(records.append_time[-1]))
                            position = records.end
        except FileNotFoundError:  # replaced by a compacted one meanwhile, or expired
            files = [file for file in chain(directory, topic, partition) if file.end > position]
            if not files or files[0].begin > position:
                raise ArchiveGapError(
                    f"the archive of {topic}/{partition} lost the records from offset {position} on while they were "
                    f"read: {files[0].path if files else 'nothing'} is what follows"
                ) from None
            continue
        position = files.pop(0).end


def groups(directory: Path, topic: str, partition: int) -> Iterator[ArchivedGroup]:
    """Where a partition's records stand, in the order of their offsets; holes are none of its concern."""
    for file in standing(directory, topic, partition):
        with suppress(FileNotFoundError), reading(file.path) as parquet:
            yield from (ArchivedGroup(topic, partition, file.path, band) for band in bands(parquet))


def records_of(group: ArchivedGroup) -> Iterator[Records]:
    """A group's records in order, a few at a time; nothing where its file was replaced meanwhile, or has expired."""
    with suppress(FileNotFoundError), reading(group.path) as parquet:
        for batch in batches(parquet, group.band, FEW_ROWS):
            yield _slice(group.topic, group.partition, batch.column("offset")[0].as_py(), batch)


def backwards(directory: Path, topics: Iterable[str], since: int) -> Iterator[Records]:
    """What these topics' partitions hold of records appended from `since` on (ms UTC), in slices.

    Those come first whose last records are the newest; within one, records stand in order. Holes are none of its
    concern, and neither is what expires meanwhile.
    """
    found: list[ArchivedGroup] = []
    for topic in topics:
        for partition in partitions(directory, topic):
            for file in standing(directory, topic, partition):
                if file.interval >= since - DAY_MS:
                    with suppress(FileNotFoundError), reading(file.path) as parquet:
                        its = (band for band in bands(parquet) if band.time >= since)
                        found += [ArchivedGroup(topic, partition, file.path, band) for band in its]
    for group in sorted(found, key=lambda each: each.band.time, reverse=True):
        with suppress(FileNotFoundError), reading(group.path) as parquet:
            batch = whole(parquet, group.band.row_groups)
            some = batch.slice(int(np.argmax(batch.column("append_time").to_numpy() >= since)))
            yield _slice(group.topic, group.partition, some.column("offset")[0].as_py(), some)


def _linked(files: list[ArchiveFile]) -> list[ArchiveFile]:
    if not files:
        return []
    reached: dict[int, ArchiveFile | None] = {files[0].begin: None}
    for file in files:
        if file.begin in reached:
            reached.setdefault(file.end, file)
    links = []
    link = reached[max(reached)]
    while link is not None:
        links.append(link)
        link = reached[link.begin]
    return links[::-1]


def files_in(place: Path) -> Iterator[ArchiveFile]:
    """Every file of a partition's directory, replaced ones too."""
    if not place.exists():
        return
    for entry in os.scandir(place):
        if entry.name.endswith(".parquet"):
            begin, end, interval = entry.name.removesuffix(".parquet").split("-")
            yield ArchiveFile(int(begin), int(end), int(interval), Path(entry.path))


@contextmanager
def reading(path: Path) -> Iterator[pq.ParquetFile]:
    """Around what reads a file. Raises FileNotFoundError, and ArchiveDamageError where it is not as it was written."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as parquet:
            yield parquet
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException) as error:
        raise ArchiveDamageError(path, error) from error


def _slice(topic: str, partition: int, begin: int, batch: pa.RecordBatch) -> Records:
    """The archive's columns as records, without a copy of the values."""
    offset, value, headers = batch.column("offset").to_numpy(), batch.column("value"), batch.column("headers")
    _, bounds, data = value.buffers()
    places = np.frombuffer(bounds, np.int32)[value.offset : value.offset + len(value) + 1].astype(np.int64)
    length = np.diff(places)
    if value.null_count:
        length[value.is_null().to_numpy(zero_copy_only=False)] = -1
    pairs = iter(zip(*(column.to_pylist() for column in headers.flatten().flatten()), strict=True))
    counts = headers.value_lengths().to_numpy()
    headed = np.flatnonzero(counts)
    said = {
        row: tuple(islice(pairs, count)) for row, count in zip(headed.tolist(), counts[headed].tolist(), strict=True)
    }
    keys = None
    if topic.startswith(MARK):
        keys, said = RecordKeys.among(said, len(offset))
    return Records(
        topic=topic,
        partition=partition,
        begin=begin,
        end=int(offset[-1]) + 1 if len(offset) else begin,
        offset=offset,
        append_time=batch.column("append_time").to_numpy(),
        start=places[:-1] - places[0],
        length=length,
        data=memoryview(data or b"")[places[0] : places[-1]],
        headers=said,
        keys=keys,
    )
