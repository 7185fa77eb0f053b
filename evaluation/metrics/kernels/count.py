"""Count: what an event of a member changes."""

from typing import Any

import numpy as np
from numba import njit

from evaluation.columns.arrays import Words
from evaluation.columns.buckets import bucket_of
from evaluation.metrics import measures as of
from evaluation.metrics import sums
from evaluation.metrics.kernels import ordered, seen, spread
from evaluation.metrics.kernels.members import (
    FLAGS,
    JUMPER,
    LIVE,
    MOST_NUMBERS,
    Members,
    cell_of,
    fold,
    has_room,
    room_of,
)
from evaluation.metrics.kernels.recent import FACT, Memory, places_of
from evaluation.metrics.layouts import Events
from evaluation.metrics.measures import Measures
from evaluation.metrics.sums import LIMIT

_NOWHERE, _BEFORE, _WITHIN = range(3)  # where an event lies for a column


@njit(cache=True)
def add_to_total(  # noqa: PLR0917
    store: Members, m: int, measures: Measures, r: int, time: int, insert_id: int, value: int, sign: int
) -> bool:
    """Count an event for feed r, or take it back (`sign` is -1) where the total is no ordered one.

    Returns: whether its total is still to be made, by `ordered.run_through`.
    """
    rows, v = store.rows, measures.feeds[r].variable
    kind, at = measures.variables[v].kind, measures.variables[v].at
    if kind >= of.FUNNEL:
        steps = measures.feeds[r].steps
        return ordered.put(rows, m, measures.variables, v, store.pending, store.ring, time, insert_id, steps)
    if kind >= of.SUM:
        of.add_value(rows, m, at, value, sign)
    elif kind == of.LISTED:
        spread.put(rows, m, at, store.lists, store.list_counts, bucket_of(value), sign)
    elif kind in (of.DISTINCT, of.DAYS):
        which = time // seen.DAY if kind == of.DAYS else value
        seen.see(rows, m, at, v, store.seen, store.list_counts, which, sign)
    else:
        rows[m, at + of.EVENTS] += sign
    return False


@njit(cache=True)
def _add_to_covariate(rows: Words, m: int, variable: Any, value: int, sign: int) -> None:
    """Count an event before the entry, or take it back (`sign` is -1)."""
    if variable.kind >= of.SUM:
        of.add_value(rows, m, variable.covariate, value, sign)
    else:
        rows[m, variable.covariate + of.EVENTS] += sign


@njit(cache=True)
def _side(column: Any, entry: int, time: int, value: int) -> int:
    """Where an event of a member with that entry lies for a column."""
    if time >= entry:
        return _WITHIN if time - entry < column.window else _NOWHERE
    if column.width == 0 or abs(value) >= LIMIT:
        return _NOWHERE
    bucket = time // column.width
    return _BEFORE if of.first_bucket(entry, column) <= bucket < entry // column.width else _NOWHERE


@njit(cache=True)
def _refold(  # noqa: PLR0917
    store: Members, m: int, measures: Measures, c: int, had: bool, x: Words, has: bool, y: Words
) -> None:
    """Member m's numbers of column c were x, if it `had` any, and are y, if it `has`."""
    if measures.columns[c].numbers == 1 and measures.columns[c].spread == of.UNSPREAD and had and has:
        if x[0] != y[0]:
            for b in range(measures.breakdowns.shape[0]):
                at = cell_of(store.heads, m, measures, c, LIVE, store.arm_units.shape[0], b)
                sums.change(store.cells, at, x[0], y[0])
        return
    if had:
        fold(store, m, measures, c, LIVE, x, -1)
    else:
        store.tallies[c].withheld -= 1
    if has:
        fold(store, m, measures, c, LIVE, y, 1)
    else:
        store.tallies[c].withheld += 1


