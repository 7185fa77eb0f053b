"""Stateful: a stage that folds each partition of its topic into a state of its own.

A state and the offset that it reaches are one checkpoint; Kafka's offset is committed after it. A worker that takes a
partition begins at its newest checkpoint, wherever the group's offset stands.
"""

import asyncio
from collections.abc import Iterable
from time import monotonic
from typing import Generic, TypeVar

from evaluation.identity.identities import Identities
from evaluation.metrics.partition import Partition
from pipeline.errors import PeekproofError
from pipeline.kafka.logs import ClusterTopics, LogError, require_known, restore
from pipeline.settings import Settings
from pipeline.stages.kernels import compile_kernels
from pipeline.stages.stage import Stage
from pipeline.storage.checkpoints import Checkpoints
from schemas.logs import Gap
from schemas.records import Records
from schemas.topics import CATALOG, SourcePartition

CHECKPOINT_SHARE = 0.1  # of the time, at most: of many units they come less often than every interval

State = TypeVar("State", Partition, Identities)


class StatefulStage(Stage, Generic[State]):
    """Reads one topic; `kind` is what its partitions are folded into."""

    def __init__(self, settings: Settings, kind: type[State]) -> None:
        super().__init__(settings)
        self._kind: type[State] = kind
        (self._topic,) = self.topics
        self._checkpoints = Checkpoints(settings.checkpoint_location, self._topic)
        self._partitions: dict[int, State] = {}
        self._saved: dict[int, int] = {}  # by partition: the offset of its newest checkpoint
        self._next_checkpoint = monotonic() + settings.checkpoint_interval / 1_000
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
            require_known(self.settings, self.logs, self._found, newest, self._topic)
        try:
            partition = self._kind.load(newest.state) if newest else self._kind(number, self.settings.horizon)
        except ValueError as error:
            raise PeekproofError(f"{self._topic}/{number}: {error}") from error
        if partition.catalog > self.catalog.history.newest.offset:
            raise LogError(
                f"{self.name}: the state of {self.settings.topic(self._topic)}/{number} was made under catalog offset "
                f"{partition.catalog}, but topic {self.settings.topic(CATALOG)} ends at "
                f"{self.catalog.history.newest.offset}: it was made anew, or lost its end. {restore(self.settings)}"
            )
        self._partitions[number] = partition
        self._saved[number] = partition.offset if newest else -1
        return partition.offset

    async def skip(self, gap: Gap, end: int) -> None:
        """The state tells what is missing from now on."""
        self._partitions[gap.partition].skip(gap, end)

    async def ready_for(self, source: SourcePartition, records: Records) -> State:
        """The state that a slice is folded into. Its messages name catalog versions that were read before.

        Raises PeekproofError for a slice that does not go on where the state ends.
        """
        partition = self._partitions[source[1]]
        if records.begin > partition.offset:
            raise PeekproofError(
                f"{self._topic}/{source[1]}: a slice begins at offset {records.begin}, but {partition.offset} is next; "
                "the worker stops rather than skip what lies between, and begins again at its checkpoint"
            )
        await self.catalog.caught_up(records.received)
        return partition

    def watermark(self, source: SourcePartition) -> int:
        """The append time that the state has reached."""
        partition = self._partitions.get(source[1])
        return partition.watermark if partition else 0

    async def tell(self) -> None:
        """Send what follows from the states."""
        raise NotImplementedError

    async def tick(self) -> None:
        """Tell; every so often, checkpoint."""
        await self.tell()
        now = monotonic()
        if now >= self._next_checkpoint:
            await self.checkpoint([number for number in self._partitions if self.is_worth_keeping(number)])
            pause = max(self.settings.checkpoint_interval / 1_000, (monotonic() - now) / CHECKPOINT_SHARE)
            self._next_checkpoint = now + pause

    def is_worth_keeping(self, number: int) -> bool:
        """Whether a checkpoint of the partition is due, where its state reaches further than the newest one."""
        del number
        return True

    async def release(self, sources: Iterable[SourcePartition]) -> None:
        """Checkpoint, so that the next worker has little to fold again."""
        numbers = [number for _, number in sources if number in self._partitions]
        await self.checkpoint(numbers)
        for number in numbers:
            del self._partitions[number]

    async def checkpoint(self, numbers: Iterable[int]) -> None:
        """In this order: the state, then the promise that nothing before it needs to be read again."""
        for number in numbers:
            partition = self._partitions[number]
            offset = partition.offset
            if offset == self._saved[number]:
                continue
            state = partition.save()
            log = self._found.topics.get(self._topic, "")
            await asyncio.to_thread(self._checkpoints.write, number, offset, state, self._found.cluster, log)
            self._saved[number] = offset
            self.durable((self._topic, number), offset)
