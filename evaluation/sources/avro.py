"""Avro: what was serialized by a schema of Avro, in Python's types.

Unions are plain values, enums their names, decimals exact, dates and times of Python's. A record with a time or decimal
that these cannot say is read as if its schema called none of them so: as the numbers and bytes that they are.
"""

import struct
from collections.abc import Callable
from io import BytesIO
from typing import Any

import msgspec
from fastavro import parse_schema, schemaless_reader
from fastavro._read_py import schemaless_reader as slow_reader  # the fast one crashes where it nests too deeply
from fastavro.schema import SchemaParseException

from schemas.writer_schema import WriterSchema

AVRO_ERRORS = (ArithmeticError, EOFError, LookupError, RecursionError, TypeError, ValueError, struct.error)
_WHOLE = "_"  # a record with this one field is written as the field alone, and knows what other schemas it refers to


def avro_reader(schema: WriterSchema) -> Callable[[bytes], Any]:
    """Reads what was serialized; raises `AVRO_ERRORS`. Raises ValueError where the schema is of no use."""
    try:
        found, bare = _parsed(schema), _parsed(schema, is_bare=True)
        sizes: dict[str, bool] = {}
        for each in found:
            _takes_nothing(each, sizes)
        read_with = slow_reader if any(_holds_itself(each) for each in found) else schemaless_reader
    except (SchemaParseException, AttributeError, msgspec.DecodeError, *AVRO_ERRORS) as error:
        raise ValueError(f"it is no schema of Avro that can be read ({error})") from error

    def read(data: bytes, by: Any) -> Any:
        stream = BytesIO(data)
        whole: Any = read_with(stream, by, None)
        if stream.tell() < len(data):
            raise ValueError(f"{len(data) - stream.tell()} bytes are left behind what the schema says")
        return whole[_WHOLE]

    def read_either(data: bytes) -> Any:
        try:
            return read(data, found[-1])
        except (ArithmeticError, ValueError):
            return read(data, bare[-1])

    return read_either


def _parsed(schema: WriterSchema, *, is_bare: bool = False) -> list[Any]:
    """The schemas that it needs, and at last itself."""
    named: dict[str, Any] = {}
    texts = [msgspec.json.decode(text) for text in (*schema.needed, schema.text)]
    texts[-1] = {"type": "record", "name": _WHOLE, "fields": [{"name": _WHOLE, "type": texts[-1]}]}
    return [parse_schema(_bare(each) if is_bare else each, named) for each in texts]


def _bare(schema: Any) -> Any:
    """The schema without what says that a number or bytes are a time or a decimal."""
    match schema:
        case list():
            return [_bare(each) for each in schema]
        case dict():
            said = {name: value for name, value in schema.items() if name != "logicalType"}
            return said | {name: _bare(said[name]) for name in ("type", "items", "values", "fields") if name in said}
    return schema


def _takes_nothing(schema: Any, named: dict[str, bool]) -> bool:
    """Whether its values take no bytes. Raises ValueError for a list of such: it may have any number."""
    match schema:
        case str():
            return schema == "null" or named.get(schema, False)
        case {"type": "record" | "error", "name": name, "fields": fields}:
            named[name] = all([_takes_nothing(each["type"], named) for each in fields])  # noqa: C419 (visit each)
            return named[name]
        case {"type": "fixed", "name": name, "size": size}:
            named[name] = size == 0
            return named[name]
        case {"type": "array", "items": items}:
            if _takes_nothing(items, named):
                raise ValueError("an array whose items take no bytes is not read")
        case {"type": "map", "values": values}:
            _takes_nothing(values, named)
        case {"type": kind} if kind != "enum":
            return _takes_nothing(kind, named)
        case list():
            for each in schema:
                _takes_nothing(each, named)
    return False


def _holds_itself(schema: Any, within: tuple[str, ...] = ()) -> bool:
    """Whether something of it may be nested in itself, to any depth."""
    match schema:
        case str():
            return schema in within
        case list():
            return any(_holds_itself(each, within) for each in schema)
        case {"type": "record" | "error", "name": name, "fields": fields}:
            return any(_holds_itself(each["type"], (*within, name)) for each in fields)
        case {"items": inner} | {"values": inner} | {"type": dict() | list() as inner}:
            return _holds_itself(inner, within)
    return False
