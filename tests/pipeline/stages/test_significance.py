"""The significance stage on a real broker: restarts, other workers and compaction, one slice and one tick at a time."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from aiokafka import ConsumerRecord
from msgspec import UNSET

from evaluation.significance.look import decode_look, encode_look
from pipeline.catalog.recounting import say
from pipeline.catalog.topic import opened, read_catalog
from pipeline.errors import PeekproofError
from pipeline.kafka import bookmark
from pipeline.kafka.reading import read_topic
from pipeline.settings import Settings
from pipeline.stages import significance
from pipeline.stages.significance import SignificanceStage
from schemas.aggregate import Aggregate, ArmCount, MetricHealth, Sums
from schemas.look import Look, LookHead
from schemas.topics import AGGREGATES, RESULTS
from tests.pipeline.shop import Shop
from tests.pipeline.slices import records

pytestmark = pytest.mark.usefixtures("shop")

SOURCE = (AGGREGATES, 5)  # of `button`
VARIANTS = ("control", "treatment")
CATALOG = 3  # documents
PARTITIONS = range(4)  # of units


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every tick may compute, and whatever is new is published."""
    monkeypatch.setattr(significance, "SHORTEST_PAUSE", 0.0)
    monkeypatch.setattr(significance, "LONGEST_SILENCE", 0.0)


def aggregate(partition: int, offset: int, **fields: object) -> bytes:
    """As many units and orders as the partition's log has records."""
    sums = [Sums("purchase", 1, "live", 0, variant, "all", offset, 1, [1], [1]) for variant in VARIANTS]
    made = Aggregate(
        flag="button",
        run="exp-1",
        partition=partition,
        offset=offset,
        watermark=1_000 + offset,
        catalog=CATALOG,
        arms=[ArmCount(0, variant, offset) for variant in VARIANTS],
        sums=sums,
        metrics=[MetricHealth("purchase", 2, 0, 0, 0, 0)],
    )
    return msgspec.json.encode(msgspec.structs.replace(made, **fields))


@asynccontextmanager
async def working(settings: Settings) -> AsyncIterator[SignificanceStage]:
    """A worker that was given the partition of `aggregates`."""
    stage = SignificanceStage(settings)
    stage.durable = lambda *_: None
    await stage.start()
    stage.begin(SOURCE, 0)
    try:
        yield stage
    finally:
        await stage.stop()


async def step(stage: SignificanceStage, values: Iterable[bytes]) -> None:
    """A slice of `aggregates`, and a tick."""
    await stage.take(SOURCE, records(AGGREGATES, SOURCE[1], 0, list(values)))
    await stage.tick()


def looks(settings: Settings) -> list[Look]:
    return [decode_look(record.value) for record in read_topic(settings, RESULTS)]


def test_a_worker_that_starts_again_makes_no_look_of_the_past(deployment: Settings) -> None:
    async def work() -> None:
        async with working(deployment) as stage:
            await step(stage, [aggregate(each, 300) for each in PARTITIONS])
        async with working(deployment) as stage:  # reads the topic from its beginning
            for offset in (100, 200):
                await step(stage, [aggregate(each, offset) for each in PARTITIONS])
            await step(stage, [aggregate(each, 400) for each in PARTITIONS[:-1]])
            await step(stage, [aggregate(PARTITIONS[-1], 300)])

    asyncio.run(work())

    first, second = looks(deployment)
    assert set(first.offsets.values()) == {300}
    assert list(second.offsets.values()) == [400, 400, 400, 300]


def test_a_run_goes_on_from_the_looks_that_compaction_left(deployment: Settings) -> None:
    async def work() -> None:
        async with working(deployment) as stage:
            await step(stage, [aggregate(each, 300) for each in PARTITIONS])
            (first,) = await asyncio.to_thread(looks, deployment)
            for number in (500_000, 500_004):
                left = encode_look(msgspec.structs.replace(first, look=number))
                await stage.producer.send_and_wait(deployment.topic(RESULTS), left, b"button/exp-1", partition=0)
        async with working(deployment) as stage:
            await step(stage, [aggregate(each, 400) for each in PARTITIONS])

    asyncio.run(work())

    assert sorted(each.look for each in looks(deployment)) == [1, 500_000, 500_004, 500_005]


