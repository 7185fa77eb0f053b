"""Records that nobody can use, before the workers start and while they work: nothing stops for one.

Strangers' on topics that are ours are set aside. Bad input among good is a dead letter, while its neighbours count, and
comes back when its cause is mended.
"""

import json
import re
import time
import urllib.request
from collections import Counter, defaultdict
from pathlib import Path

import msgspec
from kafka import KafkaProducer

from pipeline.kafka.clients import kafka_python_arguments
from pipeline.processes.supervisor import SupervisedProcess, Supervisor
from pipeline.settings import Settings
from pipeline.stages import STAGES
from schemas.topics import (
    AGGREGATES,
    ASSIGNMENTS,
    CATALOG,
    DEAD_LETTERS,
    EVENTS,
    EXPOSURES,
    HEALTH,
    RESULTS,
    UNITS,
)
from tests.conftest import deployed
from tests.live import ask, wait_for, wait_for_catalog
from tests.pipeline.conftest import health, look
from tests.pipeline.shop import Shop

ANYWHERE = [None, b"", b"hello", b'{"a":1}', b"[]", b"null", b"\xff\xfe\x00", b'"\xff"', b"[" * 50_000, b"1e999"]
HUGE = 10**30


def mutated(message: bytes, **fields: object) -> bytes:
    return msgspec.json.encode(json.loads(message) | fields)


LOOK, BEAT = look(3, run="exp-1"), health("stranger/1", 5)
CELL = json.loads(LOOK)["cells"][0]
AGGREGATE = msgspec.json.encode(
    {"flag": "button", "run": "exp-1", "partition": 0, "offset": 1, "clock": 1, "catalog": 3, "arms": [], "sums": [],
     "metrics": []}
)  # fmt: skip
DOCUMENT = msgspec.json.encode(
    {"kind": "cohort", "key": "c", "version": 1, "base": 0, "author": "-", "time": 1, "reason": "-",
     "spec": {"key": "c", "owner": "-", "ids": []}}
)  # fmt: skip
ABSURD = {
    HEALTH: [mutated(BEAT, started=-1), mutated(BEAT, peak_memory=HUGE), mutated(BEAT, counts={"a": -HUGE})],
    RESULTS: [
        mutated(LOOK, time=HUGE),
        mutated(LOOK, look=-1),
        mutated(LOOK, offsets={"x": 1}),
        mutated(LOOK, cells=[CELL | {"sum": "many"}]),
        mutated(LOOK, cells=[CELL | {"scale": HUGE}]),
        mutated(LOOK, cells="none"),
    ],
    AGGREGATES: [
        mutated(AGGREGATE, partition=99),
        mutated(AGGREGATE, offset=HUGE),
        mutated(AGGREGATE, clock=-1),
        mutated(AGGREGATE, sums=[1], offset=1_000_000),
        *(mutated(AGGREGATE, flag="nosuch", partition=each) for each in range(4)),
    ],
    CATALOG: [mutated(DOCUMENT, version=HUGE), mutated(DOCUMENT, time=HUGE), mutated(DOCUMENT, spec=[HUGE])],
    ASSIGNMENTS: [b'{"origin":"x"}', b'{"origin":"http/","flag_key":"button","variant":7}'],
    DEAD_LETTERS: [],
    UNITS: [],
}
SENT = {topic: [*ANYWHERE, *absurd] for topic, absurd in ABSURD.items()}
PLACE = {AGGREGATES: 5}  # of `button`
TOLD = re.compile(r"the record at offset (\d+) of ([\w-]+)/(\d+) is set aside")
REVENUE = "key: buys\nowner: shop\ntype: sum\nevent: buy\nproperty: price\nwindow: 1h\nscale: 2\n"
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
    b'{"event_type":"buy","user_id":"\xff\xfe"}': "not json",
    b'{"event_type":"buy","user_id":"a"},{"event_type":"buy","user_id":"a"}': "not json",
    b'{"event_type":"buy","user_id":"a","big":"' + b"x" * 1_000_001 + b'"}': "too large",
}
BAD_EXPOSURES = {
    b'{"flag_key":"early","variant":"nobody","user_id":"a"}': "unknown variant",
    b'{"flag_key":"early","variant":"control"}': "no unit",
    b'{"flag_key":"late","experiment_key":"exp-1","variant":"control","user_id":"z"}': "unknown flag",
}


