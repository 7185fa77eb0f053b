"""Recent events: those that a later record could still repeat or claim, each kept once, and what was noted of events.

Theory of operation. Events stand in a ring, in the order of arrival, each known by its number (0, 1, 2, …) and found at
`number & (capacity - 1)`. A hash table finds an event by unit, fact, insert id and minute, and another finds a unit's
newest event, from which a link leads to the one before. An event leaves the ring when it and all that arrived before it
are older than the bound that the partition gives. A link to a number before the ring's tail ends a chain.

An event that is told again with another value counts with the larger one, so no order shows.

A note says of an event that it was late, unusable or repeated, or that another one has its insert id within the
minute. It stands in the ring and in its unit's chain like an event, for exposures to claim; the first table doesn't
know it.

Whether an event that is older than the bound still stands in the ring makes no difference: no record that the partition
lets in can repeat or claim it (see partition.py).

Bytes: 40 per event or note in the ring, 8 per slot of the first table, 16 per unit's slot of the second.
"""

from typing import NamedTuple

import numpy as np

from evaluation.columns.arrays import Words
from evaluation.columns.hash_table import is_full, refill, slots_for
from evaluation.metrics.kernels.recent import (
    DISPUTED,
    FACT,
    Memory,
    enter,
    expire,
    insert,
    keep_notes,
    move,
    refill_newest,
    withdraw,
)
from evaluation.metrics.layouts import (
    EVENT,
    MARK,
    NEWEST,
    NOTE,
    RECENT,
    RECENT_STATE,
    Events,
    Marks,
    Newest,
    Notes,
    RecentRing,
    RecentState,
)

_SMALLEST = 64  # events


class RecentChange(NamedTuple):
    """Events that count from now on (`sign` is 1), or don't any more (-1)."""

    events: Events
    sign: int


class RecentEvents:
    """The recent events of one partition. `minute` (ms): two events of one insert id within the same one are told."""

    def __init__(self, minute: int) -> None:
        self.minute = minute
        self.state = RecentState(np.zeros(1, RECENT_STATE))
        self.ring = RecentRing(np.zeros(_SMALLEST, RECENT))
        self.slots = np.zeros(2 * _SMALLEST, np.int64)
        self.newest = Newest(np.zeros(2 * _SMALLEST, NEWEST))

    def __len__(self) -> int:
        return int(self.state[0].head - self.state[0].tail)

    @property
    def memory(self) -> Memory:
        """The tables as they are."""
        return Memory(self.ring, self.slots, self.newest, self.state, self.minute)

    def insert(self, events: Events, n: int, notes: Notes, noted: int, bound: int) -> tuple[list[RecentChange], int]:
        """Insert the first n of `events`, of which the new ones stand first afterwards.

        `notes` (room for 2n more) says of duplicates and reused ids too. Those before `bound` (ms UTC) are not kept: no
        exposure claims them any more.

        Returns: what that changes, and how many notes there are.
        """
        self._reserve(n)
        marks = Marks(np.empty(n, MARK))
        raised, lowered = Events(np.empty(n, EVENT)), Events(np.empty(n, EVENT))
        fresh, noted, larger, _ = insert(self.memory, events, n, marks, notes, noted, raised, lowered)
        if noted:
            self._reserve(noted)
            keep_notes(self.memory, notes, noted, bound)
        changes = [RecentChange(Events(events[:fresh]), 1)] if fresh else []
        if larger:
            changes += [RecentChange(Events(raised[:larger]), 1), RecentChange(Events(lowered[:larger]), -1)]
        return changes, noted

    def withdraw(self, events: Events, what: Words) -> tuple[list[RecentChange], Notes]:
        """Take events back, with what was noted of them; `what` is as `intake.withdrawn` gives it.

        Returns: what that changes, and the notes that are void.
        """
        taken = Events(np.empty(len(events), EVENT))
        notes = Notes(np.empty(len(events) + int(self.state[0].notes), NOTE))
        out, told = withdraw(self.memory, events, what, taken, notes)
        return [RecentChange(Events(taken[:out]), -1)] if out else [], Notes(notes[:told])

    def expire(self, bound: int) -> None:
        """Forget events before `bound` (ms UTC), as far as all that arrived before them are so old too."""
        expire(self.memory, bound)

    def _reserve(self, n: int) -> None:
        """Room for n events more, of n units more."""
        if len(self) + n > len(self.ring):
            ring, slots = self.ring, self.slots
            self._make_ring(len(self) + n)
            move(ring, self.memory)
            refill(slots, self.slots)
        if is_full(len(self.newest), int(self.state[0].units) + n):
            newest = self.newest
            self.newest = Newest(np.zeros(slots_for(min(int(self.state[0].units), len(self)) + n), NEWEST))
            refill_newest(newest, self.memory)

    def _make_ring(self, events: int) -> None:
        """Another ring for so many events, and as many slots as are at most half in use by them."""
        self.ring = RecentRing(np.zeros(max(_SMALLEST, 1 << (events - 1).bit_length()), RECENT))
        self.slots = np.zeros(2 * len(self.ring), np.int64)

    def events(self) -> RecentRing:
        """The events in order of arrival: a copy."""
        numbers = np.arange(self.state[0].tail, self.state[0].head)
        return RecentRing(self.ring[numbers & (len(self.ring) - 1)])

    @classmethod
    def load(cls, minute: int, events: RecentRing) -> "RecentEvents":
        """The recent events again, from what `events()` gave."""
        recent = cls(minute)
        n = len(events)
        recent._make_ring(n + n // 4)
        recent.ring[:n] = events
        recent.ring["link"][:n] &= DISPUTED | FACT
        recent.newest = Newest(np.zeros(slots_for(len(np.unique(events["unit"]))), NEWEST))
        recent.state[0].head = n
        enter(recent.memory)
        return recent
