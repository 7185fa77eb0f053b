"""Topics in Avro, Protobuf and JSON by schemas of a real registry, through their evolution, and while it hangs."""

import signal
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import ParseDict
from google.protobuf.message_factory import GetMessageClass
from kafka import KafkaProducer

from pipeline.catalog.standing import standings
from pipeline.catalog.topic import read_catalog
from pipeline.doctor.sight import Sight
from pipeline.kafka.clients import kafka_python_arguments
from pipeline.kafka.reading import read_topic
from pipeline.registry.kept import KeptSchemas
from pipeline.registry.protoc import compiled
from schemas.dead_letter import from_record
from schemas.topics import DEAD_LETTERS, EXPOSURES
from tests.apicurio import registry
from tests.conftest import deployed
from tests.end_to_end.test_lost_logs import Deployment
from tests.end_to_end.test_sources import topics
from tests.live import wait_for, wait_for_catalog

FORMATS = ("avro", "protobuf", "json")
SOURCE = """\
key: {format}
owner: shop
topic: {topic}
format: {format}
as: event
from: beginning
map:
  event_type: = purchase
  user_id: customer
  time: {{path: at, unit: iso8601}}
  insert_id: id
  event_properties: {{revenue: gross}}
"""
ID, GROSS = {"name": "id", "type": "string"}, {"name": "gross", "type": "double"}
AT = {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}}
CUSTOMER = {"name": "customer", "type": "long"}
NOTE, CHANNEL = {"name": "note", "type": ["null", "string"], "default": None}, {"name": "channel", "type": "string"}
NESTED = {"name": "customer", "type": {"type": "record", "name": "C", "fields": [{"name": "id", "type": "long"}]}}
# Of each version the fields: one more, one less, and one that is another thing.
AVRO = [
    [ID, AT, CUSTOMER, GROSS, CHANNEL | {"default": "web"}],
    [ID, AT, CUSTOMER, GROSS, CHANNEL | {"default": "web"}, NOTE],
    [NOTE, ID, AT, CUSTOMER, GROSS],
    [ID, AT, NESTED, GROSS],
]
PROTO = """
syntax = "proto3";
import "google/protobuf/timestamp.proto";
message Other {{}}
message Order {{
  message C {{ int64 id = 1; }}
  string id = 1;
  google.protobuf.Timestamp at = 2;
  double gross = 4;
  {}
}}
"""
PROTOBUF = [
    "int64 customer = 3; string channel = 5;",
    "int64 customer = 3; string channel = 5; optional string note = 6;",
    "int64 customer = 3; optional string note = 6;",
    "C customer = 7;",
]
VERSIONS = range(len(AVRO))


def serializers(url: str, topic: dict[str, str], version: int) -> dict[str, Callable[[dict[str, Any]], bytes]]:
    """What Confluent's own clients write, which register their schema, for an order as JSON has it."""
    client = SchemaRegistryClient({"url": url})
    fields = msgspec.json.encode({"type": "record", "name": "Order", "fields": AVRO[version]}).decode()
    avro = AvroSerializer(client, fields)
    pool = DescriptorPool()
    for file in FileDescriptorSet.FromString(compiled(PROTO.format(PROTOBUF[version]), {})).file:
        pool.Add(file)
    order_class = GetMessageClass(pool.FindMessageTypeByName("Order"))
    protobuf = ProtobufSerializer(order_class, client, {"use.deprecated.format": False})
    described = {"title": f"Order {version}", "type": "object", "properties": {"id": {"type": "string"}}}
    json = JSONSerializer(msgspec.json.encode(described).decode(), client)
    to = {name: SerializationContext(topic[name], MessageField.VALUE) for name in FORMATS}
    return {
        "avro": lambda order: avro(order | {"at": datetime.fromisoformat(order["at"])}, to["avro"]),
        "protobuf": lambda order: protobuf(ParseDict(order, order_class(), True), to["protobuf"]),
        "json": lambda order: json(order, to["json"]),
    }


