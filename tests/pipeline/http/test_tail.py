"""The tail: of what a fetch brought each message is told once, or counted as missed."""

import asyncio

import msgspec
import numpy as np

from evaluation.catalog.history import History
from pipeline.http.arriving.tail import MOST_OF_SLICE, Tail, TailWatch
from pipeline.kafka.set_aside import SetAside
from pipeline.settings import Settings
from schemas.records import Records

OF_MANY = (("Content-Type", b"application/x-ndjson"),)


def told(watched: TailWatch, *values: bytes, of_many: int) -> list[str]:
    """What one who watches is told of records of which this one holds many messages."""
    length = np.array([*map(len, values)], np.int64)
    records = Records(
        "events",
        0,
        10,
        10 + len(values),
        np.arange(10, 10 + len(values)),
        np.arange(len(values)),
        np.cumsum(length) - length,
        length,
        memoryview(b"".join(values)),
        {of_many: OF_MANY},
    )
    tail = Tail(Settings(), History(), SetAside())
    tail._watched.add(watched)
    tail._read("events", records)
    return [each.value for each in watched._messages]


def line(**fields: object) -> bytes:
    return msgspec.json.encode(fields)


def test_a_message_that_names_its_unit_twice_is_told_once() -> None:
    async def watch() -> None:
        twice, other = line(user_id="ann", device_id="ann"), line(user_id="bob", event_type="ann")
        of_group = line(groups={"org": ["ann"]})

        watched = TailWatch("ann")
        values = told(watched, twice, b"\n".join([other, twice, of_group]), other, of_many=1)

        assert values == [each.decode() for each in (twice, twice, of_group)]
        assert watched.take().missed == 0

    asyncio.run(watch())


def test_of_everybodys_messages_the_newest_are_told_and_the_others_counted() -> None:
    async def watch() -> None:
        lines = [line(user_id=f"u{number}") for number in range(MOST_OF_SLICE + 5)]

        watched = TailWatch(None)
        values = told(watched, b"{}", b"\n".join(lines), b"[]", of_many=1)

        assert values == [*(each.decode() for each in lines[6:]), "[]"]
        assert watched.take().missed == 7

    asyncio.run(watch())
