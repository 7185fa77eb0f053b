"""Records that a schema explains: what they hold, as JSON, and what becomes of those that cannot be read."""

import datetime
import io
from decimal import Decimal
from typing import Any

import fastavro
import msgspec
import numpy as np
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from evaluation.assignment.foreign import named_by
from evaluation.assignment.trying import tried
from evaluation.sources.decoded import as_json, naming_schemas
from pipeline.registry.protoc import compiled
from schemas.source import FieldMap, ForeignSource, TimeAt
from schemas.writer_schema import SchemaName, WriterSchema
from tests.evaluation.conftest import make_records

NAMES = (SchemaName("others-value", 1), SchemaName("shop.orders-value", 3))
NOON = datetime.datetime(2026, 11, 24, 12, 0, 0, 250_000, datetime.UTC)


def avro(*fields: Any, needed: Any = (), whole: Any = None, number: int = 7) -> WriterSchema:
    """A schema of Avro with these fields (name, type), or that is something else."""
    record = {"type": "record", "name": "Order", "fields": [{"name": name, "type": kind} for name, kind in fields]}
    text = msgspec.json.encode(whole or record).decode()
    return WriterSchema(
        id=number, text=text, names=NAMES, needed=tuple(msgspec.json.encode(n).decode() for n in needed)
    )


def wired(schema: WriterSchema, value: Any) -> bytes:
    """A value as a producer writes it."""
    stream = io.BytesIO()
    named: dict[str, Any] = {}
    for each in schema.needed:
        fastavro.parse_schema(msgspec.json.decode(each), named)
    only = {"type": "record", "name": "Only", "fields": [{"name": "it", "type": msgspec.json.decode(schema.text)}]}
    fastavro.schemaless_writer(stream, fastavro.parse_schema(only, named), {"it": value})  # the same bytes
    return b"\0" + schema.id.to_bytes(4, "big") + stream.getvalue()


def read(*values: bytes | None, schemas: Any, form: Any = "avro") -> tuple[list[Any], list[tuple[int, str, str]]]:
    """What the records hold, and what is told of the others."""
    records = make_records([(i, 0, value, ()) for i, value in enumerate(values)], topic="@shop.orders")
    told: list[tuple[int, str, str]] = []

    def reject(row: int, index: int | None, reason: str, detail: str, value: bytes | None) -> None:
        assert (index, value) == (None, values[row])
        told.append((row, reason, detail))

    known = {schema.id: schema for schema in schemas}
    spans = as_json(records, np.arange(len(values)), form, known, naming_schemas(records, known, reject))
    return [spans.value(i) for i in range(len(spans))], told


