"""Member store: the tables of one run in one partition, as long as they need be."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from evaluation.columns.arrays import Words
from evaluation.columns.hash_table import is_full, refill, slots_for
from evaluation.metrics import sums
from evaluation.metrics.kernels import ordered, seen, spread
from evaluation.metrics.kernels.members import SEEN, Members, StoreRoom, enter, room_of
from evaluation.metrics.layouts import (
    BIN,
    HEAPED,
    LIST_COUNTS,
    LISTED,
    PART,
    PENDING_EVENT,
    RING,
    RUN_COUNTS,
    SEEN_VALUE,
    SETTLED,
    TALLY,
    Bins,
    Heads,
    Heap,
    ListCounts,
    Lists,
    Parts,
    PendingEvents,
    Ring,
    RunCounts,
    SeenValues,
    Settled,
    Table,
    Tallies,
    heads_of,
    words_of,
)
from evaluation.metrics.run_columns import FactNumbers, RunColumn, measures_of
from schemas.catalog import Breakdown

_NOT_YET = -(1 << 61)  # entries before it are settled: none
_SMALLEST = 64  # members


class MemberStore:
    """The members of a run, their sums by column, arm and segment, and what was counted of their events.

    Bytes per member: 48 for its row, and 8 for each word of a total (1 of a conversion or count, 2 of a sum, mean or
    percentile, 3 of different values, 4 of a funnel or retention; a ratio has those of both parts, CUPED as many again,
    and those of other metrics); 8 per slot of the hash table (13 to 26 per member), 4 in the queue, 16 in the heap
    while its entry could still move. Arrays grow by doubling. Each 64 arms beyond the first 64 cost 8 more. A
    percentile of events takes 24 for each bucket that a member's values are in, and one of any kind 103 to 205 for each
    bucket of a cell; a value that is told from others takes 38 to 77. While an event of a funnel or retention is
    younger than the horizon, it takes 56. A checkpoint holds the rows, the lists, bins and values, and those events.
    """

    def __init__(self) -> None:
        self.columns: list[RunColumn] = []
        self.measures = measures_of([], (), lambda _: 0, SEEN + 1)
        self.rows = np.zeros((_SMALLEST, SEEN + 1), np.int64)
        self.slots = np.zeros(slots_for(_SMALLEST), np.int64)
        self.heap = Heap(np.zeros(_SMALLEST, HEAPED))
        self.queue = np.zeros(_SMALLEST, np.int32)
        self.counts = RunCounts(np.zeros(1, RUN_COUNTS))
        self.cells = np.zeros(0, np.int64)
        self.arm_units = np.zeros(1, np.int64)
        self.tallies = Tallies(np.zeros(0, TALLY))
        self.parts = Parts(np.zeros((0, 1), PART))
        self.settled = Settled(np.zeros(0, SETTLED))
        self.pending = PendingEvents(np.zeros(1, PENDING_EVENT))
        self.ring = Ring(np.zeros(1, RING))
        self.bins = Bins(np.zeros(1, BIN))
        self.lists = Lists(np.zeros(1, LISTED))
        self.seen = SeenValues(np.zeros(1, SEEN_VALUE))
        self.list_counts = ListCounts(np.zeros(1, LIST_COUNTS))

    @property
    def tables(self) -> Members:
        """The tables as they are."""
        return Members(
            self.rows,
            heads_of(self.rows),
            self.slots,
            self.counts,
            self.cells,
            self.arm_units,
            self.tallies,
            self.parts,
            self.settled,
            self.heap,
            self.pending,
            self.ring,
            self.bins,
            self.lists,
            self.seen,
            self.list_counts,
        )

    @property
    def heads(self) -> Heads:
        """The heads of the members."""
        return Heads(heads_of(self.rows)[: self.counts[0].members])

    @property
    def _totals_at(self) -> int:
        """The word of the rows where totals begin."""
        return int(self.rows.shape[1]) - sum(column.words for column in self.columns)

    @property
    def segments(self) -> int:
        """How many segments there are in all breakdowns."""
        last = self.measures.breakdowns[-1]
        return int(last.first + last.segments)

    def cells_of_columns(self) -> list[Words]:
        """Of each column the cells (readings, arms, segments, words): views."""
        shape = (2, len(self.arm_units), self.segments)
        sizes = [int(np.prod(shape)) * int(sums.size(column.numbers)) for column in self.columns]
        ends = np.cumsum([0, *sizes])
        return [self.cells[begin:end].reshape(*shape, -1) for begin, end in pairwise(ends.tolist())]

    def _set_cells(self, cells: list[Words]) -> None:
        self.cells = np.concatenate([np.zeros(0, np.int64), *(each.reshape(-1) for each in cells)])
        self.measures.columns["cell"] = np.cumsum([0, *(each.size for each in cells)])[:-1]

    def make_room_for_arms(self, arms: int, words: int) -> None:
        """Room for so many arms, and for so many words in which a row says which were seen."""
        while arms > len(self.arm_units):
            cells = self.cells_of_columns()
            self.arm_units = np.concatenate((self.arm_units, np.zeros_like(self.arm_units)))
            self._set_cells([np.concatenate((each, np.zeros_like(each)), axis=1) for each in cells])
            self.parts = Parts(np.concatenate((self.parts, np.zeros_like(self.parts)), axis=1))
        at = self._totals_at
        if (more := SEEN + words - at) > 0:
            self.rows = np.insert(self.rows, [at] * more, 0, axis=1)
            for field in ("at", "covariate"):
                self.measures.variables[field] += more

    def set_columns(self, columns: list[RunColumn], breakdowns: Sequence[Breakdown], fact_number: FactNumbers) -> None:
        """These columns; what stays of the former ones stands first, and keeps what it has."""
        kept = [self.columns.index(column) for column in columns if column in self.columns]
        new = columns[len(kept) :]
        before, totals_at = self.measures, self._totals_at
        cells = self.cells_of_columns()
        self.measures = measures_of(columns, breakdowns, fact_number, totals_at)

        self.tallies = Tallies(np.concatenate((self.tallies[kept], np.zeros(len(new), TALLY))))
        fresh = np.full(len(new), np.array((0, _NOT_YET), SETTLED))
        self.settled = Settled(np.concatenate((self.settled[kept], fresh)))
        sizes = before.columns["variables"] + before.columns["others"]
        numbers = [before.columns[c].first + v for c in kept for v in range(sizes[c])]
        parts = Parts(np.zeros((len(self.measures.variables), len(self.arm_units)), PART))
        parts[: len(numbers)] = self.parts[numbers]
        self.parts = parts
        self._rename_pending(numbers, len(before.variables))
        renamed = np.full(max(1, len(self.columns)), -1)
        renamed[kept] = np.arange(len(kept))
        self._refill_bins(len(self.bins), renamed)

        starts = np.cumsum([totals_at, *(column.words for column in self.columns)])
        totals = [self.rows[:, starts[c] : starts[c + 1]] for c in kept]
        empty = np.zeros((len(self.rows), sum(column.words for column in new)), np.int64)
        self.rows = np.ascontiguousarray(np.concatenate((self.rows[:, :totals_at], *totals, empty), axis=1))
        self.columns = columns
        shape = (2, len(self.arm_units), self.segments)
        fresh_cells = [np.zeros((*shape, int(sums.size(column.numbers))), np.int64) for column in new]
        self._set_cells([cells[c] for c in kept] + fresh_cells)
        self._relist(len(self.lists))
        renumbered = np.full(max(1, len(before.variables)), -1)
        renumbered[numbers] = np.arange(len(numbers))
        self._refill_seen(len(self.seen), renumbered)

    def _rename_pending(self, kept: list[int], before: int) -> None:
        """Pending events know their variable by its number among those `before`; those of one that is gone die."""
        numbers = np.full(before + 1, -1)
        numbers[kept] = np.arange(len(kept))
        variable = numbers[self.pending["variable"]]
        self.pending["steps"][variable < 0] = 0
        self.pending["variable"] = np.maximum(variable, 0)

    def grow(self, events: int) -> None:
        """Room for `events` events more in each ordered total and each spread, and for as many as there are."""
        room, counts = StoreRoom(*map(int, room_of(self.measures))), self.list_counts[0]
        if room.totals:
            self.pending = ordered.larger(self.pending, self.ring, len(self.pending) + room.totals * events)
        if room.bins:
            self._refill_bins(slots_for(2 * int(counts.bins) + room.bins * events), np.arange(len(self.columns)))
        if room.values:
            self._relist(2 * int(counts.listed) + room.values * events)
            size = slots_for(2 * int(counts.seen) + room.values * events)
            self._refill_seen(size, np.arange(len(self.measures.variables)))

    def _refill_bins(self, size: int, columns: NDArray[np.int64]) -> None:
        """The bins in a table of that size, where each of the `columns` has a new number, or -1: it is gone."""
        bins = Bins(np.zeros(size, BIN))
        self.list_counts[0].bins = spread.refill(self.bins, bins, columns)
        self.bins = bins

    def _refill_seen(self, size: int, numbers: NDArray[np.int64]) -> None:
        """What was seen in a table of that size, where each variable has one of the `numbers`, or -1: it is gone."""
        found = SeenValues(np.zeros(size, SEEN_VALUE))
        self.list_counts[0].seen = seen.refill(self.rows, self.measures.variables, self.seen, numbers, found)
        self.seen = found

    def _relist(self, size: int) -> None:
        """The lists in a table of that size."""
        lists = Lists(np.zeros(size, LISTED))
        used = spread.relist(self.rows, int(self.counts[0].members), self.measures.variables, self.lists, lists)
        self.lists, self.list_counts[0].listed, self.list_counts[0].free = lists, used, 0

    def reserve(self, n: int) -> None:
        """Room for n exposures more."""
        members, heaped = int(self.counts[0].members), int(self.counts[0].heaped)
        if members + n > len(self.rows):
            rows = np.zeros((max(members + n, 2 * len(self.rows)), self.rows.shape[1]), np.int64)
            rows[:members] = self.rows[:members]
            self.rows = rows
        if is_full(len(self.slots), members + n):
            slots = np.zeros(slots_for(members + n), np.int64)
            refill(self.slots, slots)
            self.slots = slots
        if heaped + n > len(self.heap):
            heap = Heap(np.zeros(max(heaped + n, 2 * len(self.heap)), HEAPED))
            heap[:heaped] = self.heap[:heaped]
            self.heap = heap

    def reserve_queue(self) -> None:
        """Room for every member to settle."""
        if len(self.queue) < self.counts[0].members:
            queue = np.zeros(len(self.rows), np.int32)
            queue[: self.counts[0].queued] = self.queue[: self.counts[0].queued]
            self.queue = queue

    def arrays(self) -> dict[str, NDArray[np.int64]]:
        """The columns of a checkpoint, beside `columns`."""
        numbers = np.arange(self.ring[0].tail, self.ring[0].head) & (len(self.pending) - 1)
        self._relist(max(1, int(self.list_counts[0].listed)))
        tables: dict[str, Table] = {
            "tallies": self.tallies,
            "parts": self.parts,
            "settled": self.settled,
            "counts": self.counts,
            "pending": PendingEvents(self.pending[numbers]),
            "ring": self.ring,
            "bins": Bins(self.bins[self.bins["word"] != 0]),
            "lists": self.lists,
            "seen": SeenValues(self.seen[self.seen["events"] != 0]),
        }
        arrays = {"rows": self.rows[: self.counts[0].members], "cells": self.cells, "arm_units": self.arm_units}
        return arrays | {name: words_of(table) for name, table in tables.items()}

    def load(self, arrays: Mapping[str, NDArray[np.int64]]) -> None:
        """Fill the store, which has its columns and arms, from flat `arrays()`. Slots, heap and queue follow."""
        self.cells = arrays["cells"].copy()
        self.arm_units = arrays["arm_units"].copy()
        self.tallies = Tallies(arrays["tallies"].view(TALLY).copy())
        self.parts = Parts(arrays["parts"].view(PART).reshape(-1, len(self.arm_units)).copy())
        self.settled = Settled(arrays["settled"].view(SETTLED).copy())
        self.counts = RunCounts(arrays["counts"].view(RUN_COUNTS).copy())
        self.ring = Ring(arrays["ring"].view(RING).copy())
        pending = arrays["pending"].view(PENDING_EVENT)
        self.pending = PendingEvents(np.zeros(1 << max(0, len(pending) - 1).bit_length(), PENDING_EVENT))
        numbers = np.arange(self.ring[0].tail, self.ring[0].head)
        self.pending[numbers & (len(self.pending) - 1)] = pending
        n = int(self.counts[0].members)
        self.rows = np.zeros((max(_SMALLEST, n + n // 2), self.rows.shape[1]), np.int64)
        self.rows[:n] = arrays["rows"].reshape(n, -1) if n else 0
        nothing = np.zeros(0, np.int64)  # that format 10 says of percentiles
        self.bins = Bins(arrays.get("bins", nothing).view(BIN))
        self._refill_bins(slots_for(len(self.bins)), np.arange(max(1, len(self.columns))))
        self.lists = Lists(arrays.get("lists", nothing).view(LISTED))
        self._relist(len(self.lists))
        self.seen = SeenValues(arrays["seen"].view(SEEN_VALUE))
        self._refill_seen(slots_for(len(self.seen)), np.arange(max(1, len(self.measures.variables))))
        self.slots = np.zeros(slots_for(n + _SMALLEST), np.int64)
        enter(heads_of(self.rows), n, self.slots)
        self._line_up()

    def _line_up(self) -> None:
        """Heap and queue from the rows.

        Ascending entries are a heap. Those that some metric has settled were in the queue, and the others may wait.
        """
        n = int(self.counts[0].members)
        order = np.argsort(self.heads["entry"], kind="stable")
        entries = self.heads["entry"][order]
        queued = int(np.searchsorted(entries, self.settled["before"].max(initial=_NOT_YET)))
        self.queue = order.astype(np.int32)
        self.heap = Heap(np.zeros(n - queued, HEAPED))
        self.heap["entry"], self.heap["member"] = entries[queued:], order[queued:]
        self.counts[0].queued, self.counts[0].heaped = queued, n - queued
        self.settled["cursor"] = np.searchsorted(entries[:queued], self.settled["before"])
