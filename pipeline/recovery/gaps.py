"""Gaps: what the stages still need of the logs, and the logs no longer hold; and going on behind it, once accepted.

Each stage's next offset is where it keeps it: assignment's with the consumer group, aggregation's and identity's in
their checkpoints (which also say how far each source was folded), the archive's in its files, storage's in the private
store. A topic that was made anew goes on behind the largest of these, one offset of which is left out: so every run
says that something may be missing.
"""

import asyncio
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from evaluation.catalog.logs import LogsInForce
from evaluation.identity.identities import Identities
from evaluation.metrics.partition import Partition
from evaluation.metrics.sources import reader
from pipeline.catalog.topic import CatalogWriter
from pipeline.errors import PeekproofError
from pipeline.kafka.clients import kafka_python_arguments
from pipeline.kafka.connection import answering, connect
from pipeline.kafka.logs import FOLDS, NOTE, ClusterTopics, find, first, made_anew, restore
from pipeline.kafka.producer import partition_of, producing
from pipeline.kafka.set_aside import SetAside
from pipeline.settings import Settings
from pipeline.storage.archived import chain, partitions, read, source_topics
from pipeline.storage.checkpoints import Checkpoints
from pipeline.storage.store import offsets_of
from schemas.decoding import decode
from schemas.logs import Gap, Log, Logs
from schemas.look import LookHead
from schemas.topics import (
    CATALOG,
    DEAD_LETTERS,
    DELIVERIES,
    HEALTH,
    IDENTITIES,
    MARK,
    NOTIFICATIONS,
    RESULTS,
    SOURCES,
    UNITS,
    topics,
)
from schemas.units import Header, decode_units

if TYPE_CHECKING:
    from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition
    from kafka.admin import KafkaAdminClient

StagePartition = tuple[str, str, int]  # stage, topic, partition
_ARCHIVED = (UNITS, IDENTITIES, CATALOG, RESULTS)  # beside the sources
_STORED = (RESULTS, CATALOG, DEAD_LETTERS, HEALTH, NOTIFICATIONS, DELIVERIES)
_COORDINATOR_SECONDS = 30.0


class Position(NamedTuple):
    """The next offset that a stage needs, and the append time (ms UTC) up to which it has read; null if unknown."""

    offset: int
    time: int | None = None


class Extent(NamedTuple):
    """A log's offsets [begin, end)."""

    begin: int
    end: int


Extents = dict[tuple[str, int], Extent]  # by topic and partition


class Missing(msgspec.Struct, frozen=True):
    """What is missing, which topics were made anew, and the `logs` that go on behind it, without the gaps."""

    made_anew: list[str]
    gaps: list[Gap]
    logs: Logs


def missing(settings: Settings, logs: LogsInForce | None, *, is_catalog_ours: bool = False) -> Missing | None:
    """What the stages need and the logs no longer hold; None: nothing. `logs` are those in force.

    `is_catalog_ours`: what the topic's log holds is ours, though the log may be another one. Raises PeekproofError
    where that has to be brought back first.
    """
    from kafka import KafkaConsumer  # noqa: PLC0415 (slow to import)
    from kafka.admin import KafkaAdminClient  # noqa: PLC0415

    asyncio.run(connect(settings))
    arguments = kafka_python_arguments(settings)
    with answering(settings):
        admin = KafkaAdminClient(client_id="peekproof-gaps", **arguments)
        consumer = KafkaConsumer(group_id=None, enable_auto_commit=False, **arguments)
        try:
            return _missing(settings, logs, admin, consumer, is_catalog_ours)
        finally:
            consumer.close()
            admin.close()


def _missing(
    settings: Settings,
    logs: LogsInForce | None,
    admin: "KafkaAdminClient",
    consumer: "KafkaConsumer",
    is_catalog_ours: bool,
) -> Missing | None:
    found = find(admin, settings, logs.foreign if logs else ())
    anew = made_anew(logs, found) if logs else {}
    folded = _Folded(settings)
    positions = _positions(settings, logs, admin, anew, folded)
    standing = logs.definition if logs else first(found)
    ours = {
        topic: Log(id=log) if topic in anew else standing.topics.get(topic, Log(id=log))
        for topic, log in found.topics.items()
    }
    extents = _extents(settings, found, consumer)
    _add_unclosed(settings, positions, extents, anew)
    if not is_catalog_ours:
        _require_catalog(settings, positions, extents, anew)
    are_sources_anew = set(SOURCES) <= anew.keys()
    covered = _covered(settings) if UNITS in anew else {}
    gaps = []
    for (topic, partition), extent in sorted(extents.items()):
        if topic == CATALOG:
            continue
        needed = {place: position for place, position in positions.items() if place[1:] == (topic, partition)}
        offsets = {position.offset for position in needed.values()}
        if topic == UNITS:
            offsets.add(covered.get(partition, 0))
        if topic == IDENTITIES:
            offsets |= folded.told(partition)
        furthest = max(offsets, default=0)
        before = logs.base(topic, partition) if logs else 0
        is_cut = furthest > extent.end + before  # the log has lost its end
        if topic == HEALTH and topic not in anew and not is_cut:
            continue  # the newest is all that matters
        # An offset that no record has shows that some may be missing; behind the sources theirs show it too.
        hole = 0 if topic in FOLDS and are_sources_anew else 1
        begin, base = extent.begin, before
        if topic in anew and needed:
            base = max(before, furthest + hole - begin)
        elif is_cut:
            begin = extent.end
            base = furthest + hole - begin
        if base != before or topic in anew:
            ours[topic] = Log(id=ours[topic].id, bases=ours[topic].bases | ({partition: base} if base else {}))
        end, unknown = begin + base, topic in anew or is_cut
        gaps += [
            _gap(place, position, end, _first_time(settings, consumer, topic, partition, begin), unknown)
            for place, position in sorted(needed.items())
            if position.offset < end and not _is_accepted(logs, place, position.offset, end)
        ]
    for place, position, end in _holes(settings, logs, consumer, folded):
        if not any(
            (gap.stage, gap.topic, gap.partition) == place and gap.begin <= position.offset < gap.end for gap in gaps
        ):
            gaps.append(_gap(place, position, end, None))
    if not gaps and ours == standing.topics:
        return None
    return Missing(sorted(anew), gaps, Logs(cluster=found.cluster, topics=standing.topics | ours))


