"""Census: how many partitions the sources have, asked again and again, for some may be added while they are read.

A partition that nobody has heard of may hold records already. So no watermark may pass the moment until which every
partition that there was has been counted.
"""

import asyncio
from collections.abc import Sequence
from time import monotonic

from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.cluster import ClusterMetadata
from aiokafka.errors import KafkaError
from aiokafka.protocol.metadata import MetadataRequest

INTERVAL = 0.1  # seconds: by so much, twice, watermarks are behind


class Census:
    """Counts the partitions of these topics (with prefix) from `start` to `stop`; `partitions` were found before.

    While no broker answers, what was counted stands.
    """

    def __init__(self, client: AIOKafkaClient, topics: Sequence[str], partitions: int) -> None:
        self._client = client
        self._topics = list(topics)
        self._partitions = partitions
        self._until = 0
        self._before = 0  # when the last count began
        self._told = 0, monotonic()
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

    def counted(self) -> tuple[int, int]:
        """How many partitions there are, and the time (ms UTC, a broker's) until which there were no others."""
        if self._counting is not None and self._counting.done():
            self._counting.result()
        return self._partitions, self._until

    async def _count_on(self) -> None:
        while True:
            await self.count()
            await asyncio.sleep(INTERVAL)

    async def count(self) -> None:
        """Count once. A broker may hear of a partition a moment after its leader: so it speaks for the count before."""
        time, heard = self._told
        began = time + int((monotonic() - heard) * 1_000) if time else 0
        cluster = ClusterMetadata()
        try:
            node, request = self._client.get_random_node(), MetadataRequest(self._topics)
            cluster.update_metadata(await self._client.send(node, request, group=ConnectionGroup.COORDINATION))
        except KafkaError:
            return
        found = [cluster.partitions_for_topic(topic) for topic in self._topics]
        if all(found):
            self._partitions = max(self._partitions, sum(len(numbers) for numbers in found if numbers))
            self._until, self._before = max(self._until, self._before), began
