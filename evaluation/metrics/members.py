"""Members: the units of one run, with their entry, their arm and their totals, and the sums that these make.

Theory of operation. A member is one row of int64:

    unit | entry | id of the entry's exposure | arm and flags | segments | arms seen, 64 per word | totals (measures.py)

Rows stand in the order of arrival; a table of open addressing (32 bits of fingerprint, 32 bits of row) finds a unit's
row. The rest follows from the rows and is kept beside them, so that nothing is ever scanned:

* `cells`: the sums of each metric, reading, arm and segment. Whatever changes a member takes its contribution out and
  puts the new one in: once for each breakdown, without any into the only segment that there is then.
* `heap`: (entry, row) of the members whose entry could still move; `queue`: the rows of the others, by ascending entry.
  Each metric has a cursor into the queue: the members before it are settled.

Withdrawn members (jumpers) keep their row, so that they stay withdrawn. Of them nothing else counts but what is noted
of their events: a note counts if the event lies in the window of a unit that has entered, whatever became of the unit,
and in the arm of its entry, so that nothing needs to be taken back of notes that are forgotten.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from evaluation.metrics import measures as of
from evaluation.metrics import ordered, recent, sums
from evaluation.metrics.measures import Measures
from evaluation.metrics.recent import LINK, NOTED, TIME, VALUE, Words, fingerprint, home_shift, newest
from evaluation.metrics.sums import LIMIT
from schemas.units import SEGMENT_BITS

# Columns of a member.
UNIT, ENTRY, ENTRY_ID, STATE, SEGMENTS, SEEN = range(6)
JUMPER, REASSIGNED = 1, 2  # flags in STATE; above them stands the arm
FLAGS = 2

# Columns of an exposure in a message's rows.
E_UNIT, E_TIME, E_ID, E_ARM, E_RUN, E_SEGMENTS = range(6)

# What `counts` of a run holds.
MEMBERS, HEAPED, QUEUED, JUMPERS, REASSIGNMENTS, SAME_IDS = range(6)

# What `tallies` holds per metric.
COUNTED, WITHHELD, DUPLICATES, LATES, UNUSABLES, LOOKED_BACK, CROWDED = range(7)

# What `parts` holds per variable and arm: events that count, and those of which it makes no number.
KEPT, LOST = range(2)

LIVE, SETTLED = 0, 1
MOST_NUMBERS = 4  # of a unit in one column
_FOUR = np.int64(0xFFFFFFFF)
_SEGMENT = (1 << SEGMENT_BITS) - 1


class Members(NamedTuple):
    """The arrays of one run."""

    rows: Words  # (room, words)
    table: Words  # (slots,)
    counts: Words  # (6,)
    cells: Words  # flat
    arm_units: Words  # (arms,)
    tallies: Words  # (metrics, 7)
    parts: Words  # (variables, arms, 2)
    settled: Words  # (metrics, 2): cursor into the queue; entries before this time are settled
    heap: Words  # (room, 2)
    pending: Words  # (room, 7), see ordered.py
    ring: Words  # (2,) where its events begin and end


class Memory(NamedTuple):
    """The recent events of the partition."""

    ring: Words
    tail: int
    units: Words
    notes: int  # among them


@njit(cache=True)
def _cell(rows: Words, m: int, measures: Measures, c: int, reading: int, arms: int, b: int) -> Any:  # noqa: PLR0917
    """Where member m's cell of a reading of column c stands, by its segment of breakdown b."""
    last = measures.breakdowns.shape[0] - 1
    segments = measures.breakdowns[last, of.B_FIRST] + measures.breakdowns[last, of.B_SEGMENTS]
    segment = (rows[m, SEGMENTS] >> (SEGMENT_BITS * b)) & _SEGMENT
    if segment >= measures.breakdowns[b, of.B_SEGMENTS]:
        segment = 0
    place = (reading * arms + (rows[m, STATE] >> FLAGS)) * segments + measures.breakdowns[b, of.B_FIRST] + segment
    return measures.columns[c, of.C_CELL] + place * sums.size(measures.columns[c, of.C_NUMBERS])


@njit(cache=True)
def _fold(rows: Words, m: int, measures: Measures, c: int, reading: int, store: Members, x: Words, one: int) -> None:  # noqa: PLR0917
    """Member m with its numbers x of column c enters its cells (`one` is 1) or leaves them (-1)."""
    for b in range(measures.breakdowns.shape[0]):
        at = _cell(rows, m, measures, c, reading, store.arm_units.shape[0], b)
        sums.fold(store.cells, at, x, measures.columns[c, of.C_NUMBERS], one)


