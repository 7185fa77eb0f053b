"""Delivery while brokers are away: whoever sends is told to send again, and what waits is bounded."""

import asyncio
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaError, OutOfOrderSequenceNumber
from litestar.exceptions import ServiceUnavailableException

from pipeline.http.ingest import delivery
from pipeline.http.ingest.delivery import Delivery
from pipeline.http.ingest.uploads import Record
from pipeline.settings import Settings

EVENTS = [Record("events", b"x" * 10, 1), Record("exposures", b"y" * 20, 2)]


class Producer:
    """One whose brokers answer when the test says so."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes, Any]] = []
        self.answers: list[asyncio.Future[None]] = []
        self._sender = SimpleNamespace(sender_task=None)

    async def send(self, topic: str, value: bytes, headers: Any) -> "asyncio.Future[None]":
        self.sent.append((topic, value, headers))
        self.answers.append(asyncio.get_running_loop().create_future())
        return self.answers[-1]


async def settle() -> None:
    """Let everybody go as far as they can."""
    for _ in range(20):
        await asyncio.sleep(0)


def run(steps: Coroutine[Any, Any, None]) -> None:
    asyncio.run(steps)


@pytest.fixture
def producer(monkeypatch: pytest.MonkeyPatch) -> Producer:
    monkeypatch.setattr(delivery, "MOST_UNDER_WAY", 130)  # of which one key may have half
    return Producer()


def test_it_returns_when_the_brokers_have_everything(producer: Producer):
    async def steps() -> None:
        sending = asyncio.create_task(Delivery(Settings(prefix="shop"), producer).send(EVENTS, "server-1"))
        await settle()
        producer.answers[0].set_result(None)
        await settle()
        assert not sending.done()
        producer.answers[1].set_result(None)
        await sending

    run(steps())
    many = [("content-type", b"application/x-ndjson")]
    assert producer.sent == [("shop.events", b"x" * 10, None), ("shop.exposures", b"y" * 20, many)]


def test_brokers_that_are_silent_are_told_of_and_what_waits_for_them_is_bounded(
    producer: Producer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(delivery, "WAIT_SECONDS", 0.05)

    async def steps() -> None:
        sender = Delivery(Settings(), producer)
        for _ in range(3):
            with pytest.raises(ServiceUnavailableException, match="have not answered") as refused:
                await sender.send(EVENTS, "server-1")
            assert refused.value.headers == {"Retry-After": "1"}
        assert len(producer.sent) == 4  # of two: for the third there was no room

    run(steps())


def test_whoever_finds_no_room_waits_for_it(producer: Producer):
    async def steps() -> None:
        sender = Delivery(Settings(), producer)
        sending = [asyncio.create_task(sender.send(EVENTS, "server-1")) for _ in range(3)]
        await settle()
        assert len(producer.sent) == 4
        for answer in producer.answers:
            answer.set_result(None)
        await settle()
        for answer in producer.answers[4:]:
            answer.set_result(None)
        await asyncio.gather(*sending)

    run(steps())


@pytest.mark.parametrize("error", [KafkaError(), OutOfOrderSequenceNumber()])
def test_brokers_that_refuse_are_told_of_and_after_some_refusals_nothing_can_be_sent(
    producer: Producer, error: KafkaError
):
    async def steps() -> None:
        sender = Delivery(Settings(), producer)
        sending = asyncio.create_task(sender.send(EVENTS, "server-1"))
        await settle()
        producer.answers[0].set_exception(error)
        with pytest.raises(ServiceUnavailableException, match=rf"did not take it \({type(error).__name__}\)"):
            await sending
        assert sender.failure == (error if isinstance(error, OutOfOrderSequenceNumber) else None)

    run(steps())
