"""Past: looks that are no longer held, read again from where they stand on the topic `results`."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from pipeline.http.results.looks import HistoryMark, Remembered
from pipeline.kafka.clients import aiokafka_arguments
from pipeline.kafka.connection import answering
from pipeline.settings import Settings
from schemas.decoding import NoMessageError, decode
from schemas.look import LookHead
from schemas.topics import RESULTS


class LookThen(NamedTuple):
    """A look that was the newest at a time; number 0: there was none. Its bytes may not be held any more."""

    number: int
    value: bytes | None


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
        mark = run.mark(number)
        if mark is None or number == run.head.look:
            return run.newest if mark else None
        async with self._turns[reader], self._turn, aclosing(self._from(run, mark)) as records:
            async for record, head in records:
                if head.look >= number:
                    return record.value if head.look == number else None
        return None

    async def newest_at(self, run: Remembered, time: int, reader: str) -> LookThen | None:
        """The look that was the run's newest at that time (ms UTC); None: the topic doesn't tell (any more).

        Whatever was published by then must have been read.
        """
        if run.published <= time:
            return LookThen(run.head.look, run.newest)
        mark = run.mark_at(time)
        if mark is None:
            return LookThen(0, None) if run.marks[0].look == 1 else None
        then = LookThen(mark.look, None)
        async with self._turns[reader], self._turn, aclosing(self._from(run, mark)) as records:
            async for record, head in records:
                if record.timestamp > time:
                    return then if head.look == then.number + 1 else None
                then = LookThen(head.look, record.value)
        return then if run.head.look == then.number + 1 else None

    async def _from(self, run: Remembered, mark: HistoryMark) -> AsyncGenerator[tuple[ConsumerRecord, LookHead], None]:
        """The run's looks from a mark to before the one that is held."""
        place, wanted = (
            TopicPartition(self._settings.topic(RESULTS), run.partition),
            (run.head.experiment, run.head.run),
        )
        end = run.offset
        self._consumer.assign([place])
        self._consumer.seek(place, mark.offset)
        try:
            with answering(self._settings):
                while await self._consumer.position(place) < end:
                    record = await self._consumer.getone(place)
                    head = _head(record.value)
                    if head and (head.experiment, head.run) == wanted and record.offset < end:
                        yield record, head
        finally:
            self._consumer.pause(place)  # else it would fetch on, and at the end make the next reader wait


def _head(value: bytes | None) -> LookHead | None:
    """None: no look; `Looks` has told."""
    try:
        return decode(value, LookHead)
    except NoMessageError:
        return None
