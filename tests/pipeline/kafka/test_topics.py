import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from kafka.admin import ConfigResource, KafkaAdminClient

from pipeline.errors import PeekproofError
from pipeline.kafka import topics
from pipeline.kafka.clients import kafka_python_arguments
from pipeline.kafka.topics import TopicDifference
from pipeline.settings import Settings
from schemas.topics import (
    AGGREGATES,
    ARRIVALS,
    CATALOG,
    DEAD_LETTERS,
    EVENTS,
    IDENTITIES,
    MAX_MESSAGE_BYTES,
    RESULTS,
    UNITS,
)
from schemas.topics import topics as wanted
from tests.conftest import deployed


@pytest.fixture
def admin(deployment: Settings) -> Iterator[KafkaAdminClient]:
    client = KafkaAdminClient(**kafka_python_arguments(deployment))
    yield client
    client.close()


def eventually(is_so: Callable[[], bool]) -> None:
    """The controller has answered; the broker hears of the change a moment later."""
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def alter(admin: KafkaAdminClient, topic: str, **config: str) -> None:
    wanted = {key.replace("_", "."): value for key, value in config.items()}
    admin.alter_configs([ConfigResource("topic", topic, configs=wanted)])

    def has_it() -> bool:
        found = admin.describe_configs([ConfigResource("topic", topic)])["topic"][topic]
        return wanted.items() <= {key: entry["value"] for key, entry in found.items()}.items()

    eventually(has_it)


def test_created_topics_have_their_partitions_and_settings(deployment: Settings, admin: KafkaAdminClient) -> None:
    names = {deployment.topic(topic.name): topic for topic in wanted(4)}
    described = admin.describe_topics(list(names))
    configs = admin.describe_configs([ConfigResource("topic", name) for name in names])["topic"]

    assert {topic["name"]: len(topic["partitions"]) for topic in described} == {
        name: topic.partitions for name, topic in names.items()
    }
    for name, topic in names.items():
        assert topic.config.items() <= {key: entry["value"] for key, entry in configs[name].items()}.items()


def test_every_topic_whose_records_have_no_bound_takes_the_largest_messages() -> None:
    large = {topic.name for topic in wanted(4) if topic.config.get("max.message.bytes") == str(MAX_MESSAGE_BYTES)}

    assert large == {UNITS, IDENTITIES, AGGREGATES, RESULTS, CATALOG, DEAD_LETTERS, ARRIVALS}


def test_creating_again_does_nothing(deployment: Settings) -> None:
    assert topics.check(deployment) == []
    assert topics.create(deployment) == []
    topics.require(deployment)


def test_what_does_not_fit_is_said_and_mended(deployment: Settings, admin: KafkaAdminClient) -> None:
    events, units, catalog = (deployment.topic(name) for name in (EVENTS, UNITS, CATALOG))
    alter(admin, events, message_timestamp_type="CreateTime")
    alter(admin, units, max_message_bytes="1000000")
    alter(admin, catalog, retention_ms="604800000", max_message_bytes="1048588")

    expected = [
        TopicDifference(events, "message.timestamp.type", "CreateTime", "LogAppendTime", mendable=True),
        TopicDifference(units, "max.message.bytes", "1000000", "16000000", mendable=True),
        TopicDifference(catalog, "retention.ms", "604800000", "-1", mendable=True),
        TopicDifference(catalog, "max.message.bytes", "1048588", "16000000", mendable=True),
    ]
    assert topics.check(deployment) == expected
    with pytest.raises(PeekproofError) as raised:
        topics.require(deployment)
    assert f"topic {events}: message.timestamp.type is CreateTime, must be LogAppendTime" in str(raised.value)
    assert "`peekproof topics` mends it" in str(raised.value)

    assert topics.create(deployment) == expected
    assert topics.check(deployment) == []


def test_missing_topic_is_created_again(deployment: Settings, admin: KafkaAdminClient) -> None:
    events = deployment.topic(EVENTS)
    admin.delete_topics([events])
    eventually(lambda: events not in admin.list_topics())

    with pytest.raises(PeekproofError, match=r"events does not exist; `peekproof topics` mends it"):
        topics.require(deployment)

    topics.create(deployment)
    topics.require(deployment)


def test_cluster_may_keep_more_than_is_needed(deployment: Settings, admin: KafkaAdminClient) -> None:
    alter(admin, deployment.topic(EVENTS), retention_ms="-1")
    alter(admin, deployment.topic(UNITS), retention_ms=str(90 * 86_400_000), max_message_bytes="20000000")
    events = deployment.topic(EVENTS)
    admin.create_partitions({events: 12})
    eventually(lambda: len(admin.describe_topics([events])[0]["partitions"]) == 12)

    assert topics.check(deployment) == []


def test_partitions_of_units_are_fixed(deployment: Settings, admin: KafkaAdminClient) -> None:
    more = msgspec.structs.replace(deployment, units_partitions=8)
    alter(admin, deployment.topic(EVENTS), retention_ms="1000")

    with pytest.raises(PeekproofError) as raised:
        topics.create(more)

    assert f"topic {deployment.topic(UNITS)}: partitions is 4, must be 8" in str(raised.value)
    assert "set units_partitions (PEEKPROOF_UNITS_PARTITIONS) to 4" in str(raised.value)
    assert [difference.setting for difference in topics.check(more)] == ["partitions"] * 2, "the rest was mended"


@pytest.mark.parametrize(("topic", "partitions"), [(RESULTS, 5), (CATALOG, 2)])
def test_partitions_that_are_too_many_have_a_way_back(
    deployment: Settings, admin: KafkaAdminClient, topic: str, partitions: int
) -> None:
    name = deployment.topic(topic)
    admin.create_partitions({name: partitions})
    eventually(lambda: len(admin.describe_topics([name])[0]["partitions"]) == partitions)

    with pytest.raises(PeekproofError) as raised:
        topics.create(deployment)

    way_back = f"restore {deployment.data}" if topic == CATALOG else "recover accept-gap"
    assert f"topic {name}: partitions is {partitions}, must be {partitions - 1}; " in str(raised.value)
    assert f"delete the topic, `peekproof topics` creates it as it must be, and `peekproof {way_back}`" in str(
        raised.value
    )


def test_kafka_that_is_not_there_is_named() -> None:
    with pytest.raises(PeekproofError, match=r"Kafka at 127\.0\.0\.1:9 .*check PEEKPROOF_BOOTSTRAP_SERVERS"):
        topics.check(Settings(bootstrap_servers="127.0.0.1:9"))


def test_a_cluster_that_is_not_ours_loses_the_topics_of_a_test(
    admin: KafkaAdminClient, broker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PEEKPROOF_BOOTSTRAP_SERVERS", broker)
    monkeypatch.setenv("PEEKPROOF_PREFIX", "theirs")

    with deployed(broker, tmp_path) as settings:
        assert settings.prefix.startswith("theirs.test-")
        assert topics.check(settings) == []

    eventually(lambda: not any(name.startswith(settings.prefix) for name in admin.list_topics()))