@njit(cache=True)
def _tell_counted(m: int, measures: Measures, c: int, store: Members, one: int) -> None:
    """Add what makes up member m's totals of column c to what is told of it (`one` is 1), or take it back (-1)."""
    rows, first = store.rows, measures.columns[c, of.C_FIRST]
    for v in range(first, first + measures.columns[c, of.C_VARIABLES]):
        events = one * of.events_of(rows[m, measures.variables[v, of.V_AT] + of.EVENTS])
        store.tallies[c, COUNTED] += events
        store.parts[v, rows[m, STATE] >> FLAGS, KEPT] += events
    store.tallies[c, CROWDED] += one * of.is_crowded(rows, m, measures, c)
    store.tallies[c, LOOKED_BACK] += one * of.is_looked_back(rows[m, ENTRY], measures.columns, c)


@njit(cache=True)
def _fold_live(m: int, measures: Measures, first: int, store: Members, x: Words, one: int) -> None:  # noqa: PLR0917
    """Member m enters the live sums of the columns from `first` on (`one` is 1) or leaves them (-1)."""
    rows, tallies = store.rows, store.tallies
    for c in range(first, measures.columns.shape[0]):
        if rows[m, ENTRY] >= measures.columns[c, of.C_SINCE]:
            _tell_counted(m, measures, c, store, one)
            if of.numbers(rows, m, measures, c, x):
                _fold(rows, m, measures, c, LIVE, store, x, one)
            else:
                tallies[c, WITHHELD] += one


@njit(cache=True)
def _unsettle(m: int, measures: Measures, store: Members, x: Words) -> None:
    for c in range(measures.columns.shape[0]):
        is_settled = measures.columns[c, of.C_SINCE] <= store.rows[m, ENTRY] < store.settled[c, 1]
        if is_settled and of.numbers(store.rows, m, measures, c, x):
            _fold(store.rows, m, measures, c, SETTLED, store, x, -1)


@njit(cache=True)
def _count_event(  # noqa: PLR0917
    m: int, measures: Measures, r: int, store: Members, time: int, name: int, value: int, sign: int
) -> bool:
    """Count an event for feed r, or take back one with a value (`sign` is -1).

    Returns: whether its total is still to be made, by `ordered.run_through`.
    """
    rows, v = store.rows, measures.feeds[r, of.F_VARIABLE]
    kind, at = measures.variables[v, of.V_KIND], measures.variables[v, of.V_AT]
    if kind >= of.FUNNEL:
        steps = measures.feeds[r, of.F_STEPS]
        return ordered.put(rows, m, measures.variables, v, store.pending, store.ring, time, name, steps)
    if kind >= of.SUM:
        of.add_value(rows, m, at, value, sign)
    else:
        rows[m, at + of.EVENTS] += 1
    return False


@njit(cache=True)
def _places(memory: Memory, number: int) -> Words:
    """Where a unit's recent events stand, of which `number` is the newest, in the order of arrival."""
    mask = memory.ring.shape[0] - 1
    n = 0
    each = number
    while each >= memory.tail:
        n += 1
        each = recent.link_of(memory.ring[each & mask]) - 1
    places = np.empty(n, np.int64)
    for i in range(n - 1, -1, -1):
        places[i] = number & mask
        number = recent.link_of(memory.ring[places[i]]) - 1
    return places


@njit(cache=True)
def _are_in_order(memory: Memory, places: Words) -> bool:
    """Whether the events ascend by time and id."""
    for i in range(1, places.shape[0]):
        before, after = memory.ring[places[i - 1]], memory.ring[places[i]]
        if before[TIME] > after[TIME]:
            return False
        if before[TIME] == after[TIME] and np.uint64(before[recent.ID]) > np.uint64(after[recent.ID]):
            return False
    return True


