"""Sample: the newest records of a topic that is not ours, read without a group, and without leaving a trace."""

from collections.abc import AsyncIterator, Iterable

from aiokafka import AIOKafkaConsumer, TopicPartition

from evaluation.catalog.near import near
from pipeline.errors import PeekproofError
from pipeline.kafka.clients import aiokafka_arguments
from pipeline.kafka.columnar.fetches import Fetches
from pipeline.kafka.connection import attended
from pipeline.kafka.logs import NO_TOPIC, LogWatch
from pipeline.settings import Settings
from schemas.records import Records
from schemas.topics import MAX_MESSAGE_BYTES

SLICE_BYTES = 1 << 20
PATIENCE_MS = 2_000  # for what lies before the end, and may be an open transaction


async def newest(settings: Settings, topic: str, number: int) -> list[Records]:
    """The last so many records of each partition of a topic (with `@`), in slices, with their keys.

    Raises PeekproofError where there is no such topic, or we may not read it.
    """
    async with attended(settings):
        await require_readable(settings, topic)
        consumer = AIOKafkaConsumer(
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            max_partition_fetch_bytes=MAX_MESSAGE_BYTES,
            **aiokafka_arguments(settings),
        )
        await consumer.start()
        try:
            return [each.moved(topic, 0) async for each in _last(consumer, settings.topic(topic), number)]
        finally:
            await consumer.stop()


async def require_readable(settings: Settings, topic: str) -> None:
    """Raises PeekproofError where there is no such topic (with `@`), or we may not read it."""
    if fault := (await faults_of(settings, [topic])).get(topic):
        raise PeekproofError(f"topic '{settings.topic(topic)}': {fault}")


async def faults_of(settings: Settings, topics: Iterable[str]) -> dict[str, str]:
    """Why some of these topics (with `@`) cannot be read; of one that is not there, which others may be meant."""
    watch = LogWatch(settings)
    try:
        faults = (await watch.look(topics))[1]
        if NO_TOPIC not in faults.values():
            return faults
        names = await watch.names()
        alike = {topic: near(settings.topic(topic), names) for topic, why in faults.items() if why == NO_TOPIC}
        return faults | {topic: f"{NO_TOPIC}; near: {', '.join(found)}" for topic, found in alike.items() if found}
    finally:
        watch.close()


async def _last(consumer: AIOKafkaConsumer, name: str, number: int) -> AsyncIterator[Records]:
    """What there is now of the last so many of each partition."""
    fetches = Fetches(consumer._fetcher, SLICE_BYTES)
    fetches.columnar = fetches.keyed = frozenset([name])
    tps = [TopicPartition(name, each) for each in await consumer._client._wait_on_metadata(name)]
    begins, ends = await consumer.beginning_offsets(tps), await consumer.end_offsets(tps)
    consumer.assign(tps)
    for tp in tps:
        consumer.seek(tp, max(begins[tp], ends[tp] - number))
    left = {tp for tp in tps if begins[tp] < ends[tp]}
    while left and (fetched := await consumer.getmany(*left, timeout_ms=PATIENCE_MS, max_records=1)):
        for tp, slices in fetched.items():
            for records in slices:
                if len(records):
                    yield records
                if records.end >= ends[tp]:
                    left.discard(tp)
