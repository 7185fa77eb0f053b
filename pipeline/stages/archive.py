"""Archive: keeps the original bytes of everything that a replay needs, as immutable Parquet files."""

import asyncio
import time
from collections.abc import Iterable
from typing import IO, ClassVar

from evaluation.catalog.reading import Reading, paused
from pipeline.kafka.logs import ClusterTopics, belong
from pipeline.owner import own
from pipeline.settings import Settings
from pipeline.stages.recounts import RecountsReader
from pipeline.stages.stage import Stage
from pipeline.storage.archive import Archive
from schemas.logs import Gap
from schemas.records import Records
from schemas.recount import RecountHealth
from schemas.topics import CATALOG, EVENTS, EXPOSURES, IDENTITIES, MARK, RESULTS, SOURCES, UNITS, SourcePartition

COMPACTION_SECONDS = 600.0
PAUSING_MS = 20_000  # after which assignment reads nothing more of a topic that was paused


class ArchiveStage(Stage):
    """Exposures, events, units, catalog and results in; Parquet files out."""

    name: ClassVar[str] = "archive"
    topics: ClassVar[tuple[str, ...]] = (EXPOSURES, EVENTS, UNITS, IDENTITIES, CATALOG, RESULTS)
    reads_sources: ClassVar[bool] = True
    is_whole: ClassVar[bool] = True
    fetch_min_bytes: ClassVar[int] = 4 << 20  # nobody waits for it
    fetch_wait_ms: ClassVar[int] = 2_000
    niceness: ClassVar[int] = 5

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._archive = Archive(settings.data / "archive", settings.archive_interval)
        self._lock: IO[str]
        self._clocks: dict[SourcePartition, int] = {}
        self._ended: dict[str, int] = {}  # of topics that are paused: until when they were archived
        self._since_compaction = 0.0
        self._compacting: asyncio.Task[None] | None = None
        self._recounts = RecountsReader(settings, self._is_archived)

    async def start(self) -> None:
        """Own the archive."""
        self._lock = own(self.settings.data / "archive")
        await super().start()

    async def belong(self, found: ClusterTopics) -> None:
        """The archive belongs to these logs, or to former ones of the installation."""
        belong(self.settings, self.settings.data / "archive", self.topics, self.logs, found)

    async def start_position(self, source: SourcePartition, earliest: int) -> int | None:
        """Behind the last file that is whole; what an open one held is read again."""
        return self._archive.start(*source, earliest)

    async def skip(self, gap: Gap, end: int) -> None:
        """The archive says that it lacks these records."""
        await asyncio.to_thread(self._archive.skip, gap.topic, gap.partition, end)

    def readings(self) -> dict[str, Reading]:
        """Those that are paused too, until all that assignment has read of them is archived."""
        found = super().readings()
        noted = self.logs.foreign if self.logs else ()
        for topic, reading in paused(self.catalog.history, self.settings.horizon).items():
            until = (reading.until or 0) + PAUSING_MS + self.settings.archive_interval
            clocks = [clock for (name, _), clock in self._clocks.items() if name == topic]
            if clocks and min(clocks) > until:
                self._ended[topic] = until
            if topic in noted and self._ended.get(topic) != until:
                found[topic] = reading
        return found

    def begin(self, source: SourcePartition, offset: int) -> None:
        """How far it is is not known yet."""
        del offset
        self._clocks[source] = 0

    async def take(self, source: SourcePartition, records: Records) -> None:
        """Add the slice to the open file of its partition."""
        await asyncio.to_thread(self._archive.append, records)
        self.count("records", len(records))
        self._tell(source)

    def reach(self, source: SourcePartition, time: int) -> None:
        """The tail of a quiet partition is archived too."""
        self._archive.advance(*source, time)
        self._clocks[source] = time
        self._tell(source)

    def watermark(self, source: SourcePartition) -> int:
        """The broker's time at which the partition was last read to its end."""
        return self._clocks.get(source, 0)

    async def tick(self) -> None:
        """Have runs counted again; every so often, delete what is old enough and compact closed hours."""
        self._recounts.tend(self.catalog.history)
        if self._compacting is not None and self._compacting.done():
            self._compacting.result()
            self._compacting = None
        self._since_compaction += self.tick_seconds
        if self._since_compaction >= COMPACTION_SECONDS and self._compacting is None:
            self._since_compaction = 0.0
            self._compacting = asyncio.create_task(asyncio.to_thread(self._tidy))

    async def release(self, sources: Iterable[SourcePartition]) -> None:
        """The next worker reads the open files' records again."""
        for source in sources:
            self._archive.release(*source)
            self._clocks.pop(source, None)

    async def stop(self) -> None:
        """Let another process own the archive."""
        await asyncio.to_thread(self._recounts.stop)
        await super().stop()
        self._lock.close()

    def recounts(self) -> list[RecountHealth]:
        """How far each recount is."""
        return self._recounts.health()

    def _is_archived(self, time: int) -> bool:
        """Whether all exposures and events that were appended before it (ms UTC) are in files.

        What never pauses is not read to its end, but its intervals close; what is quiet has no records to close them.
        """
        interval = self.settings.archive_interval
        reached = [
            max(self._archive.reached(*source), clock // interval * interval)
            for source, clock in self._clocks.items()
            if source[0] in SOURCES or source[0].startswith(MARK)
        ]
        return bool(reached) and min(reached) > time

    def _tidy(self) -> None:
        if self.settings.archive_keep is not None:
            self._archive.expire(self.settings.archive_keep, time.time_ns() // 1_000_000)
        self._archive.compact()

    def _tell(self, source: SourcePartition) -> None:
        closed = self._archive.closed(*source)
        if closed is not None:
            self.durable(source, closed)
