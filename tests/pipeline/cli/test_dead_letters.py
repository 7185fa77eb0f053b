"""`peekproof dead-letters` as a person uses it, on a real broker."""

import random

import msgspec
import pytest
from click.testing import CliRunner
from kafka import KafkaProducer
from kafka.admin import ConfigResource, KafkaAdminClient

from pipeline.cli import command
from pipeline.kafka.clients import kafka_python_arguments
from pipeline.kafka.reading import headers_of, read_topic
from pipeline.settings import Settings
from schemas.dead_letter import DeadLetter, to_headers
from schemas.topics import DEAD_LETTERS, EVENTS
from tests.live import wait_for
from tests.pipeline.cli.calling import call, lines

BROKEN = DeadLetter(
    reason="not json",
    detail="[no] JSON",
    topic=EVENTS,
    partition=5,
    offset=17,
    append_time=1_700_000_000_123,
    headers=(("trace", b"t"),),
    value=b"\xff{",
)


ONE_OF_MANY = DeadLetter(
    reason="no unit",
    detail="d",
    topic=EVENTS,
    partition=2,
    offset=3,
    index=1,
    append_time=5,
    headers=(("content-type", b"application/x-ndjson"),),
    value=b'{"event_type":"a"}',
)


EMPTY = DeadLetter(reason="empty", detail="d", topic=EVENTS, partition=0, offset=1, append_time=6, value=None)


@pytest.fixture
def dead_letters(deployment: Settings, producer: KafkaProducer) -> Settings:
    """A deployment with three dead letters, one of them written twice, and a record of somebody else."""
    for dead_letter in (BROKEN, ONE_OF_MANY, EMPTY, BROKEN):
        topic, key = deployment.topic(DEAD_LETTERS), dead_letter.reason.encode()
        producer.send(topic, key=key, value=dead_letter.value, headers=to_headers(dead_letter))
    producer.send(deployment.topic(DEAD_LETTERS), value=b"foreign")
    producer.flush()
    return deployment


def test_dead_letters_are_listed_once_with_their_whole_value(dead_letters: Settings) -> None:
    result = call(dead_letters, "dead-letters", "--json")

    told = {dead_letter["origin"]: dead_letter for dead_letter in lines(result)}
    assert len(lines(result)) == 3
    assert told["events/5/17"]["value_base64"] == "/3s="
    assert told["events/5/17"]["append_time"] == 1_700_000_000_123
    assert told["events/2/3/1"]["value"] == '{"event_type":"a"}'
    assert told["events/0/1"]["value"] is None
    assert "is set aside: no dead letter" in result.stderr


def test_each_source_of_a_topic_has_dead_letters_of_its_own_that_are_listed_and_sent_again(
    deployment: Settings, producer: KafkaProducer
) -> None:
    orders = msgspec.structs.replace(BROKEN, topic="@shop.orders", source="orders")
    for dead_letter in (
        orders,
        msgspec.structs.replace(orders, source="seen"),
        msgspec.structs.replace(orders, reason="no unit"),  # shared by elements, as the first: both hold the record
        orders,
    ):
        producer.send(deployment.topic(DEAD_LETTERS), value=dead_letter.value, headers=to_headers(dead_letter))
    producer.flush()

    listed = [(told["source"], told["reason"]) for told in lines(call(deployment, "dead-letters", "--json"))]

    assert sorted(listed) == [("orders", "no unit"), ("orders", "not json"), ("seen", "not json")]
    assert lines(call(deployment, "dead-letters", "--resend", "--json")) == [{"resent": 2}]
    sent = [dict(headers_of(record))["peekproof-source"] for record in read_topic(deployment, EVENTS)]
    assert sorted(sent) == [b"orders", b"seen"]


