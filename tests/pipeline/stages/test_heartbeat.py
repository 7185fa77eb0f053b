"""A worker's last word on the topic `health`."""

import asyncio
import time
from pathlib import Path

import msgspec
import pytest

from pipeline.errors import PeekproofError
from pipeline.kafka.reading import read_topic
from pipeline.settings import Settings
from pipeline.stages.heartbeat import LONGEST, PATIENCE, Heartbeat
from pipeline.stages.liveness import Liveness
from pipeline.stages.significance import SignificanceStage
from pipeline.stages.worker import create_worker
from schemas.health import WorkerHealth
from schemas.topics import HEALTH


def said(settings: Settings) -> list[tuple[str, bool, str | None]]:
    """What stands on the topic: the stage, whether it is the worker's last word, and why it ended."""
    every = [msgspec.json.decode(record.value, type=WorkerHealth) for record in read_topic(settings, HEALTH)]
    return [(health.stage, health.ended, health.error) for health in every]


def test_the_last_word_says_why_a_worker_ends(deployment: Settings) -> None:
    heart = Heartbeat(deployment, "archive")

    for error in (None, PeekproofError("one thing\nand a way out"), ValueError("x" * 2 * LONGEST)):
        asyncio.run(heart.end(error))

    assert said(deployment) == [
        ("archive", True, None),
        ("archive", True, "one thing; and a way out"),
        ("archive", True, f"ValueError: {'x' * LONGEST}"[:LONGEST]),
    ]


def test_a_worker_that_cannot_start_says_so(deployment: Settings) -> None:
    class Failing(SignificanceStage):
        async def start(self) -> None:
            raise PeekproofError("not today")

    async def start() -> None:
        app = create_worker(Failing(deployment), deployment, Liveness(deployment))
        assert app.prepare is not None
        await app.prepare()

    with pytest.raises(PeekproofError, match="not today"):
        asyncio.run(start())

    assert said(deployment) == [("significance", True, "not today")]


def test_brokers_that_are_away_do_not_keep_a_worker_from_ending(tmp_path: Path) -> None:
    settings = Settings(bootstrap_servers="127.0.0.1:1", data=tmp_path)
    began = time.monotonic()

    asyncio.run(Heartbeat(settings, "archive").end())

    assert time.monotonic() - began < PATIENCE + 2
