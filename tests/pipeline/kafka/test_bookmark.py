"""The bookmark of `results`: whoever begins finds the newest look of each run, and reads little else."""

import asyncio

import pytest

from pipeline.kafka import bookmark as bookmarks
from pipeline.kafka.bookmark import Bookmark, BookmarkWriter, bookmark, newest_looks
from pipeline.kafka.follower import Follower
from pipeline.kafka.producer import create_producer
from pipeline.kafka.set_aside import SetAside
from pipeline.settings import Settings
from schemas.topics import RESULTS


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bookmarks, "NEAR", 5)
    monkeypatch.setattr(bookmarks, "MOST_BEFORE", 3)


@pytest.mark.parametrize(
    ("position", "newest", "found"),
    [
        (0, [], Bookmark(0, ())),
        (3, [1, 2], Bookmark(0, ())),
        (40, [39, 7, 2, 35], Bookmark(35, (2, 7))),
        (40, [34, 7, 3, 2, 1, 39], Bookmark(7, (1, 2, 3))),
    ],
)
def test_it_names_so_many_that_are_far_and_begins_before_the_others(
    position: int, newest: list[int], found: Bookmark
) -> None:
    assert bookmark(position, newest) == found


def test_what_it_names_is_found_and_then_all_from_it_on(deployment: Settings) -> None:
    values = [b"%d" % number for number in range(40)]
    read: list[bytes] = []

    async def work() -> None:
        follower = Follower(deployment, RESULTS, lambda record: read.append(record.value), SetAside())
        writer = BookmarkWriter(deployment)
        async with create_producer(deployment) as producer:
            for value in values:
                await producer.send_and_wait(deployment.topic(RESULTS), value, b"run", partition=2)
        assert await newest_looks(deployment) == ({}, [])
        await writer.keep({0: bookmark(0, []), 2: bookmark(30, [1, 2, 29])})
        await writer.keep({0: bookmark(0, []), 2: bookmark(40, [2, 7, 39])})
        begins, found = await newest_looks(deployment)
        await follower.start(begins)
        await follower.stop()
        await writer.stop()

        assert begins == {0: 0, 2: 35}
        assert [(each.partition, each.value) for each in found] == [(2, b"2"), (2, b"7")]
        assert read == values[35:]

    asyncio.run(work())


def test_one_that_lies_beyond_the_log_is_of_another_and_has_all_of_it_read(deployment: Settings) -> None:
    async def work() -> None:
        writer = BookmarkWriter(deployment)
        await writer.keep({1: Bookmark(12, (3,))})
        await writer.stop()

        assert await newest_looks(deployment) == ({}, [])

    asyncio.run(work())