@njit(cache=True)
def _recount(m: int, measures: Measures, first: int, ends: int, store: Members, memory: Memory, places: Words) -> None:  # noqa: PLR0917
    """Count member m's recent events, which stand at `places` by arrival, for the columns from `first` on.

    The covariates are left at nothing.
    """
    rows, variables, columns = store.rows, measures.variables, measures.columns
    entry = rows[m, ENTRY]
    if _ordered(measures) and not _are_in_order(memory, places):  # sorted, each comes last in its total
        places = places[np.argsort(memory.ring[places, recent.ID].view(np.uint64), kind="mergesort")]
        places = places[np.argsort(memory.ring[places, TIME], kind="mergesort")]
    for v in range(variables.shape[0]):
        c = variables[v, of.V_COLUMN]
        if c < first:
            continue
        at, kind = variables[v, of.V_AT], variables[v, of.V_KIND]
        rows[m, at + of.EVENTS] = 0
        if kind >= of.FUNNEL:
            ordered.forget(rows, m, variables, v, store.pending)
        elif kind >= of.SUM:
            rows[m, at + of.VALUES] = 0
        if columns[c, of.C_WIDTH] > 0:
            rows[m, variables[v, of.V_PAST] + of.EVENTS] = 0
            if kind >= of.SUM:
                rows[m, variables[v, of.V_PAST] + of.VALUES] = 0
    for k in places:
        time = memory.ring[k, TIME]
        if entry <= time < ends:
            fact = memory.ring[k, LINK] & 0xFFFF
            for r in range(measures.feeds.shape[0]):
                if measures.feeds[r, of.F_FACT] != fact:
                    continue
                v = measures.feeds[r, of.F_VARIABLE]
                c = variables[v, of.V_COLUMN]
                if c < first or entry < columns[c, of.C_SINCE] or time - entry >= columns[c, of.C_WINDOW]:
                    continue
                if of.can_hold(variables, v, memory.ring[k, VALUE]):
                    _count_event(m, measures, r, store, time, memory.ring[k, recent.ID], memory.ring[k, VALUE], 1)
    for v in range(variables.shape[0]):
        if variables[v, of.V_KIND] >= of.FUNNEL and variables[v, of.V_COLUMN] >= first:
            ordered.run_through(rows, m, variables, v, store.pending)


@njit(cache=True)
def _is_unusable(what: int, measures: Measures, v: int) -> bool:
    """Whether a note says that the variable makes no number of the event."""
    if what == recent.TOO_LARGE:
        return not of.can_hold(measures.variables, v, LIMIT)
    if what == recent.TOO_SMALL:
        return not of.can_hold(measures.variables, v, -LIMIT)
    return what == recent.UNUSABLE


@njit(cache=True)
def _tally(  # noqa: PLR0917
    m: int, measures: Measures, first: int, ends: int, store: Members, fact: int, time: int, what: int, one: int
) -> None:
    """Add `one` to what is noted of the columns from `first` on, of whose window for member m the event is.

    Ids are counted once for all columns.
    """
    tallies, columns, entry = store.tallies, measures.columns, store.rows[m, ENTRY]
    if not entry <= time < ends:
        return
    is_known = is_new = False
    for r in range(measures.feeds.shape[0]):
        if measures.feeds[r, of.F_FACT] != fact:
            continue
        v = measures.feeds[r, of.F_VARIABLE]
        c = measures.variables[v, of.V_COLUMN]
        if entry < columns[c, of.C_SINCE] or time - entry >= columns[c, of.C_WINDOW]:
            continue
        if c >= first and _is_unusable(what, measures, v):
            store.parts[v, store.rows[m, STATE] >> FLAGS, LOST] += one
        if not measures.feeds[r, of.F_IS_FIRST]:
            continue
        if c < first:
            is_known = True
            continue
        is_new = True
        if what == recent.DUPLICATE:
            tallies[c, DUPLICATES] += one
        elif what == recent.LATE:
            tallies[c, LATES] += one
        elif _is_unusable(what, measures, v):
            tallies[c, UNUSABLES] += one
    if what == recent.SAME_ID and is_new and not is_known:
        store.counts[SAME_IDS] += one


@njit(cache=True)
def _tally_all(  # noqa: PLR0917
    m: int, measures: Measures, first: int, ends: int, store: Members, memory: Memory, places: Words, one: int
) -> None:
    """The same for what is kept of notes of member m's events: not called where nothing is, for a call costs."""
    for k in places:
        fact = memory.ring[k, LINK] & 0xFFFF
        if fact & NOTED:
            time, what = memory.ring[k, TIME], memory.ring[k, VALUE]
            _tally(m, measures, first, ends, store, fact & ~NOTED, time, what, one)


