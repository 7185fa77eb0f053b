import asyncio
import struct
from types import SimpleNamespace

import pytest
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.errors import OffsetOutOfRangeError, RecordTooLargeError
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c
from aiokafka.structs import TopicPartition

from pipeline.kafka.clients import IDLE_MS
from pipeline.kafka.columnar import fetches as fetches_module
from pipeline.kafka.columnar.errors import CorruptRecordsError
from pipeline.kafka.columnar.fetches import Fetches

COLUMNS, SINGLE = TopicPartition("columns", 0), TopicPartition("single", 0)


def batch(base, n, value=b"1"):
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, 0, 0, 1 << 20)
    for delta in range(n):
        builder.append(delta, 1_000, None, value, [])
    raw = builder.build()
    struct.pack_into(">q", raw, 0, base)
    return bytes(raw)


class Client:
    """A client whose broker gives the answers it was given, one per request."""

    def __init__(self):
        self._loop = asyncio.get_running_loop()
        self._metadata_max_age_ms = 1_000
        self.cluster = SimpleNamespace(leader_for_partition=lambda _: 1)
        self.answers = asyncio.Queue()
        self.asked = []  # for how many bytes each fetch waits, and how long (ms)

    async def send(self, node_id, request):
        assert node_id == 1
        assert isinstance(request, FetchRequest)
        self.asked.append((request._min_bytes, request._max_wait_ms))
        topics = await self.answers.get()
        return SimpleNamespace(API_VERSION=11, topics=topics)

    def answer(self, *partitions):
        """(tp, error, aborted, records) of each partition."""
        self.answers.put_nowait(
            [
                (tp.topic, [(tp.partition, error, 100, 100, 0, aborted, -1, raw)])
                for tp, error, aborted, raw in partitions
            ]
        )


def fetching(test, slice_bytes=1 << 20):
    """Run `test(client, fetcher, state)` with a fetcher whose position in both partitions is 10."""

    async def run():
        subscriptions = SubscriptionState()
        subscriptions.assign_from_user([COLUMNS, SINGLE])
        for tp in (COLUMNS, SINGLE):
            subscriptions.seek(tp, 10)
        client = Client()
        fetcher = Fetcher(client, subscriptions, auto_offset_reset="none", isolation_level="read_committed")
        fetches = Fetches(fetcher, slice_bytes)
        fetches.columnar = frozenset([COLUMNS.topic])
        try:
            await asyncio.wait_for(test(client, fetcher, subscriptions.subscription.assignment), 10)
        finally:
            await fetcher.close()

    asyncio.run(run())


async def fetched(fetcher, tps=(COLUMNS, SINGLE), slices=None):
    return await fetcher.fetched_records(set(tps), timeout=5, max_records=slices)


def test_only_the_topics_that_want_columns_get_them():
    async def test(client, fetcher, assignment):
        client.answer((COLUMNS, 0, None, batch(8, 5)), (SINGLE, 0, None, batch(8, 5)))

        got = await fetched(fetcher)

        (records,) = got[COLUMNS]
        assert (records.begin, records.end, records.offset.tolist()) == (10, 13, [10, 11, 12])
        assert [record.offset for record in got[SINGLE]] == [10, 11, 12]
        assert [assignment.state_value(tp).position for tp in (COLUMNS, SINGLE)] == [13, 13]

    fetching(test)


def test_after_a_quiet_time_a_fetch_waits_long_and_for_one_record_until_one_comes(monkeypatch):
    monkeypatch.setattr(fetches_module, "QUIET_AFTER", 0.05)

    async def test(client, fetcher, _):
        await asyncio.sleep(0.1)
        client.answer((COLUMNS, 0, None, b""))
        client.answer((COLUMNS, 0, None, batch(10, 1)))

        await fetched(fetcher)

        assert client.asked[:2] == [(1, 500), (1, IDLE_MS)]
        assert fetcher._fetch_max_wait_ms == 500

    fetching(test)


def test_slices_of_one_response_are_given_out_one_after_the_other():
    async def test(client, fetcher, assignment):
        client.answer((COLUMNS, 0, None, batch(10, 2) + batch(12, 2)))
        client.answer((COLUMNS, 0, None, batch(14, 1)))

        slices, positions = [], []
        for _ in range(3):
            slices += (await fetched(fetcher, slices=1))[COLUMNS]
            positions.append(assignment.state_value(COLUMNS).position)

        assert [(records.begin, records.end) for records in slices] == [(10, 12), (12, 14), (14, 15)]
        assert positions == [12, 14, 15]

    fetching(test, slice_bytes=1)


def test_aborted_transactions_are_passed_over():
    async def test(client, fetcher, _):
        raw = bytearray(batch(10, 2))
        struct.pack_into(">h", raw, 21, 0x10)
        struct.pack_into(">q", raw, 43, 77)
        struct.pack_into(">I", raw, 17, calc_crc32c(bytes(raw[21:])))
        client.answer((COLUMNS, 0, [(77, 10)], bytes(raw) + batch(12, 1)))

        (records,) = (await fetched(fetcher))[COLUMNS]

        assert (records.offset.tolist(), records.begin, records.end) == ([12], 10, 13)

    fetching(test)


def test_a_response_to_a_position_that_was_left_meanwhile_is_discarded():
    async def test(client, fetcher, _):
        await asyncio.sleep(0.05)  # the request for offset 10 is under way
        fetcher.seek_to(COLUMNS, 20)
        client.answer((COLUMNS, 0, None, batch(10, 5)))
        client.answer((COLUMNS, 0, None, batch(20, 1)))

        (records,) = (await fetched(fetcher))[COLUMNS]

        assert (records.begin, records.end) == (20, 21)

    fetching(test)


@pytest.mark.parametrize(
    ("error", "raw", "raised"),
    [
        (1, b"", OffsetOutOfRangeError),
        (0, batch(10, 1)[:-1], RecordTooLargeError),
        (0, batch(10, 1)[:-1] + b"\xff", CorruptRecordsError),
    ],
    ids=["out of range", "larger than the fetch", "damaged"],
)
def test_an_error_reaches_whoever_asks_for_records(error, raw, raised):
    async def test(client, fetcher, _):
        client.answer((COLUMNS, error, None, raw))

        with pytest.raises(raised):
            await fetched(fetcher)

    fetching(test)
