"""Count: what an event of a member changes."""

from typing import Any

import numpy as np
from numba import njit

from evaluation.columns.arrays import Words
from evaluation.metrics import measures as of
from evaluation.metrics import sums
from evaluation.metrics.kernels import ordered
from evaluation.metrics.kernels.members import (
    FLAGS,
    JUMPER,
    LIVE,
    MOST_NUMBERS,
    Members,
    cell_of,
    fold,
    has_room,
    ordered_totals,
)
from evaluation.metrics.layouts import Events
from evaluation.metrics.measures import Measures
from evaluation.metrics.sums import LIMIT

_NOWHERE, _BEFORE, _WITHIN = range(3)  # where an event lies for a column


@njit(cache=True)
def add_to_total(  # noqa: PLR0917
    store: Members, m: int, measures: Measures, r: int, time: int, insert_id: int, value: int, sign: int
) -> bool:
    """Count an event for feed r, or take it back (`sign` is -1).

    Returns: whether its total is still to be made, by `ordered.run_through`.
    """
    rows, v = store.rows, measures.feeds[r].variable
    kind, at = measures.variables[v].kind, measures.variables[v].at
    if kind >= of.FUNNEL:
        steps = measures.feeds[r].steps
        if sign < 0:
            ordered.take(rows, m, measures.variables, v, store.pending, time, insert_id, steps)
            return True
        return ordered.put(rows, m, measures.variables, v, store.pending, store.ring, time, insert_id, steps)
    if kind >= of.SUM:
        of.add_value(rows, m, at, value, sign)
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
    if measures.columns[c].numbers == 1 and had and has:
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
def count(  # noqa: PLR0917
    store: Members, events: Events, begin: int, n: int, measures: Measures, found: Words, sign: int
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
    rows, heads, tallies, parts, ring, pending = (
        store.rows,
        store.heads,
        store.tallies,
        store.parts,
        store.ring,
        store.pending,
    )
    feeds, variables, columns, ends = measures.feeds, measures.variables, measures.columns, measures.ends
    x, y = np.empty(MOST_NUMBERS, np.int64), np.empty(MOST_NUMBERS, np.int64)
    room = ordered_totals(measures)
    for i in range(begin, n):
        m, event = found[i], events[i]
        if m < 0 or heads[m].state & JUMPER or event.time >= ends:  # rule 1
            continue
        if not has_room(ring, pending, room):
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
            if side == _NOWHERE:
                continue
            had = of.numbers(rows, m, measures, c, x)
            if side == _WITHIN:  # rule 3
                tallies[c].events += sign
                parts[v, heads[m].state >> FLAGS].kept += sign
                is_ordered = variables[v].kind >= of.FUNNEL
                was_crowded = of.is_crowded(rows, m, measures, c) if is_ordered else 0
                if add_to_total(store, m, measures, r, event.time, event.insert_id, event.value, sign):
                    ordered.run_through(rows, m, variables, v, pending)
                if is_ordered:
                    tallies[c].crowded += of.is_crowded(rows, m, measures, c) - was_crowded
            else:  # rule 4
                _add_to_covariate(rows, m, variables[v], event.value, sign)
            has = of.numbers(rows, m, measures, c, y)
            _refold(store, m, measures, c, had, x, has, y)  # rule 5
    return n
