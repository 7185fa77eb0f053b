"""Prefilter: leaves out the records that cannot matter, by their bytes alone, before anybody reads them as JSON.

Theory of operation. A JSON message says a text as it is, in quotes, or with a backslash somewhere. So a record that
holds neither the name in quotes, nor a backslash, names something else, whatever its shape. One that does hold it may
be another unit's: where `"user_id"` stands once in a record without a backslash, and a text behind it, that is its
unit or it has none; its hash says whether it is one of those that are looked for (or shares a place with one: a few
others pass). Whatever is in doubt passes, and is judged by the stage.
"""

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
from numba import njit
from numpy.typing import NDArray

from evaluation.assignment.decoding import JSON, NDJSON, content_type
from evaluation.catalog.in_force import RunInForce
from evaluation.columns.arrays import Mask
from evaluation.columns.hashing import xxh64
from evaluation.columns.memory import PADDING, byte_at
from evaluation.columns.texts import Texts, as_bytes
from schemas.dead_letter import CONTENT_TYPE
from schemas.records import Records
from schemas.topics import EVENTS, EXPOSURES, MARK

LONGEST_ID = 1024  # bytes of a unit that is hashed here
PLACES = 16  # in a table of units for each of them, at least
_IDS = ("user_id", "device_id")  # whose text is hashed as it stands


def names_read(run: RunInForce) -> dict[str, list[str]]:
    """By topic of ours, the names of the records that can matter to a run."""
    events = {fact.event for metric in run.metrics.values() for fact in (*metric.facts, *metric.past_facts)}
    if entry := run.definition.exposure_event:
        events.add(entry.event)
    return {EVENTS: sorted(events), EXPOSURES: [run.flag]}


class SoughtUnits:
    """A table of bits by units' hashes: who is one of them has a bit, and one in `PLACES` of the others."""

    def __init__(self, units: NDArray[np.uint64]) -> None:
        bits = max(10, (PLACES * len(units)).bit_length())
        self.shift = 64 - bits
        self.table = np.zeros(1 << bits, np.uint8)
        self.table[units >> np.uint64(self.shift)] = 1

    def may_hold(self, units: NDArray[np.uint64]) -> Mask:
        """Which of these may be one of them."""
        return np.asarray(self.table[units >> np.uint64(self.shift)] != 0)


class Prefilter:
    """Passes records that may name one of these, and then of one of the `units`, which are of the type `unit`."""

    def __init__(self, names: Collection[str], unit: str = "", units: SoughtUnits | None = None) -> None:
        needles = [msgspec.json.encode(name) for name in names]
        self._needles = as_bytes(b"".join(needles) + bytes(PADDING))
        self._ends = np.cumsum([0, *map(len, needles)])
        is_known = units is not None and unit in _IDS
        self._key = as_bytes((f'"{unit}"' if is_known else "").encode() + bytes(PADDING))
        self._key_size = len(unit) + 2 if is_known else 0
        self._prefix = as_bytes(unit.encode() + b"\0")
        self._units = units if units is not None else SoughtUnits(np.zeros(0, np.uint64))

    def of(self, records: Records) -> Records:
        """The records that may matter, as a slice of the same offsets."""
        if records.topic.startswith(MARK) or not len(records):
            return records
        passes = np.zeros(len(records), np.bool_)
        is_many = np.zeros(len(records), np.bool_)
        for row, headers in records.headers.items():
            is_plain = all(name.lower() == CONTENT_TYPE for name, _ in headers)
            kind = content_type(records, row)
            passes[row] = not (is_plain and kind in {"", JSON, NDJSON})
            is_many[row] = True
        _pass(
            as_bytes(records.data),
            records.start,
            records.length,
            self._needles,
            self._ends,
            self._key,
            self._key_size,
            self._prefix,
            self._units.table,
            self._units.shift,
            is_many,
            passes,
        )
        return records if passes.all() else _only(records, np.flatnonzero(passes))


