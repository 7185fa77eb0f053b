"""Rebuild: the states of the partitions of `units` and `identities` made anew from the archive, without a broker.

From the archived messages of `units` a state is folded up to their end. Where they are not all there, it is made of
what they were made of: archived exposures and events are assigned again, in the order of their append times, so that
watermark and catalog run as they did, and up to where the messages go on that Kafka still holds. For each units
partition a source's rows are cut exactly there; so a state is what aggregation had at the first offset of its log.
(Only the health of a run that was over by then may count some repeats more, and of events that nothing counts other
names may be known: assignment tells a sample of each slice.)

Whoever asks for people behind units, or has had a run counted again, needs the archived `units`. A state of
`identities` is folded up to where every units partition made of them has been told of it, and no further: the stage
tells them what follows.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evaluation.assignment.foreign import named_by
from evaluation.assignment.routing import assign
from evaluation.catalog.history import History
from evaluation.identity.identities import Identities
from evaluation.metrics.partition import Partition
from pipeline.errors import PeekproofError
from pipeline.kafka.logs import GO_ON
from pipeline.recovery.folding import Folding, behind, gaps_of, whole
from pipeline.registry.kept import KeptSchemas
from pipeline.settings import Settings
from pipeline.stages.gathering import Gathering
from pipeline.storage.archived import ArchiveGapError, partitions, slices, source_topics
from schemas.logs import Gap
from schemas.records import Records
from schemas.topics import IDENTITIES, SOURCES, UNITS, SourcePartition
from schemas.units import Source

ROWS = 1 << 15  # of each source that are read ahead, so that steps are large
NEVER = 1 << 62  # ms UTC

Tell = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class UnitsLog:
    """What Kafka holds of a units partition: offsets [begin, end), and what the first message of each source covers."""

    begin: int
    end: int
    heads: Mapping[SourcePartition, Source]


@dataclass(frozen=True, slots=True)
class UnitsLogs:
    """The logs of `units`, by partition, and how many source partitions there are."""

    units: Sequence[UnitsLog]
    sources: int


class Rebuild:
    """One rebuilding of every partition: of the archive's `made_of`, `size` offsets all together.

    `logs` is what Kafka holds, None where it does not answer. Raises ArchiveGapError for an archive that does not reach
    from where it must to where the logs go on, PeekproofError for one that does not fit.
    """

    def __init__(self, directory: Path, history: History, settings: Settings, logs: UnitsLogs | None) -> None:
        self._way: _Units | _Sources
        try:
            self._way = _Units(directory, history, settings, logs)
        except ArchiveGapError as error:
            try:
                self._way = _Sources(directory, history, settings, logs)
            except ArchiveGapError as another:
                raise ArchiveGapError(f"{error}\nNor can it be made of {' and '.join(SOURCES)}: {another}") from another
        self.made_of = self._way.made_of
        self.size = self._way.size
        self._directory, self._history, self._settings = directory, history, settings
        self._told: list[Mapping[SourcePartition, int]] = []  # by state made: the next offsets of its sources

    def states(self, tell: Tell = lambda _: None) -> Iterator[Partition]:
        """The states, one after the other, each at the offset of its log at which aggregation goes on.

        `tell` is called with how many offsets have been folded. Raises PeekproofError for what cannot be folded.
        """
        for state in self._way.states(tell):
            self._told.append(dict(state.sources))
            yield state

    def identities(self) -> Iterator[Identities]:
        """Those of `identities`, after the others, if a run ever asked for people. Raises as `states` does."""
        if not asks_for_people(self._history):
            return
        for number in range(self._settings.units_partitions):
            folding = Folding(Identities, self._directory, number, self._history, self._settings.horizon)
            folding.fold(min(folding.end, told_of(number, self._told)))
            yield folding.partition


def asks_for_people(history: History) -> bool:
    """Whether a run ever had an identity."""
    return any(state.pairs for state in history.states)


def told_of(number: int, told: Sequence[Mapping[SourcePartition, int]]) -> int:
    """Up to which offset of a partition of `identities` all units partitions have been told, by their sources."""
    return min((sources.get((IDENTITIES, number), 0) for sources in told), default=0)


class _Units:
    """From the archived messages of `units`."""

    made_of = (UNITS,)

    def __init__(self, directory: Path, history: History, settings: Settings, logs: UnitsLogs | None) -> None:
        archived = max(partitions(directory, UNITS), default=0)
        if archived >= settings.units_partitions:
            raise PeekproofError(
                f"the archive has {UNITS}/{archived}, but units_partitions is {settings.units_partitions}: give the "
                "number that the installation began with"
            )
        numbers = range(settings.units_partitions)
        self._foldings = [Folding(Partition, directory, number, history, settings.horizon) for number in numbers]
        for number, log in enumerate(logs.units if logs else ()):
            end = self._foldings[number].end
            if end < log.begin:
                raise ArchiveGapError(
                    f"the archive of {UNITS}/{number} reaches offset {end}, but its log begins at {log.begin}: "
                    f"{log.begin - end} offsets are lost. {GO_ON}"
                )
            if end > log.end:
                raise PeekproofError(
                    f"the archive of {UNITS}/{number} reaches offset {end}, but its log ends at {log.end}: its end was "
                    f"lost, or the archive belongs to another log. {GO_ON}"
                )
        self.size = sum(folding.end for folding in self._foldings)

    def states(self, tell: Tell) -> Iterator[Partition]:
        done = 0
        while self._foldings:
            folding = self._foldings.pop(0)
            folding.fold(folding.end, lambda offset, before=done: tell(before + offset))  # type: ignore[misc]
            done += folding.end
            tell(done)
            yield folding.partition


class _Sources:
    """From archived exposures and events, and what else sources read."""

    def __init__(self, directory: Path, history: History, settings: Settings, logs: UnitsLogs | None) -> None:
        if logs is None:
            raise ArchiveGapError(f"Kafka must answer, for what its log of {UNITS} holds says where to go on")
        if asks_for_people(history):
            raise ArchiveGapError(f"a run had an identity, and what is known of people stands on {UNITS} alone")
        if history.newest.recounts:
            raise ArchiveGapError(f"a run was recounted, and what was told of its past stands on {UNITS} alone")
        self._history, self._settings, self._logs = history, settings, logs.units
        self._schemas = KeptSchemas(settings)
        keys = {key for log in logs.units for key in log.heads}
        keys |= {(topic, number) for topic in source_topics(directory) for number in partitions(directory, topic)}
        self.made_of = *SOURCES, *sorted({topic for topic, _ in keys} - {*SOURCES})
        self._sources = [
            _SourceArchive(directory, key, history, [log.heads.get(key) for log in logs.units]) for key in sorted(keys)
        ]
        self._states = [Partition(number, settings.horizon) for number in range(settings.units_partitions)]
        self._gatherings = {}
        for source in self._sources:
            gathering = Gathering(settings.units_partitions, settings.horizon, max(logs.sources, len(keys)))
            gathering.begin(source.key, source.position)
            self._gatherings[source.key] = gathering
        self.size = sum(source.size for source in self._sources)

    def states(self, tell: Tell) -> Iterator[Partition]:
        while not all(source.is_done for source in self._sources):
            for source in self._sources:
                source.look_ahead()
            time = min((source.last for source in self._sources if source.goes_on), default=NEVER)
            for source in self._sources:
                for records in source.take(time):
                    self._assign(source, records)
                    if records.end in source.cuts:
                        self._fold(source, time)
                self._fold(source, time)
            tell(sum(source.done for source in self._sources))
        while self._states:
            state = self._states.pop(0)
            state.move(self._logs[state.partition].begin)
            yield state

    def _assign(self, source: "_SourceArchive", records: Records) -> None:
        """Gather what records say that lie within no gap and on one side of each units partition's cut."""
        gathering = self._gatherings[source.key]
        if records.begin > source.position:
            gathering.begin(source.key, records.begin)
        if records.begin < source.end:
            schemas = self._schemas.of(named_by(records, self._history.registered))
            horizon, tolerance = self._settings.horizon, self._settings.tolerance
            for assigned in assign(records, self._history, horizon, tolerance, schemas):
                gathering.add(source.key, assigned)
        source.position = records.end

    def _fold(self, source: "_SourceArchive", time: int) -> None:
        """Fold what was gathered, up to that time, into the partitions whose log does not hold it."""
        if source.position > source.end:
            return
        gathering, reached = self._gatherings[source.key], source.next_time
        catalog = self._history.states[self._history.index_at(min(time, reached))]
        gathering.reach(source.key, reached, catalog.offset)
        messages = gathering.cut()[1]
        for state, log, message in zip(self._states, self._logs, messages, strict=True):
            head = log.heads.get(source.key)
            if head is None or source.position <= head.begin:
                try:
                    state.fold(state.offset, message, self._history.at_offset)
                except ValueError as error:
                    raise PeekproofError(f"the archive cannot be folded: {error}") from error


