"""Sight: what can be seen of an installation. Each thing is looked for once, by whoever asks first; nothing changes."""

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import wraps
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from evaluation.catalog.history import History
from evaluation.catalog.logs import LogsInForce
from pipeline.doctor import health
from pipeline.doctor.standing import Standing, standings
from pipeline.errors import PeekproofError
from pipeline.kafka import logs
from pipeline.kafka.clients import kafka_python_arguments
from pipeline.kafka.connection import advertised, answering
from pipeline.settings import Settings
from pipeline.stages import STAGES
from pipeline.storage.archived import ArchiveFile, ArchiveGapError, chain, partitions
from pipeline.storage.store import stored_offsets
from schemas.topics import CATALOG, HEALTH, MAX_MESSAGE_BYTES, SourcePartition, topics

if TYPE_CHECKING:
    from kafka import KafkaConsumer
    from kafka.admin import KafkaAdminClient

REQUEST_MS = 5_000  # of one question to a broker that lets us in
STORE_SECONDS = 8.0  # for the checkpoints
COORDINATOR_TRIES = 10  # a cluster makes its groups' topic when somebody asks for the first time

Seen = TypeVar("Seen")


class UnseenError(PeekproofError):
    """What is asked for cannot be seen, because something before it can't, which is told where it belongs."""


class CatalogSeen(NamedTuple):
    """The catalog's history, where its topic begins, the number of records, their bytes, and their times by offset."""

    history: History
    begin: int
    records: int
    size: int
    times: dict[int, int]


def once(look: Callable[["Sight"], Seen]) -> Callable[["Sight"], Seen]:
    """What a look brings, its error too, is kept: others who ask meanwhile wait for it."""

    @wraps(look)
    def seen(self: "Sight") -> Seen:
        with self.guard:
            is_first = look.__name__ not in self.known
            future = self.known.setdefault(look.__name__, Future())
        if is_first:
            try:
                future.set_result(look(self))
            except BaseException as error:  # raised below, to everybody
                future.set_exception(error)
        return future.result()

    return seen


