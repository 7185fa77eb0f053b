"""Telling: everything archived that came before a generation, told to `units`, at a share of a core.

In the order of append times, so that the generation's clock runs as the run's did, and its state stays small. Each
message covers ranges of source offsets, as assignment's do; what is told again after a fall is skipped by them. When
brokers have acknowledged everything, the catalog is told that the recount is complete, and with that version the
generation is in force. A run whose past is not archived goes on as it was: the recount is stopped, and says why.
"""

import asyncio
import os
import time
from pathlib import Path

from aiokafka import AIOKafkaProducer

from evaluation.assignment.foreign import named_by
from evaluation.catalog.history import History
from evaluation.exploring.prefilter import names_read
from evaluation.recounting.past import Past
from pipeline.catalog.recounting import say
from pipeline.catalog.topic import catalog_now, opened
from pipeline.kafka.producer import producing
from pipeline.recounting.past_source import PastSource
from pipeline.registry.kept import KeptSchemas
from pipeline.settings import Settings
from pipeline.stages.gathering import Gathering
from pipeline.storage.archived import ArchiveGapError, partitions, source_topics
from pipeline.storage.recounts import ToldSoFar, read_progress, write_progress
from schemas.recount import RecountState, marked
from schemas.topics import UNITS, SourcePartition

MOST_ROWS = 50_000  # gathered before they are sent
SEND_SECONDS = 1.0  # or after that


async def tell(settings: Settings, generation: int) -> None:
    """Tell it to the end. Raises PeekproofError for what must be mended first; called again, it goes on."""
    history = await catalog_now(settings)
    try:
        past = Past(history, generation)
    except LookupError:
        return  # complete, or given up
    try:
        teller = Teller(settings, past, history)
        async with producing(settings) as producer:
            await teller.tell(producer)
    except ArchiveGapError as error:
        await _say(settings, past, "stopped", str(error))
    else:
        await _say(settings, past, "complete")


async def _say(settings: Settings, past: Past, state: RecountState, why: str | None = None) -> None:
    async with opened(settings) as writer:
        await say(writer, past.run, state, why)


class Teller:
    """Tells one generation its past, from where a former one had come to. Raises ArchiveGapError."""

    def __init__(self, settings: Settings, past: Past, history: History) -> None:
        self._settings, self._past = settings, past
        self._schemas = KeptSchemas(settings)
        self._logs = history.newest.logs
        self._units = self._logs.definition.topics[UNITS].id if self._logs else ""
        known = read_progress(settings.data, past.run.generation)
        told = known.offsets if known and known.units == self._units else {}
        directory = settings.data / "archive"
        begins, ends = past.begins(settings.tolerance), past.ends(settings.horizon)
        names = names_read(past.run)
        self._sources = [
            PastSource(directory, key, begins, ends, told.get(f"{key[0]}/{key[1]}"), names.get(key[0]))
            for key in _keys(directory)
        ]
        self._before = known.done if known and told else 0
        self._size = self._before + sum(source.size for source in self._sources)
        self._done, self._taken, self._rate = 0, 0, 0.0
        expected: dict[str, int] = {}
        for topic, partition in (source.key for source in self._sources):
            name = marked(topic, past.run.generation)
            expected[name] = max(expected.get(name, 0), partition + 1)
        self._gathering = Gathering(settings.units_partitions, settings.horizon, expected)
        for source in self._sources:
            self._gathering.begin(self._name(source), source.position)

    def _name(self, source: PastSource) -> SourcePartition:
        return marked(source.key[0], self._past.run.generation), source.key[1]

    async def tell(self, producer: AIOKafkaProducer) -> None:
        """Everything, and return when brokers have acknowledged it."""
        parent, sent = os.getppid(), time.monotonic()
        while True:
            began, took = time.monotonic(), time.process_time()
            is_over = await asyncio.to_thread(self._step)
            if is_over or self._gathering.rows >= MOST_ROWS or time.monotonic() - sent > SEND_SECONDS:
                await self._send(producer)
                sent = time.monotonic()
            if is_over:
                return
            if os.getppid() != parent:
                raise SystemExit("the archive's worker has ended; the next one goes on")
            pause = (time.process_time() - took) / self._settings.recount_share - (time.monotonic() - began)
            await asyncio.sleep(max(0.0, pause))
            self._rate += 0.1 * (self._taken / max(1e-3, time.monotonic() - began) - self._rate)

    def _step(self) -> bool:
        """Gather what comes next of all sources together; whether that was all."""
        self._taken = 0
        for source in self._sources:
            source.look_ahead()
        reached = min((source.last for source in self._sources if source.last is not None), default=self._past.boundary)
        for source in self._sources:
            name = self._name(source)
            for records in source.take(reached):
                if records.begin > source.position:
                    self._require_accepted(source, records.begin)
                    self._gathering.begin(name, records.begin)
                schemas = self._schemas.of(named_by(records, self._past.registered))
                for said in self._past.told(records, self._settings.horizon, self._settings.tolerance, schemas):
                    self._gathering.add(name, said)
                source.position = records.end
                self._taken += records.end - records.begin
            self._gathering.reach(name, reached, self._past.catalog)
        self._done += self._taken
        return all(source.is_told for source in self._sources)

    def _require_accepted(self, source: PastSource, end: int) -> None:
        """What is missing is known to be lost. Aggregation would refuse anything else."""
        if self._logs is None or not self._logs.gap("archive", *source.key, source.position, end):
            topic, partition = source.key
            raise ArchiveGapError(f"the archive of {topic}/{partition} lacks offsets {source.position} to {end}")

    async def _send(self, producer: AIOKafkaProducer) -> None:
        _, messages = self._gathering.cut()
        topic = self._settings.topic(UNITS)
        sent = [await producer.send(topic, message, partition=number) for number, message in enumerate(messages)]
        await asyncio.gather(*sent)
        progress = ToldSoFar(
            units=self._units,
            offsets={f"{source.key[0]}/{source.key[1]}": source.position for source in self._sources},
            done=self._before + self._done,
            size=max(self._size, self._before + self._done),
            records_per_second=int(self._rate),
        )
        write_progress(self._settings.data, self._past.run.generation, progress)


def _keys(directory: Path) -> list[SourcePartition]:
    """The source partitions that are archived. (One that is not has never had a record.)"""
    return [(topic, number) for topic in source_topics(directory) for number in partitions(directory, topic)]
