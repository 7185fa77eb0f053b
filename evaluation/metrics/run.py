"""Run: what one partition's units contribute to one run of an experiment."""

from collections.abc import Iterable, Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from evaluation.catalog.in_force import SETTLING, RunInForce
from evaluation.columns.arrays import Words
from evaluation.metrics import measures as of
from evaluation.metrics.arms import Arms
from evaluation.metrics.kernels.count import count
from evaluation.metrics.kernels.expose import expose, find_exposed
from evaluation.metrics.kernels.members import find_read
from evaluation.metrics.kernels.ordered import expire
from evaluation.metrics.kernels.recount import cover, look_back
from evaluation.metrics.kernels.settle import settle
from evaluation.metrics.kernels.tallies import tally
from evaluation.metrics.layouts import EXPOSURE_COUNTS, Events, ExposureCounts, Exposures, Notes, words_of
from evaluation.metrics.lookback import Lookbacks
from evaluation.metrics.measures import BUCKETS, NO_END, NO_WINDOW, Measures
from evaluation.metrics.member_store import MemberStore
from evaluation.metrics.recent_events import RecentEvents
from evaluation.metrics.run_columns import FactNumbers, RunColumn, columns_of
from evaluation.metrics.silences import Silences
from evaluation.metrics.unit_numbers import UnitNumbers, unit_numbers
from schemas.aggregate import Aggregate, Silence, Stray
from schemas.catalog import Breakdown
from schemas.pair import Pair

# As they stand in a checkpoint.
_ARRAYS = (
    "rows",
    "cells",
    "arm_units",
    "tallies",
    "parts",
    "settled",
    "counts",
    "exposures",
    "pending",
    "ring",
    "bins",
    "lists",
    "seen",
)


