"""Topics: makes a cluster look as an installation needs it, and says where it does not."""

import asyncio
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from pipeline.errors import PeekproofError
from pipeline.kafka.clients import kafka_python_arguments
from pipeline.kafka.connection import answering, connect
from pipeline.kafka.logs import GO_ON, restore
from pipeline.settings import Settings
from schemas.topics import AGGREGATES, CATALOG, HEALTH, IDENTITIES, RESULTS, UNITS, topics

if TYPE_CHECKING:
    from kafka.admin import KafkaAdminClient

# A key's place or a reader's position rests on the number of partitions. The others may have more than we ask for.
_FIXED = (UNITS, IDENTITIES, AGGREGATES, RESULTS, CATALOG, HEALTH)

# A cluster may keep more, keep longer and let larger messages pass.
_AT_LEAST = ("retention.ms", "max.message.bytes", "min.compaction.lag.ms")

_WAIT_SECONDS = 30.0
_KNOWN_SECONDS = 0.5  # from what a broker tells of a topic to what the partition's leader does

MISSING = "none"
PARTITIONS = "partitions"


class TopicDifference(msgspec.Struct, frozen=True):
    """One thing about one topic (its name on the cluster) that is not as it must be.

    `setting` is `partitions` or one of Kafka's topic settings; `found` is "none" where there is no such topic.
    """

    topic: str
    setting: str
    found: str
    wanted: str
    mendable: bool

    def __str__(self) -> str:
        if self.found == MISSING:
            return f"topic {self.topic} does not exist"
        return f"topic {self.topic}: {self.setting} is {self.found}, must be {self.wanted}"


def check(settings: Settings) -> list[TopicDifference]:
    """What is not as it must be, in the order data flows. Raises PeekproofError when Kafka cannot be asked."""
    with _admin(settings) as admin:
        return differences(admin, settings)


def create(settings: Settings) -> list[TopicDifference]:
    """Creates the topics that are missing and mends the others; what it mended.

    Raises PeekproofError for what Kafka cannot mend, after the rest is mended.
    """
    with _admin(settings) as admin:
        found = differences(admin, settings)
        mended = [difference for difference in found if difference.mendable]
        _mend(admin, settings, mended)
        _wait(admin, settings)
        _refuse(settings, (difference for difference in found if not difference.mendable))
        return mended


def grow(settings: Settings, wanted: dict[str, int]) -> None:
    """Gives topics, which must not be of a fixed size, at least so many partitions."""
    with _admin(settings) as admin:
        described = admin.describe_topics([settings.topic(name) for name in wanted])
        there = {topic["name"]: len(topic["partitions"]) for topic in described}
        more = {settings.topic(name): number for name, number in wanted.items()}
        more = {name: number for name, number in more.items() if number > there[name]}
        if more:
            admin.create_partitions(more)


def take_times(settings: Settings, topic: str, kind: str) -> None:
    """From now on a topic's records have their producers' times (`CreateTime`) or the broker's (`LogAppendTime`)."""
    from kafka.admin import ConfigResource  # noqa: PLC0415

    name, setting = settings.topic(topic), "message.timestamp.type"
    with _admin(settings) as admin:
        admin.alter_configs([ConfigResource("topic", name, configs={setting: kind})])
        deadline = time.monotonic() + _WAIT_SECONDS
        asked = [ConfigResource("topic", name, configs={setting: None})]
        while admin.describe_configs(asked, config_filter="all")["topic"][name][setting]["value"] != kind:
            if time.monotonic() > deadline:
                raise PeekproofError(f"topic {name} has not taken {setting}={kind} in {_WAIT_SECONDS:.0f} s")
            time.sleep(0.05)
        time.sleep(_KNOWN_SECONDS)


def delete(settings: Settings) -> None:
    """Deletes the installation's topics, with everything that they hold."""
    with _admin(settings) as admin:
        wanted = {settings.topic(topic.name) for topic in topics(settings.units_partitions)}
        admin.delete_topics(sorted(wanted & set(admin.list_topics())))


def require(settings: Settings) -> None:
    """Raises PeekproofError, saying what to do, unless every topic is as it must be: a worker's first step."""
    _refuse(settings, check(settings))


def remedy(settings: Settings, difference: TopicDifference) -> str:
    """What mends it."""
    if difference.mendable:
        return "`peekproof topics` mends it"
    if difference.topic == settings.topic(UNITS):
        return (
            "it is fixed for the life of an installation: set units_partitions "
            f"(PEEKPROOF_UNITS_PARTITIONS) to {difference.found}"
        )
    way_back = restore(settings) if difference.topic == settings.topic(CATALOG) else GO_ON
    return (
        "Kafka cannot move the records that it holds: delete the topic, `peekproof topics` creates it as it must be, "
        f"and {way_back}"
    )