@njit(cache=True)
def _ordered(measures: Measures) -> int:
    """How many totals are ordered ones."""
    totals = 0
    for v in range(measures.variables.shape[0]):
        totals += measures.variables[v, of.V_KIND] >= of.FUNNEL
    return totals


@njit(cache=True)
def _has_room(store: Members, events: int) -> bool:
    """Whether so many pending events more fit."""
    return store.ring[ordered.HEAD] - store.ring[ordered.TAIL] + events <= store.pending.shape[0]


@njit(cache=True)
def _push(heap: Words, counts: Words, entry: int, m: int) -> None:
    k = counts[HEAPED]
    counts[HEAPED] = k + 1
    while k > 0 and heap[(k - 1) >> 1, 0] > entry:
        heap[k, 0], heap[k, 1] = heap[(k - 1) >> 1, 0], heap[(k - 1) >> 1, 1]
        k = (k - 1) >> 1
    heap[k, 0], heap[k, 1] = entry, m


@njit(cache=True)
def _pop(heap: Words, counts: Words) -> None:
    n = counts[HEAPED] - 1
    counts[HEAPED] = n
    entry, m = heap[n, 0], heap[n, 1]
    k = 0
    while True:
        child = 2 * k + 1
        if child >= n:
            break
        if child + 1 < n and heap[child + 1, 0] < heap[child, 0]:
            child += 1
        if heap[child, 0] >= entry:
            break
        heap[k, 0], heap[k, 1] = heap[child, 0], heap[child, 1]
        k = child
    heap[k, 0], heap[k, 1] = entry, m


@njit(cache=True)
def find(rows: Words, table: Words, who: Words, column: int, count: int, found: Words) -> Any:  # noqa: PLR0917
    """The rows of the first `count` units in a column of `who`, or -1, into `found`; where that is -1 nobody asks.

    In passes, so that cache misses overlap: first the homes, then the rows that they name.
    """
    mask = table.shape[0] - 1
    shift = home_shift(table.shape[0])
    seen = np.int64(0)
    for i in range(count):
        if found[i] >= 0:
            found[i] = fingerprint(who[i, column], 0, 0)
            seen ^= table[found[i] >> shift]
    last = rows.shape[1] - 1
    for i in range(count):
        if found[i] < 0:
            continue
        unit = who[i, column]
        mark = found[i]
        p = mark >> shift
        m = np.int64(-1)
        while table[p] != 0:
            if (table[p] >> 32) & _FOUR == mark and rows[table[p] & _FOUR, UNIT] == unit:
                m = table[p] & _FOUR
                seen ^= rows[m, last]
                break
            p = (p + 1) & mask
        found[i] = m
    return seen


@njit(cache=True)
def fill(rows: Words, n: int, table: Words) -> None:
    """Enter the first n members into an empty table."""
    mask = table.shape[0] - 1
    shift = home_shift(table.shape[0])
    for m in range(n):
        mark = fingerprint(rows[m, UNIT], 0, 0)
        p = mark >> shift
        while table[p] != 0:
            p = (p + 1) & mask
        table[p] = (mark << 32) | m


@njit(cache=True)
def find_exposed(exposures: Words, n: int, run: int, store: Members, memory: Memory, found: Words) -> Any:  # noqa: PLR0917
    """The rows of the first n exposures' units, or -1, into `found`: of those of one run."""
    unit_shift = home_shift(memory.units.shape[0])
    for i in range(n):
        found[i] = 0 if exposures[i, E_RUN] == run else -1
    seen = find(store.rows, store.table, exposures, E_UNIT, n, found)
    for i in range(n):
        if found[i] < 0 and exposures[i, E_RUN] == run:
            seen ^= memory.units[fingerprint(exposures[i, E_UNIT], 0, 0) >> unit_shift, 1]
    return seen


