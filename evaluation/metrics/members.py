"""Members: the units of one run, with their entry, their arm and their totals, and the sums that these make.

Theory of operation. A member is one row of int64:

    unit | entry | id of the entry's exposure | arm and flags | arms seen, 64 per word | totals: 1 or 2 words per metric

A conversion or a count keeps the number of counted events; a sum keeps the sum of their values, then their number.
Rows stand in the order of arrival; a table of open addressing (32 bits of fingerprint, 32 bits of row) finds a unit's
row. The rest follows from the rows and is kept beside them, so that nothing is ever scanned:

* `cells`: the sums of each metric, reading and arm. Whatever changes a member takes its contribution out and puts the
  new one in.
* `heap`: (entry, row) of the members whose entry could still move; `queue`: the rows of the others, by ascending entry.
  Each metric has a cursor into the queue: the members before it are settled.

Withdrawn members (jumpers) keep their row, so that they stay withdrawn, and nothing else of them counts.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from evaluation.metrics import recent, sums
from evaluation.metrics.recent import LINK, TIME, VALUE, Words, fingerprint, home_shift, newest
from evaluation.metrics.sums import LIMIT, SMALL

# Columns of a member.
UNIT, ENTRY, ENTRY_ID, STATE, SEEN = range(5)
JUMPER, REASSIGNED = 1, 2  # flags in STATE; above them stands the arm
FLAGS = 2

# Columns of an exposure in a message's rows.
E_UNIT, E_TIME, E_ID, E_ARM, E_RUN = range(5)

# Columns of `spec`, one row per metric of the run.
FACT, WINDOW, SINCE, KIND, AT = range(5)
CONVERSION, COUNT, SUM = range(3)
NO_WINDOW = 1 << 61

# What `counts` of a run holds.
MEMBERS, HEAPED, QUEUED, JUMPERS, REASSIGNMENTS, SAME_IDS = range(6)

# What `tallies` holds per metric.
COUNTED, WITHHELD, DUPLICATES, LATES, UNUSABLES = range(5)

LIVE, SETTLED = 0, 1
_FOUR = np.int64(0xFFFFFFFF)


@njit(cache=True)
def _total(rows: Words, m: int, spec: Words, c: int) -> Any:
    total = rows[m, spec[c, AT]]
    if spec[c, KIND] == CONVERSION and total > 1:
        return np.int64(1)
    return total


@njit(cache=True)
def _put_in(rows: Words, m: int, spec: Words, first: int, cells: Words, arms: int, tallies: Words) -> None:  # noqa: PLR0917
    """Add member m to the live sums of the metrics from `first` on."""
    arm = rows[m, STATE] >> FLAGS
    for c in range(first, spec.shape[0]):
        if rows[m, ENTRY] >= spec[c, SINCE]:
            tallies[c, COUNTED] += rows[m, spec[c, AT] + (1 if spec[c, KIND] == SUM else 0)]
            x = _total(rows, m, spec, c)
            if abs(x) < LIMIT:
                sums.add(cells, (2 * c + LIVE) * arms + arm, x)
            else:
                tallies[c, WITHHELD] += 1


@njit(cache=True)
def _take_out(rows: Words, m: int, spec: Words, cells: Words, arms: int, tallies: Words) -> None:  # noqa: PLR0917
    """The inverse of `_put_in`."""
    arm = rows[m, STATE] >> FLAGS
    for c in range(spec.shape[0]):
        if rows[m, ENTRY] >= spec[c, SINCE]:
            tallies[c, COUNTED] -= rows[m, spec[c, AT] + (1 if spec[c, KIND] == SUM else 0)]
            x = _total(rows, m, spec, c)
            if abs(x) < LIMIT:
                sums.remove(cells, (2 * c + LIVE) * arms + arm, x)
            else:
                tallies[c, WITHHELD] -= 1


@njit(cache=True)
def _unsettle(rows: Words, m: int, spec: Words, cells: Words, arms: int, settled: Words) -> None:  # noqa: PLR0917
    arm = rows[m, STATE] >> FLAGS
    for c in range(spec.shape[0]):
        if spec[c, SINCE] <= rows[m, ENTRY] < settled[c, 1]:
            x = _total(rows, m, spec, c)
            if abs(x) < LIMIT:
                sums.remove(cells, (2 * c + SETTLED) * arms + arm, x)


@njit(cache=True)
def _recount(rows: Words, m: int, spec: Words, first: int, ends: int, ring: Words, tail: int, number: int) -> None:  # noqa: PLR0917
    """Count the recent events of member m, of which `number` is the newest, for the metrics from `first` on."""
    entry = rows[m, ENTRY]
    for c in range(first, spec.shape[0]):
        rows[m, spec[c, AT]] = 0
        if spec[c, KIND] == SUM:
            rows[m, spec[c, AT] + 1] = 0
    while number >= tail:
        k = number & (ring.shape[0] - 1)
        time = ring[k, TIME]
        if entry <= time < ends:
            fact = ring[k, LINK] & 0xFFFF
            for c in range(first, spec.shape[0]):
                if spec[c, FACT] == fact and entry >= spec[c, SINCE] and time - entry < spec[c, WINDOW]:
                    at = spec[c, AT]
                    if spec[c, KIND] == SUM:
                        rows[m, at] += ring[k, VALUE]
                        at += 1
                    rows[m, at] += 1
        number = (ring[k, LINK] >> 16) - 1


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
def expose(  # noqa: PLR0917
    exposures: Words,
    n: int,
    run: int,
    rows: Words,
    table: Words,
    heap: Words,
    counts: Words,
    spec: Words,
    ends: int,
    mates: Words,  # (arms, words): which arms share an arm's allocation
    allocations: Words,  # (arms,)
    cells: Words,
    arm_units: Words,
    tallies: Words,
    settled: Words,
    ring: Words,
    tail: int,
    units: Words,
    found: Words,
) -> int:
    """Fold the exposures of one run: entries, jumpers, reassigned units. There must be room for n members more.

    `found` is room for n numbers.
    """
    mask = table.shape[0] - 1
    shift = home_shift(table.shape[0])
    arms = arm_units.shape[0]
    unit_shift = home_shift(units.shape[0])
    for i in range(n):
        found[i] = 0 if exposures[i, E_RUN] == run else -1
    seen = find(rows, table, exposures, E_UNIT, n, found)
    for i in range(n):
        if found[i] < 0 and exposures[i, E_RUN] == run:
            seen ^= units[fingerprint(exposures[i, E_UNIT], 0, 0) >> unit_shift, 1]
    for i in range(n):
        if exposures[i, E_RUN] != run:
            continue
        unit, time, name, arm = exposures[i, E_UNIT], exposures[i, E_TIME], exposures[i, E_ID], exposures[i, E_ARM]
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
            m = counts[MEMBERS]
            counts[MEMBERS] = m + 1
            table[p] = (mark << 32) | m
            rows[m, UNIT] = unit
            rows[m, STATE] = 0
            for w in range(mates.shape[1]):
                rows[m, SEEN + w] = 0
            rows[m, word] = bit
            _push(heap, counts, time, m)
        else:
            state = rows[m, STATE]
            if state & JUMPER:
                continue
            if rows[m, word] & bit == 0:
                jumped = False
                for w in range(mates.shape[1]):
                    jumped = jumped or rows[m, SEEN + w] & mates[arm, w] != 0
                if jumped:
                    _take_out(rows, m, spec, cells, arms, tallies)
                    _unsettle(rows, m, spec, cells, arms, settled)
                    arm_units[state >> FLAGS] -= 1
                    counts[JUMPERS] += 1
                    if state & REASSIGNED:
                        counts[REASSIGNMENTS] -= 1
                    rows[m, STATE] = state | JUMPER
                    continue
                rows[m, word] |= bit
                if state & REASSIGNED == 0:
                    rows[m, STATE] = state | REASSIGNED
                    counts[REASSIGNMENTS] += 1
            entry = rows[m, ENTRY]
            if time > entry:
                continue
            if time == entry and name == rows[m, ENTRY_ID]:  # sent again, and answered under another allocation
                if allocations[arm] >= allocations[state >> FLAGS]:
                    continue
            elif time == entry and np.uint64(name) > np.uint64(rows[m, ENTRY_ID]):
                continue
            _take_out(rows, m, spec, cells, arms, tallies)
            arm_units[state >> FLAGS] -= 1
            if time < entry:
                _push(heap, counts, time, m)
        rows[m, ENTRY], rows[m, ENTRY_ID] = time, name
        rows[m, STATE] = (arm << FLAGS) | (rows[m, STATE] & (JUMPER | REASSIGNED))
        _recount(rows, m, spec, 0, ends, ring, tail, newest(units, unit_shift, unit))
        _put_in(rows, m, spec, 0, cells, arms, tallies)
        arm_units[arm] += 1
    return seen


@njit(cache=True)
def count(  # noqa: PLR0917
    events: Words,
    n: int,
    notes: Words,
    noted: int,
    rows: Words,
    table: Words,
    counts: Words,
    spec: Words,
    ends: int,
    started: int,
    cells: Words,
    arm_units: Words,
    tallies: Words,
    found: Words,
) -> int:
    """Fold n new events and what was noted of the message's events. `found` is room for n numbers."""
    arms = arm_units.shape[0]
    metrics = spec.shape[0]
    for i in range(n):
        found[i] = -1
        for c in range(metrics):
            if spec[c, FACT] == events[i, LINK]:
                found[i] = 0
    seen = find(rows, table, events, recent.UNIT, n, found)
    for i in range(n):
        m = found[i]
        if m < 0 or rows[m, STATE] & JUMPER:
            continue
        time, fact, entry = events[i, TIME], events[i, LINK], rows[m, ENTRY]
        if time < entry or time >= ends:
            continue
        for c in range(metrics):
            if spec[c, FACT] != fact or entry < spec[c, SINCE] or time - entry >= spec[c, WINDOW]:
                continue
            tallies[c, COUNTED] += 1
            before = _total(rows, m, spec, c)
            at = spec[c, AT]
            if spec[c, KIND] == SUM:
                rows[m, at] += events[i, VALUE]
                at += 1
            rows[m, at] += 1
            after = _total(rows, m, spec, c)
            if before != after:
                cell = (2 * c + LIVE) * arms + (rows[m, STATE] >> FLAGS)
                if abs(before) < SMALL and abs(after) < SMALL:
                    sums.change(cells, cell, before, after)
                    continue
                if abs(before) < LIMIT:
                    sums.remove(cells, cell, before)
                else:
                    tallies[c, WITHHELD] -= 1
                if abs(after) < LIMIT:
                    sums.add(cells, cell, after)
                else:
                    tallies[c, WITHHELD] += 1
    for i in range(noted):
        fact, time, what, much = notes[i, 0], notes[i, 1], notes[i, 2], notes[i, 3]
        known = False
        for c in range(metrics):
            if spec[c, FACT] == fact:
                known = True
                if time >= spec[c, SINCE]:
                    if what == recent.DUPLICATE:
                        tallies[c, DUPLICATES] += much
                    elif what == recent.LATE:
                        tallies[c, LATES] += much
                    elif what == recent.UNUSABLE:
                        tallies[c, UNUSABLES] += much
        if known and what == recent.SAME_ID and time >= started:
            counts[SAME_IDS] += much
    return seen


