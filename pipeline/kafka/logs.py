"""Logs: whether the cluster's topics are those that the installation's offsets belong to.

The catalog's document `logs` says which they are (see schemas.logs); the first worker of the assignment stage begins
it. Every worker compares it with the cluster when it starts and while it runs, and stops where a topic was made anew.
"""

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from evaluation.catalog.logs import LogsInForce
from pipeline import durable
from pipeline.errors import PeekproofError
from pipeline.kafka.clients import kafka_python_arguments
from pipeline.settings import Settings
from schemas.logs import Log, Logs
from schemas.topics import ARRIVALS, CATALOG, IDENTITIES, MARK, UNITS, topics

if TYPE_CHECKING:
    from kafka.admin import KafkaAdminClient

    from pipeline.storage.checkpoints import Checkpoint

NO_TOPIC = "there is no such topic; it is read once there is"
GO_ON = "`peekproof recover accept-gap` shows what is lost and goes on"
FOREIGN = "It is of another installation, or of this one before its topics were deleted"
REBUILD = "`peekproof recover rebuild` makes the state anew from the archive, as far as that reaches"


NOTE = "logs.json"  # beside what a stage keeps in a directory


def restore(settings: Settings) -> str:
    """What brings the catalog back."""
    return f"`peekproof restore {settings.data}` brings the former catalog back"


FOLDS = {UNITS: "aggregation", IDENTITIES: "identity"}  # the stages that keep states of these topics


class LogError(PeekproofError):
    """A log is not the one that a state belongs to, or no longer holds what the state needs next."""


class ClusterTopics(NamedTuple):
    """The cluster, and Kafka's id of each topic that there is (without the prefix); empty where brokers give none."""

    cluster: str
    topics: dict[str, str]


class LogPlace(NamedTuple):
    """Where a stage goes on in a partition whose log holds the offsets [begin, end), all of them the installation's."""

    topic: str
    partition: int
    next: int
    begin: int
    end: int


class CommittedLogs(msgspec.Struct, frozen=True):
    """What is committed beside an offset: the ids of the logs of its topic and of the catalog that it was read by."""

    log: str
    catalog: str


def find(admin: "KafkaAdminClient", settings: Settings, foreign: Iterable[str] = ()) -> ClusterTopics:
    """What the cluster has, of our topics and of those of others that are named."""
    return look(admin, settings, foreign)[0]


def look(admin: "KafkaAdminClient", settings: Settings, foreign: Iterable[str]) -> tuple[ClusterTopics, dict[str, str]]:
    """The same, and why topics of others cannot be read. None is made by asking."""
    names = {settings.topic(topic.name): topic.name for topic in topics(settings.units_partitions)}
    names |= {settings.topic(topic): topic for topic in foreign}
    described = {names[each["name"]]: each for each in admin.describe_topics(sorted(names))}
    ids = {topic: str(each["topic_id"] or "") for topic, each in described.items() if not each["error_code"]}
    faults = {topic: fault for topic in foreign if (fault := _read_fault(described[topic]))}
    return ClusterTopics(admin.describe_cluster()["cluster_id"] or "", ids), faults


def _read_fault(described: dict[str, Any]) -> str | None:
    from kafka.errors import NoError, TopicAuthorizationFailedError, UnknownTopicOrPartitionError, for_code  # noqa: PLC0415

    error, allowed = for_code(described["error_code"]), described["authorized_operations"]
    if error is UnknownTopicOrPartitionError:
        return NO_TOPIC
    if error is TopicAuthorizationFailedError:
        return "this user may not describe it: allow DESCRIBE and READ"
    if error is not NoError:
        return f"the brokers say {error.__name__}"
    is_known = bool(allowed)  # older brokers say nothing, and leave it to the reading
    return "this user may not read it: allow READ" if is_known and "READ" not in allowed else None


def first(found: ClusterTopics) -> Logs:
    """The document's first version."""
    return Logs(cluster=found.cluster, topics={topic: Log(id=log) for topic, log in sorted(found.topics.items())})


def made_anew(logs: LogsInForce, found: ClusterTopics) -> dict[str, str]:
    """The topics whose log is another one than that in force, and its id; `arrivals` is read anew by whoever starts."""
    standing = logs.definition.topics
    return {
        topic: log
        for topic, log in found.topics.items()
        if log and topic in standing and standing[topic].id not in {"", log} and topic != ARRIVALS
    }


def require(settings: Settings, logs: LogsInForce | None, found: ClusterTopics) -> None:
    """Raises LogError where a topic was made anew since the offsets of the installation were taken."""
    if logs is None:
        return
    lines = [
        f"topic {settings.topic(topic)} was made anew: offsets of this installation belong to its log "
        f"{logs.definition.topics[topic].id} on cluster {logs.definition.cluster}; here is log {log} on cluster "
        f"{found.cluster}. Nothing is read or written before somebody decides: "
        f"{restore(settings) if topic == CATALOG else GO_ON}"
        for topic, log in made_anew(logs, found).items()
        if not topic.startswith(MARK)  # those are left alone until somebody decides
    ]
    if lines:
        raise LogError("\n".join(lines))


