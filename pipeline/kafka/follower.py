"""Follower: reads every record of a topic from its start, without a group, and knows when it has caught up."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from math import inf
from time import monotonic
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import UnknownTopicOrPartitionError

from pipeline.errors import PeekproofError
from pipeline.kafka.clients import IDLE_MS, aiokafka_arguments
from pipeline.kafka.columnar.fetches import Fetches
from pipeline.kafka.connection import METADATA_MS
from pipeline.kafka.set_aside import SetAside
from pipeline.settings import Settings
from schemas.topics import MAX_MESSAGE_BYTES

SLICE_BYTES, GATHERING_MS = 1 << 20, 500  # a fetch by columns waits for so much, or so long
FIRST_MS = 1_000  # for records, until it is known where those begin that the topic has

Read = Callable[[Any], None]  # of a ConsumerRecord; of Records, where a topic is read by columns


class Follower:
    """Calls `read` for each record of a topic, in the order of each partition, for as long as it runs.

    A partition that is added meanwhile is read too. `from_end`: for those only that come after its start; `since`: that
    were appended at that time (ms UTC) or after it. `columnar`: for each slice of records, as columns, that came within
    `gathering_ms`; with their keys where it `has_keys`. A record of which `read` raises NoMessageError is set aside.
    Another error of it, or of the client, ends the following; `caught_up` then raises it.
    """

    def __init__(
        self,
        settings: Settings,
        topic: str,
        read: Read,
        aside: SetAside,
        *,
        from_end: bool = False,
        since: int | None = None,
        columnar: bool = False,
        has_keys: bool = False,
        gathering_ms: int = GATHERING_MS,
    ) -> None:
        self._topic = settings.topic(topic)
        self._name = topic
        self._read = read
        self._aside = aside
        self._settings = settings
        self._begin = "latest" if from_end else "earliest"
        self._since = since
        self._columnar = columnar
        self._has_keys = has_keys
        self._gathering_ms = gathering_ms
        self._consumer: AIOKafkaConsumer
        self._asking: AIOKafkaConsumer  # a connection of its own: a question waits behind a fetch that waits for news
        self._position: dict[TopicPartition, int] = {}
        self._reading: asyncio.Task[None] | None = None
        self._progress = asyncio.Condition()
        self._checking = asyncio.Lock()
        self._next_check: asyncio.Task[None] | None = None
        self._checked = 0.0  # when the last check that succeeded began

    @property
    def positions(self) -> dict[int, int]:
        """Up to where each partition has been read."""
        return {place.partition: offset for place, offset in self._position.items()}

    @property
    def failure(self) -> BaseException | None:
        """What ended the following, if something did."""
        reading = self._reading
        return reading.exception() if reading and reading.done() and not reading.cancelled() else None

    async def start(self, begins: Mapping[int, int] | None = None) -> None:
        """Begin to read, and return once everything that the topic held has been read, or what it holds from where it
        `begins` in some partitions.
        """
        self._consumer = AIOKafkaConsumer(
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset=self._begin,
            max_partition_fetch_bytes=MAX_MESSAGE_BYTES,
            fetch_max_bytes=4 * MAX_MESSAGE_BYTES,
            fetch_min_bytes=SLICE_BYTES if self._columnar else 1,
            fetch_max_wait_ms=self._gathering_ms if self._columnar else IDLE_MS,
            consumer_timeout_ms=IDLE_MS,
            metadata_max_age_ms=METADATA_MS,
            **aiokafka_arguments(self._settings),
        )
        self._asking = AIOKafkaConsumer(group_id=None, **aiokafka_arguments(self._settings))
        try:
            await self._asking.start()
            await self._consumer.start()
            if self._columnar:
                fetches = Fetches(self._consumer._fetcher, SLICE_BYTES)
                fetches.columnar = frozenset([self._topic])
                fetches.keyed = fetches.columnar if self._has_keys else frozenset()
            try:
                self._take(await self._consumer._client._wait_on_metadata(self._topic))
            except UnknownTopicOrPartitionError:
                raise PeekproofError(f"topic '{self._topic}' does not exist; `peekproof topics` creates it") from None
            if self._since is not None:
                await self._seek(self._since)
            for number, offset in (begins or {}).items():
                self._consumer.seek(TopicPartition(self._topic, number), offset)
            self._reading = asyncio.create_task(self._follow(), name=f"follow {self._topic}")
            await self.caught_up()
        except BaseException:
            await self._disconnect()
            raise

    async def caught_up(self, since: float = inf) -> None:
        """Return when everything appended before this call has been read, or before `since` (`monotonic`, seconds).

        One look at the end serves many callers.
        """
        if since < self._checked:
            return
        if self._next_check is None:
            self._next_check = asyncio.create_task(self._check())
        await asyncio.shield(self._next_check)

    async def stop(self) -> None:
        """Stop reading."""
        if self._reading is not None:
            await self._disconnect()

    async def _disconnect(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
        # Without a broker the client cancels its own fetch, and raises that as if we had been cancelled.
        await asyncio.gather(self._consumer.stop(), self._asking.stop(), return_exceptions=True)

    async def _check(self) -> None:
        async with self._checking:
            self._next_check = None  # a later caller needs an end that is asked for later
            began = monotonic()
            ends = await self._asking.end_offsets(self._consumer.assignment())
            async with self._progress:
                await self._progress.wait_for(lambda: self._failed() or self._has_read(ends))
            if self._failed() and self._reading is not None:
                await self._reading
            self._checked = began

    def _failed(self) -> bool:
        return self._reading is None or self._reading.done()

    def _has_read(self, ends: dict[TopicPartition, int]) -> bool:
        return all(self._position.get(partition, 0) >= end for partition, end in ends.items())

    def _take(self, numbers: Iterable[int]) -> None:
        """Read these partitions: of those that it reads already, on from where it is."""
        self._consumer.assign([TopicPartition(self._topic, number) for number in numbers])
        if self._position:
            for partition in self._consumer.assignment():
                self._consumer.seek(partition, self._position.get(partition, 0))

    async def _seek(self, since: int) -> None:
        places = self._consumer.assignment()
        ends = await self._asking.end_offsets(places)
        found = await self._asking.offsets_for_times(dict.fromkeys(places, since))
        for place in places:
            self._consumer.seek(place, found[place].offset if found[place] else ends[place])

    async def _follow(self) -> None:
        try:
            while True:
                # At first its positions are not known; then only news moves them.
                patience = IDLE_MS if self._position else FIRST_MS
                fetched = await self._consumer.getmany(timeout_ms=patience, max_records=1 if self._columnar else None)
                for record in chain.from_iterable(fetched.values()):
                    if self._columnar:
                        self._read(record)
                        continue
                    with self._aside.unless_ours(self._name, record.partition, record.offset):
                        self._read(record)
                for partition in self._consumer.assignment():
                    self._position[partition] = await self._consumer.position(partition)
                numbers = self._consumer.partitions_for_topic(self._topic) or ()
                if len(numbers) > len(self._consumer.assignment()):
                    self._take(numbers)
                async with self._progress:
                    self._progress.notify_all()
        finally:
            async with self._progress:
                self._progress.notify_all()
