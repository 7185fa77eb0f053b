"""Watch: what a demo has seen so far, from the same topics that everyone can read.

Freshness is measured for every batch of traffic that was acknowledged: from the moment that its records were handed to
the Kafka client to the publication (the Kafka record's timestamp) of an experiment's first look whose `time` has passed
the batch's append time, for each experiment. A look's `time` is the smallest watermark of the partitions
that it covers, so such a look contains everything that the batch said. What every experiment's looks contain is kept as
counts by milliseconds, so that a demo of a day needs no more memory than one of a minute.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Hashable, Iterable, Mapping
from math import inf

import msgspec
import numpy as np
from aiokafka import ConsumerRecord

from evaluation.catalog.in_force import FlagInForce
from evaluation.catalog.overview import Told
from evaluation.catalog.reading import counted_as
from pipeline.demo.progress import Batch, TrafficProgress
from pipeline.demo.shop import SOURCE
from schemas.assignment import Assignment
from schemas.dead_letter import from_record
from schemas.decoding import decode
from schemas.health import PartitionHealth, WorkerHealth
from schemas.look import Look
from schemas.topics import MARK, SOURCES

RATE_MS = 3_000  # of traffic, over which its rate is told
REPORTED_MS = 60_000  # after its append a batch is reported; if it is later, its wait is overstated
ORIGINS = 100_000  # the newest that are known: a restart repeats the last seconds


class Freshness(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds from produced to published, over all records and experiments; `missing` counts those in no look yet."""

    p50: float
    p90: float
    p99: float
    worst: float
    samples: int
    missing: int


