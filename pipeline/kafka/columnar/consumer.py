"""Consumer: Faust's consumer, delivering one slice of one partition as one event.

Theory of operation. Faust keeps what it does well: group membership, rebalances, agents, commits, shutdown. Its client
runs in a thread of its own; `ColumnsThread` reads there (see `fetches`). Topics whose schema is `RecordsSchema` come as
`Records`; others as ever. What differs from stock Faust, beside the speed:

- A position is known for every partition, and each slice must begin exactly there; anything else is a GapError.
  Positions come from the app's `start_position`, else from the group's committed offset, else from the beginning. An
  offset that the log doesn't reach ends the worker: aiokafka's reset to another offset is off.
- Seeks are counted in the client's thread, and every fetch carries the count at which its records were read. So records
  from before a seek are known as such and dropped; those from after it that come when nothing may be taken are given
  back, so that they come again. (Stock Faust loses what it fetched while a rebalance ended:
  https://github.com/faust-streaming/faust/issues/596.)
- The committed offset is the end of the slices acknowledged without a hole, in the order of delivery: one that is not
  acknowledged is never stepped over, and compacted offsets need no tracking.
- When partitions are revoked, the app releases them first, then what it acknowledged is committed, then it is forgotten
  (stock Faust forgets first).
- Topics are taken up and left while the worker runs (`change`): by a rebalance of the group like any other, so that
  nothing is lost or taken twice by it. (A new subscription of the client would forget the assignment first, and with it
  what was not committed yet.)
- Transactional records are read when committed, and `end_offsets` are those of the log, open transactions included: a
  partition with an open transaction has not been read to its end.
"""

import asyncio
import copy
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from time import monotonic
from typing import Any, ClassVar

from aiokafka.client import AIOKafkaClient
from aiokafka.consumer.fetcher import READ_UNCOMMITTED, Fetcher
from aiokafka.errors import KafkaError, OffsetOutOfRangeError, UnknownTopicOrPartitionError
from aiokafka.structs import OffsetAndMetadata
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage, Message
from faust.types.transports import ConsumerT
from faust.types.tuples import ack_lock
from mode import Service
from mode.utils.times import Seconds, want_seconds

from pipeline.kafka.clients import IDLE_MS
from pipeline.kafka.columnar.errors import GapError, TransportError
from pipeline.kafka.columnar.fetches import Fetches
from pipeline.kafka.columnar.hooks import Hooks, LogExtent
from pipeline.kafka.columnar.schema import RecordsSchema
from schemas.records import Records

SLICE_BYTES = 1 << 20
IDLE_SECONDS = 0.02  # between looks whether there is a partition to fetch from


class Questions:
    """A client that asks over connections of its own: a question waits behind a fetch that waits for records."""

    def __init__(self, client: AIOKafkaClient) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def send(self, node_id: int, request: Any) -> Any:
        """The client's send."""
        return await self._client.send(node_id, request, group="questions")


class Sleeper:
    """A service that sleeps without the tasks that mode makes for it: who sleeps is cancelled when it stops."""

    async def sleep(self, n: Seconds) -> None:
        """Sleep for so long."""
        await asyncio.sleep(want_seconds(n))