def test_dead_letters_are_listed_by_reason_in_a_table(dead_letters: Settings) -> None:
    table = call(dead_letters, "dead-letters", "--reason", "not json").stdout

    assert "events/5/17" in table
    assert "2023-11-14 22:13:20" in table
    assert "[no] JSON" in table
    assert "no unit" not in table
    assert (
        call(dead_letters, "dead-letters", "--reason", "future").stdout == "there are none with the reason 'future'\n"
    )
    refused = CliRunner().invoke(command, ("dead-letters", "--reason", "futur"), env=dead_letters.environment())
    assert refused.exit_code == 2
    assert "'futur' is not one of 'empty'" in refused.output


def test_a_dead_letter_shows_its_control_characters_instead_of_ruling_the_terminal(
    deployment: Settings, producer: KafkaProducer
) -> None:
    dead_letter = msgspec.structs.replace(BROKEN, detail="\x1b[2J at :100:", value="\x1b]0;mine\x07{\x9bK".encode())
    producer.send(deployment.topic(DEAD_LETTERS), value=dead_letter.value, headers=to_headers(dead_letter))
    foreign = msgspec.structs.replace(BROKEN, topic="\x1b[2J")
    producer.send(deployment.topic(DEAD_LETTERS), value=b"{", headers=to_headers(foreign))
    producer.flush()

    result = call(deployment, "dead-letters")

    assert "\\x1b[2J at :100:" in result.stdout
    assert "\\x1b]0;mine\\x07{\\x9bK" in result.stdout
    assert "its origin is topic '\\x1b[2J'" in result.stderr


def test_dead_letters_go_back_to_their_topic_and_partition_with_their_append_time(dead_letters: Settings) -> None:
    assert lines(call(dead_letters, "dead-letters", "--resend", "--json")) == [{"resent": 3}]

    sent = {record.partition: record for record in read_topic(dead_letters, EVENTS)}
    assert sent[5].value == b"\xff{"
    assert headers_of(sent[5]) == [
        ("trace", b"t"),
        ("peekproof-append-time", b"1700000000123"),
        ("peekproof-origin", b"events/5/17"),
    ]
    assert sent[2].value == b'{"event_type":"a"}'
    assert [name for name, _ in headers_of(sent[2])] == ["peekproof-append-time", "peekproof-origin"]
    assert sent[0].value is None


def test_a_dead_letter_that_its_topic_finds_too_large_is_told_and_costs_itself_alone(
    dead_letters: Settings, producer: KafkaProducer
) -> None:
    topic, setting = dead_letters.topic(EVENTS), "max.message.bytes"
    admin = KafkaAdminClient(**kafka_python_arguments(dead_letters))
    admin.alter_configs([ConfigResource("topic", topic, configs={setting: "100000"})])
    asked = [ConfigResource("topic", topic)]
    wait_for(lambda: setting in admin.describe_configs(asked)["topic"][topic])  # of what is not the default
    admin.close()
    for offset, value in ((1, random.Random(1).randbytes(200_000)), (2, b"x" * 200_000)):
        dead_letter = msgspec.structs.replace(BROKEN, offset=offset, value=value)
        producer.send(dead_letters.topic(DEAD_LETTERS), value=value, headers=to_headers(dead_letter))
    producer.flush()

    result = call(dead_letters, "dead-letters", "--resend", "--json")

    assert lines(result) == [{"resent": 4}]
    assert "events/5/1 is larger than its topic takes" in result.stderr
    assert len(list(read_topic(dead_letters, EVENTS))) == 4


def test_a_dead_letter_whose_origin_is_no_input_is_not_sent(deployment: Settings, producer: KafkaProducer) -> None:
    forged = DeadLetter(reason="empty", detail="d", topic="catalog", partition=0, offset=1, append_time=6, value=b"{}")
    producer.send(deployment.topic(DEAD_LETTERS), value=forged.value, headers=to_headers(forged))
    producer.flush()

    result = call(deployment, "dead-letters", "--resend")

    assert result.stdout == "sent 0 dead letters to their topics again\n"
    assert "its origin is topic 'catalog'" in result.stderr
