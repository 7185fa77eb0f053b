"""Tallies: what is noted of members' events, by column. Ids told twice are counted once for all columns."""

from typing import Any

from numba import njit

from evaluation.columns.arrays import Words
from evaluation.metrics import measures as of
from evaluation.metrics.kernels import notes as noted
from evaluation.metrics.kernels.members import FLAGS, Members
from evaluation.metrics.kernels.recent import FACT, NOTED, Memory
from evaluation.metrics.layouts import Notes
from evaluation.metrics.measures import Measures
from evaluation.metrics.sums import LIMIT


@njit(cache=True)
def _is_unusable(what: int, variable: Any) -> Any:
    """Whether a note says that the variable makes no number of the event."""
    if what == noted.TOO_LARGE:
        return not of.can_hold(variable, LIMIT)
    if what == noted.TOO_SMALL:
        return not of.can_hold(variable, -LIMIT)
    return what == noted.UNUSABLE


@njit(cache=True)
def _tally(  # noqa: PLR0917
    store: Members, m: int, measures: Measures, begin: int, fact: int, time: int, what: int, one: int
) -> None:
    """Add `one` to what is noted of the columns from `begin` on in whose window for member m the event is."""
    entry, arm = store.heads[m].entry, store.heads[m].state >> FLAGS
    if not entry <= time < measures.ends:
        return
    is_known = is_new = False
    for r in range(measures.feeds.shape[0]):
        feed = measures.feeds[r]
        if feed.fact != fact or feed.is_past:
            continue
        v = feed.variable
        c = measures.variables[v].column
        if entry < measures.columns[c].since or time - entry >= measures.columns[c].window:
            continue
        if c >= begin and _is_unusable(what, measures.variables[v]):
            store.parts[v, arm].lost += one
        if not feed.is_first:
            continue
        if c < begin:
            is_known = True
            continue
        is_new = True
        if what == noted.DUPLICATE:
            store.tallies[c].duplicates += one
        elif what == noted.LATE_EVENT:
            store.tallies[c].late += one
        elif _is_unusable(what, measures.variables[v]):
            store.tallies[c].unusable += one
    if what == noted.SAME_ID and is_new and not is_known:
        store.counts[0].same_ids += one


@njit(cache=True)
def tally_recent(  # noqa: PLR0917
    store: Members, m: int, measures: Measures, begin: int, memory: Memory, places: Words, one: int
) -> None:
    """The same for what is kept of notes of member m's events: not called where nothing is, for a call costs."""
    for k in places:
        note = memory.ring[k]
        if note.link & NOTED:
            _tally(store, m, measures, begin, note.link & FACT & ~NOTED, note.time, note.value, one)


@njit(cache=True)
def tally(store: Members, notes: Notes, n: int, measures: Measures, found: Words, one: int) -> None:  # noqa: PLR0917
    """Fold the first n notes of a message, or take them back (`one` is -1)."""
    for i in range(n):
        if found[i] >= 0:
            _tally(store, found[i], measures, 0, notes[i].fact, notes[i].time, notes[i].what, one)