class RunState(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a checkpoint says of a run, beside its arrays."""

    flag: str
    key: str
    started: int
    completed: int | None
    breakdowns: tuple[Breakdown, ...]
    arms: list[tuple[int, str]]
    columns: list[RunColumn]
    final: Aggregate | None
    strays: list[Stray]
    enters_by: str | None
    pair: Pair | None
    generation: int = 0
    is_recounted: bool = False


class RunMembers:
    """The members of one run in one partition, their sums, and what was counted of their records."""

    def __init__(self, flag: str, key: str, horizon: int) -> None:
        self.flag, self.key, self.horizon = flag, key, horizon
        self.started = 0
        self.completed: int | None = None
        self.final: Aggregate | None = None
        self.breakdowns: tuple[Breakdown, ...] = ()
        self.arms = Arms()
        self.exposures = ExposureCounts(np.zeros(1, EXPOSURE_COUNTS))
        self.store = MemberStore()
        self.strays: dict[str, Stray] = {}  # by the run that they name
        self.enters_by: str | None = None  # the event that stands in for exposures
        self.pair: Pair | None = None  # it counts loose events of it
        self.generation = 0  # another one than the first counts: its members are kept elsewhere
        self.is_recounted = False  # another one is coming

    @property
    def name(self) -> str:
        """Of the run among all."""
        return f"{self.flag}/{self.key}"

    @property
    def ends(self) -> int:
        """No event counts from this time on (ms UTC).

        Exposures that were appended within `SETTLING` after the version that completed the run may still enter, with
        event times that lie at most a horizon ahead of their append time; and the longest window may follow. So windows
        never reach beyond it; where a metric has none, it takes the place of one.
        """
        if self.completed is None:
            return NO_END
        longest = max((column.window for column in self.store.columns if column.window < NO_WINDOW), default=0)
        return self.completed + SETTLING + longest + self.horizon

    @property
    def _measures(self) -> Measures:
        """What the run measures until it ends."""
        return self.store.measures._replace(ends=self.ends)

    def adopt(self, run: RunInForce, fact_number: FactNumbers, recent: RecentEvents, lookbacks: Lookbacks) -> None:
        """Take what the catalog says of the run. A new column counts the recent events of the members it covers."""
        self.started, self.completed = run.started, run.completed
        self.breakdowns = run.definition.breakdowns
        entry = run.definition.exposure_event
        self.enters_by = entry.event if entry else None
        self.pair = run.pair
        self.is_recounted = run.coming is not None
        if run.generation:
            if run.generation != self.generation:
                self.store, self.arms, self.generation, self.final = MemberStore(), Arms(), run.generation, None
            return
        self._know((number, variant) for number, each in enumerate(run.allocations) for variant in each.weights)
        columns = columns_of(run, self.horizon)
        if set(columns) != set(self.store.columns):
            kept = [column for column in self.store.columns if column in columns]
            fresh = [column for column in columns if column not in kept]
            self.store.set_columns(kept + fresh, self.breakdowns, fact_number)
            self._cover(len(kept), recent, lookbacks)

    def arm(self, allocation: int, variant: str) -> int:
        """The run's own number of an arm."""
        self._know([(allocation, variant)])
        return self.arms.names.index((allocation, variant))

    def _know(self, arms: Iterable[tuple[int, str]]) -> None:
        """Have numbers for these arms."""
        if new := [arm for arm in dict.fromkeys(arms) if arm not in self.arms.names]:
            self.arms.add(new)
            self.store.make_room_for_arms(len(self.arms), self.arms.words)

    def _cover(self, begin: int, recent: RecentEvents, lookbacks: Lookbacks) -> None:
        """Bring the columns from `begin` on into force."""
        at, members = 0, int(self.store.counts[0].members)
        while (at := cover(self.store.tables, at, self._measures, begin, recent.memory)) < members:
            self.store.grow(of.MOST_EVENTS)
        self._look_back(np.arange(members), begin, lookbacks)

    def count_exposures(self, counted: ExposureCounts, number: int) -> None:
        """Add what a message counted of the exposures of its run `number`."""
        for field in EXPOSURE_COUNTS.names or ():
            self.exposures[field] += counted[field][number]

    def count_strays(self, run: str, times: Words) -> None:
        """Count exposures that name another run, if they are of a time since this one's start."""
        times = times[times >= self.started]
        if len(times):
            known = self.strays.get(run, Stray(run, 0, 0))
            self.strays[run] = Stray(run, known.exposures + len(times), max(known.last, int(times.max())))

    def silences(self, told: Silences, watermark: int) -> list[Silence]:
        """What of the run has been silent for long: its exposures first, then the facts of its metrics."""
        facts = {
            fact.key: fact for column in self.store.columns for variable in column.variables for fact in variable.facts
        }
        found = [told.of("run", self.name, self.enters_by, watermark)]
        found += [told.of("fact", key, fact.event, watermark) for key, fact in facts.items()]
        return [each for each in found if each is not None]

    def expose(self, exposures: Exposures, number: int, recent: RecentEvents, lookbacks: Lookbacks) -> None:
        """Fold those of the exposures that belong to run `number` of the message."""
        n = len(exposures)
        self.store.reserve(n)
        measures, arms, memory = self._measures, self.arms.tables, recent.memory
        found, entered = np.empty(n, np.int64), np.empty(n, np.int64)
        find_exposed(self.store.tables, exposures, n, number, memory, found)
        at = 0
        while True:
            tables = self.store.tables
            at, entries = expose(tables, exposures, at, n, number, measures, arms, memory, found, entered)
            if entries:
                self._look_back(entered[:entries], 0, lookbacks)
            if at == n:
                break
            self.store.grow(of.MOST_EVENTS)

    def _look_back(self, entered: Words, begin: int, lookbacks: Lookbacks) -> None:
        """Give members the covariates of the columns from `begin` on."""
        measures, heads = self.store.measures, self.store.heads
        for c, column in enumerate(self.store.columns):
            if c < begin or not column.width or not len(entered):
                continue
            bucket = heads["entry"][entered] // column.width
            first = np.maximum(bucket - BUCKETS, -(-column.recorded // column.width))
            wanted = np.column_stack((first, bucket))
            behind = len(column.variables) - len(column.own)  # its variables without a past
            for i in range(len(column.own) + len(column.others)):
                v = int(measures.columns[c].first) + behind + i
                facts = measures.feeds["fact"][measures.feeds["variable"] == v].tolist()
                found = lookbacks.look_up(facts, column.width, heads["unit"][entered], wanted)
                look_back(self.store.tables, entered, found, c, v, measures)

    def count(self, events: Events, sign: int, recent: RecentEvents) -> None:
        """Fold events, all of them new, or take such back (`sign` is -1); `recent` has them, or has them no longer."""
        n, measures = len(events), self._measures
        found = np.empty(n, np.int64)
        find_read(self.store.tables, events, n, measures, found)
        at = 0
        while (at := count(self.store.tables, events, at, n, measures, found, sign, recent.memory)) < n:
            self.store.grow(n - at)

    def note(self, notes: Notes, n: int, one: int = 1) -> None:
        """Fold the first n notes of a message, or take them back (`one` is -1)."""
        found, measures = np.empty(n, np.int64), self._measures
        find_read(self.store.tables, notes, n, measures, found)
        tally(self.store.tables, notes, n, measures, found, one)

    def expire(self, bound: int) -> None:
        """What is before `bound` (ms UTC) is complete."""
        store = self.store
        if store.ring[0].tail < store.ring[0].head:
            expire(store.rows, store.measures.variables, store.pending, store.ring, bound)

    def settle(self, bound: int) -> None:
        """Settle whom `bound` (ms UTC) lets settle: entries before it are final."""
        self.store.reserve_queue()
        settle(self.store.tables, self.store.queue, self._measures, bound)

    def finish(self, aggregate: Aggregate) -> None:
        """Keep the last word and free everything else."""
        self.final = aggregate
        self.store = MemberStore()

    def members(self) -> UnitNumbers:
        """Who has entered, with no numbers."""
        return unit_numbers(self.store, None, self.arms.names)

    def numbers(self, metric: str) -> UnitNumbers | None:
        """What each member came to by a metric; None: the run does not read it, or is over."""
        c = next((c for c, column in enumerate(self.store.columns) if column.metric == metric), None)
        return None if c is None else unit_numbers(self.store, c, self.arms.names)

    @property
    def began(self) -> int | None:
        """The earliest entry (ms UTC)."""
        entries = self.store.heads["entry"]
        return int(entries.min()) if len(entries) else None

    def is_over(self, watermark: int) -> bool:
        """Whether nothing of the run can change any more: see `ends`; what counts until then has then arrived."""
        return self.completed is not None and watermark > self.ends + self.horizon

    def state(self) -> RunState:
        """What a checkpoint says of the run, beside `arrays`."""
        return RunState(
            self.flag,
            self.key,
            self.started,
            self.completed,
            self.breakdowns,
            self.arms.names,
            self.store.columns,
            self.final,
            [*self.strays.values()],
            self.enters_by,
            self.pair,
            self.generation,
            self.is_recounted,
        )

    def arrays(self) -> dict[str, NDArray[np.int64]]:
        """The columns of a checkpoint."""
        arrays = self.store.arrays() | {"exposures": words_of(self.exposures)}
        return {name: arrays[name] for name in _ARRAYS}

    @classmethod
    def load(
        cls, state: RunState, horizon: int, fact_number: FactNumbers, arrays: Mapping[str, NDArray[np.int64]]
    ) -> "RunMembers":
        """The run again, from `state()` and the flat `arrays()`."""
        run = cls(state.flag, state.key, horizon)
        run.started, run.completed, run.final = state.started, state.completed, state.final
        run.breakdowns, run.pair = state.breakdowns, state.pair
        run.generation, run.is_recounted = state.generation, state.is_recounted
        run.strays, run.enters_by = {each.run: each for each in state.strays}, state.enters_by
        run.exposures = ExposureCounts(arrays["exposures"].view(EXPOSURE_COUNTS).copy())
        run.arms.add(state.arms)
        if not run.final:
            run.store.make_room_for_arms(len(run.arms), run.arms.words)
            run.store.set_columns(state.columns, run.breakdowns, fact_number)
            run.store.load(arrays)
        return run
