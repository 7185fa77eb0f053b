"""Watch: what a demo has seen so far, from the same topics that everyone can read.

Freshness is measured for every batch of traffic that was acknowledged: from the moment that its records were handed to
the Kafka client to the publication (the Kafka record's timestamp) of an experiment's first look whose `time` has passed
the batch's append time, for each experiment. A look's `time` is the smallest clock of the partitions
that it covers, so such a look contains everything that the batch said.
"""

from collections import Counter
from collections.abc import Mapping
from itertools import takewhile

import msgspec
import numpy as np
from aiokafka import ConsumerRecord
from numpy.typing import NDArray

from evaluation.catalog import FlagInForce
from evaluation.overview import Told
from pipeline.demo.progress import Batch, Progress
from schemas.assignment import Assignment
from schemas.dead_letter import ORIGIN, REASON
from schemas.health import PartitionHealth, WorkerHealth
from schemas.look import Look
from schemas.topics import SOURCES


class Freshness(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds from produced to published, over all records and experiments; `missing` counts those in no look yet."""

    p50: float
    p90: float
    p99: float
    worst: float
    samples: int
    missing: int


class Watch:
    """Everything seen. Each `take_` method reads one record of a topic, or one report of the traffic."""

    def __init__(self, flags: Mapping[str, FlagInForce]) -> None:
        self.flags = dict(sorted(flags.items(), key=lambda item: (not item[1].definition.metrics, item[0])))
        self.experiments = [key for key, flag in self.flags.items() if flag.definition.metrics]
        self.looks: dict[str, Look] = {}  # by experiment: the newest
        self.answers: dict[str, Counter[str]] = {}  # by flag: units' answers by variant
        self.history: dict[str, list[Told]] = {}  # by flag: its versions, once its state changed
        self.dead_letters: Counter[str] = Counter()  # by reason
        self.workers: dict[str, WorkerHealth] = {}
        self.acknowledged: dict[str, int] = {}
        self._partitions: dict[tuple[str, str, int], PartitionHealth] = {}  # by stage, topic, partition
        self._origins: set[bytes] = set()  # of dead letters and answers: they may be repeated after a restart
        self._published: dict[str, list[tuple[int, int]]] = {}  # by flag: (time, published) of every look, ms UTC
        self._batches: list[Batch] = []

    def take_look(self, record: ConsumerRecord) -> None:
        """A look counts if it is newer than the last one. Those of a plain feature flag compare nothing."""
        look = msgspec.json.decode(record.value, type=Look)
        last = self.looks.get(look.experiment)
        if look.experiment in self.experiments and (last is None or look.look > last.look):
            self.looks[look.experiment] = look
            self._published.setdefault(look.experiment, []).append((look.time, record.timestamp))

    def take_answer(self, record: ConsumerRecord) -> None:
        """An answer counts once for its origin."""
        answer = msgspec.json.decode(record.value, type=Assignment)
        if self._is_new(b"answer " + answer.origin.encode()):
            self.answers.setdefault(answer.flag_key, Counter())[answer.variant] += 1

    def take_dead_letter(self, record: ConsumerRecord) -> None:
        """A dead letter counts once for its origin."""
        headers = dict(record.headers)
        if self._is_new(b"letter " + headers[ORIGIN]):
            self.dead_letters[headers[REASON].decode()] += 1

    def take_health(self, record: ConsumerRecord) -> None:
        """What a worker says of itself."""
        health = msgspec.json.decode(record.value, type=WorkerHealth)
        self.workers[health.worker] = health
        for partition in health.partitions:
            self._partitions[health.stage, partition.topic, partition.partition] = partition

    def take_progress(self, progress: Progress) -> None:
        """What the traffic says it sent."""
        self.acknowledged = progress.acknowledged
        self._batches += progress.batches

    @property
    def produced(self) -> int:
        """Records of traffic that the broker acknowledged."""
        return sum(self.acknowledged.values())

    @property
    def counted(self) -> int:
        """Records of exposures and events that assignment has read, the unusable ones included."""
        reached = (p.position for (stage, topic, _), p in self._partitions.items() if _is_intake(stage, topic))
        return sum(position for position in reached if position > 0)

    @property
    def lag(self) -> int:
        """Records of exposures and events that wait for assignment."""
        return sum(max(p.lag, 0) for (stage, topic, _), p in self._partitions.items() if _is_intake(stage, topic))

    @property
    def duplicates(self) -> int:
        """Events that were recognised as repeats, over all experiments and metrics."""
        return sum(look.health.duplicate_events for look in self.looks.values())

    @property
    def late(self) -> int:
        """Events and exposures beyond the horizon, over all experiments and metrics."""
        return sum(look.health.late_events + look.health.late_exposures for look in self.looks.values())

    @property
    def ready(self) -> set[str]:
        """Stages of which a worker has partitions to work on."""
        return {health.stage for health in self.workers.values() if health.partitions}

    @property
    def sending_seconds(self) -> float:
        """From the first record that was handed to the client to the last that was appended."""
        if not self._batches:
            return 0.0
        return (max(b.appended for b in self._batches) - min(b.produced for b in self._batches)) / 1_000

    @property
    def events_per_second(self) -> float:
        """Records appended in the last three seconds of traffic, per second."""
        newest = self._batches[-1].appended if self._batches else 0
        recent = takewhile(lambda batch: batch.appended > newest - 3_000, reversed(self._batches))
        return sum(batch.records for batch in recent) / 3

    def has_results(self) -> bool:
        """Whether some experiment has an interval."""
        return any(cell.status == "ok" for look in self.looks.values() for cell in look.cells)

    def has_arrived(self) -> bool:
        """Whether everything produced has been read, and every experiment's run is final."""
        return not self.unfinished() and self.counted >= self.produced

    def unfinished(self) -> list[str]:
        """Experiments whose run is not final yet."""
        return [key for key in self.experiments if key not in self.looks or not self.looks[key].final]

    def freshness(self) -> Freshness | None:
        """None until a look contains some of the traffic."""
        batches = np.array([(b.appended, b.produced, b.records) for b in self._batches], np.int64).reshape(-1, 3)
        waits: list[NDArray[np.int64]] = []
        weights: list[NDArray[np.int64]] = []
        missing = 0
        for looks in self._published.values():
            time, published = np.array(looks, np.int64).T
            first = np.searchsorted(time, batches[:, 0], side="right")
            seen = first < len(time)
            waits.append(published[first[seen]] - batches[seen, 1])
            weights.append(batches[seen, 2])
            missing += int(batches[~seen, 2].sum())
        if not any(map(len, waits)):
            return None
        wait, weight = np.concatenate(waits), np.concatenate(weights)
        p50, p90, p99, worst = (_quantile(wait, weight, share) / 1_000 for share in (0.5, 0.9, 0.99, 1.0))
        return Freshness(p50=p50, p90=p90, p99=p99, worst=worst, samples=int(weight.sum()), missing=missing)

    def _is_new(self, origin: bytes) -> bool:
        known = len(self._origins)
        self._origins.add(origin)
        return len(self._origins) > known


def _is_intake(stage: str, topic: str) -> bool:
    return stage == "assignment" and topic in SOURCES


def _quantile(values: NDArray[np.int64], weights: NDArray[np.int64], share: float) -> float:
    """The smallest value that is not exceeded by `share` of the weight."""
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(reached, share * reached[-1])])
