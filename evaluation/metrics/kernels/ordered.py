"""Ordered: totals that depend on the order of a unit's events in time, whatever order they arrive in.

Theory of operation. A funnel and a retention are automata that read a unit's events by ascending time; nobody knows
how those of one time stand, so they are given the order that takes the automaton furthest. Events of one time and
insert id are one event, which may be one of several steps. What is before the watermark less the horizon is complete,
so the automaton's state after it is all that it leaves behind: FRONT. The events since then are pending: a list of each
total, newest first, and REACHED is the state after them. An event that alone comes last in time moves REACHED on; any
other finds its place in the list, by time and insert id, and the list is run through again. A total that was counted
anew (its entry moved back) lies behind no front: an entry that moves is not before the watermark less the horizon, and
neither is any event after it.

The pending events of a run stand in one ring in the order of arrival, each known by its number. When the oldest one is
older than the bound, its list is folded into the front as far as it is so old; folded events are dead (no steps), and
leave the ring when all before them have.

Of each hour (UTC) the first `MOST_EVENTS` by time and insert id are read, so that a unit like `anonymous` costs no more
than others: that is a function of the set of events too, and so is whether there were more, which the total's first
word says. Each has a rank in its hour, which grows as earlier ones arrive; what leaves is behind those that stay, and
comes back as an entry moves, with which all is counted anew, or as one before it is taken back: then the next one of
the hour is read, though it stays told that there were more. The end of a list says which hour was folded last, and how
far: -(hour << 10 | rank), or 0.

States. Funnel: completed sequences << 8 | steps of the next one. After the last step the first one comes again, so
sequences don't overlap. Retention: (time of the start + 1) << 1 | has returned.
"""

from typing import Any

import numpy as np
from numba import njit

from evaluation.columns.arrays import Words
from evaluation.metrics.layouts import PENDING_EVENT, PendingEvents, Ring, Variables
from evaluation.metrics.measures import EVENT_BITS, EVENTS, FRONT, HOUR, MOST_EVENTS, NEWEST, REACHED, RETENTION

_CROWDED = np.int64(1 << EVENT_BITS)  # in a total's word of events
_RANK_BITS = 10
_RANKS = (1 << _RANK_BITS) - 1


@njit(cache=True)
def _step(variables: Variables, v: int, state: int, time: int, steps: int) -> Any:
    """The automaton's state after one more event."""
    if variables[v].kind == RETENTION:
        if state == 0:
            return (time + 1) << 1 if steps & 1 else state
        since = time - ((state >> 1) - 1)
        if steps & 2 and variables[v].begins <= since < variables[v].ends:
            return state | 1
        return state
    if (steps >> (state & 0xFF)) & 1 == 0:
        return state
    if (state & 0xFF) + 1 == variables[v].steps:
        return ((state >> 8) + 1) << 8
    return state + 1


@njit(cache=True)
def _together(variables: Variables, v: int, state: int, time: int, steps: Words) -> Any:
    """The automaton's furthest state after events of one time."""
    if variables[v].kind != RETENTION:
        return _furthest(state, steps, variables[v].steps)
    if state != 0:
        for each in steps:
            state = _step(variables, v, state, time, each)
        return state
    starts = returns = both = 0
    for each in steps:
        starts += each & 1
        returns += (each >> 1) & 1
        both += each & 3 == 3
    if starts == 0:
        return state
    has_pair = starts * returns > both  # one of them is the start, and another one returns
    return (time + 1) << 1 | (1 if has_pair and variables[v].begins <= 0 else 0)


@njit(cache=True)
def _furthest(state: int, steps: Words, count: int) -> Any:
    """A funnel's state after as many steps in a row as events can be found for, each of them one step."""
    kinds = np.unique(steps)
    free = np.zeros(kinds.shape[0], np.int64)  # events of each kind that are no step yet
    for each in steps:
        free[np.searchsorted(kinds, each)] += 1
    taken = np.zeros((count, kinds.shape[0]), np.int64)  # which are which
    while _take(state & 0xFF, kinds, free, taken):
        state = ((state >> 8) + 1) << 8 if (state & 0xFF) + 1 == count else state + 1
    return state


