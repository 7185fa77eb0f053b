"""Storage: what can analysts query?

Rows and their Kafka offsets are one transaction of one private DuckDB file, of which a read-only snapshot is published
about once a second; less often where that takes much of a core, or while nothing comes but how the workers are.
"""

import asyncio
from collections.abc import Iterable
from time import monotonic, process_time
from typing import ClassVar

from pipeline.kafka.logs import ClusterTopics, belong, require_belonging
from pipeline.settings import Settings
from pipeline.stages.stage import Stage
from pipeline.storage.restoring import restored_store, whole_store
from pipeline.storage.snapshot import publish
from pipeline.storage.store import Store
from schemas.records import Records
from schemas.topics import CATALOG, DEAD_LETTERS, DELIVERIES, HEALTH, NOTIFICATIONS, RESULTS, SourcePartition

QUIET_SECONDS = 10.0  # from one snapshot to the next while there is no news
SHARE = 0.05  # of a core that writing and snapshots may take, but for one every five seconds
LONGEST_PAUSE = 5.0


class StorageStage(Stage):
    """Results, catalog, dead letters, health and notifications in; the snapshot out."""

    name: ClassVar[str] = "storage"
    topics: ClassVar[tuple[str, ...]] = (RESULTS, CATALOG, DEAD_LETTERS, HEALTH, NOTIFICATIONS, DELIVERIES)
    is_whole: ClassVar[bool] = True
    fetch_min_bytes: ClassVar[int] = 4_096  # a look at once; of what workers say of themselves some
    niceness: ClassVar[int] = 5
    follows_catalog: ClassVar[bool] = False

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._store: Store
        self._is_open = False
        self._directory, self._archive = settings.data / "store", settings.data / "archive"
        self._taken: dict[SourcePartition, int] = {}
        self._free = self._due = 0.0  # when the next snapshot may be made, and is in any case (`monotonic`)

    async def start(self) -> None:
        """Own the store, and publish what it has, unless it must be restored."""
        whole = await asyncio.to_thread(whole_store, self._directory, self._archive, self.aside)
        if whole is not None:
            self._store, self._is_open = whole, True
            await asyncio.to_thread(self._flush_and_publish)
        await super().start()

    async def belong(self, found: ClusterTopics) -> None:
        """The store belongs to these logs, or to former ones of the installation; so does the archive that mends it."""
        belong(self.settings, self._directory, self.topics, self.logs, found)
        if not self._is_open:
            require_belonging(self.settings, self._archive, self.logs, found)
            self._store = await asyncio.to_thread(restored_store, self._directory, self._archive, self.aside)
            await asyncio.to_thread(self._flush_and_publish)

    async def start_position(self, source: SourcePartition, earliest: int) -> int | None:
        """Behind what the store's last transaction holds."""
        known = self._store.offsets().get(source, earliest)
        if self.logs and (gap := self.logs.gap_at("archive", *source, known)):
            known = gap.end  # the store was made of the archive, and lacks what that lacks
        return max(known, earliest) if source[0] == HEALTH else known  # of health the newest is all that matters

    async def take(self, source: SourcePartition, records: Records) -> None:
        """Add the slice to the next transaction."""
        partition = source[1]
        places = zip(records.offset.tolist(), records.append_time.tolist(), range(len(records)), strict=True)
        if source[0] == DEAD_LETTERS:
            self._store.add_dead_letters(
                (partition, offset, time, records.headers.get(row, ()), records.value(row))
                for offset, time, row in places
            )
        else:
            add = {
                RESULTS: self._store.add_looks,
                CATALOG: self._store.add_catalog,
                HEALTH: self._store.add_health,
                NOTIFICATIONS: self._store.add_notifications,
                DELIVERIES: self._store.add_deliveries,
            }
            add[source[0]]((partition, offset, time, records.value(row)) for offset, time, row in places)
        self._taken[source] = records.end
        self.count("records", len(records))

    async def tick(self) -> None:
        """Write what was added, and publish it, unless nobody waits for it yet."""
        now = monotonic()
        if (self._store.has_news and now >= self._free) or now >= self._due:
            await self._write()

    async def release(self, sources: Iterable[SourcePartition]) -> None:
        """Write what was added, and publish it."""
        await self._write()
        for source in sources:
            self._taken.pop(source, None)

    async def stop(self) -> None:
        """Let another process own the store."""
        await super().stop()
        self._store.close()

    async def _write(self) -> None:
        """One transaction, one snapshot."""
        began, before = monotonic(), process_time()
        await asyncio.to_thread(self._flush_and_publish)
        pause = min((process_time() - before) / SHARE, LONGEST_PAUSE)
        self._free, self._due = began + pause, began + QUIET_SECONDS
        for source, offset in self._taken.items():
            self.durable(source, offset)

    def _flush_and_publish(self) -> None:
        with self._store.told():
            self._store.flush()
            publish(
                self._store,
                self.settings.snapshot,
                self._archive,
                self.settings.archive_keep,
                horizon=self.settings.horizon,
                tolerance=self.settings.tolerance,
            )
