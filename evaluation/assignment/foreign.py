"""Foreign: the messages that a source makes of records of another shape, as columns like those of our own."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import msgspec
import numpy as np

from evaluation.assignment.arrow import UNREADABLE, UselessError, rows_of
from evaluation.assignment.columns import MessageColumns
from evaluation.assignment.dead_letters import DeadLetters, shown
from evaluation.assignment.decoding import ARROW, JSON, NDJSON, content_type, lines_of
from evaluation.columns.arrays import Words
from evaluation.columns.scanning import MISSING, TEXTS, Type, Wanted
from evaluation.columns.texts import as_bytes
from evaluation.sources.decoded import as_json, naming_schemas, written_by
from evaluation.sources.making import make
from evaluation.sources.mapping import mapping_of, whole
from evaluation.sources.spans import Reject, Spans
from evaluation.sources.wire import HEAD, LARGEST_NUMBER, NO_SCHEMA, schema_ids
from schemas.dead_letter import SOURCE
from schemas.records import Records
from schemas.source import REGISTERED, ForeignSource, SourceFormat
from schemas.topics import MARK
from schemas.writer_schema import NO_SCHEMAS, Schemas

OWN_FORMATS: dict[str, SourceFormat] = {JSON: "json", NDJSON: "ndjson", ARROW: "arrow"}


def foreign_columns(  # noqa: PLR0917
    records: Records,
    rows: Words,
    source: ForeignSource,
    wanted: Wanted,
    dead_letters: DeadLetters,
    counts: Counter[str],
    given: Mapping[int, int] = MappingProxyType({}),
    schemas: Schemas = NO_SCHEMAS,
) -> list[MessageColumns]:
    """The messages that a source makes of these rows, in pieces.

    Args:
        counts: `tombstones` grows by what has no value, `excluded` by what the source's conditions leave out.
        given: by row, of records that were sent again and are one message of many, which of them it was.
        schemas: those that are `named_by` the records.
    """
    reject: Reject = partial(dead_letters.add, source=source.key)
    if source.format in REGISTERED:
        reject = naming_schemas(records, schemas, reject)
    is_null = records.length[rows] < 0
    counts["tombstones"] += int(is_null.sum())
    mapping = mapping_of(source, wanted)
    found = []
    for spans in _spans(records, rows[~is_null], source.format, given, schemas, reject):
        for made in make(records, spans, mapping, reject, counts, given):
            is_one_of_many = np.full(len(made.spans), spans.is_one_of_many or mapping.of_element is not None)
            columns = MessageColumns(
                row=made.spans.row,
                index=made.spans.index,
                is_one_of_many=is_one_of_many,
                texts=made.texts,
                integers=made.integers,
                numbers=made.numbers,
                value=made.value,
                are_elements=mapping.of_element is not None,
                source=source.key,
                said_time=made.said_time,
                of_ours=partial(_as_ours, records, made.spans, source, schemas),
                of_schema=made.spans.value if source.format in REGISTERED else None,
                written_by=partial(_written_by, records, made.spans, schemas) if source.format in REGISTERED else None,
            )
            found.append(columns)
    return [columns for columns in found if len(columns)]


def ours(columns: MessageColumns, i: int, kinds: Mapping[tuple[str, ...], Type]) -> dict[str, Any]:
    """One message of columns that have all its fields, in our own shape."""
    message: dict[str, Any] = {}
    for path, kind in kinds.items():
        value: Any = None
        if kind in TEXTS:
            text = columns.texts[path]
            at = int(text.start[i])
            value = text[i] if kind != Type.VALUE else text.data[at : at + max(int(text.length[i]), 0)].tobytes()
            value = msgspec.Raw(value) if value and kind == Type.VALUE else value or None
        elif kind == Type.INTEGER and columns.integers[path][i] != MISSING:
            value = int(columns.integers[path][i])
        if value is not None:
            within = message if len(path) == 1 else message.setdefault(path[0], {})
            within[path[-1]] = value
    return message


def named_by(records: Records, sources: Collection[ForeignSource]) -> list[int]:
    """The numbers of the schemas without which these sources cannot read the records."""
    sources = [source for source in sources if source.format in REGISTERED]
    if not sources:
        return []
    rows = np.arange(len(records))
    if not records.topic.startswith(MARK):  # dead letters that were sent again
        keys = {source.key.encode() for source in sources}
        rows = np.array([row for row, said in records.headers.items() if dict(said).get(SOURCE) in keys], np.int64)
    elif not any(MARK + source.topic == records.topic for source in sources):
        return []
    return [number for number in np.unique(schema_ids(records, rows)).tolist() if 0 <= number <= LARGEST_NUMBER]


def readable(records: Records, row: int, source: ForeignSource, schemas: Schemas) -> bytes | None:
    """A record's value as a source reads it, in words: as JSON where only a schema explains it, if that can be read."""
    match source.format:
        case "avro" | "protobuf" as form if len(found := as_json(records, np.array([row]), form, schemas, _ignore)):
            return found.value(0)
    return records.value(row)