@njit(cache=True)
def _take(step: int, kinds: Words, free: Words, taken: Words) -> bool:
    """Find an event for one step more; others may have to change theirs (an augmenting path, breadth first)."""
    count = taken.shape[0]
    before, kind_of = np.full(count, -1), np.zeros(count, np.int64)  # who asked a step for one of which kind
    queue = np.empty(count, np.int64)
    queue[0], before[step], asked = step, step, 1
    for k in range(count):
        if k == asked:
            break
        at = queue[k]
        for kind in range(kinds.shape[0]):
            if (kinds[kind] >> at) & 1 == 0:
                continue
            if free[kind] > 0:
                free[kind] -= 1
                taken[at, kind] += 1
                while at != step:
                    taken[at, kind_of[at]] -= 1
                    taken[before[at], kind_of[at]] += 1
                    at = before[at]
                return True
            for other in range(count):
                if before[other] < 0 and taken[other, kind] > 0:
                    before[other], kind_of[other] = at, kind
                    queue[asked] = other
                    asked += 1
    return False


@njit(cache=True)
def _places(pending: PendingEvents, link: int) -> Words:
    """Where the events of a list stand, from one on: newest first."""
    mask = pending.shape[0] - 1
    n = 0
    each = link
    while each > 0:
        n += 1
        each = pending[(each - 1) & mask].before
    places = np.empty(n, np.int64)
    for i in range(n):
        places[i] = (link - 1) & mask
        link = pending[places[i]].before
    return places


@njit(cache=True)
def _after(variables: Variables, v: int, state: int, pending: PendingEvents, link: int) -> Any:
    """The automaton's state after the events of a list, from one on."""
    places = _places(pending, link)[::-1]
    begin = 0
    while begin < places.shape[0]:
        time, end = pending[places[begin]].time, begin + 1
        while end < places.shape[0] and pending[places[end]].time == time:
            end += 1
        if end - begin == 1:
            state = _step(variables, v, state, time, pending[places[begin]].steps)
        else:
            state = _together(variables, v, state, time, pending["steps"][places[begin:end]])
        begin = end
    return state


@njit(cache=True)
def run_through(rows: Words, m: int, variables: Variables, v: int, pending: PendingEvents) -> None:
    """REACHED from FRONT and the pending events."""
    at = variables[v].at
    rows[m, at + REACHED] = _after(variables, v, rows[m, at + FRONT], pending, rows[m, at + NEWEST])


@njit(cache=True)
def put(  # noqa: PLR0917
    rows: Words,
    m: int,
    variables: Variables,
    v: int,
    pending: PendingEvents,
    ring: Ring,
    time: int,
    insert_id: int,
    steps: int,
) -> bool:
    """One more event of member m's total; whether REACHED is still to be made, by `run_through`.

    There must be room in the ring.
    """
    mask = pending.shape[0] - 1
    at = variables[v].at
    rows[m, at + EVENTS] += 1
    hour = time // HOUR
    rank = np.int64(0)  # of the event before it, in this hour
    after = np.int64(-1)
    link = rows[m, at + NEWEST]
    while link > 0:
        k = (link - 1) & mask
        is_at_once = pending[k].time == time
        if pending[k].time < time or (is_at_once and np.uint64(pending[k].insert_id) <= np.uint64(insert_id)):
            break
        after = k
        link = pending[k].before
    if link > 0:
        k = (link - 1) & mask
        if pending[k].time == time and pending[k].insert_id == insert_id:
            pending[k].steps |= steps
            return True
        if pending[k].time // HOUR == hour:
            rank = pending[k].rank
    elif -link >> _RANK_BITS == hour:
        rank = -link & _RANKS
    if rank == MOST_EVENTS:
        rows[m, at + EVENTS] |= _CROWDED
        return False
    number = ring[0].head
    ring[0].head = number + 1
    k = number & mask
    pending[k].time, pending[k].insert_id, pending[k].steps = time, insert_id, steps
    pending[k].before, pending[k].member, pending[k].variable, pending[k].rank = link, m, v, rank + 1
    if after >= 0:
        pending[after].before = number + 1
        _push_back(rows, m, at, pending, number + 1, hour)
        return True
    rows[m, at + NEWEST] = number + 1
    if link > 0 and pending[(link - 1) & mask].time == time:
        return True
    rows[m, at + REACHED] = _step(variables, v, rows[m, at + REACHED], time, steps)
    return False


