"""Run: what one partition's units contribute to one run of an experiment."""

from collections.abc import Callable, Mapping

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from evaluation.catalog import SETTLING, RunInForce
from evaluation.metrics import members, sums
from evaluation.metrics.members import (
    AT,
    COUNTED,
    DUPLICATES,
    ENTRY,
    HEAPED,
    JUMPERS,
    LATES,
    LIVE,
    MEMBERS,
    NO_WINDOW,
    QUEUED,
    REASSIGNMENTS,
    SAME_IDS,
    SEEN,
    SETTLED,
    SUM,
    UNUSABLES,
    WITHHELD,
)
from evaluation.metrics.recent import TAIL, Recent, Words, refill
from schemas.aggregate import Aggregate, ArmCount, MetricHealth, Sums, exact

KINDS = {"conversion": members.CONVERSION, "count": members.COUNT, "sum": members.SUM}
NO_END = 1 << 61
NOT_YET = -(1 << 61)
EXPOSURES, LATE, INACTIVE, FORCED = range(4)  # columns of what is counted of a run's exposures
ARM_BITS = 64

_SMALLEST = 64
_ARRAYS = ("rows", "cells", "arm_units", "tallies", "settled", "counts", "exposures")


class Column(msgspec.Struct, frozen=True):
    """A metric as this run reads it; another version, or another beginning, is another column."""

    metric: str
    version: int
    since: int  # ms UTC: it covers entries from then on
    fact: int  # the partition's number of the fact
    kind: int
    window: int

    @property
    def words(self) -> int:
        """How many words of a member's row hold its total."""
        return 2 if self.kind == SUM else 1


class RunState(msgspec.Struct, frozen=True):
    """What a checkpoint says of a run, beside its arrays."""

    flag: str
    key: str
    started: int
    completed: int | None
    arms: list[tuple[int, str]]
    columns: list[Column]
    final: Aggregate | None