def told(settings: Settings, found: Iterable[TopicDifference]) -> Iterator[tuple[str, bool]]:
    """What is wrong, a sentence each, one for all that are missing, and whether `peekproof topics` mends it."""
    found = list(found)
    missing = [each.topic for each in found if each.found == MISSING]
    if len(missing) > 1:
        what = f"the topics {', '.join(missing)} do not exist"
        if len(missing) == len(topics(settings.units_partitions)):
            what = f"none of Peekproof's topics exists here yet, such as {missing[0]}"
        yield f"{what}; `peekproof topics` makes them", True
    for each in found:
        if each.found != MISSING or len(missing) == 1:
            yield f"{each}; {remedy(settings, each)}", each.mendable


def _refuse(settings: Settings, found: Iterable[TopicDifference]) -> None:
    if lines := [line for line, _ in told(settings, found)]:
        raise PeekproofError("\n".join(lines))


def _wait(admin: "KafkaAdminClient", settings: Settings) -> None:
    """Until the brokers, too, know what the controller has agreed to."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while remaining := [difference for difference in differences(admin, settings) if difference.mendable]:
        if time.monotonic() > deadline:
            raise PeekproofError(
                f"{remaining[0]}, {_WAIT_SECONDS:.0f} s after Kafka agreed to that; see whether its brokers are well"
            )
        time.sleep(0.05)


def differences(admin: "KafkaAdminClient", settings: Settings) -> list[TopicDifference]:
    """What is not as it must be, in the order data flows. Raises what kafka-python does."""
    from kafka.admin import ConfigResource  # noqa: PLC0415 (slow to import)

    wanted = {settings.topic(topic.name): topic for topic in topics(settings.units_partitions)}
    there = set(admin.list_topics()) & wanted.keys()
    partitions = (
        {topic["name"]: len(topic["partitions"]) for topic in admin.describe_topics(sorted(there))} if there else {}
    )
    asked = [ConfigResource("topic", name, configs=dict.fromkeys(wanted[name].config)) for name in sorted(there)]
    configs = admin.describe_configs(asked, config_filter="all")["topic"] if asked else {}
    found = []
    for name, topic in wanted.items():
        if name not in there:
            found.append(TopicDifference(name, PARTITIONS, MISSING, str(topic.partitions), mendable=True))
            continue
        count, fixed = partitions[name], topic.name in _FIXED
        if count < topic.partitions or (fixed and count > topic.partitions):
            found.append(TopicDifference(name, PARTITIONS, str(count), str(topic.partitions), mendable=not fixed))
        for key, value in topic.config.items():
            actual = configs[name][key]["value"]
            if not _fits(key, actual, value):
                found.append(TopicDifference(name, key, actual, value, mendable=True))
    return found


def _fits(key: str, actual: str, wanted: str) -> bool:
    if key not in _AT_LEAST:
        return actual == wanted
    unlimited = key == "retention.ms" and actual == "-1"
    return unlimited or (wanted != "-1" and int(actual) >= int(wanted))


def _mend(admin: "KafkaAdminClient", settings: Settings, differences: list[TopicDifference]) -> None:
    from kafka.admin import ConfigResource  # noqa: PLC0415
    from kafka.errors import TopicAlreadyExistsError  # noqa: PLC0415

    configs = {settings.topic(topic.name): topic.config for topic in topics(settings.units_partitions)}
    new = {  # the number of replicas is the cluster's affair: its default
        difference.topic: {"num_partitions": int(difference.wanted), "configs": configs[difference.topic]}
        for difference in differences
        if difference.found == MISSING
    }
    if new:
        try:
            admin.create_topics(new)
        except TopicAlreadyExistsError:
            pass  # another process was faster, and asked for the same
    for difference in differences:
        if difference.found == MISSING:
            continue
        if difference.setting == PARTITIONS:
            admin.create_partitions({difference.topic: int(difference.wanted)})
        else:
            change = {difference.setting: difference.wanted}
            admin.alter_configs([ConfigResource("topic", difference.topic, configs=change)])


@contextmanager
def _admin(settings: Settings) -> Iterator["KafkaAdminClient"]:
    from kafka.admin import KafkaAdminClient  # noqa: PLC0415

    asyncio.run(connect(settings))
    with answering(settings):
        admin = KafkaAdminClient(client_id="peekproof-topics", **kafka_python_arguments(settings))
        try:
            yield admin
        finally:
            admin.close()
