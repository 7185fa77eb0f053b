"""Assignment: which variant does this unit get, and which metrics does this event feed?

Keeps no state: what was gathered within `SEND_SECONDS` is sent, acknowledged, and only then are the sources' offsets
committed. A worker that falls is followed by one that reads the same records again and sends the same rows;
aggregation takes each source offset once. What came is counted too, and told about once a second (see
schemas.arrivals). Offsets are committed only with it, and what another worker has told already is not counted again: so
every record is counted once, but what a worker that falls has not told is counted by the next.
"""

import asyncio
import os
import socket
import time
from collections.abc import Iterable
from time import monotonic
from typing import ClassVar

import msgspec
from aiokafka import ConsumerRecord

from evaluation.arrivals.tally import Tally
from evaluation.assignment.foreign import named_by
from evaluation.assignment.routing import assign
from evaluation.catalog.reading import counted_as
from pipeline.catalog.topic import PARTITION, next_version
from pipeline.catalog.topic import key_of as document_key
from pipeline.kafka.census import Census
from pipeline.kafka.follower import Follower
from pipeline.kafka.logs import ClusterTopics, first
from pipeline.kafka.producer import KafkaRecord, send_many
from pipeline.registry.kept import KeptSchemas
from pipeline.settings import Settings
from pipeline.stages.gathering import Gathering
from pipeline.stages.kernels import compile_kernels
from pipeline.stages.stage import Stage
from schemas.arrivals import SourceReached
from schemas.assignment import Assignment as Answer
from schemas.dead_letter import DeadLetter, fitted, to_headers
from schemas.decoding import decode
from schemas.records import Records
from schemas.topics import (
    ARRIVALS,
    ASSIGNMENTS,
    CATALOG,
    DEAD_LETTERS,
    EVENTS,
    EXPOSURES,
    IDENTITIES,
    UNITS,
    SourcePartition,
)
from schemas.writer_schema import Schemas

# From one sending to the next: each is a message for every partition of `units`, which costs the same with few rows.
SEND_SECONDS = 0.25
MOST_ROWS = 100_000  # gathered before they are sent without waiting for that; a message holds some 350,000
UNDER_WAY = 4  # sendings that are not acknowledged yet
QUIET_AFTER = 60.0  # seconds without a record and without news of the catalog; then the clock goes on in steps of
QUIET_STEP = 10.0


class _Told(msgspec.Struct):
    """What is read of a record of `arrivals`: how far somebody has counted."""

    reached: list[SourceReached] = []


