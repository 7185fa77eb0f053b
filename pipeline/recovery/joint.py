"""Joint: what Kafka holds that states made anew must join: the catalog, and where the log of `units` goes on.

The first message of a source on a units partition says up to where the source had been assigned before. Workers of
assignment tell every units partition of each of their sources once a second, with or without rows.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from evaluation.catalog.history import History
from evaluation.catalog.reading import readings
from pipeline.catalog.topic import read_catalog
from pipeline.errors import PeekproofError
from pipeline.kafka.clients import kafka_python_arguments
from pipeline.kafka.connection import answering
from pipeline.kafka.logs import FOLDS, ClusterTopics, find, is_committed_here, require
from pipeline.recovery.rebuild import UnitsLog, UnitsLogs
from pipeline.settings import Settings
from schemas.recount import unmarked
from schemas.topics import SOURCES, UNITS, SourcePartition
from schemas.units import Source, decode_units

if TYPE_CHECKING:
    from kafka import KafkaConsumer, TopicPartition
    from kafka.admin import KafkaAdminClient

SEARCHED = 60_000  # ms of append time, from a log's first message on


class Joint:
    """What there is now. Raises LogError where a topic was made anew."""

    def __init__(self, settings: Settings, admin: "KafkaAdminClient") -> None:
        self.history: History = read_catalog(settings)
        self.found: ClusterTopics = find(admin, settings, readings(self.history, settings.horizon))
        self._settings = settings
        self._admin = admin
        require(settings, self.history.newest.logs, self.found)

    def require_idle(self) -> None:
        """Raises PeekproofError while workers of these stages are at work: their states would stand beside others."""
        groups = {self._settings.group(stage): stage for stage in FOLDS.values()}
        for group, described in self._admin.describe_groups([*groups]).items():
            if members := described["members"]:
                stage, hosts = groups[group], {each["client_host"].removeprefix("/") for each in members}
                raise PeekproofError(
                    f"workers of {stage} are at work, {len(members)} from {', '.join(sorted(hosts))}: stop `peekproof "
                    f"up` and every `peekproof worker {stage}`, then try again. One that was killed counts for ten "
                    "seconds more"
                )

    def logs(self) -> UnitsLogs:
        """The logs of `units`. Raises PeekproofError for messages of another horizon."""
        from kafka import KafkaConsumer  # noqa: PLC0415 (slow to import)

        consumer = KafkaConsumer(
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            **kafka_python_arguments(self._settings),
        )
        try:
            names = [self._settings.topic(topic) for topic in self._sources()]
            sources = sum(len(consumer.partitions_for_topic(name) or ()) for name in names)
            numbers = range(self._settings.units_partitions)
            return UnitsLogs([self._log(consumer, number, sources) for number in numbers], sources)
        finally:
            consumer.close()

    def _log(self, consumer: "KafkaConsumer", number: int, sources: int) -> UnitsLog:
        from kafka import TopicPartition  # noqa: PLC0415

        tp = TopicPartition(self._settings.topic(UNITS), number)
        consumer.assign([tp])
        begin, end = consumer.beginning_offsets([tp])[tp], consumer.end_offsets([tp])[tp]
        consumer.seek(tp, begin)
        base = self._base((UNITS, number))
        return UnitsLog(begin + base, end + base, self._heads(consumer, tp, end, sources))

    def _heads(
        self, consumer: "KafkaConsumer", tp: "TopicPartition", end: int, sources: int
    ) -> dict[SourcePartition, Source]:
        heads: dict[SourcePartition, Source] = {}
        began: int | None = None
        while consumer.position(tp) < end:
            for record in consumer.poll(timeout_ms=1_000).get(tp, ()):
                began = record.timestamp if began is None else began
                try:
                    header = decode_units(record.value or b"")[1]
                except ValueError:  # somebody else's
                    continue
                if header.horizon != self._settings.horizon:
                    raise PeekproofError(
                        f"horizon is {self._settings.horizon} ms, but messages on {tp.topic} judge lateness by "
                        f"{header.horizon} ms: give the one that the installation began with (PEEKPROOF_HORIZON)"
                    )
                for source in header.sources:
                    if not unmarked(source.topic)[0]:
                        heads.setdefault((source.topic, source.partition), source)
                if len(heads) >= sources or record.timestamp > began + SEARCHED:
                    return heads
        return self._committed() | heads

    def _committed(self) -> dict[SourcePartition, Source]:
        """Where assignment goes on with each source, as if a message had said so."""
        names = {self._settings.topic(topic): topic for topic in self._sources()}
        group, logs = self._settings.group("assignment"), self.history.newest.logs
        heads = {}
        for tp, kept in self._admin.list_group_offsets([group])[group].items():
            topic = names.get(tp.topic)
            if topic and kept.offset >= 0 and is_committed_here(self._settings, logs, self.found, topic, kept.metadata):
                offset = kept.offset + self._base((topic, tp.partition))
                heads[topic, tp.partition] = Source(topic, tp.partition, offset, offset, 0)
        return heads

    def _sources(self) -> list[str]:
        """Exposures, events, and the topics that are not ours, are read and are there."""
        read = readings(self.history, self._settings.horizon)
        return [*SOURCES, *(topic for topic in read if topic in self.found.topics)]

    def _base(self, key: SourcePartition) -> int:
        logs = self.history.newest.logs
        return logs.base(*key) if logs else 0


@contextmanager
def joint(settings: Settings) -> Iterator[Joint]:
    """What Kafka holds. Raises UnreachableError where it does not answer."""
    from kafka.admin import KafkaAdminClient  # noqa: PLC0415

    with answering(settings):
        admin = KafkaAdminClient(client_id="peekproof-rebuild", **kafka_python_arguments(settings))
        try:
            yield Joint(settings, admin)
        finally:
            admin.close()
