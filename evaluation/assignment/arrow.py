"""Arrow: the rows of an Arrow IPC stream as columns of messages: the fast lane.

Columns are named like the JSON fields and typed accordingly: strings (or dictionaries of them), integers (or a
timestamp) and numbers; `event_properties`, `user_properties`, `groups` and `metadata` are structs, whose fields are the
properties. Other columns are ignored. A column of the wrong type rejects the stream, and so do more than `MOST_ROWS`
rows; a bad row rejects itself, as JSON.
"""

from typing import Any, NoReturn

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from evaluation.assignment.columns import MessageColumns
from evaluation.assignment.dead_letters import DeadLetters, shown
from evaluation.columns.scanning import LONGEST_TEXT, MISSING, NUMBERS, TEXTS, Type, Wanted, first_text, plain_number
from evaluation.columns.texts import Texts
from evaluation.flags.paths import Path
from schemas.dead_letter import Reason
from schemas.records import Records

MOST_ROWS = 100_000  # of a stream: a row may take no bytes at all, and each may become a dead letter
UNREADABLE = (ArithmeticError, LookupError, OSError, ValueError, pa.ArrowException)


class UselessError(Exception):
    """An Arrow stream, or a column of it, is of no use."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason: Reason = reason


def read_arrow(records: Records, row: int, wanted: Wanted, dead_letters: DeadLetters) -> MessageColumns:
    """The rows of an Arrow stream."""
    value = records.value(row)
    if value:
        try:
            table = table_of(value)
            columns = {path: _arrow_column(table, path, kind) for path, kind in wanted.fields.items()}
            numeric = [path for path, kind in wanted.fields.items() if kind in NUMBERS]
            numbers = {path: _arrow_column(table, path, Type.NUMBER) for path in numeric}
        except UselessError as error:
            dead_letters.add(row, None, error.reason, str(error), value)
            return _nothing(wanted)
        except UNREADABLE as error:
            dead_letters.add(row, None, "not arrow", f"{shown(str(error))}; send one Arrow IPC stream", value)
            return _nothing(wanted)
    else:
        dead_letters.add(row, None, "empty", "the value is empty; send one Arrow IPC stream", value)
        return _nothing(wanted)

    def message(i: int) -> bytes:
        columns_of_one = zip(table.column_names, table.slice(i, 1).columns, strict=True)
        fields = {name: field for name, column in columns_of_one for field in _values(column) if field is not None}
        if ("time",) in columns and (time := int(columns["time",][i])) != MISSING:
            fields["time"] = time
        return msgspec.json.encode(fields, enc_hook=str)

    good = np.ones(table.num_rows, np.bool_)
    for path, column in columns.items():
        if wanted.fields[path] not in {Type.TEXT, Type.FIRST}:
            continue
        for i in np.flatnonzero(column.length > LONGEST_TEXT).tolist():
            if good[i] and len(column[i] or "") > LONGEST_TEXT:
                detail = f"{'.'.join(path)} is {shown(column[i])}; a string has at most {LONGEST_TEXT} characters"
                dead_letters.add(row, i, "wrong type", detail, message(i))
                good[i] = False
        if path == wanted.required:
            for i in np.flatnonzero(good & (column.length < 0)).tolist():
                dead_letters.add(row, i, "wrong type", f"{path[0]} is missing; every message has one", message(i))
                good[i] = False
    kept = np.flatnonzero(good)
    fields = wanted.fields.items()
    return MessageColumns(
        np.full(len(kept), row),
        kept,
        np.ones(len(kept), np.bool_),
        {path: columns[path].take(kept) for path, kind in fields if kind in TEXTS},
        {path: columns[path][kept] for path, kind in fields if kind == Type.INTEGER},
        {path: numbers[path][kept] for path in numbers},
        lambda i: message(int(kept[i])),
    )


def table_of(value: bytes) -> pa.Table:
    """The rows of a stream, each checked. Raises `UselessError` and what is UNREADABLE."""
    batches, rows = [], 0
    with pa.ipc.open_stream(value) as stream:
        for batch in stream:
            rows += batch.num_rows
            if rows > MOST_ROWS:
                raise UselessError("too large", f"the stream has more than {MOST_ROWS} rows; send fewer in one record")
            batch.validate(full=True)
            batches.append(batch)
        return pa.Table.from_batches(batches, stream.schema).combine_chunks()


def rows_of(value: bytes) -> list[dict[str, Any]]:
    """The rows of a stream in Python's types. Raises `UselessError` and what is UNREADABLE."""
    table = table_of(value)
    columns = [_values(column) for column in table.columns]
    return [dict(zip(table.column_names, row, strict=True)) for row in zip(*columns, strict=True)]


