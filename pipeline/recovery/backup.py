"""Backup: what must be kept, taken while everything runs.

In this order, so that what is kept fits together:

1. the newest checkpoints;
2. the archive's files, and then, from Kafka, what it does not hold yet: `results`, and `units` until its messages cover
   all that the sources and `identities` held when the backup began, so that no look covers more than `units` here does;
   then `identities`, up to which states of it are folded again;
3. `catalog`, which names everything that `units` refers to, and the sources;
4. keys, sessions, links and settings; then the manifest.

A second backup into the same directory adds what is new.
"""

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from pathlib import Path

from aiokafka import AIOKafkaConsumer, TopicPartition

from evaluation.catalog.logs import LogsInForce
from evaluation.catalog.reading import Reading, readings
from evaluation.metrics.partition import Partition
from pipeline.catalog.topic import read_catalog
from pipeline.errors import PeekproofError
from pipeline.kafka.clients import aiokafka_arguments
from pipeline.kafka.columnar.fetches import Fetches
from pipeline.kafka.connection import answering
from pipeline.kafka.logs import FOLDS, GO_ON, NOTE, ClusterTopics, LogError, LogWatch, made_anew, require, restore
from pipeline.recovery.manifest import (
    MANIFEST,
    PRIVATE,
    UNFINISHED,
    BackupFile,
    Manifest,
    Tell,
    copy,
    describe,
    link,
    read_manifest,
    told,
    write_manifest,
)
from pipeline.settings import FILE, Settings
from pipeline.storage.archive import Archive
from pipeline.storage.archived import EXPIRED, ArchiveFile, chain, expired, partitions, read, source_topics, standing
from pipeline.storage.checkpoints import Checkpoints
from schemas.records import Records
from schemas.topics import CATALOG, IDENTITIES, MAX_MESSAGE_BYTES, RESULTS, SOURCES, UNITS, SourcePartition
from schemas.units import decode_units

TOPICS = (RESULTS, UNITS, IDENTITIES, CATALOG)  # beside the sources
# Seconds for which assignment may take what the sources held: while it comes nearer, and in all.
PATIENCE, LONGEST = 2.5, 60.0
SLICE_BYTES = 1 << 20
ROUND_SECONDS = 0.25
END_OF_TIME = 1 << 60  # ms: closes any interval

Take = Callable[[Records], None]


