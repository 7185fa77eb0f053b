"""Aggregation: what does each unit contribute to each variant?

Folds each units partition into a state of its own. A state and the offset that it reaches are one checkpoint; Kafka's
offset is committed after it. A worker that takes a partition begins at its newest checkpoint, wherever the group's
offset stands, and sends the same aggregates again: they are cumulative, so a repeat changes nothing.
"""

import asyncio
import zlib
from collections.abc import Iterable
from typing import ClassVar

import msgspec

from evaluation.metrics.partition import Partition
from pipeline.errors import PeekproofError
from pipeline.kafka.logs import ClusterTopics, LogError, require_known, restore
from pipeline.settings import Settings
from pipeline.stages.kernels import compile_kernels
from pipeline.stages.stage import Stage
from pipeline.storage.checkpoints import Checkpoints
from schemas.logs import Gap
from schemas.records import Records
from schemas.topics import AGGREGATES, CATALOG, UNITS, SourcePartition, topics


class AggregationStage(Stage):
    """Units in; aggregates out."""

    name: ClassVar[str] = "aggregation"
    topics: ClassVar[tuple[str, ...]] = (UNITS,)
    tick_seconds: ClassVar[float] = 0.3

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._checkpoints = Checkpoints(settings.checkpoint_location)
        self._partitions: dict[int, Partition] = {}
        self._published: dict[int, int] = {}  # by partition: the offset of the aggregates that were sent last
        self._saved: dict[int, int] = {}  # by partition: the offset of its newest checkpoint
        self._since_checkpoint = 0.0
        self._found = ClusterTopics("", {})
        self._places = next(topic.partitions for topic in topics(1) if topic.name == AGGREGATES)

    async def start(self) -> None:
        """Connect, and read the catalog."""
        await asyncio.to_thread(compile_kernels)
        await super().start()

    async def belong(self, found: ClusterTopics) -> None:
        """The logs that checkpoints will belong to."""
        self._found = found

    async def start_position(self, source: SourcePartition, earliest: int) -> int | None:
        """Where the newest checkpoint ends."""
        del earliest
        number = source[1]
        newest = await asyncio.to_thread(self._checkpoints.newest, number)
        if newest:
            require_known(self.settings, self.logs, self._found, newest)
        try:
            partition = Partition.load(newest.state) if newest else Partition(number, self.settings.horizon)
        except ValueError as error:
            raise PeekproofError(f"units/{number}: {error}") from error
        if partition.catalog > self.catalog.history.newest.offset:
            raise LogError(
                f"aggregation: the state of {self.settings.topic(UNITS)}/{number} was made under catalog offset "
                f"{partition.catalog}, but topic {self.settings.topic(CATALOG)} ends at "
                f"{self.catalog.history.newest.offset}: it was made anew, or lost its end. {restore(self.settings)}"
            )
        self._partitions[number] = partition
        self._saved[number] = partition.offset if newest else -1
        self._published[number] = -1
        return partition.offset

    async def skip(self, gap: Gap, end: int) -> None:
        """The runs tell what is missing from now on."""
        self._partitions[gap.partition].skip(gap, end)

    async def take(self, source: SourcePartition, records: Records) -> None:
        """Fold the slice. Its messages name catalog versions that were read before they were sent."""
        partition = self._partitions[source[1]]
        if records.begin > partition.offset:
            raise PeekproofError(
                f"units/{source[1]}: a slice begins at offset {records.begin}, but {partition.offset} is next; the "
                "worker stops rather than skip what lies between, and begins again at its checkpoint"
            )
        await self.catalog.caught_up(records.received)
        for row in range(len(records)):
            offset = int(records.offset[row])
            with self.aside.unless_ours(UNITS, records.partition, offset):
                partition.fold(offset, records.value(row) or b"", self.catalog.history.at_offset)
        partition.offset = max(partition.offset, records.end)
        self.count("messages", len(records))

    def watermark(self, source: SourcePartition) -> int:
        """The append time that every source of this partition has reached."""
        partition = self._partitions.get(source[1])
        return partition.watermark if partition else 0

    async def tick(self) -> None:
        """Send the aggregates of the partitions that moved on; every so often, checkpoint."""
        await self._publish()
        self._since_checkpoint += self.tick_seconds
        if self._since_checkpoint * 1000 >= self.settings.checkpoint_interval:
            self._since_checkpoint = 0.0
            await self._checkpoint(list(self._partitions))

    async def release(self, sources: Iterable[SourcePartition]) -> None:
        """Checkpoint, so that the next worker has little to fold again."""
        numbers = [number for _, number in sources if number in self._partitions]
        await self._checkpoint(numbers)
        for number in numbers:
            del self._partitions[number]

    async def _publish(self) -> None:
        messages = []
        for number, partition in self._partitions.items():
            if partition.offset == self._published[number]:
                continue
            sent, self._published[number] = self._published[number], partition.offset
            for aggregate in partition.aggregates():
                if aggregate.offset > sent:  # a run's last word is sent once
                    key = f"{aggregate.flag}/{aggregate.run}/{number}".encode()
                    place = zlib.crc32(aggregate.flag.encode()) % self._places
                    messages.append((AGGREGATES, key, msgspec.json.encode(aggregate), place))
        await self.send_all(messages)

    async def _checkpoint(self, numbers: Iterable[int]) -> None:
        """In this order: the state, then the promise that nothing before it needs to be read again."""
        for number in numbers:
            partition = self._partitions[number]
            offset = partition.offset
            if offset == self._saved[number]:
                continue
            state = partition.save()
            log = self._found.topics.get(UNITS, "")
            await asyncio.to_thread(self._checkpoints.write, number, offset, state, self._found.cluster, log)
            self._saved[number] = offset
            self.durable((UNITS, number), offset)