def test_what_avro_holds_is_said_as_json_says_it():
    schema = avro(
        ("id", "long"),
        ("status", {"type": "enum", "name": "Status", "symbols": ["OPEN", "PAID"]}),
        ("total", {"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 2}),
        ("at", {"type": "long", "logicalType": "timestamp-millis"}),
        ("local", {"type": "long", "logicalType": "local-timestamp-micros"}),
        ("day", {"type": "int", "logicalType": "date"}),
        ("note", ["null", "string"]),
        (
            "lines",
            {"type": "array", "items": {"type": "record", "name": "L", "fields": [{"name": "n", "type": "int"}]}},
        ),
        ("tags", {"type": "map", "values": ["null", "double", "string"]}),
        ("raw", "bytes"),
    )
    order = {
        "id": 2**60,
        "status": "PAID",
        "total": Decimal("123456789012345678901234567890.10"),
        "at": NOON,
        "local": NOON.replace(tzinfo=None),
        "day": NOON.date(),
        "note": None,
        "lines": [{"n": 1}, {"n": 2}],
        "tags": {"a": "x", "b": 1.5},
        "raw": b"\0\xff",
    }

    (said,), told = read(wired(schema, order), schemas=[schema])

    assert not told
    assert said == (
        b'{"id":1152921504606846976,"status":"PAID","total":123456789012345678901234567890.10,'
        b'"at":"2026-11-24T12:00:00.250000Z","local":"2026-11-24T12:00:00.250000","day":"2026-11-24","note":null,'
        b'"lines":[{"n":1},{"n":2}],"tags":{"a":"x","b":1.5},"raw":"AP8="}'
    )


def test_a_time_that_no_calendar_has_stays_its_number_and_takes_nothing_else_with_it():
    time, money = {"type": "long", "logicalType": "timestamp-millis"}, {"type": "bytes", "logicalType": "decimal"}
    money |= {"precision": 4, "scale": 2}
    schema = avro(("at", time), ("till", ["null", time]), ("total", money), ("ids", {"type": "array", "items": time}))
    plain = avro(("at", "long"), ("till", ["null", "long"]), ("total", "bytes"), ("ids", "string"))
    written = wired(plain, {"at": 250, "till": 2**60, "total": b"\x04\xd2", "ids": ""})

    said = b'{"at":"1970-01-01T00:00:00.250000Z","till":1152921504606846976,"total":12.34,"ids":[]}'
    assert read(written, schemas=[schema]) == ([said], [])


def test_a_decimal_of_more_digits_than_its_schema_says_is_exact_or_told():
    schema = avro(("total", {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}))
    plain = avro(("total", "bytes"))
    long, longest = 10**60 + 1, (1 << 8 * 1_000 - 1) - 1
    totals = [number.to_bytes(number.bit_length() // 8 + 1, "big") for number in (123456, long, longest, longest + 1)]

    found, told = read(*[wired(plain, {"total": total}) for total in totals], schemas=[schema])

    assert found[:2] == [b'{"total":1234.56}', b'{"total":1' + b"0" * 58 + b".01}"]
    assert [(row, reason) for row, reason, _ in told] == [(3, "not avro")]
    assert "a decimal of 1001 bytes is not read" in told[0][2]


def test_a_schema_may_refer_to_others_and_be_a_choice_of_them():
    address = {"type": "record", "name": "shop.Address", "fields": [{"name": "city", "type": "string"}]}
    order = {"type": "record", "name": "shop.Order", "fields": [{"name": "to", "type": "shop.Address"}]}
    schema = avro(needed=(address, order), whole=["shop.Order", "string"])

    assert read(wired(schema, {"to": {"city": "Ulm"}}), wired(schema, "x"), schemas=[schema]) == (
        [b'{"to":{"city":"Ulm"}}', b'"x"'],
        [],
    )


@pytest.mark.parametrize(
    ("kind", "data", "said"),
    [
        ("string", b"", "it ends within a value"),
        ("double", b"\0\0", "it ends within a value"),
        ("string", b"\xff" * 30, "it ends within a value"),
        ("string", b"\x06a", "it gives a length of 3 bytes, of which 1 are there"),
        ("bytes", b"\x01abc", "it gives a length of -1 bytes"),
        ("string", b"\x04a\xff", r"a text is no UTF-8 (b'a\xff')"),
        (["null", "int"], b"\x08", "it gives a number that no member of the union, or symbol of the enum, has"),
        ("int", b"\2\2", "1 bytes are left behind what the schema says"),
    ],
)
def test_why_avro_cannot_be_read_is_told_in_plain_words_that_stay_the_same(kind: Any, data: bytes, said: str):
    schema = avro(("it", kind))

    ((_, reason, detail),) = read(b"\0\0\0\0\x07" + data, schemas=[schema])[1]

    assert (reason, detail.partition("; written by")[0]) == (
        "not avro",
        f"its schema does not fit what it holds: {said}; let its producer write by the schema that it names",
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "nope",
            "the schema's text, or that of one to which it refers, is no JSON (JSON is malformed: ",
        ),
        ('"Money"', "the schema is none of Avro that can be read: it has no type 'Money'"),
        ('{"type":"array"}', "the schema is none of Avro that can be read: a part of it has no 'items'"),
        ("7", "the schema is none of Avro that can be read: a part of it is no text, list or object where one must"),
    ],
)
def test_of_a_schema_of_no_use_it_is_said_that_it_is_the_schema(text: str, said: str):
    ((_, reason, detail),) = read(b"\0\0\0\0\x07a", schemas=[WriterSchema(id=7, text=text)])[1]

    assert reason == "unknown schema"
    assert detail.startswith(said)
    assert "; register one that can be read, and write by that" in detail


def test_what_avro_cannot_read_is_told_with_subject_version_and_number():
    fields = avro(("id", "string"), ("n", "int"))
    good = wired(fields, {"id": "o", "n": 1})
    bad = [good[:-1], good + b"\0", b"{}", b"", b"\0\0\0\0\x09" + good[5:], b"\0\0\0\0\x08" + good[5:]]
    gone = WriterSchema(id=9, fault="there is none")
    foreign = WriterSchema(id=8, kind="PROTOBUF")

    said, told = read(good, *bad, schemas=[fields, gone, foreign])

    assert said == [b'{"id":"o","n":1}']
    assert [(row, reason) for row, reason, _ in told] == [
        (1, "not avro"),
        (2, "not avro"),
        (3, "not avro"),
        (4, "not avro"),
        (5, "unknown schema"),
        (6, "not avro"),
    ]
    assert told[0][2].endswith("; written by schema 7 (shop.orders-value version 3)")
    assert "1 bytes are left" in told[1][2]
    assert "begin with a 0" in told[2][2]
    assert told[4][2] == "there is none; written by schema 9"
    assert "say `format: protobuf`" in told[5][2]


def test_a_number_that_no_registry_gives_is_asked_of_none():
    values = [b"\0" + number.to_bytes(4, "big") for number in (0, 2**31 - 1, 2**31, 2**32 - 1)]
    source = ForeignSource(key="orders", topic="shop.orders", makes="event", format="avro")
    records = make_records([(i, 0, value, ()) for i, value in enumerate(values)], topic="@shop.orders")

    _, told = read(*values, schemas=[])

    assert named_by(records, [source]) == [0, 2**31 - 1]
    assert [reason for _, reason, _ in told] == ["unknown schema"] * 4
    assert told[3][2].startswith("no schema has the number 4294967295; registries end at 2147483647")


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (avro(("next", ["null", "Order"])), b"\x02" * 1_000_000 + b"\0"),
        (avro(("none", {"type": "array", "items": "null"})), b"\xfe\xff\xff\xff\xff\xff\xff\xff\x7f\0"),
        (WriterSchema(id=7, text="no JSON"), b""),
        (WriterSchema(id=7, text='{"type":"record"}'), b""),
        (WriterSchema(id=7, text='{"type":"record","name":"A","fields":[{"name":"x","type":"Gone"}]}'), b""),
    ],
    ids=["deep", "endless", "no JSON", "no schema", "unknown name"],
)
def test_nothing_that_a_schema_allows_stops_the_reader(schema, value):
    said, ((_, reason, _),) = read(b"\0\0\0\0\x07" + value, schemas=[schema])

    assert (said, reason) == ([], "not avro" if value[:1] == b"\x02" else "unknown schema")


