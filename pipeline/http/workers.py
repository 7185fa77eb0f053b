"""Workers: what each of them says of itself, as Prometheus reads it. One place to ask, and no port of theirs."""

from collections.abc import Callable, Iterator
from time import monotonic

from aiokafka import ConsumerRecord
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from evaluation.plans.upstream import Upstream
from schemas.decoding import decode
from schemas.health import PartitionHealth, WorkerHealth

GONE_SECONDS = 30.0  # without a word, after which a worker is no longer told of


class Workers(Collector):
    """Reads the topic `health`, and tells what was said last."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._said: dict[str, tuple[float, WorkerHealth]] = {}  # by worker, with the time; the newest stand last
        self._upstream = Upstream()
        self._time, self._then = 0, clock()  # the brokers', ms UTC, and when it was so
        _ = self.behind  # they are heard from here on

    def read(self, record: ConsumerRecord) -> None:
        """Take one record of the topic."""
        health = decode(record.value, WorkerHealth)
        self._said.pop(health.worker, None)
        self._upstream.hear(record.timestamp, health)
        self._time, self._then = max(self._time, record.timestamp), self._clock()
        if not health.ended:
            self._said[health.worker] = self._clock(), health
        self._forget()

    @property
    def stages(self) -> set[str]:
        """Those on which somebody works."""
        self._forget()
        return {health.stage for _, health in self._said.values()}

    @property
    def behind(self) -> str | None:
        """Why looks may not tell everything that has come, if so."""
        return self._upstream.behind(self._time + round((self._clock() - self._then) * 1_000))

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
        gone = self._clock() - GONE_SECONDS
        self._said = {worker: said for worker, said in self._said.items() if said[0] > gone}
