"""Outbox: records that nobody waits for. Gathered, sent in order, and kept for as long as the brokers are away."""

import asyncio
from collections import deque
from collections.abc import Sequence
from itertools import islice, takewhile
from math import inf
from time import monotonic
from typing import NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaTimeoutError

from pipeline.http.sockets.room import Room
from pipeline.kafka.producer import KafkaRecord, send_many
from pipeline.settings import Settings

GATHER_SECONDS = 0.05
MOST_AT_ONCE = 100  # posts: between them requests are answered
MOST_BYTES = 64_000_000  # that wait
LARGEST_BATCH = 900_000  # bytes of a record: brokers take a million, with what is around it
END_SECONDS = 5.0  # for what is left


class Post(NamedTuple):
    """Records for a topic (without the installation's prefix), and the time (`monotonic`) from which they may go."""

    topic: str
    records: Sequence[KafkaRecord]
    due: float
    holder: str


class Outbox:
    """Sends by a producer that tries for as long as the brokers are away."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer: AIOKafkaProducer
        self._posts: deque[Post] = deque()
        self._has_posts = asyncio.Event()
        self.room = Room(MOST_BYTES)
        self._sending: asyncio.Task[None] | None = None
        self.waiting = 0  # records
        self.lost = 0  # for which there was no room, or no broker at the end

    @property
    def failure(self) -> BaseException | None:
        """What ended the sending, if something did."""
        sending = self._sending
        return sending.exception() if sending and sending.done() and not sending.cancelled() else None

    def start(self, producer: AIOKafkaProducer) -> None:
        """Begin to send."""
        self._producer = producer
        self._sending = asyncio.create_task(self._send_regularly(), name="posts")

    async def stop(self) -> None:
        """Send what is left, if it can be."""
        if self._sending is not None:
            self._sending.cancel()
            rest = asyncio.create_task(self._send_those_due(inf))
            await asyncio.wait([rest], timeout=END_SECONDS)
            rest.cancel()
            self.lost += self.waiting

    def add(self, topic: str, records: Sequence[KafkaRecord], due: float = 0, holder: str = "") -> bool:
        """Have them sent, not before `due` (`monotonic`), nor before those that were added earlier.

        False: there is no room for more of this holder; say it again another time. What no broker would take is lost
        for good.
        """
        kept = [record for record in records if len(record[1] or b"") <= LARGEST_BATCH]
        size = _size(kept)
        has_room = self.room.has(holder, size)
        self.lost += len(records) - len(kept) * has_room
        if kept and has_room:
            self.waiting += len(kept)
            self.room.take(holder, size)
            self._posts.append(Post(topic, kept, due, holder))
            self._has_posts.set()
        return has_room

    async def _send_regularly(self) -> None:
        while True:
            await self._has_posts.wait()
            await asyncio.sleep(GATHER_SECONDS)
            try:
                await self._send_those_due(monotonic())
            except KafkaTimeoutError:
                pass  # no room in the producer: they are still here
            if not self._posts:
                self._has_posts.clear()

    async def _send_those_due(self, now: float) -> None:
        while self._posts and self._posts[0].due <= now:
            due = [*takewhile(lambda post: post.due <= now, islice(self._posts, MOST_AT_ONCE))]
            sent = []
            for topic in {post.topic for post in due}:
                records = (record for post in due if post.topic == topic for record in post.records)
                sent += await send_many(self._producer, self._settings.topic(topic), records)
            await asyncio.gather(*sent)
            for post in due:
                self._posts.popleft()
                self.room.give(post.holder, _size(post.records))
                self.waiting -= len(post.records)


def _size(records: Sequence[KafkaRecord]) -> int:
    return sum([len(value or b"") for _, value, _ in records])