@njit(cache=True)
def expose(  # noqa: PLR0917
    exposures: Words,
    begin: int,
    n: int,
    run: int,
    store: Members,
    measures: Measures,
    ends: int,
    mates: Words,  # (arms, words): which arms share an arm's allocation
    allocations: Words,  # (arms,)
    variants: Words,  # (arms,)
    memory: Memory,
    found: Words,
    entered: Words,
) -> tuple[int, int]:
    """Fold the exposures of one run from `begin` on: entries, jumpers, reassigned units.

    There must be room for n members more; where that for pending events ends, so does the loop. `found` is what
    `find_exposed` found. The rows of members that have a new entry go into `entered`.

    Returns: the next exposure, and how many have entered.
    """
    rows, table, counts, arm_units = store.rows, store.table, store.counts, store.arm_units
    mask = table.shape[0] - 1
    shift = home_shift(table.shape[0])
    unit_shift = home_shift(memory.units.shape[0])
    x = np.empty(MOST_NUMBERS, np.int64)
    totals = _ordered(measures)
    entries = 0
    for i in range(begin, n):
        if exposures[i, E_RUN] != run:
            continue
        unit, time, name, arm = exposures[i, E_UNIT], exposures[i, E_TIME], exposures[i, E_ID], exposures[i, E_ARM]
        segments = exposures[i, E_SEGMENTS]
        word = SEEN + (arm >> 6)
        bit = np.int64(1) << (arm & 63)
        m = found[i]
        if m < 0:  # unless an earlier row of this message was its first
            mark = fingerprint(unit, 0, 0)
            p = mark >> shift
            while table[p] != 0:
                if (table[p] >> 32) & _FOUR == mark and rows[table[p] & _FOUR, UNIT] == unit:
                    m = table[p] & _FOUR
                    break
                p = (p + 1) & mask
        if m < 0:
            places = _places(memory, newest(memory.units, unit_shift, unit))
            if not _has_room(store, totals * places.shape[0]):
                return i, entries
            m = counts[MEMBERS]
            counts[MEMBERS] = m + 1
            table[p] = (mark << 32) | m
            rows[m, UNIT] = unit
            rows[m, STATE] = 0
            for w in range(mates.shape[1]):
                rows[m, SEEN + w] = 0
            rows[m, word] = bit
            _push(store.heap, counts, time, m)
        else:
            state, entry = rows[m, STATE], rows[m, ENTRY]
            if state & JUMPER == 0 and rows[m, word] & bit == 0:
                jumped = False
                for w in range(mates.shape[1]):
                    jumped = jumped or rows[m, SEEN + w] & mates[arm, w] != 0
                if jumped:
                    _fold_live(m, measures, 0, store, x, -1)
                    _unsettle(m, measures, store, x)
                    arm_units[state >> FLAGS] -= 1
                    counts[JUMPERS] += 1
                    if state & REASSIGNED:
                        counts[REASSIGNMENTS] -= 1
                    rows[m, STATE] = state | JUMPER
                else:
                    rows[m, word] |= bit
                    if state & REASSIGNED == 0 and variants[arm] != variants[state >> FLAGS]:
                        rows[m, STATE] = state | REASSIGNED
                        counts[REASSIGNMENTS] += 1
            if time > entry:
                continue
            if time == entry and name == rows[m, ENTRY_ID]:  # sent again: answered anew, or with other properties
                before, its = allocations[state >> FLAGS], rows[m, SEGMENTS]
                if (allocations[arm], segments, arm) >= (before, its, state >> FLAGS):
                    continue
            elif time == entry and np.uint64(name) > np.uint64(rows[m, ENTRY_ID]):
                continue
            if rows[m, STATE] & JUMPER:  # its entry still says which of its events' notes count, and for which arm
                places = _places(memory, newest(memory.units, unit_shift, unit))
                if memory.notes > 0:
                    _tally_all(m, measures, 0, ends, store, memory, places, -1)
                rows[m, ENTRY], rows[m, ENTRY_ID], rows[m, SEGMENTS] = time, name, segments
                rows[m, STATE] = (arm << FLAGS) | (rows[m, STATE] & (JUMPER | REASSIGNED))
                if memory.notes > 0:
                    _tally_all(m, measures, 0, ends, store, memory, places, 1)
                continue
            places = _places(memory, newest(memory.units, unit_shift, unit))
            if not _has_room(store, totals * places.shape[0]):
                return i, entries
            _fold_live(m, measures, 0, store, x, -1)
            if memory.notes > 0:
                _tally_all(m, measures, 0, ends, store, memory, places, -1)
            arm_units[state >> FLAGS] -= 1
            if time < entry:
                _push(store.heap, counts, time, m)
        rows[m, ENTRY], rows[m, ENTRY_ID], rows[m, SEGMENTS] = time, name, segments
        rows[m, STATE] = (arm << FLAGS) | (rows[m, STATE] & (JUMPER | REASSIGNED))
        _recount(m, measures, 0, ends, store, memory, places)
        _fold_live(m, measures, 0, store, x, 1)
        if memory.notes > 0:
            _tally_all(m, measures, 0, ends, store, memory, places, 1)
        arm_units[arm] += 1
        entered[entries] = m
        entries += 1
    return n, entries


