"""What the server knows of `results` when it begins late: the newest looks, and the course of those before."""

import asyncio
import itertools
from collections.abc import Callable

import pytest

from pipeline.http.results import following
from pipeline.http.results.following import ResultsFollower
from pipeline.http.results.looks import HistoryMark, Looks
from pipeline.kafka import bookmark as bookmarks
from pipeline.kafka.bookmark import BookmarkWriter, bookmark
from pipeline.kafka.producer import create_producer
from pipeline.kafka.set_aside import SetAside
from pipeline.settings import Settings
from schemas.topics import RESULTS
from tests.pipeline.http.results.test_looks import CELL, Record


def test_the_newest_looks_are_there_at_once_and_the_course_a_little_later(
    deployment: Settings, looks: Callable[..., list[Record]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bookmarks, "NEAR", 20)
    monkeypatch.setattr(following, "PLACES", 16)
    values = {
        b"quiet": [value for *_, value in looks(7, 7, run="exp-1")],
        b"busy": [value for *_, value in looks(1, 300, run="exp-2")],
    }

    async def work() -> None:
        async with create_producer(deployment) as producer:
            for key, some in values.items():
                sent = [await producer.send(deployment.topic(RESULTS), each, key, partition=3) for each in some]
                await asyncio.gather(*sent)
        writer = BookmarkWriter(deployment)
        await writer.keep({3: bookmark(301, [0, 300])})
        await writer.stop()
        known = Looks()
        follower = ResultsFollower(deployment, known, SetAside())
        await follower.start()
        try:
            quiet, busy = known.of("checkout", "exp-1"), known.of("checkout", "exp-2")
            assert (quiet.head.look, busy.head.look) == (7, 300)
            assert next(mark.look for mark in busy.marks) == 281
            await follower.recalled
            assert follower.failure is None
            assert [(mark.look, mark.offset) for mark in quiet.marks] == [(0, 0), (7, 0)]
            found = busy.history(CELL)["look"]
            assert found == sorted(set(found))
            assert (found[-20:], len(found) - 20) == ([*range(281, 301)], 16)
            assert found[0] < 40
            assert busy.mark(3) == HistoryMark(0, 0, 0)  # between which and the next one it is found
            gaps = [after - before for before, after in itertools.pairwise(found)]
            assert gaps == sorted(gaps, reverse=True)
        finally:
            await follower.stop()

    asyncio.run(work())
