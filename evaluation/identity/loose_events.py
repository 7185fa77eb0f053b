"""Loose events: those that name a person and no unit, as long as a join that is still to come may say whose they are.

They stand in a ring in the order of arrival, as recent events do (see recent_events.py), and a table finds a key's
newest one, from which a link leads to the one before. Repeats are kept too: aggregation recognises them.

Bytes: 48 per event in the ring, 16 per slot of the table.
"""

from typing import Any

import numpy as np
from numba import njit

from evaluation.columns.arrays import Words
from evaluation.columns.hash_table import fingerprint, is_full, place, slots_for
from evaluation.identity.first_joins import JoinChange
from evaluation.metrics.layouts import NEWEST, Newest, Table, words_of

LOOSE = np.dtype(
    (
        np.record,
        [
            ("key", np.int64),
            ("time", np.int64),
            ("id", np.int64),
            ("value", np.int64),
            ("what", np.int64),  # its fact above the 8 bits of its kind
            ("link", np.int64),  # the number of the key's event before, plus 1
        ],
    )
)
KIND_BITS = 8

_SMALLEST = 64  # events
_NO_KEY, _WHOLE_WORD = 0, 63  # a slot has no key beside the identity's


class LooseEvents:
    """The ring, and who sent what. `head` and `tail` are numbers of events."""

    def __init__(self) -> None:
        self.head = self.tail = 0
        self._keys = 0  # slots in use
        self._ring = np.zeros(_SMALLEST, LOOSE)
        self._newest = Newest(np.zeros(2 * _SMALLEST, NEWEST))

    def __len__(self) -> int:
        return self.head - self.tail

    def keep(self, events: Table) -> None:
        """Keep these events."""
        self._reserve(len(events))
        self._keys += int(_keep(self._ring, self._newest, self.head, events))
        self.head += len(events)

    def changed(self, change: JoinChange, horizon: int) -> tuple[Table, Words, Table, Words]:
        """What another first join makes of them: events and the units that they are taken from, or given to."""
        sizes = np.zeros(2, np.int64)
        nothing = np.zeros(0, LOOSE), np.zeros(0, np.int64)
        tables = self._ring, self._newest, self.tail, change, horizon
        _changed(*tables, *nothing, *nothing, sizes, False)
        taken, given = (np.zeros(size, LOOSE) for size in sizes.tolist())
        of_taken, of_given = (np.zeros(size, np.int64) for size in sizes.tolist())
        sizes[:] = 0
        _changed(*tables, taken, of_taken, given, of_given, sizes, True)
        return taken, of_taken, given, of_given

    def expire(self, bound: int) -> Table:
        """Forget events before `bound` (ms UTC), as far as all that arrived before them are so old too: a copy."""
        tail = int(_expired(self._ring, self.tail, self.head, bound))
        expired = self._events(self.tail, tail)
        self.tail = tail
        return expired

    def _events(self, begin: int, end: int) -> Table:
        return self._ring[np.arange(begin, end) & (len(self._ring) - 1)]

    def _reserve(self, n: int) -> None:
        if len(self) + n > len(self._ring):
            events = self._events(self.tail, self.head)
            ring = np.zeros(1 << (len(self) + n - 1).bit_length(), LOOSE)
            ring[np.arange(self.tail, self.head) & (len(ring) - 1)] = events
            self._ring = ring
        if is_full(len(self._newest), self._keys + n):
            before = Newest(self._newest[self._newest["word"] > self.tail])
            self._newest = Newest(np.zeros(slots_for(len(before) + n), NEWEST))
            _refill(before, self._newest)
            self._keys = len(before)

    def words(self) -> Words:
        """The events of a checkpoint."""
        return words_of(self._events(self.tail, self.head))

    @classmethod
    def load(cls, words: Words) -> "LooseEvents":
        """The events again, from what `words()` gave."""
        loose = cls()
        loose.keep(words.view(LOOSE))
        return loose


@njit(cache=True)
def _slot(newest: Newest, key: int) -> Any:
    return place(newest, fingerprint(key, 0, 0), key, _NO_KEY, _WHOLE_WORD)


@njit(cache=True)
def _keep(ring: Table, newest: Newest, head: int, events: Table) -> Any:
    """How many keys are new to the table."""
    new = 0
    for i in range(events.shape[0]):
        its = ring[(head + i) & (ring.shape[0] - 1)]
        its.key, its.time, its.id = events[i].key, events[i].time, events[i].id
        its.value, its.what = events[i].value, events[i].what
        slot = newest[_slot(newest, its.key)]
        new += slot.word == 0
        its.link = slot.word
        slot.unit, slot.word = its.key, head + i + 1
    return new


@njit(cache=True)
def _refill(before: Newest, newest: Newest) -> None:
    for k in range(before.shape[0]):
        newest[_slot(newest, before[k].unit)] = before[k]


@njit(cache=True)
def _expired(ring: Table, tail: int, head: int, bound: int) -> Any:
    """Where the tail is then."""
    while tail < head and ring[tail & (ring.shape[0] - 1)].time < bound:
        tail += 1
    return tail


@njit(cache=True)
def _changed(  # noqa: PLR0917
    ring: Table,
    newest: Newest,
    tail: int,
    change: JoinChange,
    horizon: int,
    taken: Table,
    of_taken: Words,
    given: Table,
    of_given: Words,
    sizes: Words,
    writes: bool,
) -> None:
    """Count the events that are taken and given, and write them where there is room for them."""
    mask = ring.shape[0] - 1
    for i in range(change.keys.shape[0]):
        number = newest[_slot(newest, change.keys[i])].word - 1
        former, unit = change.former_units[i], change.units[i]
        while number >= tail:
            its = ring[number & mask]
            reached = its.time + horizon
            had, has = change.former_times[i] <= reached, change.times[i] <= reached
            if had and former != unit:
                if writes:
                    taken[sizes[0]] = its
                    of_taken[sizes[0]] = former
                sizes[0] += 1
            if has and not (had and former == unit):
                if writes:
                    given[sizes[1]] = its
                    of_given[sizes[1]] = unit
                sizes[1] += 1
            number = its.link - 1