@njit(cache=True)
def look_back(m_s: Words, found: Words, c: int, v: int, measures: Measures, store: Members) -> None:  # noqa: PLR0917
    """Set the covariate of variable v in column c of members, from what `Past.look_up` found."""
    rows, at = store.rows, measures.variables[v, of.V_PAST]
    x = np.empty(MOST_NUMBERS, np.int64)
    for i in range(m_s.shape[0]):
        m = m_s[i]
        if rows[m, STATE] & JUMPER or rows[m, ENTRY] < measures.columns[c, of.C_SINCE]:
            continue
        if of.numbers(rows, m, measures, c, x):
            _fold(rows, m, measures, c, LIVE, store, x, -1)
        else:
            store.tallies[c, WITHHELD] -= 1
        rows[m, at + of.EVENTS] = found[i, 0] + (found[i, 2] << of.EVENT_BITS)
        if measures.variables[v, of.V_KIND] >= of.SUM:
            rows[m, at + of.VALUES] = found[i, 1]
        if of.numbers(rows, m, measures, c, x):
            _fold(rows, m, measures, c, LIVE, store, x, 1)
        else:
            store.tallies[c, WITHHELD] += 1


@njit(cache=True)
def find_fed(events: Words, n: int, store: Members, measures: Measures, found: Words) -> Any:
    """The rows of the first n events' units, or -1, into `found`: of those that some column reads."""
    for i in range(n):
        found[i] = -1
        for r in range(measures.feeds.shape[0]):
            if measures.feeds[r, of.F_FACT] == events[i, LINK]:
                found[i] = 0
    return find(store.rows, store.table, events, recent.UNIT, n, found)


@njit(cache=True)
def count(  # noqa: PLR0917
    events: Words, begin: int, n: int, store: Members, measures: Measures, ends: int, found: Words, sign: int
) -> int:
    """Fold new events from `begin` on, or take back such with a value (`sign` is -1).

    Where the room for pending events ends, so does the loop: the next event.
    """
    rows, tallies, cells = store.rows, store.tallies, store.cells
    feeds, variables, columns = measures.feeds, measures.variables, measures.columns
    arms = store.arm_units.shape[0]
    x, y = np.empty(MOST_NUMBERS, np.int64), np.empty(MOST_NUMBERS, np.int64)
    room = _ordered(measures)
    for i in range(begin, n):
        m = found[i]
        if m < 0 or rows[m, STATE] & JUMPER:
            continue
        if not _has_room(store, room):
            return i
        time, fact, entry = events[i, TIME], events[i, LINK], rows[m, ENTRY]
        if time >= ends:
            continue
        for r in range(feeds.shape[0]):
            if feeds[r, of.F_FACT] != fact:
                continue
            v = feeds[r, of.F_VARIABLE]
            c = variables[v, of.V_COLUMN]
            if entry < columns[c, of.C_SINCE]:
                continue
            if not of.can_hold(variables, v, events[i, VALUE]):
                continue
            is_before = time < entry
            if is_before:
                if columns[c, of.C_WIDTH] == 0 or abs(events[i, VALUE]) >= LIMIT:
                    continue
                bucket = time // columns[c, of.C_WIDTH]
                if not of.first_bucket(entry, columns, c) <= bucket < entry // columns[c, of.C_WIDTH]:
                    continue
            elif time - entry >= columns[c, of.C_WINDOW]:
                continue
            else:
                tallies[c, COUNTED] += sign
                store.parts[v, rows[m, STATE] >> FLAGS, KEPT] += sign
            k = columns[c, of.C_NUMBERS]
            had = of.numbers(rows, m, measures, c, x)
            is_ordered = variables[v, of.V_KIND] >= of.FUNNEL
            was_crowded = of.is_crowded(rows, m, measures, c) if is_ordered else 0
            if is_before:
                if variables[v, of.V_KIND] >= of.SUM:
                    of.add_value(rows, m, variables[v, of.V_PAST], events[i, VALUE], sign)
                else:
                    rows[m, variables[v, of.V_PAST] + of.EVENTS] += 1
            elif _count_event(m, measures, r, store, time, events[i, recent.ID], events[i, VALUE], sign):
                ordered.run_through(rows, m, variables, v, store.pending)
            if is_ordered:
                tallies[c, CROWDED] += of.is_crowded(rows, m, measures, c) - was_crowded
            has = of.numbers(rows, m, measures, c, y)
            if k == 1 and had and has:
                if x[0] != y[0]:
                    for b in range(measures.breakdowns.shape[0]):
                        sums.change(cells, _cell(rows, m, measures, c, LIVE, arms, b), x[0], y[0])
                continue
            if had:
                _fold(rows, m, measures, c, LIVE, store, x, -1)
            else:
                tallies[c, WITHHELD] -= 1
            if has:
                _fold(rows, m, measures, c, LIVE, store, y, 1)
            else:
                tallies[c, WITHHELD] += 1
    return n


