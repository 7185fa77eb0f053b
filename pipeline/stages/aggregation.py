"""Aggregation: what does each unit contribute to each variant?

Folds each units partition into a state of its own. A worker that begins again at a checkpoint sends the same aggregates
again: they are cumulative, so a repeat changes nothing.
"""

import zlib
from time import monotonic
from typing import ClassVar, NamedTuple

import msgspec

from evaluation.metrics.partition import Partition
from pipeline.settings import Settings
from pipeline.stages.stateful import StatefulStage
from schemas.records import Records
from schemas.topics import AGGREGATES, UNITS, SourcePartition, topics

TELL_SECONDS = 0.6  # from one telling of the aggregates to the next: all of them are told, however little is new
CLOCK_SECONDS = 2.0  # the same where nothing but the clock has moved
CLOCK_TIMES = 3  # of so many times that a checkpoint may be due it then is once


class _LastTold(NamedTuple):
    """Of a partition what its aggregates were told of last: up to which offset, and by what they differ from others."""

    offset: int
    rows: int
    catalog: int


class AggregationStage(StatefulStage[Partition]):
    """Units in; aggregates out."""

    name: ClassVar[str] = "aggregation"
    topics: ClassVar[tuple[str, ...]] = (UNITS,)
    tick_seconds: ClassVar[float] = 0.1

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, Partition)
        self._told: dict[int, _LastTold] = {}  # by partition
        self._told_at = self._clocks_told_at = 0.0  # when that was last, and of all of them (`monotonic`)
        self._kept: dict[int, tuple[int, int]] = {}  # by partition: rows at the last checkpoint, and how often since
        self._places = next(topic.partitions for topic in topics(1) if topic.name == AGGREGATES)

    async def start_position(self, source: SourcePartition, earliest: int) -> int | None:
        """Where the newest checkpoint ends; nothing of the partition has been sent."""
        self._told[source[1]] = _LastTold(-1, -1, -1)
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
        now = monotonic()
        if now - self._told_at < TELL_SECONDS:
            return
        are_clocks_due = now - self._clocks_told_at >= CLOCK_SECONDS
        moved = [number for number in self._partitions if self._has_moved(number, are_clocks_due)]
        if not moved:
            return
        self._told_at = now
        if are_clocks_due:
            self._clocks_told_at = now
        messages = []
        for number in moved:
            partition = self._partitions[number]
            before, self._told[number] = (
                self._told[number],
                _LastTold(partition.offset, partition.rows, partition.catalog),
            )
            for aggregate in partition.aggregates():
                if aggregate.offset > before.offset:  # a run's last word is sent once
                    key = f"{aggregate.flag}/{aggregate.run}/{number}".encode()
                    place = zlib.crc32(aggregate.flag.encode()) % self._places
                    messages.append((AGGREGATES, key, msgspec.json.encode(aggregate), place))
        await self.send_all(messages)

    def is_worth_keeping(self, number: int) -> bool:
        """Every third time where nothing but the clock has moved: what follows is soon folded again."""
        rows = self._partitions[number].rows
        is_due = rows != self._kept.get(number, (-1, 0))[0] or self._kept[number][1] == CLOCK_TIMES
        self._kept[number] = (rows, 1) if is_due else (rows, self._kept[number][1] + 1)
        return is_due

    def _has_moved(self, number: int, are_clocks_due: bool) -> bool:
        partition, told = self._partitions[number], self._told[number]
        if (partition.rows, partition.catalog) != (told.rows, told.catalog):
            return True
        return are_clocks_due and partition.offset != told.offset
