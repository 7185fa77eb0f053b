"""Identity: whose are the events that name a person and no unit?

Folds each partition of `identities` into a state of its own, and tells the partitions of `units` what follows from
each message: loose events of units, and such as are taken from one and given to another. What follows is the same
whoever folds the message, so aggregation skips what it has been told by its offset. A checkpoint is made of a state
when brokers have acknowledged all that follows from it.
"""

from collections.abc import Iterable
from typing import ClassVar

from evaluation.identity.identities import Identities
from pipeline.settings import Settings
from pipeline.stages.gathering import Gathering
from pipeline.stages.stateful import StatefulStage
from schemas.records import Records
from schemas.topics import IDENTITIES, UNITS, SourcePartition

MOST_ROWS = 100_000  # gathered before they are sent without waiting for the tick


class IdentityStage(StatefulStage[Identities]):
    """Identities in; units out."""

    name: ClassVar[str] = "identity"
    topics: ClassVar[tuple[str, ...]] = (IDENTITIES,)
    tick_seconds: ClassVar[float] = 0.1

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, Identities)
        partitions = settings.units_partitions
        self._gathering = Gathering(partitions, settings.horizon, partitions)
        self._has_news = False

    async def start_position(self, source: SourcePartition, earliest: int) -> int | None:
        """Where the newest checkpoint ends. A state that is still empty needs none."""
        position = await super().start_position(source, earliest)
        self._saved[source[1]] = self._partitions[source[1]].offset
        return position

    def begin(self, source: SourcePartition, offset: int) -> None:
        """Cover the partition from here on."""
        self._gathering.begin(source, offset)

    async def take(self, source: SourcePartition, records: Records) -> None:
        """Fold the slice, and gather what follows from each message."""
        partition = await self.ready_for(source, records)
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

    async def tell(self) -> None:
        """Send what has followed since it was told last."""
        if self._has_news:
            await self._send()

    async def release(self, sources: Iterable[SourcePartition]) -> None:
        """Tell everything, and checkpoint, so that the next worker has little to fold again."""
        going = [source for source in sources if source[1] in self._partitions]
        await super().release(going)
        self._gathering.leave(going)

    async def checkpoint(self, numbers: Iterable[int]) -> None:
        """What follows from the states goes first."""
        await self.tell()
        await super().checkpoint(numbers)

    async def _send(self) -> None:
        _, messages = self._gathering.cut()
        self._has_news = False
        await self.send_all((UNITS, None, message, number) for number, message in enumerate(messages))
