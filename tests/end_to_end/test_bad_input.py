"""Bad input among good, through the real stages: a dead letter, while its neighbours count, and the way back."""

import json
import time
from collections import Counter
from pathlib import Path

from click.testing import CliRunner
from kafka import KafkaProducer

from pipeline.cli import command
from pipeline.settings import Settings
from pipeline.supervisor import Supervisor
from schemas.topics import EVENTS, EXPOSURES
from tests.live import ask, wait_for

METRIC = """
key: buys
owner: tests
type: sum
event: buy
property: price
window: 1h
"""
FLAG = """
key: {key}
owner: tests
variants: [{{key: control}}, {{key: treatment}}]
metrics: [{{metric: buys}}]
"""
BAD_EVENTS = {
    b'{"event_type":"buy","user_id":"a","event_properties":{"price":': "not json",
    b"": "empty",
    b"null": "wrong type",
    b"[1,2]": "wrong type",
    b'{"event_type":"buy","event_properties":{"price":2}}': "no unit",
    b'{"event_type":7,"user_id":"a"}': "wrong type",
    b'{"event_type":"buy","user_id":"a","time":"now"}': "wrong type",
    b'{"event_type":"buy","user_id":"a","event_properties":{"price":1e200}}': "value out of range",
    b'{"event_type":"buy","user_id":"\xff\xfe"}': "not json",
    b'{"event_type":"buy","user_id":"a"},{"event_type":"buy","user_id":"a"}': "not json",
    b'{"event_type":"buy","user_id":"a","big":"' + b"x" * 1_000_001 + b'"}': "too large",
}
BAD_EXPOSURES = {
    b'{"flag_key":"early","variant":"nobody","user_id":"a"}': "unknown variant",
    b'{"flag_key":"early","variant":"control"}': "no unit",
    b'{"flag_key":"late","experiment_key":"exp-1","variant":"control","user_id":"z"}': "unknown flag",
}


def test_bad_input_costs_itself_alone_and_comes_back_when_its_cause_is_mended(
    deployment: Settings, tmp_path: Path
) -> None:
    snapshot = deployment.snapshot
    (tmp_path / "metrics").mkdir()
    (tmp_path / "experiments").mkdir()
    (tmp_path / "metrics" / "buys.yaml").write_text(METRIC)
    (tmp_path / "experiments" / "early.yaml").write_text(FLAG.format(key="early"))
    _call(deployment, "apply", str(tmp_path))
    _call(deployment, "experiment", "start", "early")
    time.sleep(1.5)  # a version applies to what is appended a second later
    _send(deployment)

    with Supervisor(deployment) as supervisor:
        units = "SELECT sum(units) FROM variants WHERE experiment = '{}'"
        total = "SELECT sum(sum + control_sum) FROM results WHERE reading = 'live'"
        wait_for(lambda: ask(snapshot, units.format("early")) == 20)
        wait_for(lambda: ask(snapshot, total) == 20 * 150)
        assert _reasons(deployment) == Counter([*BAD_EVENTS.values(), *BAD_EXPOSURES.values(), "future"])

        (tmp_path / "experiments" / "late.yaml").write_text(FLAG.format(key="late"))
        _call(deployment, "apply", str(tmp_path))
        _call(deployment, "experiment", "start", "late")
        time.sleep(1.5)
        for _ in range(2):  # twice counts once
            _call(deployment, "dead-letters", "--reason", "unknown flag", "--resend")
        wait_for(lambda: ask(snapshot, units.format("late")) == 1)
        assert ask(snapshot, units.format("early")) == 20
    assert [worker.process.returncode for worker in supervisor.workers] == [0] * 6


def _send(settings: Settings) -> None:
    """Good records with bad ones between them, in one partition."""
    producer = KafkaProducer(**settings.kafka_python_arguments(), max_request_size=1 << 22, linger_ms=200)
    now = time.time_ns() // 1_000_000
    bad = {EXPOSURES: list(BAD_EXPOSURES), EVENTS: [*BAD_EVENTS, _event("a", now + 10**9)]}
    good = {EXPOSURES: _exposure, EVENTS: _event}
    for topic, make in good.items():
        for number in range(20):
            producer.send(settings.topic(topic), make(f"u{number}", now + (topic == EVENTS)), partition=0)
            if number < len(bad[topic]):
                producer.send(settings.topic(topic), bad[topic][number], partition=0)
    producer.close()


def _exposure(user: str, at: int) -> bytes:
    variant = "control" if user < "u15" else "treatment"
    return json.dumps({"flag_key": "early", "variant": variant, "user_id": user, "time": at}).encode()


def _event(user: str, at: int) -> bytes:
    return json.dumps({"event_type": "buy", "user_id": user, "time": at, "event_properties": {"price": 1.5}}).encode()


def _reasons(settings: Settings) -> Counter[str]:
    listed = _call(settings, "dead-letters", "--json").splitlines()
    return Counter(json.loads(line)["reason"] for line in listed)


def _call(settings: Settings, *arguments: str) -> str:
    result = CliRunner().invoke(command, arguments, env=settings.environment(), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout
