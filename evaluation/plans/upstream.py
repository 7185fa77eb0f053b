"""Upstream: whether the stages on the way to a look keep up, by what their workers say of themselves.

A look tells what has come to significance. What it lacks, because a stage is down or late, may be what would forbid a
step. For the identity stage only looks at runs with an identity wait.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from evaluation.catalog.overview import TO_A_LOOK, TO_ONE_OF_PEOPLE
from schemas.health import FRESH_MS, PartitionHealth, WorkerHealth
from schemas.topics import MARK

TELL_WATERMARKS = ("assignment", "aggregation")
LATE_MS = 30_000  # what a restart takes
MANY = 100_000  # records that wait: seconds of work
LISTEN_MS = 4_000  # until everybody who works has been heard


class SpokenPlace(NamedTuple):
    """A stage's partition, and what was said of it last, and when (ms UTC, the brokers')."""

    stage: str
    time: int
    said: PartitionHealth


class Upstream:
    """The workers of the stages on the way to a look, as they speak; all times are the brokers' (ms UTC)."""

    def __init__(self) -> None:
        self._since: int | None = None
        self._spoke: dict[tuple[str, str], int] = {}  # by stage and worker; who has ended is not there
        self._places: dict[tuple[str, str, int], SpokenPlace] = {}  # by stage, topic and partition
        self._waiting: dict[tuple[str, str], dict[str, str]] = {}  # by stage and worker: topics, and why

    def hear(self, time: int, health: WorkerHealth) -> None:
        """One record of `health`, with its append time."""
        if health.stage not in TO_ONE_OF_PEOPLE:
            return
        worker = (health.stage, health.worker)
        if health.ended:
            self._spoke.pop(worker, None)
            self._waiting.pop(worker, None)
            return
        self._spoke[worker], self._waiting[worker] = time, health.waiting
        for each in health.partitions:
            self._places[health.stage, each.topic, each.partition] = SpokenPlace(health.stage, time, each)

    def behind(self, now: int, stages: Sequence[str] = TO_A_LOOK) -> str | None:
        """Why looks that come through these stages may not tell everything that has come, if so."""
        if self._since is None:
            self._since = now
        if now - self._since < LISTEN_MS:
            return "the workers have not all been heard yet"
        return self.slow(now, stages)

    def slow(self, now: int, stages: Sequence[str] = TO_A_LOOK) -> str | None:
        """The same by what was heard, be that of all workers or not."""
        places = {stage for stage, _, _ in self._places}
        living = {stage for (stage, _), time in self._spoke.items() if now - time < FRESH_MS and stage in places}
        down = [f"nobody works on {stage}" for stage in stages if stage not in living]
        whys = {topic: why for waiting in self._waiting.values() for topic, why in waiting.items()}
        late = [] if down else _late([each for each in self._places.values() if each.stage in stages], whys, now)
        return ", ".join(down) or next(iter(late), None)


def _late(places: Iterable[SpokenPlace], whys: Mapping[str, str], now: int) -> Iterator[str]:
    """What lies further behind than it takes to catch up, in the order data flows."""
    for place in sorted(places, key=lambda each: TO_ONE_OF_PEOPLE.index(each.stage)):
        topic = place.said.topic
        name, why = f"{place.stage} at {topic.removeprefix(MARK)}/{place.said.partition}", whys.get(topic)
        silent, watermark = now - place.time, place.said.watermark
        if silent > LATE_MS:
            yield f"nobody has spoken of {name} for {silent // 1_000} s"
        elif place.stage in TELL_WATERMARKS and not watermark:
            yield f"how far {name} has come is not known yet"
        elif place.stage in TELL_WATERMARKS and now - watermark > LATE_MS:
            yield f"{name} is {(now - watermark) // 1_000} s behind" + (f": {why}" if why else "")
        elif place.said.lag > MANY:
            yield f"{place.said.lag:,} records wait for {name}"
