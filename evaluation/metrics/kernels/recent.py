"""Recent: the kernels of the recent events of a partition; see recent_events.py."""

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from evaluation.columns.arrays import Words
from evaluation.columns.hash_table import add, fill, fingerprint, first, following, home, number_of, place, remove
from evaluation.metrics.kernels import notes as noted
from evaluation.metrics.layouts import Events, Marks, Newest, Notes, RecentRing, RecentState

# In the low bits of a link stands the fact, with the bit NOTED that of a note. The bit DISPUTED says that another value
# was told of the event. DEAD stands for an event or a note that was taken back: a note of a fact that nobody has.
NOTED = 1 << 15
FACT = 2 * NOTED - 1
FACTS = NOTED - 1
DEAD = NOTED | FACTS
DISPUTED = np.int64(1 << 62)

_FACT_BITS = 16
_NEVER = np.int64(1 << 62)
_NO_KEY, _WHOLE_WORD = 0, 63  # a unit's slot in `newest` has no key beside the unit


class Memory(NamedTuple):
    """The tables of the recent events."""

    ring: RecentRing
    slots: Words  # by unit, fact, insert id and minute
    newest: Newest
    state: RecentState  # (1,)
    minute: int  # ms


@njit(cache=True)
def link_of(link: int) -> Any:
    """The number, plus 1, of the unit's event before one of the ring; 0: there is none."""
    return (link & ~DISPUTED) >> _FACT_BITS


