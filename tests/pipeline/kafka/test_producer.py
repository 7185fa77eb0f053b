"""Batches of a producer: every record once, in order, however large, and compressed as its readers know."""

import asyncio
import os
from collections.abc import Iterator

import pytest
from aiokafka import TopicPartition
from aiokafka.conn import create_conn
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.record import MemoryRecords

from pipeline.kafka.producer import BATCH_BYTES, GZIP, LZ4, batches, compressed, create_producer, send_many
from pipeline.settings import Settings
from schemas.topics import OPEN, topics
from tests.conftest import deployed
from tests.pipeline.http import node_clients

NAMES = [topic.name for topic in topics(1)]


def batched(sizes: list[int]) -> list[slice]:
    async def make() -> list[slice]:
        producer = create_producer(Settings(bootstrap_servers="127.0.0.1:1"))  # never started
        return [rows for _, rows in batches(producer, [(b"key", b"x" * size, []) for size in sizes])]

    return asyncio.run(make())


def test_records_that_fit_share_a_batch() -> None:
    assert batched([100] * 1_000) == [slice(0, 1_000)]


def test_a_full_batch_is_followed_by_another() -> None:
    assert batched([BATCH_BYTES // 2 - 100] * 5) == [slice(0, 2), slice(2, 4), slice(4, 5)]


def test_a_record_larger_than_a_batch_has_one_of_its_own() -> None:
    assert batched([10, 2 * BATCH_BYTES, 10]) == [slice(0, 1), slice(1, 2), slice(2, 3)]


def test_no_record_makes_no_batch() -> None:
    assert batched([]) == []


def test_a_batch_outlives_the_time_in_which_no_broker_leads_its_partition() -> None:
    async def wait() -> None:
        gathered = create_producer(Settings(bootstrap_servers="127.0.0.1:1"))._message_accumulator
        sent = await gathered.add_message(TopicPartition("events", 0), None, b"{}", timeout=1)
        (batch,) = gathered._batches[TopicPartition("events", 0)]
        batch._ctime -= 3_600

        assert gathered.drain_by_nodes(ignore_nodes=()) == ({}, True)
        assert not sent.done()

    asyncio.run(wait())


def built(values: list[bytes], codec: int) -> bytes:
    """A batch of records as it is sent."""

    async def make() -> bytes:
        producer = create_producer(Settings(bootstrap_servers="127.0.0.1:1"))
        ((batch, _),) = batches(producer, [(b"key", value, [("header", b"h")]) for value in values])
        batch.codec = codec
        batch._set_producer_state(7, 1, 3)
        return bytes(batch._build())

    return asyncio.run(make())


@pytest.mark.parametrize("codec", [GZIP, LZ4])
def test_a_compressed_batch_holds_the_same(codec: int) -> None:
    values = [b'{"event_type":"purchase","user_id":"u%d"}' % number for number in range(1_000)]

    sent = built(values, codec)

    assert len(sent) < sum(map(len, values)) / 2
    batch = MemoryRecords(sent).next_batch()
    assert batch.compression_type == codec
    assert (batch.producer_id, batch.producer_epoch, batch.base_sequence) == (7, 1, 3)
    assert batch.validate_crc()
    records = [*batch]
    assert [record.value for record in records] == values
    assert {(record.key, *record.headers) for record in records} == {(b"key", ("header", b"h"))}


def test_what_does_not_become_smaller_stays_as_it_is() -> None:
    sent = built([os.urandom(100)], GZIP)

    assert MemoryRecords(sent).next_batch().compression_type == 0
    assert compressed(sent, LZ4) == sent


@pytest.fixture(scope="module")
def said(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A deployment with two records on each of its topics."""
    with deployed(broker, tmp_path_factory.mktemp("said"), units_partitions=1) as settings:
        asyncio.run(say(settings))
        yield settings


async def say(settings: Settings) -> None:
    producer = create_producer(settings)
    await producer.start()
    for name in NAMES:
        topic, value = settings.topic(name), name.encode() * 100
        await producer.send_and_wait(topic, value, key=b"one", partition=0)
        await asyncio.gather(*await send_many(producer, topic, [(b"many", value, [])]))
    await producer.stop()


def test_what_others_read_is_gzip_and_what_stages_read_lz4(said: Settings) -> None:
    async def codecs(name: str) -> set[int]:
        host, port = said.servers().split(":")
        connection = await create_conn(host, int(port))
        partitions = next(topic.partitions for topic in topics(1) if topic.name == name)
        wanted = [(number, 0, 1_000_000) for number in range(partitions)]
        fetched = await connection.send(FetchRequest(100, 1, 1_000_000, 0, [(said.topic(name), wanted)]))
        connection.close()
        found = set()
        for partition in fetched.topics[0][1]:
            records = MemoryRecords(partition[-1])
            while records.has_next():
                found.add(records.next_batch().compression_type)
        return found

    for name in NAMES:
        assert asyncio.run(codecs(name)) == {GZIP if name in OPEN else LZ4}, name


def test_kafkajs_reads_them_with_nothing_installed_beside_it(said: Settings) -> None:
    read = node_clients.ask("reader.cjs", said.servers(), str(2 * len(OPEN)), *map(said.topic, OPEN))

    assert read == {said.topic(name): [name * 100] * 2 for name in OPEN}
