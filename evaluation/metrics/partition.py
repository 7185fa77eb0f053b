"""Partition: the unit store of one partition of `units`, a fold over its messages.

Theory of operation. The result depends on the set of records and on the watermark, not on order or on how records are
cut into messages: an entry is a minimum, arms seen are a set, sums are integers that can be taken back, duplicates are
recognised. Three rules make that exact with bounded memory. The watermark is the smallest append time that the sources
have reached; the bound is the watermark less the horizon, which is how far behind it an event time may be.

1. A source's records are folded once: a header names the ranges of source offsets, and rows before the next known one
   are skipped. A range that begins beyond it is a `MissingError`, unless somebody accepted the gap.
2. Nothing behind the watermark changes the past. Append times of a source ascend, so a record that is still to come was
   appended at or after the watermark; if its event time lies before the bound it is late, and left out. (Should a
   source come into being behind the watermark, its rows of such times are counted as late for that reason.)
3. Hence an event needs keeping (see recent_events.py) while its time is not before the bound: a repeat of an older one
   would be late, and so would an exposure that claims it. For an exposure that creates or moves back an entry to time e
   is itself not late, so e is not before the bound, and neither is any event at or after e: all of them are kept, and
   the totals counted from them are whole. For the same reason an entry before the bound is final, and a unit is
   settled, its total final, once its window lies before it too.

   Only two times of one insert id need more: they are noticed if they lie in the same minute, in whichever order they
   come, because events are kept that much longer. What is noted of an event is kept like one, so a run counts the notes
   of its own units' events, whichever came first, the event or the exposure.

Within a message exposures are folded first, then events: the recent events that an exposure claims lack those of its
own message, which are then counted like any other.

Loose events, of runs with an identity, come from the identity stage, which may take them back and give them to another
unit until its own clock is two horizons beyond their time (see identities.py). By it there is a second watermark, the
smaller one: their rows are late by it, runs that count them expire and settle by it, and recent events are kept as long
as it asks for. Entries, and all other runs, know the first one alone.

A run that is recounted has another generation: a partition within the partition, of that run alone, that folds the rows
which are told of it and has clocks of its own: they wait for what the archive tells of the time before, while the run
goes on as it was. The two agree once nothing is left to tell; then the catalog puts the one in the place of the other.
"""

from collections.abc import Callable, Mapping

import msgspec
import numpy as np
import pyarrow as pa
from msgspec import UNSET, UnsetType
from numpy.typing import NDArray

from evaluation.catalog.in_force import Catalog
from evaluation.catalog.recounts import recounted
from evaluation.columns.arrays import Words
from evaluation.metrics import checkpoint
from evaluation.metrics.contribution import contribution
from evaluation.metrics.facts import Facts
from evaluation.metrics.generations import facts_of, told_of
from evaluation.metrics.intake import Intake, are_withdrawn, segments, sort, withdrawn
from evaluation.metrics.layouts import BUCKET, RECENT, Buckets, Events, Exposures, Notes, RecentRing, words_of
from evaluation.metrics.lookback import Lookbacks
from evaluation.metrics.recent_events import RecentChange, RecentEvents
from evaluation.metrics.run import RunMembers
from evaluation.metrics.run_columns import looked_back_to
from evaluation.metrics.runs import Runs
from evaluation.metrics.silences import EVER, Silences
from evaluation.metrics.sources import Sources
from evaluation.metrics.unit_numbers import UnitNumbers
from schemas.aggregate import Aggregate, PeopleCounts
from schemas.logs import Gap
from schemas.recount import unmarked
from schemas.topics import IDENTITIES
from schemas.units import Example, Header, Joining, decode_units, newest

MINUTE = 60_000  # ms, at most a horizon: retries and double clicks lie seconds apart
NEWEST = 1 << 62  # beyond every offset of the catalog
_Piece = Intake | tuple[Events, Words]  # what comes, or is taken back


