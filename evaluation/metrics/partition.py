"""Partition: the unit store of one partition of `units`, a fold over its messages.

Theory of operation. The result depends on the set of records and on the clock, not on order or on how records are cut
into messages: an entry is a minimum, arms seen are a set, sums are integers that can be taken back, duplicates are
recognised. Three rules make that exact with bounded memory.

1. A source's records are folded once: a header names the ranges of source offsets, and rows before the next known one
   are skipped. A range that begins beyond it is a `MissingError`, unless somebody accepted the gap.
2. Nothing behind the clock changes the past. Append times of a source ascend, so a record that is still to come was
   appended at or after the clock; if its event time lies before the clock less the horizon it is late, and left out.
   (Should a source come into being behind the clock, its rows of such times are counted as late for that reason.)
3. Hence an event needs keeping (see recent.py) while its time is not before the clock less the horizon: a repeat of an
   older one would be late, and so would an exposure that claims it. For an exposure that creates or moves back an entry
   to time e is itself not late, so e is not before the clock less the horizon, and neither is any event at or after e:
   all of them are kept, and the totals counted from them are whole. For the same reason an entry before the clock less
   the horizon is final, and a unit is settled, its total final, once its window lies before it too.

   Only two times of one insert id need more: they are noticed if they lie in the same minute, in whichever order they
   come, because events are kept that much longer. What is noted of an event is kept like one, so a run counts the notes
   of its own units' events, whichever came first, the event or the exposure.

Within a message exposures are folded first, then events: the recent events that an exposure claims lack those of its
own message, which are then counted like any other.
"""

from collections.abc import Callable

import msgspec
import numpy as np

from evaluation.catalog.in_force import Catalog
from evaluation.catalog.logs import LogsInForce
from evaluation.metrics.members import E_TIME
from evaluation.metrics.packing import pack, read_metadata, unpack
from evaluation.metrics.past import Past
from evaluation.metrics.recent import FACTS, Recent, Words
from evaluation.metrics.rows import ELSEWHERE, OVER, sort
from evaluation.metrics.run import Run, RunState, bucket_width
from schemas.aggregate import Aggregate
from schemas.logs import Gap
from schemas.units import Arm, Example, Header, Source, decode_units, newest

MINUTE = 60_000  # ms, at most a horizon: retries and double clicks lie seconds apart

FORMAT = 8  # of a checkpoint
NEWEST = 1 << 62  # beyond every offset of the catalog

_METADATA = b"peekproof"


class MissingError(ValueError):
    """Source records are missing, and nobody accepted that: a source or `units` was cut, or a batch on it was lost."""


class Heading(msgspec.Struct, frozen=True):
    """What every version of a checkpoint says; the first ones said no format."""

    format: int = 1
    horizon: int = 0
    clock: int = 0


class _State(msgspec.Struct, frozen=True):
    """A checkpoint's metadata."""

    format: int
    partition: int
    horizon: int
    offset: int
    clock: int
    catalog: int
    sources: list[tuple[str, int, int, int]]  # topic, partition, next offset, clock
    expected: int
    facts: list[str]
    runs: list[RunState]
    pasts: list[tuple[int, int]]  # fact, width
    gaps: list[Gap]
    unsure: list[tuple[str, int]]
    examples: list[Example]


