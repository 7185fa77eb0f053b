"""Recount: a member's totals from its recent events, where its entry or its columns are new."""

import numpy as np
from numba import njit

from evaluation.columns.arrays import Words
from evaluation.metrics import measures as of
from evaluation.metrics.kernels import ordered, seen, spread
from evaluation.metrics.kernels.count import add_to_total
from evaluation.metrics.kernels.members import (
    JUMPER,
    LIVE,
    MOST_NUMBERS,
    Members,
    fold,
    fold_live,
    has_room,
    room_of,
)
from evaluation.metrics.kernels.recent import FACT, Memory, places_of
from evaluation.metrics.kernels.tallies import tally_recent
from evaluation.metrics.measures import Measures


@njit(cache=True)
def _are_in_order(memory: Memory, places: Words) -> bool:
    """Whether the events ascend by time and insert id."""
    for i in range(1, places.shape[0]):
        before, after = memory.ring[places[i - 1]], memory.ring[places[i]]
        if before.time > after.time:
            return False
        if before.time == after.time and np.uint64(before.insert_id) > np.uint64(after.insert_id):
            return False
    return True


@njit(cache=True)
def _in_order(memory: Memory, places: Words) -> Words:
    """The places of the events by time and insert id."""
    places = places[np.argsort(memory.ring["insert_id"][places].view(np.uint64), kind="mergesort")]
    return places[np.argsort(memory.ring["time"][places], kind="mergesort")]


@njit(cache=True)
def _reset(store: Members, m: int, measures: Measures, begin: int) -> None:
    """Member m's totals of the columns from `begin` on, and its covariates, are nothing."""
    rows = store.rows
    for v in range(measures.variables.shape[0]):
        variable = measures.variables[v]
        if variable.column < begin:
            continue
        rows[m, variable.at + of.EVENTS] = 0
        if variable.kind >= of.FUNNEL:
            ordered.forget(rows, m, measures.variables, v, store.pending)
        elif variable.kind >= of.SUM:
            rows[m, variable.at + of.VALUES] = 0
        elif variable.kind == of.LISTED:
            spread.forget(rows, m, variable.at, store.lists, store.list_counts)
        elif variable.kind in (of.DISTINCT, of.DAYS):
            seen.forget(rows, m, variable.at)
        if measures.columns[variable.column].width > 0:
            rows[m, variable.covariate + of.EVENTS] = 0
            if variable.kind >= of.SUM:
                rows[m, variable.covariate + of.VALUES] = 0


@njit(cache=True)
def recount(store: Members, m: int, measures: Measures, begin: int, memory: Memory, places: Words) -> None:  # noqa: PLR0917
    """Count member m's recent events, which stand at `places` by arrival, for the columns from `begin` on.

    The covariates are left at nothing.
    """
    entry = store.heads[m].entry
    if room_of(measures).totals and not _are_in_order(memory, places):  # sorted, each comes last in its total
        places = _in_order(memory, places)
    _reset(store, m, measures, begin)
    for k in places:
        event = memory.ring[k]
        if not entry <= event.time < measures.ends:
            continue
        for r in range(measures.feeds.shape[0]):
            if measures.feeds[r].fact != event.link & FACT or measures.feeds[r].is_past:
                continue
            v = measures.feeds[r].variable
            c = measures.variables[v].column
            if c < begin or entry < measures.columns[c].since or event.time - entry >= measures.columns[c].window:
                continue
            if of.can_hold(measures.variables[v], event.value):
                add_to_total(store, m, measures, r, event.time, event.insert_id, event.value, 1)
    for v in range(measures.variables.shape[0]):
        if measures.variables[v].kind >= of.FUNNEL and measures.variables[v].column >= begin:
            ordered.run_through(store.rows, m, measures.variables, v, store.pending)


@njit(cache=True)
def cover(store: Members, at: int, measures: Measures, begin: int, memory: Memory) -> int:
    """Bring the columns from `begin` on into force for the members from `at` on that they cover.

    Where the room for pending events ends, so does the loop: the next member.
    """
    x = np.empty(MOST_NUMBERS, np.int64)
    room = room_of(measures)
    for m in range(at, store.counts[0].members):
        head = store.heads[m]
        is_covered = False
        for c in range(begin, measures.columns.shape[0]):
            is_covered = is_covered or head.entry >= measures.columns[c].since
        if not is_covered:
            continue
        places = places_of(memory, head.unit)
        if head.state & JUMPER == 0:
            if not has_room(store, room, places.shape[0]):
                return m
            recount(store, m, measures, begin, memory, places)
            fold_live(store, m, measures, begin, x, 1)
        if memory.state[0].notes > 0:
            tally_recent(store, m, measures, begin, memory, places, 1)
    return store.counts[0].members


@njit(cache=True)
def look_back(store: Members, members: Words, found: Words, c: int, v: int, measures: Measures) -> None:  # noqa: PLR0917
    """Set the covariate of variable v in column c of members, from what `Lookback.look_up` found."""
    rows, at = store.rows, measures.variables[v].covariate
    x = np.empty(MOST_NUMBERS, np.int64)
    for i in range(members.shape[0]):
        m = members[i]
        if store.heads[m].state & JUMPER or store.heads[m].entry < measures.columns[c].since:
            continue
        if of.numbers(rows, m, measures, c, x):
            fold(store, m, measures, c, LIVE, x, -1)
        else:
            store.tallies[c].withheld -= 1
        rows[m, at + of.EVENTS] = found[i, 0] + (found[i, 2] << of.EVENT_BITS)
        if measures.variables[v].kind >= of.SUM:
            rows[m, at + of.VALUES] = found[i, 1]
        if of.numbers(rows, m, measures, c, x):
            fold(store, m, measures, c, LIVE, x, 1)
        else:
            store.tallies[c].withheld += 1
