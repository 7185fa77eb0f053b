"""Run fold: a run's archived exposures and events, folded by the stages' own kernels as if it had read other metrics.

First the exposures, then the events of those units alone: records that can matter to neither are left out by their
bytes (see evaluation.exploring.prefilter). The partitions of a topic are read side by side by append time, and events
are forgotten as the stage forgets them, so that memory is that of the run's units. Where an event stands in for
exposures, or people are joined by an identity, all topics are read at once, and nobody is left out.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np

from evaluation.assignment.looking import topics_of
from evaluation.assignment.messages import UnitRows
from evaluation.assignment.plan import events_until
from evaluation.assignment.routing import Assigned, assign
from evaluation.catalog.history import History
from evaluation.catalog.in_force import SETTLING, RunInForce
from evaluation.catalog.sources import read_sources
from evaluation.exploring.entry_values import EntryValues
from evaluation.exploring.exploration import AskedMetric, FoldedRun
from evaluation.exploring.prefilter import Prefilter, SoughtUnits, names_read
from evaluation.exploring.supposed import supposed
from evaluation.identity.identities import Identities
from evaluation.metrics.partition import Partition
from pipeline.questions.reading import TimeBound
from pipeline.questions.unit_log import of_runs
from pipeline.registry.kept import KeptSchemas, schemas_of
from pipeline.stages.gathering import Gathering
from pipeline.storage.archived import excerpts, offset_at, partitions
from schemas.numbers import LATEST
from schemas.records import Records
from schemas.topics import EVENTS, EXPOSURES, IDENTITIES, SourcePartition
from schemas.units import RowKind

MOST_ROWS = 200_000  # gathered before they are folded
_PEOPLE = (IDENTITIES, 0)
Progress = Callable[[int, int], object]  # told: append time reached, append time of the end (ms UTC)


class RunFold:
    """One run, folded anew up to `until` (append time, ms UTC) or as far as the archive goes.

    `is_whole` says whether time sufficed, `reached` how far it went (ms UTC), `read` how many events were looked at.
    """

    def __init__(  # noqa: PLR0917
        self,
        directory: Path,
        history: History,
        run: RunInForce,
        metrics: Sequence[AskedMetric],
        values: EntryValues,
        horizon: int,
        tolerance: int,
        until: int | None = None,
        kept: KeptSchemas | None = None,
    ) -> None:
        self._directory, self._run, self._values = directory, run, values
        self._horizon, self._tolerance, self._kept = horizon, tolerance, kept
        self._metrics = {each.metric.definition.key: each.metric for each in metrics}
        self._history = supposed(history, run, self._metrics, [*values.properties_read])
        definition = msgspec.structs.replace(run.definition, breakdowns=())
        since = dict.fromkeys(self._metrics, run.started)
        anew = replace(run, metrics=self._metrics, since=since, definition=definition, generation=0, coming=None)
        self._alone = of_runs([anew], history.newest.logs)
        self._names = {} if run.pair else names_read(anew)
        self._sources = read_sources(history, horizon)
        self._until = min(LATEST if until is None else until, events_until(anew, horizon), LATEST)
        # Who was joined to whom before the run is known from everything before it.
        self._since = 0 if run.pair else run.started - tolerance - SETTLING
        self._partition = Partition(0, horizon, keeps=True)
        self._units: SoughtUnits | None = None
        self._people = Identities(0, horizon) if run.pair else None
        self._phases = self._topics()
        self._places = [place for phase in self._phases for place in phase]
        self._gathering = Gathering(partitions=1, horizon=horizon, expected=len(self._places))
        self._telling = Gathering(partitions=1, horizon=horizon, expected=1)
        self._telling.begin(_PEOPLE, 0)
        self._begun: set[SourcePartition] = set()
        self.read = self.reached = 0
        self.is_whole = False

    def fold(self, bound: TimeBound, tell: Progress = lambda *_: None) -> FoldedRun | None:
        """Read it all, as far as time allows; None: nobody has entered, as far as was read, or no event was read."""
        for phase in self._phases:
            is_last = phase is self._phases[-1]
            self._read(phase, bound, tell, moves=is_last)
            if not is_last:
                if not self.is_whole:
                    return None
                self._cut(0)
                found = self._partition.members(self._run.flag, self._run.key)
                self._units = SoughtUnits(np.zeros(0, np.uint64) if found is None else found.unit)
        for place in set(self._places) - self._begun:  # where nothing is archived of the run's time
            self._gathering.begin(place, 0)
            self._begun.add(place)
        self._cut(self.reached)
        while self._people and self._people.watermark < self.reached - self._horizon:  # it tells so many rows at a time
            self._cut(self.reached)
        return self._folded()

    def _topics(self) -> list[list[SourcePartition]]:
        """The partitions that are read side by side; those with exposures first, if it is possible."""
        exposing = [EXPOSURES, *topics_of(each for each in self._sources if each.source.makes == "exposure")]
        happening = [EVENTS, *(topic for topic in topics_of(self._sources) if topic not in exposing)]
        is_at_once = self._run.definition.exposure_event is not None or self._run.pair is not None
        topics = [[*exposing, *happening]] if is_at_once else [exposing, happening] if self._metrics else [exposing]
        return [[(topic, each) for topic in some for each in partitions(self._directory, topic)] for some in topics]

    def _read(self, places: Sequence[SourcePartition], bound: TimeBound, tell: Progress, *, moves: bool) -> None:
        """Read these side by side; time `moves` on with them, or stands still."""
        begin = {place: offset_at(self._directory, *place, self._since) for place in places}
        names = self._names
        logs = {
            place: excerpts(self._directory, *place, begin=begin[place], names=names.get(place[0])) for place in places
        }
        times = dict.fromkeys(places, self._since)
        filters = {topic: Prefilter(its) for topic, its in names.items()}
        if EVENTS in filters:
            filters[EVENTS] = Prefilter(names[EVENTS], self._run.definition.unit, self._units)
        while logs and not bound.is_over:
            place = min(logs, key=times.__getitem__)
            excerpt = next(logs[place], None)
            if excerpt is None:
                del logs[place]
                continue
            records = excerpt.records
            if place not in self._begun:
                self._gathering.begin(place, records.begin)
                self._begun.add(place)
            times[place] = min(excerpt.time, self._until)
            self.reached = max(self.reached, times[place])
            if place[0] != EXPOSURES:
                self.read += excerpt.rows
            self._take(place, records, filters.get(place[0]))
            if excerpt.time > self._until:
                del logs[place]
            if self._gathering.rows >= MOST_ROWS:
                self._cut(min((times[each] for each in logs), default=0) if moves else 0)
                tell(min(times.values()), self._until)
        self.is_whole = not logs
        if logs:
            self.reached = min(times[place] for place in logs)

    def _take(self, place: SourcePartition, records: Records, prefilter: Prefilter | None) -> None:
        if len(records) and int(records.append_time[-1]) > self._until:
            row = int(np.searchsorted(records.append_time, self._until, side="right"))
            records, _ = records.split(int(records.offset[row]))
        if prefilter is not None:
            records = prefilter.of(records)
        schemas = schemas_of(records, self._sources, self._kept)
        for assigned in assign(records, self._history, self._horizon, self._tolerance, schemas, self._values):
            self._gathering.add(place, self._own(assigned))

    def _own(self, assigned: Assigned) -> Assigned:
        """The rows of the run, and of events those of its units where they are known."""
        is_own = np.array([(arm.flag, arm.run) == (self._run.flag, self._run.key) for arm in assigned.arms] or [False])
        is_exposure = (assigned.kind & np.uint8(RowKind.EXPOSURE)) != 0
        kept = ~is_exposure
        kept[is_exposure] = is_own[assigned.code[is_exposure]]
        if self._units is not None:
            kept &= is_exposure | self._units.may_hold(assigned.unit)
        rows = UnitRows(**{name: column[kept] for name, column in assigned.columns().items()})
        return replace(assigned, **rows.columns(), came=frozenset(), watermark=0)

    def _cut(self, clock: int) -> None:
        """Fold what was gathered; all sources have reached the time `clock` (ms UTC), unless it is 0."""
        for place in self._begun if clock else ():
            self._gathering.reach(place, clock, self._history.newest.offset)
        for message in self._gathering.cut()[1]:
            self._fold(message)
        if self._people is None:
            return
        for message in self._gathering.cut_identities():
            if said := self._people.fold(self._people.offset, message, self._history.at_offset):
                self._telling.add(_PEOPLE, said)
        for message in self._telling.cut()[1]:
            self._fold(message)

    def _fold(self, message: bytes) -> None:
        self._partition.fold(self._partition.offset, message, lambda _: self._alone)

    def _folded(self) -> FoldedRun | None:
        flag, run = self._run.flag, self._run.key
        aggregate = next((each for each in self._partition.aggregates() if (each.flag, each.run) == (flag, run)), None)
        members = self._partition.members(flag, run)
        if aggregate is None or members is None:
            return None
        if not self.is_whole and not (members.entry <= self._partition.watermark).any():
            return None
        numbers = {key: self._partition.numbers(flag, run, key) for key in self._metrics}
        return FoldedRun(
            members=members,
            numbers={key: each for key, each in numbers.items() if each is not None},
            aggregate=aggregate,
            values=self._values,
            watermark=self._partition.watermark,
            settled=self._partition.watermark - (1 if self._people is None else 2) * self._horizon,
            read=self.read,
            is_whole=self.is_whole,
        )