def test_schemas_evolve_and_their_registry_hangs_and_each_record_is_counted_or_a_dead_letter(
    broker: str, tmp_path: Path
) -> None:
    append = {"message.timestamp.type": "LogAppendTime"}
    with (
        registry(tmp_path / "registry.log") as (url, process),
        deployed(broker, tmp_path / "data", schema_registry=url) as settings,
        topics(settings, **dict.fromkeys(FORMATS, append)) as names,
    ):
        deployment = Deployment(settings, tmp_path / "documents")
        (deployment.shop.directory / "sources").mkdir()
        for name in FORMATS:
            text = SOURCE.format(format=name, topic=names[name])
            (deployment.shop.directory / "sources" / f"{name}.yaml").write_text(text)
        deployment.shop.apply()
        wait_for_catalog(settings)
        writing = [serializers(url, names, version) for version in VERSIONS]
        producer = KafkaProducer(**kafka_python_arguments(settings))

        def send(version: int, users: range) -> None:
            """So many users, who are exposed and buy for 2 by each topic."""
            now = datetime.now(UTC)
            at, met = now.isoformat(), int(now.timestamp() * 1_000) - 1_000
            for user in users:
                exposure = {"flag_key": "button", "user_id": f"{user}", "variant": ("control", "treatment")[user % 2]}
                producer.send(
                    settings.topic(EXPOSURES), msgspec.json.encode(exposure | {"time": met, "insert_id": f"{user}"})
                )
                customer = {"id": user} if version == 3 else user
                order = {"at": at, "customer": customer, "gross": 2.0, "channel": "shop", "note": "thanks"}
                for name in FORMATS:
                    producer.send(names[name], writing[version][name](order | {"id": f"{name}/{user}"}))
            producer.flush()

        for version in VERSIONS:  # so that all are registered before the registry hangs
            for name in FORMATS:
                order = {"at": "2026-01-01T00:00:00Z", "gross": 0, "channel": "", "id": "-"}
                writing[version][name](order | {"customer": {"id": 0} if version == 3 else 0})
        process.send_signal(signal.SIGSTOP)
        with deployment.working():
            send(0, range(10))

            def told() -> dict[str, tuple[str, int | None]]:
                said = [word.health for word in Sight(settings).heard().living("assignment")]
                found = standings(read_catalog(settings).newest, said)
                return {each.key: (each.state, each.taken) for each in found}

            waiting = {"avro": ("waiting", 0), "protobuf": ("waiting", 0), "json": ("read", 10)}
            wait_for(lambda: told() == waiting, what="word of what waits for the registry, and of what does not")

            process.send_signal(signal.SIGCONT)
            wait_for(lambda: deployment.counted() == (10, 60), what="what waited for the registry")
            assert told() == dict.fromkeys(FORMATS, ("read", 10))

            send(1, range(10, 20))
            send(2, range(20, 30))
            send(3, range(30, 32))
            unknown = b"\0\0\0\x30\x39" + b"x"
            producer.send(names["avro"], unknown)
            producer.flush()
            wait_for(lambda: deployment.counted() == (32, 180), what="every version that can be read")

            letters = [from_record(record.headers, record.value) for record in read_topic(settings, DEAD_LETTERS)]
            assert sorted((each.source, each.reason) for each in letters) == [
                ("avro", "unknown schema"),
                *[(name, "wrong type") for name in sorted(FORMATS) for _ in range(2)],
            ]
            for each in letters:
                if each.reason == "wrong type":
                    assert "customer, for user_id, is a group of fields" in each.detail
                    if each.source != "json":
                        assert f"({names[each.source or '']}-value version 4)" in each.detail
                else:
                    assert each.value == unknown
                    assert each.detail.endswith("has no schema of this number; written by schema 12345")

        process.send_signal(signal.SIGSTOP)
        numbers = range(1, 9)
        kept = KeptSchemas(settings).known(numbers)
        assert {schema.kind for schema in kept.values()} == {"AVRO", "PROTOBUF"}  # of what is on disk
