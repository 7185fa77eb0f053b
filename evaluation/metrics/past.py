"""Past: what every unit, exposed or not, did of one fact before it may enter a run, in buckets of time.

A bucket is a table of open addressing: unit | how many events | sum of their values. Whole buckets are dropped, once no
entry that is still to come can look back so far. Which events are in a bucket depends on nothing but the events, so any
order gives the same.

Bytes: 24 per slot of a bucket, at most 5/8 of them in use: 38 to 77 for each unit and bucket in which it was active.
"""

from collections.abc import Iterator, Mapping

import numpy as np
from numba import njit

from evaluation.metrics.measures import BUCKETS
from evaluation.metrics.recent import Words, fingerprint, home_shift

UNIT, EVENTS, VALUES = range(3)
_SMALLEST = 64


@njit(cache=True)
def _slot(table: Words, unit: int) -> int:
    """The unit's slot, or the empty one that it would take."""
    mask = table.shape[0] - 1
    p = fingerprint(unit, 0, 0) >> home_shift(table.shape[0])
    while table[p, EVENTS] != 0 and table[p, UNIT] != unit:
        p = (p + 1) & mask
    return p


@njit(cache=True)
def _add(table: Words, units: Words, events: Words, values: Words) -> int:
    """Add to units; how many were not there."""
    fresh = 0
    for i in range(units.shape[0]):
        p = _slot(table, units[i])
        if table[p, EVENTS] == 0:
            table[p, UNIT] = units[i]
            fresh += 1
        table[p, EVENTS] += events[i]
        table[p, VALUES] += values[i]
    return fresh


@njit(cache=True)
def _look_up(table: Words, units: Words, wanted: Words, bucket: int, found: Words) -> None:
    """Add a bucket's events and values to `found` (n, 2) of the units whose `wanted` (n, 2) range contains it."""
    for i in range(units.shape[0]):
        if wanted[i, 0] <= bucket < wanted[i, 1]:
            p = _slot(table, units[i])
            if table[p, EVENTS] != 0:
                found[i, 0] += table[p, EVENTS]
                found[i, 1] += table[p, VALUES]


class Past:
    """The past of one fact in buckets of `width` ms, by number: time // width."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.buckets: dict[int, Words] = {}
        self._used: dict[int, int] = {}

    def add(self, units: Words, times: Words, values: Words) -> None:
        """Add events (n,) that are new."""
        buckets = times // self.width
        for bucket in np.unique(buckets).tolist():
            its = buckets == bucket
            self._add(bucket, units[its], np.ones(int(its.sum()), np.int64), values[its])

    def _add(self, bucket: int, units: Words, events: Words, values: Words) -> None:
        table = self.buckets.get(bucket)
        used = self._used.get(bucket, 0) + len(units)
        if table is None or used * 8 > len(table) * 5:
            grown = np.zeros((max(_SMALLEST, 1 << (2 * used - 1).bit_length()), 3), np.int64)
            if table is not None:
                _add(grown, *_columns(table))
            self.buckets[bucket] = table = grown
        self._used[bucket] = self._used.get(bucket, 0) + int(_add(table, units, events, values))

    def look_up(self, units: Words, wanted: Words) -> Words:
        """Events and sum of values (n, 2) of each unit in its range of buckets, `wanted` (n, 2): begin and end."""
        found = np.zeros((len(units), 2), np.int64)
        for bucket, table in self.buckets.items():
            _look_up(table, units, wanted, bucket, found)
        return found

    def expire(self, bound: int) -> None:
        """Drop what no entry at or after `bound` (ms UTC) looks back to."""
        first = bound // self.width - BUCKETS
        for bucket in [bucket for bucket in self.buckets if bucket < first]:
            del self.buckets[bucket], self._used[bucket]

    def arrays(self) -> Iterator[tuple[int, Words]]:
        """Each bucket's slots that are in use, (n, 3), in the order of their units."""
        for bucket, table in sorted(self.buckets.items()):
            used = table[table[:, EVENTS] != 0]
            yield bucket, used[np.argsort(used[:, UNIT])]

    @classmethod
    def load(cls, width: int, arrays: Mapping[int, Words]) -> "Past":
        """The past again, from what `arrays()` gave."""
        past = cls(width)
        for bucket, slots in arrays.items():
            past._add(bucket, *_columns(slots))
        return past


def _columns(slots: Words) -> tuple[Words, Words, Words]:
    used = slots[slots[:, EVENTS] != 0]
    units, events, values = (np.ascontiguousarray(used[:, column]) for column in (UNIT, EVENTS, VALUES))
    return units, events, values