@njit(cache=True)
def take(  # noqa: PLR0917
    rows: Words,
    m: int,
    variables: Variables,
    v: int,
    pending: PendingEvents,
    time: int,
    insert_id: int,
    steps: int,
) -> bool:
    """Take back an event of member m's total, which no front has folded; REACHED is still to be made.

    Returns: whether another one of its hour, which was not read, takes its place.
    """
    mask = pending.shape[0] - 1
    at = variables[v].at
    rows[m, at + EVENTS] -= 1
    after = np.int64(-1)
    link = rows[m, at + NEWEST]
    while link > 0 and (pending[(link - 1) & mask].time != time or pending[(link - 1) & mask].insert_id != insert_id):
        after = (link - 1) & mask
        link = pending[after].before
    if link <= 0:  # it was not read
        return False
    k = (link - 1) & mask
    pending[k].steps &= ~steps
    if pending[k].steps != 0:
        return False
    last = pending[k].rank
    each = rows[m, at + NEWEST]
    while each != link:
        if pending[(each - 1) & mask].time // HOUR == time // HOUR:
            last = max(last, pending[(each - 1) & mask].rank)
            pending[(each - 1) & mask].rank -= 1
        each = pending[(each - 1) & mask].before
    if after >= 0:
        pending[after].before = pending[k].before
    else:
        rows[m, at + NEWEST] = pending[k].before
    return last == MOST_EVENTS and rows[m, at + EVENTS] >> EVENT_BITS != 0


@njit(cache=True)
def is_read(  # noqa: PLR0917
    rows: Words, m: int, variables: Variables, v: int, pending: PendingEvents, time: int, insert_id: int
) -> bool:
    """Whether a total has an event that no front has folded, or a later one of its hour."""
    mask = pending.shape[0] - 1
    link = rows[m, variables[v].at + NEWEST]
    while link > 0:
        its = pending[(link - 1) & mask]
        if its.time < time or (its.time == time and np.uint64(its.insert_id) < np.uint64(insert_id)):
            return False
        if its.time // HOUR == time // HOUR:
            return True
        link = its.before
    return False


@njit(cache=True)
def _push_back(rows: Words, m: int, at: int, pending: PendingEvents, new: int, hour: int) -> None:  # noqa: PLR0917
    """Let those of the hour that come after the event that `new` links to rank one lower, and the last leave."""
    mask = pending.shape[0] - 1
    after = np.int64(-1)
    link = rows[m, at + NEWEST]
    while link != new:
        k = (link - 1) & mask
        link = pending[k].before
        if pending[k].time // HOUR == hour:
            pending[k].rank += 1
            if pending[k].rank > MOST_EVENTS:
                pending[k].steps = 0
                rows[m, at + EVENTS] |= _CROWDED
                if after >= 0:
                    pending[after].before = link
                else:
                    rows[m, at + NEWEST] = link
                continue
        after = k


@njit(cache=True)
def forget(rows: Words, m: int, variables: Variables, v: int, pending: PendingEvents) -> None:
    """Let a total's pending events die, and its states with them."""
    mask = pending.shape[0] - 1
    at = variables[v].at
    link = rows[m, at + NEWEST]
    while link > 0:
        pending[(link - 1) & mask].steps = 0
        link = pending[(link - 1) & mask].before
    rows[m, at + FRONT] = rows[m, at + REACHED] = rows[m, at + NEWEST] = 0


@njit(cache=True)
def _fold(rows: Words, m: int, variables: Variables, v: int, pending: PendingEvents, bound: int) -> None:  # noqa: PLR0917
    """Fold the pending events before `bound` into FRONT; there is one."""
    mask = pending.shape[0] - 1
    at = variables[v].at
    kept = np.int64(-1)
    link = rows[m, at + NEWEST]
    while link > 0 and pending[(link - 1) & mask].time >= bound:
        kept = (link - 1) & mask
        link = pending[kept].before
    last = (link - 1) & mask
    end = -(pending[last].time // HOUR << _RANK_BITS | pending[last].rank)
    if kept >= 0:
        pending[kept].before = end
    else:
        rows[m, at + NEWEST] = end
    rows[m, at + FRONT] = _after(variables, v, rows[m, at + FRONT], pending, link)
    for k in _places(pending, link):
        pending[k].steps = 0


@njit(cache=True)
def expire(rows: Words, variables: Variables, pending: PendingEvents, ring: Ring, bound: int) -> None:
    """Fold what is before `bound` (ms UTC), as far as all that arrived before it is so old too."""
    mask = pending.shape[0] - 1
    while ring[0].tail < ring[0].head:
        k = ring[0].tail & mask
        if pending[k].steps != 0:
            if pending[k].time >= bound:
                break
            _fold(rows, pending[k].member, variables, pending[k].variable, pending, bound)
        ring[0].tail += 1


def larger(pending: PendingEvents, ring: Ring, room: int) -> PendingEvents:
    """The ring with room for `room` events more."""
    begin, end = int(ring[0].tail), int(ring[0].head)
    grown = PendingEvents(np.zeros(1 << (end - begin + room - 1).bit_length(), PENDING_EVENT))
    numbers = np.arange(begin, end)
    grown[numbers & (len(grown) - 1)] = pending[numbers & (len(pending) - 1)]
    return grown