class Backup:
    """A backup of the installation into a directory. `size` bytes of files there are to keep before it completes them.

    Raises PeekproofError for a directory that holds something else.
    """

    def __init__(self, settings: Settings, directory: Path) -> None:
        self._settings = settings
        self._directory = directory.absolute()
        self._archive = settings.data.absolute() / "archive"
        history = read_catalog(settings)
        self._logs, read = history.newest.logs, readings(history, settings.horizon)
        with answering(settings):
            found, faults = asyncio.run(_look(settings, read))
        require(settings, self._logs, found)
        anew = made_anew(self._logs, found) if self._logs else {}
        # What is read of others; one that nobody can read, or that was made anew, is left alone.
        known = self._logs.foreign if self._logs else ()
        self._foreign = {topic: read[topic] for topic in known if topic in read and topic not in {*faults, *anew}}
        self._before = _standing(settings, self._directory, self._logs)
        self.size = sum(file.path.stat().st_size for file in self._archived())

    def run(self, tell: Tell) -> Manifest:
        """Take it; `tell` hears of every so many bytes more. What it says when it returns is complete."""
        directory = self._directory
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o700)
        (directory / UNFINISHED).touch()
        began = time.time_ns() // 1_000_000
        kept = self._keep_checkpoints()
        self._keep_archive(tell)
        waiting = asyncio.run(self._complete())
        copied = directory / "archive"
        kept += [file.path for topic in _topics(copied) for file in self._chains(copied, topic)]
        known = {(file.path, file.size): file for file in self._before.files} if self._before else {}
        files = [self._described(path, known) for path in sorted(kept)]
        files += [describe(directory, path) for path in self._keep_files()]
        manifest = Manifest(
            time=began,
            version=version("peekproof"),
            logs=self._logs.definition if self._logs else None,
            settings=told(self._settings),
            waiting=waiting,
            files=files,
        )
        write_manifest(directory, manifest)
        self._sweep(manifest)
        (directory / UNFINISHED).unlink()
        return manifest

    def added(self, manifest: Manifest) -> int:
        """Bytes of the files that the backup before did not hold."""
        before = set(self._before.files) if self._before else set()
        return sum(file.size for file in manifest.files if file not in before)

    def _archived(self) -> Iterator[ArchiveFile]:
        for topic in _topics(self._archive):
            yield from self._chains(self._archive, topic)

    @staticmethod
    def _chains(directory: Path, topic: str) -> Iterator[ArchiveFile]:
        for number in partitions(directory, topic):
            yield from chain(directory, topic, number)

    def _keep_checkpoints(self) -> list[Path]:
        copies = []
        for topic in FOLDS:
            checkpoints = Checkpoints(self._settings.checkpoint_location, topic)
            numbers = range(self._settings.units_partitions)
            copies += [checkpoints.copy(number, self._directory / "checkpoints") for number in numbers]
        return [path for path in copies if path]

    def _keep_archive(self, tell: Tell) -> None:
        """The archive's files. One that was compacted meanwhile is gone, and a larger one stands in for it.

        What the archive kept long enough is kept no longer here.
        """
        for topic in _topics(self._archive):
            for number in partitions(self._archive, topic):
                gone = expired(self._archive, topic, number)
                for file in standing(self._directory / "archive", topic, number) if gone else ():
                    if gone and file.end <= gone.before:
                        file.path.unlink()
        left = True
        while left:
            left = False
            for file in self._archived():
                path = self._directory / "archive" / file.path.relative_to(self._archive)
                if path.exists():
                    continue
                try:
                    link(file.path, path)
                except FileNotFoundError:
                    left = True
                    break
                tell(path.stat().st_size)

    async def _complete(self) -> int:
        """Add what Kafka holds beyond; how many source records no message on `units` covers yet."""
        with answering(self._settings):
            async with _Tails(self._settings, self._logs, self._directory / "archive", self._foreign) as tails:
                sources = *SOURCES, *self._foreign
                told = *sources, IDENTITIES
                wanted = {source: end for topic in told for source, end in (await tails.ends(topic)).items()}
                await tails.complete(RESULTS)
                covered = _Covered(self._settings, self._directory)
                await tails.complete(UNITS, covered.take)
                began = nearer = time.monotonic()
                lacks = covered.lacks(wanted)
                while lacks and time.monotonic() < min(nearer + PATIENCE, began + LONGEST):
                    await asyncio.sleep(ROUND_SECONDS)
                    await tails.complete(UNITS, covered.take)
                    before, lacks = lacks, covered.lacks(wanted)
                    nearer = time.monotonic() if lacks < before else nearer
                await tails.complete(IDENTITIES)
                await tails.complete(CATALOG)
                for topic in sources:
                    await tails.complete(topic)
                return lacks

    def _keep_files(self) -> list[Path]:
        settings_file = Path(os.environ.get("PEEKPROOF_SETTINGS") or FILE)
        kept = []
        notes = [self._archive / NOTE, *self._archive.glob(f"*/*/{EXPIRED}")]
        places = [
            *((self._settings.data / name, name) for name in PRIVATE),
            (settings_file, FILE.name),
            *((path, str(Path("archive") / path.relative_to(self._archive))) for path in notes),
        ]
        for source, name in places:
            if source.is_file():
                copy(source, self._directory / name)
                kept.append(self._directory / name)
        return kept

    def _described(self, path: Path, known: dict[tuple[str, int], BackupFile]) -> BackupFile:
        """What was described before is not read again."""
        name = str(path.relative_to(self._directory))
        return known.get((name, path.stat().st_size)) or describe(self._directory, path)

    def _sweep(self, manifest: Manifest) -> None:
        """Delete what larger or newer files hold."""
        listed = {self._directory / file.path for file in manifest.files}
        for name in ("archive", "checkpoints"):
            for path in (self._directory / name).rglob("*"):
                if path.is_file() and path not in listed and path.parent != self._directory / name:
                    path.unlink()