def _nothing(wanted: Wanted) -> MessageColumns:
    fields = wanted.fields.items()
    nothing = np.empty(0, np.int64)
    return MessageColumns(
        nothing,
        nothing,
        nothing.astype(np.bool_),
        {path: Texts.of([]) for path, kind in fields if kind in TEXTS},
        {path: nothing for path, kind in fields if kind == Type.INTEGER},
        {path: nothing.astype(np.float64) for path, kind in fields if kind in NUMBERS},
        lambda _: None,
    )


def _arrow_column(table: pa.Table, path: Path, kind: Type) -> Any:
    """One wanted field of an Arrow table; raises `UselessError`."""
    column = pa.nulls(table.num_rows)
    for depth, name in enumerate(path):
        if depth and not pa.types.is_struct(column.type):
            column = pa.nulls(table.num_rows)
            break
        names = [field.name for field in column.type] if depth else table.column_names
        if names.count(name) > 1:
            raise UselessError("wrong type", f"two columns are named {shown(name)}; name each once")
        if name not in names:
            column = pa.nulls(table.num_rows)
            break
        chunked = pc.struct_field(column, [names.index(name)]) if depth else table.column(name)
        column = (
            pa.concat_arrays(chunked.chunks)
            if isinstance(chunked, pa.ChunkedArray) and chunked.num_chunks
            else (chunked if isinstance(chunked, pa.Array) else pa.nulls(0, chunked.type))
        )

    def refuse(rule: str) -> NoReturn:
        raise UselessError("wrong type", f"column {'.'.join(path)} is {column.type}; send {rule}")

    is_null = pa.types.is_null(column.type)
    if kind == Type.OBJECT:
        if not is_null and not pa.types.is_struct(column.type):
            refuse("a struct")
        return column
    if kind == Type.VALUE:
        return Texts.of(_as_json(column))
    if kind in TEXTS:
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if kind == Type.FIRST and (pa.types.is_list(column.type) or pa.types.is_large_list(column.type)):
            column = pa.array([first_text(names) for names in _values(column)], column.type.value_type)
        if not is_null and not _is_text(column.type):
            refuse("strings (of whole numbers their digits)" if pa.types.is_integer(column.type) else "strings")
        return Texts.of(column)
    if kind == Type.INTEGER:
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.timestamp("ms"), safe=False).cast(pa.int64())
        if not is_null and not pa.types.is_integer(column.type):
            refuse("integers")
        return column.cast(pa.int64()).fill_null(MISSING).to_numpy(zero_copy_only=False)
    return _numbers(column)


def _numbers(column: pa.Array) -> NDArray[np.float64]:
    """Each value as a number; NaN where it is none."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if _is_text(column.type):
        texts = column.dictionary_encode()
        plain = [
            np.nan if text is None else plain_number(msgspec.json.encode(text)) for text in _values(texts.dictionary)
        ]
        return np.array([*plain, np.nan])[texts.indices.fill_null(len(plain)).to_numpy(zero_copy_only=False)]
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_decimal(column.type):
        return column.cast(pa.float64(), safe=False).fill_null(np.nan).to_numpy(zero_copy_only=False)
    return np.full(len(column), np.nan)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _values(column: pa.Array | pa.ChunkedArray) -> list[Any]:
    """The values in Python's types; where those cannot say one (a year beyond 9999, nanoseconds), in Arrow's words."""
    try:
        return column.to_pylist()
    except UNREADABLE:
        if len(column) == 1:
            return [str(column)]
        return [value for i in range(len(column)) for value in _values(column.slice(i, 1))]


def _as_json(column: pa.Array) -> pa.Array:
    """Each value as JSON writes it."""
    if pa.types.is_nested(column.type) or pa.types.is_null(column.type):
        values, codes = column, pa.array(range(len(column)), pa.int64())
    else:
        encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
        values, codes = encoded.dictionary, encoded.indices
    texts = [None if value is None else msgspec.json.encode(value, enc_hook=str) for value in _values(values)]
    return pa.array([None if text == b"null" else text for text in texts], pa.large_binary()).take(codes)
