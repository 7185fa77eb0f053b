"""`peekproof sources`: what a source makes of what a topic holds, before anything reads it; and what it comes to."""

import json
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient, NewTopic

from pipeline.errors import PeekproofError
from pipeline.kafka.clients import kafka_python_arguments
from pipeline.settings import Settings
from tests.live import wait_for
from tests.pipeline.shop import Shop

SOURCE = """\
key: orders
owner: shop
topic: {topic}
as: event
where: [{{property: order.status, op: is, values: [PAID]}}]
map:
  event_type: = purchase
  user_id: $key
  time: order.paidAt
  event_properties: {{revenue: order.total}}
"""


@pytest.fixture
def orders(deployment: Settings) -> Iterator[str]:
    """A topic of somebody else's."""
    name, admin = f"orders-{uuid.uuid4().hex[:8]}", KafkaAdminClient(**kafka_python_arguments(deployment))
    admin.create_topics([NewTopic(name, 2, 1, topic_configs={"message.timestamp.type": "LogAppendTime"})])
    wait_for(lambda: name in admin.list_topics(), often=0.05)
    yield name
    admin.delete_topics([name])
    admin.close()


def test_a_source_is_tried_with_what_its_topic_holds(
    deployment: Settings, orders: str, producer: KafkaProducer, tmp_path: Path
) -> None:
    shop, file, now = Shop(tmp_path / "documents", deployment), tmp_path / "orders.yaml", time.time_ns() // 1_000_000
    paid = {"order": {"status": "PAID", "paidAt": now, "total": 12.5, "lines": [{"sku": "a"}]}}
    values = [json.dumps(paid), json.dumps({"order": {"status": "OPEN"}}), "{", json.dumps(paid), None]
    for number, (key, value) in enumerate(zip(("u1", "u2", "u3", None, "u5"), values, strict=True)):
        producer.send(orders, value and value.encode(), key and key.encode(), partition=number % 2).get()
    file.write_text(SOURCE.format(topic=orders))

    tried = shop.told("sources", "try", str(file))

    assert isinstance(tried, dict)
    made = {each["key"]: (each["outcome"], each["reason"], each["made"]) for each in tried["records"]}
    message = {"event_type": "purchase", "user_id": "u1", "time": now, "event_properties": {"revenue": 12.5}}
    assert made == {
        "u1": ("made", None, message),
        "u2": ("left out", None, None),
        "u3": ("dead", "not json", None),
        None: ("dead", "no unit", None),
        "u5": ("left out", None, None),
    }
    places = [each["place"].split("/") for each in tried["records"]]
    times = [-each["time"] for each in tried["records"]]
    order = [(time, int(partition), -int(offset)) for time, (partition, offset) in zip(times, places, strict=True)]
    assert order == sorted(order)
    assert tried["counts"] == {"made": 1, "late": 0, "left out": 2, "dead": 2}
    (newest,) = shop.told("sources", "try", str(file), "--records", "1")["records"]  # type: ignore[index]
    assert newest["key"] == "u5"
    told = shop.call("sources", "try", str(file)).output
    assert "1 made, 2 left out, 2 dead" in told
    file.write_text(SOURCE.format(topic=orders) + "delay: 5m\n")
    assert "delay: remove it" in shop.call("sources", "try", str(file)).output


def test_a_file_is_tried_before_there_are_topics_of_ours(
    deployment: Settings, orders: str, producer: KafkaProducer, tmp_path: Path
) -> None:
    shop = Shop(tmp_path / "documents", msgspec.structs.replace(deployment, prefix="not-yet"))
    file = tmp_path / "seen.yaml"
    said = "key: seen\ntopic: {topic}\nas: exposure\nmap: {{flag_key: = button, variant: = on, user_id: user}}\n"
    file.write_text(said.format(topic=orders))
    producer.send(orders, b'{"user": 1}').get()

    tried = shop.told("sources", "try", str(file))

    assert isinstance(tried, dict)
    assert tried["counts"]["made"] == 1
    assert ["`peekproof topics`" in note for note in tried["notes"]] == [True]
    with pytest.raises(PeekproofError, match=r"^none of Peekproof's topics .* makes them$"):
        shop.call("sources")


def test_topics_of_sources_are_told_where_they_cannot_be_read_and_never_made(
    deployment: Settings, orders: str, tmp_path: Path
) -> None:
    shop, nowhere = Shop(tmp_path / "documents", deployment), f"{orders}-of-nobody"
    (shop.directory / "sources").mkdir()
    (shop.directory / "sources" / "orders.yaml").write_text(SOURCE.format(topic=nowhere))
    waits = f"source orders waits for its topic: there is no such topic; it is read once there is; near: {orders}"
    assert waits in shop.apply("--dry-run").output
    assert waits in shop.apply().output

    told = shop.call("topics").output

    assert f"topic {nowhere}, of a source, is not read: there is no such topic" in told
    admin = KafkaAdminClient(**kafka_python_arguments(deployment))
    assert nowhere not in admin.list_topics()
    admin.close()
    (listed,) = [json.loads(line) for line in shop.call("sources", "--json").stdout.splitlines()]
    assert (listed["key"], listed["as"], listed["state"], listed["lag"]) == ("orders", "event", "unknown", None)
    with pytest.raises(PeekproofError, match=f"topic '{nowhere}': there is no such topic"):
        shop.call("sources", "try", "orders")
    with pytest.raises(PeekproofError, match="did you mean 'orders'"):
        shop.call("sources", "try", "order")

    file = shop.directory / "sources" / "orders.yaml"
    file.write_text(f"{file.read_text()}paused: true\n")
    assert "waits for its topic" not in shop.apply().output
    assert "of a source" not in shop.call("topics").output
    file.unlink()
    assert "applied once with `paused: true`" not in shop.apply().output
    (listed,) = [json.loads(line) for line in shop.call("sources", "--json").stdout.splitlines()]
    assert (listed["state"], listed["why"]) == ("paused", None)


def test_what_apply_refuses_of_a_source_is_refused_before(deployment: Settings, orders: str, tmp_path: Path) -> None:
    shop = Shop(tmp_path / "documents", deployment)
    (shop.directory / "sources").mkdir()

    def refused(text: str, *arguments: str) -> str:
        (shop.directory / "sources" / "orders.yaml").write_text(text)
        return shop.call(*arguments, str(shop.directory), code=2).output

    ours, avro = SOURCE.format(topic=deployment.topic("events")), SOURCE.format(topic=orders) + "format: avro\n"
    for arguments in (("validate",), ("apply", "--dry-run"), ("apply",)):
        assert "orders.yaml:3: topic: '" in refused(ours, *arguments)
        assert "in PEEKPROOF_SCHEMA_REGISTRY or as schema_registry in" in refused(avro, *arguments)
    late = SOURCE.format(topic=orders) + "delay: 5m\n"
    for arguments in (("apply", "--dry-run"), ("apply",)):
        with pytest.raises(PeekproofError, match="source 'orders': delay: remove it"):
            refused(late, *arguments)