class ColumnsThread(Sleeper, driver.AIOKafkaConsumerThread):
    """The client's thread. Its methods are called from the app's."""

    app: Hooks
    seeks: int = 0
    fetches: Fetches
    _of_the_log: Fetcher  # asks for the ends of the log itself, open transactions included

    def _create_worker_consumer(self, transport: driver.Transport) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"
        consumer._auto_offset_reset = "none"
        consumer._fetch_min_bytes, consumer._fetch_max_wait_ms = self.app.fetch_min_bytes, self.app.fetch_wait_ms
        consumer._consumer_timeout = IDLE_MS / 1_000
        commit = consumer.commit

        async def commit_and_say(offsets: Mapping[Any, OffsetAndMetadata]) -> None:
            said = {tp: OffsetAndMetadata(kept.offset, self.app.commit_says(tp.topic)) for tp, kept in offsets.items()}
            with suppress(UnknownTopicOrPartitionError):  # one was deleted; the broker has kept the others
                await commit(said)

        consumer.commit = commit_and_say
        return consumer

    async def on_start(self) -> None:
        """Connect the client; its fetcher waits for an assignment yet."""
        await super().on_start()
        fetcher = self._ensure_consumer()._fetcher
        self._of_the_log = copy.copy(fetcher)
        self._of_the_log._isolation_level = READ_UNCOMMITTED
        self._of_the_log._client = Questions(fetcher._client)
        self.fetches = Fetches(fetcher, SLICE_BYTES)

    async def on_thread_stop(self) -> None:
        """Leave the group, unless a member of the same name is to go on where an error ended this one."""
        if self._consumer is not None and not self.app.crashed:
            self._consumer._coordinator._group_instance_id = None  # with a name the client leaves it to the timeout
        await super().on_thread_stop()

    def _stopped_set(self) -> None:
        """Tell the thread; not one that an error has ended, whose loop is closed."""
        if not self.thread_loop.is_closed():
            super()._stopped_set()

    async def _keepalive2(self) -> None:
        """Nothing. mode wakes both loops once a second, though whoever gives them something to do does so too."""

    @Service.task
    async def _thread_keepalive(self) -> None:
        """Nothing, as above."""

    async def fetch(self, tps: set[TP], timeout: float) -> tuple[int, Mapping[TP, Any] | KafkaError]:
        """Records, or the error that the client met, and the number of seeks that went before them."""
        consumer = self._ensure_consumer()
        return await self.call_thread(self._fetch, consumer, tps, timeout, consumer._max_poll_records)

    async def _fetch(
        self, consumer: Any, tps: set[TP], timeout: float, slices: int
    ) -> tuple[int, Mapping[TP, Any] | KafkaError]:
        try:
            fetched = await self._fetch_records(consumer, tps, timeout=timeout, max_records=slices)
        except KafkaError as error:
            return self.seeks, error
        return self.seeks, fetched

    async def give_back(self, seeks: int, fetched: Mapping[TP, Any]) -> None:
        """Go on where these records begin: they were not taken. After a seek since then the client is there already."""
        await self.call_thread(self._give_back, self._ensure_consumer(), seeks, fetched)

    async def _give_back(self, consumer: Any, seeks: int, fetched: Mapping[TP, Any]) -> None:
        for tp in fetched.keys() & consumer.assignment() if seeks == self.seeks else ():
            first = fetched[tp][0]
            consumer.seek(tp, first.begin if isinstance(first, Records) else first.offset)

    async def committed(self, tps: Iterable[TP]) -> dict[TP, tuple[int, str]]:
        """The group's committed offsets, of partitions that have one, and what was said with each."""
        return await self.call_thread(self._committed, self._ensure_consumer(), list(tps))

    @staticmethod
    async def _committed(consumer: Any, tps: list[TP]) -> dict[TP, tuple[int, str]]:
        found = await consumer._coordinator.fetch_committed_offsets([driver.ensure_aiokafka_TP(tp) for tp in tps])
        return {TP(*tp): (kept.offset, kept.metadata) for tp, kept in found.items() if kept.offset >= 0}

    async def seek_all(self, positions: Mapping[TP, int]) -> int:
        """Seek each partition; the number of seeks so far."""
        return await self.call_thread(self._seek_all, self._ensure_consumer(), positions)

    async def _seek_all(self, consumer: Any, positions: Mapping[TP, int]) -> int:
        for tp, position in positions.items():
            consumer.seek(driver.ensure_aiokafka_TP(tp), position)
        self.seeks += 1
        return self.seeks

    async def end_offsets(self, tps: Iterable[TP], seconds: float | None = None) -> dict[TP, int]:
        """The offsets behind the last record of each partition's log, asked for after this call."""
        return await self.call_thread(self._end_offsets, [driver.ensure_aiokafka_TP(tp) for tp in tps], seconds)

    async def _end_offsets(self, tps: list[Any], seconds: float | None) -> dict[TP, int]:
        timeout = int((seconds or self.app.conf.broker_request_timeout) * 1000)
        ends = await self._of_the_log.end_offsets(tps, timeout)
        return {TP(tp.topic, tp.partition): offset for tp, offset in ends.items()}

    async def offset_at(self, tp: TP, time: int) -> int | None:
        """The first offset of a record of that time (ms UTC) or later; None: there is none yet."""
        place = driver.ensure_aiokafka_TP(tp)
        found = await self.call_thread(self._ensure_consumer().offsets_for_times, {place: time})
        return found[place].offset if found[place] else None

    async def change(self, topics: set[str]) -> None:
        """Read these topics from the next rebalance on, which begins at once."""
        await self.call_thread(self._change, self._ensure_consumer(), topics)

    async def _change(self, consumer: Any, topics: set[str]) -> None:
        """A new subscription would lose the assignment before what was acknowledged is committed: the old one stays.

        While the client joins the group, it forgets that it was asked to join anew.
        """
        while consumer._subscription.subscription is None:
            await asyncio.sleep(IDLE_SECONDS)
        await consumer._client.set_topics(topics)
        while consumer._coordinator._performed_join_prepare:
            await asyncio.sleep(IDLE_SECONDS)
        consumer._subscription.subscription._topics = frozenset(topics)
        consumer._coordinator.request_rejoin()


