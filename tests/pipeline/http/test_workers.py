"""Workers, as Prometheus reads of them: each while it speaks, and each partition once."""

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from pipeline.http.workers import GONE_SECONDS, SILENT_SECONDS, Workers
from schemas.health import PartitionHealth, WorkerHealth


class Told:
    """What is told of workers, by a clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.workers = Workers(clock=lambda: self.now)
        self._registry = CollectorRegistry()
        self._registry.register(self.workers)

    def say(
        self, worker: str, *positions: int, stage: str = "aggregation", watermark: int = 0, ended: bool = False
    ) -> None:
        """A worker says how far it is in partitions 0, 1, …"""
        partitions = [PartitionHealth("units", i, each, 10 * each, watermark) for i, each in enumerate(positions)]
        health = WorkerHealth(
            stage=stage,
            worker=worker,
            started=0,
            cpu_seconds=1.5,
            peak_memory=7,
            partitions=partitions,
            counts={"a": 3},
            ended=ended,
        )
        record: Any = SimpleNamespace(value=msgspec.json.encode(health), timestamp=round(self.now * 1_000))
        self.workers.read(record)

    def lines(self, name: str) -> list[str]:
        """The samples of a metric."""
        return [line for line in generate_latest(self._registry).decode().splitlines() if line.startswith(name + "{")]


@pytest.fixture
def told() -> Told:
    return Told()


def test_a_worker_that_fell_silent_is_known_until_it_speaks_or_ends(told: Told):
    def known() -> tuple[list[str], list[str]]:
        said, silent = told.workers.said_of("aggregation"), told.workers.silent_of("aggregation")
        return [each.worker for each in said], [each.worker for each in silent]

    for worker in ("host/1", "host/2"):
        told.say(worker, 1)
    told.say("host/3", 1)
    told.say("host/3", 1, ended=True)
    told.now += GONE_SECONDS
    told.say("host/1", 2)
    assert known() == (["host/1"], ["host/2"])

    told.say("host/2", 2)
    assert known() == (["host/1", "host/2"], [])
    told.now += SILENT_SECONDS
    assert known() == ([], [])


def test_a_worker_is_told_of_as_it_last_spoke(told: Told):
    told.say("host/1", 1, watermark=5_000)
    told.say("host/1", 4, watermark=6_000)

    assert told.lines("peekproof_worker_cpu_seconds_total") == [
        'peekproof_worker_cpu_seconds_total{stage="aggregation",worker="host/1"} 1.5'
    ]
    assert told.lines("peekproof_worker_counted_total") == [
        'peekproof_worker_counted_total{stage="aggregation",what="a",worker="host/1"} 3.0'
    ]
    place = 'partition="0",stage="aggregation",topic="units"'
    assert told.lines("peekproof_position_total") == [f"peekproof_position_total{{{place}}} 4.0"]
    assert told.lines("peekproof_lag") == [f"peekproof_lag{{{place}}} 40.0"]
    assert told.lines("peekproof_clock_seconds") == [f"peekproof_clock_seconds{{{place}}} 6.0"]


def test_a_worker_that_is_silent_is_told_of_no_longer_even_where_all_are(told: Told):
    told.say("host/1", 1)
    told.now += GONE_SECONDS - 1
    assert told.lines("peekproof_lag")

    told.now += 1

    assert not told.lines("peekproof_lag")
    assert not told.lines("peekproof_worker_cpu_seconds_total")


@pytest.mark.parametrize("heir", ["host/1", "host/3"])
def test_a_partition_that_another_worker_took_over_is_told_of_once_as_that_one_says(told: Told, heir: str):
    told.say("host/1")
    told.say("host/2", 5, 6)
    told.say("host/9", 100, stage="storage")
    told.say(heir, 3)  # from where it could go on

    assert len(told.lines("peekproof_worker_peak_memory_bytes")) == len({"host/1", "host/2", "host/9", heir})
    assert [line.partition("{")[2] for line in told.lines("peekproof_position_total")] == [
        'partition="0",stage="aggregation",topic="units"} 3.0',
        'partition="1",stage="aggregation",topic="units"} 6.0',
        'partition="0",stage="storage",topic="units"} 100.0',
    ]


def test_a_worker_that_said_its_last_word_is_told_of_no_longer(told: Told):
    told.say("host/1", 1)
    told.say("host/1", ended=True)

    assert told.lines("peekproof_worker_cpu_seconds_total") == []


def test_it_is_known_whether_looks_may_lack_something(told: Told):
    assert told.workers.behind() == "the workers have not all been heard yet"

    told.now += 5
    for stage in ("assignment", "aggregation", "significance"):
        told.say(f"host/{stage}", 1, stage=stage, watermark=round(told.now * 1_000))
    assert told.workers.behind() is None

    told.now += 20
    assert (told.workers.behind() or "").startswith("nobody works on assignment")
