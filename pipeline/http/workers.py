"""Workers: what each of them says of itself, as Prometheus reads it. One place to ask, and no port of theirs."""

from collections.abc import Iterator

import msgspec
from aiokafka import ConsumerRecord
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from schemas.health import WorkerHealth

GONE_MS = 30_000  # without a word, after which a worker is no longer told of


class Workers(Collector):
    """Reads the topic `health`, and tells what was said last."""

    def __init__(self) -> None:
        self._said: dict[str, tuple[int, WorkerHealth]] = {}  # by worker, with the append time (ms UTC)
        self._newest = 0

    def read(self, record: ConsumerRecord) -> None:
        """Take one record of the topic."""
        health = msgspec.json.decode(record.value, type=WorkerHealth)
        self._said[health.worker] = record.timestamp, health
        self._newest = max(self._newest, record.timestamp)
        self._said = {name: said for name, said in self._said.items() if said[0] > self._newest - GONE_MS}

    def collect(self) -> Iterator[Metric]:
        """The metrics of every worker."""
        of_worker, of_partition = ["stage", "worker"], ["stage", "topic", "partition"]
        cpu = CounterMetricFamily("peekproof_worker_cpu_seconds", "CPU time of a worker", labels=of_worker)
        memory = GaugeMetricFamily("peekproof_worker_peak_memory_bytes", "Its memory at the peak", labels=of_worker)
        counts = CounterMetricFamily(
            "peekproof_worker_counted", "What it has counted since its start", labels=[*of_worker, "what"]
        )
        position = CounterMetricFamily("peekproof_position", "Records of a partition taken", labels=of_partition)
        lag = GaugeMetricFamily("peekproof_lag", "Records of a partition that wait", labels=of_partition)
        clock = GaugeMetricFamily(
            "peekproof_clock_seconds", "The append time that a stage has reached", labels=of_partition
        )
        for _, health in self._said.values():
            worker = [health.stage, health.worker]
            cpu.add_metric(worker, health.cpu_seconds)
            memory.add_metric(worker, health.peak_memory)
            for what, number in health.counts.items():
                counts.add_metric([*worker, what], number)
            for each in health.partitions:
                place = [health.stage, each.topic, str(each.partition)]
                position.add_metric(place, each.position)
                lag.add_metric(place, each.lag)
                if each.clock:
                    clock.add_metric(place, each.clock / 1_000)
        yield from (cpu, memory, counts, position, lag, clock)
