"""Past: looks that are no longer held, read again from where they stand: on the topic `results`, or in the archive."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from pipeline.http.questions.readers import QUESTION_SECONDS, Answer, Readers
from pipeline.http.results.looks import HistoryMark, Remembered
from pipeline.kafka.clients import aiokafka_arguments
from pipeline.kafka.connection import answering
from pipeline.questions.past_look import archived_look, newest_archived
from pipeline.settings import Settings
from schemas.decoding import NoMessageError, decode
from schemas.look import LookHead
from schemas.topics import RESULTS


class LookThen(NamedTuple):
    """A look that was the newest at a time; number 0: there was none. Its bytes may be nowhere any more."""

    number: int
    value: bytes | None


class PastLooks:
    """Reads one look at a time, over a connection of its own."""

    def __init__(self, settings: Settings, readers: Readers) -> None:
        self._settings = settings
        self._readers = readers
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
        """The bytes of one look as it was published; None: neither the topic nor the archive holds it (any more).

        Raises ServiceUnavailableException where the archive cannot be asked.
        """
        if number >= run.head.look:
            return run.newest if number == run.head.look else None
        mark = run.mark(number)
        if mark and (value := await self._on_topic(run, mark, number, reader)):
            return value
        return await self._ask(archived_look, run, number)

    async def newest_at(self, run: Remembered, time: int, reader: str) -> LookThen | None:
        """The look that was the run's newest at that time (ms UTC); None: neither topic nor archive tell (any more).

        Whatever was published by then must have been read. Raises as `look` does.
        """
        if run.published <= time:
            return LookThen(run.head.look, run.newest)
        mark, oldest = run.mark_at(time), run.marks[0].look
        if mark is None and oldest == 1:
            return LookThen(0, None)
        then = await self._newest_on_topic(run, mark, time, reader) if mark else None
        if then and then.value:
            return then
        found = await self._ask(newest_archived, run, time)
        # Else the archive may lack some.
        is_it = found and found.number + 1 == (found.following or oldest)
        return LookThen(found.number, found.value) if found and is_it else then

    async def _ask(self, question: Callable[..., Answer], run: Remembered, which: int) -> Answer:
        of = run.head.experiment, run.head.run
        about = "\0".join((*of, str(which))).encode()
        archive = self._settings.data / "archive"
        return await self._readers.ask(question, about, archive, of, which, QUESTION_SECONDS)

    async def _on_topic(self, run: Remembered, mark: HistoryMark, number: int, reader: str) -> bytes | None:
        async with self._turns[reader], self._turn, aclosing(self._from(run, mark)) as records:
            async for record, head in records:
                if head.look >= number:
                    return record.value if head.look == number else None
        return None

    async def _newest_on_topic(self, run: Remembered, mark: HistoryMark, time: int, reader: str) -> LookThen | None:
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
