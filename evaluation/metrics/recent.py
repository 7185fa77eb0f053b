"""Recent: the events that a later record could still repeat or claim, each kept once, and what was noted of events.

Theory of operation. Events stand in a ring, in the order of arrival, each known by its number (0, 1, 2, …) and found at
`number & (capacity - 1)`. A table of open addressing finds an event by (unit, fact, id, minute), and another finds a
unit's newest event, from which a link leads to the one before. An event leaves the ring when it and all that
arrived before it are older than the bound that the partition gives; its entry in the table is deleted by shifting the
following ones back, and a link to a number before the ring's tail ends a chain.

An event that is told again with another value counts with the larger one, so no order shows.

A note says of an event that it was late, unusable or repeated, or that another one has its id within the minute. It
stands in the ring and in its unit's chain like an event, for exposures to claim; the first table doesn't know it.

A slot of the table is 32 bits of fingerprint and the low 32 bits of the event's number. Homes are the fingerprint's top
bits, so a table twice as large is filled by reading the old one from end to end: growth is sequential.

Whether an event that is older than the bound still stands in the ring makes no difference: no record that the partition
lets in can repeat or claim it (see partition.py).

Bytes: 40 per event or note in the ring, 8 per slot of the first table (at most 5/8 full), 16 per unit's slot of the
second.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Words = NDArray[np.int64]

# Columns of an event, in the ring and in a message's rows. In the ring LINK holds the fact in its low 16 bits and above
# them the number of the unit's event before, plus 1; in a message's rows it is the fact.
# In the ring a note's fact has the bit NOTED, and its value is what was noted; of an event another value was told where
# LINK has the bit DISPUTED.
TIME, ID, VALUE, UNIT, LINK = range(5)
FACTS = NOTED = 1 << 15
DISPUTED = np.int64(1 << 62)
BEFORE = 5  # beside the columns of an event that was told again with a larger value: the one that it had

# What `state` holds.
TAIL, HEAD, UNITS, NOTES = range(4)

# Columns of a note beside a message's rows, and what it says. SAME_ID has the time of the later event of the two; once
# of an event it says that it was told with several values.
# TOO_LARGE and TOO_SMALL are unusable where no cap makes a number of the event, which is kept for where one does.
N_FACT, N_TIME, N_WHAT, N_UNIT = range(4)
LATE, UNUSABLE, DUPLICATE, SAME_ID, TOO_LARGE, TOO_SMALL = range(6)

_SMALLEST = 64
_FOUR = np.int64(0xFFFFFFFF)


@njit(cache=True)
def fingerprint(unit: int, fact: int, name: int) -> Any:
    """32 well-mixed bits, never 0; a table's home slot is their top bits. (Multipliers of splitmix64.)"""
    h = (np.uint64(unit) ^ (np.uint64(fact) << np.uint64(48))) * np.uint64(0x9E3779B97F4A7C15)
    h = ((h ^ (h >> np.uint64(30))) + np.uint64(name)) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.int64(h >> np.uint64(32)) | 1