class Consumer(Sleeper, driver.Consumer):
    """Faust's consumer. See the module for what differs."""

    app: Hooks
    _thread: ColumnsThread

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.columnar: frozenset[str] = frozenset()  # topics that deliver `Records`
        self.positions: dict[TP, int] = {}  # the offset at which the next slice of each partition begins
        self._delivered: dict[TP, deque[int]] = {}  # last offsets of the slices that are not committed yet
        self._seeks = 0
        self._revoked: int | None = None  # the generation whose partitions went last

    def _new_consumer_thread(self) -> ColumnsThread:
        return ColumnsThread(self, loop=self.loop, beacon=self.beacon)

    async def subscribe(self, topics: Iterable[str]) -> None:
        """Subscribe, after noting which topics are columnar."""
        self._note_columnar()
        await super().subscribe(topics)

    async def change(self, topics: Iterable[str], keyed: frozenset[str]) -> None:
        """Read these topics from now on; what was delivered of others is released before."""
        self._note_columnar()
        self._thread.fetches.keyed = keyed
        await self._thread.change(set(topics))

    def _note_columnar(self) -> None:
        columnar, single = set[str](), set[str]()
        for channel in self.app.topics:
            (columnar if isinstance(channel.schema, RecordsSchema) else single).update(channel.topics)
        if both := columnar & single:
            raise TransportError(
                f"topics {sorted(both)} are read as columns by one agent of the app and record by record by another;"
                " give both the RecordsSchema"
            )
        self.columnar |= columnar  # of topics that are left something may be under way
        self._thread.fetches.columnar = self.columnar

    # Reading

    async def _wait_next_records(self, timeout: float) -> tuple[Any, Any]:
        if not self.flow_active:
            await self.wait(self.can_resume_flow)  # type: ignore[arg-type]
        # Others than the set itself, which changes while the fetch is under way; none would mean every partition.
        tps = set() if self.app.rebalancing else self._sought(self._get_active_partitions())
        if not tps:
            await self.sleep(IDLE_SECONDS)
            return None, None
        seeks, fetched = await self._thread.fetch(tps, IDLE_MS / 1_000 if self._thread.fetches.is_quiet else timeout)
        if seeks != self._seeks or self.app.rebalancing or not self.flow_active or self._sought(tps) != tps:
            if not isinstance(fetched, KafkaError):
                await self._thread.give_back(seeks, fetched)
            return None, None  # from before a seek, or one follows
        if isinstance(fetched, OffsetOutOfRangeError):
            lost = {TP(*tp) for tp in fetched.args[0]}
            if all(map(self.app.lost, lost)):
                self.pause_partitions(lost)
                return None, None
            raise GapError(
                f"the log doesn't hold the offsets that come next, {fetched.args[0]}: retention deleted them, or the"
                " topic was made anew. The worker stops; started again, it says what is missing and what goes on"
            ) from fetched
        if isinstance(fetched, KafkaError):
            raise fetched
        return fetched, tps

    def _sought(self, tps: Iterable[TP]) -> set[TP]:
        """Those that were brought to their positions. Of others the client reads what nobody asked it for, or fails.

        Faust takes partitions for active as they are assigned: to a worker that stops, and between two rebalances.
        """
        return {tp for tp in tps if self._read_offset.get(tp) is not None}

    def _to_message(self, tp: TP, record: Any) -> ConsumerMessage:
        if not isinstance(record, Records):
            return super()._to_message(tp, record)
        tp = TP(*tp)
        expected = self.positions.get(tp)
        if record.begin != expected:
            raise GapError(
                f"a slice of {tp.topic}-{tp.partition} begins at offset {record.begin}, but {expected} comes next;"
                " the worker stops rather than skip what lies between: start it again"
            )
        self.positions[tp] = record.end
        last = record.end - 1
        self._delivered[tp].append(last)
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            last,
            int(record.append_time[-1]) / 1000 if len(record) else 0.0,
            0,
            None,
            None,
            replace(record, received=monotonic()),  # type: ignore[arg-type]
            None,
            0,
            len(record.data),
            tp,
            generation_id=self.app.consumer_generation_id,
        )

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        if tp.topic not in self.columnar:  # else a slice's offset is its last, and far from the one before
            await super()._add_gap(tp, offset_from, offset_to)

    async def end_offsets(self, tps: Iterable[TP], seconds: float | None = None) -> dict[TP, int]:
        """The offsets behind the last record of each partition's log, asked for after this call."""
        return await self._thread.end_offsets(tps, seconds)

    async def offset_at(self, tp: TP, time: int) -> int | None:
        """The first offset of a record of that time (ms UTC) or later; None: there is none yet."""
        return await self._thread.offset_at(tp, time)

    # Acknowledging

    def ack(self, message: Message) -> bool:
        """Acknowledge a slice; one from before a rebalance has been delivered again since, and doesn't count."""
        if message.generation_id != self.app.consumer_generation_id:
            return False
        return super().ack(message)

    def durable(self, tp: TP, offset: int) -> None:
        """Nothing before `offset` needs to be read again: acknowledge the delivered slices that end there or before."""
        with ack_lock:
            for last in self._delivered.get(tp, ()):
                if last >= offset:
                    return
                if last not in self._acked_index[tp]:
                    self._acked_index[tp].add(last)
                    self._acked[tp].append(last)

    def _new_offset(self, tp: TP) -> int | None:
        if tp.topic not in self.columnar:
            return super()._new_offset(tp)
        delivered, acked = self._delivered.get(tp), self._acked_index[tp]
        end = None
        while delivered and delivered[0] in acked:
            last = delivered.popleft()
            acked.discard(last)
            end = last + 1
        self._acked[tp] = list(acked)
        return end

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        return not self.app.keeps_offsets or await super()._commit(offsets)

    async def commit_all(self) -> None:
        """Commit what has been acknowledged by now."""
        while await self.maybe_wait_for_commit_to_finish():  # it began before, and may not hold the newest
            pass
        await self.commit()

    async def verify_all_partitions_active(self) -> None:
        """Nothing. Faust's watch compares wall time with monotonic time, and fails where the client connects slowly."""

    # Beginning and ending

    async def perform_seek(self) -> None:
        """Bring every assigned partition to its position. What was not acknowledged is delivered again."""
        while not await self._seek_once():  # another rebalance was faster
            pass

    async def _seek_once(self) -> bool:
        """False, and nothing was done, where the partitions have changed while it was asked about them.

        Nor is anything done with partitions that have been revoked again: those that follow come with another call.
        """
        assignment, generation = sorted(self.assignment()), self.app.consumer_generation_id
        self._forget(self.positions)
        committed, earliest = await asyncio.gather(
            self._thread.committed(assignment), self.earliest_offsets(*assignment)
        )
        ends = await self.end_offsets(assignment)  # behind them: what is deleted meanwhile came before an end
        starts = {}
        async with self.app.turn:
            if (sorted(self.assignment()), self.app.consumer_generation_id) != (assignment, generation):
                return False
            if generation == self._revoked:
                return True
            for tp in assignment:
                log = LogExtent(earliest[tp], ends[tp], *committed.get(tp, (None, "")))
                start = log.committed
                if tp.topic in self.columnar and self.app.start_position is not None:
                    chosen = await self.app.start_position(tp, log)
                    start = start if chosen is None else chosen
                if start is None:
                    start = log.end if self.app.conf.consumer_auto_offset_reset == "latest" else log.begin
                if not log.begin <= start <= log.end:
                    raise GapError(
                        f"{tp.topic}-{tp.partition} must be read from offset {start} on, but its log holds offsets"
                        f" {log.begin} to {log.end}"
                    )
                starts[tp] = start
            self._seeks = await self._thread.seek_all(starts)
            for tp, start in starts.items():
                self._read_offset[tp] = start
                self._committed_offset[tp] = start
                if tp.topic in self.columnar:
                    self.positions[tp] = start
                    self._delivered[tp] = deque()
                    if self.app.begin is not None:
                        self.app.begin(tp, start)
        return True

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Stop delivery; let the app release its partitions; commit what it acknowledged; forget them."""
        try:
            self._get_active_partitions().difference_update(revoked)
            self._paused_partitions.difference_update(revoked)
            await self._on_partitions_revoked(revoked)
            await self.app.let_go({tp for tp in revoked if tp.topic in self.columnar})  # also while the worker stops
            if not self.app.crashed:
                await self.commit_all()
            self._revoked = self.app.consumer_generation_id
        except Exception as error:  # aiokafka logs an error of its listener and goes on
            await self.app.crash(error)
        self._forget(revoked)

    def _forget(self, tps: Iterable[TP]) -> None:
        for tp in list(tps):
            self.positions.pop(tp, None)
            self._delivered.pop(tp, None)
            self._gap.pop(tp, None)
            self._acked.pop(tp, None)
            self._acked_index.pop(tp, None)
            self._read_offset.pop(tp, None)
            self._committed_offset.pop(tp, None)


class Transport(driver.Transport):
    """Faust's transport over aiokafka, with columns."""

    Consumer: ClassVar[type[ConsumerT]] = Consumer
