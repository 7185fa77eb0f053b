"""Run: what one partition's units contribute to one run of an experiment."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise

import msgspec
import numpy as np
from numpy.typing import NDArray

from evaluation.catalog.in_force import SETTLING, RunInForce, Variable
from evaluation.metrics import measures as of
from evaluation.metrics import members, ordered, sums
from evaluation.metrics.measures import BUCKETS, NO_CAP, NO_FLOOR, NO_WINDOW, Measures
from evaluation.metrics.members import (
    COUNTED,
    CROWDED,
    DUPLICATES,
    ENTRY,
    HEAPED,
    JUMPERS,
    LATES,
    LIVE,
    LOOKED_BACK,
    LOST,
    MEMBERS,
    QUEUED,
    REASSIGNMENTS,
    SAME_IDS,
    SEEN,
    SETTLED,
    UNIT,
    UNUSABLES,
    WITHHELD,
    Members,
    Memory,
)
from evaluation.metrics.past import Past
from evaluation.metrics.recent import NOTES, TAIL, Recent, Words, refill
from evaluation.metrics.rows import EXPOSURES, FORCED, INACTIVE, LATE
from schemas.aggregate import Aggregate, ArmCount, ArmPart, MetricHealth, Part, Sums
from schemas.catalog import Breakdown
from schemas.numbers import exact
from schemas.units import Example

NO_END = 1 << 61
NOT_YET = -(1 << 61)
ARM_BITS = 64
OTHER = "(other)"

FactNumbers = Callable[[str], int]  # the partition's number of a fact, by its key
Pasts = Mapping[tuple[int, int], Past]  # by fact and width of a bucket

_SMALLEST = 64
_ARRAYS = ("rows", "cells", "arm_units", "tallies", "parts", "settled", "counts", "exposures", "pending", "ring")


class Column(msgspec.Struct, frozen=True):
    """A metric as this run reads it; another version, or another beginning, is another column."""

    metric: str
    version: int
    since: int  # ms UTC: it covers entries from then on; 0: all of them
    window: int
    variables: tuple[Variable, ...]
    width: int  # ms, of a bucket of the past; 0: it has no covariates
    recorded: int  # ms UTC: buckets are whole from then on

    @property
    def numbers(self) -> int:
        """How many numbers it has of a unit."""
        return len(self.variables) * (2 if self.width else 1)

    @property
    def words(self) -> int:
        """How many words of a member's row hold its totals."""
        return sum(map(_words, self.variables)) * (2 if self.width else 1)


def _kind(variable: Variable) -> int:
    kinds = {
        "conversion": of.CONVERSION,
        "count": of.COUNT,
        "sum": of.SUM,
        "mean": of.MEAN,
        "funnel": of.FUNNELS if variable.totals else of.FUNNEL,
        "retention": of.RETENTION,
    }
    return kinds[variable.type]


def _words(variable: Variable) -> int:
    return of.WORDS[_kind(variable)]


def columns_of(run: RunInForce, horizon: int) -> list[Column]:
    """What the run reads of its metrics.

    An event at or after `recorded` was appended when every stage knew that the past is kept: it lies at most a horizon
    ahead of its append time, which is `SETTLING` after the metric's version.
    """
    return [
        Column(
            metric=key,
            version=metric.version,
            since=run.since[key] if run.since[key] > run.started else 0,
            window=NO_WINDOW if metric.window is None else metric.window,
            variables=metric.variables,
            width=0 if metric.lookback is None else bucket_width(metric.lookback),
            recorded=0 if metric.lookback is None else metric.recorded + SETTLING + horizon,
        )
        for key, metric in run.metrics.items()
    ]