def test_a_worker_that_starts_again_reads_the_newest_looks_alone(
    deployment: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bookmark, "NEAR", 3)
    read: list[int] = []

    class Reading(SignificanceStage):
        def _read_look(self, record: ConsumerRecord) -> None:
            super()._read_look(record)
            read.append(self._looks["button", "exp-1"][0].look)

    async def work() -> None:
        async with working(deployment) as stage:
            await step(stage, [aggregate(each, 100) for each in PARTITIONS])
            for number in range(101, 120):
                await step(stage, [aggregate(0, number)])
            while stage._looks["button", "exp-1"][0].look < 20:
                await asyncio.sleep(0.01)
        monkeypatch.setattr(sys.modules[__name__], "SignificanceStage", Reading)
        async with working(deployment) as stage:
            assert read == [18, 19, 20]
            await step(stage, [aggregate(each, 200) for each in PARTITIONS])

    asyncio.run(work())

    assert [each.look for each in looks(deployment)] == [*range(1, 22)]


def test_a_final_run_is_not_computed_again(deployment: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    last_words = [aggregate(each, 300, final=True) for each in PARTITIONS]

    async def work() -> None:
        async with working(deployment) as stage:
            await step(stage, last_words)
        monkeypatch.delattr(significance, "look")
        async with working(deployment) as stage:
            await step(stage, last_words)
            await step(stage, [aggregate(0, 400)])  # of a zombie that has not heard of the end

    asyncio.run(work())

    assert [(each.look, each.final) for each in looks(deployment)] == [(1, True)]


@pytest.mark.parametrize(("silence", "times"), [(0.0, 3), (1e9, 2)])
def test_of_aggregates_that_change_nothing_one_look_is_computed_where_it_was_silent_for_long(
    deployment: Settings, monkeypatch: pytest.MonkeyPatch, silence: float, times: int
) -> None:
    computed = []

    def counted(*arguments: Any) -> Look:
        computed.append(look_at(*arguments))
        return computed[-1]

    look_at = significance.look
    monkeypatch.setattr(significance, "look", counted)
    monkeypatch.setattr(significance, "LONGEST_SILENCE", silence)
    heartbeat = msgspec.json.decode(aggregate(0, 300)) | {"offset": 301}  # the log went on, and says nothing

    async def work() -> None:
        async with working(deployment) as stage:
            await step(stage, [aggregate(each, 300) for each in PARTITIONS])
            await step(stage, [msgspec.json.encode(heartbeat)])
            for _ in range(5):
                await stage.tick()
            await step(stage, [aggregate(0, 400)])

    asyncio.run(work())

    assert len(computed) == times
    assert [each.look for each in looks(deployment)] == [1, 2]


def test_a_final_run_that_was_counted_again_has_one_more_look(deployment: Settings, shop: Shop) -> None:
    shop.call("experiment", "complete", "button")
    (shop.directory / "metrics" / "b.yaml").write_text(
        "key: late\nowner: shop\ntype: count\nevent: read\nwindow: 10s\n"
    )
    shop.rewrite("metrics:\n", "metrics:\n  - metric: late\n")
    shop.apply("--from", "start")
    (coming,) = read_catalog(deployment).newest.flags["button"].runs
    assert coming.coming is not None
    generation = coming.coming.generation

    async def work() -> None:
        async with opened(deployment) as writer:
            assert await say(writer, coming.coming, "complete")
            catalog = writer.history.newest.offset
        newest = {"final": True, "catalog": catalog, "generation": generation}
        async with working(deployment) as stage:
            await step(stage, [aggregate(each, 300, final=True, catalog=4) for each in PARTITIONS])
            await step(stage, [aggregate(each, 400, **newest) for each in PARTITIONS[:-1]])
            await step(stage, [aggregate(PARTITIONS[-1], 400, **newest)])
            await step(stage, [aggregate(0, 500, **newest)])

    asyncio.run(work())

    told = [(each.look, each.revision, each.generation, each.final) for each in looks(deployment)]
    assert told == [(1, 0, UNSET, True), (2, 1, generation, True)]


def test_a_worker_that_starts_again_decodes_only_what_it_goes_on_from(deployment: Settings) -> None:
    """Of older records the heads are enough, whatever the version that wrote them said of cells and sums."""

    async def work() -> None:
        async with working(deployment) as stage:
            await step(stage, [aggregate(each, 300) for each in PARTITIONS])
            (first,) = await asyncio.to_thread(looks, deployment)
            topic, key = deployment.topic(RESULTS), b"button/exp-1"
            old = msgspec.json.decode(encode_look(first)) | {"look": 2, "cells": "many"}
            third = encode_look(msgspec.structs.replace(first, look=3))
            for value in (msgspec.json.encode(old), third):
                await stage.producer.send_and_wait(topic, value, key, partition=0)
        async with working(deployment) as stage:
            heads = [msgspec.json.decode(aggregate(each, 200)) | {"sums": "many"} for each in PARTITIONS]
            await stage.take(SOURCE, records(AGGREGATES, SOURCE[1], 0, [msgspec.json.encode(head) for head in heads]))
            await step(stage, [aggregate(each, 400) for each in PARTITIONS])

    asyncio.run(work())

    heads = [msgspec.json.decode(record.value, type=LookHead) for record in read_topic(deployment, RESULTS)]
    assert max((head.look, head.offsets.get("0")) for head in heads) == (4, 400)


def test_a_worker_stops_where_another_one_decides_too(deployment: Settings) -> None:
    async def work() -> None:
        async with working(deployment) as stage, working(deployment) as zombie:
            await step(stage, [aggregate(each, 300) for each in PARTITIONS])
            await step(zombie, [aggregate(each, 300) for each in PARTITIONS])
            await step(zombie, [aggregate(0, 400)])
            with pytest.raises(PeekproofError, match="look 2 of button/exp-1 on `results` was written by another"):
                await step(stage, [aggregate(0, 500)])
        async with working(deployment) as stage:
            await step(stage, [aggregate(each, 500) for each in PARTITIONS])

    asyncio.run(work())

    assert [(each.look, each.offsets["0"]) for each in looks(deployment)] == [(1, 300), (2, 400), (3, 500)]


@pytest.mark.parametrize(
    "stranger",
    [
        {"partition": 4},
        {"flag": "nosuch"},
        {"run": "exp-9"},
        {"offset": 1 << 80},
        {"clock": -1},
        {"catalog": 0},
        {"sums": [1]},
        {"metrics": [["purchase", "many"]]},
        {"arms": None},
    ],
)
def test_what_is_no_aggregate_is_set_aside_and_the_run_goes_on(deployment: Settings, stranger: dict[str, Any]) -> None:
    async def work() -> None:
        async with working(deployment) as stage:
            await step(stage, [aggregate(each, 300) for each in PARTITIONS])
            foreign = msgspec.json.decode(aggregate(0, 350)) | stranger
            await step(stage, [msgspec.json.encode(foreign)])
            assert stage.counts["set aside: aggregates"] == 1
            await step(stage, [aggregate(each, 400) for each in PARTITIONS])

    asyncio.run(work())

    assert [set(each.offsets.values()) for each in looks(deployment)] == [{300}, {400}]


def test_what_is_no_look_is_set_aside_and_the_run_goes_on(deployment: Settings) -> None:
    async def work() -> None:
        async with working(deployment) as stage:
            await step(stage, [aggregate(each, 300) for each in PARTITIONS])
            for value in (None, b"hello", b'{"experiment":"button","run":"exp-1","look":2}', b"\xff"):
                await stage.producer.send_and_wait(deployment.topic(RESULTS), value, b"button/exp-1", partition=0)
            await step(stage, [aggregate(each, 400) for each in PARTITIONS])
            assert stage.counts["set aside: results"] == 4
        async with working(deployment) as stage:
            await step(stage, [aggregate(each, 500) for each in PARTITIONS])

    asyncio.run(work())

    found = [look for look in read_topic(deployment, RESULTS) if (look.value or b"").startswith(b'{"experiment"')]
    assert [decode_look(each.value).look for each in found if len(each.value) > 100] == [1, 2, 3]


def test_a_look_of_another_version_is_told_where_a_run_would_go_on_from_it(deployment: Settings) -> None:
    async def work() -> None:
        async with working(deployment) as stage:
            await step(stage, [aggregate(each, 300) for each in PARTITIONS])
            (first,) = await asyncio.to_thread(looks, deployment)
            other = msgspec.json.decode(encode_look(first)) | {"look": 9, "cells": "many"}
            topic, key = deployment.topic(RESULTS), b"button/exp-1"
            await stage.producer.send_and_wait(topic, msgspec.json.encode(other), key, partition=0)
        async with working(deployment) as stage:
            with pytest.raises(PeekproofError, match="look 9 of button/exp-1 on `results` cannot be read"):
                await step(stage, [aggregate(each, 400) for each in PARTITIONS])

    asyncio.run(work())
