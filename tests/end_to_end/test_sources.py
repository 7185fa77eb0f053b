"""Topics that are not ours, read as they are: taken up while all works, and counted as SQL over the traffic says."""

import json
import re
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
from kafka import KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

from pipeline.kafka.clients import kafka_python_arguments
from pipeline.settings import Settings
from tests.conftest import deployed
from tests.end_to_end.test_lost_logs import ACCEPT, Deployment
from tests.live import wait_for, wait_for_catalog

HORIZON = 60_000  # ms
SOURCE = """\
key: {key}
owner: shop
topic: {topic}
as: event
where: [{{property: order.status, op: is, values: [PAID]}}]
map:
  event_type: = purchase
  user_id: order.customer.id
  time: {{path: order.paidAt, unit: s}}
  insert_id: order.id
  event_properties: {{revenue: order.totals.gross}}
"""
EXPECTED = "SELECT count(DISTINCT user), sum(revenue) FILTER (phase IN ('ours', 'read') AND status = 'PAID')::INT FROM "


class Traffic:
    """Units that meet a variant by our own topic and buy by ours and by others' topics; all of it in a file as well."""

    def __init__(self, settings: Settings, file: Path) -> None:
        self.settings = settings
        self.file = file
        self.users = 0
        self._told = file.open("w")
        self.connect()

    def connect(self) -> None:
        """Know the topics as they are now."""
        self._producer = KafkaProducer(**kafka_python_arguments(self.settings), linger_ms=5)

    def send(
        self,
        number: int,
        *topics: str,
        phase: str = "read",
        partitions: int = 3,
        ago: float = 0,
        who: str = "customer",
        bought: int = 2,
    ) -> None:
        """So many more units, each of which buys for 1 by our own topic, and for 2 (net 1) by each of the others'.

        Every third order is not paid yet. `ago`: seconds before now that the records of these topics say they are of;
        `who`: where they name the unit; `bought`: what is read of them.
        """
        for _ in range(number):
            now, user, variant = time.time(), self.users, ("control", "treatment")[self.users % 2]
            unit = {"user_id": f"{user}", "time": int(now * 1_000)}
            self._send("exposures", unit | {"flag_key": "button", "variant": variant, "insert_id": f"e{user}"})
            purchase = {"event_type": "purchase", "event_properties": {"revenue": 1}, "insert_id": f"i{user}"}
            self._send("events", unit | purchase)
            self._tell(user, 1, "ours", "PAID")
            for topic in topics:
                status = "OPEN" if user % 3 == 0 else "PAID"
                order = {"id": f"{topic}/{user}", "status": status, who: {"id": user, "tags": ["a", {"b": []}]}}
                order |= {"paidAt": int(now) + 1, "totals": {"net": 1, "gross": 2, "currency": "EUR"}}
                value = json.dumps({"meta": {"v": 2}, "order": order}).encode()
                at = int((now - ago) * 1_000)
                self._producer.send(topic, value, f"{user}".encode(), [], user % partitions, at)
                self._tell(user, bought, phase, status)
            self.users += 1
        self._producer.flush()

    def tombstones(self, number: int, topic: str) -> None:
        """So many records without a value."""
        for user in range(number):
            self._producer.send(topic, None, f"-{user}".encode(), partition=user % 3)
        self._producer.flush()

    def expected(self) -> tuple[int, int]:
        """Units, and what they bought for by what is read, as SQL says of the file."""
        self._told.flush()
        with duckdb.connect() as database:
            found = database.execute(f"{EXPECTED} '{self.file}'").fetchone()
        assert found
        return found

    def _send(self, topic: str, message: dict[str, Any]) -> None:
        self._producer.send(self.settings.topic(topic), json.dumps(message).encode())

    def _tell(self, user: int, revenue: int, phase: str, status: str) -> None:
        told = {"user": user, "revenue": revenue, "phase": phase, "status": status}
        self._told.write(json.dumps(told) + "\n")


@contextmanager
def topics(settings: Settings, **configs: dict[str, str]) -> Iterator[dict[str, str]]:
    """Topics of somebody else, of three partitions, by a name of the test's: what they are called."""
    names = {name: f"{name}-{uuid.uuid4().hex[:8]}" for name in configs}
    admin = KafkaAdminClient(**kafka_python_arguments(settings))
    admin.create_topics([NewTopic(names[name], 3, 1, topic_configs=config) for name, config in configs.items()])
    try:
        yield names
    finally:
        admin.delete_topics([*set(names.values()) & set(admin.list_topics())])
        admin.close()


class Sources:
    """The documents of sources of a deployment, and what became of them."""

    def __init__(self, deployment: Deployment, names: dict[str, str]) -> None:
        self.shop = deployment.shop
        self._settings = deployment.settings
        self._names = names
        (self.shop.directory / "sources").mkdir()

    def write(self, key: str, more: str = "", **instead: str) -> None:
        """Publish a source, its map's values as they are or others `instead`."""
        text = SOURCE.format(key=key, topic=self._names[key]) + more
        for before, after in instead.items():
            text = re.sub(f"{before}: [^{{}}\\n]+", f"{before}: {after}", text)
        (self.shop.directory / "sources" / f"{key}.yaml").write_text(text)
        self.shop.apply()
        wait_for_catalog(self._settings)

    def standing(self, key: str) -> dict[str, Any]:
        """What `peekproof sources` says of one."""
        told = [json.loads(line) for line in self.shop.call("sources", "--json").stdout.splitlines()]
        return next(each for each in told if each["key"] == key)

    def wait_until(self, key: str, state: str, why: str = "") -> None:
        """It stands so."""

        def stands() -> bool:
            found = self.standing(key)
            return found["state"] == state and why in (found["why"] or "")

        wait_for(stands, 30, f"{key}: {state}")