@njit(cache=True)
def cover(  # noqa: PLR0917
    rows: Words,
    counts: Words,
    spec: Words,
    first: int,
    ends: int,
    cells: Words,
    arms: int,
    tallies: Words,
    ring: Words,
    tail: int,
    units: Words,
) -> None:
    """Bring the metrics from `first` on into force for the members that they cover."""
    unit_shift = home_shift(units.shape[0])
    for m in range(counts[MEMBERS]):
        covered = False
        for c in range(first, spec.shape[0]):
            covered = covered or rows[m, ENTRY] >= spec[c, SINCE]
        if covered and rows[m, STATE] & JUMPER == 0:
            _recount(rows, m, spec, first, ends, ring, tail, newest(units, unit_shift, rows[m, UNIT]))
            _put_in(rows, m, spec, first, cells, arms, tallies)


@njit(cache=True)
def settle(  # noqa: PLR0917
    rows: Words,
    heap: Words,
    queue: NDArray[np.int32],
    counts: Words,
    spec: Words,
    cells: Words,
    arms: int,
    settled: Words,  # (metrics, 2): cursor into the queue; entries before this time are settled
    bound: int,  # clock - horizon: entries before it are final
) -> None:
    """Settle every member whose time has come, metric by metric."""
    while counts[HEAPED] > 0 and heap[0, 0] < bound:
        if rows[heap[0, 1], ENTRY] == heap[0, 0]:  # else the entry has moved, and stands in the heap again
            queue[counts[QUEUED]] = heap[0, 1]
            counts[QUEUED] += 1
        _pop(heap, counts)
    for c in range(spec.shape[0]):
        if spec[c, WINDOW] >= NO_WINDOW:
            continue
        before = max(settled[c, 1], bound - spec[c, WINDOW])
        k = settled[c, 0]
        while k < counts[QUEUED] and rows[queue[k], ENTRY] < before:
            m = queue[k]
            if rows[m, STATE] & JUMPER == 0 and rows[m, ENTRY] >= spec[c, SINCE]:
                x = _total(rows, m, spec, c)
                if abs(x) < LIMIT:
                    sums.add(cells, (2 * c + SETTLED) * arms + (rows[m, STATE] >> FLAGS), x)
            k += 1
        settled[c, 0] = k
        settled[c, 1] = before
