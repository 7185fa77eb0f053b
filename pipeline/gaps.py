"""Gaps: what the stages still need of the logs, and the logs no longer hold; and going on behind it, once accepted.

Each stage's next offset is where it keeps it: assignment's with the consumer group, aggregation's in its checkpoints
(which also say how far each source was folded), the archive's in its files, storage's in the private store. A topic
that was made anew goes on behind the largest of these, one offset of which is left out: so every run says that
something may be missing.
"""

import asyncio
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from evaluation.logs import LogsInForce
from evaluation.metrics.partition import Partition
from pipeline.archive import chain, partitions, read
from pipeline.catalog import CatalogWriter
from pipeline.checkpoints import Checkpoints
from pipeline.connection import answering, connect
from pipeline.errors import PeekproofError
from pipeline.logs import Found, find, first, made_anew
from pipeline.producer import create_producer, partition_of
from pipeline.set_aside import SetAside
from pipeline.settings import Settings
from pipeline.store import offsets_of
from schemas.decoding import decode
from schemas.logs import Gap, Log, Logs
from schemas.look import LookHead
from schemas.topics import CATALOG, DEAD_LETTERS, EVENTS, EXPOSURES, RESULTS, SOURCES, UNITS, topics
from schemas.units import Header, decode_units

if TYPE_CHECKING:
    from kafka import KafkaConsumer
    from kafka.admin import KafkaAdminClient

Place = tuple[str, str, int]  # stage, topic, partition
_ARCHIVED = (EXPOSURES, EVENTS, UNITS, CATALOG, RESULTS)
_STORED = (RESULTS, CATALOG, DEAD_LETTERS)


class Position(NamedTuple):
    """The next offset that a stage needs, and the append time (ms UTC) up to which it has read; null if unknown."""

    offset: int
    time: int | None = None


class Extent(NamedTuple):
    """A log's offsets [begin, end)."""

    begin: int
    end: int


class Missing(msgspec.Struct, frozen=True):
    """What is missing, which topics were made anew, and the `logs` that go on behind it, without the gaps."""

    made_anew: list[str]
    gaps: list[Gap]
    logs: Logs


def missing(settings: Settings, logs: LogsInForce | None) -> Missing | None:
    """What the stages need and the logs no longer hold; None: nothing. `logs` are those in force."""
    from kafka import KafkaConsumer  # noqa: PLC0415 (slow to import)
    from kafka.admin import KafkaAdminClient  # noqa: PLC0415

    asyncio.run(connect(settings))
    arguments = settings.kafka_python_arguments()
    with answering(settings):
        admin = KafkaAdminClient(client_id="peekproof-gaps", **arguments)
        consumer = KafkaConsumer(group_id=None, enable_auto_commit=False, **arguments)
        try:
            return _missing(settings, logs, admin, consumer)
        finally:
            consumer.close()
            admin.close()


def _missing(
    settings: Settings, logs: LogsInForce | None, admin: "KafkaAdminClient", consumer: "KafkaConsumer"
) -> Missing | None:
    found = find(admin, settings)
    anew = made_anew(logs, found) if logs else {}
    if CATALOG in anew:
        raise PeekproofError("the catalog was made anew: `peekproof restore` brings the former one back first")
    read_by_aggregation = dict(_checkpointed(settings))
    positions = _positions(settings, logs, admin, anew, read_by_aggregation)
    standing = logs.definition if logs else first(found)
    ours = {topic: Log(id=log) if topic in anew else standing.topics[topic] for topic, log in found.topics.items()}
    gaps = []
    for (topic, partition), extent in sorted(_extents(settings, found, consumer).items()):
        needed = {place: position for place, position in positions.items() if place[1:] == (topic, partition)}
        furthest = max((position.offset for position in needed.values()), default=0)
        base = before = logs.base(topic, partition) if logs else 0
        begin = extent.begin
        if topic in anew and needed:
            base = max(base, furthest + 1 - begin)
        elif furthest > extent.end + base:  # the log has lost its end
            begin = extent.end
            base = furthest + 1 - begin
        if base != before or topic in anew:
            ours[topic] = Log(id=ours[topic].id, bases=ours[topic].bases | ({partition: base} if base else {}))
        gaps += [
            _gap(place, position, begin + base, _first_time(settings, consumer, topic, partition, begin))
            for place, position in sorted(needed.items())
            if position.offset < begin + base and not _is_accepted(logs, place, position.offset, begin + base)
        ]
    for place, position, end in _holes(settings, logs, consumer, read_by_aggregation):
        if not any(
            (gap.stage, gap.topic, gap.partition) == place and gap.begin <= position.offset < gap.end for gap in gaps
        ):
            gaps.append(_gap(place, position, end, None))
    if not gaps and ours == standing.topics:
        return None
    return Missing(sorted(anew), gaps, Logs(cluster=found.cluster, topics=standing.topics | ours))


def _gap(place: Place, position: Position, end: int, until: int | None) -> Gap:
    stage, topic, partition = place
    return Gap(
        stage=stage, topic=topic, partition=partition, begin=position.offset, end=end, since=position.time, until=until,
        reason="",
    )  # fmt: skip


def _is_accepted(logs: LogsInForce | None, place: Place, begin: int, end: int) -> bool:
    return logs is not None and logs.gap(*place, begin, end) is not None


def _checkpointed(settings: Settings) -> Iterator[tuple[int, Partition]]:
    """What aggregation has folded, by units partition, of those that have a checkpoint."""
    checkpoints = Checkpoints(settings.checkpoint_location)
    for number in range(settings.units_partitions):
        if newest := checkpoints.newest(number):
            yield number, Partition.load(newest.state)