def test_nothing_stops_for_a_record_that_nobody_can_use(broker: str, tmp_path: Path) -> None:
    with deployed(broker, tmp_path / "data", archive_interval=1_000) as settings:
        shop = Shop(tmp_path / "documents", settings)
        (shop.directory / "metrics" / "buys.yaml").write_text(REVENUE)
        (shop.directory / "experiments" / "early.yaml").write_text(FLAG.format(key="early"))
        shop.rewrite("  - metric: purchase\n", "  - metric: buys\n")
        places = send_strangers(settings)
        shop.apply()
        for flag in ("button", "early"):
            shop.call("experiment", "start", flag)
        wait_for_catalog(settings)
        send_batch(settings, range(20))
        send_bad_input(settings)

        with Supervisor(settings, is_open=True) as supervisor:
            wait_for(lambda: counted(settings, "button") == (20, 20 * 150))
            wait_for(lambda: counted(settings, "early") == (20, 20 * 150))
            places |= send_strangers(settings)
            send_batch(settings, range(20, 40))
            wait_for(lambda: counted(settings, "button") == (40, 40 * 150))
            dead_letters = Counter(dead_letter["reason"] for dead_letter in listed(shop))
            assert dead_letters == Counter([*BAD_EVENTS.values(), *BAD_EXPOSURES.values(), "future"])

            (shop.directory / "experiments" / "late.yaml").write_text(FLAG.format(key="late"))
            shop.apply()
            shop.call("experiment", "start", "late")
            wait_for_catalog(settings)
            for _ in range(2):  # twice counts once
                shop.call("dead-letters", "--reason", "unknown flag", "--resend")
            wait_for(lambda: counted(settings, "late")[0] == 1)
            assert counted(settings, "early") == (20, 20 * 150)
            aside = "SELECT sum(counts['set aside: units']) FROM pipeline_health WHERE stage = 'aggregation'"
            wait_for(lambda: (ask(settings.snapshot, aside) or 0) >= 2 * len(SENT[UNITS]))
            served = monitored(supervisor.workers[-1])
        assert [worker.restarts for worker in supervisor.workers] == [0] * (len(STAGES) + 1)
        assert [worker.process.returncode for worker in supervisor.workers] == [0] * (len(STAGES) + 1)

        told = by_log(settings)
        assert places - set.union(*map(set, told.values())) == set()
        assert {place for log in told.values() for place, times in log.items() if times > 1} == set()
        assert 'peekproof_http_set_aside_total{topic="assignments"} 24.0' in served

        assert "button exp-1" in shop.call("results").stdout
        assert shop.call("replay").stdout.count("different") == 0


def counted(settings: Settings, experiment: str) -> tuple[int, int]:
    """Units of an experiment, and a hundred times what they paid."""
    units = f"SELECT sum(units) FROM variants WHERE experiment = '{experiment}'"
    total = f"SELECT sum(sum + control_sum) FROM results WHERE reading = 'live' AND experiment = '{experiment}'"
    return ask(settings.snapshot, units) or 0, ask(settings.snapshot, total) or 0


def listed(shop: Shop) -> list[dict[str, str]]:
    """The dead letters."""
    return [json.loads(line) for line in shop.call("dead-letters", "--json").stdout.splitlines()]


def send_strangers(settings: Settings) -> set[tuple[str, int, int]]:
    """Each record on the topics that it is for; where they stand: topic, partition, offset."""
    producer = KafkaProducer(**kafka_python_arguments(settings), linger_ms=50, enable_idempotence=False)
    try:
        sent = [
            (topic, producer.send(settings.topic(topic), value, key=b"stranger", partition=PLACE.get(topic, 0)))
            for topic, values in SENT.items()
            for value in values
        ]
        return {(topic, PLACE.get(topic, 0), future.get(10).offset) for topic, future in sent}
    finally:
        producer.close()


def send_batch(settings: Settings, users: range) -> None:
    producer = KafkaProducer(**kafka_python_arguments(settings), linger_ms=50)
    for user in users:
        variant = ("control", "treatment")[user % 2]
        exposure = {"flag_key": "button", "variant": variant, "user_id": f"s{user}"}
        event = {"event_type": "buy", "user_id": f"s{user}", "event_properties": {"price": 1.5}}
        producer.send(settings.topic(EXPOSURES), json.dumps(exposure).encode())
        producer.flush()
        producer.send(settings.topic(EVENTS), json.dumps(event).encode())
    producer.close()


def send_bad_input(settings: Settings) -> None:
    """Good exposures and events of `early` with bad ones between them, in one partition."""
    producer = KafkaProducer(**kafka_python_arguments(settings), max_request_size=1 << 22, linger_ms=200)
    now = time.time_ns() // 1_000_000
    bad = {EXPOSURES: list(BAD_EXPOSURES), EVENTS: [*BAD_EVENTS, event("a", now + 10**9)]}
    good = {EXPOSURES: exposure, EVENTS: event}
    for topic, make in good.items():
        for number in range(20):
            producer.send(settings.topic(topic), make(f"u{number}", now + (topic == EVENTS)), partition=0)
            if number < len(bad[topic]):
                producer.send(settings.topic(topic), bad[topic][number], partition=0)
    producer.close()


def exposure(user: str, at: int) -> bytes:
    variant = "control" if user < "u15" else "treatment"
    return json.dumps({"flag_key": "early", "variant": variant, "user_id": user, "time": at}).encode()


def event(user: str, at: int) -> bytes:
    return json.dumps({"event_type": "buy", "user_id": user, "time": at, "event_properties": {"price": 1.5}}).encode()


def monitored(server: SupervisedProcess) -> str:
    """What the server, which is ready, tells Prometheus."""
    address = re.search(r"Peekproof answers at (http\S+)", server.log.read_text())
    assert address
    with urllib.request.urlopen(f"{address[1]}/readyz") as ready:
        assert ready.status == 200
    with urllib.request.urlopen(f"{address[1]}/metrics") as metrics:
        return metrics.read().decode()


def by_log(settings: Settings) -> dict[str, Counter[tuple[str, int, int]]]:
    """By process, how often it told of each place."""
    found: dict[str, Counter[tuple[str, int, int]]] = defaultdict(Counter)
    for path in (settings.data / "logs").glob("*.log"):
        for offset, topic, partition in TOLD.findall(path.read_text()):
            found[path.stem][topic, int(partition), int(offset)] += 1
    return found
