"""Lag: how far every stage is behind the topics that it reads, by what its workers say of themselves once a second.

A worker's word is compared with where the logs ended a second before: at thousands of records a second nobody is ever
at their very end. So a stage has no lag where each of its partitions was taken at most a second ago.
"""

import threading
import time
from collections import deque
from typing import NamedTuple

import msgspec
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from pipeline.kafka.clients import kafka_python_arguments
from pipeline.settings import Settings
from pipeline.stages import STAGES, stage_class
from schemas.health import WorkerHealth
from schemas.topics import HEALTH

GRACE = 1.0  # seconds
SAMPLED = 0.2  # seconds between looks at the ends of the logs

Place = tuple[str, str, int]  # stage, topic, partition


class Said(NamedTuple):
    """What was said last of a partition: when (seconds), by whose process, how many records wait; and when last that
    none does, by whose process.
    """

    time: float
    pid: int
    lag: int
    clear_time: float
    clear_pid: int


class Recovery:
    """The time from a worker's fall until its stage has no lag: seconds, or None as long as it has."""

    def __init__(self, stage: str, pid: int) -> None:
        self.stage, self.pid = stage, pid
        self.began = time.time()
        self.over = threading.Event()
        self.seconds: float | None = None

    def end(self, at: float) -> None:
        """The stage has no lag."""
        self.seconds = at - self.began
        self.over.set()


class Lag:
    """Follows `health` in a thread, from its start until `stop`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._reads = {stage: stage_class(stage).topics for stage in STAGES}
        self._said: dict[Place, Said] = {}
        self._ends: deque[tuple[float, dict[tuple[str, int], int]]] = deque(maxlen=round(60 / SAMPLED))
        self._waiting: list[Recovery] = []
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Follow no longer."""
        self._stopping.set()
        self._thread.join()

    def held_by(self, stage: str, pid: int) -> list[tuple[str, int]]:
        """The partitions of which this process spoke last."""
        with self._lock:
            return [place[1:] for place, said in self._said.items() if place[0] == stage and said.pid == pid]

    def of(self, stage: str) -> int:
        """Records that wait for a stage, by what was said last."""
        with self._lock:
            return sum(said.lag for place, said in self._said.items() if place[0] == stage)

    def has_none(self, stage: str, since: float) -> bool:
        """Whether each of the stage's partitions had no lag at some time since then (seconds)."""
        with self._lock:
            return self._has_none(stage, since)

    def wait_for_recovery(self, stage: str, pid: int) -> Recovery:
        """What becomes of a stage whose worker falls now."""
        recovery = Recovery(stage, pid)
        with self._lock:
            self._waiting.append(recovery)
        return recovery

    def _has_none(self, stage: str, since: float, but: int = 0) -> bool:
        places = [place for place in self._ends[-1][1] if place[0] in self._reads[stage]] if self._ends else []
        said = [self._said.get((stage, *place)) for place in places]
        return bool(said) and all(each and each.clear_time > since and each.clear_pid != but for each in said)

    def _follow(self) -> None:
        consumer = KafkaConsumer(group_id=None, **kafka_python_arguments(self._settings))
        names = {self._settings.topic(topic): topic for topics in self._reads.values() for topic in topics}
        consumer.assign([TopicPartition(self._settings.topic(HEALTH), 0)])
        consumer.seek_to_end()
        sampled = 0.0
        while not self._stopping.is_set():
            try:
                if (now := time.time()) - sampled >= SAMPLED:
                    places = [TopicPartition(name, n) for name in names for n in consumer.partitions_for_topic(name)]
                    ends = consumer.end_offsets(places)
                    with self._lock:
                        self._ends.append((now, {(names[tp.topic], tp.partition): end for tp, end in ends.items()}))
                    sampled = now
                for records in consumer.poll(timeout_ms=50).values():
                    for record in records:
                        self._take(record.timestamp / 1000, record.value)
            except (KafkaError, KeyError, TypeError):  # the broker is away, and what is asked for is not known
                self._stopping.wait(SAMPLED)
        consumer.close()

    def _take(self, at: float, value: bytes) -> None:
        try:
            health = msgspec.json.decode(value, type=WorkerHealth)
        except msgspec.MsgspecError:  # a stranger
            return
        pid = int(health.worker.rpartition("/")[2])
        with self._lock:
            ends = next((ends for when, ends in reversed(self._ends) if when <= at - GRACE), {})
            for each in health.partitions:
                place = (health.stage, each.topic, each.partition)
                lag = max(0, ends.get(place[1:], 0) - each.position)
                clear = self._said[place][3:] if lag and place in self._said else (0.0, 0) if lag else (at, pid)
                self._said[place] = Said(at, pid, lag, *clear)
            for recovery in self._waiting[:]:
                if recovery.stage == health.stage and self._has_none(recovery.stage, recovery.began, recovery.pid):
                    recovery.end(at)
                    self._waiting.remove(recovery)
