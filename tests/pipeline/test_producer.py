"""Batches of a producer: every record once, in order, however large."""

import asyncio

from aiokafka import TopicPartition

from pipeline.producer import BATCH_BYTES, batches, create_producer
from pipeline.settings import Settings


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
