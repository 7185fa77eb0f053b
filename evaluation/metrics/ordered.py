"""Ordered: totals that depend on the order of a unit's events in time, whatever order they arrive in.

Theory of operation. A funnel and a retention are automata that read a unit's events by ascending time; nobody knows
how those of one time stand, so they are given the order that takes the automaton furthest. Events of one time and id
are one event, which may be one of several steps. What is before the clock less the horizon is complete, so the
automaton's state after it is all that it leaves behind: FRONT. The events since then are pending: a list of each total,
newest first, and LIVE is the state after them. An event that alone comes last in time moves LIVE on; any other finds
its place in the list, by time and id, and the list is run through again. A total that was counted anew (its entry moved
back) lies behind no front: an entry that moves is not before the clock less the horizon, and neither is any event after
it.

The pending events of a run stand in one ring in the order of arrival, each known by its number. When the oldest one is
older than the bound, its list is folded into the front as far as it is so old; folded events are dead (no steps), and
leave the ring when all before them have.

Of each hour (UTC) the first `MOST_EVENTS` by time and id are read, so that a unit like `anonymous` costs no more than
others: that is a function of the set of events too, and so is whether there were more, which the total's first word
says. Each has a rank in its hour, which grows as earlier ones arrive; what leaves is behind those that stay, and could
only come back as an entry moves, with which all is counted anew. The end of a list says which hour was folded last, and
how far: -(hour << 10 | rank), or 0.

States. Funnel: completed sequences << 8 | steps of the next one. After the last step the first one comes again, so
sequences don't overlap. Retention: (time of the start + 1) << 1 | has returned.
"""

from typing import Any

import numpy as np
from numba import njit

from evaluation.metrics.measures import (
    EVENT_BITS,
    EVENTS,
    FRONT,
    HOUR,
    LIVE,
    MOST_EVENTS,
    NEWEST,
    RETENTION,
    V_AT,
    V_BEGINS,
    V_ENDS,
    V_KIND,
    V_STEPS,
)
from evaluation.metrics.recent import Words

# Columns of a pending event. BEFORE is the number of the one before it in time, plus 1, or the list's end; RANK counts
# from 1 in its hour.
TIME, ID, STEPS, BEFORE, OWNER, VARIABLE, RANK = range(7)
TAIL, HEAD = range(2)  # of the ring

_CROWDED = np.int64(1 << EVENT_BITS)  # in a total's word of events
_RANK_BITS = 10
_RANKS = (1 << _RANK_BITS) - 1


@njit(cache=True)
def _step(variables: Words, v: int, state: int, time: int, steps: int) -> Any:
    """The automaton's state after one more event."""
    if variables[v, V_KIND] == RETENTION:
        if state == 0:
            return (time + 1) << 1 if steps & 1 else state
        since = time - ((state >> 1) - 1)
        if steps & 2 and variables[v, V_BEGINS] <= since < variables[v, V_ENDS]:
            return state | 1
        return state
    if (steps >> (state & 0xFF)) & 1 == 0:
        return state
    if (state & 0xFF) + 1 == variables[v, V_STEPS]:
        return ((state >> 8) + 1) << 8
    return state + 1


@njit(cache=True)
def _together(variables: Words, v: int, state: int, time: int, steps: Words) -> Any:
    """The automaton's furthest state after events of one time."""
    if variables[v, V_KIND] != RETENTION:
        return _furthest(state, steps, variables[v, V_STEPS])
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
    return (time + 1) << 1 | (1 if has_pair and variables[v, V_BEGINS] <= 0 else 0)


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
def _places(pending: Words, link: int) -> Words:
    """Where the events of a list stand, from one on: newest first."""
    mask = pending.shape[0] - 1
    n = 0
    each = link
    while each > 0:
        n += 1
        each = pending[(each - 1) & mask, BEFORE]
    places = np.empty(n, np.int64)
    for i in range(n):
        places[i] = (link - 1) & mask
        link = pending[places[i], BEFORE]
    return places


@njit(cache=True)
def _after(variables: Words, v: int, state: int, pending: Words, link: int) -> Any:
    """The automaton's state after the events of a list, from one on."""
    places = _places(pending, link)[::-1]
    begin = 0
    while begin < places.shape[0]:
        time, end = pending[places[begin], TIME], begin + 1
        while end < places.shape[0] and pending[places[end], TIME] == time:
            end += 1
        if end - begin == 1:
            state = _step(variables, v, state, time, pending[places[begin], STEPS])
        else:
            state = _together(variables, v, state, time, pending[places[begin:end], STEPS])
        begin = end
    return state


@njit(cache=True)
def run_through(rows: Words, m: int, variables: Words, v: int, pending: Words) -> None:
    """LIVE from FRONT and the pending events."""
    at = variables[v, V_AT]
    rows[m, at + LIVE] = _after(variables, v, rows[m, at + FRONT], pending, rows[m, at + NEWEST])


