"""Workers: what each of them says of itself, as Prometheus reads it. One place to ask, and no port of theirs."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from time import monotonic

import msgspec
from aiokafka import ConsumerRecord
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from evaluation.catalog.overview import TO_A_LOOK
from evaluation.plans.upstream import TELL_WATERMARKS, Upstream
from schemas.decoding import decode
from schemas.health import PartitionHealth, WorkerHealth

LATELY = 10  # words of a worker, over which its CPU is told
GONE_SECONDS = 30.0  # without a word, after which a worker is no longer told of
SILENT_SECONDS = 600.0  # without a word, after which nobody waits for one


class PlaceTold(msgspec.Struct, frozen=True, kw_only=True):
    """A partition that a stage reads, and how far time has come in it (ms UTC; null: that is not known yet)."""

    topic: str
    partition: int
    lag: int
    watermark: int | None


class WorkerTold(msgspec.Struct, frozen=True, kw_only=True):
    """A worker. `cores`: of CPU lately, null: nobody knows yet; `memory`: bytes at the peak; `spoke`: ms ago."""

    worker: str
    started: int
    cores: float | None
    memory: int
    spoke: int
    partitions: int
    counts: dict[str, int]


class StageTold(msgspec.Struct, frozen=True, kw_only=True):
    """A stage, its workers, and the records that wait for it; null: nobody tells.

    `slowest` is its partition of the smallest watermark.
    """

    stage: str
    workers: list[WorkerTold]
    lag: int | None
    slowest: PlaceTold | None


class Workers(Collector):
    """Reads the topic `health`, and tells what was said last."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._said: dict[str, tuple[float, WorkerHealth]] = {}  # by worker, with the time; the newest stand last
        self._silent: dict[str, tuple[float, WorkerHealth]] = {}  # of those that did not say that they end
        self._cpu: dict[str, deque[tuple[float, float]]] = {}  # by worker: when it was heard, and its seconds by then
        self._upstream = Upstream()
        self._time, self._then = 0, clock()  # the brokers', ms UTC, and when it was so
        self.behind()  # they are heard from here on

    def read(self, record: ConsumerRecord) -> None:
        """Take one record of the topic."""
        health = decode(record.value, WorkerHealth)
        self._said.pop(health.worker, None)
        self._silent.pop(health.worker, None)
        self._upstream.hear(record.timestamp, health)
        self._time, self._then = max(self._time, record.timestamp), self._clock()
        if not health.ended:
            self._said[health.worker] = self._clock(), health
            heard = self._cpu.setdefault(health.name, deque(maxlen=LATELY))
            heard.append((self._clock(), health.cpu_seconds))
        self._forget()

    @property
    def stages(self) -> set[str]:
        """Those on which somebody works."""
        self._forget()
        return {health.stage for _, health in self._said.values()}

    def behind(self, stages: Sequence[str] = TO_A_LOOK) -> str | None:
        """Why looks that come through these stages may not tell everything that has come, if so."""
        return self._upstream.behind(self.now, stages)

    @property
    def now(self) -> int:
        """The brokers' time (ms UTC), as far as it was heard."""
        return self._time + round((self._clock() - self._then) * 1_000)

    def said_of(self, stage: str) -> list[WorkerHealth]:
        """What each worker of a stage said last, the latest last."""
        self._forget()
        return [health for _, health in self._said.values() if health.stage == stage]

    def silent_of(self, stage: str) -> list[WorkerHealth]:
        """What each worker of a stage said last that is no longer told of and did not say that it ends."""
        self._forget()
        return [health for _, health in self._silent.values() if health.stage == stage]

    def told(self, stage: str) -> StageTold:
        """What is said of a stage, and by whom."""
        self._forget()
        said = [each for each in self._said.values() if each[1].stage == stage]
        places = {(each.topic, each.partition): each for _, health in said for each in health.partitions}
        slowest = min(places.values(), key=lambda each: each.watermark, default=None)
        if stage not in TELL_WATERMARKS or slowest is None:
            told = None
        else:
            told = PlaceTold(
                topic=slowest.topic,
                partition=slowest.partition,
                lag=slowest.lag,
                watermark=slowest.watermark or None,
            )
        return StageTold(
            stage=stage,
            workers=[self._worker_told(time, health) for time, health in said],
            lag=sum(each.lag for each in places.values()) if said else None,
            slowest=told,
        )

    def _worker_told(self, time: float, health: WorkerHealth) -> WorkerTold:
        heard = self._cpu[health.name]
        (since, before), (until, after) = heard[0], heard[-1]
        return WorkerTold(
            worker=health.worker,
            started=health.started,
            cores=(after - before) / (until - since) if until > since else None,
            memory=health.peak_memory,
            spoke=round((self._clock() - time) * 1_000),
            partitions=len(health.partitions),
            counts=health.counts,
        )

    def collect(self) -> Iterator[Metric]:
        """The metrics of every worker, and of every partition by whoever spoke of it last."""
        self._forget()
        of_worker, of_partition = ["stage", "worker"], ["stage", "topic", "partition"]
        cpu = CounterMetricFamily("peekproof_worker_cpu_seconds", "CPU time of a worker", labels=of_worker)
        memory = GaugeMetricFamily("peekproof_worker_peak_memory_bytes", "Its memory at the peak", labels=of_worker)
        counts = CounterMetricFamily(
            "peekproof_worker_counted", "What it has counted since its start", labels=[*of_worker, "what"]
        )
        position = CounterMetricFamily("peekproof_position", "Records of a partition taken", labels=of_partition)
        lag = GaugeMetricFamily("peekproof_lag", "Records of a partition that wait", labels=of_partition)
        watermark = GaugeMetricFamily(
            "peekproof_clock_seconds", "The append time that a stage has reached", labels=of_partition
        )
        partitions: dict[tuple[str, str, int], PartitionHealth] = {}
        for _, health in self._said.values():
            worker = [health.stage, health.worker]
            cpu.add_metric(worker, health.cpu_seconds)
            memory.add_metric(worker, health.peak_memory)
            for what, number in health.counts.items():
                counts.add_metric([*worker, what], number)
            partitions |= {(health.stage, each.topic, each.partition): each for each in health.partitions}
        for (stage, topic, number), each in partitions.items():
            place = [stage, topic, str(number)]
            position.add_metric(place, each.position)
            lag.add_metric(place, each.lag)
            if each.watermark:
                watermark.add_metric(place, each.watermark / 1_000)
        yield from (cpu, memory, counts, position, lag, watermark)

    def _forget(self) -> None:
        now = self._clock()
        gone, silent = now - GONE_SECONDS, now - SILENT_SECONDS
        known = self._silent | self._said
        self._silent = {worker: said for worker, said in known.items() if silent < said[0] <= gone}
        self._said = {worker: said for worker, said in self._said.items() if said[0] > gone}
        names = {health.name for _, health in self._said.values()}
        self._cpu = {name: heard for name, heard in self._cpu.items() if name in names}
