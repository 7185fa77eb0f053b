"""Reading: the records of a topic, from its start, without a group. For commands; the stages have the follower."""

import asyncio
from collections.abc import Callable, Iterator
from time import monotonic
from typing import TYPE_CHECKING, Any

from pipeline.errors import PeekproofError
from pipeline.kafka.clients import kafka_python_arguments
from pipeline.kafka.connection import METADATA_MS, WATCH_SECONDS, answering, connect, remain
from pipeline.settings import Settings
from schemas.topics import MAX_MESSAGE_BYTES

if TYPE_CHECKING:
    from kafka.consumer.fetcher import ConsumerRecord


def read_topic(
    settings: Settings,
    topic: str,
    follow: bool = False,
    caught_up: Callable[[], None] = lambda: None,
    since: int = 0,
) -> Iterator["ConsumerRecord"]:
    """Every record that the topic holds now, each partition in order; then `caught_up` is called, and with `follow`
    those that come follow. `since`: from the first one on that is of that time (ms UTC) or later.

    Raises PeekproofError where Kafka doesn't let us in, or no longer does, and where the topic doesn't exist.
    """
    from kafka import KafkaConsumer, TopicPartition  # noqa: PLC0415 (slow to import)

    name = settings.topic(topic)
    asyncio.run(connect(settings))
    with answering(settings):
        consumer = KafkaConsumer(
            **kafka_python_arguments(settings),
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            metadata_max_age_ms=METADATA_MS,
            max_partition_fetch_bytes=MAX_MESSAGE_BYTES,
        )
        try:
            numbers = consumer.partitions_for_topic(name)
            if not numbers:
                raise PeekproofError(f"topic '{name}' does not exist; `peekproof topics` creates it")
            places = [TopicPartition(name, number) for number in sorted(numbers)]
            consumer.assign(places)
            consumer.seek_to_beginning(*places)
            ends = consumer.end_offsets(places)
            if since:
                found = consumer.offsets_for_times(dict.fromkeys(places, since))
                for place in places:
                    consumer.seek(place, found[place].offset if found.get(place) else ends[place])
            heard = monotonic()
            is_behind = True
            while True:
                if is_behind:
                    is_behind = any(
                        (consumer.position(place, timeout_ms=500) or 0) < end for place, end in ends.items()
                    )
                    if not is_behind:
                        caught_up()
                if not (is_behind or follow):
                    return
                there = consumer.partitions_for_topic(name) or ()
                if follow and len(there) > len(places):
                    places = [TopicPartition(name, number) for number in sorted(there)]
                    consumer.assign(places)  # of those that it has it goes on
                found = consumer.poll(timeout_ms=500)
                if found:
                    heard = monotonic()
                elif monotonic() - heard > WATCH_SECONDS:  # quiet, or away: the client tells nobody
                    asyncio.run(remain(settings))
                    heard = monotonic()
                for place, records in found.items():
                    yield from (record for record in records if follow or record.offset < ends[place])
        finally:
            consumer.close()


def newest_times(settings: Settings, topic: str) -> dict[bytes, int]:
    """The append time (ms UTC) of the newest record of each key."""
    times: dict[bytes, int] = {}
    for record in read_topic(settings, topic):
        times[record.key] = max(record.timestamp, times.get(record.key, 0))
    return times


def headers_of(record: Any) -> list[tuple[str, bytes]]:
    """The record's headers; a header without value has an empty one."""
    return [(name, value or b"") for name, value in record.headers or ()]