def test_sources_are_taken_up_paused_and_resumed_with_every_record_counted_once(broker: str, tmp_path: Path) -> None:
    """By workers that are killed meanwhile; one topic has its producers' times."""
    append, create = ({"message.timestamp.type": kind} for kind in ("LogAppendTime", "CreateTime"))
    with (
        deployed(broker, tmp_path / "data", horizon=HORIZON, tolerance=HORIZON) as settings,
        topics(settings, orders=append, returns=create) as names,
    ):
        deployment = Deployment(settings, tmp_path / "documents")
        sources, traffic = Sources(deployment, names), Traffic(settings, tmp_path / "sent.ndjson")

        def is_counted() -> bool:
            return deployment.counted() == traffic.expected()

        with deployment.working("archive") as workers:
            traffic.send(30, names["orders"], phase="before")
            sources.write("orders")
            traffic.send(30, names["orders"])
            wait_for(is_counted, what="what came from the moment on at which the source was made")

            sources.write("returns", "delay: 5s\nfrom: beginning\n")  # by its records' times
            sending = threading.Thread(target=traffic.send, args=(300, *names.values()), kwargs={"ago": 3})
            sending.start()
            for worker in workers:
                if worker.name in {"assignment", "aggregation"}:
                    worker.process.kill()
                    worker.process.wait()
                    worker.start()
            sending.join()
            wait_for(is_counted, what="what came while workers were killed")

            sources.write("orders", "paused: true\n")
            traffic.send(30, names["orders"], phase="paused")
            traffic.send(30, names["returns"])
            wait_for(is_counted, what="what the other topics have while one is paused")

            sources.write("orders")
            traffic.send(30, *names.values())
            wait_for(is_counted, what="what came since it was resumed, and nothing of before")


def test_sources_and_their_topics_change_while_everything_runs(broker: str, tmp_path: Path) -> None:
    """Another map, more partitions, dead letters sent again; a topic that is made anew, and one that lost records."""
    with (
        deployed(broker, tmp_path / "data", horizon=HORIZON, tolerance=HORIZON, archive_interval=1_000) as settings,
        topics(settings, orders={"message.timestamp.type": "LogAppendTime", "cleanup.policy": "compact"}) as names,
    ):
        deployment, orders = Deployment(settings, tmp_path / "documents"), names["orders"]
        sources, traffic = Sources(deployment, names), Traffic(settings, tmp_path / "sent.ndjson")
        admin = deployment.admin()

        def wait_until_counted(what: str) -> None:
            wait_for(lambda: deployment.counted() == traffic.expected(), 60, f"{what}: {traffic.expected()}")

        with deployment.working("archive") as workers:
            sources.write("orders")
            traffic.tombstones(9, orders)
            traffic.send(30, orders)
            wait_until_counted("what came before the map was another one")

            sources.write("orders", revenue="order.totals.net", user_id="[order.customer.id, order.buyer.id]")
            traffic.send(30, orders, bought=1)
            assignment = next(worker for worker in workers if worker.name == "assignment")
            assignment.process.kill()
            assignment.process.wait()
            assignment.start()
            wait_until_counted("each by the map of its time")

            admin.create_partitions({orders: 5})
            wait_for(lambda: len(admin.describe_topics([orders])[0]["partitions"]) == 5)
            traffic.connect()
            traffic.send(30, orders, bought=1, partitions=5)
            wait_until_counted("what came on partitions that were added")

            traffic.send(30, orders, bought=1, who="guest")
            wait_for(lambda: sources.standing("orders")["dead"] == 20)
            sources.write("orders", revenue="order.totals.net", user_id="[order.customer.id, order.guest.id]")
            sent = sources.shop.told("dead-letters", "--resend", "--reason", "no unit")
            assert sent == {"resent": 20}
            wait_until_counted("what was sent again, now that the map reads it")

            admin.delete_topics([orders])
            sources.wait_until("orders", "waiting", "there is no such topic")
            traffic.send(30)
            wait_until_counted("what came by our own topics")
            admin.create_topics([NewTopic(orders, 3, 1, topic_configs={"message.timestamp.type": "LogAppendTime"})])
            sources.wait_until("orders", "waiting", "it was made anew")
            traffic.connect()
            traffic.send(30, orders, bought=1)
            assert f"topic @{orders} was made anew" in sources.shop.call("recover", "accept-gap", code=1).output
            sources.shop.call(*ACCEPT)
            wait_until_counted("all of the topic that was made anew")

            sources.write("orders", "paused: true\n")
            traffic.send(30, orders, phase="paused")
            admin.delete_records({TopicPartition(orders, number): -1 for number in range(3)})
            sources.write("orders")
            sources.wait_until("orders", "waiting", "its log begins at")
            traffic.send(30, orders)
            missing = json.loads(sources.shop.call("recover", "accept-gap", "--json", code=1).stdout)["missing"]
            assert {gap["topic"] for gap in missing} == {f"@{orders}"}
            sources.shop.call(*ACCEPT)
            wait_until_counted("what there is behind an accepted gap")
        admin.close()