class _SourceArchive:
    """The archive of one source partition, up to where the last units partition goes on (`end`).

    `position` is how far it was taken, `last` the append time (ms UTC) of what was read ahead.
    """

    def __init__(self, directory: Path, key: SourcePartition, history: History, heads: Sequence[Source | None]) -> None:
        self.key = key
        self._gaps = gaps_of(history, "assignment", *key)
        self.position = _begin(directory, key, history, self._gaps)
        archived = whole(directory, *key, history, self._gaps, self.position)
        self.end = max(archived if head is None else head.begin for head in heads)
        if behind(archived, self._gaps) < self.end:
            name = f"{key[0]}/{key[1]}"
            raise ArchiveGapError(
                f"the archive of {name} reaches offset {archived}, but the log of {UNITS} goes on behind its offset "
                f"{self.end}: {self.end - archived} offsets would be lost. Where {name} still holds them, "
                f"`peekproof worker archive` brings the archive up to its end; else {GO_ON}"
            )
        edges = {edge for gap in self._gaps for edge in (gap.begin, gap.end)}
        self.cuts = edges | {head.begin for head in heads if head}
        behind_it = [head for head in heads if head and head.begin >= archived]
        self._quiet_until = min((head.watermark if head.begin == head.end else 0 for head in behind_it), default=0)
        self.size = max(0, self.end - self.position)
        self.last = 0
        self.goes_on = True
        self._slices = slices(directory, *key, archived)
        self._ahead: deque[Records] = deque()
        self._rows = 0

    @property
    def done(self) -> int:
        """How many of the `size` offsets were taken."""
        return self.size - max(0, self.end - self.position)

    @property
    def next_time(self) -> int:
        """Nothing older than this (ms UTC) was appended from `position` on."""
        ahead = (int(records.append_time[0]) for records in self._ahead if len(records))
        return next(ahead, self.last if self.goes_on else self._quiet_until)

    @property
    def is_done(self) -> bool:
        """Whether nothing of it is wanted any more."""
        return self.position >= self.end or not (self.goes_on or self._ahead)

    def look_ahead(self) -> None:
        """Read so many rows ahead, if there are."""
        while self.goes_on and self._rows < ROWS:
            records = next(self._slices, None)
            if records is None:
                self.goes_on = False
                return
            self.last = max(self.last, int(records.append_time.max()))
            for cut in sorted(self.cuts):
                if records.begin < cut < records.end:
                    before, records = records.split(cut)
                    self._append(before)
            self._append(records)

    def _append(self, records: Records) -> None:
        if behind(records.begin, self._gaps) == records.begin:
            self._ahead.append(records)
            self._rows += len(records)

    def take(self, time: int) -> Iterator[Records]:
        """What was read ahead and appended up to that time."""
        while self._ahead:
            records = self._ahead.popleft()
            later = np.flatnonzero(records.append_time > time)
            if len(later):
                before, after = records.split(int(records.offset[later[0]]))
                self._ahead.appendleft(after)
                self._rows -= len(before)
                if len(before):
                    yield before
                return
            self._rows -= len(records)
            yield records


def _begin(directory: Path, key: SourcePartition, history: History, gaps: Sequence[Gap]) -> int:
    """From which offset on a source's archive is needed: what was appended before the first document feeds nothing."""
    first = next(slices(directory, *key), None)
    begins = history.states[1].append_time if len(history.states) > 1 else NEVER
    return first.begin if first and first.append_time[0] < begins else behind(0, gaps)