class DemoWatch:
    """Everything seen. Each `take_` method reads one record of a topic, or one report of the traffic.

    `orders` is the topic that the shop's source reads. Raises NoMessageError for a record that is no message of ours.
    """

    def __init__(self, flags: Mapping[str, FlagInForce], orders: str = "") -> None:
        self.orders = orders
        self.flags = dict(sorted(flags.items(), key=lambda item: (not item[1].definition.metrics, item[0])))
        self.experiments = [key for key, flag in self.flags.items() if flag.definition.metrics]
        self.looks: dict[str, Look] = {}  # by experiment: the newest
        self.answers: dict[str, Counter[str]] = {}  # by flag: units' answers by variant
        self.history: dict[str, list[Told]] = {}  # by flag: its versions, once its state changed
        self.dead_letters: Counter[str] = Counter()  # by reason
        self.workers: dict[str, WorkerHealth] = {}
        self.acknowledged: dict[str, int] = {}
        self._partitions: dict[tuple[str, str, int], PartitionHealth] = {}  # by stage, topic, partition
        self._origins: OrderedDict[Hashable, None] = OrderedDict()  # of dead letters and answers, which may be repeated
        self._published: dict[str, list[tuple[int, int]]] = {}  # by flag: (time, published) of the last looks, ms UTC
        self._recent: deque[Batch] = deque()  # of the last seconds of traffic
        self._waiting: list[Batch] = []  # not yet in a look of every experiment
        self._waits: Counter[int] = Counter()  # by ms from produced to published: records of the others
        self._first, self._last = inf, -inf  # produced and appended, ms UTC

    def take_look(self, record: ConsumerRecord) -> None:
        """A look counts if it is newer than the last one. Those of a plain feature flag compare nothing."""
        look = decode(record.value, Look)
        last = self.looks.get(look.experiment)
        if look.experiment in self.experiments and (last is None or look.look > last.look):
            self.looks[look.experiment] = look
            self._published.setdefault(look.experiment, []).append((look.time, record.timestamp))

    def take_answer(self, record: ConsumerRecord) -> None:
        """An answer counts once for its origin."""
        answer = decode(record.value, Assignment)
        if self._is_new(answer.origin):
            self.answers.setdefault(answer.flag_key, Counter())[answer.variant] += 1

    def take_dead_letter(self, record: ConsumerRecord) -> None:
        """A dead letter counts once for its origin, source and reason."""
        dead_letter = from_record(record.headers, record.value)
        if self._is_new(dead_letter.itself):
            self.dead_letters[dead_letter.reason] += 1

    def take_health(self, record: ConsumerRecord) -> None:
        """What a worker says of itself."""
        health = decode(record.value, WorkerHealth)
        self.workers[health.worker] = health
        for partition in health.partitions:
            self._partitions[health.stage, partition.topic, partition.partition] = partition

    def take_progress(self, progress: TrafficProgress) -> None:
        """What the traffic says it sent."""
        self.acknowledged = progress.acknowledged
        for batch in progress.batches:
            self._first, self._last = min(self._first, batch.produced), max(self._last, batch.appended)
        self._recent += progress.batches
        while self._recent and self._recent[0].appended <= self._last - RATE_MS:
            self._recent.popleft()
        self._waiting += progress.batches
        self._fold()

    @property
    def produced(self) -> int:
        """Records of traffic that the broker acknowledged."""
        return sum(self.acknowledged.values())

    @property
    def counted(self) -> int:
        """Records of exposures, events and orders that assignment has read, the unusable ones included."""
        reached = (p.position for (stage, topic, _), p in self._partitions.items() if _is_intake(stage, topic))
        return sum(position for position in reached if position > 0)

    @property
    def lag(self) -> int:
        """Records of exposures, events and orders that wait for assignment."""
        return sum(max(p.lag, 0) for (stage, topic, _), p in self._partitions.items() if _is_intake(stage, topic))

    @property
    def ordered(self) -> dict[str, int]:
        """What became of the shop's records: those `taken` as events, `excluded` by the source's conditions, dead."""
        counts = [health.counts for health in self.workers.values() if health.stage == "assignment"]
        outcomes = ("taken", "excluded", "dead letters")
        return {what: sum(each.get(counted_as(SOURCE, what), 0) for each in counts) for what in outcomes}

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
        return max(0.0, self._last - self._first) / 1_000

    @property
    def events_per_second(self) -> float:
        """Records appended in the last three seconds of traffic, per second."""
        return 1_000 * sum(batch.records for batch in self._recent) / RATE_MS

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
        waits = self._waits + self._waited(self._waiting)
        if not waits:
            return None
        samples = waits.total()
        wait, records = np.array(sorted(waits.items()), np.int64).T
        reached = np.cumsum(records)
        shares = np.array([0.5, 0.9, 0.99, 1.0])
        p50, p90, p99, worst = (wait[np.searchsorted(reached, shares * samples)] / 1_000).tolist()
        asked = self._waits.total() + len(self._published) * sum(batch.records for batch in self._waiting)
        return Freshness(p50=p50, p90=p90, p99=p99, worst=worst, samples=samples, missing=asked - samples)

    def _fold(self) -> None:
        """Count what every experiment's looks contain, and forget looks that no batch will ask for."""
        if self._published.keys() < set(self.experiments):
            return
        passed = min(looks[-1][0] for looks in self._published.values())
        self._waits += self._waited([batch for batch in self._waiting if batch.appended < passed])
        self._waiting = [batch for batch in self._waiting if batch.appended >= passed]
        oldest = min([batch.appended for batch in self._waiting], default=self._last)
        for looks in self._published.values():
            while len(looks) > 1 and looks[0][0] <= min(oldest, self._last - REPORTED_MS):
                looks.pop(0)

    def _waited(self, batches: Iterable[Batch]) -> Counter[int]:
        """Records by ms from produced to published, of those that are in a look, for each experiment."""
        waits: Counter[int] = Counter()
        rows = np.array([(b.appended, b.produced, b.records) for b in batches], np.int64).reshape(-1, 3)
        for looks in self._published.values():
            time, published = np.array(looks, np.int64).T
            first = np.searchsorted(time, rows[:, 0], side="right")
            seen = first < len(time)
            waited = published[first[seen]] - rows[seen, 1]
            for wait, records in zip(waited.tolist(), rows[seen, 2].tolist(), strict=True):
                waits[wait] += records
        return waits

    def _is_new(self, origin: Hashable) -> bool:
        if origin in self._origins:
            return False
        self._origins[origin] = None
        if len(self._origins) > ORIGINS:
            self._origins.popitem(last=False)
        return True


def _is_intake(stage: str, topic: str) -> bool:
    return stage == "assignment" and (topic in SOURCES or topic.startswith(MARK))