def _topics(archive: Path) -> tuple[str, ...]:
    return *TOPICS, *source_topics(archive)


def _standing(settings: Settings, directory: Path, logs: LogsInForce | None) -> Manifest | None:
    """The backup that the directory holds; None: none yet."""
    data = settings.data.absolute()
    if directory == data or directory in data.parents or data in directory.parents:
        raise PeekproofError(
            f"{directory} is, holds or lies in the data directory itself, and would be lost with it: a backup wants a "
            "place of its own"
        )
    if not directory.exists():
        return None
    before = read_manifest(directory)
    if before is None:
        others = sorted(path.name for path in directory.iterdir())
        if others and UNFINISHED not in others:
            raise PeekproofError(
                f"{directory} holds {', '.join(others[:5])}, and is no backup: name an empty directory"
            )
        return None
    here = logs.definition.topics[CATALOG].id if logs and CATALOG in logs.definition.topics else ""
    there = before.logs.topics[CATALOG].id if before.logs and CATALOG in before.logs.topics else ""
    if there and not (logs and logs.knows(CATALOG, there)):
        raise PeekproofError(
            f"{directory / MANIFEST} is of another installation: its catalog is the log {there}, ours is {here}. Name "
            "another directory"
        )
    return before


async def _look(settings: Settings, foreign: Iterable[str]) -> tuple[ClusterTopics, dict[str, str]]:
    watch = LogWatch(settings)
    try:
        return await watch.look(foreign)
    finally:
        watch.close()


class _Covered:
    """What messages on `units` cover of the sources, by units partition."""

    def __init__(self, settings: Settings, directory: Path) -> None:
        self._ends: list[dict[SourcePartition, int]] = []
        checkpoints = Checkpoints(str(directory / "checkpoints"))
        for number in range(settings.units_partitions):
            newest = checkpoints.newest(number)
            state = Partition.load(newest.state) if newest else None
            self._ends.append(dict(state.sources) if state else {})
            for record in read(directory / "archive", UNITS, number, begin=state.offset if state else 0):
                self._note(number, record.value)

    def take(self, records: Records) -> None:
        """Messages of one partition."""
        for row in range(len(records)):
            self._note(records.partition, records.value(row))

    def lacks(self, wanted: dict[SourcePartition, int]) -> int:
        """How many of the sources' records before these offsets some partition has not heard of."""
        return sum(max(0, end - min(ends.get(source, 0) for ends in self._ends)) for source, end in wanted.items())

    def _note(self, number: int, value: bytes | None) -> None:
        try:
            header = decode_units(value)[1] if value else None
        except ValueError:  # somebody else's
            return
        ends = self._ends[number]
        for source in header.sources if header else ():
            name = source.topic, source.partition
            ends[name] = max(ends.get(name, 0), source.end)