class Sight:
    """One look at an installation, by several threads. Raises PeekproofError, or what a file system does, for what
    cannot be seen."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.guard = Lock()
        self.known: dict[str, Future[Any]] = {}
        self.topics = {topic.name: topic for topic in topics(settings.units_partitions)}

    @once
    def brokers(self) -> dict[str, str | None]:
        """Where the brokers say that they are, and why one cannot be used from here."""
        return asyncio.run(advertised(self.settings))

    @once
    def admin(self) -> "KafkaAdminClient":
        """A client for questions."""
        from kafka.admin import KafkaAdminClient  # noqa: PLC0415 (slow to import)

        self._require_brokers()
        times = {"request_timeout_ms": REQUEST_MS, "bootstrap_timeout_ms": REQUEST_MS}
        with answering(self.settings):
            return KafkaAdminClient(client_id="peekproof-doctor", **(kafka_python_arguments(self.settings) | times))

    @once
    def described(self) -> dict[str, dict[str, Any]]:
        """What Kafka says of each of our topics (by its name without the prefix), or the code of its error."""
        names = {self.settings.topic(name): name for name in self.topics}
        with answering(self.settings):
            return {names[each["name"]]: each for each in self.admin().describe_topics(sorted(names))}

    @once
    def found(self) -> logs.ClusterTopics:
        """The cluster, and the ids of its topics."""
        with answering(self.settings):
            return logs.find(self.admin(), self.settings)

    def extents(self) -> dict[SourcePartition, tuple[int, int]]:
        """The offsets [begin, end) that each log holds now: Kafka's own.

        To be asked for after the state that rests on them, each time anew: a stage at work goes on meanwhile.
        """
        from kafka import TopicPartition  # noqa: PLC0415
        from kafka.admin import OffsetSpec  # noqa: PLC0415

        places = {
            TopicPartition(self.settings.topic(name), partition["partition_index"]): name
            for name, each in self.described().items()
            if not each["error_code"]
            for partition in each["partitions"]
            if partition["leader_id"] >= 0
        }
        with answering(self.settings):
            begins, ends = (
                self.admin().list_partition_offsets(dict.fromkeys(places, spec)) if places else {}
                for spec in (OffsetSpec.EARLIEST, OffsetSpec.LATEST)
            )
        return {(name, tp.partition): (begins[tp].offset, ends[tp].offset) for tp, name in places.items()}

    @once
    def committed(self) -> dict[SourcePartition, tuple[int, str]]:
        """Where assignment's group goes on, Kafka's own offset, and what was said beside it."""
        from kafka.errors import CoordinatorNotAvailableError  # noqa: PLC0415

        group = self.settings.group("assignment")
        names = {self.settings.topic(name): name for name in self.topics}
        with answering(self.settings):
            for again in range(COORDINATOR_TRIES, -1, -1):
                try:
                    kept = self.admin().list_group_offsets([group])[group]
                    break
                except CoordinatorNotAvailableError:
                    if not again:
                        raise
                    time.sleep(0.2)
        return {
            (names[tp.topic], tp.partition): (each.offset, each.metadata)
            for tp, each in kept.items()
            if tp.topic in names and each.offset >= 0
        }

    @once
    def catalog(self) -> CatalogSeen:
        """Everything that the catalog's topic holds."""
        history, size, times, begin = History(), 0, dict[int, int](), 0
        with self._consumer(CATALOG) as (consumer, place):
            begin, end = consumer.beginning_offsets([place])[place], consumer.end_offsets([place])[place]
            consumer.seek(place, begin)
            while consumer.position(place) < end:
                for record in consumer.poll(timeout_ms=500).get(place, ()):
                    history.append(record.offset, record.timestamp, record.value)
                    size += len(record.value or b"")
                    times[record.offset] = record.timestamp
        return CatalogSeen(history, begin, len(times), size, times)

    def logs(self) -> LogsInForce | None:
        """Which logs the installation's offsets belong to, as the catalog says."""
        return self.catalog().history.newest.logs

    @once
    def heard(self) -> health.Heard:
        """What the workers said lately, and who of them speaks now."""
        with self._consumer(HEALTH) as (consumer, place):
            return health.listen(consumer, place)

    def starts(self, stage: str) -> str:
        """The command that has a stage worked on; where nobody works on any, the one that starts them all."""
        try:
            heard = self.heard()
        except PeekproofError:
            return f"peekproof worker {stage}"
        return f"peekproof worker {stage}" if any(map(heard.living, STAGES)) else "peekproof up"

    @once
    def standings(self) -> dict[SourcePartition, Standing]:
        """What workers of aggregation and identity would begin with. It may lie in a store that is away."""
        found: Future[dict[SourcePartition, Standing]] = Future()

        def look() -> None:
            try:
                found.set_result(standings(self.settings))
            except BaseException as error:  # raised below
                found.set_exception(error)

        Thread(target=look, name="doctor standings", daemon=True).start()
        try:
            return found.result(STORE_SECONDS)
        except TimeoutError:
            place = self.settings.checkpoint_location
            raise PeekproofError(f"{place} does not answer within {STORE_SECONDS:.0f} s") from None

    @once
    def stored(self) -> dict[SourcePartition, int]:
        """The next offsets of the private store, which nobody owns now."""
        return stored_offsets(self.settings.data / "store")

    @once
    def archived(self) -> dict[SourcePartition, "list[ArchiveFile] | ArchiveGapError"]:
        """The archive's files of each partition, or what is the matter with them."""
        directory = self.settings.data / "archive"
        found: dict[SourcePartition, list[ArchiveFile] | ArchiveGapError] = {}
        for topic in self.topics:
            for number in partitions(directory, topic):
                try:
                    found[topic, number] = chain(directory, topic, number)
                except ArchiveGapError as error:
                    found[topic, number] = error
        return found

    def close(self) -> None:
        """Disconnect."""
        admin = self.known.get("admin")
        if admin and admin.done() and not admin.exception():
            admin.result().close()

    def _require_brokers(self) -> None:
        try:
            usable = [place for place, failure in self.brokers().items() if failure is None]
        except PeekproofError:
            usable = []
        if not usable:
            raise UnseenError("no broker can be used from here, so it is not seen")

    @contextmanager
    def _consumer(self, topic: str) -> Iterator[tuple["KafkaConsumer", Any]]:
        """A consumer of a topic's only partition."""
        from kafka import KafkaConsumer, TopicPartition  # noqa: PLC0415 (slow to import)
        from kafka.errors import for_code  # noqa: PLC0415

        if code := self.described()[topic]["error_code"]:
            raise UnseenError(f"topic {self.settings.topic(topic)} cannot be read ({for_code(code).__name__})")
        with answering(self.settings):
            consumer = KafkaConsumer(
                **kafka_python_arguments(self.settings),
                group_id=None,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                max_partition_fetch_bytes=MAX_MESSAGE_BYTES,
                fetch_max_wait_ms=100,
            )
            try:
                place = TopicPartition(self.settings.topic(topic), 0)
                consumer.assign([place])
                yield consumer, place
            finally:
                consumer.close()