def _written_by(records: Records, spans: Spans, schemas: Schemas, i: int) -> str | None:
    return written_by(records, schemas, int(spans.row[i]))


def _ignore(*_: Any) -> None:
    """Of a message that is of no use."""


def _as_ours(records: Records, spans: Spans, source: ForeignSource, schemas: Schemas, i: int) -> bytes | None:
    """One message in our own shape, read anew with all its fields."""
    row, wanted = int(spans.row[i]), whole(source)
    nobody, counts = DeadLetters(records), Counter[str]()
    for columns in foreign_columns(records, np.array([row]), source, wanted, nobody, counts, schemas=schemas):
        for k in np.flatnonzero(columns.index == spans.index[i]).tolist():
            return msgspec.json.encode(ours(columns, k, wanted.fields))
    return None


def _spans(  # noqa: PLR0917
    records: Records, rows: Words, otherwise: SourceFormat, given: Mapping[int, int], schemas: Schemas, reject: Reject
) -> Iterator[Spans]:
    """The JSON of these records, by their formats; one message of many travels on its own, as JSON."""
    data = as_bytes(records.data)
    of_row: dict[int, SourceFormat] = {}
    for row in records.headers:
        form = "json" if row in given else OWN_FORMATS.get(content_type(records, row), otherwise)
        if form != otherwise:
            of_row[row] = form  # type: ignore[assignment]
    groups = {otherwise: np.setdiff1d(rows, list(of_row)) if of_row else rows}
    for form in set(of_row.values()):
        groups[form] = np.intersect1d(rows, [row for row, each in of_row.items() if each == form])
    for form, its in groups.items():
        match form:
            case "json":
                head = HEAD * (
                    schema_ids(records, its) != NO_SCHEMA
                )  # of JSON by a schema, which needs none to be read
                places = np.zeros(len(its), np.int64), records.start[its] + head, records.length[its] - head
                yield Spans(data, its, *places, is_one_of_many=False)
            case "ndjson":
                yield lines_of(records, its.tolist(), data, reject)
            case "arrow":
                yield _arrow(records, its.tolist(), reject)
            case "avro" | "protobuf":
                yield as_json(records, its, form, schemas, reject)


def _arrow(records: Records, rows: list[int], reject: Reject) -> Spans:
    """The rows of Arrow streams, as JSON; times are in the words of ISO 8601."""
    lines: list[bytes] = []
    row_of: list[int] = []
    index: list[int] = []
    for row in rows:
        value = records.value(row)
        try:
            found = rows_of(value or b"")
        except UselessError as error:
            reject(row, None, error.reason, str(error), value)
            continue
        except UNREADABLE as error:
            reject(row, None, "not arrow", f"{shown(str(error))}; send one Arrow IPC stream", value)
            continue
        lines += [msgspec.json.encode(each, enc_hook=str) for each in found]
        row_of += [row] * len(found)
        index += range(len(found))
    length = np.array([*map(len, lines)], np.int64)
    places = np.array(row_of, np.int64), np.array(index, np.int64)
    return Spans(as_bytes(b"".join(lines)), *places, np.cumsum(length) - length, length, is_one_of_many=True)
