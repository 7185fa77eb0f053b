"""Runs: those that the catalog in force knows, in one partition, and what a message's arms mean by them."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from evaluation.catalog.in_force import Catalog
from evaluation.columns.arrays import Words
from evaluation.metrics.intake import ELSEWHERE, OVER
from evaluation.metrics.layouts import HEADER_ARM, HeaderArms
from evaluation.metrics.lookback import Lookbacks
from evaluation.metrics.recent_events import RecentEvents
from evaluation.metrics.run import RunMembers
from evaluation.metrics.run_columns import FactNumbers
from schemas.aggregate import Aggregate
from schemas.recount import unmarked
from schemas.units import Arm, Header, RowKind


class Runs:
    """Every run by flag and key, those that are over included."""

    def __init__(self, horizon: int, generation: int = 0) -> None:
        self._horizon = horizon
        self._generation = generation
        self._runs: dict[tuple[str, str], RunMembers] = {}
        self._named: list[Arm] | None = None  # the arms of the last header, and what they are here
        self._arms = HeaderArms(np.zeros(0, HEADER_ARM))
        self._arm_runs: list[RunMembers] = []

    def __iter__(self) -> Iterator[RunMembers]:
        return iter(self._runs.values())

    def get(self, flag: str, key: str) -> RunMembers | None:
        """The run of that name."""
        return self._runs.get((flag, key))

    def in_order(self) -> list[RunMembers]:
        """The runs by flag and key."""
        return [run for _, run in sorted(self._runs.items())]

    def add(self, run: RunMembers) -> None:
        """One run more."""
        self._runs[run.flag, run.key] = run

    def adopt(self, catalog: Catalog, fact_number: FactNumbers, recent: RecentEvents, lookbacks: Lookbacks) -> None:
        """Bring a version of the catalog into force."""
        for flag in catalog.flags.values():
            for run_in_force in flag.runs:
                name = (flag.definition.key, run_in_force.key)
                if name not in self._runs:
                    self._runs[name] = RunMembers(*name, self._horizon)
                last = self._runs[name].final
                if last is None or last.generation != run_in_force.generation:
                    self._runs[name].adopt(run_in_force, fact_number, recent, lookbacks)
        self._named = None

    def resolve(self, arms: list[Arm]) -> tuple[HeaderArms, list[RunMembers]]:
        """Which run of ours each of a header's arms means, by its number in the list, and which arm of it."""
        if arms == self._named:
            return self._arms, self._arm_runs
        self._arm_runs = []
        self._arms = HeaderArms(np.zeros(len(arms), HEADER_ARM))
        numbers: dict[tuple[str, str], int] = {}
        for index, arm in enumerate(arms):
            generation, key = unmarked(arm.run)
            name = (arm.flag, key)
            run = self._runs.get(name) if generation == self._generation else None
            if run is None:
                self._arms[index] = ELSEWHERE, 0
            elif run.final or run.generation:
                self._arms[index] = OVER, 0
            else:
                if name not in numbers:
                    numbers[name] = len(self._arm_runs)
                    self._arm_runs.append(run)
                self._arms[index] = numbers[name], run.arm(arm.allocation, arm.variant)
        self._named = arms
        return self._arms, self._arm_runs

    def count_strays(self, batch: pa.RecordBatch, header: Header, floors: Words) -> None:
        """Count the exposures of a message that are of no time in which their run took any, for the run that does.

        `floors` is the first offset of each source that is new.
        """
        kind, time = (batch.column(name).to_numpy() for name in ("kind", "time"))
        rows = np.flatnonzero(kind & np.uint8(RowKind.INACTIVE))
        if not len(rows):
            return
        source, offset, code = (batch.column(name).to_numpy()[rows] for name in ("source", "offset", "code"))
        is_new, time = offset >= floors[source], time[rows]
        open_runs = {run.flag: run for run in self if run.completed is None}
        for each in np.unique(code).tolist():
            arm = header.arms[each]
            generation, key = unmarked(arm.run)
            run, named = open_runs.get(arm.flag), self._runs.get((arm.flag, key))
            is_told_of_it = generation == (named.generation if named else 0)  # another one tells the same
            if run is not None and run.key != key and is_told_of_it:
                run.count_strays(key, time[is_new & (code == each)])

    def finish(self, run: RunMembers, last: Aggregate) -> None:
        """A run says its last word: its arms are no longer counted."""
        run.finish(last)
        self._named = None
