"""Past: what every unit, exposed or not, did of one fact before it may enter a run, in buckets of time.

A table of open addressing: unit | number of the bucket << 32, how many events | sum of their values. It is built anew
without the buckets that no entry which is still to come can look back to, whenever there is one more of them. Which
events are in a bucket depends on nothing but the events, so any order gives the same.

Bytes: 24 per slot, at most 5/8 of them in use: 38 to 77 for each unit and bucket in which it was active.
"""

import numpy as np
from numba import njit

from evaluation.metrics.measures import BUCKETS
from evaluation.metrics.recent import LINK, TIME, VALUE, Words, fingerprint, home_shift
from evaluation.metrics.recent import UNIT as EVENT_UNIT

UNIT, ACTIVE, VALUES = range(3)
_COUNT = 32  # bits of how many events a unit sent in a bucket; above them stands the bucket
_SMALLEST = 64


@njit(cache=True)
def _slot(table: Words, unit: int, bucket: int) -> int:
    """The slot of the unit's bucket, or the empty one that it would take."""
    mask = table.shape[0] - 1
    p = fingerprint(unit, 0, bucket) >> home_shift(table.shape[0])
    while table[p, ACTIVE] != 0 and (table[p, UNIT] != unit or table[p, ACTIVE] >> _COUNT != bucket):
        p = (p + 1) & mask
    return p


@njit(cache=True)
def _add(table: Words, events: Words, fact: int, width: int) -> int:
    """Add the events (n, 5) of a fact; how many slots that took."""
    taken = 0
    for i in range(events.shape[0]):
        if events[i, LINK] != fact:
            continue
        bucket = events[i, TIME] // width
        p = _slot(table, events[i, EVENT_UNIT], bucket)
        if table[p, ACTIVE] == 0:
            table[p, UNIT], table[p, ACTIVE] = events[i, EVENT_UNIT], bucket << _COUNT
            taken += 1
        table[p, ACTIVE] += 1
        table[p, VALUES] += events[i, VALUE]
    return taken


@njit(cache=True)
def _move(before: Words, table: Words, first: int) -> int:
    """Move what is in buckets from `first` on into an empty table; how many slots that took."""
    taken = 0
    for k in range(before.shape[0]):
        bucket = before[k, ACTIVE] >> _COUNT
        if before[k, ACTIVE] != 0 and bucket >= first:
            p = _slot(table, before[k, UNIT], bucket)
            for column in range(3):
                table[p, column] = before[k, column]
            taken += 1
    return taken


@njit(cache=True)
def _look_up(table: Words, units: Words, wanted: Words, found: Words) -> None:
    """Events and values of each unit in its range of buckets, `wanted` (n, 2), into `found` (n, 2)."""
    for i in range(units.shape[0]):
        for bucket in range(wanted[i, 0], wanted[i, 1]):
            p = _slot(table, units[i], bucket)
            found[i, 0] += table[p, ACTIVE] & ((1 << _COUNT) - 1)
            found[i, 1] += table[p, VALUES]


class Past:
    """The past of one fact in buckets of `width` ms, by number: time // width."""

    def __init__(self, width: int) -> None:
        self.width = width
        self._first = 0
        self._used = 0
        self._table = np.zeros((_SMALLEST, 3), np.int64)

    def add(self, events: Words, fact: int) -> None:
        """Add the fact's events among these (n, 5), which are new."""
        self._reserve(int((events[:, LINK] == fact).sum()))
        self._used += int(_add(self._table, events, fact, self.width))

    def _reserve(self, n: int) -> None:
        """Room for n slots more."""
        if (self._used + n) * 8 > len(self._table) * 5:
            self._build(self._used + n)

    def _build(self, slots: int) -> None:
        """Another table, with room for so many slots."""
        before, self._table = self._table, np.zeros((max(_SMALLEST, 1 << (2 * slots - 1).bit_length()), 3), np.int64)
        self._used = int(_move(before, self._table, self._first))

    def look_up(self, units: Words, wanted: Words) -> Words:
        """Events and sum of values (n, 2) of each unit in its range of buckets, `wanted` (n, 2): begin and end."""
        found = np.zeros((len(units), 2), np.int64)
        _look_up(self._table, units, wanted, found)
        return found

    def expire(self, bound: int) -> None:
        """Drop what no entry at or after `bound` (ms UTC) looks back to."""
        first = bound // self.width - BUCKETS
        if first > self._first:
            self._first = first
            self._build(int(np.count_nonzero(self._table[:, ACTIVE] >> _COUNT >= first)))

    def slots(self) -> Words:
        """The slots that are in use, (n, 3), by unit and bucket."""
        used = self._table[self._table[:, ACTIVE] != 0]
        return used[np.lexsort((used[:, ACTIVE], used[:, UNIT]))]

    @classmethod
    def load(cls, width: int, slots: Words) -> "Past":
        """The past again, from what `slots()` gave."""
        past = cls(width)
        past._table = np.ascontiguousarray(slots)
        past._build(len(slots))
        return past