def bucket_width(lookback: int) -> int:
    """Milliseconds of a bucket."""
    return max(1, lookback // BUCKETS)


class RunState(msgspec.Struct, frozen=True):
    """What a checkpoint says of a run, beside its arrays."""

    flag: str
    key: str
    started: int
    completed: int | None
    breakdowns: tuple[Breakdown, ...]
    arms: list[tuple[int, str]]
    columns: list[Column]
    final: Aggregate | None


class Run:
    """The members of one run in one partition, their sums, and what was counted of their records.

    Bytes per member: 48 for its row, and 8 for each word of a total (1 of a conversion or count, 2 of a sum or mean, 4
    of a funnel or retention; a ratio has those of both parts, CUPED as many again); 8 per slot of the table (13 to 26
    per member), 4 in the queue, 16 in the heap while its entry could still move. Arrays grow by doubling. Each 64 arms
    beyond the first 64 cost 8 more. While an event of a funnel or retention is younger than the horizon, it takes 56.
    A checkpoint holds the rows and those events.
    """

    def __init__(self, flag: str, key: str, horizon: int) -> None:
        self.flag, self.key, self.horizon = flag, key, horizon
        self.started = 0
        self.completed: int | None = None
        self.final: Aggregate | None = None
        self.breakdowns: tuple[Breakdown, ...] = ()
        self.arms: list[tuple[int, str]] = []
        self.columns: list[Column] = []
        self.mates = np.zeros((1, 1), np.int64)
        self.allocations = np.zeros(1, np.int64)
        self.variants = np.zeros(1, np.int64)
        self.exposures = np.zeros(4, np.int64)
        self._clear()

    def _clear(self) -> None:
        """Hold nobody."""
        self.rows = np.zeros((_SMALLEST, SEEN + 1), np.int64)
        self.table = np.zeros(2 * _SMALLEST, np.int64)
        self.heap = np.zeros((_SMALLEST, 2), np.int64)
        self.queue = np.zeros(_SMALLEST, np.int32)
        self.counts = np.zeros(6, np.int64)
        self.cells = np.zeros(0, np.int64)
        self.arm_units = np.zeros(1, np.int64)
        self.tallies = np.zeros((0, 7), np.int64)
        self.parts = np.zeros((0, 1, 2), np.int64)
        self.settled = np.zeros((0, 2), np.int64)
        self.pending = np.zeros((1, 7), np.int64)
        self.ring = np.zeros(2, np.int64)
        self.measures = _measures([], lambda _: 0, self._segments(), SEEN + 1)

    def _segments(self) -> Words:
        """First segment and number of segments of each breakdown; without any there is one."""
        sizes = [len(each.values) + 1 for each in self.breakdowns] or [1]
        return np.array(list(zip(np.cumsum([0, *sizes[:-1]]), sizes, strict=True)), np.int64)

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

    def adopt(self, run: RunInForce, fact_number: FactNumbers, recent: Recent, pasts: Pasts) -> None:
        """Take what the catalog says of the run. A new column counts the recent events of the members it covers."""
        self.started, self.completed = run.started, run.completed
        self.breakdowns = run.definition.breakdowns
        for number, allocation in enumerate(run.allocations):
            for variant in allocation.weights:
                self.arm(number, variant)
        columns = columns_of(run, self.horizon)
        if set(columns) != set(self.columns):
            kept = [column for column in self.columns if column in columns]
            fresh = [column for column in columns if column not in kept]
            self._set_columns(kept + fresh, fact_number)
            self._cover(len(kept), recent, pasts)

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
        """`mates`: for each arm the bits of the arms of its allocation; `variants`: the same number of one variant."""
        words = -(-len(self.arms) // ARM_BITS)
        mates = np.zeros((len(self.arm_units), words), np.uint64)
        for one, (allocation, _) in enumerate(self.arms):
            for other, (same, _) in enumerate(self.arms):
                if same == allocation:
                    mates[one, other // ARM_BITS] |= np.uint64(1 << other % ARM_BITS)
        self.mates = mates.view(np.int64)
        self.allocations = np.zeros(len(self.arm_units), np.int64)
        self.allocations[: len(self.arms)] = [allocation for allocation, _ in self.arms]
        variants = [variant for _, variant in self.arms]
        self.variants = np.zeros(len(self.arm_units), np.int64)
        self.variants[: len(self.arms)] = [variants.index(variant) for variant in variants]
        if (more := SEEN + words - self._totals_at) > 0:
            self.rows = np.insert(self.rows, [self._totals_at] * more, 0, axis=1)
            for place in (of.V_AT, of.V_PAST):
                self.measures.variables[:, place] += more

    @property
    def _totals_at(self) -> int:
        """The column of the members' rows where totals begin."""
        return int(self.rows.shape[1]) - sum(column.words for column in self.columns)

    def _cells(self) -> list[Words]:
        """Of each column the cells (readings, arms, segments, words): views."""
        shape = (2, len(self.arm_units), int(self.measures.breakdowns[-1].sum()))
        sizes = [int(np.prod(shape)) * int(sums.size(column.numbers)) for column in self.columns]
        ends = np.cumsum([0, *sizes])
        return [self.cells[begin:end].reshape(*shape, -1) for begin, end in pairwise(ends.tolist())]

    def _set_cells(self, cells: list[Words]) -> None:
        self.cells = np.concatenate([np.zeros(0, np.int64), *(each.reshape(-1) for each in cells)])
        self.measures.columns[:, of.C_CELL] = np.cumsum([0, *(each.size for each in cells)])[:-1]

    def _widen(self) -> None:
        """Room for twice as many arms."""
        cells = self._cells()
        self.arm_units = np.concatenate((self.arm_units, np.zeros(len(self.arm_units), np.int64)))
        self._set_cells([np.concatenate((each, np.zeros_like(each)), axis=1) for each in cells])
        self.parts = np.concatenate((self.parts, np.zeros_like(self.parts)), axis=1)

    def _set_columns(self, columns: list[Column], fact_number: FactNumbers) -> None:
        """These columns; what stays of the former ones stands first, and keeps what it has."""
        kept = [self.columns.index(column) for column in columns if column in self.columns]
        new = columns[len(kept) :]
        before, places = self.measures, self._totals_at
        cells = self._cells()
        cells = [cells[c] for c in kept]
        self.measures = _measures(columns, fact_number, self._segments(), places)
        shape = (2, len(self.arm_units), int(self.measures.breakdowns[-1].sum()))
        cells += [np.zeros((*shape, int(sums.size(column.numbers))), np.int64) for column in new]
        self.tallies = np.concatenate((self.tallies[kept], np.zeros((len(new), 7), np.int64)))
        variables = [before.columns[c, of.C_FIRST] + v for c in kept for v in range(len(self.columns[c].variables))]
        parts = np.zeros((len(self.measures.variables), len(self.arm_units), 2), np.int64)
        parts[: len(variables)] = self.parts[variables]
        self.parts = parts
        self.settled = np.concatenate((self.settled[kept], np.full((len(new), 2), (0, NOT_YET), np.int64)))

        starts = np.cumsum([places, *(column.words for column in self.columns)])
        totals = [self.rows[:, starts[c] : starts[c + 1]] for c in kept]
        fresh = np.zeros((len(self.rows), sum(column.words for column in new)), np.int64)
        self.rows = np.ascontiguousarray(np.concatenate((self.rows[:, :places], *totals, fresh), axis=1))
        self._rename_pending(before, kept)
        self.columns = columns
        self._set_cells(cells)

    def _rename_pending(self, before: Measures, kept: list[int]) -> None:
        """Pending events know their variable by its number; those of a column that is gone die."""
        numbers = np.full(len(before.variables) + 1, -1)
        for now, c in enumerate(kept):
            first, count = before.columns[c, [of.C_FIRST, of.C_VARIABLES]]
            numbers[first : first + count] = self.measures.columns[now, of.C_FIRST] + np.arange(count)
        variable = numbers[self.pending[:, ordered.VARIABLE]]
        self.pending[variable < 0, ordered.STEPS] = 0
        self.pending[:, ordered.VARIABLE] = np.maximum(variable, 0)

    def _cover(self, first: int, recent: Recent, pasts: Pasts) -> None:
        """Bring the columns from `first` on into force."""
        at, memory = 0, _memory(recent)
        while (at := members.cover(at, self._store(), self.measures, first, self.ends, memory)) < self.counts[MEMBERS]:
            self._grow_pending(of.MOST_EVENTS)
        self._look_back(np.arange(self.counts[MEMBERS]), first, pasts)

    def _store(self) -> Members:
        return Members(
            self.rows,
            self.table,
            self.counts,
            self.cells,
            self.arm_units,
            self.tallies,
            self.parts,
            self.settled,
            self.heap,
            self.pending,
            self.ring,
        )

    def _grow_pending(self, events: int) -> None:
        """Room for `events` pending events more in each ordered total, and for as many as there are."""
        ordered_totals = int((self.measures.variables[:, of.V_KIND] >= of.FUNNEL).sum())
        self.pending = ordered.larger(self.pending, self.ring, len(self.pending) + ordered_totals * events)

    def expose(self, exposures: Words, number: int, recent: Recent, pasts: Pasts) -> None:
        """Fold those of the exposures (n, 6) that belong to run `number` of the message."""
        n = len(exposures)
        self._reserve(n)
        found, entered, memory = np.empty(n, np.int64), np.empty(n, np.int64), _memory(recent)
        members.find_exposed(exposures, n, number, self._store(), memory, found)
        at = 0
        while True:
            at, entries = members.expose(
                exposures,
                at,
                n,
                number,
                self._store(),
                self.measures,
                self.ends,
                self.mates,
                self.allocations,
                self.variants,
                memory,
                found,
                entered,
            )
            if entries:
                self._look_back(entered[:entries], 0, pasts)
            if at == n:
                break
            self._grow_pending(of.MOST_EVENTS)

    def _look_back(self, entered: Words, first: int, pasts: Pasts) -> None:
        """Give members the covariates of the columns from `first` on."""
        for c in range(first, len(self.columns)):
            column = self.columns[c]
            if not column.width or not len(entered):
                continue
            bucket = self.rows[entered, ENTRY] // column.width
            begin = np.maximum(bucket - BUCKETS, -(-column.recorded // column.width))
            wanted = np.column_stack((begin, bucket))
            for i in range(len(column.variables)):
                v = int(self.measures.columns[c, of.C_FIRST]) + i
                fact = int(self.measures.feeds[self.measures.feeds[:, of.F_VARIABLE] == v][0, of.F_FACT])
                found = pasts[fact, column.width].look_up(self.rows[entered, UNIT], wanted)
                members.look_back(entered, found, c, v, self.measures, self._store())

    def count(self, events: Words, sign: int) -> None:
        """Fold `events` (n, 5), all of them new, or take back such with a value (`sign` is -1)."""
        n = len(events)
        found = np.empty(n, np.int64)
        members.find_fed(events, n, self._store(), self.measures, found)
        at = 0
        while (at := members.count(events, at, n, self._store(), self.measures, self.ends, found, sign)) < n:
            self._grow_pending(n - at)

    def note(self, notes: Words, noted: int) -> None:
        """Fold what was noted of a message's events."""
        found = np.empty(noted, np.int64)
        members.find_noted(notes, noted, self._store(), self.measures, found)
        members.note(notes, noted, self._store(), self.measures, self.ends, found)

    def expire(self, bound: int) -> None:
        """What is before `bound` (ms UTC) is complete."""
        if self.ring[ordered.TAIL] < self.ring[ordered.HEAD]:
            ordered.expire(self.rows, self.measures.variables, self.pending, self.ring, bound)

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
        members.settle(self._store(), self.queue, self.measures, bound)

    def finish(self, aggregate: Aggregate) -> None:
        """Keep the last word and free everything else."""
        self.final = aggregate
        self.columns = []
        self._clear()

    @property
    def began(self) -> int | None:
        """The earliest entry (ms UTC)."""
        entries = self.rows[: self.counts[MEMBERS], ENTRY]
        return int(entries.min()) if len(entries) else None

    def is_over(self, clock: int) -> bool:
        """Whether nothing of the run can change any more: see `ends`; what counts until then has then arrived."""
        return self.completed is not None and clock > self.ends + self.horizon

    def aggregate(self, partition: int, offset: int, clock: int, catalog: int, examples: list[Example]) -> Aggregate:
        """The run's sums as they stand, or its last word. Call `settle` before."""
        if self.final:
            return self.final
        order = sorted(range(len(self.arms)), key=self.arms.__getitem__)
        columns = sorted(enumerate(self.columns), key=lambda each: each[1].metric)
        cells = self._cells()
        return Aggregate(
            flag=self.flag,
            run=self.key,
            partition=partition,
            offset=offset,
            clock=clock,
            catalog=catalog,
            arms=[ArmCount(*self.arms[arm], int(self.arm_units[arm])) for arm in order],
            sums=[each for c, column in columns for each in self._sums(column, cells[c], order)],
            metrics=[self._health(c, column, examples) for c, column in columns],
            exposures=int(self.exposures[EXPOSURES]),
            late=int(self.exposures[LATE]),
            inactive=int(self.exposures[INACTIVE]),
            forced=int(self.exposures[FORCED]),
            jumpers=int(self.counts[JUMPERS]),
            reassigned=int(self.counts[REASSIGNMENTS]),
            duplicate_ids=int(self.counts[SAME_IDS]),
        )

    def _health(self, c: int, column: Column, examples: list[Example]) -> MetricHealth:
        """What became of a column's events."""
        counts = {name: int(self.tallies[c, tally]) for name, tally in _HEALTH.items()}
        told = _newest(column.variables, examples, self.started)
        example = told.get("unusable") if counts["unusable"] else None
        parts = [
            self._part(v, variable, examples)
            for v, variable in enumerate(column.variables, int(self.measures.columns[c, of.C_FIRST]))
        ]
        return MetricHealth(
            column.metric,
            **counts,
            example=example,
            rounded=told.get("rounded"),
            parts=parts if any(variable.type in _VALUED for variable in column.variables) else [],
        )

    def _part(self, v: int, variable: Variable, examples: list[Example]) -> Part:
        """What became of the values of variable v, if it has any."""
        if variable.type not in _VALUED:
            return Part([])
        told = _newest((variable,), examples, self.started)
        arms = [
            ArmPart(*self.arms[arm], *map(int, self.parts[v, arm]))
            for arm in sorted(range(len(self.arms)), key=self.arms.__getitem__)
            if self.parts[v, arm].any()
        ]
        is_losing = bool(self.parts[v, :, LOST].any())
        return Part(arms, told.get("unusable") if is_losing else None, told.get("rounded"))

    def _sums(self, column: Column, cells: Words, order: list[int]) -> Iterator[Sums]:
        """A column's sums by reading, arm and segment: of segments where nobody is, none."""
        names = [f"{each.property}={value}" for each in self.breakdowns for value in (OTHER, *each.values)]
        everyone = range(self.measures.breakdowns[0, of.B_SEGMENTS])  # each unit is in one segment of a breakdown
        places = np.nonzero(cells[..., sums.N])
        inhabited: dict[tuple[int, int], list[tuple[int, sums.Cell]]] = defaultdict(list)
        found = sums.read(cells[places], column.numbers)
        for (reading, arm, segment), cell in zip(np.transpose(places).tolist(), found, strict=True):
            inhabited[reading, arm].append((segment, cell))
        for reading, name in ((LIVE, "live"), (SETTLED, "settled")):
            if reading == SETTLED and column.window == NO_WINDOW:
                continue
            for arm in order:
                place = (column.metric, column.version, name, *self.arms[arm])
                its = inhabited[reading, arm]
                whole = _added([cell for segment, cell in its if segment in everyone], column.numbers)
                yield _told(place, "all", *whole)
                if names:
                    for segment, cell in its:
                        yield _told(place, names[segment], *cell)

    def state(self) -> RunState:
        """What a checkpoint says of the run, beside `arrays`."""
        return RunState(
            self.flag,
            self.key,
            self.started,
            self.completed,
            self.breakdowns,
            self.arms,
            self.columns,
            self.final,
        )

    def arrays(self) -> dict[str, NDArray[np.int64]]:
        """The columns of a checkpoint."""
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        numbers = np.arange(*self.ring) & (len(self.pending) - 1)
        return arrays | {"rows": self.rows[: self.counts[MEMBERS]], "pending": self.pending[numbers]}

    @classmethod
    def load(
        cls, state: RunState, horizon: int, fact_number: FactNumbers, arrays: Mapping[str, NDArray[np.int64]]
    ) -> "Run":
        """The run again, from `state()` and the flat `arrays()`. Table, heap and queue are made from the rows."""
        run = cls(state.flag, state.key, horizon)
        run.started, run.completed, run.final = state.started, state.completed, state.final
        run.breakdowns = state.breakdowns
        run.exposures = arrays["exposures"].copy()
        run.arms = list(state.arms)
        if run.final:
            return run
        run.arm_units = arrays["arm_units"].copy()
        run._pair()
        run._set_columns(state.columns, fact_number)
        n = int(arrays["counts"][MEMBERS])
        run.rows = np.zeros((max(_SMALLEST, n + n // 2), run.rows.shape[1]), np.int64)
        run.rows[:n] = arrays["rows"].reshape(n, -1) if n else 0
        run.cells = arrays["cells"].copy()
        run.tallies = arrays["tallies"].reshape(-1, 7).copy()
        run.parts = arrays["parts"].reshape(-1, len(run.arm_units), 2).copy()
        run.settled = arrays["settled"].reshape(-1, 2).copy()
        run.counts = arrays["counts"].copy()
        run.ring = arrays["ring"].copy()
        pending = arrays["pending"].reshape(-1, 7)
        run.pending = np.zeros((1 << max(0, len(pending) - 1).bit_length(), 7), np.int64)
        run.pending[np.arange(*run.ring) & (len(run.pending) - 1)] = pending
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


_VALUED = ("sum", "mean")  # what reads a property
_HEALTH = {
    "events": COUNTED,
    "duplicates": DUPLICATES,
    "late": LATES,
    "unusable": UNUSABLES,
    "withheld": WITHHELD,
    "looked_back": LOOKED_BACK,
    "crowded": CROWDED,
}


def _newest(variables: Iterable[Variable], examples: list[Example], since: int) -> dict[str, str]:
    """Of each kind the newest example of what the variables read."""
    facts = {fact.key for variable in variables for fact in variable.facts}
    its = [each for each in examples if each.fact in facts and each.time >= since]
    return {each.what: each.text for each in sorted(its, key=lambda each: (each.time, each.text))}


def _measures(columns: list[Column], fact_number: FactNumbers, breakdowns: Words, at: int) -> Measures:
    """The tables of these columns. Totals begin at the word `at` of a row; cells are not placed yet."""
    feeds: list[tuple[int, int, int, bool]] = []
    variables: list[tuple[int, ...]] = []
    table = np.zeros((len(columns), 8), np.int64)
    for c, column in enumerate(columns):
        first, count = len(variables), len(column.variables)
        table[c] = column.since, column.window, first, count, column.numbers, 0, column.width, column.recorded
        known: set[int] = set()
        past = at + sum(map(_words, column.variables))
        for v, variable in enumerate(column.variables, first):
            steps: dict[int, int] = {}
            for step, fact in enumerate(variable.facts):
                number = fact_number(fact.key)
                steps[number] = steps.get(number, 0) | 1 << step
            feeds += [(fact, v, bits, fact not in known) for fact, bits in steps.items()]
            known |= steps.keys()
            log = (10 ** variable.facts[0].scale, 10**variable.places) if variable.log else (0, 0)
            kind, words = _kind(variable), _words(variable)
            cap = 1 if kind in of.YES_OR_NO else NO_CAP if variable.cap is None else variable.cap
            caps = cap, NO_FLOOR if variable.lower_cap is None else variable.lower_cap
            variables.append((kind, c, at, past, *caps, *log, len(variable.facts), variable.begins, variable.ends))
            at, past = at + words, past + words
        at = past if column.width else at
    return Measures(
        np.array(feeds, np.int64).reshape(-1, 4), np.array(variables, np.int64).reshape(-1, 11), table, breakdowns
    )


def _memory(recent: Recent) -> Memory:
    return Memory(recent.ring, int(recent.state[TAIL]), recent.units, int(recent.state[NOTES]))


def _told(place: tuple[str, int, str, int, str], segment: str, n: int, nonzero: int, *numbers: list[int]) -> Sums:
    """The sums of a segment of one metric, reading and arm, as they travel."""
    return Sums(*place, segment, n, nonzero, *([exact(each) for each in some] for some in numbers))


def _added(cells: list[sums.Cell], k: int) -> sums.Cell:
    """The sums of several cells of k numbers together."""
    if len(cells) == 1:
        return cells[0]
    total = 0, 0, [0] * k, [0] * (k * (k + 1) // 2)
    for n, nonzero, first, second in cells:
        total = (
            total[0] + n,
            total[1] + nonzero,
            [a + b for a, b in zip(total[2], first, strict=True)],
            [a + b for a, b in zip(total[3], second, strict=True)],
        )
    return total
