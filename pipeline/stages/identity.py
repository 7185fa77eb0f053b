"""Identity: whose are the events that name a person and no unit?

Folds each partition of `identities` into a state of its own, and tells the partitions of `units` what follows from
each message: loose events of units, and such as are taken from one and given to another. What follows is the same
whoever folds the message, so aggregation skips what it has been told by its offset. A checkpoint is made of a state
when brokers have acknowledged all that follows from it; Kafka's offset is committed after it.
"""

import asyncio
from collections.abc import Iterable
from typing import ClassVar

from evaluation.identity.identities import Identities
from pipeline.errors import PeekproofError
from pipeline.kafka.logs import ClusterTopics, LogError, require_known, restore
from pipeline.settings import Settings
from pipeline.stages.gathering import Gathering
from pipeline.stages.kernels import compile_kernels
from pipeline.stages.stage import Stage
from pipeline.storage.checkpoints import Checkpoints
from schemas.logs import Gap
from schemas.records import Records
from schemas.topics import CATALOG, IDENTITIES, UNITS, SourcePartition

MOST_ROWS = 100_000  # gathered before they are sent without waiting for the tick


class IdentityStage(Stage):
    """Identities in; units out."""

    name: ClassVar[str] = "identity"
    topics: ClassVar[tuple[str, ...]] = (IDENTITIES,)
    tick_seconds: ClassVar[float] = 0.1

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._checkpoints = Checkpoints(settings.checkpoint_location, IDENTITIES)
        partitions = settings.units_partitions
        self._gathering = Gathering(partitions, settings.horizon, partitions)
        self._partitions: dict[int, Identities] = {}
        self._saved: dict[int, int] = {}  # by partition: the offset of its newest checkpoint
        self._since_checkpoint = 0.0
        self._has_news = False
        self._found = ClusterTopics("", {})

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
            require_known(self.settings, self.logs, self._found, newest, IDENTITIES)
        try:
            partition = Identities.load(newest.state) if newest else Identities(number, self.settings.horizon)
        except ValueError as error:
            raise PeekproofError(f"identities/{number}: {error}") from error
        if partition.catalog > self.catalog.history.newest.offset:
            raise LogError(
                f"identity: the state of {self.settings.topic(IDENTITIES)}/{number} was made under catalog offset "
                f"{partition.catalog}, but topic {self.settings.topic(CATALOG)} ends at "
                f"{self.catalog.history.newest.offset}: it was made anew, or lost its end. {restore(self.settings)}"
            )
        self._partitions[number] = partition
        self._saved[number] = partition.offset
        return partition.offset

    async def skip(self, gap: Gap, end: int) -> None:
        """Joins and loose events that lay in the gap are missing from now on."""
        self._partitions[gap.partition].skip(gap, end)

    def begin(self, source: SourcePartition, offset: int) -> None:
        """Cover the partition from here on."""
        self._gathering.begin(source, offset)

    async def take(self, source: SourcePartition, records: Records) -> None:
        """Fold the slice, and gather what follows from each message."""
        partition = self._partitions[source[1]]
        await self.catalog.caught_up(records.received)
        for row in range(len(records)):
            offset = int(records.offset[row])
            with self.aside.unless_ours(IDENTITIES, records.partition, offset):
                said = partition.fold(offset, records.value(row) or b"", self.catalog.history.at_offset)
                if said is not None:
                    self._gathering.add(source, said)
                    self.count("rows", len(said.offset))
            if self._gathering.rows >= MOST_ROWS:
                await self._send()
        partition.offset = max(partition.offset, records.end)
        self._gathering.cover(source, records.end)
        self._has_news = True
        self.count("messages", len(records))

    def watermark(self, source: SourcePartition) -> int:
        """The append time up to which events of this partition have found their unit, or will not."""
        partition = self._partitions.get(source[1])
        return partition.watermark if partition else 0

    async def tick(self) -> None:
        """Tell what follows; every so often, checkpoint."""
        if self._has_news:
            await self._send()
        self._since_checkpoint += self.tick_seconds
        if self._since_checkpoint * 1_000 >= self.settings.checkpoint_interval:
            self._since_checkpoint = 0.0
            await self._checkpoint(list(self._partitions))

    async def release(self, sources: Iterable[SourcePartition]) -> None:
        """Tell everything, and checkpoint, so that the next worker has little to fold again."""
        going = [source for source in sources if source[1] in self._partitions]
        await self._checkpoint([number for _, number in going])
        self._gathering.leave(going)
        for _, number in going:
            del self._partitions[number]

    async def _send(self) -> None:
        _, messages = self._gathering.cut()
        self._has_news = False
        await self.send_all((UNITS, None, message, number) for number, message in enumerate(messages))

    async def _checkpoint(self, numbers: Iterable[int]) -> None:
        """In this order: what follows from the state, the state, then the promise that nothing is read again."""
        if self._has_news:
            await self._send()
        for number in numbers:
            partition = self._partitions[number]
            offset = partition.offset
            if offset == self._saved[number]:
                continue
            state = partition.save()
            log = self._found.topics.get(IDENTITIES, "")
            await asyncio.to_thread(self._checkpoints.write, number, offset, state, self._found.cluster, log)
            self._saved[number] = offset
            self.durable((IDENTITIES, number), offset)
