"""Spread: how a column's values are spread, by bucket, in each cell.

Theory of operation. Of units' totals a cell counts in which bucket each is. Of events' values every unit has a list of
the buckets that its events are in, ascending, with how many each; so whatever takes a unit out of its sums takes its
values out too. Events of one unit depend on each other: beside how many values a bucket has, a cell adds up what tells
how much they do (schemas.aggregate.Spread). A list is as long as a unit's values differ, and is gone through for each
of its events.

Lists stand in one table, linked by number; bins in a hash table by cell and bucket, live and settled ones side by side:
whoever settles has been counted live, so nothing is new then. A bin that has become empty keeps its place.
"""

from typing import Any

import numpy as np
from numba import njit

from evaluation.columns.arrays import Words
from evaluation.columns.buckets import bucket_of
from evaluation.columns.hash_table import fingerprint, place
from evaluation.metrics.layouts import Bins, ListCounts, Lists, Variables
from evaluation.metrics.measures import EVENTS, LIST, LISTED, OF_EVENTS

ABOVE_0 = 1 << 20  # added to buckets, it makes them keys
ARM, COLUMN = 16, 40  # bits of a bin's cell from which on they stand


@njit(cache=True)
def put(rows: Words, m: int, at: int, lists: Lists, counts: ListCounts, key: int, sign: int) -> None:  # noqa: PLR0917
    """One more event with that key in the list of the total at `at`, or one less (`sign` is -1)."""
    rows[m, at + EVENTS] += sign
    last, k = np.int64(-1), rows[m, at + LIST] - 1
    while k >= 0 and lists[k].key < key:
        last, k = k, lists[k].next - 1
    after = k + 1
    if k >= 0 and lists[k].key == key:
        lists[k].events += sign
        if lists[k].events != 0:
            return
        after = lists[k].next
        lists[k].next, counts[0].free = counts[0].free, k + 1
    else:
        k = counts[0].free - 1
        if k >= 0:
            counts[0].free = lists[k].next
        else:
            k = counts[0].listed
            counts[0].listed = k + 1
        lists[k].key, lists[k].events, lists[k].next = key, sign, after
        after = k + 1
    if last >= 0:
        lists[last].next = after
    else:
        rows[m, at + LIST] = after


@njit(cache=True)
def forget(rows: Words, m: int, at: int, lists: Lists, counts: ListCounts) -> None:
    """The list of the total at `at` is empty."""
    k = rows[m, at + LIST] - 1
    if k < 0:
        return
    rows[m, at + LIST] = 0
    first = k + 1
    while lists[k].next != 0:
        k = lists[k].next - 1
    lists[k].next, counts[0].free = counts[0].free, first


@njit(cache=True)
def _add(  # noqa: PLR0917
    bins: Bins, counts: ListCounts, cell: int, bucket: int, settled: bool, values: int, squares: int, products: int
) -> None:
    word = bucket + ABOVE_0
    p = place(bins, fingerprint(cell, 0, word), cell, word, 0)
    if bins[p].word == 0:
        bins[p].unit, bins[p].word = cell, word
        counts[0].bins += 1
    if settled:
        bins[p].settled += values
        bins[p].settled_squares += squares
        bins[p].settled_products += products
    else:
        bins[p].live += values
        bins[p].live_squares += squares
        bins[p].live_products += products


@njit(cache=True)
def fold(  # noqa: PLR0917
    bins: Bins,
    lists: Lists,
    counts: ListCounts,
    cell: int,
    settled: bool,
    rows: Words,
    m: int,
    at: int,
    spread: int,
    x: int,
    one: int,
) -> None:
    """Member m's values, with x the number of its total at `at`, enter a cell (`one` is 1) or leave it (-1)."""
    if spread != OF_EVENTS:
        _add(bins, counts, cell, bucket_of(x), settled, one, 0, 0)
        return
    below = np.int64(0)
    k = rows[m, at + LIST] - 1
    while k >= 0:
        c = lists[k].events
        _add(bins, counts, cell, lists[k].key, settled, one * c, one * c * (2 * below + c), one * c * x)
        below += c
        k = lists[k].next - 1


@njit(cache=True)
def refill(before: Bins, bins: Bins, columns: Words) -> Any:
    """Move the bins of one table into another that is empty, with `columns` for their columns; -1: it is gone.

    Returns: how many there are.
    """
    n = np.int64(0)
    for i in range(before.shape[0]):
        its = before[i]
        column = columns[its.unit >> COLUMN] if its.word != 0 else np.int64(-1)
        if column < 0 or (its.live == 0 and its.settled == 0):
            continue
        cell = (column << COLUMN) | (its.unit & ((np.int64(1) << COLUMN) - 1))
        p = place(bins, fingerprint(cell, 0, its.word), cell, its.word, 0)
        bins[p] = its
        bins[p].unit = cell
        n += 1
    return n


@njit(cache=True)
def relist(rows: Words, n: int, variables: Variables, before: Lists, lists: Lists) -> Any:
    """Move the lists of the first n rows into another table, one after the other. Returns: how many are in use."""
    used = np.int64(0)
    for v in range(variables.shape[0]):
        if variables[v].kind != LISTED:
            continue
        for m in range(n):
            k = rows[m, variables[v].at + LIST] - 1
            if k >= 0:
                rows[m, variables[v].at + LIST] = used + 1
            while k >= 0:
                its = before[k]
                k = its.next - 1
                used += 1
                lists[used - 1].key, lists[used - 1].events = its.key, its.events
                lists[used - 1].next = used + 1 if k >= 0 else 0
    return used
