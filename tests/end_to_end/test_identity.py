"""People who are anonymous first, on a real broker: what they buy under their name counts for their device's arm."""

import json
import random
import shutil
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from amplitude import Amplitude, BaseEvent, Config, EventOptions, Identify
from amplitude_experiment import RemoteEvaluationClient, RemoteEvaluationConfig, User
from amplitude_experiment.remote.fetch_options import FetchOptions
from kafka import KafkaProducer

from evaluation.significance.look import decode_look
from pipeline.errors import PeekproofError
from pipeline.http.callers.keys import Keys
from pipeline.kafka.clients import kafka_python_arguments
from pipeline.kafka.reading import read_topic
from pipeline.listening import with_free_port
from pipeline.processes.supervisor import Supervisor
from pipeline.settings import Settings
from pipeline.storage.archived import chain
from schemas.look import Look
from schemas.topics import EVENTS, EXPOSURES, IDENTITIES, RESULTS, UNITS
from tests.conftest import deployed
from tests.live import wait_for, wait_for_catalog
from tests.pipeline.shop import Shop

REVENUE = "key: buys\nowner: shop\ntype: sum\nevent: buy\nproperty: price\nwindow: none\n"
FLAG = "unit: device_id\nidentity: user_id\n"
HORIZON = 600_000  # ms: nothing is late, however slow the machine is
PEOPLE = 400
EXPOSED = FetchOptions(tracksExposure=True)
KILLED = ("identity", "assignment", "aggregation", "identity")

ORACLE = """
WITH seen AS (FROM messages WHERE user_id IS NOT NULL AND device_id IS NOT NULL),
first AS (SELECT user_id, min(time) AS time, arg_min(device_id, time) AS device_id FROM seen GROUP BY user_id),
entries AS (
    SELECT device_id, min(time) AS entry, any_value(variant) AS variant
    FROM messages WHERE variant IS NOT NULL GROUP BY device_id
),
bought AS (
    SELECT coalesce(m.device_id, f.device_id) AS device_id, m.time, m.price
    FROM (SELECT DISTINCT * FROM messages WHERE price IS NOT NULL) m
    LEFT JOIN first f ON m.user_id = f.user_id
)
SELECT variant, count(*), sum(revenue)::BIGINT FROM (
    SELECT variant, device_id, coalesce(sum(price) FILTER (time >= entry), 0) AS revenue
    FROM entries LEFT JOIN bought USING (device_id) GROUP BY ALL
) GROUP BY variant ORDER BY variant
"""  # every join lies within a horizon of every event


