"""Strangers' records on every topic of ours, before the workers start and while they work: nothing stops for one."""

import json
import re
import time
import urllib.request
from collections import Counter, defaultdict
from pathlib import Path

import msgspec
from kafka import KafkaProducer

from pipeline.settings import Settings
from pipeline.supervisor import Supervisor, Worker
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
from tests.live import ask, wait_for
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
REVENUE = "key: buys\nowner: shop\ntype: sum\nevent: buy\nproperty: price\nwindow: 1h\n"


def test_nothing_stops_for_a_record_that_is_no_message_of_ours(broker: str, tmp_path: Path) -> None:
    with deployed(broker, tmp_path / "data", archive_interval=1_000) as settings:
        shop = Shop(tmp_path / "documents", settings)
        (shop.directory / "metrics" / "buys.yaml").write_text(REVENUE)
        shop.rewrite("  - metric: purchase\n", "  - metric: buys\n")
        places = send_strangers(settings)
        shop.apply()
        shop.call("experiment", "start", "button")
        time.sleep(1.5)  # a version applies to what is appended a second later
        send_batch(settings, range(20))

        with Supervisor(settings, is_open=True) as supervisor:
            units = "SELECT sum(units) FROM variants"
            wait_for(lambda: ask(settings.snapshot, units) == 20)
            places |= send_strangers(settings)
            send_batch(settings, range(20, 40))
            wait_for(lambda: ask(settings.snapshot, units) == 40)
            total = "SELECT sum(sum + control_sum) FROM results WHERE reading = 'live'"
            wait_for(lambda: ask(settings.snapshot, total) == 40 * 150)
            counted = "SELECT sum(counts['set aside: units']) FROM pipeline_health WHERE stage = 'aggregation'"
            wait_for(lambda: (ask(settings.snapshot, counted) or 0) >= 2 * len(SENT[UNITS]))
            served = monitored(supervisor.workers[-1])
        assert [worker.restarts for worker in supervisor.workers] == [0] * 6
        assert [worker.process.returncode for worker in supervisor.workers] == [0] * 6

        told = by_log(settings)
        assert places - set.union(*map(set, told.values())) == set()
        assert {place for log in told.values() for place, times in log.items() if times > 1} == set()
        assert 'peekproof_http_set_aside_total{topic="assignments"} 24.0' in served

        assert "button exp-1" in shop.call("results").stdout
        assert "there are none" in shop.call("dead-letters").output
        assert shop.call("replay").stdout.count("different") == 0


def send_strangers(settings: Settings) -> set[tuple[str, int, int]]:
    """Each record on the topics that it is for; where they stand: topic, partition, offset."""
    producer = KafkaProducer(**settings.kafka_python_arguments(), linger_ms=50, enable_idempotence=False)
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
    producer = KafkaProducer(**settings.kafka_python_arguments(), linger_ms=50)
    for user in users:
        variant = ("control", "treatment")[user % 2]
        exposure = {"flag_key": "button", "variant": variant, "user_id": f"u{user}"}
        event = {"event_type": "buy", "user_id": f"u{user}", "event_properties": {"price": 1.5}}
        producer.send(settings.topic(EXPOSURES), json.dumps(exposure).encode())
        producer.flush()
        producer.send(settings.topic(EVENTS), json.dumps(event).encode())
    producer.close()


def monitored(server: Worker) -> str:
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
