"""`python -m tests.faults.foreign`: records of other shapes through a real broker, while workers are killed.

JSON, of which the lines of an order are events each, and Avro and Protobuf by the schemas of a real registry; beside
good records there are repeats, some that are not meant, and some of no use. What comes of them is compared with SQL
over what was sent.
"""

import logging
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import cycle
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import click
import duckdb
import msgspec
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import ParseDict
from google.protobuf.message_factory import GetMessageClass
from kafka import KafkaProducer

from pipeline.kafka.clients import kafka_python_arguments
from pipeline.kafka.connection import UnreachableError
from pipeline.kafka.dead_letters import read_dead_letters
from pipeline.local_kafka.broker import Broker
from pipeline.processes.supervisor import SupervisedProcess
from pipeline.registry.protoc import compiled
from pipeline.settings import Settings
from schemas.topics import EXPOSURES
from tests.apicurio import registry
from tests.conftest import deployed
from tests.end_to_end.test_lost_logs import Deployment
from tests.end_to_end.test_sources import topics
from tests.live import wait_for, wait_for_catalog

USERS = 20_000
HORIZON = 600_000  # ms
LONGEST = 3_600.0  # seconds
MAPS = {
    "json": """\
each: order.lines
where: [{ property: order.state, op: is, values: [PAID] }]
map:
  event_type: = purchase
  user_id: order.customer.id
  time: { path: order.paidAt, unit: iso8601 }
  insert_id: order.id
  event_properties: { revenue: order.lines.cents }
""",
    "avro": """\
where: [{ property: state, op: is, values: [PAID] }]
map:
  event_type: = purchase
  user_id: buyer.id
  time: { path: at, unit: iso8601 }
  insert_id: id
  event_properties: { revenue: totals.gross }
""",
    "protobuf": """\
where: [{ property: state, op: is, values: [PAID] }]
map:
  event_type: = purchase
  user_id: who.login
  time: { path: at, unit: s }
  insert_id: number
  event_properties: { revenue: paid.cents }
""",
}
AVRO = """{"type": "record", "name": "Order", "fields": [
  {"name": "id", "type": "string"}, {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
  {"name": "state", "type": {"type": "enum", "name": "State", "symbols": ["OPEN", "PAID"]}},
  {"name": "buyer", "type": {"type": "record", "name": "Buyer", "fields": [{"name": "id", "type": "long"}]}},
  {"name": "totals", "type": {"type": "record", "name": "Totals", "fields": [
    {"name": "net", "type": "long"}, {"name": "gross", "type": "long"}]}}]}"""
PROTOBUF = """
syntax = "proto3";
message Order {
  enum State { OPEN = 0; PAID = 1; }
  message Who { string login = 1; }
  message Money { int64 cents = 1; }
  string number = 1;
  State state = 2;
  Who who = 3;
  int64 at = 4;
  Money paid = 5;
}
"""
EXPECTED = """
WITH sent AS (SELECT DISTINCT * FROM read_json('{files}'))
SELECT (SELECT sum(cents) FROM sent WHERE is_paid AND NOT is_bad)::BIGINT, (SELECT count(*) FROM sent WHERE is_bad)
"""


class Told(msgspec.Struct, frozen=True):
    """What was sent, and what came of it. `per_second`: records, from the first one sent until all were counted."""

    records: int
    kills: int
    seconds: float
    per_second: float
    units: int
    revenue: int
    dead_letters: int
    expected_revenue: int
    expected_dead_letters: int

    @property
    def is_good(self) -> bool:
        """Whether nothing is lost, double or wrong."""
        counted = self.units, self.revenue, self.dead_letters
        return counted == (USERS, self.expected_revenue, self.expected_dead_letters)


@click.command
@click.option("--records", type=int, default=1_000_000, show_default=True, help="Of all shapes together.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of what they say.")
def main(records: int, seed: int) -> None:
    """Exit code 1 where something is lost, double or wrong."""
    logging.getLogger("kafka").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as name:
        told = _run(Path(name), records, seed)
    click.echo(msgspec.json.format(msgspec.json.encode(told)))
    sys.exit(not told.is_good)


def _run(directory: Path, number: int, seed: int) -> Told:
    append = {"message.timestamp.type": "LogAppendTime"}
    with (
        _broker(directory / "broker") as servers,
        registry(directory / "registry.log") as (url, _),
        deployed(servers, directory / "data", horizon=HORIZON, schema_registry=url) as settings,
        topics(settings, **dict.fromkeys(MAPS, append)) as names,
    ):
        deployment = Deployment(settings, directory / "documents")
        (deployment.shop.directory / "sources").mkdir()
        for form, said in MAPS.items():
            head = f"key: {form}\nowner: shop\ntopic: {names[form]}\nformat: {form}\nas: event\nfrom: beginning\n"
            (deployment.shop.directory / "sources" / f"{form}.yaml").write_text(head + said)
        deployment.shop.apply()
        wait_for_catalog(settings)
        _expose(settings)
        began = time.monotonic()
        with deployment.working() as workers, _sending(directory, settings, names, number, seed) as sending:
            killed = _kill(workers, deployment, sending)
            (revenue, dead), letters = _expected(directory), 0
            with suppress(AssertionError):  # what came of it is told all the same
                wait_for(lambda: deployment.counted() == (USERS, revenue), LONGEST)
            seconds = time.monotonic() - began
            letters = len([*read_dead_letters(settings, None, click.echo)])
            units, counted = deployment.counted()
    sent = sum(each.result() for each in sending)
    return Told(sent, killed, seconds, sent / seconds, units, counted, letters, revenue, dead)


