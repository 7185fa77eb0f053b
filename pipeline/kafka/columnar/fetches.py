"""Fetches: the seam to aiokafka, where a fetch response becomes `Records` instead of an object per record.

aiokafka's Fetcher turns each response into one FetchResult per partition, which reads its PartitionRecords only when
the consumer asks for them. We keep the Fetcher as it is, with its positions, errors and back-pressure, and exchange
just that last part, for the topics that want it: after a response has been processed, the PartitionRecords that were
made of it are replaced by `ColumnRecords` over the same bytes. Nothing of aiokafka is rebound or copied, and other
consumers of the process are not touched. What we rely on is in tests/pipeline/kafka/columnar/test_contracts.py.
"""

from collections.abc import Iterator
from time import monotonic
from typing import Any

from aiokafka.consumer.fetcher import Fetcher, FetchResult, PartitionRecords
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.structs import TopicPartition

from pipeline.kafka.clients import IDLE_MS
from schemas.records import Records

QUIET_AFTER = 5.0  # seconds in which no fetch has brought anything


class ColumnRecords(Iterator[Records]):
    """What one response holds of one partition, as slices; stands in for aiokafka's PartitionRecords.

    `next_fetch_offset` is the position behind the slices taken so far: aiokafka goes on there.
    """

    def __init__(  # noqa: PLR0917
        self,
        raw: bytes,
        tp: TopicPartition,
        position: int,
        aborted: list[tuple[int, int]],
        size: int,
        has_keys: bool = False,
    ) -> None:
        from pipeline.kafka.columnar.columns import read_slices  # noqa: PLC0415 (loads the compiler; not all read columns)

        self.next_fetch_offset = position
        self._slices = read_slices(memoryview(raw), tp.topic, tp.partition, position, size, aborted, has_keys)

    def __next__(self) -> Records:
        records = next(self._slices)
        self.next_fetch_offset = records.end
        return records


class Fetches:
    """Makes the fetcher of one started consumer deliver `Records` for the topics named in `columnar`.

    Of those named in `keyed` with their keys (see `columns.read_slices`).

    After a quiet time a fetch waits longer, and for a single record.

    A slice holds up to `slice_bytes` of compressed batches (a single larger batch is a slice of its own).
    """

    def __init__(self, fetcher: Fetcher, slice_bytes: int) -> None:
        self.columnar: frozenset[str] = frozenset()
        self.keyed: frozenset[str] = frozenset()
        self._slice_bytes = slice_bytes
        self._fetcher = fetcher
        self._pace = fetcher._fetch_min_bytes, fetcher._fetch_max_wait_ms
        self._came_at = monotonic()  # when a fetch brought something last
        self._client = fetcher._client
        self._process = fetcher._proc_fetch_request
        self._responses: dict[int, Any] = {}  # by node: a fetcher has one request under way to each
        fetcher._client = self
        fetcher._proc_fetch_request = self._process_fetch_request

    @property
    def is_quiet(self) -> bool:
        """Whether nothing has come for a while."""
        return monotonic() - self._came_at > QUIET_AFTER

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def send(self, node_id: int, request: Any, **arguments: Any) -> Any:
        """The client's send; keeps the answer to a fetch until it has been processed."""
        response = await self._client.send(node_id, request, **arguments)
        if isinstance(request, FetchRequest):
            self._responses[node_id] = response
        return response

    async def _process_fetch_request(self, assignment: Any, node_id: int, request: Any) -> bool:
        needs_wakeup = await self._process(assignment, node_id, request)
        response = self._responses.pop(node_id, None)
        for topic, partitions in response.topics if response is not None else ():
            for partition, _error, _highwater, *_rest, raw in partitions:
                if raw:
                    self._came_at = monotonic()
                if topic in self.columnar:
                    self._exchange(TopicPartition(topic, partition), raw)
        pace = (1, IDLE_MS) if self.is_quiet else self._pace
        self._fetcher._fetch_min_bytes, self._fetcher._fetch_max_wait_ms = pace
        return needs_wakeup

    def _exchange(self, tp: TopicPartition, raw: bytes) -> None:
        result = self._fetcher._records.get(tp)
        if type(result) is not FetchResult or type(result._partition_records) is not PartitionRecords:
            return  # an error, or a response that was discarded because its position is no longer asked for
        theirs = result._partition_records
        result._partition_records = ColumnRecords(
            raw, tp, theirs.next_fetch_offset, theirs._aborted_transactions, self._slice_bytes, tp.topic in self.keyed
        )