@njit(cache=True)
def _read_another(store: Members, m: int, measures: Measures, v: int, memory: Memory, gone: Any) -> None:  # noqa: PLR0917
    """The first event that an ordered total has not read of the hour of one that is gone is read now."""
    head, column = store.heads[m], measures.columns[measures.variables[v].column]
    next_k = np.int64(-1)
    places = places_of(memory, head.unit)
    for k in places:
        its = memory.ring[k]
        if its.time // of.HOUR != gone.time // of.HOUR or not _concerns(measures, v, its.link & FACT):
            continue
        if its.time < gone.time or (its.time == gone.time and np.uint64(its.insert_id) <= np.uint64(gone.insert_id)):
            continue
        if not head.entry <= its.time < min(head.entry + column.window, measures.ends):
            continue
        if ordered.is_read(store.rows, m, measures.variables, v, store.pending, its.time, its.insert_id):
            continue
        first = memory.ring[next_k]
        is_earlier = its.time == first.time and np.uint64(its.insert_id) < np.uint64(first.insert_id)
        if next_k < 0 or its.time < first.time or is_earlier:
            next_k = k
    if next_k < 0:
        return
    for k in places:
        its, that = memory.ring[k], memory.ring[next_k]
        if its.time == that.time and its.insert_id == that.insert_id:
            for r in range(measures.feeds.shape[0]):
                feed = measures.feeds[r]
                if feed.variable == v and feed.fact == its.link & FACT:
                    add_to_total(store, m, measures, r, its.time, its.insert_id, its.value, 1)
                    store.rows[m, measures.variables[v].at + of.EVENTS] -= 1  # it was counted before


@njit(cache=True)
def _concerns(measures: Measures, v: int, fact: int) -> bool:
    """Whether a fact feeds a variable."""
    for r in range(measures.feeds.shape[0]):
        if measures.feeds[r].variable == v and measures.feeds[r].fact == fact:
            return True
    return False


@njit(cache=True)
def count(  # noqa: PLR0917
    store: Members, events: Events, begin: int, n: int, measures: Measures, found: Words, sign: int, memory: Memory
) -> int:
    """Fold new events from `begin` on, or take such back (`sign` is -1).

    1. Of who is no member, or a jumper, nothing counts; and nothing of what happens from the run's end on.
    2. An event counts for each variable that its fact feeds, if the column covers the member's entry and the variable
       makes a number of its value.
    3. From the entry on it counts in the window, for the total.
    4. Before the entry it counts in the buckets that are looked back to, for the covariate.
    5. Then the member's numbers of that column change, and the sums with them.

    Where the room for pending events ends, so does the loop.

    Returns: the next event.
    """
    rows, heads, tallies, parts, pending = store.rows, store.heads, store.tallies, store.parts, store.pending
    feeds, variables, columns, ends = measures.feeds, measures.variables, measures.columns, measures.ends
    x, y = np.empty(MOST_NUMBERS, np.int64), np.empty(MOST_NUMBERS, np.int64)
    room = room_of(measures)
    for i in range(begin, n):
        m, event = found[i], events[i]
        if m < 0 or heads[m].state & JUMPER or event.time >= ends:  # rule 1
            continue
        if not has_room(store, room, 1):
            return i
        entry = heads[m].entry
        for r in range(feeds.shape[0]):
            if feeds[r].fact != event.fact:  # rule 2
                continue
            v = feeds[r].variable
            c = variables[v].column
            if entry < columns[c].since or not of.can_hold(variables[v], event.value):  # rule 2
                continue
            side = _side(columns[c], entry, event.time, event.value)
            if side == _NOWHERE or (side == _WITHIN and feeds[r].is_past):
                continue
            if side == _BEFORE and not feeds[r].is_past and columns[c].own == 0:  # what goes by an order has no past
                continue
            had = of.numbers(rows, m, measures, c, x)
            is_listed = columns[c].spread == of.OF_EVENTS
            if is_listed:  # what leaves the sums is the list as it was
                fold(store, m, measures, c, LIVE, x, -1)
            if side == _WITHIN:  # rule 3
                tallies[c].events += sign
                parts[v, heads[m].state >> FLAGS].kept += sign
                is_ordered = variables[v].kind >= of.FUNNEL
                was_crowded = of.is_crowded(rows, m, measures, c) if is_ordered else 0
                if is_ordered and sign < 0:
                    steps = feeds[r].steps
                    if ordered.take(rows, m, variables, v, pending, event.time, event.insert_id, steps):
                        _read_another(store, m, measures, v, memory, event)
                    ordered.run_through(rows, m, variables, v, pending)
                elif add_to_total(store, m, measures, r, event.time, event.insert_id, event.value, sign):
                    ordered.run_through(rows, m, variables, v, pending)
                if is_ordered:
                    tallies[c].crowded += of.is_crowded(rows, m, measures, c) - was_crowded
            else:  # rule 4
                _add_to_covariate(rows, m, variables[v], event.value, sign)
            has = of.numbers(rows, m, measures, c, y)
            if is_listed:  # rule 5
                fold(store, m, measures, c, LIVE, y, 1)
            else:
                _refold(store, m, measures, c, had, x, has, y)
    return n
