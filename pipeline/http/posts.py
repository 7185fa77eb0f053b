"""Posts: records that nobody waits for. Gathered, sent in order, and kept for as long as the brokers are away."""

import asyncio
from collections import deque
from itertools import islice, takewhile
from math import inf
from time import monotonic
from typing import NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaTimeoutError

from pipeline.settings import Settings

GATHER_SECONDS = 0.05
MOST_AT_ONCE = 1_000  # posts
MOST_BYTES = 64_000_000  # that wait
LARGEST = 900_000  # bytes of one: brokers take a million, with what is around it
END_SECONDS = 5.0  # for what is left


class Post(NamedTuple):
    """A record for a topic (without the deployment's prefix)."""

    topic: str
    value: bytes
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


class Posts:
    """Sends by a producer that tries for as long as the brokers are away."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer: AIOKafkaProducer
        self._waiting: deque[tuple[float, Post]] = deque()  # with the time (`monotonic`) from which it may be sent
        self._bytes = 0
        self._sending: asyncio.Task[None] | None = None
        self.lost = 0  # for which there was no room, or no broker at the end

    @property
    def failure(self) -> BaseException | None:
        """What ended the sending, if something did."""
        sending = self._sending
        return sending.exception() if sending and sending.done() and not sending.cancelled() else None

    @property
    def waiting(self) -> int:
        """How many are here."""
        return len(self._waiting)

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
            self.lost += len(self._waiting)

    def add(self, post: Post, due: float = 0) -> None:
        """Have it sent, not before `due` (`monotonic`), nor before those that were added earlier."""
        if len(post.value) > LARGEST or self._bytes + len(post.value) > MOST_BYTES:
            self.lost += 1
            return
        self._bytes += len(post.value)
        self._waiting.append((due, post))

    async def _send_regularly(self) -> None:
        while True:
            await asyncio.sleep(GATHER_SECONDS)
            try:
                await self._send_those_due(monotonic())
            except KafkaTimeoutError:
                pass  # no room in the producer: they are still here

    async def _send_those_due(self, now: float) -> None:
        while self._waiting and self._waiting[0][0] <= now:
            due = [post for _, post in takewhile(lambda each: each[0] <= now, islice(self._waiting, MOST_AT_ONCE))]
            sent = []
            for post in due:
                topic, headers = self._settings.topic(post.topic), [*post.headers]
                sent.append(await self._producer.send(topic, post.value, post.key, headers=headers))
            await asyncio.gather(*sent)
            for post in due:
                self._waiting.popleft()
                self._bytes -= len(post.value)