class Partition:
    """The state of one partition of `units` after every record before `offset`.

    `catalog` is the catalog offset in force; an event time further than `horizon` (ms) behind the watermark is late.
    With `keeps` the members of runs that are over stay, for whoever asks about them. Of another `generation` than the
    first it is within a partition.
    """

    def __init__(self, partition: int, horizon: int, *, keeps: bool = False, generation: int = 0) -> None:
        self.partition = partition
        self.horizon = horizon
        self._keeps = keeps
        self.offset = 0
        self.catalog = 0
        self.rows = 0  # that messages have brought since it was made, or loaded
        self.generation = generation
        self._sources = Sources(generation)
        self._facts = Facts(f"units/{partition}")
        self._runs = Runs(horizon, generation)
        self._recounts: dict[int, Partition] = {}  # by generation
        self._lookbacks = Lookbacks()
        self._recent = RecentEvents(max(1, min(horizon, MINUTE)))
        self._examples: list[Example] = []
        self._silences = Silences()
        self._joining: dict[tuple[str, str, int], Joining] = {}

    @property
    def watermark(self) -> int:
        """The smallest append time that its sources have reached (ms UTC); 0 while one is unknown."""
        return self._sources.watermark

    @property
    def _bound(self) -> int:
        """What is before it (ms UTC) is complete: a record of such a time that is still to come is late."""
        return self.watermark - self.horizon

    @property
    def _joined_bound(self) -> int:
        """The same of loose events."""
        return self._sources.joined - self.horizon

    def _bound_of(self, run: RunMembers) -> int:
        return self._joined_bound if run.pair else self._bound

    @property
    def sources(self) -> dict[tuple[str, int], int]:
        """The next offset of each source partition."""
        return self._sources.offsets

    @property
    def gaps(self) -> list[Gap]:
        """What is missing for good, as somebody accepted."""
        return self._sources.gaps

    def fold(self, offset: int, message: bytes | memoryview, catalog_at: Callable[[int], Catalog]) -> None:
        """Fold one message of the partition's log; one before `self.offset` is ignored.

        `catalog_at` gives the catalog after every record before an offset of its topic. Offsets may leave holes
        (control records): the caller sees to it that no message is missing. The state is good until an error is raised.

        Raises:
            NoMessageError: it is somebody else's record, or a row of it refers to what isn't there. The state stays
                good; the next message tells whether one of ours is missing.
            MissingError: a source's range begins beyond the next known offset, and nobody accepted the gap.
            ValueError: the message is broken, or of another horizon, or the catalog was not read far enough.
        """
        if offset >= self.offset:
            self.take(offset, *decode_units(message), catalog_at)

    def take(self, offset: int, batch: pa.RecordBatch, header: Header, catalog_at: Callable[[int], Catalog]) -> None:
        """Fold the rows of the message at `offset`, or some of them: of a few units, say. Raises as `fold` does."""
        is_first = not self.sources and not self.gaps
        place = f"units/{self.partition} at offset {offset}"
        if header.horizon != self.horizon:
            raise ValueError(
                f"{place}: the message judges lateness by a horizon of {header.horizon} ms, this state by "
                f"{self.horizon} ms; give every stage the one that the installation began with"
            )
        logs = catalog_at(NEWEST).logs
        floors = self._sources.floors(place, header, logs)
        self._adopt(header.catalog, catalog_at)
        states = [self, *self._recounts.values()]
        found = [self._read(batch, header, floors)]
        found += [each._read(batch, header, each._sources.floors(place, header, logs)) for each in states[1:]]
        for state, (pieces, runs) in zip(states, found, strict=True):
            for piece in pieces:
                if isinstance(piece, Intake):
                    state._take_in(piece, runs)
                else:
                    state._take_back(*piece)
        self._runs.count_strays(batch, header, floors)
        if not isinstance(header.joining, UnsetType):
            self._joining |= {(each.flag, each.run, each.partition): each for each in header.joining}
        for state in states:
            state._advance(header)
            state.offset = offset + 1
        self.rows += batch.num_rows
        if not isinstance(header.came, UnsetType):
            self._silences.take(header.came, EVER if is_first else self.watermark)
        self._finish()

    def _read(self, batch: pa.RecordBatch, header: Header, floors: Words) -> tuple[list[_Piece], list[RunMembers]]:
        """What of a message is of this generation, in order, and the runs that its exposures are of."""
        bounds = [self._joined_bound if each.topic == IDENTITIES else self._bound for each in header.sources]
        arms, runs = self._runs.resolve(header.arms)
        names = facts_of(self.generation, header)
        facts = np.array([0 if name is None else self._facts.number(name) for name in names], np.int64)
        pieces: list[_Piece] = []
        for rows in segments(told_of(self.generation, batch, header)):
            if are_withdrawn(rows):
                pieces.append(withdrawn(rows, floors, facts))
            else:
                pieces.append(sort(rows, header, floors, np.array(bounds, np.int64), arms, facts))
        return pieces, runs

    def _take_in(self, intake: Intake, runs: list[RunMembers]) -> None:
        """Fold what a message brings. By time: then one exposure at most moves a unit's entry, and has it recounted."""
        exposures = intake.exposures[: intake.exposure_count]
        exposures = Exposures(exposures[np.argsort(exposures["time"], kind="stable")])
        for number, run in enumerate(runs):
            run.count_exposures(intake.counted, number)
            if len(exposures):
                run.expose(exposures, number, self._recent, self._lookbacks)
        events, notes = (intake.events, intake.event_count), (intake.notes, intake.note_count)
        changes, noted = self._recent.insert(*events, *notes, self._joined_bound)
        self._change(changes, intake.notes, noted, 1)

    def _take_back(self, events: Events, what: Words) -> None:
        """Loose events are another unit's after all."""
        changes, notes = self._recent.withdraw(events, what)
        self._change(changes, notes, len(notes), -1)

    def _change(self, changes: list[RecentChange], notes: Notes, noted: int, one: int) -> None:
        """Fold changes and the first `noted` notes, which come (`one` is 1) or go (-1)."""
        for run in self._runs:
            if run.store.columns:
                for change in changes:
                    run.count(*change, self._recent)
                if noted:
                    run.note(notes, noted, one)
        for change in changes:
            self._lookbacks.add(*change)

    def _advance(self, header: Header) -> None:
        """Note what the sources have reached; then forget what can't matter any more."""
        if header.examples:
            its = [(unmarked(each.fact), each) for each in header.examples]
            told = [msgspec.structs.replace(each, fact=fact) for (of, fact), each in its if of == self.generation]
            self._examples = newest((*self._examples, *told))
        self._sources.advance(header)
        self._recent.expire(self._joined_bound - self._recent.minute)
        for run in self._runs:
            run.expire(self._bound_of(run))
        self._lookbacks.expire(self._joined_bound)

    def complete(self) -> None:
        """Nothing more is told of the past of any generation, for whoever `keeps`."""
        for state in self._recounts.values():
            state._sources.complete()

    def skip(self, gap: Gap, end: int) -> None:
        """Go on at `end` of the partition's log, behind an accepted gap of it."""
        for state in (self, *self._recounts.values()):
            state._sources.doubt(msgspec.structs.replace(gap, begin=self.offset, end=end))
        self.offset = end

    def move(self, offset: int) -> None:
        """Go on at `offset` of the partition's log: what was folded was no part of it, but says the same."""
        self.offset = offset
        for run in self._runs:
            if run.final:
                run.final = msgspec.structs.replace(run.final, offset=offset)

    def aggregates(self) -> list[Aggregate]:
        """What every run of the catalog in force comes to, by flag and run."""
        for run in self._runs:
            state, members = self._counting(run)
            members.settle(state._bound_of(members))
        return [self._aggregate(run) for run in self._runs.in_order()]

    def _counting(self, run: RunMembers) -> "tuple[Partition, RunMembers]":
        """Where the members of the generation of a run that is in force are."""
        state = self._recounts.get(run.generation)
        members = state._runs.get(run.flag, run.key) if state else None
        return (state, members) if state and members else (self, run)

    def _aggregate(self, run: RunMembers) -> Aggregate:
        if run.final:
            return run.final
        state, members = self._counting(run)
        aggregate = contribution(members, self.partition, self.offset, state.watermark, self.catalog, state._examples)
        gaps = [gap for gap in state.gaps if gap.until is None or gap.until >= run.started]
        silences = members.silences(self._silences, self.watermark) if run.completed is None else []
        told = {"gaps": gaps, "silences": silences, "listened": self._silences.since, "generation": run.generation}
        strays = [run.strays[name] for name in sorted(run.strays)]
        return msgspec.structs.replace(aggregate, **told, strays=strays, people=self._people(run))

    def _people(self, run: RunMembers) -> PeopleCounts | UnsetType:
        its = [each for each in self._joining.values() if (each.flag, each.run) == (run.flag, run.key)]
        if not its:
            return UNSET
        fields = ("unjoined", "waiting", "moved", "crossed")
        return PeopleCounts(*(sum(getattr(each, field) for each in its) for field in fields))

    def _finish(self) -> None:
        """Let runs that are over say their last word."""
        for run in self._runs:
            if run.final or run.is_recounted or self._keeps:  # what is coming has the last word
                continue
            state, members = self._counting(run)
            clock = state._sources.joined if members.pair else state.watermark
            if members.is_over(clock):
                members.settle(state._bound_of(members))
                self._runs.finish(run, msgspec.structs.replace(self._aggregate(run), final=True))
                self._recounts.pop(run.generation, None)
                for name in [name for name in self._joining if name[:2] == (run.flag, run.key)]:
                    del self._joining[name]
                self._silences.forget("run", run.name)

    def reached(self, topic: str, partition: int) -> int:
        """The append time (ms UTC) that a source has reached; 0: not known."""
        return self._sources.reached((topic, partition))

    def began(self, flag: str, run: str) -> int | None:
        """The earliest entry into a run (ms UTC); None: nobody has entered, or it is over."""
        found = self._runs.get(flag, run)
        return None if found is None else self._counting(found)[1].began

    def members(self, flag: str, run: str) -> UnitNumbers | None:
        """The members of a run, with no numbers; None: nobody has entered, or it is over."""
        found = self._runs.get(flag, run)
        return None if found is None else self._counting(found)[1].members()

    def numbers(self, flag: str, run: str, metric: str) -> UnitNumbers | None:
        """What each member of a run came to by a metric; None: nobody has entered, or the run does not read it."""
        found = self._runs.get(flag, run)
        return None if found is None else self._counting(found)[1].numbers(metric)

    def _adopt(self, offset: int, catalog_at: Callable[[int], Catalog]) -> None:
        """Bring the catalog up to `offset` into force, version by version: a column's beginning must not be missed."""
        if offset <= self.catalog:
            return
        adopted: Catalog | None = None
        read = 0
        for step in range(self.catalog + 1 if self.catalog else offset, offset + 1):
            catalog = catalog_at(step)
            read = catalog.offset
            if adopted is not None and catalog.flags is adopted.flags and catalog.metrics is adopted.metrics:
                continue
            self._bring(catalog)
            adopted = catalog
        if read < offset:
            raise ValueError(
                f"units/{self.partition}: a message was made under catalog offset {offset}, but the catalog was read "
                f"only up to {read}; read it up to its end before folding"
            )
        self.catalog = offset

    def _bring(self, catalog: Catalog) -> None:
        """Bring a version of the catalog into force."""
        self._sources.waits |= bool(catalog.pairs)
        self._lookbacks.keep(looked_back_to(catalog, self._facts.number))
        self._runs.adopt(catalog, self._facts.number, self._recent, self._lookbacks)
        standing = {}
        for run, alone in recounted(catalog):
            members = self._runs.get(run.flag, run.key)
            if members is None or (members.final and members.final.generation == run.generation):
                continue
            state = standing[run.generation] = self._recounts.get(run.generation) or self._born(run.generation)
            state._bring(alone)
            if members.generation == run.generation and not self._keeps:  # whoever told of the past has told it all
                state._sources.complete()
        self._recounts = standing

    def _born(self, generation: int) -> "Partition":
        state = Partition(self.partition, self.horizon, keeps=self._keeps, generation=generation)
        state._sources = self._sources.at_birth(generation)
        return state

    def save(self) -> bytes:
        """The state as a checkpoint: per run the members' rows and sums, and the recent events."""
        return checkpoint.write(*self._saved())

    def _saved(self) -> tuple[checkpoint.PartitionState, dict[str, NDArray[np.int64]]]:
        runs, lookbacks = list(self._runs), self._lookbacks.slots()
        recounts = [each._saved() for each in self._recounts.values()]
        state = checkpoint.PartitionState(
            format=checkpoint.FORMAT,
            partition=self.partition,
            horizon=self.horizon,
            offset=self.offset,
            catalog=self.catalog,
            sources=self._sources.state(),
            facts=self._facts.keys(),
            runs=[run.state() for run in runs],
            lookbacks=list(lookbacks),
            examples=self._examples,
            silences=self._silences.state(),
            joining=[*self._joining.values()],
            generation=self.generation,
            recounts=[its for its, _ in recounts],
        )
        arrays = {f"{number}/{name}": array for number, run in enumerate(runs) for name, array in run.arrays().items()}
        arrays |= {f"past/{fact}/{width}": words_of(slots) for (fact, width), slots in lookbacks.items()}
        for its, more in recounts:
            arrays |= {f"recount/{its.generation}/{name}": array for name, array in more.items()}
        return state, arrays | {"recent": words_of(self._recent.events())}

    @classmethod
    def load(cls, data: bytes) -> "Partition":
        """The state that `save` saved. Raises ValueError for one that another version saved."""
        return cls._loaded(*checkpoint.read(data))

    @classmethod
    def _loaded(cls, state: checkpoint.PartitionState, arrays: Mapping[str, NDArray[np.int64]]) -> "Partition":
        partition = cls(state.partition, state.horizon, generation=state.generation)
        partition.offset, partition.catalog = state.offset, state.catalog
        partition._sources = Sources.load(state.sources)
        partition._examples = state.examples
        partition._silences.set(state.silences)
        partition._joining = {(each.flag, each.run, each.partition): each for each in state.joining}
        partition._facts = Facts(f"units/{state.partition}", state.facts)
        for index, run in enumerate(state.runs):
            own = _behind(f"{index}/", arrays)
            partition._runs.add(RunMembers.load(run, state.horizon, partition._facts.number, own))
        for fact, width in state.lookbacks:
            partition._lookbacks.load(fact, width, Buckets(arrays[f"past/{fact}/{width}"].view(BUCKET)))
        partition._recent = RecentEvents.load(partition._recent.minute, RecentRing(arrays["recent"].view(RECENT)))
        for its in state.recounts:
            own = _behind(f"recount/{its.generation}/", arrays)
            partition._recounts[its.generation] = cls._loaded(its, own)
        return partition


def _behind(prefix: str, arrays: Mapping[str, NDArray[np.int64]]) -> dict[str, NDArray[np.int64]]:
    """The arrays whose names begin so, by the rest of their names."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
