"""Past: what every unit, exposed or not, did of one fact before it may enter a run, in buckets of time.

A table of open addressing: unit | number of the bucket << 32, how many events | sum of their values. A sum that passes
2^63 has another slot, marked by bit 31, which says how often it did. The table is built anew without the buckets that
no entry which is still to come can look back to, whenever there is one more of them. Which events are in a bucket
depends on nothing but the events, so any order gives the same. Values beyond all limits are in none.

Bytes: 24 per slot, at most 5/8 of them in use: 38 to 77 for each unit and bucket in which it was active.
"""

import numpy as np
from numba import njit

from evaluation.metrics.measures import BUCKETS
from evaluation.metrics.recent import LINK, TIME, VALUE, Words, fingerprint, home_shift
from evaluation.metrics.recent import UNIT as EVENT_UNIT
from evaluation.metrics.sums import LIMIT, wrapped

UNIT, ACTIVE, VALUES = range(3)
_COUNT = 31  # bits of how many events a unit sent in a bucket; above them stands the key: bucket << 1 | is it passes
_SMALLEST = 64


@njit(cache=True)
def _slot(table: Words, unit: int, key: int) -> int:
    """The slot of the unit and key, or the empty one that it would take."""
    mask = table.shape[0] - 1
    p = fingerprint(unit, 0, key) >> home_shift(table.shape[0])
    while table[p, ACTIVE] != 0 and (table[p, UNIT] != unit or table[p, ACTIVE] >> _COUNT != key):
        p = (p + 1) & mask
    return p


@njit(cache=True)
def _take(table: Words, unit: int, key: int) -> tuple[int, int]:
    """The slot of the unit and key, and whether it was taken just now."""
    p = _slot(table, unit, key)
    if table[p, ACTIVE] != 0:
        return p, 0
    table[p, UNIT], table[p, ACTIVE] = unit, key << _COUNT
    return p, 1


@njit(cache=True)
def _add(table: Words, events: Words, fact: int, width: int, sign: int) -> tuple[int, int]:
    """Add the events (n, 5) of a fact; how many slots that took, and how many of them for passes."""
    taken = passes = 0
    for i in range(events.shape[0]):
        value = sign * events[i, VALUE]
        if events[i, LINK] != fact or abs(value) >= LIMIT:
            continue
        unit, key = events[i, EVENT_UNIT], events[i, TIME] // width << 1
        p, is_new = _take(table, unit, key)
        taken += is_new
        table[p, ACTIVE] += sign
        table[p, VALUES], passed = wrapped(table[p, VALUES], value)
        if passed != 0:
            p, is_new = _take(table, unit, key | 1)
            taken, passes = taken + is_new, passes + is_new
            table[p, VALUES] += passed
    return taken, passes


@njit(cache=True)
def _move(before: Words, table: Words, first: int) -> int:
    """Move what is in buckets from `first` on into an empty table; how many slots that took."""
    taken = 0
    for k in range(before.shape[0]):
        key = before[k, ACTIVE] >> _COUNT
        if before[k, ACTIVE] != 0 and key >> 1 >= first:
            p = _slot(table, before[k, UNIT], key)
            for column in range(3):
                table[p, column] = before[k, column]
            taken += 1
    return taken


@njit(cache=True)
def _look_up(table: Words, has_passes: bool, units: Words, wanted: Words, found: Words) -> None:
    """Events, values and passes of each unit in its range of buckets, `wanted` (n, 2), into `found` (n, 3)."""
    for i in range(units.shape[0]):
        for bucket in range(wanted[i, 0], wanted[i, 1]):
            p = _slot(table, units[i], bucket << 1)
            found[i, 0] += table[p, ACTIVE] & ((1 << _COUNT) - 1)
            found[i, 1], passed = wrapped(found[i, 1], table[p, VALUES])
            found[i, 2] += passed
            if has_passes:
                found[i, 2] += table[_slot(table, units[i], bucket << 1 | 1), VALUES]


class Past:
    """The past of one fact in buckets of `width` ms, by number: time // width."""

    def __init__(self, width: int) -> None:
        self.width = width
        self._first = 0
        self._used = 0
        self._has_passes = False
        self._table = np.zeros((_SMALLEST, 3), np.int64)

    def add(self, events: Words, fact: int, sign: int) -> None:
        """Add the fact's events among these (n, 5), or take them back (`sign` is -1)."""
        self._reserve(2 * int((events[:, LINK] == fact).sum()))
        taken, passes = _add(self._table, events, fact, self.width, sign)
        self._used += int(taken)
        self._has_passes |= passes > 0

    def _reserve(self, n: int) -> None:
        """Room for n slots more."""
        if (self._used + n) * 8 > len(self._table) * 5:
            self._build(self._used + n)

    def _build(self, slots: int) -> None:
        """Another table, with room for so many slots."""
        before, self._table = self._table, np.zeros((max(_SMALLEST, 1 << (2 * slots - 1).bit_length()), 3), np.int64)
        self._used = int(_move(before, self._table, self._first))

    def look_up(self, units: Words, wanted: Words) -> Words:
        """Events, sum of values and its passes (n, 3) of each unit in its range of buckets, `wanted` (n, 2)."""
        found = np.zeros((len(units), 3), np.int64)
        _look_up(self._table, self._has_passes, units, wanted, found)
        return found

    def expire(self, bound: int) -> None:
        """Drop what no entry at or after `bound` (ms UTC) looks back to."""
        first = bound // self.width - BUCKETS
        if first > self._first:
            self._first = first
            self._build(int(np.count_nonzero(self._table[:, ACTIVE] >> _COUNT >> 1 >= first)))

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
        past._has_passes = bool((slots[:, ACTIVE] >> _COUNT & 1).any())
        return past
