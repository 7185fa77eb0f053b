"""Topics that are not ours, read as they are: taken up while all works, and counted as SQL over the traffic says."""

import json
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient, NewTopic

from pipeline.kafka.clients import kafka_python_arguments
from pipeline.settings import Settings
from tests.conftest import deployed
from tests.end_to_end.test_lost_logs import Deployment
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
        self._producer = KafkaProducer(**kafka_python_arguments(settings), linger_ms=5)

    def send(self, number: int, *topics: str, phase: str = "read", partitions: int = 3, ago: float = 0) -> None:
        """So many more units, each of which buys for 1 by our own topic, and for 2 by each of the others'.

        Every third order is not paid yet. `ago`: seconds before now that the records of these topics say they are of.
        """
        for _ in range(number):
            now, user, variant = time.time(), self.users, ("control", "treatment")[self.users % 2]
            who = {"user_id": f"{user}", "time": int(now * 1_000)}
            self._send("exposures", who | {"flag_key": "button", "variant": variant, "insert_id": f"e{user}"})
            bought = {"event_type": "purchase", "event_properties": {"revenue": 1}, "insert_id": f"i{user}"}
            self._send("events", who | bought)
            self._tell(user, 1, "ours", "PAID")
            for topic in topics:
                status = "OPEN" if user % 3 == 0 else "PAID"
                order = {"id": f"{topic}/{user}", "status": status, "customer": {"id": user, "tags": ["a", {"b": []}]}}
                order |= {"paidAt": int(now) + 1, "totals": {"net": 1, "gross": 2, "currency": "EUR"}}
                value = json.dumps({"meta": {"v": 2}, "order": order}).encode()
                at = int((now - ago) * 1_000)
                self._producer.send(topic, value, partition=user % partitions, timestamp_ms=at)
                self._tell(user, 2, phase, status)
            self.users += 1
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


def test_sources_are_taken_up_paused_and_resumed_with_every_record_counted_once(broker: str, tmp_path: Path) -> None:
    """By workers that are killed meanwhile; one topic has its producers' times."""
    append, create = ({"message.timestamp.type": kind} for kind in ("LogAppendTime", "CreateTime"))
    with (
        deployed(broker, tmp_path / "data", horizon=HORIZON, tolerance=HORIZON) as settings,
        topics(settings, orders=append, returns=create) as names,
    ):
        deployment = Deployment(settings, tmp_path / "documents")
        shop, traffic = deployment.shop, Traffic(settings, tmp_path / "sent.ndjson")
        (shop.directory / "sources").mkdir()

        def write(key: str, more: str = "") -> None:
            text = SOURCE.format(key=key, topic=names[key]) + more
            (shop.directory / "sources" / f"{key}.yaml").write_text(text)
            shop.apply()

        def is_counted() -> bool:
            return deployment.counted() == traffic.expected()

        with deployment.working("archive") as workers:
            traffic.send(30, names["orders"], phase="before")
            write("orders")
            traffic.send(30, names["orders"])
            wait_for(is_counted, what="what came from the moment on at which the source was made")

            write("returns", "delay: 5s\nfrom: beginning\n")  # by its records' times
            sending = threading.Thread(target=traffic.send, args=(300, *names.values()), kwargs={"ago": 3})
            sending.start()
            for worker in workers:
                if worker.name in {"assignment", "aggregation"}:
                    worker.process.kill()
                    worker.process.wait()
                    worker.start()
            sending.join()
            wait_for(is_counted, what="what came while workers were killed")

            write("orders", "paused: true\n")
            wait_for_catalog(settings)
            traffic.send(30, names["orders"], phase="paused")
            traffic.send(30, names["returns"])
            wait_for(is_counted, what="what the other topics have while one is paused")

            write("orders")
            wait_for_catalog(settings)
            traffic.send(30, *names.values())
            wait_for(is_counted, what="what came since it was resumed, and nothing of before")