PROTO = """
syntax = "proto3";
package shop;
import "money.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
import "google/protobuf/struct.proto";
message Other {}
message Order {
  enum Status { OPEN = 0; PAID = 1; }
  string id = 1;
  int64 customer_id = 2;
  Status status = 3;
  Money total = 4;
  google.protobuf.Timestamp paid_at = 5;
  repeated Line lines = 6;
  map<string, Line> by_name = 7;
  map<bool, string> flags = 8;
  message Line { string sku = 1; int32 count = 2; }  // the first: what holds a map's entries does not count
  optional int32 rank = 9;
  google.protobuf.StringValue note = 10;
  google.protobuf.Struct more = 11;
  bytes raw = 12;
  oneof way { string door = 13; int32 box = 14; }
  repeated Status former = 15;
  Order parent = 16;
}
"""
MONEY = """
syntax = "proto2";
package shop;
message Money { optional int64 cents = 1; optional string unit = 2 [default = "EUR"]; }
"""
FILES = compiled(PROTO, {"money.proto": MONEY})
BY_PROTO = WriterSchema(id=7, kind="PROTOBUF", text=PROTO, files=FILES, names=NAMES)


def message(name: str) -> Any:
    """Protobuf's own class of a message."""
    pool = DescriptorPool()
    for file in FileDescriptorSet.FromString(FILES).file:
        pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName(name))


