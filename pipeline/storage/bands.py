"""Bands: the neighbours that stand together in a file of the archive, in row groups by their names.

Compaction puts some MB of neighbouring events, or exposures, into a band, and those of one name, or of names next to
each other, into a row group of it, so that who asks for a few names unpacks these alone. Within a row group records
stand in the order of their offsets. Row groups of one band overlap by offsets, and no others do: files of other topics,
and those before compaction, have bands of one. Which names a row group may hold stands in the file's metadata.
"""

from collections.abc import Collection, Iterator
from typing import NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from evaluation.assignment.decoding import JSON
from evaluation.columns.scanning import Type, Wanted, scan
from evaluation.columns.texts import Texts, as_bytes
from schemas.dead_letter import CONTENT_TYPE
from schemas.topics import EVENTS, EXPOSURES

NAMES = b"names"  # in a file's metadata: for each row group the first and the last of its names; null: any
FIELDS = {EVENTS: ("event_type",), EXPOSURES: ("flag_key",)}
GROUP_BYTES = 2 << 20  # of values: names of fewer share a row group
GROUP_ROWS = 1 << 20  # at most: a writer makes two of more
LONGEST_NAME = 256  # bytes of one that is told in metadata


class Band(NamedTuple):
    """The row groups with a file's records of offsets in [begin, end); the newest was appended at `time` (ms UTC)."""

    row_groups: tuple[int, ...]
    begin: int
    end: int
    rows: int
    time: int


def bands(parquet: pq.ParquetFile) -> list[Band]:
    """The bands of a file in the order of their offsets, by its statistics."""
    found: list[Band] = []
    for number in range(parquet.num_row_groups):
        group = parquet.metadata.row_group(number)
        if not group.num_rows:
            continue
        offsets, times = group.column(0).statistics, group.column(1).statistics
        band = Band((number,), offsets.min, offsets.max + 1, group.num_rows, times.max)
        while found and band.begin < found[-1].end:
            other = found.pop()
            band = Band(
                (*other.row_groups, *band.row_groups),
                min(other.begin, band.begin),
                max(other.end, band.end),
                other.rows + band.rows,
                max(other.time, band.time),
            )
        found.append(band)
    return found


def batches(parquet: pq.ParquetFile, band: Band, rows: int) -> Iterator[pa.RecordBatch]:
    """A band's records in order, so many at a time."""
    if len(band.row_groups) == 1:
        yield from parquet.iter_batches(rows, row_groups=[*band.row_groups])
        return
    batch = whole(parquet, band.row_groups)
    yield from (batch.slice(first, rows) for first in range(0, len(batch), rows))


def whole(parquet: pq.ParquetFile, row_groups: Collection[int]) -> pa.RecordBatch:
    """The records of these row groups, one or more of one band, in order."""
    (batch,) = parquet.read_row_groups([*row_groups]).combine_chunks().to_batches()
    return (
        batch if len(row_groups) == 1 else batch.take(pa.array(np.argsort(batch.column(0).to_numpy(), kind="stable")))
    )


def that_may_hold(parquet: pq.ParquetFile, band: Band, names: Collection[str]) -> tuple[int, ...]:
    """The row groups of a band that may hold records with one of these names."""
    told = (parquet.metadata.metadata or {}).get(NAMES)
    if told is None:
        return band.row_groups
    spans = msgspec.json.decode(told, type=list[tuple[str, str] | None])
    return tuple(
        number
        for number in band.row_groups
        if (span := spans[number]) is None or any(span[0] <= name <= span[1] for name in names)
    )


class BandWriter:
    """Writes the records of a topic, band by band, into a file that is open."""

    def __init__(self, writer: pq.ParquetWriter, topic: str) -> None:
        self._writer, self._field = writer, FIELDS.get(topic)
        self._spans: list[tuple[str, str] | None] = []

    def write(self, table: pa.Table) -> None:
        """Write one band; its records are in order, and behind those of the one before."""
        if self._field is None or not len(table):
            self._writer.write_table(table)
            return
        (batch,) = table.combine_chunks().to_batches()
        names, codes = _names(batch, self._field)
        lengths = np.diff(_bounds(batch.column("value")))
        group, spans = _groups(names, np.bincount(codes + 1, lengths, len(names) + 1)[1:])
        group_of = np.append(group, -1)[codes]  # the last one: of what has no name
        for number, span in enumerate([None, *spans], -1):
            rows = np.flatnonzero(group_of == number)
            for first in range(0, len(rows), GROUP_ROWS):
                self._writer.write_batch(batch.take(pa.array(rows[first : first + GROUP_ROWS])))
                self._spans.append(span)

    def close(self) -> None:
        """Say what names there are, before the file is closed."""
        if self._field is not None:
            self._writer.add_key_value_metadata({NAMES: msgspec.json.encode(self._spans)})


def _names(batch: pa.RecordBatch, field: tuple[str, ...]) -> tuple[list[str], np.ndarray]:
    """The names in a band, ascending, and of each record which one it has; -1: any, or several, as far as is known.

    Known is that of a single JSON object, as headers say, which the stages' own scan understands.
    """
    value = batch.column("value")
    bounds = _bounds(value).astype(np.int64)
    length = np.diff(bounds)
    length[value.is_null().to_numpy(zero_copy_only=False)] = -1
    scanned = scan(as_bytes(value.buffers()[2] or b""), bounds[:-1], length, Wanted({field: Type.TEXT}, field))
    found = scanned.texts(field)
    is_unknown = scanned.odd | _are_otherwise(batch.column("headers")) | (found.length > LONGEST_NAME)
    encoded = Texts(found.data, found.start, np.where(is_unknown, -1, found.length)).arrow().dictionary_encode()
    names = [name.decode() for name in encoded.dictionary.to_pylist()]
    order = np.argsort(np.array(names, object), kind="stable")
    rank = np.empty(len(names) + 1, np.int64)
    rank[order], rank[-1] = np.arange(len(names)), -1
    return sorted(names), rank[encoded.indices.fill_null(-1).to_numpy()]


def _are_otherwise(headers: pa.ListArray) -> np.ndarray:
    """Which records may be anything but one JSON object (see evaluation.assignment.decoding)."""
    key, value = headers.flatten().flatten()
    is_type = pc.equal(pc.utf8_lower(key), CONTENT_TYPE)
    is_otherwise = pc.and_(is_type, pc.invert(pc.is_in(value, pa.array([b"", JSON.encode()])))).to_numpy(False)
    row = np.repeat(np.arange(len(headers)), headers.value_lengths().to_numpy())
    return np.bincount(row[is_otherwise], minlength=len(headers)) > 0


def _groups(names: list[str], sizes: np.ndarray) -> tuple[np.ndarray, list[tuple[str, str]]]:
    """The row group of each name, by the bytes of each, and the first and last name of each row group."""
    group = np.zeros(len(names), np.int64)
    spans: list[tuple[str, str]] = []
    held = np.inf
    for i, (name, size) in enumerate(zip(names, sizes.tolist(), strict=True)):
        if held >= GROUP_BYTES or size >= GROUP_BYTES:
            spans.append((name, name))
            held = 0
        spans[-1] = spans[-1][0], name
        group[i] = len(spans) - 1
        held += size
    return group, spans


def _bounds(value: pa.BinaryArray) -> np.ndarray:
    """Where the values begin and end."""
    return np.frombuffer(value.buffers()[1], np.int32)[value.offset : value.offset + len(value) + 1]
