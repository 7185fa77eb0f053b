"""Bookmark: from where on to read `results` for the newest look of each run, so that nobody reads the weeks before.

Significance keeps it as the committed offsets of a group without members: everything from there on is to be read, and
beside it stands where the newest looks are that came before. A bookmark that is old, or lost, only has more read.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord, OffsetAndMetadata, TopicPartition

from pipeline.kafka.clients import aiokafka_arguments
from pipeline.settings import Settings
from schemas.topics import RESULTS

GROUP = "looks"
NEAR = 500  # records before the end that are read one after the other
MOST_BEFORE = 300  # places of looks before them: a broker takes 4,096 characters beside an offset
FETCH_BYTES = 1 << 16


class Bookmark(NamedTuple):
    """Of one partition: everything from `begin` on is to be read, and the records at `before`."""

    begin: int
    before: tuple[int, ...]


def bookmark(position: int, newest: Iterable[int]) -> Bookmark:
    """Of a partition that is read up to `position`, where the runs' newest looks stand at these offsets."""
    begin = max(0, position - NEAR)
    before = sorted(offset for offset in newest if offset < begin)
    return Bookmark(before[MOST_BEFORE] if len(before) > MOST_BEFORE else begin, tuple(before[:MOST_BEFORE]))


class BookmarkWriter:
    """Connects when there is something to keep."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._consumer: AIOKafkaConsumer | None = None
        self._kept: dict[int, Bookmark] = {}

    async def keep(self, bookmarks: Mapping[int, Bookmark]) -> None:
        """Keep those that are new, by partition."""
        topic = self._settings.topic(RESULTS)
        news = {
            TopicPartition(topic, number): each for number, each in bookmarks.items() if self._kept.get(number) != each
        }
        if not news:
            return
        if self._consumer is None:
            self._consumer = _consumer(self._settings)
            await self._consumer.start()
        places = [TopicPartition(topic, number) for number in bookmarks]
        if {*places} != self._consumer.assignment():
            self._consumer.assign(places)
            self._consumer.pause(*places)
        said = {place: msgspec.json.encode(each.before).decode() for place, each in news.items()}
        await self._consumer.commit({place: OffsetAndMetadata(each.begin, said[place]) for place, each in news.items()})
        self._kept = dict(bookmarks)

    async def stop(self) -> None:
        """Disconnect."""
        if self._consumer is not None:
            await self._consumer.stop()


async def newest_looks(settings: Settings) -> tuple[dict[int, int], list[ConsumerRecord]]:
    """From where on to read partitions of `results`, and the records before that are newest looks.

    Of a partition of which nothing is known everything is to be read.
    """
    begins, records = dict[int, int](), list[ConsumerRecord]()
    topic = settings.topic(RESULTS)
    async with _consumer(settings) as consumer:
        places = [TopicPartition(topic, number) for number in await consumer._client._wait_on_metadata(topic)]
        kept = await consumer._coordinator.fetch_committed_offsets(places)
        ends = await consumer.end_offsets(places)
        for place, each in kept.items():
            if not 0 <= each.offset <= ends[place]:
                continue
            begins[place.partition] = each.offset
            consumer.assign([place])
            for offset in msgspec.json.decode(each.metadata, type=list[int]):
                consumer.seek(place, offset)
                records.append(await consumer.getone(place))
    return begins, records


def _consumer(settings: Settings) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(
        group_id=settings.group(GROUP),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=FETCH_BYTES,
        **aiokafka_arguments(settings),
    )