def is_committed_here(
    settings: Settings, logs: LogsInForce | None, found: ClusterTopics, topic: str, said: str
) -> bool:
    """Whether an offset was committed for the topic's log of today, by what was committed beside it.

    False for a former log, which somebody decided to leave; text that is not ours says nothing. Raises LogError for a
    log that the installation does not know, and for one that was read by a catalog that it does not know.
    """
    try:
        kept = msgspec.json.decode(said, type=CommittedLogs)
    except msgspec.MsgspecError:
        return True
    for name, log in ((topic, kept.log), (CATALOG, kept.catalog)):
        now = found.topics.get(name, "")
        if log and now and log != now and not (logs and logs.knows(name, log)):
            way_out = GO_ON if name != CATALOG else restore(settings)
            raise LogError(
                f"topic {settings.topic(name)} was made anew: the group's offsets on {settings.topic(topic)} were "
                f"committed with its log {log}; here is log {now} on cluster {found.cluster}. {way_out}"
            )
    return kept.log in {"", found.topics.get(topic, "")}


def belong(
    settings: Settings, directory: Path, names: Iterable[str], logs: LogsInForce | None, found: ClusterTopics
) -> None:
    """Note beside what a stage keeps in a directory which logs its offsets belong to.

    Raises LogError where it belongs to logs that this installation never had.
    """
    kept = require_belonging(settings, directory, logs, found)
    now = {topic: found.topics.get(topic, "") for topic in names}
    if kept != ClusterTopics(found.cluster, now):
        directory.mkdir(parents=True, exist_ok=True)
        with durable.writing(directory / NOTE) as temporary:
            temporary.write_bytes(msgspec.json.encode(ClusterTopics(found.cluster, now)))


def require_belonging(
    settings: Settings, directory: Path, logs: LogsInForce | None, found: ClusterTopics
) -> ClusterTopics:
    """What was noted beside what a stage keeps. Raises LogError as `belong` does."""
    note = directory / NOTE
    if not note.exists():
        return ClusterTopics("", {})
    try:
        kept = msgspec.json.decode(note.read_bytes(), type=ClusterTopics)
    except msgspec.MsgspecError as error:
        raise LogError(f"'{note}' is damaged ({error}); delete it if '{directory}' is this installation's") from error
    for topic, former in kept.topics.items():
        log = found.topics.get(topic, "")
        if former not in {"", log} and not (logs and logs.knows(topic, former)):
            raise LogError(
                f"'{directory}' belongs to the log {former} of {settings.topic(topic)} on cluster {kept.cluster}, "
                f"which this installation never had; here is log {log} on cluster {found.cluster}. "
                f"{FOREIGN}: move it away to begin anew, or `peekproof restore` what it is of from a backup"
            )
    return kept


def require_known(
    settings: Settings, logs: LogsInForce | None, found: ClusterTopics, checkpoint: "Checkpoint", topic: str = UNITS
) -> None:
    """Raises LogError where a checkpoint of a topic belongs to a log that the installation never had."""
    log, here = checkpoint.log, found.topics.get(topic)
    if log and log != here and not (logs and logs.knows(topic, log)):
        raise LogError(
            f"{FOLDS[topic]}: the checkpoint {checkpoint.path} belongs to the log {log} of {settings.topic(topic)} on "
            f"cluster {checkpoint.cluster}, which this installation never had; here is log {here} on cluster "
            f"{found.cluster}. {FOREIGN}: move '{settings.checkpoint_location}' away to begin anew, or "
            "`peekproof restore` what it is of from a backup"
        )


def require_held(settings: Settings, stage: str, place: LogPlace) -> None:
    """Raises LogError where the log doesn't hold what the stage must read next."""
    name = f"{stage}: {settings.topic(place.topic)}/{place.partition} must be read from offset {place.next} on, but"
    if place.next > place.end:
        raise LogError(
            f"{name} its log ends at {place.end}: its end was lost, or the state belongs to another log. "
            f"{GO_ON}; {REBUILD}"
        )
    if place.next < place.begin:
        raise LogError(
            f"{name} its log begins at {place.begin}: {place.begin - place.next} offsets are lost to this stage "
            f"(retention, or somebody deleted them). {GO_ON}; {REBUILD}"
        )


class LogWatch:
    """Looks at the cluster's topics: one connection, kept open; of a thread of its own."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._admin: KafkaAdminClient | None = None

    async def find(self) -> ClusterTopics:
        """What the cluster has now. Raises what kafka-python does."""
        return (await self.look(()))[0]

    async def look(self, foreign: Iterable[str]) -> tuple[ClusterTopics, dict[str, str]]:
        """The same, with topics of others, and why such cannot be read."""
        return await asyncio.to_thread(self._look, list(foreign))

    async def names(self) -> list[str]:
        """What all topics of the cluster are called that we may describe."""
        return await asyncio.to_thread(lambda: list(self._connected().list_topics()))

    def close(self) -> None:
        """Disconnect."""
        if self._admin is not None:
            self._admin.close()

    def _look(self, foreign: list[str]) -> tuple[ClusterTopics, dict[str, str]]:
        return look(self._connected(), self._settings, foreign)

    def _connected(self) -> "KafkaAdminClient":
        from kafka.admin import KafkaAdminClient  # noqa: PLC0415 (slow to import)

        if self._admin is None:
            self._admin = KafkaAdminClient(client_id="peekproof-logs", **kafka_python_arguments(self._settings))
        return self._admin
