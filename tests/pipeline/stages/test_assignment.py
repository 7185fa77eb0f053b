"""The assignment stage over slices of any size, on a real broker."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from pipeline.catalog.topic import CatalogWriter
from pipeline.kafka.reading import read_topic
from pipeline.settings import Settings
from pipeline.stages import assignment
from pipeline.stages.assignment import AssignmentStage
from schemas.arrivals import Arrivals
from schemas.catalog import Cuped, Metric
from schemas.dead_letter import LARGEST_DEAD_LETTER, from_record
from schemas.decoding import decode
from schemas.records import Records
from schemas.topics import ARRIVALS, DEAD_LETTERS, EVENTS, UNITS
from schemas.units import decode_units

SOURCE = (EVENTS, 0)
BUYS = Metric(key="buys", owner="-", type="count", event="buy", window="1h", cuped=Cuped(lookback="1h"))
NDJSON = (("content-type", b"application/x-ndjson"),)
NOW = 4_000_000_000_000  # ms UTC, when the catalog has long settled


def slice_of(values: Iterable[bytes]) -> Records:
    values = list(values)
    length = np.array([len(value) for value in values], np.int64)
    return Records(
        topic=EVENTS,
        partition=0,
        begin=0,
        end=len(values),
        offset=np.arange(len(values)),
        append_time=np.full(len(values), NOW),
        start=np.cumsum(length) - length,
        length=length,
        data=memoryview(b"".join(values)),
        headers=dict.fromkeys(range(len(values)), NDJSON),
    )


def take(settings: Settings, records: Records) -> tuple[list[int], dict[str, int]]:
    """Give the slice to the stage; the offsets that it then says need not be read again, and what it has counted."""
    durable = []
    counts: dict[str, int] = {}

    async def run() -> None:
        async with CatalogWriter(settings) as writer:
            await writer.publish(writer.next_version(BUYS, "ann", "first"))
        stage = AssignmentStage(settings)
        stage.durable = lambda _, offset: durable.append(offset)
        await stage.start()
        stage.begin(SOURCE, 0)
        await stage.beat(NOW + 1)
        while stage._census.counted()[1] < NOW:  # no clock passes the last count of the sources
            await asyncio.sleep(0.01)
        await stage.take(SOURCE, records)
        await stage.release([SOURCE])
        await stage.stop()
        counts.update(stage.counts)

    asyncio.run(run())
    return durable, counts


def test_the_rows_of_a_slice_travel_in_messages_that_kafka_takes(deployment: Settings) -> None:
    line = b'{"event_type":"buy","user_id":"undefined","time":%d}\n' % NOW
    lines = 40_000

    durable, counts = take(deployment, slice_of([line * lines] * 9))  # 360,000 rows for one partition are 16.2 MB

    assert durable[-1] == 9
    assert counts["rows"] == counts["events"] == 9 * lines
    rows: Counter[int] = Counter()
    reached: dict[int, int] = Counter()
    for record in read_topic(deployment, UNITS):
        batch, header = decode_units(record.value)
        rows.update(batch["offset"].to_numpy().tolist())
        (source,) = header.sources
        assert source.begin == reached[record.partition]
        assert source.watermark == (NOW if source.end == 9 else 0)
        reached[record.partition] = source.end
    assert rows == dict.fromkeys(range(9), lines)
    assert dict(reached) == dict.fromkeys(range(4), 9)


def test_a_dead_letter_larger_than_a_message_is_kept_by_its_beginning(deployment: Settings) -> None:
    random = np.random.default_rng(1)
    noise = random.integers(ord("a"), ord("z"), 17_000_000, np.uint8).tobytes()  # no codec makes much less of it
    small = b"{"

    durable, counts = take(deployment, slice_of([small, noise, small]))

    assert durable[-1] == 3
    assert counts["dead letters"] == 3
    dead_letters: dict[int, Any] = {}
    for record in read_topic(deployment, DEAD_LETTERS):
        dead_letter = from_record(record.headers, record.value)
        dead_letters[dead_letter.offset] = dead_letter
    assert (dead_letters[0].value, dead_letters[2].value) == (small, small)
    assert dead_letters[1].reason == "too large"
    assert noise.startswith(dead_letters[1].value)
    assert len(dead_letters[1].value) == LARGEST_DEAD_LETTER
    assert "this is the value's beginning" in dead_letters[1].detail


def test_what_came_is_counted_once_whoever_falls_before_or_after_it_was_told(deployment: Settings) -> None:
    records = slice_of([b'{"event_type":"buy","user_id":"u%d"}' % i for i in range(100)])
    first, rest = records.split(60)
    untold, last = rest.split(80)

    async def stage_at(offset: int) -> AssignmentStage:
        stage = AssignmentStage(deployment)
        stage.durable = lambda _, offset: durable.append(offset)
        await stage.start()
        stage.begin(SOURCE, offset)
        return stage

    async def fall(stage: AssignmentStage) -> None:
        await asyncio.gather(*stage._sendings)
        await stage.stop()

    async def run() -> None:
        falling = await stage_at(0)
        await falling.take(SOURCE, first)
        await falling.beat(NOW)
        await falling.take(SOURCE, untold)
        await falling.tick()  # sends rows, and tells nothing
        await fall(falling)
        assert set(durable) == {60}
        second = await stage_at(40)  # what was durable was not committed
        await second.take(SOURCE, records.split(40)[1].split(80)[0])
        await second.take(SOURCE, last)
        await second.release([SOURCE])
        await second.stop()

    durable: list[int] = []
    asyncio.run(run())

    newest = {record.key: decode(record.value, Arrivals) for record in read_topic(deployment, ARRIVALS)}
    assert durable[-1] == 100
    assert sum(event.count for each in newest.values() for event in each.events) == 100
    assert {event.name for each in newest.values() for event in each.events} == {"buy"}


def test_where_nothing_comes_the_clock_goes_on_in_long_steps_until_something_does(
    deployment: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_000.0  # seconds
    monkeypatch.setattr(assignment, "monotonic", lambda: now)
    told = []

    async def run() -> None:
        nonlocal now
        stage = AssignmentStage(deployment)
        stage.durable = lambda _, offset: told.append(offset)
        await stage.start()
        stage.begin(SOURCE, 0)

        async def beats_of(seconds: int) -> int:
            """How many of a beat each second tell how far the source is."""
            nonlocal now
            told.clear()
            for _ in range(seconds):
                now += 1
                await stage.beat(NOW)
                await asyncio.gather(*stage._sendings)
            return len(told)

        assert await beats_of(60) >= 59
        assert await beats_of(30) == 3
        async with CatalogWriter(deployment) as writer:  # somebody decides, and waits for what follows
            await writer.publish(writer.next_version(BUYS, "ann", "first"))
        await stage.catalog.caught_up()
        assert await beats_of(10) == 10
        assert await beats_of(70) <= 53
        await stage.take(SOURCE, slice_of([b'{"event_type":"buy","user_id":"u"}']))
        assert await beats_of(10) == 10
        await stage.stop()

    asyncio.run(run())
