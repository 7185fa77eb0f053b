"""Whoever needs the newest look of each run finds it, however old it is, and reads little of what came since."""

import asyncio

import msgspec
import pytest

from pipeline.kafka import bookmark as bookmarks
from pipeline.kafka.bookmark import BookmarkWriter, bookmark
from pipeline.kafka.producer import create_producer
from pipeline.settings import Settings
from pipeline.stages.notifications import NotificationsStage
from pipeline.stages.plans import PlansStage
from schemas.topics import RESULTS

HEAD = {
    "run": "exp-1",
    "revision": 1,
    "time": 0,
    "catalog_version": 1,
    "offsets": {},
    "health": {},
    "verdict": {},
    "cells": [],
}


@pytest.mark.parametrize("kind", [PlansStage, NotificationsStage])
def test_a_look_before_the_bookmark_is_known_at_the_start(
    kind: type[PlansStage | NotificationsStage], deployment: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bookmarks, "NEAR", 5)

    async def work() -> None:
        async with create_producer(deployment) as producer:
            for number, flag in enumerate(["quiet", *["busy"] * 20]):
                value = msgspec.json.encode(HEAD | {"look": number + 1, "experiment": flag})
                await producer.send_and_wait(deployment.topic(RESULTS), value, flag.encode(), partition=1)
        writer = BookmarkWriter(deployment)
        await writer.keep({1: bookmark(21, [0, 20])})
        await writer.stop()
        stage = kind(deployment)
        await stage.start()
        try:
            assert {run: each.number for run, each in stage._newest.items()} == {("quiet", "exp-1"): 1}
            assert [await stage.start_position((RESULTS, number), 0) for number in range(4)] == [0, 16, 0, 0]
        finally:
            await stage.stop()

    asyncio.run(work())
