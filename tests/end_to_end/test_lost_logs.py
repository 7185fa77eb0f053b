"""Logs that are made anew, cut or expired under the stages: a refusal that names the way out, and the way out."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from kafka import KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient

from evaluation.significance.look import decode_look
from pipeline.kafka import topics
from pipeline.kafka.clients import kafka_python_arguments
from pipeline.kafka.reading import read_topic
from pipeline.processes.supervisor import SupervisedProcess
from pipeline.settings import Settings
from schemas.health import WorkerHealth
from schemas.look import Look
from schemas.notification import HandedOver
from schemas.topics import DELIVERIES, EVENTS, EXPOSURES, HEALTH, NOTIFICATIONS, RESULTS, UNITS
from tests.conftest import deployed
from tests.live import ask, wait_for, wait_for_catalog
from tests.pipeline.notifications.words import say, word
from tests.pipeline.shop import Shop

METRIC = "key: revenue\nowner: shop\ntype: sum\nevent: purchase\nproperty: revenue\nwindow: 1h\n"
ORDERS = """\
key: orders
owner: shop
topic: {topic}
as: event
map:
  event_type: = purchase
  user_id: $key
  time: order.at
  event_properties: {{revenue: order.lines.0.price}}
"""
STAGES = ("assignment", "aggregation", "significance")
ACCEPT = ("recover", "accept-gap", "--yes", "--reason", "an idle week")


class Deployment:
    """One experiment that runs, its stages, and units that meet it and buy for 1.00 each."""

    def __init__(self, settings: Settings, directory: Path, sent: int | None = None, orders: str | None = None) -> None:
        """`sent`: so many units it has been sent, by another deployment that it goes on from.

        `orders`: a topic of somebody else's, by which every third unit buys.
        """
        self.settings = settings
        self.shop = Shop(directory, settings)
        self.sent = sent or 0
        self.orders = orders
        if sent is not None:
            return
        if orders:
            (directory / "sources").mkdir()
            (directory / "sources" / "orders.yaml").write_text(ORDERS.format(topic=orders))
        (directory / "metrics" / "a.yaml").write_text(METRIC)
        self.shop.rewrite("metric: purchase", "metric: revenue")
        self.shop.rewrite("rollout: 50", "rollout: 100")
        self.shop.apply()
        self.shop.call("experiment", "start", "button")
        wait_for_catalog(settings)

    @contextmanager
    def working(self, *others: str, falls: str = "") -> Iterator[list[SupervisedProcess]]:
        """At the end each is at work, but for those of a stage that `falls`, and has what it keeps."""
        logs = self.settings.data / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        workers = [
            SupervisedProcess(name, 0, ["worker", name], logs, self.shop.environment) for name in (*STAGES, *others)
        ]
        try:
            yield workers
            at_work = [worker for worker in workers if worker.name != falls]
            wait_for(lambda: self._are_at_work(at_work), what="every stage at work")
        finally:
            for worker in workers:
                worker.process.terminate()
            for worker in workers:
                worker.process.wait(30)

    def _are_at_work(self, workers: list[SupervisedProcess]) -> bool:
        """Each lives and has partitions, and those that have a clock know the time."""
        beats = [msgspec.json.decode(record.value, type=WorkerHealth) for record in read_topic(self.settings, HEALTH)]
        last = {int(beat.worker.rpartition("/")[2]): beat for beat in beats}
        return all(
            worker.process.poll() is None
            and worker.process.pid in last
            and last[worker.process.pid].partitions
            and (worker.name != "aggregation" or all(each.watermark for each in last[worker.process.pid].partitions))
            for worker in workers
        )

    def send(self, number: int) -> None:
        """So many more units."""
        producer = KafkaProducer(**kafka_python_arguments(self.settings))
        now = time.time_ns() // 1_000_000
        for unit in range(self.sent, self.sent + number):
            who = {"user_id": f"u{unit}", "time": now, "insert_id": f"i{unit}"}
            variant = "treatment" if unit % 2 else "control"
            bought = {"event_type": "purchase", "event_properties": {"revenue": 1.0}}
            exposed, key = {"flag_key": "button", "variant": variant}, f"u{unit}".encode()
            producer.send(self.settings.topic(EXPOSURES), json.dumps(who | exposed).encode(), key)
            if self.orders and unit % 3 == 0:
                order = {"order": {"at": now, "lines": [{"price": 1.0}]}}
                producer.send(self.orders, json.dumps(order).encode(), key)
            else:
                producer.send(self.settings.topic(EVENTS), json.dumps(who | bought).encode(), key)
        producer.close()
        self.sent += number

    def look(self) -> Look | None:
        found = [decode_look(record.value) for record in read_topic(self.settings, RESULTS)]
        return max(found, key=lambda each: each.look, default=None)

    def counted(self) -> tuple[int, int]:
        """Units, and what they bought for."""
        look = self.look()
        if look is None:
            return 0, 0
        (cell,) = [cell for cell in look.cells if (cell.reading, cell.segment) == ("live", "all")]
        return sum(arm.units for arm in look.health.arms), (int(cell.sum) + int(cell.control_sum)) // 10**cell.scale

    def wait_for(self, number: int) -> None:
        wait_for(lambda: self.counted() == (number, number), 60, f"{number} units, not {self.counted()}")

    def refused(self, name: str) -> str:
        """What a worker says that refuses to start."""
        worker = SupervisedProcess(name, 1, ["worker", name], self.settings.data / "logs", self.shop.environment)
        assert worker.process.wait(60) == 1
        said = worker.log.read_text()
        assert not re.search("Traceback|crash!", said)
        return said

    def admin(self) -> KafkaAdminClient:
        return KafkaAdminClient(**kafka_python_arguments(self.settings))

    def cut(self, *names: str) -> None:
        """Delete all records of these topics."""
        admin = self.admin()
        listed = admin.describe_topics([self.settings.topic(name) for name in names])
        places = [
            TopicPartition(each["name"], part["partition_index"]) for each in listed for part in each["partitions"]
        ]
        admin.delete_records(dict.fromkeys(places, -1))
        admin.close()

    def make_anew(self, *names: str) -> None:
        """Delete these topics, and create them again."""
        admin = self.admin()
        ours = {self.settings.topic(name) for name in names}
        admin.delete_topics(sorted(ours))
        wait_for(lambda: not ours & set(admin.list_topics()))
        admin.close()
        topics.create(self.settings)


@pytest.fixture
def deployment(broker: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Deployment]:
    """Its parameter is the interval of the archive's files (ms)."""
    short = {"units_partitions": 2, "horizon": 20_000, "tolerance": 20_000, "checkpoint_interval": 2_000}
    with deployed(broker, tmp_path / "data", archive_interval=getattr(request, "param", 1_000), **short) as settings:
        yield Deployment(settings, tmp_path / "shop")