def _add_unclosed(
    settings: Settings, positions: dict[StagePartition, Position], extents: Extents, anew: dict[str, str]
) -> None:
    """What the archive had not closed yet went with the former log, or with the beginning of this one."""
    was_at_work = (settings.data / "archive" / NOTE).exists() or any(stage == "archive" for stage, _, _ in positions)
    if was_at_work:
        for (topic, number), extent in extents.items():
            if topic == IDENTITIES and ("identity", topic, number) not in positions:
                continue  # nobody ever asked for people
            is_lost = topic in anew or (extent.begin > 0 and not topic.startswith(MARK))  # of those it begins anywhere
            if is_lost and (topic in (*_ARCHIVED, *SOURCES) or topic.startswith(MARK)):
                positions.setdefault(("archive", topic, number), Position(0))


def _require_catalog(
    settings: Settings, positions: dict[StagePartition, Position], extents: Extents, anew: dict[str, str]
) -> None:
    """Raise PeekproofError where the catalog has to be brought back first."""
    kept = max((position.offset for place, position in positions.items() if place[1:] == (CATALOG, 0)), default=0)
    if CATALOG in anew or kept > extents[CATALOG, 0].end:
        raise PeekproofError(
            f"topic {settings.topic(CATALOG)} was made anew, or lost its end: {restore(settings)}, and must come first"
        )


def _gap(place: StagePartition, position: Position, end: int, until: int | None, unknown: bool = False) -> Gap:
    stage, topic, partition = place
    return Gap(
        stage=stage, topic=topic, partition=partition, begin=position.offset, end=end, since=position.time, until=until,
        reason="", unknown=unknown,
    )  # fmt: skip


def _is_accepted(logs: LogsInForce | None, place: StagePartition, begin: int, end: int) -> bool:
    return logs is not None and logs.gap(*place, begin, end) is not None


class _Folded:
    """What aggregation and identity have folded, by partition, of those that have a checkpoint."""

    def __init__(self, settings: Settings) -> None:
        kept = {topic: dict(_newest(settings, topic)) for topic in FOLDS}
        self.units = {number: Partition.load(state) for number, state in kept[UNITS].items()}
        self.identities = {number: Identities.load(state) for number, state in kept[IDENTITIES].items()}

    def told(self, number: int) -> set[int]:
        """Up to where a partition of `identities` was folded, and units partitions have heard of it."""
        known = [state.sources.get((IDENTITIES, number)) for state in self.units.values()]
        known += [state.offset for state in [self.identities.get(number)] if state]
        return {offset for offset in known if offset is not None}


def _newest(settings: Settings, topic: str) -> Iterator[tuple[int, bytes]]:
    checkpoints = Checkpoints(settings.checkpoint_location, topic)
    for number in range(settings.units_partitions):
        if newest := checkpoints.newest(number):
            yield number, newest.state


