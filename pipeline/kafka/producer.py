"""Producer: the client that a stage sends with, directly. Idempotent, acknowledged by all replicas, in order.

It compresses by itself, so that each topic gets the codec that its readers know, at the level that is worth its time:
the client's own LZ4 takes 7 to 30 times as long to save a tenth or two, and its gzip 6 to 9 times.
"""

import asyncio
import random
import struct
import zlib
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from math import inf
from typing import Any

import cramjam
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.producer.message_accumulator import BatchBuilder, MessageAccumulator, MessageBatch
from aiokafka.record.util import calc_crc32c

from pipeline.kafka.clients import aiokafka_arguments
from pipeline.settings import Settings
from schemas.topics import MAX_MESSAGE_BYTES, OPEN

BATCH_BYTES = 1_000_000
GZIP, LZ4 = 1, 3  # as the attributes of a batch name them
LEVEL = 1
# Where a batch has its length, its checksum (over all that follows), its attributes and its records.
_LENGTH, _CHECKSUM, _ATTRIBUTES, _RECORDS = 8, 17, 21, 61

KafkaRecord = tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]  # key, value, headers


def create_producer(settings: Settings) -> AIOKafkaProducer:
    """A producer; it must be created while the event loop runs, and started."""
    producer = AIOKafkaProducer(
        acks="all",
        enable_idempotence=True,
        max_batch_size=BATCH_BYTES,
        max_request_size=MAX_MESSAGE_BYTES,
        partitioner=_partition,
        **aiokafka_arguments(settings),
    )
    # A broker that comes back leads nothing at first. A batch that had waited for 40 s would then be dropped, and all
    # behind it be refused for ever, as its numbers are missing.
    producer._message_accumulator._batch_ttl = inf
    producer._message_accumulator.__class__ = _Accumulator  # the client makes it, and lets nobody else
    return producer


@asynccontextmanager
async def producing(settings: Settings) -> AsyncIterator[AIOKafkaProducer]:
    """A producer that has started; closed at the end, and where it could not start."""
    producer = create_producer(settings)
    try:
        await producer.start()
        yield producer
    finally:
        await producer.stop()


class _Accumulator(MessageAccumulator):  # type: ignore[misc]
    """Gathers batches that are compressed for the readers of their topic."""

    def create_builder(self, *_: Any, **__: Any) -> "_Batch":
        return _Batch(self._batch_size, 0)

    def _append_batch(self, builder: "_Batch", tp: TopicPartition) -> MessageBatch:
        builder.codec = GZIP if tp.topic.rpartition(".")[2] in OPEN else LZ4
        return super()._append_batch(builder, tp)


class _Batch(BatchBuilder):  # type: ignore[misc]
    """One batch of records, which is compressed when it is sent for the first time."""

    codec = LZ4
    _buffer: bytes | None

    def _build(self) -> bytes:
        if self._buffer is None:
            self._buffer = compressed(bytes(super()._build()), self.codec)
        return self._buffer


def compressed(batch: bytes, codec: int) -> bytes:
    """A batch that isn't compressed, compressed; as it is where that makes it no smaller."""
    records = _compress(batch[_RECORDS:], codec)
    if len(records) >= len(batch) - _RECORDS:
        return batch
    (attributes,) = struct.unpack_from(">h", batch, _ATTRIBUTES)
    sealed = struct.pack(">h", attributes | codec) + batch[_ATTRIBUTES + 2 : _RECORDS] + records
    length = struct.pack(">i", _ATTRIBUTES + len(sealed) - _LENGTH - 4)
    checksum = struct.pack(">I", calc_crc32c(sealed))
    return batch[:_LENGTH] + length + batch[_LENGTH + 4 : _CHECKSUM] + checksum + sealed


def _compress(records: bytes, codec: int) -> bytes:
    if codec == GZIP:
        return zlib.compress(records, LEVEL, zlib.MAX_WBITS | 16)
    frame = cramjam.lz4.Compressor(level=LEVEL, content_checksum=False, block_linked=False)  # as brokers read it
    frame.compress(records)
    return bytes(frame.finish())


def partition_of(key: bytes, partitions: int) -> int:
    """Where our producers send a key. (The client hashes in Python, which takes longer than the rest of a record.)"""
    return zlib.crc32(key) % partitions


def _partition(key: bytes | None, every: list[int], available: list[int]) -> int:
    return random.choice(available or every) if key is None else partition_of(key, len(every))


async def send_many(
    producer: AIOKafkaProducer, topic: str, records: Iterable[KafkaRecord]
) -> list[asyncio.Future[object]]:
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


def batches(producer: AIOKafkaProducer, records: Sequence[KafkaRecord]) -> Iterator[tuple[Any, slice]]:
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
