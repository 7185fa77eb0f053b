"""`peekproof results`, `dead-letters` and `replay` as a person uses them, on a real broker."""

import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result
from kafka import KafkaProducer
from kafka.admin import ConfigResource, KafkaAdminClient

from pipeline.cli import command
from pipeline.errors import PeekproofError
from pipeline.kafka.clients import kafka_python_arguments
from pipeline.kafka.reading import headers_of, read_topic
from pipeline.settings import Settings
from schemas.dead_letter import DeadLetter, to_headers
from schemas.health import WorkerHealth
from schemas.look import Look, Loss
from schemas.topics import DEAD_LETTERS, EVENTS, HEALTH, RESULTS
from tests.live import wait_for
from tests.pipeline.shop import Shop

Looks = Callable[..., list[tuple[int, int, int, bytes | None]]]
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


def call(settings: Settings, *arguments: str) -> Result:
    result = CliRunner().invoke(command, arguments, env=settings.environment(), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def lines(result: Result) -> list[dict[str, object]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture
def producer(deployment: Settings) -> Iterator[KafkaProducer]:
    made = KafkaProducer(**kafka_python_arguments(deployment))
    yield made
    made.close()


@pytest.fixture
def letters(deployment: Settings, producer: KafkaProducer) -> Settings:
    """A deployment with three letters, one of them written twice, and a record of somebody else."""
    for letter in (BROKEN, ONE_OF_MANY, EMPTY, BROKEN):
        topic, key = deployment.topic(DEAD_LETTERS), letter.reason.encode()
        producer.send(topic, key=key, value=letter.value, headers=to_headers(letter))
    producer.send(deployment.topic(DEAD_LETTERS), value=b"foreign")
    producer.flush()
    return deployment


def test_letters_are_listed_once_per_origin_with_their_whole_value(letters: Settings) -> None:
    result = call(letters, "dead-letters", "--json")

    told = {letter["origin"]: letter for letter in lines(result)}
    assert len(lines(result)) == 3
    assert told["events/5/17"]["value_base64"] == "/3s="
    assert told["events/5/17"]["append_time"] == 1_700_000_000_123
    assert told["events/2/3/1"]["value"] == '{"event_type":"a"}'
    assert told["events/0/1"]["value"] is None
    assert "is set aside: no dead letter" in result.stderr


def test_letters_are_listed_by_reason_in_a_table(letters: Settings) -> None:
    table = call(letters, "dead-letters", "--reason", "not json").stdout

    assert "events/5/17" in table
    assert "2023-11-14 22:13:20" in table
    assert "[no] JSON" in table
    assert "no unit" not in table
    assert call(letters, "dead-letters", "--reason", "future").stdout == "there are none with the reason 'future'\n"
    refused = CliRunner().invoke(command, ("dead-letters", "--reason", "futur"), env=letters.environment())
    assert refused.exit_code == 2
    assert "'futur' is not one of 'empty'" in refused.output


def test_a_letter_shows_its_control_characters_instead_of_ruling_the_terminal(
    deployment: Settings, producer: KafkaProducer
) -> None:
    letter = msgspec.structs.replace(BROKEN, detail="\x1b[2J at :100:", value="\x1b]0;mine\x07{\x9bK".encode())
    producer.send(deployment.topic(DEAD_LETTERS), value=letter.value, headers=to_headers(letter))
    foreign = msgspec.structs.replace(BROKEN, topic="\x1b[2J")
    producer.send(deployment.topic(DEAD_LETTERS), value=b"{", headers=to_headers(foreign))
    producer.flush()

    result = call(deployment, "dead-letters")

    assert "\\x1b[2J at :100:" in result.stdout
    assert "\\x1b]0;mine\\x07{\\x9bK" in result.stdout
    assert "its origin is topic '\\x1b[2J'" in result.stderr


def test_letters_go_back_to_their_topic_and_partition_with_their_append_time(letters: Settings) -> None:
    assert lines(call(letters, "dead-letters", "--resend", "--json")) == [{"resent": 3}]

    sent = {record.partition: record for record in read_topic(letters, EVENTS)}
    assert sent[5].value == b"\xff{"
    assert headers_of(sent[5]) == [
        ("trace", b"t"),
        ("peekproof-append-time", b"1700000000123"),
        ("peekproof-origin", b"events/5/17"),
    ]
    assert sent[2].value == b'{"event_type":"a"}'
    assert [name for name, _ in headers_of(sent[2])] == ["peekproof-append-time", "peekproof-origin"]
    assert sent[0].value is None


def test_a_letter_that_its_topic_finds_too_large_is_told_and_costs_itself_alone(
    letters: Settings, producer: KafkaProducer
) -> None:
    topic, setting = letters.topic(EVENTS), "max.message.bytes"
    admin = KafkaAdminClient(**kafka_python_arguments(letters))
    admin.alter_configs([ConfigResource("topic", topic, configs={setting: "100000"})])
    asked = [ConfigResource("topic", topic)]
    wait_for(lambda: setting in admin.describe_configs(asked)["topic"][topic])  # of what is not the default
    admin.close()
    for offset, value in ((1, random.Random(1).randbytes(200_000)), (2, b"x" * 200_000)):
        letter = msgspec.structs.replace(BROKEN, offset=offset, value=value)
        producer.send(letters.topic(DEAD_LETTERS), value=value, headers=to_headers(letter))
    producer.flush()

    result = call(letters, "dead-letters", "--resend", "--json")

    assert lines(result) == [{"resent": 4}]
    assert "events/5/1 is larger than its topic takes" in result.stderr
    assert len(list(read_topic(letters, EVENTS))) == 4


def test_a_letter_whose_origin_is_no_input_is_not_sent(deployment: Settings, producer: KafkaProducer) -> None:
    forged = DeadLetter(reason="empty", detail="d", topic="catalog", partition=0, offset=1, append_time=6, value=b"{}")
    producer.send(deployment.topic(DEAD_LETTERS), value=forged.value, headers=to_headers(forged))
    producer.flush()

    result = call(deployment, "dead-letters", "--resend")

    assert result.stdout == "sent 0 letters to their topics again\n"
    assert "its origin is topic 'catalog'" in result.stderr


def test_results_shows_the_newest_look_and_with_json_all_of_them_as_published(
    deployment: Settings, producer: KafkaProducer, looks: Looks
) -> None:
    empty = call(deployment, "results").stdout
    records = [*looks(1, 2), *looks(4, 4), *looks(4, 4), *looks(1, 1, run="exp-2")]
    values = [value.replace(b'"segment":"all"', b'"segment":"site=[/shop]"') for _, _, _, value in records]
    for value in values:
        producer.send(deployment.topic(RESULTS), partition=0, key=b"k", value=value)
    producer.flush()

    table = call(deployment, "results").stdout
    printed = call(deployment, "results", "--json").stdout

    assert empty == "there are none yet; `peekproof experiment start KEY` begins a run\n"
    assert "checkout exp-1, look 4, 400 units: keep running" in table
    assert "look 2" not in table
    assert "site=[/shop]" in table
    assert "-0.25 to 0.5" in table  # what all looks so far say
    assert "-0.5 to 0.75" not in table
    assert printed.encode().splitlines() == [values[0], values[1], values[2], values[4]]


def test_results_tells_of_a_metric_that_says_nothing_its_status_alone(
    deployment: Settings, producer: KafkaProducer, looks: Looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    ((_, _, _, value),) = looks(1, 1)
    look = msgspec.json.decode(value or b"", type=Look)
    lost, gated, *others = look.cells
    lost = msgspec.structs.replace(lost, status="unusable", unusable_share=0.042, example='"EUR 7"')
    gated = msgspec.structs.replace(gated, status="gated", variant="gated")
    loss = Loss(metric=lost.metric, events=1_000, unusable=42, scale=2, example='"EUR 7"')
    health = msgspec.structs.replace(look.health, losses=[loss])
    look = msgspec.structs.replace(look, cells=[lost, gated, *others], health=health)
    producer.send(deployment.topic(RESULTS), partition=0, key=b"k", value=msgspec.json.encode(look)).get()

    for width in ("200", "60"):
        monkeypatch.setenv("COLUMNS", width)
        table = call(deployment, "results").stdout

        assert '42 of 1,000 events hold no number that can be used (such as "EUR 7")' in " ".join(table.split())
        for status in ("unusable", "gated"):
            (row,) = (line for line in table.splitlines() if f"{status} " in line)
            assert "0.125" not in row  # its p
            assert "-0.25" not in row
        assert "0.1 " not in next(line for line in table.splitlines() if "unusable " in line)


def test_results_says_of_a_run_without_a_look_what_it_waits_for(
    deployment: Settings, producer: KafkaProducer, looks: Looks, tmp_path: Path
) -> None:
    shop = Shop(tmp_path / "configs", deployment)
    shop.apply()
    assert "there are none yet" in shop.call("results").stdout  # it is a draft
    shop.call("experiment", "start", "button")

    nobody = shop.call("results").stdout
    followed = start(["results", "--follow"], deployment)
    assert followed.stdout is not None
    line = followed.stdout.readline()
    followed.terminate()
    followed.wait()
    with beating(deployment, producer, "assignment", "aggregation", "significance"):
        working = shop.call("results").stdout
        json_alone = shop.call("results", "--json")
    (_, _, _, value), *_ = looks(1, 1)
    producer.send(deployment.topic(RESULTS), value.replace(b'"checkout"', b'"button"'), b"button/exp-1").get()

    without = "button/exp-1 runs, and has no look yet: "
    assert nobody.startswith(f"{without}nobody works on assignment, aggregation, significance; `peekproof up` starts")
    assert line == nobody
    assert working == f"{without}the first one follows as soon as the stages have read its start\n"
    assert (json_alone.stdout, json_alone.stderr) == ("", working)
    assert without not in shop.call("results").stdout
    assert shop.call("results", "--json").stderr == ""


@contextmanager
def beating(settings: Settings, producer: KafkaProducer, *stages: str) -> Iterator[None]:
    """Somebody works on these stages, by what is said on `health`."""
    stopping = threading.Event()

    def beat() -> None:
        while not stopping.wait(0.2):
            for stage in stages:
                said = WorkerHealth(stage=stage, worker="a/1", started=1, cpu_seconds=1, peak_memory=1)
                producer.send(settings.topic(HEALTH), msgspec.json.encode(said), stage.encode())

    beats = threading.Thread(target=beat)
    beats.start()
    yield
    stopping.set()
    beats.join()


def start(arguments: list[str], settings: Settings) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pipeline.cli", *arguments]
    return subprocess.Popen(command, env=os.environ | settings.environment(), stdout=subprocess.PIPE, text=True)


def test_following_goes_on_with_what_comes(deployment: Settings, producer: KafkaProducer) -> None:
    topic = deployment.topic(RESULTS)
    producer.send(topic, b"before", b"k").get()

    records = read_topic(deployment, RESULTS, follow=True)
    first = next(records)
    producer.send(topic, b"after", b"k").get()
    second = next(records)
    records.close()  # type: ignore[attr-defined]

    assert (first.value, second.value) == (b"before", b"after")


def test_a_topic_that_is_missing_is_an_error_that_says_what_to_do(broker: str) -> None:
    settings = Settings(bootstrap_servers=broker, prefix="nowhere")

    with pytest.raises(PeekproofError, match=r"'nowhere\.results' does not exist; `peekproof topics` creates it"):
        next(read_topic(settings, RESULTS))


def test_replay_of_an_empty_archive_says_so(tmp_path: Path) -> None:
    settings = Settings(bootstrap_servers="localhost:1", data=tmp_path)
    archive = tmp_path / "archive"

    with pytest.raises(PeekproofError, match=f"there is no archive in '{archive}'; .* PEEKPROOF_DATA=data/demo"):
        call(settings, "replay")
    archive.mkdir()

    assert call(settings, "replay").stdout == f"the archive in '{archive}' holds no published look yet\n"
    assert lines(call(settings, "replay", "--json")) == [{"looks": 0, "outcomes": {}, "replayed": []}]
