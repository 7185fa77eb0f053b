"""Members: the units of one run, with their entry, their arm and their totals, and the sums that these make.

Theory of operation. A member is one row of int64:

    its head (layouts.py) | arms seen, 64 per word | totals (measures.py)

Rows stand in the order of arrival; a hash table finds a unit's row. The rest follows from the rows and is kept beside
them, so that nothing is ever scanned:

* `cells`: the sums of each metric, reading, arm and segment. Whatever changes a member takes its contribution out and
  puts the new one in: once for each breakdown, without any into the only segment that there is then.
* `heap`: the members whose entry could still move, by entry; a queue: the rows of the others, by ascending entry. Each
  metric has a cursor into the queue: the members before it are settled.

Withdrawn members (jumpers) keep their row, so that they stay withdrawn. Of them nothing else counts but what is noted
of their events: a note counts if the event lies in the window of a unit that has entered, whatever became of the unit,
and in the arm of its entry, so that nothing needs to be taken back of notes that are forgotten.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from evaluation.columns.arrays import Words
from evaluation.columns.hash_table import add, fingerprint, first, following, home, number_of
from evaluation.metrics import measures as of
from evaluation.metrics import sums
from evaluation.metrics.kernels import spread
from evaluation.metrics.layouts import (
    HEAD_WORDS,
    Bins,
    Events,
    Exposures,
    Heads,
    Heap,
    ListCounts,
    Lists,
    Notes,
    Parts,
    PendingEvents,
    Ring,
    RunCounts,
    SeenValues,
    Settled,
    Tallies,
)
from evaluation.metrics.measures import Measures
from schemas.units import SEGMENT_BITS

SEEN = HEAD_WORDS  # where a row says which arms were seen
JUMPER, REASSIGNED = 1, 2  # in a head's state; above them stands the arm
FLAGS = 2
LIVE, SETTLED = 0, 1  # readings
MOST_NUMBERS = 12  # of a unit in one column: a ratio's, its past, and the past of four others, which may be ratios

_SEGMENT = (1 << SEGMENT_BITS) - 1


class Members(NamedTuple):
    """The tables of one run."""

    rows: Words  # (room, words)
    heads: Heads  # (room,), of the same memory
    slots: Words
    counts: RunCounts  # (1,)
    cells: Words  # flat
    arm_units: Words  # (arms,)
    tallies: Tallies  # (columns,)
    parts: Parts  # (variables, arms)
    settled: Settled  # (columns,)
    heap: Heap
    pending: PendingEvents
    ring: Ring  # (1,)
    bins: Bins
    lists: Lists
    seen: SeenValues
    list_counts: ListCounts  # (1,)


@njit(cache=True)
def seek(slots: Words, heads: Heads, mark: int, unit: int) -> Any:
    """The slot of a unit, whose fingerprint is `mark`, or the free one that it would take."""
    p = first(slots, mark)
    while slots[p] != 0 and heads[number_of(slots[p])].unit != unit:
        p = following(slots, mark, p)
    return p


@njit(cache=True)
def find(store: Members, who: Events | Exposures | Notes, n: int, found: Words) -> Any:
    """The rows of the first n units of `who`, or -1, into `found`; where that is -1 nobody asks.

    In passes, so that cache misses overlap: first the homes, then the rows that they name.
    """
    slots, heads, rows = store.slots, store.heads, store.rows
    seen = np.int64(0)
    for i in range(n):
        if found[i] >= 0:
            found[i] = fingerprint(who[i].unit, 0, 0)
            seen ^= slots[home(found[i], slots.shape[0])]
    last = rows.shape[1] - 1
    for i in range(n):
        if found[i] >= 0:
            p = seek(slots, heads, found[i], who[i].unit)
            found[i] = -1
            if slots[p] != 0:
                found[i] = number_of(slots[p])
                seen ^= rows[found[i], last]
    return seen


@njit(cache=True)
def find_read(store: Members, who: Events | Notes, n: int, measures: Measures, found: Words) -> Any:
    """The same of those whose fact some column reads; of others -1."""
    for i in range(n):
        found[i] = -1
        for r in range(measures.feeds.shape[0]):
            if measures.feeds[r].fact == who[i].fact:
                found[i] = 0
    return find(store, who, n, found)


@njit(cache=True)
def enter(heads: Heads, n: int, slots: Words) -> None:
    """Enter the first n members into an empty table."""
    for m in range(n):
        add(slots, fingerprint(heads[m].unit, 0, 0), m)


@njit(cache=True)
def segment_of(heads: Heads, m: int, measures: Measures, b: int) -> Any:
    """The number of member m's segment of breakdown b, among those of all breakdowns."""
    segment = (heads[m].segments >> (SEGMENT_BITS * b)) & _SEGMENT
    if segment >= measures.breakdowns[b].segments:
        segment = 0
    return measures.breakdowns[b].first + segment