class Run:
    """The members of one run in one partition, their sums, and what was counted of their records.

    Bytes per member, with M metrics of which S are sums: 40 + 8 (M + S) for its row, 16 for its place in the heap, 4 in
    the queue, 8 per slot of the table (13 to 26 per member). Arrays grow by doubling. 64 arms cost 8 more.
    """

    def __init__(self, flag: str, key: str, horizon: int) -> None:
        self.flag, self.key, self.horizon = flag, key, horizon
        self.started = 0
        self.completed: int | None = None
        self.final: Aggregate | None = None
        self.arms: list[tuple[int, str]] = []
        self.columns: list[Column] = []
        self.spec = np.zeros((0, 5), np.int64)
        self.mates = np.zeros((1, 1), np.int64)
        self.allocations = np.zeros(1, np.int64)
        self.exposures = np.zeros(4, np.int64)
        self._clear()

    def _clear(self) -> None:
        """Hold nobody."""
        self.rows = np.zeros((_SMALLEST, SEEN + 1), np.int64)
        self.table = np.zeros(2 * _SMALLEST, np.int64)
        self.heap = np.zeros((_SMALLEST, 2), np.int64)
        self.queue = np.zeros(_SMALLEST, np.int32)
        self.counts = np.zeros(6, np.int64)
        self.cells = np.zeros((0, sums.WORDS), np.int64)
        self.arm_units = np.zeros(1, np.int64)
        self.tallies = np.zeros((0, 5), np.int64)
        self.settled = np.zeros((0, 2), np.int64)

    @property
    def ends(self) -> int:
        """No event counts from this time on (ms UTC).

        Exposures that were appended within `SETTLING` after the version that completed the run may still enter, with
        event times that lie at most a horizon ahead of their append time; and the longest window may follow. So windows
        never reach beyond it; where a metric has none, it takes the place of one.
        """
        if self.completed is None:
            return NO_END
        longest = max((column.window for column in self.columns if column.window < NO_WINDOW), default=0)
        return self.completed + SETTLING + longest + self.horizon

    def adopt(self, run: RunInForce, fact_number: Callable[[str], int], recent: Recent) -> None:
        """Take what the catalog says of the run. A new column counts the recent events of the members it covers."""
        self.started, self.completed = run.started, run.completed
        for number, allocation in enumerate(run.allocations):
            for variant in allocation.weights:
                self.arm(number, variant)
        columns = [
            Column(
                metric=key,
                version=metric.version,
                since=run.since[key],
                fact=fact_number(metric.facts[0].key),
                kind=KINDS[metric.definition.type],
                window=NO_WINDOW if metric.window is None else metric.window,
            )
            for key, metric in run.metrics.items()
        ]
        if set(columns) != set(self.columns):
            kept = [column for column in self.columns if column in columns]
            self._set_columns(kept + [column for column in columns if column not in kept], len(kept), recent)

    def arm(self, allocation: int, variant: str) -> int:
        """The run's own number of an arm."""
        arm = (allocation, variant)
        if arm not in self.arms:
            self.arms.append(arm)
            if len(self.arms) > len(self.arm_units):
                self._widen()
            self._pair()
        return self.arms.index(arm)

    def _pair(self) -> None:
        """`mates`: for each arm the bits of the arms of its allocation."""
        words = -(-len(self.arms) // ARM_BITS)
        mates = np.zeros((len(self.arm_units), words), np.uint64)
        for one, (allocation, _) in enumerate(self.arms):
            for other, (same, _) in enumerate(self.arms):
                if same == allocation:
                    mates[one, other // ARM_BITS] |= np.uint64(1 << other % ARM_BITS)
        self.mates = mates.view(np.int64)
        self.allocations = np.zeros(len(self.arm_units), np.int64)
        self.allocations[: len(self.arms)] = [allocation for allocation, _ in self.arms]
        if SEEN + words > self._totals_at:
            self._lay_out(self.columns, words)

    @property
    def _totals_at(self) -> int:
        """The column of the members' rows where totals begin."""
        return int(self.rows.shape[1]) - sum(column.words for column in self.columns)

    def _widen(self) -> None:
        """Room for twice as many arms."""
        before = len(self.arm_units)
        self.arm_units = np.concatenate((self.arm_units, np.zeros(before, np.int64)))
        cells = np.zeros((2 * len(self.columns), 2 * before, sums.WORDS), np.int64)
        cells[:, :before] = self.cells.reshape(2 * len(self.columns), before, sums.WORDS)
        self.cells = cells.reshape(-1, sums.WORDS)

    def _lay_out(self, columns: list[Column], words: int) -> None:
        """Members' rows with room for these columns and for `words` words of arms; what both have is kept."""
        rows = np.zeros((len(self.rows), SEEN + words + sum(column.words for column in columns)), np.int64)
        seen = min(words, self._totals_at - SEEN)
        rows[:, : SEEN + seen] = self.rows[:, : SEEN + seen]
        spec = np.zeros((len(columns), 5), np.int64)
        at = SEEN + words
        for c, column in enumerate(columns):
            spec[c] = column.fact, column.window, column.since, column.kind, at
            if column in self.columns:
                before = self.spec[self.columns.index(column), AT]
                rows[:, at : at + column.words] = self.rows[:, before : before + column.words]
            at += column.words
        self.rows, self.spec, self.columns = rows, spec, columns

    def _set_columns(self, columns: list[Column], first: int, recent: Recent) -> None:
        """These columns, of which those from `first` on are new."""
        kept = [self.columns.index(column) for column in columns[:first]]
        arms = len(self.arm_units)
        new = len(columns) - first
        self.tallies = np.concatenate((self.tallies[kept], np.zeros((new, 5), np.int64)))
        self.settled = np.concatenate((self.settled[kept], np.full((new, 2), (0, NOT_YET), np.int64)))
        cells = self.cells.reshape(-1, 2 * arms, sums.WORDS)[kept]
        self.cells = np.concatenate((cells.reshape(-1, sums.WORDS), np.zeros((new * 2 * arms, sums.WORDS), np.int64)))
        self._lay_out(columns, self._totals_at - SEEN)
        members.cover(
            self.rows,
            self.counts,
            self.spec,
            first,
            self.ends,
            self.cells,
            arms,
            self.tallies,
            recent.ring,
            int(recent.state[TAIL]),
            recent.units,
        )

    def expose(self, exposures: Words, n: int, number: int, recent: Recent) -> None:
        """Fold those of the first n exposures (m, 5) that belong to run `number` of the message."""
        self._reserve(n)
        members.expose(
            exposures,
            n,
            number,
            self.rows,
            self.table,
            self.heap,
            self.counts,
            self.spec,
            self.ends,
            self.mates,
            self.allocations,
            self.cells,
            self.arm_units,
            self.tallies,
            self.settled,
            recent.ring,
            int(recent.state[TAIL]),
            recent.units,
            np.empty(n, np.int64),
        )

    def count(self, events: Words, n: int, notes: Words, noted: int) -> None:
        """Fold the first n of `events` (m, 5), all of them new, and what was noted of the message's events."""
        members.count(
            events,
            n,
            notes,
            noted,
            self.rows,
            self.table,
            self.counts,
            self.spec,
            self.ends,
            self.started,
            self.cells,
            self.arm_units,
            self.tallies,
            np.empty(n, np.int64),
        )

    def _reserve(self, n: int) -> None:
        """Room for n exposures more."""
        room = int(self.counts[MEMBERS]) + n
        if room > len(self.rows):
            rows = np.zeros((max(room, 2 * len(self.rows)), self.rows.shape[1]), np.int64)
            rows[: self.counts[MEMBERS]] = self.rows[: self.counts[MEMBERS]]
            self.rows = rows
        if room * 8 > len(self.table) * 5:
            table = np.zeros(1 << (2 * room - 1).bit_length(), np.int64)
            refill(self.table, table)
            self.table = table
        heaped = int(self.counts[HEAPED])
        if heaped + n > len(self.heap):
            heap = np.zeros((max(heaped + n, 2 * len(self.heap)), 2), np.int64)
            heap[:heaped] = self.heap[:heaped]
            self.heap = heap

    def settle(self, bound: int) -> None:
        """Settle whom `bound` (the clock less the horizon, ms UTC) lets settle."""
        if len(self.queue) < self.counts[MEMBERS]:
            queue = np.zeros(len(self.rows), np.int32)
            queue[: self.counts[QUEUED]] = self.queue[: self.counts[QUEUED]]
            self.queue = queue
        members.settle(
            self.rows,
            self.heap,
            self.queue,
            self.counts,
            self.spec,
            self.cells,
            len(self.arm_units),
            self.settled,
            bound,
        )

    def finish(self, aggregate: Aggregate) -> None:
        """Keep the last word and free everything else."""
        self.final = aggregate
        self.columns = []
        self.spec = np.zeros((0, 5), np.int64)
        self._clear()

    def is_over(self, clock: int) -> bool:
        """Whether nothing of the run can change any more: see `ends`; what counts until then has then arrived."""
        return self.completed is not None and clock > self.ends + self.horizon

    def aggregate(self, partition: int, offset: int, clock: int, catalog: int) -> Aggregate:
        """The run's sums as they stand. Call `settle` before."""
        if self.final:
            return msgspec.structs.replace(self.final, offset=offset, clock=clock, catalog=catalog)
        order = sorted(range(len(self.arms)), key=self.arms.__getitem__)
        columns = sorted(enumerate(self.columns), key=lambda each: each[1].metric)
        cells = self.cells.reshape(len(self.columns), 2, len(self.arm_units), sums.WORDS)
        return Aggregate(
            flag=self.flag,
            run=self.key,
            partition=partition,
            offset=offset,
            clock=clock,
            catalog=catalog,
            arms=[ArmCount(*self.arms[arm], int(self.arm_units[arm])) for arm in order],
            sums=[
                Sums(
                    column.metric,
                    column.version,
                    name,
                    *self.arms[arm],
                    "all",
                    int(cells[c, reading, arm, sums.N]),
                    int(cells[c, reading, arm, sums.NONZERO]),
                    [exact(sums.exact(cells[c, reading, arm], sums.SUM))],
                    [exact(sums.exact(cells[c, reading, arm], sums.SQUARES))],
                )
                for c, column in columns
                for reading, name in ((LIVE, "live"), (SETTLED, "settled"))
                if reading == LIVE or column.window < NO_WINDOW
                for arm in order
            ],
            metrics=[
                MetricHealth(column.metric, *(int(self.tallies[c, tally]) for tally in _HEALTH))
                for c, column in columns
            ],
            exposures=int(self.exposures[EXPOSURES]),
            late=int(self.exposures[LATE]),
            inactive=int(self.exposures[INACTIVE]),
            forced=int(self.exposures[FORCED]),
            jumpers=int(self.counts[JUMPERS]),
            reassigned=int(self.counts[REASSIGNMENTS]),
            duplicate_ids=int(self.counts[SAME_IDS]),
        )

    def state(self) -> RunState:
        """What a checkpoint says of the run, beside `arrays`."""
        return RunState(self.flag, self.key, self.started, self.completed, self.arms, self.columns, self.final)

    def arrays(self) -> dict[str, NDArray[np.int64]]:
        """The columns of a checkpoint."""
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        return arrays | {"rows": self.rows[: self.counts[MEMBERS]]}

    @classmethod
    def load(cls, state: RunState, horizon: int, arrays: Mapping[str, NDArray[np.int64]]) -> "Run":
        """The run again, from `state()` and the flat `arrays()`. Table, heap and queue are made from the rows."""
        run = cls(state.flag, state.key, horizon)
        run.started, run.completed, run.final = state.started, state.completed, state.final
        run.exposures = arrays["exposures"].copy()
        run.arms = list(state.arms)
        if run.final:
            return run
        n = int(arrays["counts"][MEMBERS])
        words = -(-max(1, len(run.arms)) // ARM_BITS)
        run.arm_units = arrays["arm_units"].copy()
        run.rows = np.zeros((_SMALLEST, SEEN + words), np.int64)
        run._lay_out(state.columns, words)
        run._pair()
        run.rows = np.zeros((max(_SMALLEST, n + n // 2), run.rows.shape[1]), np.int64)
        run.rows[:n] = arrays["rows"].reshape(n, -1) if n else 0
        run.cells = arrays["cells"].reshape(-1, sums.WORDS).copy()
        run.tallies = arrays["tallies"].reshape(-1, 5).copy()
        run.settled = arrays["settled"].reshape(-1, 2).copy()
        run.counts = arrays["counts"].copy()
        run.counts[HEAPED] = 0
        run.table = np.zeros(1 << (2 * n + _SMALLEST).bit_length(), np.int64)
        members.fill(run.rows, n, run.table)

        # Ascending entries are a heap. Those that some metric has settled were in the queue, and the others may wait.
        order = np.argsort(run.rows[:n, ENTRY], kind="stable")
        entries = run.rows[order, ENTRY]
        queued = int(np.searchsorted(entries, run.settled[:, 1].max(initial=NOT_YET)))
        run.queue = order.astype(np.int32)
        run.heap = np.column_stack((entries[queued:], order[queued:]))
        run.counts[QUEUED], run.counts[HEAPED] = queued, n - queued
        run.settled[:, 0] = np.searchsorted(entries[:queued], run.settled[:, 1])
        return run


_HEALTH = (COUNTED, DUPLICATES, LATES, UNUSABLES, WITHHELD)


def pack(arrays: Mapping[str, NDArray[np.int64]], metadata: dict[bytes, bytes]) -> bytes:
    """Named arrays as one Arrow IPC stream: one row, each array a list (its shape is lost)."""
    columns = {
        name: pa.LargeListArray.from_arrays(np.array([0, array.size]), pa.array(array.reshape(-1)))
        for name, array in arrays.items()
    }
    schema = pa.schema([(name, pa.large_list(pa.int64())) for name in columns], metadata=metadata)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as stream:
        stream.write_batch(pa.RecordBatch.from_arrays(list(columns.values()), schema=schema))
    return sink.getvalue().to_pybytes()


def unpack(data: bytes) -> tuple[dict[str, NDArray[np.int64]], dict[bytes, bytes]]:
    """The inverse of `pack`; the arrays are flat and read-only."""
    with pa.ipc.open_stream(data) as stream:
        batch = stream.read_next_batch()
        metadata = dict(stream.schema.metadata)
    return {name: batch.column(name).values.to_numpy() for name in batch.schema.names}, metadata
