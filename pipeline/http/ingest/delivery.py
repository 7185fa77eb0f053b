"""Delivery: records to Kafka, taken only once all of its replicas have them."""

import asyncio
from collections.abc import Iterable

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    InvalidProducerEpoch,
    KafkaError,
    OutOfOrderSequenceNumber,
    ProducerFenced,
    UnknownProducerId,
)
from litestar.exceptions import ServiceUnavailableException

from pipeline.http.ingest.lines import HEADERS
from pipeline.http.ingest.uploads import Record
from pipeline.http.results.looks import pulse
from pipeline.http.sockets.room import Room
from pipeline.settings import Settings

WAIT_SECONDS = 5.0  # that a request waits; Amplitude's SDKs wait for ten
_BROKEN = (InvalidProducerEpoch, OutOfOrderSequenceNumber, ProducerFenced, UnknownProducerId)  # for this producer
MOST_UNDER_WAY = 64_000_000  # bytes that brokers have not acknowledged yet


class Delivery:
    """Sends what requests say. What a request no longer waits for is still sent: it may come twice."""

    def __init__(self, settings: Settings, producer: AIOKafkaProducer) -> None:
        self._settings = settings
        self._producer = producer
        self._failure: BaseException | None = None
        self._under_way = Room(MOST_UNDER_WAY)
        self._progress = asyncio.Event()  # set for a moment whenever less is under way

    @property
    def failure(self) -> BaseException | None:
        """After what the producer can send nothing any more, if it has come to that."""
        sending = self._producer._sender.sender_task
        ended = sending.exception() if sending and sending.done() and not sending.cancelled() else None
        return ended or self._failure

    async def send(self, records: Iterable[Record], holder: str) -> None:
        """Send, and return when the brokers have them all. Raises ServiceUnavailableException: send it again.

        Nobody is refused sooner than that: SDKs try a dozen times with short pauses, and then drop what they have.
        """
        records = [*records]
        size = sum(len(record.value) for record in records)
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while not self._under_way.take(holder, size):
                    await self._progress.wait()
                sending = asyncio.create_task(self._send(records))
                sending.add_done_callback(lambda done: self._sent(done, holder, size))
                await asyncio.shield(sending)
        except TimeoutError:
            raise _unavailable(f"the brokers have not answered for {WAIT_SECONDS:.0f} s") from None
        except KafkaError as error:
            raise _unavailable(f"the brokers did not take it ({type(error).__name__})") from error

    async def _send(self, records: list[Record]) -> None:
        sent = [
            await self._producer.send(
                self._settings.topic(record.topic), record.value, headers=HEADERS if record.count > 1 else None
            )
            for record in records
        ]
        await asyncio.gather(*sent)

    def _sent(self, done: "asyncio.Task[None]", holder: str, size: int) -> None:
        self._under_way.give(holder, size)
        pulse(self._progress)
        if not done.cancelled() and isinstance(error := done.exception(), _BROKEN):
            self._failure = error


def _unavailable(why: str) -> ServiceUnavailableException:
    return ServiceUnavailableException(f"{why}; send it again", headers={"Retry-After": "1"})
