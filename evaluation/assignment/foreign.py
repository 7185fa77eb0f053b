"""Foreign: the messages that a source makes of records of another shape, as columns like those of our own."""

from collections import Counter
from collections.abc import Iterator, Mapping
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
from evaluation.sources.making import make
from evaluation.sources.mapping import mapping_of, whole
from evaluation.sources.spans import Reject, Spans
from schemas.records import Records
from schemas.source import ForeignSource, SourceFormat

OWN_FORMATS: dict[str, SourceFormat] = {JSON: "json", NDJSON: "ndjson", ARROW: "arrow"}


def foreign_columns(  # noqa: PLR0917
    records: Records,
    rows: Words,
    source: ForeignSource,
    wanted: Wanted,
    dead_letters: DeadLetters,
    counts: Counter[str],
    given: Mapping[int, int] = MappingProxyType({}),
) -> list[MessageColumns]:
    """The messages that a source makes of these rows, in pieces.

    Args:
        counts: `tombstones` grows by what has no value, `excluded` by what the source's conditions leave out.
        given: by row, of records that were sent again and are one message of many, which of them it was.
    """
    reject: Reject = partial(dead_letters.add, source=source.key)
    is_null = records.length[rows] < 0
    counts["tombstones"] += int(is_null.sum())
    mapping = mapping_of(source, wanted)
    found = []
    for spans in _spans(records, rows[~is_null], source.format, given, reject):
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
                source=source.key,
                of_ours=partial(_as_ours, records, made.spans, source),
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


def _as_ours(records: Records, spans: Spans, source: ForeignSource, i: int) -> bytes | None:
    """One message in our own shape, read anew with all its fields."""
    row, wanted = int(spans.row[i]), whole(source)
    for columns in foreign_columns(records, np.array([row]), source, wanted, DeadLetters(records), Counter()):
        for k in np.flatnonzero(columns.index == spans.index[i]).tolist():
            return msgspec.json.encode(ours(columns, k, wanted.fields))
    return None


def _spans(
    records: Records, rows: Words, otherwise: SourceFormat, given: Mapping[int, int], reject: Reject
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
                nought = np.zeros(len(its), np.int64)
                yield Spans(data, its, nought, records.start[its], records.length[its], is_one_of_many=False)
            case "ndjson":
                yield lines_of(records, its.tolist(), data, reject)
            case "arrow":
                yield _arrow(records, its.tolist(), reject)
            case _:
                raise NotImplementedError(form)


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
