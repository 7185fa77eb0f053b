"""A worker's beat: which partitions have been read as far as a broker's time."""

import asyncio
from typing import Any

import pytest
from faust.types import TP

from pipeline.kafka.columnar.turn import Turn
from pipeline.kafka.logs import LogError
from pipeline.settings import Settings
from pipeline.stages.heartbeat import Heartbeat
from pipeline.stages.liveness import Liveness
from pipeline.stages.stage import Stage
from pipeline.stages.worker import Worker
from schemas.records import Records
from schemas.topics import EVENTS, SourcePartition
from tests.pipeline.slices import records

NOW = 1_767_225_600_000


class Reached(Stage):
    """Notes how far it has come."""

    name = "reached"
    topics = (EVENTS,)

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.reached: dict[SourcePartition, int] = {}

    async def start(self) -> None:
        """Connect to nothing."""
        self.producer: Any = None

    async def take(self, source: SourcePartition, records: Records) -> None:
        """Nothing is kept."""

    def reach(self, source: SourcePartition, time: int) -> None:
        self.reached[source] = time


class Log:
    """An app on a log that ends at offset 10, while more comes once it has been asked for its end."""

    def __init__(self) -> None:
        self.turn = Turn()
        self.worker: Worker | None = None
        self.comes = 0

    async def end_offsets(self, tps: list[TP], _: float | None = None) -> dict[TP, int]:
        """Where the log ended when it was asked."""
        assert self.worker is not None
        for tp in tps:
            if self.comes:
                await self.worker.take(tp, records(EVENTS, tp.partition, 8, [b"{}"] * self.comes))
        return dict.fromkeys(tps, 10)


@pytest.mark.parametrize(
    ("comes", "is_reached"), [(0, False), (1, False), (2, True), (5, True)], ids=["behind", "nearly", "end", "beyond"]
)
def test_a_partition_that_is_taken_to_the_end_that_it_had_or_beyond_has_reached_that_time(
    monkeypatch: pytest.MonkeyPatch, comes: int, is_reached: bool
):
    found = beat(monkeypatch, comes, begin=8)

    assert found == ({(EVENTS, 0): NOW} if is_reached else {})


def test_a_log_whose_end_was_lost_ends_the_worker(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(LogError, match="was read up to offset 11, but its log ends at 10"):
        beat(monkeypatch, 0, begin=11)


def test_a_log_of_others_whose_end_was_lost_is_begun_anew_and_has_reached_no_time(monkeypatch: pytest.MonkeyPatch):
    assert beat(monkeypatch, 0, begin=11, topic="@orders") == {}
    assert beat(monkeypatch, 0, begin=10, topic="@orders") == {("@orders", 0): NOW}


def beat(monkeypatch: pytest.MonkeyPatch, comes: int, begin: int, topic: str = EVENTS) -> dict[SourcePartition, int]:
    """One beat of a worker that has read up to offset `begin`."""

    async def time(*_: object) -> int:
        return NOW

    monkeypatch.setattr(Heartbeat, "beat", time)
    settings = Settings(bootstrap_servers="127.0.0.1:1")

    async def once() -> dict[SourcePartition, int]:
        log: Any = Log()
        stage = Reached(settings)
        await stage.start()
        log.worker = Worker(stage, settings, log, Liveness(settings))
        log.comes = comes
        log.worker.begin(TP(settings.topic(topic), 0), begin)
        await log.worker.beat()
        return stage.reached

    return asyncio.run(once())