def test_sources_that_were_made_anew_are_refused_until_somebody_decides(deployment: Deployment) -> None:
    with deployment.working("archive"):
        deployment.send(1_000)
        deployment.wait_for(1_000)
    deployment.make_anew(EXPOSURES, EVENTS)
    deployment.send(600)

    said = deployment.refused("assignment")

    assert (
        f"topic {deployment.settings.topic(EXPOSURES)} was made anew: offsets of this installation belong to its log"
        in said
    )
    assert "`peekproof recover accept-gap`" in said
    shown = deployment.shop.call("recover", "accept-gap", code=1).output
    assert "topic exposures was made anew" in shown
    deployment.shop.call(*ACCEPT)
    with deployment.working("archive"):
        deployment.send(2_000)
        deployment.wait_for(3_600)
        look = deployment.look()
        assert {gap.topic for gap in look.health.gaps} == {EXPOSURES, EVENTS}
        assert "were lost and are in no number (an idle week)" in look.verdict.reason
        time.sleep(3)
    replayed = deployment.shop.told("replay")
    assert set(replayed["outcomes"]) <= {"same", "not yet archived"}
    assert replayed["outcomes"]["same"] >= 2
    assert deployment.shop.told("recover", "accept-gap") == {"made_anew": [], "missing": [], "accepted": False}


