"""Archive: the original bytes of every record, as immutable Parquet files of one partition each.

A file is cut where append time crosses a boundary of the partition's interval, or after so many records or bytes. So
which records share a file depends on the log alone, not on slices or restarts: a repeat writes the same file under its
same name. Names carry the offsets [begin, end) and the start of the interval (ms UTC). The files of a partition chain,
each beginning where the one before ended. Data of an open interval is in memory only, and read again after a crash.

    DIRECTORY/TOPIC/PARTITION/BEGIN-END-INTERVAL.parquet       columns: offset, append_time, headers, value
    DIRECTORY/TOPIC/PARTITION/expired.json                     what `archive_keep` deleted before the first file
    DIRECTORY/_schema.parquet                                  no rows: a view of an empty archive needs a file

Compaction merges the files of a closed hour, then of a closed day, under new names. What was replaced stays for
`REPLACED_KEPT` seconds, for readers that hold its names. `chain` picks one file for each stretch of offsets (see
archived.py).

A file that is gone, or is damaged and was set aside for that, leaves a hole. The worker begins at the first hole: what
the log still holds of it is archived again, in files of the same names.

A directory, not an object store: the snapshot's views read it with the DuckDB that everyone has.
"""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import durable
from pipeline.storage.archived import (
    EMPTY,
    EXPIRED,
    SCHEMA,
    ArchiveDamageError,
    ArchiveFile,
    ArchiveGapError,
    Expired,
    files_in,
    reading,
    standing,
    unbroken,
)
from pipeline.storage.bands import BandWriter, bands, whole
from schemas.duration import DAY_MS, HOUR_MS
from schemas.records import Records
from schemas.topics import CATALOG

MAX_BYTES = 32 << 20  # of values in one file before compaction: what an open file may hold in memory
COMPACTED_BYTES = 512 << 20  # on disk, of a compacted file
REPLACED_KEPT = 600.0  # seconds

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Open:
    """The file of a partition that is being gathered."""

    begin: int
    interval: int  # index; no later record belongs to an earlier one
    position: int  # the next offset to take
    batches: list[pa.RecordBatch] = field(default_factory=list)
    rows: int = 0
    bytes: int = 0


