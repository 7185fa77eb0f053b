"""Lookback: what every unit, exposed or not, did of one fact before it may enter a run, in buckets of time.

A hash table of keyed slots (see hash_table.py). The key is the number of the bucket << 1; `word` holds it above how
many events there are, `values` is the sum of theirs. A sum that passes 2^63 has another slot, of the key + 1, whose
`values` say how often it did. The table is built anew without the buckets that no entry which is still to come can look
back to, whenever there is one more of them. Which events are in a bucket depends on nothing but the events, so any
order gives the same. Values beyond all limits are in none.

Bytes: 24 per slot, at most 5/8 of them in use: 38 to 77 for each unit and bucket in which it was active.
"""

from collections.abc import Iterable, Iterator

import numpy as np
from numba import njit

from evaluation.columns.arrays import Words
from evaluation.columns.hash_table import fingerprint, is_full, place, slots_for
from evaluation.metrics.layouts import BUCKET, Buckets, Events
from evaluation.metrics.measures import BUCKETS
from evaluation.metrics.sums import LIMIT, wrapped

_KEY = 31  # the bit of a word where the key begins


@njit(cache=True)
def _place(table: Buckets, unit: int, key: int) -> int:
    """The slot of the unit and key, or the free one that it would take."""
    return place(table, fingerprint(unit, 0, key), unit, key, _KEY)


@njit(cache=True)
def _take(table: Buckets, unit: int, key: int) -> tuple[int, int]:
    """The slot of the unit and key, and whether it was taken just now."""
    p = _place(table, unit, key)
    if table[p].word != 0:
        return p, 0
    table[p].unit, table[p].word = unit, key << _KEY
    return p, 1


@njit(cache=True)
def _add(table: Buckets, events: Events, fact: int, width: int, sign: int) -> tuple[int, int]:
    """Add the events of a fact; how many slots that took, and how many of them for passes."""
    taken = passes = 0
    for i in range(events.shape[0]):
        event = events[i]
        value = sign * event.value
        if event.fact != fact or abs(value) >= LIMIT:
            continue
        key = event.time // width << 1
        p, is_new = _take(table, event.unit, key)
        taken += is_new
        table[p].word += sign
        table[p].values, passed = wrapped(table[p].values, value)
        if passed != 0:
            p, is_new = _take(table, event.unit, key | 1)
            taken, passes = taken + is_new, passes + is_new
            table[p].values += passed
    return taken, passes


@njit(cache=True)
def _move(before: Buckets, table: Buckets, first: int) -> int:
    """Move what is in buckets from `first` on into an empty table; how many slots that took."""
    taken = 0
    for k in range(before.shape[0]):
        key = before[k].word >> _KEY
        if before[k].word != 0 and key >> 1 >= first:
            table[_place(table, before[k].unit, key)] = before[k]
            taken += 1
    return taken


@njit(cache=True)
def _look_up(table: Buckets, has_passes: bool, units: Words, wanted: Words, found: Words) -> None:
    """Events, values and passes of each unit in its range of buckets, `wanted` (n, 2), into `found` (n, 3)."""
    for i in range(units.shape[0]):
        for bucket in range(wanted[i, 0], wanted[i, 1]):
            slot = table[_place(table, units[i], bucket << 1)]
            found[i, 0] += slot.word & ((1 << _KEY) - 1)
            found[i, 1], passed = wrapped(found[i, 1], slot.values)
            found[i, 2] += passed
            if has_passes:
                found[i, 2] += table[_place(table, units[i], bucket << 1 | 1)].values


class Lookback:
    """The past of one fact in buckets of `width` ms, by number: time // width."""

    def __init__(self, width: int) -> None:
        self.width = width
        self._first = 0
        self._used = 0
        self._has_passes = False
        self._table = Buckets(np.zeros(slots_for(0), BUCKET))

    def add(self, events: Events, fact: int, sign: int) -> None:
        """Add the fact's events among these, or take them back (`sign` is -1)."""
        self._reserve(2 * int((events["fact"] == fact).sum()))
        taken, passes = _add(self._table, events, fact, self.width, sign)
        self._used += int(taken)
        self._has_passes |= passes > 0

    def _reserve(self, n: int) -> None:
        """Room for n slots more."""
        if is_full(len(self._table), self._used + n):
            self._build(self._used + n)

    def _build(self, slots: int) -> None:
        """Another table, with room for so many slots."""
        before, self._table = self._table, Buckets(np.zeros(slots_for(slots), BUCKET))
        self._used = int(_move(before, self._table, self._first))

    def look_up(self, units: Words, wanted: Words, found: Words) -> None:
        """Add what there is of each unit in its range of buckets to what is `found`: see `Lookbacks.look_up`."""
        _look_up(self._table, self._has_passes, units, wanted, found)

    def expire(self, bound: int) -> None:
        """Drop what no entry at or after `bound` (ms UTC) looks back to."""
        first = bound // self.width - BUCKETS
        if first > self._first:
            self._first = first
            self._build(int(np.count_nonzero(self._table["word"] >> _KEY >> 1 >= first)))

    def slots(self) -> Buckets:
        """The slots that are in use, by unit and bucket."""
        used = self._table[self._table["word"] != 0]
        return Buckets(used[np.lexsort((used["word"], used["unit"]))])

    @classmethod
    def load(cls, width: int, slots: Buckets) -> "Lookback":
        """The past again, from what `slots()` gave."""
        lookback = cls(width)
        lookback._table = Buckets(slots.copy())
        lookback._build(len(slots))
        lookback._has_passes = bool((slots["word"] >> _KEY & 1).any())
        return lookback


class Lookbacks:
    """The past of every fact of a metric with a lookback, by fact and width of a bucket."""

    def __init__(self) -> None:
        self._all: dict[tuple[int, int], Lookback] = {}

    def __iter__(self) -> Iterator[Lookback]:
        return iter(self._all.values())

    def look_up(self, facts: Iterable[int], width: int, units: Words, wanted: Words) -> Words:
        """Of these facts together, and each unit in its range of buckets, `wanted` (n, 2).

        Events, sum of values and its passes (n, 3).
        """
        found = np.zeros((len(units), 3), np.int64)
        for fact in facts:
            self._all[fact, width].look_up(units, wanted, found)
        return found

    def keep(self, names: Iterable[tuple[int, int]]) -> None:
        """Keep the past of these facts in buckets of such widths, and of no others."""
        self._all = {name: self._all.get(name) or Lookback(name[1]) for name in sorted(names)}

    def add(self, events: Events, sign: int) -> None:
        """Add events, or take them back (`sign` is -1)."""
        for (fact, _), lookback in self._all.items():
            lookback.add(events, fact, sign)

    def expire(self, bound: int) -> None:
        """Drop what no entry at or after `bound` (ms UTC) looks back to."""
        for lookback in self:
            lookback.expire(bound)

    def slots(self) -> dict[tuple[int, int], Buckets]:
        """The slots of each that are in use."""
        return {name: lookback.slots() for name, lookback in self._all.items()}

    def load(self, fact: int, width: int, slots: Buckets) -> None:
        """One of them again."""
        self._all[fact, width] = Lookback.load(width, slots)