@njit(cache=True)
def put(  # noqa: PLR0917
    rows: Words, m: int, variables: Words, v: int, pending: Words, ring: Words, time: int, name: int, steps: int
) -> bool:
    """One more event of member m's total; whether LIVE is still to be made, by `run_through`.

    There must be room in the ring.
    """
    mask = pending.shape[0] - 1
    at = variables[v, V_AT]
    rows[m, at + EVENTS] += 1
    hour = time // HOUR
    rank = np.int64(0)  # of the event before it, in this hour
    after = np.int64(-1)
    link = rows[m, at + NEWEST]
    while link > 0:
        k = (link - 1) & mask
        if pending[k, TIME] < time or (pending[k, TIME] == time and np.uint64(pending[k, ID]) <= np.uint64(name)):
            break
        after = k
        link = pending[k, BEFORE]
    if link > 0:
        k = (link - 1) & mask
        if pending[k, TIME] == time and pending[k, ID] == name:
            pending[k, STEPS] |= steps
            return True
        if pending[k, TIME] // HOUR == hour:
            rank = pending[k, RANK]
    elif -link >> _RANK_BITS == hour:
        rank = -link & _RANKS
    if rank == MOST_EVENTS:
        rows[m, at + EVENTS] |= _CROWDED
        return False
    number = ring[HEAD]
    ring[HEAD] = number + 1
    k = number & mask
    pending[k, TIME], pending[k, ID], pending[k, STEPS] = time, name, steps
    pending[k, BEFORE], pending[k, OWNER], pending[k, VARIABLE], pending[k, RANK] = link, m, v, rank + 1
    if after >= 0:
        pending[after, BEFORE] = number + 1
        _push_back(rows, m, at, pending, number + 1, hour)
        return True
    rows[m, at + NEWEST] = number + 1
    if link > 0 and pending[(link - 1) & mask, TIME] == time:
        return True
    rows[m, at + LIVE] = _step(variables, v, rows[m, at + LIVE], time, steps)
    return False


@njit(cache=True)
def _push_back(rows: Words, m: int, at: int, pending: Words, new: int, hour: int) -> None:  # noqa: PLR0917
    """Let those of the hour that come after the event that `new` links to rank one lower, and the last leave."""
    mask = pending.shape[0] - 1
    after = np.int64(-1)
    link = rows[m, at + NEWEST]
    while link != new:
        k = (link - 1) & mask
        link = pending[k, BEFORE]
        if pending[k, TIME] // HOUR == hour:
            pending[k, RANK] += 1
            if pending[k, RANK] > MOST_EVENTS:
                pending[k, STEPS] = 0
                rows[m, at + EVENTS] |= _CROWDED
                if after >= 0:
                    pending[after, BEFORE] = link
                else:
                    rows[m, at + NEWEST] = link
                continue
        after = k


@njit(cache=True)
def forget(rows: Words, m: int, variables: Words, v: int, pending: Words) -> None:
    """Let a total's pending events die, and its states with them."""
    mask = pending.shape[0] - 1
    at = variables[v, V_AT]
    link = rows[m, at + NEWEST]
    while link > 0:
        pending[(link - 1) & mask, STEPS] = 0
        link = pending[(link - 1) & mask, BEFORE]
    rows[m, at + FRONT] = rows[m, at + LIVE] = rows[m, at + NEWEST] = 0


@njit(cache=True)
def _fold(rows: Words, m: int, variables: Words, v: int, pending: Words, bound: int) -> None:  # noqa: PLR0917
    """Fold the pending events before `bound` into FRONT; there is one."""
    mask = pending.shape[0] - 1
    at = variables[v, V_AT]
    kept = np.int64(-1)
    link = rows[m, at + NEWEST]
    while link > 0 and pending[(link - 1) & mask, TIME] >= bound:
        kept = (link - 1) & mask
        link = pending[kept, BEFORE]
    last = (link - 1) & mask
    end = -(pending[last, TIME] // HOUR << _RANK_BITS | pending[last, RANK])
    if kept >= 0:
        pending[kept, BEFORE] = end
    else:
        rows[m, at + NEWEST] = end
    rows[m, at + FRONT] = _after(variables, v, rows[m, at + FRONT], pending, link)
    for k in _places(pending, link):
        pending[k, STEPS] = 0


@njit(cache=True)
def expire(rows: Words, variables: Words, pending: Words, ring: Words, bound: int) -> None:
    """Fold what is before `bound` (ms UTC), as far as all that arrived before it is so old too."""
    mask = pending.shape[0] - 1
    while ring[TAIL] < ring[HEAD]:
        k = ring[TAIL] & mask
        if pending[k, STEPS] != 0:
            if pending[k, TIME] >= bound:
                break
            _fold(rows, pending[k, OWNER], variables, pending[k, VARIABLE], pending, bound)
        ring[TAIL] += 1


def larger(pending: Words, ring: Words, room: int) -> Words:
    """The ring with room for `room` events more."""
    grown = np.zeros((1 << int(ring[HEAD] - ring[TAIL] + room - 1).bit_length(), 7), np.int64)
    numbers = np.arange(ring[TAIL], ring[HEAD])
    grown[numbers & (len(grown) - 1)] = pending[numbers & (len(pending) - 1)]
    return grown
