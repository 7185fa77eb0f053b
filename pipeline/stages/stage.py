"""Stage: one step of the pipeline, as its worker drives it. The stages override what concerns them."""

import asyncio
from collections.abc import Callable, Iterable
from typing import ClassVar

from aiokafka import AIOKafkaProducer

from evaluation.catalog.logs import LogsInForce
from evaluation.catalog.reading import Reading, readings
from pipeline.catalog.topic import CatalogReader
from pipeline.kafka.logs import ClusterTopics
from pipeline.kafka.producer import create_producer
from pipeline.kafka.set_aside import SetAside
from pipeline.settings import Settings
from schemas.logs import Gap
from schemas.records import Records
from schemas.recount import RecountHealth
from schemas.topics import SourcePartition

Durable = Callable[[SourcePartition, int], None]


class Stage:
    """The worker calls, for each partition that the group gives it:

    1. `start_position`, then `begin` with the offset that the first slice will have (between them perhaps `skip`);
    2. `take` with each slice, one after the other;
    3. `reach` about once a second, less often where nothing comes, with a broker's time, unless it lies behind; then
       `beat`;
    4. `release` before the partition goes to another worker, or the worker stops.

    Offsets are those of the installation: Kafka's, unless a topic was made anew (see schemas.logs).

    One call at a time. The stage calls `durable(source, offset)` when nothing before that offset needs to be read
    again, and `heard()` when the catalog has news. An exception ends the worker; nothing is skipped.
    """

    name: ClassVar[str]
    topics: ClassVar[tuple[str, ...]]
    tick_seconds: ClassVar[float] = 1.0
    # What the stage keeps lies in a directory of its own, with how far it reaches: every worker takes every partition.
    is_whole: ClassVar[bool] = False
    # A fetch waits for so many bytes or ms. What stages send is gathered already: it is fetched at once.
    fetch_min_bytes: ClassVar[int] = 1
    fetch_wait_ms: ClassVar[int] = 500
    # Of the process: above 0 it leaves a busy processor to the stages that results wait for.
    niceness: ClassVar[int] = 0
    follows_catalog: ClassVar[bool] = True  # else it is read at the start only
    quiet_after: ClassVar[float] = 5.0  # seconds in which nothing has come, after which `beat` comes seldom
    reads_sources: ClassVar[bool] = False  # beside its topics those of the catalog's sources, while they are some

    durable: Durable
    heard: Callable[[], None] = staticmethod(lambda: None)

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.counts: dict[str, int] = {}
        self.aside = SetAside(count=self.count)
        self.catalog = CatalogReader(settings, self.aside, lambda: self.heard())  # noqa: PLW0108 (it is given later)
        self.producer: AIOKafkaProducer

    async def start(self) -> None:
        """Connect, and read the catalog, before the first partition is given."""
        self.producer = create_producer(self.settings)
        await self.producer.start()
        await self.catalog.start()

    @property
    def logs(self) -> LogsInForce | None:
        """Which logs the installation's offsets belong to; None: that was not noted yet."""
        return self.catalog.history.newest.logs

    def readings(self) -> dict[str, Reading]:
        """The topics that are not ours and that are to be read now."""
        return readings(self.catalog.history, self.settings.horizon) if self.reads_sources else {}

    async def belong(self, found: ClusterTopics) -> None:
        """The logs that there are, called once after `start`. Raises LogError where a state belongs to others."""

    def find(self, found: ClusterTopics) -> None:
        """The logs that there are now, of our topics and of those that are not ours."""

    async def start_position(self, source: SourcePartition, earliest: int) -> int | None:
        """The offset to begin at; None for the group's committed one. `earliest` is the first that the log has.

        What lies before it is missing: the worker stops, unless somebody accepted the gap (`skip`). Of a topic that is
        not ours, `earliest` is where its sources begin.
        """
        del source, earliest
        return None

    async def skip(self, gap: Gap, end: int) -> None:
        """The log holds nothing before `end`, and the gap was accepted: go on there."""

    def begin(self, source: SourcePartition, offset: int) -> None:
        """Slices of this partition follow, the first of them beginning at `offset`."""

    async def take(self, source: SourcePartition, records: Records) -> None:
        """Work on one slice.

        Raises RegistryError, with nothing done, where somebody outside must answer first: the slice comes again.
        """
        raise NotImplementedError

    def reach(self, source: SourcePartition, time: int) -> None:
        """Everything appended to this partition before `time` (ms UTC, a broker's) has been taken."""

    def watermark(self, source: SourcePartition) -> int:
        """The append time that this partition has reached (ms UTC); 0 where the stage keeps none."""
        del source
        return 0

    def recounts(self) -> list[RecountHealth]:
        """Of the stage that has runs counted again: how far each is."""
        return []

    async def beat(self, time: int) -> None:
        """Called about once a second, after `reach`; it is at least this time (ms UTC, a broker's)."""

    async def tick(self) -> None:
        """Called every `tick_seconds`."""

    async def release(self, sources: Iterable[SourcePartition]) -> None:
        """Make durable what was taken of these partitions, and forget them."""

    async def stop(self) -> None:
        """Disconnect, after every partition was released."""
        await self.catalog.stop()
        await self.producer.stop()

    def count(self, what: str, number: int) -> None:
        """Add to a total that the worker's health shows."""
        self.counts[what] = self.counts.get(what, 0) + number

    async def send_all(self, messages: Iterable[tuple[str, bytes | None, bytes | None, int | None]]) -> None:
        """Send (topic, key, value, partition), and return when every broker has acknowledged; an error is raised."""
        sent = [
            await self.producer.send(self.settings.topic(topic), value, key=key, partition=partition)
            for topic, key, value, partition in messages
        ]
        await asyncio.gather(*sent)
