"""Registered: nested records as producers write them by schemas of a registry."""

import io
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import fastavro
import msgspec
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import ParseDict
from google.protobuf.message_factory import GetMessageClass

from pipeline.registry.protoc import compiled
from schemas.writer_schema import WriterSchema

AVRO, PROTOBUF = 1, 2  # numbers of schemas
TIME = "at"  # the field of the record that is one
PRIMITIVES = {str: ("string", "string"), int: ("long", "int64"), float: ("double", "double")}


def in_avro(records: Sequence[dict[str, Any]]) -> tuple[WriterSchema, list[bytes]]:
    """The schema that these records have in common, and each by it."""
    schema = _avro("record", records[0])
    parsed = fastavro.parse_schema(schema)
    return WriterSchema(id=AVRO, text=msgspec.json.encode(schema).decode()), [
        _wired(AVRO, _written(parsed, record)) for record in records
    ]


def in_protobuf(records: Sequence[dict[str, Any]]) -> tuple[WriterSchema, list[bytes]]:
    """The same of Protobuf."""
    lines = ['syntax = "proto3";', 'import "google/protobuf/timestamp.proto";', *_messages("Record", records[0])]
    files = compiled("\n".join(lines), {})
    pool = DescriptorPool()
    for file in FileDescriptorSet.FromString(files).file:
        pool.Add(file)
    made = GetMessageClass(pool.FindMessageTypeByName("Record"))
    values = [_wired(PROTOBUF, b"\0" + ParseDict(record, made()).SerializeToString()) for record in records]
    return WriterSchema(id=PROTOBUF, kind="PROTOBUF", files=files), values


def _wired(number: int, serialized: bytes) -> bytes:
    return b"\0" + number.to_bytes(4, "big") + serialized


def _written(schema: Any, record: dict[str, Any]) -> bytes:
    event = record["event"]
    stream = io.BytesIO()
    timed = record | {"event": event | {TIME: datetime.fromisoformat(event[TIME])}}
    fastavro.schemaless_writer(stream, schema, timed)
    return stream.getvalue()


def _avro(name: str, value: Any) -> Any:
    if isinstance(value, dict):
        return {"type": "record", "name": name, "fields": [{"name": n, "type": _avro(n, v)} for n, v in value.items()]}
    if isinstance(value, list):
        return {"type": "array", "items": _avro(f"{name}_item", value[0])}
    if name == TIME:
        return {"type": "long", "logicalType": "timestamp-millis"}
    return PRIMITIVES[type(value)][0]


def _messages(name: str, record: dict[str, Any]) -> Iterator[str]:
    yield f"message {name} {{"
    for number, (field, value) in enumerate(record.items(), 1):
        whole = value[0] if isinstance(value, list) else value
        kind = "google.protobuf.Timestamp" if field == TIME else f"M_{field}"
        if isinstance(whole, dict):
            yield from _messages(kind, whole)
        elif field != TIME:
            kind = PRIMITIVES[type(whole)][1]
        yield f"{'repeated ' if isinstance(value, list) else ''}{kind} {field} = {number};"
    yield "}"
