"""Producer: the client that a stage sends with, directly. Idempotent, acknowledged by all replicas, in order."""

import asyncio
import random
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from math import inf
from typing import Any

from aiokafka import AIOKafkaProducer

from pipeline.settings import Settings
from schemas.topics import MAX_MESSAGE_BYTES

BATCH_BYTES = 1_000_000

Record = tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]  # key, value, headers


def create_producer(settings: Settings) -> AIOKafkaProducer:
    """A producer; it must be created while the event loop runs, and started."""
    producer = AIOKafkaProducer(
        acks="all",
        enable_idempotence=True,
        compression_type="lz4",
        max_batch_size=BATCH_BYTES,
        max_request_size=MAX_MESSAGE_BYTES,
        partitioner=_partition,
        **settings.aiokafka_arguments(),
    )
    # A broker that comes back leads nothing at first. A batch that had waited for 40 s would then be dropped, and all
    # behind it be refused for ever, as its numbers are missing.
    producer._message_accumulator._batch_ttl = inf
    return producer


def partition_of(key: bytes, partitions: int) -> int:
    """Where our producers send a key. (The client hashes in Python, which takes longer than the rest of a record.)"""
    return zlib.crc32(key) % partitions


def _partition(key: bytes | None, every: list[int], available: list[int]) -> int:
    return random.choice(available or every) if key is None else partition_of(key, len(every))


async def send_many(producer: AIOKafkaProducer, topic: str, records: Iterable[Record]) -> list[asyncio.Future[object]]:
    """Send many small records, where their keys say, those without one together; the acknowledgements to wait for."""
    every = sorted(await producer.partitions_for(topic))
    anywhere = random.choice(every)
    spread = defaultdict(list)
    for record in records:
        spread[anywhere if record[0] is None else partition_of(record[0], len(every))].append(record)
    return [
        await producer.send_batch(batch, topic, partition=number)
        for number, of_partition in spread.items()
        for batch, _ in batches(producer, of_partition)
    ]


def batches(producer: AIOKafkaProducer, records: Sequence[Record]) -> Iterator[tuple[Any, slice]]:
    """The records of one partition as `send_batch` takes them, and which ones each holds.

    The client's `send` takes some 100 us for a record; this takes a tenth.
    """
    begin = end = 0
    while begin < len(records):
        batch = producer.create_batch()
        while end < len(records):
            key, value, headers = records[end]
            if batch.append(key=key, value=value, timestamp=None, headers=headers) is None:
                break  # it is full; a first record is taken however large
            end += 1
        batch.close()
        yield batch, slice(begin, end)
        begin = end
