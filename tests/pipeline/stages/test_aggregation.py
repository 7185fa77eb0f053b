"""The aggregation stage on a real broker: what it sends of which partitions, and when."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import numpy as np
import pytest

from pipeline.kafka.reading import read_topic
from pipeline.settings import Settings
from pipeline.stages import aggregation
from pipeline.stages.aggregation import AggregationStage
from schemas.aggregate import Aggregate
from schemas.topics import AGGREGATES, UNITS
from schemas.units import ROWS, Header, Source, encode_units
from tests.pipeline.shop import Shop
from tests.pipeline.slices import records

SOURCE = (UNITS, 0)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every tick may tell."""
    monkeypatch.setattr(aggregation, "TELL_SECONDS", 0.0)
    monkeypatch.setattr(aggregation, "CLOCK_SECONDS", 0.0)


@asynccontextmanager
async def working(settings: Settings) -> AsyncIterator[AggregationStage]:
    """A worker that was given one partition of `units`, and gives it back in the end."""
    stage = AggregationStage(settings)
    stage.durable = lambda *_: None
    await stage.start()
    stage.begin(SOURCE, await stage.start_position(SOURCE, 0) or 0)
    try:
        yield stage
        await stage.release([SOURCE])
    finally:
        await stage.stop()


async def step(stage: AggregationStage, offset: int, clock: int, catalog: int) -> None:
    """A message without rows, up to a clock (ms UTC), and a tick."""
    source = Source("events", 0, 0, 0, clock)
    header = Header(catalog=catalog, horizon=stage.settings.horizon, sources=[source], arms=[], facts=[])
    columns = {name: np.zeros(0, kind.to_pandas_dtype()) for name, kind in zip(ROWS.names, ROWS.types, strict=True)}
    await stage.take(SOURCE, records(UNITS, 0, offset, [encode_units(columns, header)]))
    await stage.tick()


def sent(settings: Settings) -> list[tuple[str, int, bool]]:
    """Of each aggregate its run, its offset, and whether it is the last word."""
    found = [msgspec.json.decode(record.value, type=Aggregate) for record in read_topic(settings, AGGREGATES)]
    return [(each.run, each.offset, each.final) for each in found]


def test_a_last_word_is_sent_once_by_each_worker_that_takes_the_partition(deployment: Settings, shop: Shop) -> None:
    shop.call("experiment", "restart", "button", "--yes")
    later = time.time_ns() // 1_000_000 + 3 * deployment.horizon

    async def work() -> None:
        async with working(deployment) as stage:
            await step(stage, 0, 1, catalog=3)
            await step(stage, 1, later, catalog=4)
            await step(stage, 2, later + 1, catalog=4)
        async with working(deployment) as stage:
            await stage.tick()
            await step(stage, 3, later + 2, catalog=4)

    asyncio.run(work())

    by_the_first = [("exp-1", 1, False), ("exp-1", 2, True), ("exp-2", 2, False), ("exp-2", 3, False)]
    by_the_second = [("exp-1", 2, True), ("exp-2", 3, False), ("exp-2", 4, False)]
    assert sent(deployment) == by_the_first + by_the_second


def test_where_nothing_but_the_clock_moved_it_is_told_later(
    deployment: Settings, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aggregation, "CLOCK_SECONDS", 1e9)
    shop.call("experiment", "restart", "button", "--yes")

    async def work() -> None:
        async with working(deployment) as stage:
            await step(stage, 0, 1, catalog=3)
            await step(stage, 1, 2, catalog=3)
            await step(stage, 2, 3, catalog=4)  # which is news
            monkeypatch.setattr(aggregation, "CLOCK_SECONDS", 0.0)
            await step(stage, 3, 4, catalog=4)

    asyncio.run(work())

    assert [(run, offset) for run, offset, _ in sent(deployment) if run == "exp-1"] == [
        ("exp-1", 1),
        ("exp-1", 3),
        ("exp-1", 4),
    ]
