"""Checkpoints of a stage with a state: how often they come."""

import asyncio
from collections.abc import Iterable
from pathlib import Path

import pytest

from evaluation.metrics.partition import Partition
from pipeline.settings import Settings
from pipeline.stages import stateful
from pipeline.stages.stateful import StatefulStage


class SlowStage(StatefulStage[Partition]):
    """Its checkpoints take as long as it is said, by a clock that nothing else moves on."""

    name, topics = "slow", ("units",)

    def __init__(self, settings: Settings) -> None:
        self.now, self.took, self.checkpoints = 100.0, 0.0, list[float]()
        super().__init__(settings, Partition)

    async def tell(self) -> None:
        """Nothing."""

    async def checkpoint(self, numbers: Iterable[int]) -> None:
        """Note when."""
        del numbers
        self.checkpoints.append(self.now)
        self.now += self.took


@pytest.mark.parametrize(("took", "times"), [(0.5, [10, 20, 30, 40, 50]), (3.0, [10, 40]), (60.0, [10])])
def test_they_take_a_tenth_of_the_time_at_most(
    took: float, times: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stateful, "monotonic", lambda: 100.0)
    stage = SlowStage(Settings(data=tmp_path, checkpoint_interval=10_000))
    monkeypatch.setattr(stateful, "monotonic", lambda: stage.now)
    stage.took = took

    async def live() -> None:
        for second in range(1, 60):
            stage.now = max(stage.now, 100.0 + second)
            await stage.tick()

    asyncio.run(live())

    assert [when - 100.0 for when in stage.checkpoints] == times