@pytest.mark.parametrize("deployment", [3_600_000], indirect=True)
def test_records_that_expired_unread_are_a_gap_that_can_be_accepted(deployment: Deployment) -> None:
    """By an archive, too, that had closed no file of them."""
    with deployment.working("archive"):
        deployment.send(200)
        deployment.wait_for(200)
    deployment.send(300)
    deployment.cut(EXPOSURES, EVENTS)

    said = deployment.refused("assignment")

    assert re.search(r"must be read from offset \d+ on, but its log begins at \d+: \d+ offsets are lost", said)
    missing = deployment.shop.call("recover", "accept-gap", "--json", code=1)
    gaps = json.loads(missing.stdout)["missing"]
    assert {gap["stage"] for gap in gaps} == {"assignment", "archive"}
    assert sum(gap["end"] - gap["begin"] for gap in gaps if gap["stage"] == "assignment") == 600
    assert all(gap["since"] <= gap["until"] for gap in gaps if gap["stage"] == "assignment")
    assert sum(gap["end"] - gap["begin"] for gap in gaps if gap["stage"] == "archive") >= 1_000
    deployment.shop.call(*ACCEPT)
    with deployment.working():
        deployment.send(400)
        deployment.wait_for(600)
        assert "600 records of events and exposures were lost" in deployment.look().verdict.reason

    # After an idle week the group has no offsets either: assignment cannot know, and aggregation sees the hole.
    deployment.send(100)
    deployment.cut(EXPOSURES, EVENTS)
    admin = deployment.admin()
    admin.delete_groups([deployment.settings.group("assignment")])
    admin.close()
    with deployment.working(falls="aggregation") as workers:
        deployment.send(50)
        aggregation = next(worker for worker in workers if worker.name == "aggregation")
        assert aggregation.process.wait(60) == 1
        assert "`peekproof recover accept-gap` shows what is lost" in aggregation.log.read_text()
    deployment.shop.call(*ACCEPT)
    with deployment.working():
        deployment.send(50)
        deployment.wait_for(700)
        assert "800 records of events and exposures were lost" in deployment.look().verdict.reason


def test_what_stages_tell_each_other_and_people_may_be_made_anew_too(deployment: Deployment) -> None:
    handed_over = HandedOver(id="1", rule="all", place="hook", outcome="delivered", attempts=1, time=1_767_225_600_000)
    say(deployment.settings, *[word("1"), handed_over] * 3)
    with deployment.working("archive", "storage"):
        deployment.send(200)
        deployment.wait_for(200)
        for table in ("notifications", "deliveries"):
            kept = f"SELECT count(*) FROM {table}"
            wait_for(lambda kept=kept: ask(deployment.settings.snapshot, kept), what=table)  # type: ignore[misc]
        time.sleep(2.5)  # until all of it is archived
    number = deployment.look().look
    deployment.make_anew(UNITS, RESULTS, HEALTH, NOTIFICATIONS, DELIVERIES)
    deployment.send(100)
    for stage in ("aggregation", "significance"):
        assert "was made anew" in deployment.refused(stage)

    missing = json.loads(deployment.shop.call("recover", "accept-gap", "--json", code=1).stdout)["missing"]
    assert {("storage", NOTIFICATIONS), ("storage", DELIVERIES)} <= {(gap["stage"], gap["topic"]) for gap in missing}
    deployment.shop.call(*ACCEPT)

    assert deployment.look().look == number
    with deployment.working("storage"):
        deployment.send(100)
        deployment.wait_for(400)
        assert deployment.look().look > number
        assert all(offset > 0 for offset in deployment.look().offsets.values())


def test_nothing_of_a_former_life_is_published_into_a_new_one(
    deployment: Deployment, broker: str, tmp_path: Path
) -> None:
    with deployment.working("archive", "storage"):
        deployment.send(100)
        deployment.wait_for(100)
    with deployed(broker, deployment.settings.data, units_partitions=2, horizon=20_000, tolerance=20_000) as settings:
        anew = Deployment(settings, tmp_path / "anew")

        for stage, what in (("aggregation", "checkpoints/"), ("archive", "archive"), ("storage", "store")):
            said = anew.refused(stage)
            assert "which this installation never had" in said
            assert what in said
        assert anew.look() is None