class Partition:
    """The state of one partition of `units` after every record before `offset`.

    `clock` (ms UTC) is the smallest append time that its sources have reached, 0 while one is unknown; `catalog` the
    catalog offset in force; `sources` the next offset of each source partition.
    """

    def __init__(self, partition: int, horizon: int) -> None:
        self.partition = partition
        self.horizon = horizon
        self.offset = 0
        self.clock = 0
        self.catalog = 0
        self.sources: dict[tuple[str, int], int] = {}
        self._clocks: dict[tuple[str, int], int] = {}
        self._expected = 0  # sources, as far as any worker knew
        self._facts: dict[str, int] = {}
        self._runs: dict[tuple[str, str], Run] = {}
        self._pasts: dict[tuple[int, int], Past] = {}  # by fact and width of a bucket
        self._recent = Recent(max(1, min(horizon, MINUTE)))
        self.gaps: list[Gap] = []  # what is missing for good, as somebody accepted
        self._unsure: set[tuple[str, int]] = set()  # sources of which messages are missing: their next range tells
        self._examples: list[Example] = []
        self._named: list[Arm] | None = None  # the arms of the last header, and what they are here
        self._arms = np.zeros((0, 2), np.int64)
        self._arm_runs: list[Run] = []

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
        if offset < self.offset:
            return
        batch, header = decode_units(message)
        bound = self.clock - self.horizon
        floors = self._floors(offset, header, catalog_at(NEWEST).logs)
        self._adopt(header.catalog, catalog_at)
        self._resolve(header.arms)
        facts = np.array([self._fact(key) for key in header.facts], np.int64)
        rows = sort(batch, header, floors, bound, self._arms, facts)

        # By time: then one of them at most moves a unit's entry, and has its events counted again.
        exposures = rows.exposures[: rows.exposure_count]
        exposures = exposures[np.argsort(exposures[:, E_TIME], kind="stable")]
        for number, run in enumerate(self._arm_runs):
            run.exposures += rows.counted[number]
            if len(exposures):
                run.expose(exposures, number, self._recent, self._pasts)
        changes, noted = self._recent.insert(rows.events, rows.event_count, rows.notes, rows.note_count, bound)
        for run in self._runs.values():
            if run.columns:
                for change in changes:
                    run.count(*change)
                if noted:
                    run.note(rows.notes, noted)
        for (fact, _), past in self._pasts.items():
            for change in changes:
                past.add(change.events, fact, change.sign)

        if header.examples:
            self._examples = newest((*self._examples, *header.examples))
        self._advance(header)
        self.offset = offset + 1
        for run in self._runs.values():
            if run.final is None and run.is_over(self.clock):
                self._finish(run)

    def skip(self, gap: Gap, end: int) -> None:
        """Go on at `end` of the partition's log, behind an accepted gap of it."""
        self.gaps.append(msgspec.structs.replace(gap, begin=self.offset, end=end))
        self._unsure = set(self.sources)
        self.offset = end

    def move(self, offset: int) -> None:
        """Go on at `offset` of the partition's log: what was folded was no part of it, but says the same."""
        self.offset = offset
        for run in self._runs.values():
            if run.final:
                run.final = msgspec.structs.replace(run.final, offset=offset)

    def aggregates(self) -> list[Aggregate]:
        """What every run of the catalog in force comes to, by flag and run."""
        for run in self._runs.values():
            run.settle(self.clock - self.horizon)
        return [self._aggregate(run) for _, run in sorted(self._runs.items())]

    def _aggregate(self, run: Run) -> Aggregate:
        aggregate = run.aggregate(self.partition, self.offset, self.clock, self.catalog, self._examples)
        gaps = [gap for gap in self.gaps if gap.until is None or gap.until >= run.started]
        return msgspec.structs.replace(aggregate, gaps=gaps) if gaps and not aggregate.final else aggregate

    def reached(self, topic: str, partition: int) -> int:
        """The append time (ms UTC) that a source has reached; 0: not known."""
        return self._clocks.get((topic, partition), 0)

    def began(self, flag: str, run: str) -> int | None:
        """The earliest entry into a run (ms UTC); None: nobody has entered, or it is over."""
        found = self._runs.get((flag, run))
        return None if found is None else found.began

    def _floors(self, offset: int, header: Header, logs: LogsInForce | None) -> Words:
        """The first offset of each of the header's sources that is not folded yet."""
        place = f"units/{self.partition} at offset {offset}"
        if header.horizon != self.horizon:
            raise ValueError(
                f"{place}: the message judges lateness by a horizon of {header.horizon} ms, this state by "
                f"{self.horizon} ms; give every stage the one that the deployment began with"
            )
        floors = np.empty(len(header.sources), np.int64)
        for index, source in enumerate(header.sources):
            expected = self.sources.get((source.topic, source.partition), source.begin)
            if source.begin > expected:
                self._miss(place, source, expected, logs)
            floors[index] = expected
        return floors

    def _miss(self, place: str, source: Source, expected: int, logs: LogsInForce | None) -> None:
        """Note that a source's offsets from the expected one on are missing, if that was accepted."""
        name = (source.topic, source.partition)
        if name in self._unsure:
            return  # as a part of the gap of this partition's log
        gap = logs.gap("assignment", *name, expected, source.begin) if logs else None
        if gap is None:
            raise MissingError(
                f"{place}: the message covers {source.topic}/{source.partition} from offset {source.begin}, but "
                f"{expected} is the next one that is not folded; {source.begin - expected} offsets are missing. "
                "`peekproof recover accept-gap` shows what is lost and goes on"
            )
        self.gaps.append(msgspec.structs.replace(gap, begin=expected, end=source.begin))

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
            self._adopt_pasts(catalog)
            for flag in catalog.flags.values():
                for run_in_force in flag.runs:
                    name = (flag.definition.key, run_in_force.key)
                    run = self._runs.setdefault(name, Run(*name, self.horizon))
                    if run.final is None:
                        run.adopt(run_in_force, self._fact, self._recent, self._pasts)
            adopted = catalog
        if read < offset:
            raise ValueError(
                f"units/{self.partition}: a message was made under catalog offset {offset}, but the catalog was read "
                f"only up to {read}; read it up to its end before folding"
            )
        self.catalog = offset
        self._named = None

    def _adopt_pasts(self, catalog: Catalog) -> None:
        """Keep the past of every fact of a metric with a lookback, whether or not a run reads it yet."""
        metrics = [metric for flag in catalog.flags.values() for run in flag.runs for metric in run.metrics.values()]
        read = {
            (self._fact(fact.key), bucket_width(metric.lookback))
            for metric in (*catalog.metrics.values(), *metrics)
            if metric.lookback is not None
            for fact in metric.facts
        }
        self._pasts = {key: self._pasts.get(key) or Past(key[1]) for key in sorted(read)}

    def _resolve(self, arms: list[Arm]) -> None:
        """Say which run of ours each of the header's arms means, and which arm of it."""
        if arms == self._named:
            return
        self._arm_runs = []
        self._arms = np.empty((len(arms), 2), np.int64)
        numbers: dict[tuple[str, str], int] = {}
        for index, arm in enumerate(arms):
            name = (arm.flag, arm.run)
            run = self._runs.get(name)
            if run is None:
                self._arms[index] = ELSEWHERE, 0
            elif run.final:
                self._arms[index] = OVER, 0
            else:
                if name not in numbers:
                    numbers[name] = len(self._arm_runs)
                    self._arm_runs.append(run)
                self._arms[index] = numbers[name], run.arm(arm.allocation, arm.variant)
        self._named = arms

    def _fact(self, key: str) -> int:
        """The partition's number of a fact."""
        number = self._facts.setdefault(key, len(self._facts))
        if number >= FACTS:
            raise ValueError(
                f"units/{self.partition}: {key} is fact number {number}, a state knows {FACTS}; begin anew under "
                "another prefix"
            )
        return number

    def _advance(self, header: Header) -> None:
        """Note what the sources have reached; then forget what can't matter any more."""
        for source in header.sources:
            name = (source.topic, source.partition)
            self.sources[name] = max(self.sources.get(name, source.begin), source.end)
            self._clocks[name] = max(self._clocks.get(name, 0), source.clock)
            self._unsure.discard(name)
        self._expected = max(self._expected, header.expected)
        if len(self._clocks) >= self._expected:
            self.clock = max(self.clock, min(self._clocks.values(), default=0))
        self._recent.expire(self.clock - self.horizon - self._recent.minute)
        for run in self._runs.values():
            run.expire(self.clock - self.horizon)
        for past in self._pasts.values():
            past.expire(self.clock - self.horizon)

    def _finish(self, run: Run) -> None:
        run.settle(self.clock - self.horizon)
        aggregate = self._aggregate(run)
        run.finish(msgspec.structs.replace(aggregate, final=True))
        self._named = None

    def save(self) -> bytes:
        """The state as one Arrow IPC stream: per run the members' rows and sums, and the recent events."""
        runs = list(self._runs.values())
        state = _State(
            format=FORMAT,
            partition=self.partition,
            horizon=self.horizon,
            offset=self.offset,
            clock=self.clock,
            catalog=self.catalog,
            sources=[(*name, offset, self._clocks[name]) for name, offset in self.sources.items()],
            expected=self._expected,
            facts=list(self._facts),
            runs=[run.state() for run in runs],
            pasts=list(self._pasts),
            gaps=self.gaps,
            unsure=sorted(self._unsure),
            examples=self._examples,
        )
        arrays = {f"{number}/{name}": array for number, run in enumerate(runs) for name, array in run.arrays().items()}
        for (fact, width), past in self._pasts.items():
            arrays[f"past/{fact}/{width}"] = past.slots()
        return pack(arrays | {"recent": self._recent.events()}, {_METADATA: msgspec.json.encode(state)})

    @classmethod
    def load(cls, data: bytes) -> "Partition":
        """The state that `save` saved. Raises ValueError for one that another version saved."""
        arrays, metadata = unpack(data)
        require_format(msgspec.json.decode(metadata[_METADATA], type=Heading))
        state = msgspec.json.decode(metadata[_METADATA], type=_State)
        partition = cls(state.partition, state.horizon)
        partition.offset, partition.clock, partition.catalog = state.offset, state.clock, state.catalog
        for topic, number, offset, clock in state.sources:
            partition.sources[topic, number] = offset
            partition._clocks[topic, number] = clock
        partition._expected = state.expected
        partition.gaps, partition._unsure = state.gaps, set(state.unsure)
        partition._examples = state.examples
        partition._facts = {key: number for number, key in enumerate(state.facts)}
        for index, run in enumerate(state.runs):
            prefix = f"{index}/"
            own = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
            partition._runs[run.flag, run.key] = Run.load(run, state.horizon, partition._fact, own)
        for fact, width in state.pasts:
            partition._pasts[fact, width] = Past.load(width, arrays[f"past/{fact}/{width}"].reshape(-1, 3))
        partition._recent = Recent.load(partition._recent.minute, arrays["recent"].reshape(-1, 5))
        return partition


def heading(data: bytes) -> Heading:
    """What a saved state says, without loading it."""
    return msgspec.json.decode(read_metadata(data)[_METADATA], type=Heading)


def require_format(found: Heading) -> None:
    """Raises ValueError for a state that another version saved."""
    if found.format != FORMAT:
        raise ValueError(
            f"the checkpoint has format {found.format}, this version reads format {FORMAT}: `peekproof recover "
            "rebuild` makes it anew from the archive"
        )
