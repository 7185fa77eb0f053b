"""Settle: who waits for an entry that can't move any more, and whose totals then are final."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from evaluation.columns.arrays import Words
from evaluation.metrics import measures as of
from evaluation.metrics.kernels.members import JUMPER, MOST_NUMBERS, SETTLED, Members, fold
from evaluation.metrics.layouts import Heap
from evaluation.metrics.measures import Measures


@njit(cache=True)
def push(heap: Heap, counts: Any, entry: int, m: int) -> None:
    """Let member m wait with its entry."""
    k = counts.heaped
    counts.heaped = k + 1
    while k > 0 and heap[(k - 1) >> 1].entry > entry:
        heap[k] = heap[(k - 1) >> 1]
        k = (k - 1) >> 1
    heap[k].entry, heap[k].member = entry, m


@njit(cache=True)
def _pop(heap: Heap, counts: Any) -> None:
    """Take out the earliest entry."""
    n = counts.heaped - 1
    counts.heaped = n
    entry, m = heap[n].entry, heap[n].member
    k = 0
    while True:
        child = 2 * k + 1
        if child >= n:
            break
        if child + 1 < n and heap[child + 1].entry < heap[child].entry:
            child += 1
        if heap[child].entry >= entry:
            break
        heap[k] = heap[child]
        k = child
    heap[k].entry, heap[k].member = entry, m


@njit(cache=True)
def settle(store: Members, queue: NDArray[np.int32], measures: Measures, bound: int) -> None:
    """Settle every member whose time has come, column by column. Entries before `bound` are final."""
    heads, heap, counts = store.heads, store.heap, store.counts[0]
    x = np.empty(MOST_NUMBERS, np.int64)
    while counts.heaped > 0 and heap[0].entry < bound:
        if heads[heap[0].member].entry == heap[0].entry:  # else the entry has moved, and stands in the heap again
            queue[counts.queued] = heap[0].member
            counts.queued += 1
        _pop(heap, counts)
    for c in range(measures.columns.shape[0]):
        column, its = measures.columns[c], store.settled[c]
        if column.window >= of.NO_WINDOW:
            continue
        before = max(its.before, bound - column.window)
        k = its.cursor
        while k < counts.queued and heads[queue[k]].entry < before:
            m = queue[k]
            is_covered = heads[m].state & JUMPER == 0 and heads[m].entry >= column.since
            if is_covered and of.numbers(store.rows, m, measures, c, x):
                fold(store, m, measures, c, SETTLED, x, 1)
            k += 1
        its.cursor, its.before = k, before


@njit(cache=True)
def unsettle(store: Members, m: int, measures: Measures, x: Words) -> None:
    """Member m leaves the settled sums that it is in."""
    for c in range(measures.columns.shape[0]):
        is_settled = measures.columns[c].since <= store.heads[m].entry < store.settled[c].before
        if is_settled and of.numbers(store.rows, m, measures, c, x):
            fold(store, m, measures, c, SETTLED, x, -1)