@contextmanager
def _broker(directory: Path) -> Iterator[str]:
    """That of PEEKPROOF_BOOTSTRAP_SERVERS, or one of its own."""
    if given := os.environ.get("PEEKPROOF_BOOTSTRAP_SERVERS"):
        yield given
        return
    with Broker(directory) as own:
        yield own.bootstrap_servers


def _expected(directory: Path) -> tuple[int, int]:
    with duckdb.connect() as database:
        found = database.execute(EXPECTED.format(files=directory / "sent-*.ndjson")).fetchone()
    assert found
    return found


def _expose(settings: Settings) -> None:
    producer, now = KafkaProducer(**kafka_python_arguments(settings), linger_ms=20), time.time_ns() // 1_000_000
    for user in range(USERS):
        exposure = {"flag_key": "button", "user_id": f"{user}", "variant": ("control", "treatment")[user % 2]}
        value = msgspec.json.encode(exposure | {"time": now, "insert_id": f"{user}"})
        producer.send(settings.topic(EXPOSURES), value)
    producer.close()


@contextmanager
def _sending(
    directory: Path, settings: Settings, names: dict[str, str], number: int, seed: int
) -> Iterator[list[Future[int]]]:
    """Each shape by a process of its own: how many records each has sent."""
    with ProcessPoolExecutor(len(MAPS), get_context("spawn")) as pool:
        yield [
            pool.submit(_send, directory, settings, form, names[form], number // len(MAPS), seed + i)
            for i, form in enumerate(MAPS)
        ]


def _send(directory: Path, settings: Settings, form: str, topic: str, number: int, seed: int) -> int:  # noqa: PLR0917
    """Send so many, or some more: repeats. All of them stand in a file, too."""
    chance, written = random.Random(seed), _writer(form, settings.schema_registry or "", topic)
    producer = KafkaProducer(**kafka_python_arguments(settings), linger_ms=20)
    sent = 0
    with (directory / f"sent-{form}.ndjson").open("wb") as file:
        for i in range(number):
            is_bad, is_paid = i % 1_000 == 7, i % 5 != 0
            lines = [chance.randrange(1, 10_000) for _ in range(chance.randrange(1, 4) if form == "json" else 1)]
            lines = lines[:1] if is_bad else lines
            value = written(f"{form}/{i}", None if is_bad else chance.randrange(USERS), is_paid, lines)
            for _ in range(2 if i % 100 == 1 else 1):
                producer.send(topic, value, partition=chance.randrange(3))
                sent += 1
            for at, cents in enumerate(lines):
                told = {"id": f"{form}/{i}/{at}", "cents": cents, "is_paid": is_paid, "is_bad": is_bad and is_paid}
                file.write(msgspec.json.encode(told) + b"\n")
    producer.close()
    return sent


Written = Callable[[str, int | None, bool, list[int]], bytes]


def _writer(form: str, url: str, topic: str) -> Written:
    """How an order becomes a record: its id, its customer, whether it is paid, the cents of its lines."""
    to = SerializationContext(topic, MessageField.VALUE)
    if form == "json":
        return _json
    client = SchemaRegistryClient({"url": url})
    if form == "avro":
        serialize = AvroSerializer(client, AVRO)

        def avro(order: str, customer: int | None, is_paid: bool, lines: list[int]) -> bytes:
            said: dict[str, Any] = {"id": order, "at": datetime.now(UTC), "state": ("OPEN", "PAID")[is_paid]}
            said |= {"buyer": {"id": customer or 0}, "totals": {"net": 1, "gross": lines[0]}}
            value: bytes = serialize(said, to)
            return value if customer is not None else value[:-4]

        return avro
    pool = DescriptorPool()
    for file in FileDescriptorSet.FromString(compiled(PROTOBUF, {})).file:
        pool.Add(file)
    made = GetMessageClass(pool.FindMessageTypeByName("Order"))
    of_order = ProtobufSerializer(made, client, {"use.deprecated.format": False})

    def protobuf(order: str, customer: int | None, is_paid: bool, lines: list[int]) -> bytes:
        said: dict[str, Any] = {"number": order, "state": int(is_paid), "at": int(time.time()) + 1}
        said |= {"paid": {"cents": lines[0]}} | ({} if customer is None else {"who": {"login": f"{customer}"}})
        value: bytes = of_order(ParseDict(said, made()), to)
        return value

    return protobuf


def _json(order: str, customer: int | None, is_paid: bool, lines: list[int]) -> bytes:
    said: dict[str, Any] = {"id": order, "state": ("OPEN", "PAID")[is_paid], "paidAt": datetime.now(UTC).isoformat()}
    said |= {"lines": [{"sku": f"s{cents}", "cents": cents} for cents in lines]}
    said |= {} if customer is None else {"customer": {"tags": [{"vip": None}], "id": customer}}
    return msgspec.json.encode({"meta": {"shop": "ch", "v": 3}, "order": said})


def _kill(workers: list[SupervisedProcess], deployment: Deployment, sending: list[Future[int]]) -> int:
    """While records are sent, kill one of assignment and aggregation in turn, whenever something was counted since."""
    killed, counted = 0, (0, 0)
    turns = cycle([each for each in workers if each.name in {"assignment", "aggregation"}])
    while not all(each.done() for each in sending):
        now = counted
        with suppress(UnreachableError):  # where it takes long
            now = deployment.counted()
        if now != counted:
            counted, worker, killed = now, next(turns), killed + 1
            worker.process.kill()
            worker.process.wait()
            worker.start()
            click.echo(f"{counted[1]:,} counted; killed {worker.name}", err=True)
        time.sleep(2.0)
    for each in sending:
        each.result()
    return killed


if __name__ == "__main__":
    main()
