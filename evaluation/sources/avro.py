"""Avro: what was serialized by a schema of Avro, in Python's types.

Unions are plain values, enums their names, decimals exact whatever precision the schema says, dates and times of
Python's. A time that no calendar has stays the number that it is, and a UUID that is none the text.
"""

import re
import struct
from collections.abc import Callable
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from io import BytesIO
from typing import Any

import msgspec
from fastavro import parse_schema, schemaless_reader
from fastavro._read_py import schemaless_reader as slow_reader  # the fast one crashes where it nests too deeply
from fastavro.read import LOGICAL_READERS
from fastavro.schema import SchemaParseException, UnknownType

from schemas.writer_schema import WriterSchema

AVRO_ERRORS = (ArithmeticError, EOFError, LookupError, RecursionError, TypeError, ValueError, struct.error)
_WHOLE = "_"  # a record with this one field is written as the field alone, and knows what other schemas it refers to
_OURS = "peekproof-"  # before the name of a logical type that is read in our way
_EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)
LONGEST_DECIMAL = 1_000  # bytes
LONGEST_SHOWN = 20  # bytes of a value

LogicalReader = Callable[[Any, Any, Any], Any]


def avro_reader(schema: WriterSchema) -> Callable[[bytes], Any]:
    """Reads what was serialized; raises `AVRO_ERRORS`. Raises ValueError where the schema is of no use."""
    try:
        found, by = _parsed(schema), _parsed(schema, is_ours=True)[-1]
        sizes: dict[str, bool] = {}
        for each in found:
            _takes_nothing(each, sizes)
        read_with = slow_reader if any(_holds_itself(each) for each in found) else schemaless_reader
    except (SchemaParseException, AttributeError, msgspec.DecodeError, *AVRO_ERRORS) as error:
        raise ValueError(f"{_fault(error)}; register one that can be read, and write by that") from error

    def read(data: bytes) -> Any:
        stream = BytesIO(data)
        try:
            whole: Any = read_with(stream, by, None)
        except AVRO_ERRORS as error:
            raise ValueError(_misfit(error)) from error
        if stream.tell() < len(data):
            raise ValueError(f"{len(data) - stream.tell()} bytes are left behind what the schema says")
        return whole[_WHOLE]

    return read


def _fault(error: Exception) -> str:
    """Why a schema is of no use."""
    match error:
        case msgspec.DecodeError():
            return f"the schema's text, or that of one to which it refers, is no JSON ({error})"
        case UnknownType():
            why = f"it has no type '{error.name}'"
        case KeyError():
            why = f"a part of it has no {error}"
        case TypeError() | AttributeError():
            why = "a part of it is no text, list or object where one must stand"
        case RecursionError():
            why = "it is nested too deeply"
        case _:
            why = str(error)
    return f"the schema is none of Avro that can be read: {why}"


def _misfit(error: Exception) -> str:
    """Why a value cannot be read, in words that are the same each time."""
    match error:
        case UnicodeDecodeError():
            return f"a text is no UTF-8 ({error.object[: error.end][-LONGEST_SHOWN:]!r})"
        case EOFError() if found := re.fullmatch(r"Expected (-?\d+) bytes, read (\d+)", str(error)):
            said, left = map(int, found.groups())
            return f"it gives a length of {said} bytes" + ("" if said < 0 else f", of which {left} are there")
        case IndexError() if str(error).startswith("list"):
            return "it gives a number that no member of the union, or symbol of the enum, has"
        case EOFError() | IndexError() | struct.error():
            return "it ends within a value"
        case RecursionError():
            return "it is nested too deeply"
    return str(error)


def _decimal(data: bytes, schema: Any, _: Any) -> Decimal:
    if len(data) > LONGEST_DECIMAL:
        raise ValueError(f"a decimal of {len(data)} bytes is not read, at most {LONGEST_DECIMAL} are")
    return Decimal(int.from_bytes(data, signed=True)).scaleb(-schema.get("scale", 0), _EXACT)


def _or_plain(read: LogicalReader) -> LogicalReader:
    """What it reads, or else the value without its meaning."""

    def read_one(data: Any, schema: Any, other: Any) -> Any:
        try:
            return read(data, schema, other)
        except (ArithmeticError, ValueError):
            return data

    return read_one


LOGICAL_READERS |= {
    name.replace("-", f"-{_OURS}", 1): _decimal if name.endswith("-decimal") else _or_plain(read)
    for name, read in LOGICAL_READERS.items()
    if _OURS not in name
}


def _parsed(schema: WriterSchema, *, is_ours: bool = False) -> list[Any]:
    """The schemas that it needs, and at last itself."""
    named: dict[str, Any] = {}
    texts = [msgspec.json.decode(text) for text in (*schema.needed, schema.text)]
    texts[-1] = {"type": "record", "name": _WHOLE, "fields": [{"name": _WHOLE, "type": texts[-1]}]}
    return [parse_schema(_ours(each) if is_ours else each, named) for each in texts]


def _ours(schema: Any) -> Any:
    """The schema with our own names for logical types."""
    match schema:
        case list():
            return [_ours(each) for each in schema]
        case dict():
            inner = {name: _ours(schema[name]) for name in ("type", "items", "values", "fields") if name in schema}
            kind = schema.get("logicalType")
            return schema | inner | ({"logicalType": _OURS + kind} if isinstance(kind, str) else {})
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
