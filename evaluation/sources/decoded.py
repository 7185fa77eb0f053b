"""Decoded: records that a schema of a registry explains, as JSON, so that a source reads them like any other."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal

import msgspec
import numpy as np

from evaluation.columns.arrays import Words
from evaluation.columns.texts import as_bytes
from evaluation.sources.avro import AVRO_ERRORS, avro_reader
from evaluation.sources.protobuf import PROTOBUF_ERRORS, protobuf_reader
from evaluation.sources.spans import Came, Reject, Spans
from evaluation.sources.wire import HEAD, LARGEST_NUMBER, NO_SCHEMA, schema_ids
from schemas.dead_letter import Reason
from schemas.records import Records
from schemas.topics import MARK
from schemas.writer_schema import Schemas, WriterSchema

RegisteredFormat = Literal["avro", "protobuf"]
_REASONS: dict[RegisteredFormat, Reason] = {"avro": "not avro", "protobuf": "not protobuf"}
_ERRORS = (*AVRO_ERRORS, *PROTOBUF_ERRORS, msgspec.MsgspecError)
_ENCODER = msgspec.json.Encoder(decimal_format="number")


class _UselessError(Exception):
    """A record, or all of a schema, cannot be read."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason: Reason = reason


def as_json(records: Records, rows: Words, form: RegisteredFormat, schemas: Schemas, reject: Reject) -> Spans:
    """What these records hold, as JSON in a buffer of its own; what cannot be read is rejected, and names its schema.

    Times are in the words of ISO 8601, decimals plain numbers, bytes base64.
    """
    ids = schema_ids(records, rows)
    readers = {number: _reader(number, form, schemas) for number in np.unique(ids).tolist()}
    kept: list[int] = []
    values: list[bytes] = []
    for row, number in zip(rows.tolist(), ids.tolist(), strict=True):
        value = records.value(row) or b""
        try:
            found = readers[number](value)
        except _UselessError as error:
            reject(row, None, error.reason, str(error), value)
        else:
            kept.append(row)
            values.append(found)
    length = np.array([*map(len, values)], np.int64)
    row, index = np.array(kept, np.int64), np.zeros(len(kept), np.int64)
    return Spans(as_bytes(b"".join(values)), row, index, np.cumsum(length) - length, length, is_one_of_many=False)


def naming_schemas(records: Records, schemas: Schemas, reject: Reject) -> Reject:
    """Tells of each message that is of no use by which schema it was written; whole records as they came."""

    def named(row: int, index: int | None, reason: Reason, detail: str, value: Came) -> None:
        if (schema := written_by(records, schemas, row)) is not None:
            detail = f"{detail}; written by {schema}"
        reject(row, index, reason, detail, records.value(row) if index is None else value)

    return named


def written_by(records: Records, schemas: Schemas, row: int) -> str | None:
    """In words, by which schema a record was written; None: it names none."""
    number = int(schema_ids(records, np.array([row]))[0])
    schema = schemas.get(number, WriterSchema(id=number))
    return None if number == NO_SCHEMA else schema.told(records.topic.removeprefix(MARK))


def _reader(number: int, form: RegisteredFormat, schemas: Schemas) -> Callable[[bytes], bytes]:
    """Reads records by the schema of that number; raises `_UselessError`."""
    reason, schema = _REASONS[form], schemas.get(number)
    if number == NO_SCHEMA:
        return _raising(
            reason, "it does not begin with a 0 and the number of a schema, as Confluent's serializers write"
        )
    if schema is None:
        beyond = f"no schema has the number {number}; registries end at {LARGEST_NUMBER}"
        return _raising("unknown schema", beyond if number > LARGEST_NUMBER else "nobody looked its schema up")
    if schema.fault is not None:
        return _raising("unknown schema", schema.fault)
    if schema.kind.lower() != form:
        return _raising(reason, f"the schema is one of {schema.kind}; say `format: {schema.kind.lower()}`")
    try:
        read = _compiled(schema)
    except ValueError as error:
        return _raising("unknown schema", str(error))

    def to_json(value: bytes) -> bytes:
        try:
            return _ENCODER.encode(read(value[HEAD:]))
        except _ERRORS as error:
            said = (str(error) or type(error).__name__)[:200]
            way_out = "let its producer write by the schema that it names"
            raise _UselessError(reason, f"its schema does not fit what it holds: {said}; {way_out}") from error

    return to_json


def _raising(reason: Reason, detail: str) -> Callable[[bytes], bytes]:
    def to_json(_: bytes) -> bytes:
        raise _UselessError(reason, detail)

    return to_json


@lru_cache(maxsize=256)
def _compiled(schema: WriterSchema) -> Callable[[bytes], Any]:
    return avro_reader(schema) if schema.kind == "AVRO" else protobuf_reader(schema)
