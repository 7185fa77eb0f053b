"""Census: how many partitions the sources have, asked again and again, for some may be added while they are read.

A partition that nobody has heard of may hold records already, and so may a topic that somebody has just made a source.
So no watermark may pass the moment until which every partition that there was has been counted.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from time import monotonic

from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.errors import KafkaError, NoError, UnknownTopicOrPartitionError, for_code
from aiokafka.protocol.metadata import MetadataRequest

from pipeline.settings import Settings
from schemas.topics import MARK

INTERVAL = 0.1  # seconds: by so much, twice, watermarks are behind
QUIET_INTERVAL = 1.0


class Census:
    """Counts the partitions of the source topics from `start` to `stop`; `partitions` of each were found before.

    `topics` tells which topics are sources by what had been decided when it was called. While no broker answers, what
    was counted stands. A topic that is not ours may not be there: then it has no partitions.
    """

    def __init__(
        self,
        settings: Settings,
        client: AIOKafkaClient,
        topics: Callable[[], Awaitable[Collection[str]]],
        partitions: dict[str, int],
    ) -> None:
        self._settings = settings
        self._client = client
        self._topics = topics
        self._partitions = partitions
        self._until = 0
        self._before = 0  # when the last count began
        self._told = 0, monotonic()
        self.is_quiet = False  # whether nobody waits for watermarks
        self._counting: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to count."""
        self._counting = asyncio.create_task(self._count_on(), name="census")

    async def stop(self) -> None:
        """Count no more."""
        if self._counting is not None:
            self._counting.cancel()
            await asyncio.wait([self._counting])

    def tell(self, time: int) -> None:
        """It is this time (ms UTC, a broker's), or later."""
        self._told = time, monotonic()

    def now(self) -> int:
        """The time (ms UTC, a broker's), or a little before it; 0: nobody has told it."""
        time, heard = self._told
        return time + int((monotonic() - heard) * 1_000) if time else 0

    def counted(self) -> tuple[dict[str, int], int]:
        """How many partitions each topic has, and the time (ms UTC, a broker's) until which there were no others."""
        if self._counting is not None and self._counting.done():
            self._counting.result()
        return self._partitions, self._until

    async def _count_on(self) -> None:
        while True:
            await self.count()
            await asyncio.sleep(QUIET_INTERVAL if self.is_quiet else INTERVAL)

    async def count(self) -> None:
        """Count once. A broker may hear of a partition a moment after its leader: so it speaks for the count before."""
        began = self.now()
        topics = {self._settings.topic(topic): topic for topic in await self._topics()}
        request = MetadataRequest(list(topics), allow_auto_topic_creation=False)
        try:
            node = self._client.get_random_node()
            answer = await self._client.send(node, request, group=ConnectionGroup.COORDINATION)
        except KafkaError:
            return
        found = {topics[name]: self._number(code, topics[name], numbers) for code, name, _, numbers in answer.topics}
        if None not in found.values():
            self._partitions = {topic: number for topic, number in found.items() if number is not None}
            self._until, self._before = max(self._until, self._before), began

    def _number(self, code: int, topic: str, numbers: Collection[object]) -> int | None:
        """How many partitions a topic has; None: it is not known."""
        known, error = self._partitions.get(topic, 0), for_code(code)
        if error is NoError:
            return max(known, len(numbers))
        if not topic.startswith(MARK):
            return None
        return 0 if error is UnknownTopicOrPartitionError else known