def test_what_people_buy_counts_for_the_device_that_they_were_seen_with_first(broker: str, tmp_path: Path) -> None:
    fixed = {"horizon": HORIZON, "tolerance": HORIZON, "units_partitions": 4}
    with deployed(broker, tmp_path / "data", archive_interval=1_000, **fixed) as settings:
        shop = _opened(settings, tmp_path)
        messages = _people(time.time_ns() // 1_000_000 + 80_000)  # after the start
        part = -(-len(messages) // (len(KILLED) + 1))
        expected = duckdb.from_arrow(pa.Table.from_pylist(messages)).query("messages", ORACLE).fetchall()
        with Supervisor(settings, workers=2) as supervisor:
            for number, killed in enumerate(KILLED):
                _send(settings, messages[number * part : (number + 1) * part])
                wait_for(lambda: _counted(settings), what="a look")
                next(worker for worker in supervisor.workers if worker.name == killed).process.kill()
            wait_for(lambda: _archived(settings), what="an archive of what the stages say to each other")
        shutil.rmtree(settings.checkpoint_location)
        made = _rebuilt(shop)
        assert min(state["offset"] for state in made["identities"]) > 0
        with Supervisor(settings):
            _send(settings, messages[len(KILLED) * part :])
            wait_for(lambda: _counted(settings) == expected, what=f"{expected}")


def test_who_is_exposed_anonymously_logs_in_and_buys_on_a_server_counts_once_for_the_right_arm(
    broker: str, tmp_path: Path
) -> None:
    with deployed(broker, tmp_path / "data", units_partitions=2) as made:
        settings = with_free_port(made)
        _opened(settings, tmp_path)
        address, met = f"http://127.0.0.1:{settings.http_port}", dict[str, str]()
        _, key = Keys(settings.data).create("server", "tests", "backend")
        answers: list[int] = []
        config = Config(
            server_url=f"{address}/2/httpapi",
            flush_interval_millis=100,
            callback=lambda _, code, __: answers.append(code),
        )
        with Supervisor(settings) as supervisor:
            log = supervisor.workers[-1].log
            wait_for(lambda: "Peekproof answers" in log.read_text(), what="the server")
            analytics = Amplitude(key, config)
            with RemoteEvaluationClient(key, RemoteEvaluationConfig(server_url=address)) as client:
                for number in range(30):
                    device, user = f"phone-{number}", f"ann-{number}"
                    met[user] = client.fetch_v2(User(device_id=device), EXPOSED)["button"].key
                    analytics.identify(Identify().set("plan", "free"), EventOptions(user_id=user, device_id=device))
                    analytics.track(BaseEvent("buy", user_id=user, event_properties={"price": 1 + number}))
            wait_for(lambda: len(answers) == 2 * len(met), what="answers")
            analytics.shutdown()
            arms = Counter(arm for arm in met.values() if arm != "off")  # who is in no segment
            spent = {arm: sum(1 + n for n, its in enumerate(met.values()) if its == arm) for arm in arms}
            expected = [(arm, arms[arm], spent[arm]) for arm in sorted(arms)]
            wait_for(lambda: _counted(settings) == expected, what=f"{expected}")

        assert set(answers) == {200}
        look = _newest(settings)
        assert look is not None
        assert (look.health.unjoined_events, look.health.crossed_people) == (0, 0)


def _opened(settings: Settings, directory: Path) -> Shop:
    """A shop whose experiment by devices, with users behind them, has begun."""
    shop = Shop(directory / "documents", settings)
    (shop.directory / "metrics" / "buys.yaml").write_text(REVENUE)
    shop.rewrite("  - metric: purchase\n", "  - metric: buys\n")
    shop.flag.write_text(shop.flag.read_text() + FLAG)
    shop.apply()
    shop.call("experiment", "start", "button")
    wait_for_catalog(settings)
    return shop


def _people(now: int) -> list[dict[str, Any]]:
    """Messages in no order, some of them twice: who has two devices is joined with the later one first."""
    dice = random.Random(20)
    messages = []

    def say(ago: int, **said: Any) -> None:
        fields = dict.fromkeys(("user_id", "device_id", "variant", "price"))
        messages.append(fields | {"time": now - ago, "insert_id": f"i{len(messages)}"} | said)

    for number in range(PEOPLE):
        user, devices = f"user-{number}", [f"device-{number}-{each}" for each in range(1 + number % 3)]
        for place, device in enumerate(devices):
            say(60_000 - 100 * place, device_id=device, variant="control" if dice.random() < 0.5 else "treatment")
            say(dice.randrange(50_000), device_id=device, price=1)
            say(40_000 - 5_000 * place - number, device_id=device, user_id=user)  # the login
        for _ in range(3):
            say(dice.randrange(70_000), user_id=user, price=dice.randrange(2, 90))
    messages += dice.choices(messages, k=len(messages) // 5)
    dice.shuffle(messages)
    return messages


def _send(settings: Settings, messages: list[dict[str, Any]]) -> None:
    producer = KafkaProducer(**kafka_python_arguments(settings))
    for message in messages:
        said = {name: message[name] for name in ("user_id", "device_id", "time", "insert_id") if message[name]}
        if message["variant"]:
            topic, said = EXPOSURES, said | {"flag_key": "button", "variant": message["variant"]}
        elif message["price"]:
            topic, said = EVENTS, said | {"event_type": "buy", "event_properties": {"price": message["price"]}}
        else:
            topic, said = EVENTS, said | {"event_type": "$identify"}
        producer.send(settings.topic(topic), json.dumps(said).encode())
    producer.close()


def _rebuilt(shop: Shop) -> Any:
    """What `rebuild` says once those that were killed are missed."""
    made: list[Any] = []

    def rebuilt() -> bool:
        with suppress(PeekproofError):
            made.append(shop.told("recover", "rebuild"))
        return bool(made)

    wait_for(rebuilt, what="nobody at work")
    return made[0]


def _archived(settings: Settings) -> bool:
    """Whether the archive holds something of each partition of `units` and `identities`."""
    archive, numbers = settings.data / "archive", range(settings.units_partitions)
    return all(chain(archive, topic, number) for topic in (UNITS, IDENTITIES) for number in numbers)


def _newest(settings: Settings) -> Look | None:
    found = [decode_look(record.value) for record in read_topic(settings, RESULTS)]
    return max(found, key=lambda each: each.look, default=None)


def _counted(settings: Settings) -> list[tuple[str, int, int]]:
    """Variant, units and revenue of each arm."""
    look = _newest(settings)
    if look is None:
        return []
    (cell,) = [cell for cell in look.cells if (cell.reading, cell.segment) == ("live", "all")]
    units = {arm.variant: arm.units for arm in look.health.arms}
    sums = {"control": int(cell.control_sum) // 10**cell.scale, "treatment": int(cell.sum) // 10**cell.scale}
    return [(variant, units[variant], sums[variant]) for variant in sorted(sums)]