def _positions(
    settings: Settings,
    logs: LogsInForce | None,
    admin: "KafkaAdminClient",
    anew: dict[str, str],
    folded: dict[int, Partition],
) -> dict[Place, Position]:
    positions: dict[Place, Position] = {}
    for number, partition in folded.items():
        positions["aggregation", UNITS, number] = Position(partition.offset, partition.clock or None)
        for (topic, source), offset in partition.sources.items():
            place = "assignment", topic, source
            if place not in positions or positions[place].offset < offset:
                positions[place] = Position(offset, partition.reached(topic, source) or None)
    if not folded:
        positions |= {("aggregation", UNITS, number): Position(0) for number in range(settings.units_partitions)}
    for topic in _ARCHIVED:
        for number in partitions(settings.data / "archive", topic):
            files = chain(settings.data / "archive", topic, number)
            if files:
                positions["archive", topic, number] = Position(files[-1].end, files[-1].interval)
    for (topic, number), offset in offsets_of(settings.data / "store").items():
        if topic in _STORED:
            positions["storage", topic, number] = Position(offset)
    names = {settings.topic(topic): topic for topic in SOURCES if topic not in anew}
    group = settings.group("assignment")
    for tp, kept in admin.list_group_offsets([group])[group].items():
        if tp.topic in names and kept.offset >= 0:
            topic = names[tp.topic]
            place, base = ("assignment", topic, tp.partition), logs.base(topic, tp.partition) if logs else 0
            known = positions.get(place)
            positions[place] = Position(kept.offset + base, known.time if known else None)
    return positions


def _holes(
    settings: Settings, logs: LogsInForce | None, consumer: "KafkaConsumer", folded: dict[int, Partition]
) -> Iterator[tuple[Place, Position, int]]:
    """Ranges of the sources that no message covers, of those that aggregation has not folded yet.

    Assignment began behind them without knowing: the group had no offsets any more.
    """
    from kafka import TopicPartition  # noqa: PLC0415 (slow to import)

    for number, partition in folded.items():
        tp = TopicPartition(settings.topic(UNITS), number)
        consumer.assign([tp])
        begin, end = consumer.beginning_offsets([tp])[tp], consumer.end_offsets([tp])[tp]
        position = partition.offset - (logs.base(UNITS, number) if logs else 0)
        expected = dict(partition.sources) if position >= begin else {}
        consumer.seek(tp, max(begin, min(position, end)))
        while consumer.position(tp) < end:
            for record in consumer.poll(timeout_ms=1_000).get(tp, ()):
                if (header := _header(record.value)) is None:
                    continue
                for source in header.sources:
                    name = (source.topic, source.partition)
                    place = ("assignment", *name)
                    next_one = expected.get(name, source.begin)
                    if source.begin > next_one and not _is_accepted(logs, place, next_one, source.begin):
                        yield place, Position(next_one, partition.reached(*name) or None), source.begin
                    expected[name] = max(next_one, source.end)


def _header(value: bytes | None) -> Header | None:
    try:
        return decode_units(value)[1] if value else None
    except ValueError:  # somebody else's
        return None


def _extents(settings: Settings, found: Found, consumer: "KafkaConsumer") -> dict[tuple[str, int], Extent]:
    from kafka import TopicPartition  # noqa: PLC0415

    names = {settings.topic(topic): topic for topic in found.topics}
    tps = [TopicPartition(name, number) for name in names for number in consumer.partitions_for_topic(name) or ()]
    begins, ends = consumer.beginning_offsets(tps), consumer.end_offsets(tps)
    return {(names[tp.topic], tp.partition): Extent(begins[tp], ends[tp]) for tp in tps}


def _first_time(settings: Settings, consumer: "KafkaConsumer", topic: str, partition: int, begin: int) -> int:
    """The append time (ms UTC) of the first record from an offset on; of an empty log the time now."""
    from kafka import TopicPartition  # noqa: PLC0415

    tp = TopicPartition(settings.topic(topic), partition)
    consumer.assign([tp])
    if consumer.end_offsets([tp])[tp] <= begin:
        return time.time_ns() // 1_000_000
    consumer.seek(tp, begin)
    while True:
        for record in consumer.poll(timeout_ms=1_000, max_records=1).get(tp, ()):
            return int(record.timestamp)


async def accept(settings: Settings, writer: CatalogWriter, lost: Missing, author: str, reason: str) -> None:
    """Go on behind what is missing: from the next version of `logs` on, which is published here."""
    gaps = tuple(msgspec.structs.replace(gap, reason=reason) for gap in lost.gaps)
    spec = msgspec.structs.replace(lost.logs, gaps=gaps)
    if RESULTS in lost.made_anew:
        await _put_back_looks(settings)
    await writer.publish(writer.next_version(spec, author, reason))


async def _put_back_looks(settings: Settings) -> None:
    """Each run's last look that the archive has, onto a topic that was made anew: significance goes on from it."""
    last: dict[tuple[str, str], tuple[int, bytes]] = {}
    aside = SetAside()
    directory = settings.data / "archive"
    for number in partitions(directory, RESULTS):
        for record in read(directory, RESULTS, number):
            with aside.unless_ours(RESULTS, number, record.offset):
                head = decode(record.value, LookHead)
                run = (head.experiment, head.run)
                if run not in last or last[run][0] < head.look:
                    last[run] = head.look, record.value or b""
    places = next(topic.partitions for topic in topics(1) if topic.name == RESULTS)
    async with create_producer(settings) as producer:
        for run, (_, value) in sorted(last.items()):
            key = "/".join(run).encode()
            name = settings.topic(RESULTS)
            await producer.send_and_wait(name, value, key=key, partition=partition_of(key, places))