def test_what_protobuf_holds_is_said_as_json_says_it():
    order = message("shop.Order")(id="o", customer_id=2**60, status=1, raw=b"\0\xff", box=0, former=[1, 0, 5])
    order.total.cents = 250
    order.paid_at.FromDatetime(NOON)
    order.lines.add(sku="a", count=2)
    order.by_name["x"].sku = "b"
    order.flags[True] = "yes"
    order.note.value = "n"
    order.more.update({"k": [1.5, None]})
    order.parent.id = "p"

    (said,), told = read(b"\0\0\0\0\x07\x02\x02" + order.SerializeToString(), schemas=[BY_PROTO], form="protobuf")

    assert not told
    empty = {"customer_id": 0, "status": "OPEN", "lines": [], "by_name": {}, "flags": {}, "raw": "", "former": []}
    assert msgspec.json.decode(said) == {
        "id": "o",
        "customer_id": 2**60,
        "status": "PAID",
        "total": {"cents": 250, "unit": "EUR"},
        "paid_at": "2026-11-24T12:00:00.250Z",
        "lines": [{"sku": "a", "count": 2}],
        "by_name": {"x": {"sku": "b", "count": 0}},
        "flags": {"true": "yes"},
        "note": "n",
        "more": {"k": [1.5, None]},
        "raw": "AP8=",
        "box": 0,
        "former": ["PAID", "OPEN", 5],
        "parent": {"id": "p"} | empty,
    }


def test_indices_lead_to_the_message_that_was_written():
    line = message("shop.Order.Line")(sku="a", count=2).SerializeToString()
    head = b"\0\0\0\0\x07"

    said, told = read(
        head + b"\x04\x02\x02" + line,  # the second message within the second
        head + b"\0",  # the first one
        head + b"\x02\x08",
        head + b"\x80",
        head + b"\x02\x02" + b"\x0a\xff",
        schemas=[BY_PROTO],
        form="protobuf",
    )

    assert said == [b"{}"]
    assert [(row, reason) for row, reason, _ in told] == [
        (0, "not protobuf"),
        *[(i, "not protobuf") for i in (2, 3, 4)],
    ]
    assert all("written by schema 7 (shop.orders-value version 3)" in each for _, _, each in told)
    said, _ = read(head + b"\x04\x02\0" + line, schemas=[BY_PROTO], form="protobuf")
    assert said == [b'{"sku":"a","count":2}']


def test_what_is_of_no_use_behind_the_mapping_is_told_with_its_schema_too():
    schema = avro(("who", "string"), ("at", {"type": "long", "logicalType": "timestamp-millis"}))
    source = ForeignSource(
        key="orders",
        topic="shop.orders",
        makes="event",
        format="avro",
        map=FieldMap(event_type="= buy", user_id="who", time=TimeAt(path="at", unit="iso8601")),
    )
    value = wired(schema, {"who": "ann", "at": NOON})
    records = make_records([(0, 1_000, value, ())], topic="@shop.orders")

    (found,) = tried(records, source, 1_000, 1_000, {schema.id: schema})

    assert found.reason == "future"
    assert found.detail.startswith("source 'orders': at is ")
    assert found.detail.endswith("the producer's clock; written by schema 7 (shop.orders-value version 3)")
