"""Sources: how far each source partition of a partition of `units` is folded, and how far time has come by that."""

import msgspec
import numpy as np

from evaluation.catalog.logs import LogsInForce
from evaluation.columns.arrays import Words
from schemas.logs import Gap
from schemas.recount import unmarked
from schemas.topics import IDENTITIES
from schemas.units import Header, Source

Name = tuple[str, int]  # topic, partition
NOTHING = 1 << 62  # beyond every offset: of a source that is another generation's


class MissingError(ValueError):
    """Source records are missing, and nobody accepted that: a source or `units` was cut, or a batch on it was lost."""


class SourcesState(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a checkpoint says of the sources of a partition; see `Sources`."""

    partitions: list[tuple[str, int, int, int]]  # topic, partition, next offset, append time reached
    watermark: int
    joined: int
    waits: bool
    expected: int | dict[str, int]
    until: int
    identities: int
    gaps: list[Gap]
    unsure: list[Name]
    generation: int = 0
    past: dict[str, int] | None = None


class Sources:
    """The sources of one partition.

    `watermark` (ms UTC) is the smallest append time that those of assignment have reached, 0 while one is unknown.
    `joined` is how far loose events are told too: it waits for all partitions of `identities` once a run asks for them.

    Those of another `generation` than the first tell what comes, as assignment does, and what came before, as a reader
    of the archive does. While `past` is not None, the watermark waits for these too.
    """

    def __init__(self, generation: int = 0) -> None:
        self.generation = generation
        self.past: dict[str, int] | None = {} if generation else None  # partitions of each of its topics
        self.offsets: dict[Name, int] = {}  # the next ones
        self.gaps: list[Gap] = []  # what is missing for good, as somebody accepted
        self.watermark = 0
        self.joined = 0
        self.waits = False  # whether a run asks for people
        # How many there are beside those of `identities`, as far as any worker knew: in all, or of each topic read.
        self.expected: int | dict[str, int] = 0
        self.until = 0  # up to when (ms UTC) there were no others
        self.identities = 0  # how many partitions of that there are; 0: not known
        self.unsure: set[Name] = set()  # messages of them are missing: their next range tells what
        self._reached: dict[Name, int] = {}

    def at_birth(self, generation: int) -> "Sources":
        """Those of a generation that is born now: of what comes, it is told from here on."""
        sources = Sources(generation)
        sources.offsets, sources._reached = dict(self.offsets), dict(self._reached)
        sources.expected, sources.until, sources.identities = self.expected, self.until, self.identities
        sources.unsure = set(self.unsure)
        return sources

    def reached(self, name: Name) -> int:
        """The append time (ms UTC) that a source has reached; 0: not known."""
        return self._reached.get(name, 0)

    def is_ours(self, topic: str) -> bool:
        """Whether what a source tells is of this generation: what comes now is of all."""
        return unmarked(topic)[0] in {0, self.generation}

    def floors(self, place: str, header: Header, logs: LogsInForce | None) -> Words:
        """The first offset of each of the header's sources that is not folded yet. `place` is where the header stood.

        Raises:
            MissingError: a source's range begins beyond the next known offset, and nobody accepted the gap.
        """
        floors = np.empty(len(header.sources), np.int64)
        for index, source in enumerate(header.sources):
            if not self.is_ours(source.topic):
                floors[index] = NOTHING
                continue
            expected = self.offsets.get((source.topic, source.partition), source.begin)
            if source.begin > expected:
                self._miss(place, source, expected, logs)
            floors[index] = expected
        return floors

    def _miss(self, place: str, source: Source, expected: int, logs: LogsInForce | None) -> None:
        """Note that a source's offsets from the expected one on are missing, if that was accepted."""
        name = (source.topic, source.partition)
        if name in self.unsure:
            return  # as a part of the gap of this partition's log
        generation, topic = unmarked(source.topic)
        stage = "archive" if generation else reader(topic)
        gap = logs.gap(stage, topic, source.partition, expected, source.begin) if logs else None
        if gap is None:
            raise MissingError(
                f"{place}: the message covers {source.topic}/{source.partition} from offset {source.begin}, but "
                f"{expected} is the next one that is not folded; {source.begin - expected} offsets are missing. "
                "`peekproof recover accept-gap` shows what is lost and goes on"
            )
        self.gaps.append(msgspec.structs.replace(gap, begin=expected, end=source.begin))

    def doubt(self, gap: Gap) -> None:
        """Messages are missing, of whatever sources: an accepted gap of the partition's own log."""
        self.gaps.append(gap)
        self.unsure = set(self.offsets)

    def advance(self, header: Header) -> None:
        """Note what a message's sources have reached."""
        its = [source for source in header.sources if self.is_ours(source.topic)]
        for source in its:
            name = (source.topic, source.partition)
            self.offsets[name] = max(self.offsets.get(name, source.begin), source.end)
            self._reached[name] = max(self._reached.get(name, 0), source.watermark)
            self.unsure.discard(name)
        if any(unmarked(source.topic)[0] for source in header.sources):
            if its and self.past is not None and isinstance(header.expected, dict):
                self.past |= header.expected
        elif any(source.topic == IDENTITIES for source in header.sources):
            self.identities = max(self.identities, _number(header.expected))
        else:
            self._expect(header.expected, header.until)
        self.watermark = max(self.watermark, self._clock())
        theirs = [time for (topic, _), time in self._reached.items() if topic == IDENTITIES]
        if not self.waits:
            self.joined = self.watermark
        elif 0 < self.identities <= len(theirs):
            self.joined = max(self.joined, min(self.watermark, *theirs))

    def complete(self) -> None:
        """The past was told: the watermark no longer waits for it."""
        self.past = None
        self.watermark = self.joined = max(self.watermark, self._clock())

    def _expect(self, expected: int | dict[str, int], until: int) -> None:
        if until > self.until or (isinstance(self.expected, int) and isinstance(expected, dict)):
            self.expected, self.until = expected, max(self.until, until)
        elif until < self.until:
            return
        elif isinstance(self.expected, int) and isinstance(expected, int):
            self.expected = max(self.expected, expected)
        elif isinstance(self.expected, dict) and isinstance(expected, dict):
            self.expected = {
                topic: max(self.expected.get(topic, 0), expected.get(topic, 0)) for topic in self.expected | expected
            }

    def _clock(self) -> int:
        """The append time (ms UTC) that everything has reached which is expected; 0 while some is not known."""
        if self.past is None:
            return self._clock_now()
        names = ((topic, number) for topic, count in self.past.items() for number in range(count))
        return min(self._clock_now(), min((self._reached.get(name, 0) for name in names), default=0))

    def _clock_now(self) -> int:
        """That of what comes now."""
        if isinstance(self.expected, int):
            own = [time for (topic, _), time in self._reached.items() if topic != IDENTITIES and not unmarked(topic)[0]]
            return min(own, default=0) if len(own) >= self.expected else 0
        names = ((topic, number) for topic, count in self.expected.items() for number in range(count))
        return min((self._reached.get(name, 0) for name in names), default=0)

    def state(self) -> SourcesState:
        """What a checkpoint says of them."""
        return SourcesState(
            partitions=[(*name, offset, self._reached[name]) for name, offset in self.offsets.items()],
            watermark=self.watermark,
            joined=self.joined,
            waits=self.waits,
            expected=self.expected,
            until=self.until,
            identities=self.identities,
            gaps=self.gaps,
            unsure=sorted(self.unsure),
            generation=self.generation,
            past=self.past,
        )

    @classmethod
    def load(cls, state: SourcesState) -> "Sources":
        """The sources again, from what `state()` gave."""
        sources = cls(state.generation)
        sources.past = state.past
        for topic, partition, offset, reached in state.partitions:
            sources.offsets[topic, partition] = offset
            sources._reached[topic, partition] = reached
        sources.watermark, sources.joined, sources.waits = state.watermark, state.joined, state.waits
        sources.expected, sources.until, sources.identities = state.expected, state.until, state.identities
        sources.gaps, sources.unsure = state.gaps, set(state.unsure)
        return sources


def reader(topic: str) -> str:
    """The stage that reads a source's records."""
    return "identity" if topic == IDENTITIES else "assignment"


def _number(expected: int | dict[str, int]) -> int:
    return expected if isinstance(expected, int) else sum(expected.values())