class Archive:
    """Writes the archive of the partitions that one worker holds. Not for use by two threads at once."""

    def __init__(self, directory: Path | str, interval_ms: int = 60_000, max_records: int = 100_000) -> None:
        self._directory = Path(directory).absolute()
        self._interval_ms = interval_ms
        self._max_records = max_records
        self._open: dict[tuple[str, int], _Open] = {}
        write_empty(self._directory)

    def append(self, records: Records) -> None:
        """Take one slice; files that it completes are on disk when this returns. Records held already are skipped.

        Raises `ArchiveGapError` if the slice begins beyond the records taken so far.
        """
        place = self._place(records.topic, records.partition) or self._begin(records)
        if records.begin > place.position:
            raise self._gap(records.topic, records.partition, place.position, records.begin)
        batch = _columns(records)
        first = int(np.searchsorted(records.offset, place.position))
        sizes = np.cumsum(np.maximum(records.length, 0))
        intervals = np.maximum(np.maximum.accumulate(records.append_time // self._interval_ms), place.interval)
        while first < len(records):
            same = int(np.searchsorted(intervals, place.interval, side="right"))
            if same <= first:
                self._close(records.topic, records.partition, place)
                place.interval = int(intervals[first])
                continue
            before = int(sizes[first - 1]) if first else 0
            full = int(np.searchsorted(sizes, before + MAX_BYTES - place.bytes)) + 1
            stop = min(same, full, first + self._max_records - place.rows)
            place.batches.append(batch.slice(first, stop - first))
            place.rows += stop - first
            place.bytes += int(sizes[stop - 1]) - before
            if place.rows == self._max_records or place.bytes >= MAX_BYTES:
                self._close(records.topic, records.partition, place)
            first = stop
        place.position = max(place.position, records.end)

    def advance(self, topic: str, partition: int, clock_ms: int) -> None:
        """Close the intervals that end by this time (ms UTC). No record still to come may be of an earlier time."""
        place = self._place(topic, partition)
        if place is not None and clock_ms // self._interval_ms > place.interval:
            self._close(topic, partition, place)
            place.interval = clock_ms // self._interval_ms

    def closed(self, topic: str, partition: int) -> int | None:
        """The offset before which every record is on disk: commit it, resume there. None: nothing is archived yet."""
        place = self._place(topic, partition)
        return None if place is None else place.begin

    def reached(self, topic: str, partition: int) -> int:
        """Every record that was appended before it (ms UTC) is on disk; 0: nothing is archived yet."""
        place = self._place(topic, partition)
        return 0 if place is None else place.interval * self._interval_ms

    def start(self, topic: str, partition: int, earliest: int) -> int:
        """The offset to read from: behind the last file that is whole, or `earliest`, where the log begins."""
        closed = self.closed(topic, partition)
        return earliest if closed is None else closed

    def skip(self, topic: str, partition: int, end: int) -> None:
        """The log holds nothing before offset `end`: a file without records fills the gap."""
        place = self._place(topic, partition)
        if place is not None and place.begin < end:
            directory = self._directory / topic / str(partition)
            path = directory / _name(place.begin, end, place.interval * self._interval_ms)
            with durable.writing(path) as temporary:
                pq.write_table(SCHEMA.empty_table(), temporary, **WRITING)
            place.begin = place.position = end

    def release(self, topic: str, partition: int) -> None:
        """Forget a partition that another worker takes over; its open interval is read again there."""
        self._open.pop((topic, partition), None)

    def compact(self) -> None:
        """Merge the files of closed hours and days of the partitions held; delete what was replaced long enough ago.

        May run for seconds, in a thread of its own beside `append`; memory stays at a few row groups. Raises
        `ArchiveDamageError` for a file that it set aside: who begins again begins there.
        """
        for (topic, partition), place in list(self._open.items()):
            for window in (HOUR_MS, DAY_MS):
                closed = place.interval * self._interval_ms // window
                files = unbroken(self._directory, topic, partition)
                files = [file for file in files if file.interval // window < closed]
                for group in _groups(files, window):
                    try:
                        _merge(group)
                    except ArchiveDamageError as error:
                        aside = error.path.rename(error.path.with_suffix(".damaged"))
                        _log.warning(
                            "%s is damaged and set aside as %s: the worker starts again there", error.path, aside
                        )
                        raise
            _sweep(self._directory, topic, partition)

    def expire(self, keep_ms: int, now_ms: int) -> None:
        """Delete the files of the partitions held all of whose records are older, but the newest, and say so.

        Later by `REPLACED_KEPT` than they leave the snapshot's views, whose readers hold their names.
        """
        oldest = now_ms - keep_ms - int(1_000 * REPLACED_KEPT)
        for topic, partition in list(self._open):
            files = unbroken(self._directory, topic, partition)
            old = [file for file in files[:-1] if file.interval + self._interval_ms <= oldest]
            if not old or topic == CATALOG:
                continue
            place, last = self._directory / topic / str(partition), old[-1]
            with durable.writing(place / EXPIRED) as temporary:
                temporary.write_bytes(msgspec.json.encode(Expired(last.end, last.interval)))
            for file in files_in(place):
                if file.end <= last.end:
                    file.path.unlink(missing_ok=True)
            _log.info("archive_keep: the archive of %s/%d begins at offset %d now", topic, partition, last.end)

    def _place(self, topic: str, partition: int) -> _Open | None:
        place = self._open.get((topic, partition))
        if place is None:
            files = unbroken(self._directory, topic, partition)
            if not files:
                return None
            last = files[-1]
            place = _Open(begin=last.end, interval=last.interval // self._interval_ms, position=last.end)
            self._open[topic, partition] = place
        return place

    def _begin(self, records: Records) -> _Open:
        place = _Open(begin=records.begin, interval=0, position=records.begin)
        self._open[records.topic, records.partition] = place
        return place

    def _gap(self, topic: str, partition: int, end: int, begin: int) -> ArchiveGapError:
        return ArchiveGapError(
            f"the archive of {topic}/{partition} reaches offset {end}, but the log goes on at {begin}; the worker "
            "stops rather than skip what lies between, and begins again where the archive ends"
        )

    def _close(self, topic: str, partition: int, place: _Open) -> None:
        if not place.rows:
            return
        table = pa.Table.from_batches(place.batches, SCHEMA).combine_chunks()
        end = table["offset"][-1].as_py() + 1
        directory = self._directory / topic / str(partition)
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / _name(place.begin, end, place.interval * self._interval_ms)
        with durable.writing(path) as temporary:
            pq.write_table(table, temporary, **WRITING)
        place.begin, place.batches, place.rows, place.bytes = end, [], 0, 0


def write_empty(directory: Path) -> Path:
    """A file with the archive's columns and no rows, with which every view begins."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / EMPTY
    try:
        is_whole = pq.read_schema(path) == SCHEMA
    except (OSError, pa.ArrowException):
        is_whole = False
    if not is_whole:
        with durable.writing(path) as temporary:
            pq.write_table(SCHEMA.empty_table(), temporary, **WRITING)
    return path


WRITING: dict[str, Any] = {
    "compression": "zstd",
    "compression_level": 1,
    "use_dictionary": ["headers.list.element.key"],
    "column_encoding": {"offset": "DELTA_BINARY_PACKED", "append_time": "DELTA_BINARY_PACKED"},
    "write_statistics": ["offset", "append_time"],
    "write_page_checksum": True,
}


def _name(begin: int, end: int, interval: int) -> str:
    return f"{begin:016d}-{end:016d}-{interval}.parquet"


def _groups(files: list[ArchiveFile], window: int) -> Iterator[list[ArchiveFile]]:
    """Runs of two and more neighbours of one window that fit into one compacted file."""
    group: list[ArchiveFile] = []
    size = 0
    for file in files:
        bytes_ = file.path.stat().st_size
        if group and (file.interval // window != group[0].interval // window or size + bytes_ > COMPACTED_BYTES):
            if len(group) > 1:
                yield group
            group, size = [], 0
        group.append(file)
        size += bytes_
    if len(group) > 1:
        yield group


def _merge(group: list[ArchiveFile]) -> None:
    path = group[0].path.with_name(_name(group[0].begin, group[-1].end, group[-1].interval))
    with durable.writing(path) as temporary, pq.ParquetWriter(temporary, SCHEMA, **WRITING) as writer:
        merged = BandWriter(writer, path.parent.parent.name)
        held: list[pa.RecordBatch] = []
        size = 0
        for file in group:
            with reading(file.path) as parquet:
                for band in bands(parquet):
                    batch = whole(parquet, band.row_groups)
                    if held and size + batch.nbytes > MAX_BYTES:
                        merged.write(pa.Table.from_batches(held))
                        held, size = [], 0
                    held.append(batch)
                    size += batch.nbytes
        merged.write(pa.Table.from_batches(held, SCHEMA))
        merged.close()


def _sweep(directory: Path, topic: str, partition: int) -> None:
    """Delete files whose records a larger file has held for `REPLACED_KEPT` seconds, and unfinished files."""
    files = standing(directory, topic, partition)
    now = time.time()
    old = [file for file in files if now - file.path.stat().st_mtime > REPLACED_KEPT]
    for file in files_in(directory / topic / str(partition)):
        if file not in files and any(link.begin <= file.begin and file.end <= link.end for link in old):
            file.path.unlink(missing_ok=True)
    for path in (directory / topic / str(partition)).glob("*.tmp"):
        if now - path.stat().st_mtime > durable.ABANDONED:
            path.unlink(missing_ok=True)


def _columns(records: Records) -> pa.RecordBatch:
    """The records in the archive's columns."""
    n = len(records)
    bounds = np.append(records.start, len(records.data)).astype(np.int32)
    present = records.length >= 0
    value = pa.BinaryArray.from_buffers(
        pa.binary(),
        n,
        [None if present.all() else pa.array(present).buffers()[1], pa.py_buffer(bounds), pa.py_buffer(records.data)],
    )
    return pa.RecordBatch.from_arrays(
        [pa.array(records.offset), pa.array(records.append_time), _headers(records), value], schema=SCHEMA
    )


def _headers(records: Records) -> pa.ListArray:
    counts = np.zeros(len(records) + 1, np.int32)
    headers = records.headers if records.keys is None else records.keys.beside(records.headers)
    rows = sorted(headers)
    for row in rows:
        counts[row + 1] = len(headers[row])
    pairs = [{"key": key, "value": value} for row in rows for key, value in headers[row]]
    element = SCHEMA.field("headers").type.value_type
    return pa.ListArray.from_arrays(pa.array(np.cumsum(counts, dtype=np.int32)), pa.array(pairs, element))
