"""Expose: entries of units into a run, and what other arms they meet."""

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from evaluation.columns.arrays import Words
from evaluation.columns.hash_table import fill, fingerprint, home, number_of
from evaluation.metrics.kernels.members import (
    FLAGS,
    JUMPER,
    MOST_NUMBERS,
    REASSIGNED,
    SEEN,
    Members,
    find,
    fold_live,
    has_room,
    room_of,
    seek,
)
from evaluation.metrics.kernels.recent import Memory, places_of
from evaluation.metrics.kernels.recount import recount
from evaluation.metrics.kernels.settle import push, unsettle
from evaluation.metrics.kernels.tallies import tally_recent
from evaluation.metrics.layouts import Exposures
from evaluation.metrics.measures import Measures


class ArmTables(NamedTuple):
    """A run's arms, each known by its number."""

    mates: Words  # (arms, words): which arms share an arm's allocation, as bits
    allocations: Words  # (arms,)
    variants: Words  # (arms,): the same number of one variant


@njit(cache=True)
def find_exposed(store: Members, exposures: Exposures, n: int, run: int, memory: Memory, found: Words) -> Any:  # noqa: PLR0917
    """The rows of the first n exposures' units, or -1, into `found`: of those of one run."""
    newest = memory.newest
    for i in range(n):
        found[i] = 0 if exposures[i].run == run else -1
    seen = find(store, exposures, n, found)
    for i in range(n):
        if found[i] < 0 and exposures[i].run == run:
            seen ^= newest[home(fingerprint(exposures[i].unit, 0, 0), newest.shape[0])].word
    return seen


@njit(cache=True)
def _is_earlier(exposure: Any, head: Any, allocations: Words) -> bool:
    """Whether a member enters with this exposure, rather than with the one that it entered with.

    1. The earlier one is the entry.
    2. Of one time it is the one with the smaller insert id.
    3. One that was sent again may have been answered anew, or with other properties: the smallest answer is.
    """
    if exposure.time != head.entry:  # rule 1
        return exposure.time < head.entry
    if exposure.insert_id != head.insert_id:  # rule 2
        return bool(np.uint64(exposure.insert_id) < np.uint64(head.insert_id))
    arm = head.state >> FLAGS
    its = allocations[exposure.arm], exposure.segments, exposure.arm  # rule 3
    return its < (allocations[arm], head.segments, arm)


@njit(cache=True)
def _meet(store: Members, m: int, arm: int, arms: ArmTables, measures: Measures, x: Words) -> None:  # noqa: PLR0917
    """Member m, who is no jumper, meets an arm for the first time.

    1. With another arm of the same allocation it is a jumper: it leaves all sums.
    2. With one of another allocation it stays where it entered. If that is another variant, it is reassigned.
    """
    rows, head, counts = store.rows, store.heads[m], store.counts[0]
    has_jumped = False
    for w in range(arms.mates.shape[1]):
        has_jumped = has_jumped or rows[m, SEEN + w] & arms.mates[arm, w] != 0
    if has_jumped:  # rule 1
        fold_live(store, m, measures, 0, x, -1)
        unsettle(store, m, measures, x)
        store.arm_units[head.state >> FLAGS] -= 1
        counts.jumpers += 1
        if head.state & REASSIGNED:
            counts.reassigned -= 1
        head.state |= JUMPER
        return
    rows[m, SEEN + (arm >> 6)] |= np.int64(1) << (arm & 63)
    if head.state & REASSIGNED == 0 and arms.variants[arm] != arms.variants[head.state >> FLAGS]:  # rule 2
        head.state |= REASSIGNED
        counts.reassigned += 1


@njit(cache=True)
def expose(  # noqa: PLR0917
    store: Members,
    exposures: Exposures,
    begin: int,
    n: int,
    run: int,
    measures: Measures,
    arms: ArmTables,
    memory: Memory,
    found: Words,
    entered: Words,
) -> tuple[int, int]:
    """Fold the exposures of one run from `begin` on.

    1. A unit that is no member enters. (`found` doesn't know of an earlier exposure of this message.)
    2. A member meets the arm: it may jump, or be reassigned.
    3. An exposure earlier than the one that it entered with moves the entry.
    4. With a new entry a member's sums and its recent events are taken out, counted anew, and put in.
    5. A jumper is in no sums. But its entry still says which of its events' notes count, and for which arm.

    There must be room for n members more; where that for pending events ends, so does the loop. `found` is what
    `find_exposed` found. The rows of members that have a new entry go into `entered`.

    Returns: the next exposure, and how many have entered.
    """
    rows, heads, slots, counts, arm_units = store.rows, store.heads, store.slots, store.counts[0], store.arm_units
    has_notes = memory.state[0].notes > 0
    x = np.empty(MOST_NUMBERS, np.int64)
    room = room_of(measures)
    entries = 0
    for i in range(begin, n):
        exposure, m = exposures[i], found[i]
        if exposure.run != run:
            continue
        arm = exposure.arm
        word, bit = SEEN + (arm >> 6), np.int64(1) << (arm & 63)
        mark = p = 0
        if m < 0:
            mark = fingerprint(exposure.unit, 0, 0)
            p = seek(slots, heads, mark, exposure.unit)
            if slots[p] != 0:
                m = number_of(slots[p])
        is_new = m < 0
        if not is_new:
            if heads[m].state & JUMPER == 0 and rows[m, word] & bit == 0:  # rule 2
                _meet(store, m, arm, arms, measures, x)
            if not _is_earlier(exposure, heads[m], arms.allocations):  # rule 3
                continue
        is_jumper = not is_new and heads[m].state & JUMPER != 0
        places = places_of(memory, exposure.unit)
        if not is_jumper and not has_room(store, room, places.shape[0]):
            return i, entries
        if is_new:  # rule 1
            m = counts.members
            counts.members = m + 1
            fill(slots, p, mark, m)
            heads[m].unit = exposure.unit
            rows[m, word] = bit
        head = heads[m]
        if is_new or (not is_jumper and exposure.time < head.entry):
            push(store.heap, counts, exposure.time, m)
        if not is_new:  # rule 4
            if not is_jumper:
                fold_live(store, m, measures, 0, x, -1)
                arm_units[head.state >> FLAGS] -= 1
            if has_notes:
                tally_recent(store, m, measures, 0, memory, places, -1)
        head.entry, head.insert_id, head.segments = exposure.time, exposure.insert_id, exposure.segments
        head.state = (arm << FLAGS) | (head.state & (JUMPER | REASSIGNED))
        if not is_jumper:  # rule 5
            recount(store, m, measures, 0, memory, places)
            fold_live(store, m, measures, 0, x, 1)
            arm_units[arm] += 1
            entered[entries] = m
            entries += 1
        if has_notes:
            tally_recent(store, m, measures, 0, memory, places, 1)
    return n, entries