class AssignmentStage(Stage):
    """Exposures and events in; units, assignments and dead letters out."""

    name: ClassVar[str] = "assignment"
    topics: ClassVar[tuple[str, ...]] = (EXPOSURES, EVENTS)
    reads_sources: ClassVar[bool] = True
    quiet_after: ClassVar[float] = QUIET_AFTER
    tick_seconds: ClassVar[float] = 0.05
    fetch_min_bytes: ClassVar[int] = 1 << 20  # what single producers send is gathered here, by the fetch
    fetch_wait_ms: ClassVar[int] = 250

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._gathering: Gathering
        self._census: Census
        self._schemas = KeptSchemas(settings)
        self._found = ClusterTopics("", {})
        self._is_first = False  # whether it has the first partition of exposures
        self._dead_letters: list[DeadLetter] = []
        self._answers: list[Answer] = []
        self._tally = Tally(f"{socket.gethostname()}/{os.getpid()}/{time.time_ns() // 1_000_000}")
        self._counted: dict[tuple[str, int, str], int] = {}  # of a log: before which offset what came has been told
        self._told = Follower(settings, ARRIVALS, self._read_arrivals, self.aside)
        self._asks_for_people = False  # whether a run of some time did
        self._looked_at = 0  # how many of the catalog's states were asked for that
        self._last_came = monotonic()  # when something came last that somebody may wait for
        self._catalog_end = 0  # where the catalog ended then
        self._sent_at = self._told_at = 0.0  # when (`monotonic`) something was sent last, and how far the sources are
        self._under_way = asyncio.Semaphore(UNDER_WAY)
        self._sendings: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Connect, and read the catalog."""
        await asyncio.to_thread(compile_kernels)
        await super().start()
        partitions = {
            topic: len(await self.producer.partitions_for(self.settings.topic(topic))) for topic in self.topics
        }
        self._gathering = Gathering(self.settings.units_partitions, self.settings.horizon, partitions)
        self._census = Census(self.settings, self.producer.client, self._read_now, partitions)
        self._census.start()
        await self._told.start()

    async def _read_now(self) -> list[str]:
        """The topics that are to be read by everything that stood in the catalog when this was called."""
        await self.catalog.caught_up()
        found = self.readings()
        self._gathering.wait({topic: reading.delay for topic, reading in found.items()})
        return [*self.topics, *found]

    async def belong(self, found: ClusterTopics) -> None:
        """Nothing is kept that could belong to another log."""
        self._found = found

    def find(self, found: ClusterTopics) -> None:
        """What is read belongs to these."""
        self._found = found

    def begin(self, source: SourcePartition, offset: int) -> None:
        """Cover the source from its committed offset on."""
        self._gathering.begin(source, offset)
        self._is_first |= source == (EXPOSURES, 0)

    async def take(self, source: SourcePartition, records: Records) -> None:
        """Gather what the slice says, with the catalog read up to an end asked for after the slice was fetched.

        Raises RegistryError, with nothing done, where the schemas that it names are not there yet.
        """
        self._last_came = monotonic()
        await self.catalog.caught_up(records.received)
        schemas = await self._schemas.soon(named_by(records, self.catalog.history.registered))
        counted = self._counted_of(source)
        if records.begin < counted < records.end:
            before, records = records.split(counted)
            await self._take(source, before, schemas)
        await self._take(source, records, schemas)

    async def _take(self, source: SourcePartition, records: Records, schemas: Schemas) -> None:
        if records.has_own_times:
            records = self._gathering.timed(source, records, self._census.now())
        is_counted = records.end <= self._counted_of(source)
        horizon, tolerance = self.settings.horizon, self.settings.tolerance
        for assigned in assign(records, self.catalog.history, horizon, tolerance, schemas):
            if not is_counted:
                self._tally.add(records, assigned)
            self._dead_letters += assigned.rejects
            self._answers += assigned.answers
            for what, number in assigned.counts.items():
                self.count(what, number)
            for dead_letter in assigned.rejects:
                if dead_letter.source is not None:
                    self.count(counted_as(dead_letter.source, "dead letters"), dead_letter.messages)
            for piece in assigned.pieces(MOST_ROWS):
                self._gathering.add(source, piece)
                if self._gathering.rows >= MOST_ROWS:
                    await self._send()

    def reach(self, source: SourcePartition, time: int) -> None:
        """A quiet source moves the watermark on."""
        history = self.catalog.history
        self._gathering.reach(source, time, history.states[history.index_at(time)].offset)

    def watermark(self, source: SourcePartition) -> int:
        """The append time that the source has reached."""
        return self._gathering.watermark(source)

    async def beat(self, time: int) -> None:
        """Tell every units partition how far the sources are, with or without rows; seldom where nothing comes."""
        self._census.tell(time)
        self._census.is_quiet = self._is_quiet()
        if not self._census.is_quiet or monotonic() - self._told_at >= QUIET_STEP:
            await self._send(tells=True)
        await self._note_logs()

    def _is_quiet(self) -> bool:
        """Whether nothing has come for a while that somebody may wait for."""
        end = self.catalog.history.newest.offset
        if end != self._catalog_end:
            self._last_came, self._catalog_end = monotonic(), end
        return monotonic() - self._last_came > QUIET_AFTER

    async def tick(self) -> None:
        """Send what has waited."""
        self._fail_if_a_sending_did()
        is_due = monotonic() - self._sent_at >= SEND_SECONDS
        if is_due and (self._gathering.rows or self._dead_letters or self._answers):
            await self._send()

    async def release(self, sources: Iterable[SourcePartition]) -> None:
        """Send everything and wait for it, then cover these sources no longer."""
        await self._send(tells=True)
        await asyncio.gather(*self._sendings)
        self._gathering.leave(sources)
        self._is_first &= (EXPOSURES, 0) not in sources

    async def stop(self) -> None:
        """Disconnect."""
        await self._told.stop()
        await self._census.stop()
        await super().stop()

    async def _send(self, *, tells: bool = False) -> None:
        """Hand what was gathered to the producer, in order; a task of its own waits for the acknowledgements.

        Where it `tells` what came, the sources are durable as far as they are covered.
        """
        self._fail_if_a_sending_did()
        await self._under_way.acquire()
        self._sent_at = monotonic()
        self._gathering.count(*self._census.counted())
        covered, messages = self._gathering.cut()
        people = self._people(tells)
        answers, self._answers = self._answers, []
        dead_letters, self._dead_letters = self._dead_letters, []
        sent = [
            await self.producer.send(self.settings.topic(UNITS), message, partition=number)
            for number, message in enumerate(messages)
        ]
        sent += [
            await self.producer.send(self.settings.topic(IDENTITIES), message, partition=number)
            for number, message in enumerate(people)
        ]
        answered: list[KafkaRecord] = [(key_of(answer), msgspec.json.encode(answer), []) for answer in answers]
        rejected: list[KafkaRecord] = [
            (dead_letter.reason.encode(), dead_letter.value, to_headers(dead_letter))
            for dead_letter in map(fitted, dead_letters)
        ]
        sent += await send_many(self.producer, self.settings.topic(ASSIGNMENTS), answered)
        sent += await send_many(self.producer, self.settings.topic(DEAD_LETTERS), rejected)
        if tells:
            self._told_at = monotonic()
            news = self._tally.tell(covered, self._found.topics)
            came: list[KafkaRecord] = [(each.key.encode(), msgspec.json.encode(each), []) for each in news]
            sent += await send_many(self.producer, self.settings.topic(ARRIVALS), came)
            sent += self._sendings
        self._sendings.add(asyncio.create_task(self._acknowledge(sent, covered if tells else {})))

    def _people(self, tells: bool) -> list[bytes]:
        """What is to be told of people: rows at once, how far they are known when it `tells`. From the first run on
        that asks for them it is told for ever, so that the ranges that are covered follow one another.
        """
        states = self.catalog.history.states
        if not self._asks_for_people:
            self._asks_for_people = any(state.pairs for state in states[self._looked_at :])
            self._looked_at = len(states)
        is_due = self._asks_for_people and (tells or self._gathering.has_identities)
        return self._gathering.cut_identities() if is_due else []

    async def _acknowledge(self, sent: list[asyncio.Future[object]], covered: dict[SourcePartition, int]) -> None:
        try:
            await asyncio.gather(*sent)
        finally:
            self._under_way.release()
        for source, offset in covered.items():
            self.durable(source, offset)

    async def _note_logs(self) -> None:
        """Note in the catalog which logs there are, where it lacks some: by the worker of one partition, so by one."""
        known = self.logs.definition.topics if self.logs else {}
        if self._is_first and self._found.topics.keys() - known.keys():
            spec = first(self._found)
            if self.logs:
                spec = msgspec.structs.replace(self.logs.definition, topics=spec.topics | known, gaps=())
            document = next_version(self.catalog.history, spec, "peekproof", "the logs that offsets belong to")
            await self.send_all([(CATALOG, document_key(document), msgspec.json.encode(document), PARTITION)])
            await self.catalog.caught_up()

    def _read_arrivals(self, record: ConsumerRecord) -> None:
        for each in decode(record.value, _Told).reached:
            place = each.topic, each.partition, each.log
            self._counted[place] = max(each.offset, self._counted.get(place, 0))

    def _counted_of(self, source: SourcePartition) -> int:
        return self._counted.get((*source, self._found.topics.get(source[0], "")), 0)

    def _fail_if_a_sending_did(self) -> None:
        for sending in [sending for sending in self._sendings if sending.done()]:
            self._sendings.remove(sending)
            sending.result()


def key_of(answer: Answer) -> bytes:
    """flag/unit: the answers to one unit about one flag stand in one partition."""
    unit = answer.user_id or answer.device_id or next(iter((answer.groups or {}).values()), "")
    return f"{answer.flag_key}/{unit}".encode()