@njit(cache=True)
def _mark(unit: int, fact: int, insert_id: int, time: int, minute: int) -> Any:
    """The fingerprint of an event, by its minute too: an id that a unit uses for everything makes no long chain."""
    return fingerprint(unit, fact, insert_id ^ (time // minute << 20))


@njit(cache=True)
def _mark_of(event: Any, minute: int) -> Any:
    """The fingerprint of an event of the ring."""
    return _mark(event.unit, event.link & FACT, event.insert_id, event.time, minute)


@njit(cache=True)
def places_of(memory: Memory, unit: int) -> Words:
    """Where the unit's recent events stand, in the order of arrival."""
    slot = memory.newest[place(memory.newest, fingerprint(unit, 0, 0), unit, _NO_KEY, _WHOLE_WORD)]
    mask, tail = memory.ring.shape[0] - 1, memory.state[0].tail
    n = 0
    number = slot.word - 1
    while number >= tail:
        n += 1
        number = link_of(memory.ring[number & mask].link) - 1
    places = np.empty(n, np.int64)
    number = slot.word - 1
    for i in range(n - 1, -1, -1):
        places[i] = number & mask
        number = link_of(memory.ring[places[i]].link) - 1
    return places


@njit(cache=True)
def _link(ring: RecentRing, newest: Newest, state: Any, number: int, mark: int) -> None:
    """Put an event of the ring at the head of the chain of its unit, whose fingerprint is `mark`."""
    event = ring[number & (ring.shape[0] - 1)]
    slot = newest[place(newest, mark, event.unit, _NO_KEY, _WHOLE_WORD)]
    if slot.word == 0:
        slot.unit = event.unit
        state.units += 1
    event.link = (event.link & (DISPUTED | FACT)) | (slot.word << _FACT_BITS)
    slot.word = number + 1


@njit(cache=True)
def keep_notes(memory: Memory, notes: Notes, n: int, bound: int) -> None:
    """Put those of the first n notes into the ring that an exposure could still claim."""
    ring, newest, state = memory.ring, memory.newest, memory.state[0]
    for i in range(n):
        note = notes[i]
        if note.time < bound:
            continue
        number = state.head
        event = ring[number & (ring.shape[0] - 1)]
        event.time, event.insert_id, event.unit = note.time, note.insert_id, note.unit
        event.value, event.link = note.what, note.fact | NOTED
        state.head = number + 1
        state.notes += 1
        _link(ring, newest, state, number, fingerprint(note.unit, 0, 0))


@njit(cache=True)
def _warm(memory: Memory, events: Events, n: int, marks: Marks) -> Any:
    """Fingerprints into `marks`; touches every slot that is needed next, so that cache misses overlap."""
    slots, newest, minute = memory.slots, memory.newest, memory.minute
    seen = np.int64(0)
    for i in range(n):
        event = events[i]
        marks[i].event = _mark(event.unit, event.fact, event.insert_id, event.time, minute)
        marks[i].unit = fingerprint(event.unit, 0, 0)
        seen ^= slots[home(marks[i].event, slots.shape[0])]
        seen ^= newest[home(marks[i].unit, newest.shape[0])].word
    return seen


@njit(cache=True)
def _find(ring: RecentRing, slots: Words, minute: int, event: Any, mark: int) -> tuple[Any, Any, Any]:
    """Where an event stands.

    Returns: its place in the ring, or -1; its slot, or the free one that it would take; the smallest time of those
    others in its minute that have its insert id, or `_NEVER`.
    """
    others = _NEVER
    p = first(slots, mark)
    while slots[p] != 0:
        k = number_of(slots[p]) & (ring.shape[0] - 1)
        its = ring[k]
        if its.unit == event.unit and its.insert_id == event.insert_id and its.link & FACT == event.fact:
            if its.time == event.time:
                return k, p, others
            if its.time // minute == event.time // minute:
                others = min(others, its.time)
        p = following(slots, mark, p)
    return np.int64(-1), p, others


@njit(cache=True)
def insert(  # noqa: PLR0917
    memory: Memory, events: Events, n: int, marks: Marks, notes: Notes, note_count: int, raised: Events, lowered: Events
) -> tuple[int, int, int, Any]:
    """Insert the first n events, and note what is strange about them.

    1. An event that is there already is a duplicate.
    2. If it is told with another value, that is noted, once of an event.
    3. Of several values the largest counts, whatever their order: the event is `raised` to it, and `lowered` says what
       it had.
    4. A new one enters the ring, its unit's chain and the slots. The new ones stand first in `events` afterwards, in
       order.
    5. If others of its minute have its insert id, that is noted, at the time of the later one of the two.

    Returns: how many are new, how many notes there are, how many were raised; what was touched.
    """
    seen = _warm(memory, events, n, marks)
    ring, slots, newest, state, minute = memory.ring, memory.slots, memory.newest, memory.state[0], memory.minute
    fresh = larger = 0
    for i in range(n):
        event = events[i]
        k, p, others = _find(ring, slots, minute, event, marks[i].event)
        if k >= 0:
            its = ring[k]
            noted.put(notes[note_count], event.fact, event.time, noted.DUPLICATE, event.unit, event.insert_id)  # rule 1
            note_count += 1
            if event.value != its.value and its.link & DISPUTED == 0:  # rule 2
                its.link |= DISPUTED
                noted.put(notes[note_count], event.fact, event.time, noted.SAME_ID, event.unit, event.insert_id)
                note_count += 1
            if event.value > its.value:  # rule 3
                raised[larger] = events[i]
                lowered[larger] = events[i]
                lowered[larger].value = its.value
                its.value = event.value
                larger += 1
            continue
        number = state.head  # rule 4
        its = ring[number & (ring.shape[0] - 1)]
        its.time, its.insert_id, its.value = event.time, event.insert_id, event.value
        its.unit, its.link = event.unit, event.fact
        state.head = number + 1
        fill(slots, p, marks[i].event, number)
        _link(ring, newest, state, number, marks[i].unit)
        if others != _NEVER:  # rule 5
            later = max(event.time, others)
            noted.put(notes[note_count], event.fact, later, noted.SAME_ID, event.unit, event.insert_id)
            note_count += 1
        if fresh < i:
            events[fresh] = events[i]
        fresh += 1
    return fresh, note_count, larger, seen


@njit(cache=True)
def _kill(its: Any, state: Any) -> None:
    """Leave an event or a note of the ring without effect; it stays in its unit's chain."""
    state.notes += its.link & NOTED == 0
    its.link |= DEAD


@njit(cache=True)
def _among(events: Events, begin: int, end: int, its: Any) -> Any:
    """Whether a note is of one of these events of its unit, which stand by time, insert id and fact."""
    fact = its.link & FACT & ~NOTED
    low, high = begin, end
    while low < high:
        middle = (low + high) >> 1
        event = events[middle]
        if event.time != its.time:
            is_before = event.time < its.time
        elif event.insert_id != its.insert_id:
            is_before = event.insert_id < its.insert_id
        else:
            is_before = event.fact < fact
        if is_before:
            low = middle + 1
        else:
            high = middle
    event = events[min(low, end - 1)]
    return event.time == its.time and event.insert_id == its.insert_id and event.fact == fact


@njit(cache=True)
def withdraw(memory: Memory, events: Events, what: Words, taken: Events, notes: Notes) -> tuple[int, int]:
    """Take events back, with all that was noted of them. They stand by unit, time, insert id and fact.

    1. One that counted leaves the slots: it is `taken`, with the value that it counted with.
    2. Of one that was late or unusable (`what` says so) the note is taken back, whether it is still kept or not.
    3. Notes of repeats and the like are kept as long as the event, and taken back with it.

    Returns: how many are taken, and how many notes there are.
    """
    ring, slots, state, minute = memory.ring, memory.slots, memory.state[0], memory.minute
    out = told = begin = 0
    for i in range(events.shape[0]):
        event = events[i]
        if what[i] >= 0:  # rule 2
            noted.put(notes[told], event.fact, event.time, what[i], event.unit, event.insert_id)
            told += 1
        else:
            mark = _mark(event.unit, event.fact, event.insert_id, event.time, minute)
            k, p, _ = _find(ring, slots, minute, event, mark)
            if k >= 0:  # rule 1
                taken[out] = events[i]
                taken[out].value = ring[k].value
                out += 1
                remove(slots, mark, number_of(slots[p]))
                _kill(ring[k], state)
        if i + 1 < events.shape[0] and events[i + 1].unit == event.unit:
            continue
        if state.notes > 0:
            for k in places_of(memory, event.unit):
                its = ring[k]
                if its.link & NOTED and its.link & FACT != DEAD and _among(events, begin, i + 1, its):
                    if its.value not in (noted.LATE_EVENT, noted.UNUSABLE):  # rule 3
                        fact = its.link & FACT & ~NOTED
                        noted.put(notes[told], fact, its.time, its.value, its.unit, its.insert_id)
                        told += 1
                    _kill(its, state)
        begin = i + 1
    return out, told


@njit(cache=True)
def expire(memory: Memory, bound: int) -> Any:
    """Forget events before `bound`, as far as all that arrived before them are so old too."""
    ring, slots, state, minute = memory.ring, memory.slots, memory.state[0], memory.minute
    mask = ring.shape[0] - 1
    seen = np.int64(0)
    tail = state.tail
    while tail < state.head and ring[tail & mask].time < bound:  # touch the slots first, as `_warm` does
        seen ^= slots[home(_mark_of(ring[tail & mask], minute), slots.shape[0])]
        tail += 1
    for number in range(state.tail, tail):
        if ring[number & mask].link & NOTED:
            state.notes -= 1
        else:
            remove(slots, _mark_of(ring[number & mask], minute), number)
    state.tail = tail
    return seen


@njit(cache=True)
def enter(memory: Memory) -> None:
    """Enter every event of the ring into the empty tables."""
    ring, newest, state = memory.ring, memory.newest, memory.state[0]
    for number in range(state.tail, state.head):
        event = ring[number & (ring.shape[0] - 1)]
        if event.link & NOTED:
            state.notes += 1
        else:
            add(memory.slots, _mark_of(event, memory.minute), number)
        _link(ring, newest, state, number, fingerprint(event.unit, 0, 0))


@njit(cache=True)
def move(before: RecentRing, memory: Memory) -> None:
    """Move the events of a ring into the memory's empty larger one."""
    for number in range(memory.state[0].tail, memory.state[0].head):
        memory.ring[number & (memory.ring.shape[0] - 1)] = before[number & (before.shape[0] - 1)]


@njit(cache=True)
def refill_newest(before: Newest, memory: Memory) -> None:
    """Move the units that have an event in the ring into the memory's other, empty table."""
    state = memory.state[0]
    state.units = 0
    for k in range(before.shape[0]):
        if before[k].word > state.tail:
            unit = before[k].unit
            memory.newest[place(memory.newest, fingerprint(unit, 0, 0), unit, _NO_KEY, _WHOLE_WORD)] = before[k]
            state.units += 1