def _only(records: Records, rows: NDArray[np.int64]) -> Records:
    length = records.length[rows]
    texts = Texts(as_bytes(records.data), records.start[rows], length).arrow()
    size = np.maximum(length, 0)
    place = {row: number for number, row in enumerate(rows.tolist())} if records.headers else {}
    return replace(
        records,
        offset=records.offset[rows],
        append_time=records.append_time[rows],
        start=np.cumsum(size) - size,
        length=length,
        data=memoryview(texts.buffers()[2])[: int(size.sum())] if len(rows) else memoryview(b""),
        headers={place[row]: each for row, each in records.headers.items() if row in place},
    )


@njit(cache=True)
def _stands(b, at, needles, first, size):  # type: ignore[no-untyped-def]
    """Whether a needle stands there."""
    i = 0
    while i < size and byte_at(b, at + i) == byte_at(needles, first + i):
        i += 1
    return i == size


@njit(cache=True)
def _is_alike(b: Any, begin: int, end: int, needle: Any, first: int, size: int) -> bool:  # noqa: PLR0917
    """Whether anything as long between quotes begins and ends as the needle does, within these bytes: vector code."""
    head, tail = byte_at(needle, first + 1), byte_at(needle, first + size - 2)
    seen = False
    for i in range(begin, end - size + 1):
        seen |= (
            (byte_at(b, i) == 34)
            & (byte_at(b, i + 1) == head)
            & (byte_at(b, i + size - 2) == tail)
            & (byte_at(b, i + size - 1) == 34)
        )
    return seen


@njit(cache=True)
def _count(b: Any, begin: int, end: int, needle: Any, first: int, size: int, hint: int) -> tuple[int, int]:  # noqa: PLR0917
    """How often the needle, a text in quotes, stands in these bytes, and where it does last; perhaps at the hint."""
    if begin <= hint <= end - size and _stands(b, hint, needle, first, size):
        before = _is_alike(b, begin, hint + size - 1, needle, first, size)
        if not before and not _is_alike(b, hint + 1, end, needle, first, size):
            return 1, hint
    number, last = 0, -1
    if _is_alike(b, begin, end, needle, first, size):
        for i in range(begin, end - size + 1):
            if byte_at(b, i) == 34 and _stands(b, i, needle, first, size):
                number += 1
                last = i
    return number, last


@njit(cache=True)
def _pass(  # type: ignore[no-untyped-def]  # noqa: PLR0917
    b, start, length, needles, ends, key, key_size, prefix, table, shift, is_many, passes
):
    """Set `passes` of the records that may matter."""
    joined = np.zeros(prefix.size + LONGEST_ID + PADDING, np.uint8)
    joined[: prefix.size] = prefix
    hint = named = 0  # where the key, and a name, stood in the records before
    for r in range(start.size):
        if passes[r] or length[r] <= 0:
            continue
        begin, end = start[r], start[r] + length[r]
        has_escapes = False
        for i in range(begin, end):
            has_escapes |= byte_at(b, i) == 92
        if has_escapes:
            passes[r] = True
            continue
        for j in range(ends.size - 1):
            size = ends[j + 1] - ends[j]
            if begin + named <= end - size and _stands(b, begin + named, needles, ends[j], size):
                passes[r] = True
        for j in range(0 if not passes[r] else ends.size, ends.size - 1):
            number, at = _count(b, begin, end, needles, ends[j], ends[j + 1] - ends[j], -1)
            if number:
                passes[r] = True
                named = at - begin
                break
        if not passes[r] or key_size == 0 or is_many[r]:
            continue
        number, at = _count(b, begin, end, key, 0, key_size, begin + hint)
        hint = max(at, begin) - begin
        if number != 1:
            passes[r] = number > 1
            continue
        at += key_size
        colons = 0
        while at < end and (byte_at(b, at) <= 32 or (byte_at(b, at) == 58 and colons == 0)):
            colons += byte_at(b, at) == 58
            at += 1
        if colons == 0 or at >= end or byte_at(b, at) != 34:
            continue
        at += 1
        size = 0
        while at + size < end and byte_at(b, at + size) != 34 and size < LONGEST_ID:
            joined[prefix.size + size] = byte_at(b, at + size)
            size += 1
        if 0 < size < LONGEST_ID and at + size < end:
            unit = xxh64(joined, prefix.size + size)
            passes[r] = table[unit >> np.uint64(shift)] != 0