class _Tails:
    """Reads what Kafka holds beyond an archive, and adds it to that, in the archive's form.

    `foreign` says how topics that are not ours are read.
    """

    def __init__(
        self, settings: Settings, logs: LogsInForce | None, directory: Path, foreign: dict[str, Reading]
    ) -> None:
        self._settings = settings
        self._logs = logs
        self._foreign = foreign
        self._archive = Archive(directory, settings.archive_interval)
        self._consumers: dict[str, AIOKafkaConsumer] = {}

    async def __aenter__(self) -> "_Tails":
        return self

    async def __aexit__(self, failed: object, *_: object) -> None:
        for topic, consumer in self._consumers.items():
            if failed is None:
                for tp in consumer.assignment():
                    self._archive.advance(topic, tp.partition, END_OF_TIME)
            await consumer.stop()

    async def ends(self, topic: str) -> dict[SourcePartition, int]:
        """Where the topic's logs end now, of those that hold anything to read; in the installation's offsets."""
        consumer = await self._consumer(topic)
        tps = sorted(consumer.assignment())
        begins, ends = await self._begins(consumer, topic, tps), await consumer.end_offsets(tps)
        return {
            (topic, tp.partition): ends[tp] + self._base(topic, tp.partition) for tp in tps if ends[tp] > begins[tp]
        }

    async def complete(self, topic: str, take: Take = lambda _: None) -> None:
        """Read up to where the logs end now; `take` sees what comes."""
        consumer = await self._consumer(topic)
        left = await consumer.end_offsets(sorted(consumer.assignment()))
        while left:
            for tp in [tp for tp, end in left.items() if await consumer.position(tp) >= end]:
                del left[tp]
            if not left:
                break
            for tp, slices in (await consumer.getmany(*left, timeout_ms=500, max_records=1)).items():
                for records in slices:
                    moved = records.moved(topic, self._base(topic, tp.partition))
                    self._archive.append(moved)
                    take(moved)

    def _base(self, topic: str, partition: int) -> int:
        return self._logs.base(topic, partition) if self._logs else 0

    async def _begins(
        self, consumer: AIOKafkaConsumer, topic: str, tps: list[TopicPartition]
    ) -> dict[TopicPartition, int]:
        """The first offset that is to be read of each, in Kafka's own."""
        begins = await consumer.beginning_offsets(tps)
        if topic in self._foreign:
            since = {tp: self._foreign[topic].since for tp in tps if not self._base(topic, tp.partition)}
            found, ends = await consumer.offsets_for_times(since), await consumer.end_offsets(tps)
            begins |= {tp: max(begins[tp], place.offset if place else ends[tp]) for tp, place in found.items()}
        return begins

    async def _consumer(self, topic: str) -> AIOKafkaConsumer:
        """Of all partitions of the topic, behind what the archive holds."""
        if topic in self._consumers:
            return self._consumers[topic]
        name = self._settings.topic(topic)
        consumer = AIOKafkaConsumer(
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            max_partition_fetch_bytes=MAX_MESSAGE_BYTES,
            fetch_max_bytes=4 * MAX_MESSAGE_BYTES,
            **aiokafka_arguments(self._settings),
        )
        await consumer.start()
        self._consumers[topic] = consumer
        fetches = Fetches(consumer._fetcher, SLICE_BYTES)
        fetches.columnar = frozenset([name])
        fetches.keyed = frozenset([name] if topic in self._foreign and self._foreign[topic].has_keys else ())
        cluster = await consumer._client.fetch_all_metadata()
        tps = [TopicPartition(name, number) for number in sorted(cluster.partitions_for_topic(name))]
        begins, ends = await self._begins(consumer, topic, tps), await consumer.end_offsets(tps)
        consumer.assign(tps)
        for tp in tps:
            base = self._base(topic, tp.partition)
            consumer.seek(tp, self._start(topic, tp.partition, begins[tp] + base, ends[tp] + base) - base)
        return consumer

    def _start(self, topic: str, partition: int, begin: int, end: int) -> int:
        position = self._archive.start(topic, partition, begin)
        if self._logs and (gap := self._logs.gap_at("archive", topic, partition, position)) and position < begin:
            self._archive.skip(topic, partition, gap.end)
            position = gap.end
        if not begin <= position <= end:
            way_out = restore(self._settings) if topic == CATALOG else GO_ON
            raise LogError(
                f"the archive of {self._settings.topic(topic)}/{partition} ends at offset {position}, but its log "
                f"holds {begin} to {end}: a backup would lack what lies between. {way_out}; then back up"
            )
        return position
