"""Aggregation: what does each unit contribute to each variant?

Folds each units partition into a state of its own. A worker that begins again at a checkpoint sends the same aggregates
again: they are cumulative, so a repeat changes nothing.
"""

import zlib
from time import monotonic
from typing import ClassVar

import msgspec

from evaluation.metrics.partition import Partition
from pipeline.settings import Settings
from pipeline.stages.stateful import StatefulStage
from schemas.records import Records
from schemas.topics import AGGREGATES, UNITS, SourcePartition, topics

TELL_SECONDS = 0.6  # from one telling of the aggregates to the next: all of them are told, however little is new


class AggregationStage(StatefulStage[Partition]):
    """Units in; aggregates out."""

    name: ClassVar[str] = "aggregation"
    topics: ClassVar[tuple[str, ...]] = (UNITS,)
    tick_seconds: ClassVar[float] = 0.1

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, Partition)
        self._published: dict[int, int] = {}  # by partition: the offset of the aggregates that were sent last
        self._told_at = 0.0  # when that was last (`monotonic`)
        self._places = next(topic.partitions for topic in topics(1) if topic.name == AGGREGATES)

    async def start_position(self, source: SourcePartition, earliest: int) -> int | None:
        """Where the newest checkpoint ends; nothing of the partition has been sent."""
        self._published[source[1]] = -1
        return await super().start_position(source, earliest)

    async def take(self, source: SourcePartition, records: Records) -> None:
        """Fold the slice."""
        partition = await self.ready_for(source, records)
        for row in range(len(records)):
            offset = int(records.offset[row])
            with self.aside.unless_ours(UNITS, records.partition, offset):
                partition.fold(offset, records.value(row) or b"", self.catalog.history.at_offset)
        partition.offset = max(partition.offset, records.end)
        self.count("messages", len(records))

    async def tell(self) -> None:
        """Send the aggregates of the partitions that moved on."""
        moved = [number for number, each in self._partitions.items() if each.offset != self._published[number]]
        if not moved or monotonic() - self._told_at < TELL_SECONDS:
            return
        self._told_at = monotonic()
        messages = []
        for number in moved:
            partition = self._partitions[number]
            sent, self._published[number] = self._published[number], partition.offset
            for aggregate in partition.aggregates():
                if aggregate.offset > sent:  # a run's last word is sent once
                    key = f"{aggregate.flag}/{aggregate.run}/{number}".encode()
                    place = zlib.crc32(aggregate.flag.encode()) % self._places
                    messages.append((AGGREGATES, key, msgspec.json.encode(aggregate), place))
        await self.send_all(messages)