def _positions(
    settings: Settings,
    logs: LogsInForce | None,
    admin: "KafkaAdminClient",
    anew: dict[str, str],
    folded: _Folded,
) -> dict[StagePartition, Position]:
    positions: dict[StagePartition, Position] = {}
    # Messages that one partition has not folded yet say what others know, unless their log was made anew.
    further = min if UNITS in anew else max
    for number, partition in folded.units.items():
        positions["aggregation", UNITS, number] = Position(partition.offset, partition.watermark or None)
        for (topic, source), offset in partition.sources.items():
            if topic == IDENTITIES:
                continue
            place = "assignment", topic, source
            known = positions.get(place)
            if known is None or further(known.offset, offset) != known.offset:
                positions[place] = Position(offset, partition.reached(topic, source) or None)
    if not folded.units:
        positions |= {("aggregation", UNITS, number): Position(0) for number in range(settings.units_partitions)}
    for number in range(settings.units_partitions):
        place = "identity", IDENTITIES, number
        told, state = folded.told(number), folded.identities.get(number)
        if state:
            since = state.watermark or None
            positions[place] = Position(min(told) if UNITS in anew else state.offset, since)
            for (topic, source), offset in state.sources.items() if IDENTITIES in anew else ():
                known = positions.get(("assignment", topic, source))
                if known is None or offset < known.offset:
                    positions["assignment", topic, source] = Position(offset, since)
        elif IDENTITIES not in anew or told:
            positions[place] = Position(0)
    archive = settings.data / "archive"
    for topic in (*source_topics(archive), *_ARCHIVED):
        for number in partitions(archive, topic):
            files = chain(archive, topic, number)
            if files:
                positions["archive", topic, number] = Position(files[-1].end, files[-1].interval)
    for (topic, number), offset in offsets_of(settings.data / "store").items():
        if topic in _STORED:
            positions["storage", topic, number] = Position(offset)
    foreign = logs.foreign if logs else ()
    names = {settings.topic(topic): topic for topic in (*SOURCES, *foreign) if topic not in anew}
    group = settings.group("assignment")
    for tp, kept in _group_offsets(admin, group).items():
        if tp.topic in names and kept.offset >= 0:
            topic = names[tp.topic]
            place, base = ("assignment", topic, tp.partition), logs.base(topic, tp.partition) if logs else 0
            known = positions.get(place)
            positions[place] = Position(kept.offset + base, known.time if known else None)
    return positions


def _group_offsets(admin: "KafkaAdminClient", group: str) -> "dict[TopicPartition, OffsetAndMetadata]":
    """What a group has committed. A cluster that never had a group makes a coordinator first."""
    from kafka.errors import (  # noqa: PLC0415 (slow to import)
        CoordinatorLoadInProgressError,
        CoordinatorNotAvailableError,
        NotCoordinatorError,
    )

    deadline = time.monotonic() + _COORDINATOR_SECONDS
    while True:
        try:
            return admin.list_group_offsets([group])[group]
        except (CoordinatorNotAvailableError, CoordinatorLoadInProgressError, NotCoordinatorError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def _covered(settings: Settings) -> dict[int, int]:
    """By units partition: the offset up to which archived looks cover it."""
    covered: dict[int, int] = {}
    for head, _ in _last_looks(settings).values():
        for number, offset in head.offsets.items():
            covered[int(number)] = max(covered.get(int(number), 0), offset)
    return covered


def _holes(
    settings: Settings, logs: LogsInForce | None, consumer: "KafkaConsumer", folded: _Folded
) -> Iterator[tuple[StagePartition, Position, int]]:
    """Ranges of the sources that no message covers, of those that aggregation, or identity, has not folded yet.

    Assignment began behind them without knowing: the group had no offsets any more.
    """
    from kafka import TopicPartition  # noqa: PLC0415 (slow to import)

    states: list[tuple[str, int, Partition | Identities]] = []
    states += [(UNITS, number, state) for number, state in folded.units.items()]
    states += [(IDENTITIES, number, state) for number, state in folded.identities.items()]
    for topic, number, partition in states:
        tp = TopicPartition(settings.topic(topic), number)
        consumer.assign([tp])
        begin, end = consumer.beginning_offsets([tp])[tp], consumer.end_offsets([tp])[tp]
        position = partition.offset - (logs.base(topic, number) if logs else 0)
        expected = dict(partition.sources) if position >= begin else {}
        consumer.seek(tp, max(begin, min(position, end)))
        while consumer.position(tp) < end:
            for record in consumer.poll(timeout_ms=1_000).get(tp, ()):
                if (header := _header(record.value)) is None:
                    continue
                for source in header.sources:
                    name = (source.topic, source.partition)
                    place = (reader(source.topic), *name)
                    next_one = expected.get(name, source.begin)
                    if source.begin > next_one and not _is_accepted(logs, place, next_one, source.begin):
                        yield place, Position(next_one, partition.reached(*name) or None), source.begin
                    expected[name] = max(next_one, source.end)


def _header(value: bytes | None) -> Header | None:
    try:
        return decode_units(value)[1] if value else None
    except ValueError:  # somebody else's
        return None


def _extents(settings: Settings, found: ClusterTopics, consumer: "KafkaConsumer") -> Extents:
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
    places = next(topic.partitions for topic in topics(1) if topic.name == RESULTS)
    async with producing(settings) as producer:
        for run, (_, value) in sorted(_last_looks(settings).items()):
            key = "/".join(run).encode()
            name = settings.topic(RESULTS)
            await producer.send_and_wait(name, value, key=key, partition=partition_of(key, places))


def _last_looks(settings: Settings) -> dict[tuple[str, str], tuple[LookHead, bytes]]:
    """Each run's last look that the archive has."""
    last: dict[tuple[str, str], tuple[LookHead, bytes]] = {}
    aside = SetAside()
    directory = settings.data / "archive"
    for number in partitions(directory, RESULTS):
        for record in read(directory, RESULTS, number):
            with aside.unless_ours(RESULTS, number, record.offset):
                head = decode(record.value, LookHead)
                run = (head.experiment, head.run)
                if run not in last or last[run][0].look < head.look:
                    last[run] = head, record.value or b""
    return last