@njit(cache=True)
def _mark(event: Words, minute: int) -> Any:
    """The fingerprint of an event, by its minute too: an id that a unit uses for everything makes no long chain."""
    return fingerprint(event[UNIT], event[LINK] & 0xFFFF, event[ID] ^ (event[TIME] // minute << 20))


@njit(cache=True)
def home_shift(size: int) -> int:
    """From 32 bits of fingerprint to a slot in a table of `size`, a power of two."""
    bits = 0
    while (1 << bits) < size:
        bits += 1
    return 32 - bits


@njit(cache=True)
def newest(units: Words, shift: int, unit: int) -> Any:
    """The number of the unit's newest event, or -1; it may have left the ring. `shift` is that of the table."""
    mask = units.shape[0] - 1
    p = fingerprint(unit, 0, 0) >> shift
    while units[p, 1] != 0:
        if units[p, 0] == unit:
            return units[p, 1] - 1
        p = (p + 1) & mask
    return np.int64(-1)


@njit(cache=True)
def link_of(event: Words) -> Any:
    """The number, plus 1, of the unit's event before one of the ring; 0: there is none."""
    return (event[LINK] & ~DISPUTED) >> 16


@njit(cache=True)
def _link(ring: Words, units: Words, mark: int, shift: int, state: Words, number: int) -> None:  # noqa: PLR0917
    """Put an event of the ring at the head of the chain of its unit, whose fingerprint is `mark`."""
    k = number & (ring.shape[0] - 1)
    unit = ring[k, UNIT]
    mask = units.shape[0] - 1
    p = mark >> shift
    while units[p, 1] != 0 and units[p, 0] != unit:
        p = (p + 1) & mask
    if units[p, 1] == 0:
        units[p, 0] = unit
        state[UNITS] += 1
    ring[k, LINK] = (ring[k, LINK] & (DISPUTED | 0xFFFF)) | (units[p, 1] << 16)
    units[p, 1] = number + 1


@njit(cache=True)
def put_note(notes: Words, i: int, fact: int, time: int, what: int, unit: int) -> None:  # noqa: PLR0917
    """Write the note of number i beside a message's rows."""
    notes[i, N_FACT], notes[i, N_TIME], notes[i, N_WHAT], notes[i, N_UNIT] = fact, time, what, unit


@njit(cache=True)
def _keep_notes(notes: Words, noted: int, ring: Words, units: Words, state: Words, bound: int) -> None:  # noqa: PLR0917
    """Put those of the first `noted` notes into the ring that an exposure could still claim."""
    shift = home_shift(units.shape[0])
    for i in range(noted):
        if notes[i, N_TIME] < bound:
            continue
        number = state[HEAD]
        k = number & (ring.shape[0] - 1)
        ring[k, TIME], ring[k, ID], ring[k, UNIT] = notes[i, N_TIME], 0, notes[i, N_UNIT]
        ring[k, VALUE], ring[k, LINK] = notes[i, N_WHAT], notes[i, N_FACT] | NOTED
        state[HEAD] = number + 1
        state[NOTES] += 1
        _link(ring, units, fingerprint(notes[i, N_UNIT], 0, 0), shift, state, number)


@njit(cache=True)
def _warm(events: Words, n: int, table: Words, units: Words, minute: int, marks: Words) -> Any:  # noqa: PLR0917
    """Fingerprints into `marks` (n, 2); touches every slot that is needed next, so that cache misses overlap."""
    shift = home_shift(table.shape[0])
    unit_shift = home_shift(units.shape[0])
    seen = np.int64(0)
    for i in range(n):
        marks[i, 0] = _mark(events[i], minute)
        marks[i, 1] = fingerprint(events[i, UNIT], 0, 0)
        seen ^= table[marks[i, 0] >> shift]
        seen ^= units[marks[i, 1] >> unit_shift, 1]
    return seen


@njit(cache=True)
def _insert(  # noqa: PLR0917
    events: Words,
    n: int,
    ring: Words,
    table: Words,
    units: Words,
    state: Words,
    minute: int,
    marks: Words,
    notes: Words,
    noted: int,
    raised: Words,
) -> tuple[int, int, int, int]:
    """Insert the first n rows; keep the new ones, in order, first in `events`.

    Returns: how many are new, how many notes there are, how many events were `raised`.
    """
    seen = _warm(events, n, table, units, minute, marks)
    ring_mask = ring.shape[0] - 1
    mask = table.shape[0] - 1
    shift = home_shift(table.shape[0])
    unit_shift = home_shift(units.shape[0])
    fresh = larger = 0
    for i in range(n):
        time, name, unit, fact = events[i, TIME], events[i, ID], events[i, UNIT], events[i, LINK]
        mark = marks[i, 0]
        p = mark >> shift
        repeated = reused = False
        first = time  # of the others in the minute
        while table[p] != 0:
            if (table[p] >> 32) & _FOUR == mark:
                k = table[p] & ring_mask
                if ring[k, UNIT] == unit and ring[k, ID] == name and (ring[k, LINK] & 0xFFFF) == fact:
                    other = ring[k, TIME]
                    if other == time:
                        repeated = True
                        break
                    if other // minute == time // minute:
                        first = min(first, other) if reused else other
                        reused = True
            p = (p + 1) & mask
        if repeated:
            put_note(notes, noted, fact, time, DUPLICATE, unit)
            noted += 1
            value, before = events[i, VALUE], ring[k, VALUE]
            if value != before and ring[k, LINK] & DISPUTED == 0:
                ring[k, LINK] |= DISPUTED
                put_note(notes, noted, fact, time, SAME_ID, unit)
                noted += 1
            if value > before:  # of several values the largest counts, whatever their order
                ring[k, VALUE] = value
                raised[larger, :5], raised[larger, BEFORE] = events[i], before
                larger += 1
            continue
        number = state[HEAD]
        k = number & ring_mask
        table[p] = (mark << 32) | (number & _FOUR)
        ring[k, TIME], ring[k, ID], ring[k, UNIT], ring[k, LINK] = time, name, unit, fact
        ring[k, VALUE] = events[i, VALUE]
        state[HEAD] = number + 1
        _link(ring, units, marks[i, 1], unit_shift, state, number)
        if reused:
            put_note(notes, noted, fact, max(time, first), SAME_ID, unit)
            noted += 1
        if fresh < i:
            for column in range(5):
                events[fresh, column] = events[i, column]
        fresh += 1
    return fresh, noted, larger, seen


@njit(cache=True)
def _expire(ring: Words, table: Words, state: Words, minute: int, bound: int) -> Any:
    ring_mask = ring.shape[0] - 1
    mask = table.shape[0] - 1
    shift = home_shift(table.shape[0])
    seen = np.int64(0)
    tail = state[TAIL]
    while tail < state[HEAD] and ring[tail & ring_mask, TIME] < bound:  # touch the slots first, as `_warm` does
        seen ^= table[_mark(ring[tail & ring_mask], minute) >> shift]
        tail += 1
    for number in range(state[TAIL], tail):
        if ring[number & ring_mask, LINK] & NOTED:
            state[NOTES] -= 1
            continue
        hole = _mark(ring[number & ring_mask], minute) >> shift
        while table[hole] & _FOUR != number & _FOUR:
            hole = (hole + 1) & mask
        p = hole
        while True:  # Knuth 6.4, algorithm R: an entry moves into the hole unless its home lies after it
            p = (p + 1) & mask
            if table[p] == 0:
                break
            home = ((table[p] >> 32) & _FOUR) >> shift
            if ((p - home) & mask) >= ((p - hole) & mask):
                table[hole] = table[p]
                hole = p
        table[hole] = 0
    state[TAIL] = tail
    return seen


@njit(cache=True)
def _fill(ring: Words, table: Words, units: Words, state: Words, minute: int) -> None:
    """Enter every event of the ring into the empty tables."""
    mask = table.shape[0] - 1
    shift = home_shift(table.shape[0])
    unit_shift = home_shift(units.shape[0])
    for number in range(state[TAIL], state[HEAD]):
        k = number & (ring.shape[0] - 1)
        if ring[k, LINK] & NOTED:
            state[NOTES] += 1
        else:
            mark = _mark(ring[k], minute)
            p = mark >> shift
            while table[p] != 0:
                p = (p + 1) & mask
            table[p] = (mark << 32) | (number & _FOUR)
        _link(ring, units, fingerprint(ring[k, UNIT], 0, 0), unit_shift, state, number)


@njit(cache=True)
def _move(before: Words, ring: Words, state: Words) -> None:
    """Move the events of one ring into an empty larger one."""
    for number in range(state[TAIL], state[HEAD]):
        for column in range(5):
            ring[number & (ring.shape[0] - 1), column] = before[number & (before.shape[0] - 1), column]


@njit(cache=True)
def refill(before: Words, table: Words) -> None:
    """Move the slots of one table, fingerprints and all, into an empty larger one."""
    mask = table.shape[0] - 1
    shift = home_shift(table.shape[0])
    for k in range(before.shape[0]):
        if before[k] != 0:
            p = ((before[k] >> 32) & _FOUR) >> shift
            while table[p] != 0:
                p = (p + 1) & mask
            table[p] = before[k]


@njit(cache=True)
def _refill_units(before: Words, units: Words, state: Words) -> None:
    """Move the units that have an event in the ring into another, empty table."""
    state[UNITS] = 0
    mask = units.shape[0] - 1
    shift = home_shift(units.shape[0])
    for k in range(before.shape[0]):
        if before[k, 1] > state[TAIL]:
            p = fingerprint(before[k, 0], 0, 0) >> shift
            while units[p, 1] != 0:
                p = (p + 1) & mask
            units[p, 0], units[p, 1] = before[k, 0], before[k, 1]
            state[UNITS] += 1


def _power_of_two(n: int) -> int:
    return max(_SMALLEST, 1 << (n - 1).bit_length())


class Change(NamedTuple):
    """Events (n, 5) that count from now on (`sign` is 1), or don't any more (-1)."""

    events: Words
    sign: int


class Recent:
    """The recent events of one partition. `minute` (ms): two events of one id within the same one are told."""

    def __init__(self, minute: int) -> None:
        self.minute = minute
        self.state = np.zeros(4, np.int64)
        self.ring = np.zeros((_SMALLEST, 5), np.int64)
        self.table = np.zeros(2 * _SMALLEST, np.int64)
        self.units = np.zeros((2 * _SMALLEST, 2), np.int64)

    def __len__(self) -> int:
        return int(self.state[HEAD] - self.state[TAIL])

    def insert(self, events: Words, n: int, notes: Words, noted: int, bound: int) -> tuple[list[Change], int]:
        """Insert the first n of `events` (m, 5), of which the new ones stand first afterwards.

        `notes` (4 columns, room for 2n more) says of duplicates and reused ids too. Those before `bound` (ms UTC) are
        not kept: no exposure claims them any more.

        Returns: what that changes, and how many notes there are.
        """
        self._reserve(n)
        state, ring = self.state, self.ring
        marks = np.empty((n, 2), np.int64)
        raised = np.empty((n, 6), np.int64)
        fresh, noted, larger, _ = _insert(
            events, n, ring, self.table, self.units, state, self.minute, marks, notes, noted, raised
        )
        if noted:
            self._reserve(noted)
            _keep_notes(notes, noted, self.ring, self.units, state, bound)
        changes = [Change(events[:fresh], 1)] if fresh else []
        if larger:
            now, before = raised[:larger, :5].copy(), raised[:larger, :5].copy()
            before[:, VALUE] = raised[:larger, BEFORE]
            changes += [Change(now, 1), Change(before, -1)]
        return changes, noted

    def expire(self, bound: int) -> None:
        """Forget events before `bound` (ms UTC), as far as all that arrived before them are so old too."""
        _expire(self.ring, self.table, self.state, self.minute, bound)

    def _reserve(self, n: int) -> None:
        """Room for n events more, of n units more."""
        if len(self) + n > len(self.ring):
            ring = np.zeros((_power_of_two(len(self) + n), 5), np.int64)
            _move(self.ring, ring, self.state)
            table = np.zeros(2 * len(ring), np.int64)
            refill(self.table, table)
            self.ring, self.table = ring, table
        if (self.state[UNITS] + n) * 8 > len(self.units) * 5:
            units = np.zeros((_power_of_two(2 * (min(int(self.state[UNITS]), len(self)) + n)), 2), np.int64)
            _refill_units(self.units, units, self.state)
            self.units = units

    def events(self) -> Words:
        """The events in order of arrival, (n, 5): a copy."""
        begin, end = self.state[TAIL] & (len(self.ring) - 1), self.state[HEAD] & (len(self.ring) - 1)
        if begin < end or not len(self):
            return self.ring[begin:end].copy()
        return np.concatenate((self.ring[begin:], self.ring[:end]))

    @classmethod
    def load(cls, minute: int, events: Words) -> "Recent":
        """The recent events again, from what `events()` gave."""
        recent = cls(minute)
        n = len(events)
        recent.ring = np.zeros((_power_of_two(n + n // 4), 5), np.int64)
        recent.ring[:n] = events
        recent.ring[:n, LINK] &= DISPUTED | NOTED | (FACTS - 1)
        recent.table = np.zeros(2 * len(recent.ring), np.int64)
        recent.units = np.zeros((_power_of_two(2 * len(np.unique(events[:, UNIT]))), 2), np.int64)
        recent.state[HEAD] = n
        _fill(recent.ring, recent.table, recent.units, recent.state, minute)
        return recent
