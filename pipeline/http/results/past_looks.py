"""Past: looks that are no longer held, read again from where they stand on the topic `results`."""

import asyncio
from collections import defaultdict

from aiokafka import AIOKafkaConsumer, TopicPartition

from pipeline.http.results.looks import Remembered
from pipeline.kafka.clients import aiokafka_arguments
from pipeline.kafka.connection import answering
from pipeline.settings import Settings
from schemas.decoding import NoMessageError, decode
from schemas.look import LookHead
from schemas.topics import RESULTS


class PastLooks:
    """Reads one look at a time, over a connection of its own."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._consumer: AIOKafkaConsumer
        self._turn = asyncio.Lock()
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)  # by key, so that they alternate

    async def start(self) -> None:
        """Connect."""
        self._consumer = AIOKafkaConsumer(
            group_id=None,
            enable_auto_commit=False,
            **aiokafka_arguments(self._settings),
        )
        await self._consumer.start()

    async def stop(self) -> None:
        """Disconnect."""
        await self._consumer.stop()

    async def look(self, run: Remembered, number: int, reader: str) -> bytes | None:
        """The bytes of one look as it was published; None: the topic doesn't hold it (any more)."""
        mark, wanted = run.mark(number), (run.head.experiment, run.head.run)
        if mark is None or number == run.head.look:
            return run.newest if mark else None
        place, end = TopicPartition(self._settings.topic(RESULTS), run.partition), run.offset
        async with self._turns[reader], self._turn:
            self._consumer.assign([place])
            self._consumer.seek(place, mark.offset)
            try:
                with answering(self._settings):
                    while await self._consumer.position(place) < end:
                        record = await self._consumer.getone(place)
                        head = _head(record.value)
                        if head and (head.experiment, head.run) == wanted and head.look >= number:
                            return record.value if head.look == number else None
            finally:
                self._consumer.pause(place)  # else it would fetch on, and at the end make the next reader wait
        return None


def _head(value: bytes | None) -> LookHead | None:
    """None: no look; `Looks` has told."""
    try:
        return decode(value, LookHead)
    except NoMessageError:
        return None