@njit(cache=True)
def find_noted(notes: Words, noted: int, store: Members, measures: Measures, found: Words) -> Any:
    """The rows of the notes' units, or -1, into `found`: of those that some column reads."""
    for i in range(noted):
        found[i] = -1
        for r in range(measures.feeds.shape[0]):
            if measures.feeds[r, of.F_FACT] == notes[i, recent.N_FACT]:
                found[i] = 0
    return find(store.rows, store.table, notes, recent.N_UNIT, noted, found)


@njit(cache=True)
def note(notes: Words, noted: int, store: Members, measures: Measures, ends: int, found: Words) -> None:  # noqa: PLR0917
    """Fold what was noted of a message's events."""
    for i in range(noted):
        if found[i] >= 0:
            fact, time, what = notes[i, recent.N_FACT], notes[i, recent.N_TIME], notes[i, recent.N_WHAT]
            _tally(found[i], measures, 0, ends, store, fact, time, what, 1)


@njit(cache=True)
def cover(begin: int, store: Members, measures: Measures, first: int, ends: int, memory: Memory) -> int:  # noqa: PLR0917
    """Bring the columns from `first` on into force for the members from `begin` on that they cover.

    Where the room for pending events ends, so does the loop: the next member.
    """
    rows = store.rows
    unit_shift = home_shift(memory.units.shape[0])
    x = np.empty(MOST_NUMBERS, np.int64)
    totals = _ordered(measures)
    for m in range(begin, store.counts[MEMBERS]):
        covered = False
        for c in range(first, measures.columns.shape[0]):
            covered = covered or rows[m, ENTRY] >= measures.columns[c, of.C_SINCE]
        if not covered:
            continue
        places = _places(memory, newest(memory.units, unit_shift, rows[m, UNIT]))
        if rows[m, STATE] & JUMPER == 0:
            if not _has_room(store, totals * places.shape[0]):
                return m
            _recount(m, measures, first, ends, store, memory, places)
            _fold_live(m, measures, first, store, x, 1)
        if memory.notes > 0:
            _tally_all(m, measures, first, ends, store, memory, places, 1)
    return store.counts[MEMBERS]


@njit(cache=True)
def settle(store: Members, queue: NDArray[np.int32], measures: Measures, bound: int) -> None:
    """Settle every member whose time has come, metric by metric.

    `bound` is the clock less the horizon: entries before it are final.
    """
    rows, heap, counts, settled = store.rows, store.heap, store.counts, store.settled
    x = np.empty(MOST_NUMBERS, np.int64)
    while counts[HEAPED] > 0 and heap[0, 0] < bound:
        if rows[heap[0, 1], ENTRY] == heap[0, 0]:  # else the entry has moved, and stands in the heap again
            queue[counts[QUEUED]] = heap[0, 1]
            counts[QUEUED] += 1
        _pop(heap, counts)
    for c in range(measures.columns.shape[0]):
        if measures.columns[c, of.C_WINDOW] >= of.NO_WINDOW:
            continue
        before = max(settled[c, 1], bound - measures.columns[c, of.C_WINDOW])
        k = settled[c, 0]
        while k < counts[QUEUED] and rows[queue[k], ENTRY] < before:
            m = queue[k]
            is_covered = rows[m, STATE] & JUMPER == 0 and rows[m, ENTRY] >= measures.columns[c, of.C_SINCE]
            if is_covered and of.numbers(rows, m, measures, c, x):
                _fold(rows, m, measures, c, SETTLED, store, x, 1)
            k += 1
        settled[c, 0] = k
        settled[c, 1] = before