@njit(cache=True)
def cell_of(heads: Heads, m: int, measures: Measures, c: int, reading: int, arms: int, b: int) -> Any:  # noqa: PLR0917
    """Where member m's cell of a reading of column c stands, by its segment of breakdown b."""
    last = measures.breakdowns[measures.breakdowns.shape[0] - 1]
    segments = last.first + last.segments
    place = (reading * arms + (heads[m].state >> FLAGS)) * segments + segment_of(heads, m, measures, b)
    return measures.columns[c].cell + place * sums.size(measures.columns[c].numbers)


@njit(cache=True)
def fold(store: Members, m: int, measures: Measures, c: int, reading: int, x: Words, one: int) -> None:  # noqa: PLR0917
    """Member m with its numbers x of column c enters its cells (`one` is 1) or leaves them (-1)."""
    column = measures.columns[c]
    for b in range(measures.breakdowns.shape[0]):
        at = cell_of(store.heads, m, measures, c, reading, store.arm_units.shape[0], b)
        sums.fold(store.cells, at, x, column.numbers, one)
        if column.spread != of.UNSPREAD:
            arm = store.heads[m].state >> FLAGS
            cell = (c << spread.COLUMN) | (arm << spread.ARM) | segment_of(store.heads, m, measures, b)
            of_settled, its = reading == SETTLED, measures.variables[column.first].at
            bins, lists, counts = store.bins, store.lists, store.list_counts
            spread.fold(bins, lists, counts, cell, of_settled, store.rows, m, its, column.spread, x[0], one)


@njit(cache=True)
def _tell_counted(store: Members, m: int, measures: Measures, c: int, one: int) -> None:
    """Add what makes up member m's totals of column c to what is told of it (`one` is 1), or take it back (-1)."""
    rows, head, first_one = store.rows, store.heads[m], measures.columns[c].first
    for v in range(first_one, first_one + measures.columns[c].variables):
        events = one * of.events_of(rows[m, measures.variables[v].at + of.EVENTS])
        store.tallies[c].events += events
        store.parts[v, head.state >> FLAGS].kept += events
    store.tallies[c].crowded += one * of.is_crowded(rows, m, measures, c)
    store.tallies[c].looked_back += one * of.is_looked_back(head.entry, measures.columns[c])


@njit(cache=True)
def fold_live(store: Members, m: int, measures: Measures, begin: int, x: Words, one: int) -> None:  # noqa: PLR0917
    """Member m enters the live sums of the columns from `begin` on (`one` is 1) or leaves them (-1)."""
    for c in range(begin, measures.columns.shape[0]):
        if store.heads[m].entry >= measures.columns[c].since:
            _tell_counted(store, m, measures, c, one)
            if of.numbers(store.rows, m, measures, c, x):
                fold(store, m, measures, c, LIVE, x, one)
            else:
                store.tallies[c].withheld += one


class StoreRoom(NamedTuple):
    """What an event of a member may take more, at most."""

    totals: int  # of pending events
    bins: int  # also a member without any
    values: int  # of lists, or seen


@njit(cache=True)
def room_of(measures: Measures) -> StoreRoom:
    """By what a run measures."""
    totals = bins = values = 0
    for v in range(measures.variables.shape[0]):
        kind = measures.variables[v].kind
        totals += kind >= of.FUNNEL
        values += kind in (of.LISTED, of.DISTINCT, of.DAYS)
    for c in range(measures.columns.shape[0]):
        bins += measures.columns[c].spread != of.UNSPREAD
    return StoreRoom(totals, bins * measures.breakdowns.shape[0], values)


@njit(cache=True)
def has_room(store: Members, room: StoreRoom, events: int) -> Any:
    """Whether so many events more of a member fit."""
    if store.ring[0].head - store.ring[0].tail + room.totals * events > store.pending.shape[0]:
        return False
    counts, values = store.list_counts[0], room.values * events
    if values > store.lists.shape[0] - counts.listed:
        return False
    if values > 0 and (counts.seen + values) * 8 > store.seen.shape[0] * 5:
        return False
    return room.bins == 0 or (counts.bins + room.bins * max(1, events)) * 8 <= store.bins.shape[0] * 5
