"""Decoding: the messages of a slice as columns, whichever way their producers wrote them, and letters for the rest.

A record without headers, or without the header `content-type`, is one JSON object. `application/x-ndjson` makes it
many, one a line. `application/vnd.apache.arrow.stream` makes it many rows, their columns named like the JSON fields and
typed accordingly: strings (or dictionaries of them), integers (or a timestamp) and numbers; `event_properties`,
`user_properties`, `groups` and `metadata` are structs, whose fields are the properties. Any other content type is taken
as one JSON object. Which way a message is read depends on its own bytes and headers alone, never on its neighbours.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, NoReturn

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit
from numpy.typing import NDArray

from evaluation.assignment.scanning import DEEPEST, LARGEST, LONGEST_TEXT, MISSING, Path, Type, Wanted, scan
from evaluation.texts import Texts, as_bytes
from schemas.dead_letter import CONTENT_TYPE, DeadLetter, Reason, resent_from
from schemas.records import Records

NDJSON, ARROW = "application/x-ndjson", "application/vnd.apache.arrow.stream"
LATEST = 253_402_300_799_999  # the last millisecond of the year 9999
SHOWN = 100  # characters of a value in a letter

Value = Callable[[int], bytes | None]


@dataclass(frozen=True, slots=True)
class Columns:
    """n messages: wanted fields by path. A missing text has length -1, a missing integer is `MISSING`.

    A number is NaN where it is missing or something else than a number.
    """

    row: NDArray[np.int64]  # (n,) of the record that holds it
    index: NDArray[np.int64]  # (n,) within that record
    is_one_of_many: NDArray[np.bool_]  # (n,)
    texts: dict[Path, Texts]
    integers: dict[Path, NDArray[np.int64]]
    numbers: dict[Path, NDArray[np.float64]]
    value: Value  # the bytes of one message

    def __len__(self) -> int:
        return len(self.row)

    def index_of(self, i: int) -> int | None:
        """A message's index within its record; None where the record holds no other."""
        return int(self.index[i]) if self.is_one_of_many[i] else None


class Letters:
    """The dead letters of one slice."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._letters: list[tuple[int, int, DeadLetter]] = []

    def add(self, row: int, index: int | None, reason: Reason, detail: str, value: bytes | None) -> None:
        """Reject one message. A letter that was sent again keeps its first origin and append time."""
        first = place_of(self._records, row, index)
        topic, partition, offset, first_index = first.place
        letter = DeadLetter(
            reason=reason,
            detail=detail,
            topic=topic,
            partition=partition,
            offset=offset,
            index=first_index,
            append_time=first.append_time,
            headers=self._records.headers.get(row, ()),
            value=value,
        )
        self._letters.append((row, index or 0, letter))

    def reject(self, columns: Columns, i: int, reason: Reason, detail: str) -> None:
        """Reject one message of the columns."""
        self.add(int(columns.row[i]), columns.index_of(i), reason, detail, columns.value(i))

    def in_order(self) -> list[DeadLetter]:
        """All letters, as their messages stand in the slice."""
        return [letter for _, _, letter in sorted(self._letters, key=lambda each: each[:2])]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where and when a message stood first."""

    append_time: int
    place: tuple[str, int, int, int | None]  # topic, partition, offset, index within a record that held many

    @property
    def text(self) -> str:
        """topic/partition/offset, and /index within a record that held many"""
        return "/".join(str(part) for part in self.place if part is not None)


def origin_of(records: Records, row: int) -> Origin | None:
    """The origin of a record that was sent again; None for any other."""
    found = resent_from(records.headers.get(row, ()))
    if found is None or not 0 <= found[0] <= LATEST:
        return None
    topic, *numbers = found[1].split("/")
    if len(numbers) not in {2, 3} or not all(number.isascii() and number.isdigit() for number in numbers):
        return None
    partition, offset, *index = map(int, numbers)
    return Origin(found[0], (topic, partition, offset, index[0] if index else None))


def place_of(records: Records, row: int, index: int | None) -> Origin:
    """Where a message stood first; `index` within a record that holds many."""
    if origin := origin_of(records, row):
        topic, partition, offset, first_index = origin.place
        return Origin(origin.append_time, (topic, partition, offset, index if first_index is None else first_index))
    place = (records.topic, records.partition, int(records.offset[row]), index)
    return Origin(int(records.append_time[row]), place)


def shown(value: object) -> str:
    """A value in a letter, bounded in length."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}… ({len(text)} characters)"


def decode(records: Records, rows: range, wanted: Wanted, letters: Letters) -> list[Columns]:
    """The messages of these rows, in pieces; within a piece they stand in order, a record lies within one piece."""
    headed = [row for row in records.headers if row in rows]
    plain = np.arange(rows.start, rows.stop)
    if headed:
        plain = np.setdiff1d(plain, headed, assume_unique=True)
    odd = _Odd(records, wanted, letters)
    spans = _Spans(plain, np.zeros(len(plain), np.int64), records.start[plain], records.length[plain])
    pieces = [_scanned(as_bytes(records.data), spans, np.zeros(len(plain), np.bool_), wanted, odd)]
    if headed:
        types = {row: _content_type(records, row) for row in headed}
        aside = as_bytes(records.aside)
        lines = _lines(records, aside, types, letters)
        is_one_of_many = np.array([types[row] == NDJSON for row in lines.row.tolist()], np.bool_)
        pieces.append(_scanned(aside, lines, is_one_of_many, wanted, odd))
        pieces += [_arrow(records, row, wanted, letters) for row in headed if types[row] == ARROW]
    if odd.messages:
        pieces.append(odd.columns())
    return [piece for piece in pieces if len(piece)]


def _content_type(records: Records, row: int) -> str:
    for name, value in records.headers[row]:
        if name.lower() == CONTENT_TYPE:
            return value.decode("ascii", "replace").partition(";")[0].strip().lower()
    return ""


@dataclass(frozen=True, slots=True)
class _Spans:
    """Where messages stand in a buffer."""

    row: NDArray[np.int64]
    index: NDArray[np.int64]
    start: NDArray[np.int64]
    length: NDArray[np.int64]

    def take(self, chosen: NDArray[Any]) -> "_Spans":
        return _Spans(self.row[chosen], self.index[chosen], self.start[chosen], self.length[chosen])


def _lines(records: Records, aside: NDArray[np.uint8], types: dict[int, str], letters: Letters) -> _Spans:
    """The JSON objects of the records with headers: one each, or one a line (empty lines don't count)."""
    singles = np.array([row for row, kind in types.items() if kind not in {NDJSON, ARROW}], np.int64)
    spans = [(singles, np.zeros(len(singles), np.int64), records.start[singles], records.length[singles])]
    for row in [row for row, kind in types.items() if kind == NDJSON]:
        start, length = records.start[row], records.length[row]
        if length <= 0:
            letters.add(row, None, "empty", "the value is empty; send one JSON object a line", records.value(row))
            continue
        ends = np.append(np.flatnonzero(aside[start : start + length] == ord("\n")), length) + start
        starts = np.concatenate([[start], ends[:-1] + 1])
        last = aside[np.maximum(ends - 1, 0)]
        ends -= (ends > starts) & (last == ord("\r"))
        filled = ends > starts
        if not filled.any():
            letters.add(row, None, "empty", "the record holds no line; send one JSON object a line", records.value(row))
        starts, lengths = starts[filled], (ends - starts)[filled]
        spans.append((np.full(len(starts), row), np.arange(len(starts)), starts, lengths))
    return _Spans(*(np.concatenate(column) for column in zip(*spans, strict=True)))


def _scanned(
    data: NDArray[np.uint8], spans: _Spans, is_one_of_many: NDArray[np.bool_], wanted: Wanted, odd: "_Odd"
) -> Columns:
    """The messages that the scan understands; the others are given to `odd`."""
    scanned = scan(data, spans.start, spans.length, wanted)
    bad = scanned.odd
    start, length, number = scanned.start, scanned.length, scanned.number
    if bad.any():
        chosen = spans.take(bad)
        columns = (chosen.row, chosen.index, chosen.start, chosen.length, is_one_of_many[bad])
        for row, index, at, size, is_one in zip(*(each.tolist() for each in columns), strict=True):
            odd.read(row, index if is_one else None, None if size < 0 else data[at : at + size].tobytes())
        good = ~bad
        spans, is_one_of_many = spans.take(good), is_one_of_many[good]
        start, length, number = start[:, good], length[:, good], number[:, good]

    def value(i: int) -> bytes:
        return data[spans.start[i] : spans.start[i] + spans.length[i]].tobytes()

    position = wanted.position.items()
    return Columns(
        spans.row,
        spans.index,
        is_one_of_many,
        {path: Texts(data, start[i], length[i]) for path, i in position if wanted.fields[path] in _TEXTS},
        {path: start[i] for path, i in position if wanted.fields[path] == Type.INTEGER},
        {path: number[i] for path, i in position if wanted.fields[path] == Type.NUMBER},
        value,
    )


_TEXTS = (Type.TEXT, Type.FIRST)
_Text = Annotated[str, msgspec.Meta(max_length=LONGEST_TEXT)]
_TYPES: dict[Type, Any] = {
    Type.TEXT: _Text | None,
    Type.FIRST: _Text | list[_Text] | None,
    Type.INTEGER: int | None,
    Type.NUMBER: Any,
}


@lru_cache(maxsize=16)
def _decoder(wanted: Wanted) -> msgspec.json.Decoder[Any]:
    """Decodes the wanted fields into structs whose fields are named `f0`, `f1`, … by position."""

    def struct(parent: Path) -> type[msgspec.Struct]:
        fields: list[Any] = []
        names = {}
        for path, i in wanted.position.items():
            if path[:-1] != parent:
                continue
            kind = wanted.fields[path]
            names[f"f{i}"] = path[-1]
            if path == wanted.required:
                fields.insert(0, (f"f{i}", _Text))
            else:
                fields.append((f"f{i}", struct(path) | None if kind == Type.OBJECT else _TYPES[kind], None))
        return msgspec.defstruct("Message", fields, rename=names)

    return msgspec.json.Decoder(struct(()))


class _Odd:
    """The messages that are read one by one."""

    def __init__(self, records: Records, wanted: Wanted, letters: Letters) -> None:
        self._records, self._wanted, self._letters = records, wanted, letters
        self._decoder = _decoder(wanted)
        self.messages: list[tuple[int, int | None, Any, bytes]] = []

    def read(self, row: int, index: int | None, value: bytes | None) -> None:
        """Read one message, or reject it."""

        def reject(reason: Reason, detail: str) -> None:
            self._letters.add(row, index, reason, detail, value)

        if not value:
            reject("empty", f"the value is {'null' if value is None else 'empty'}; send one JSON object")
        elif len(value) > LARGEST:
            reject("too large", f"the message has {len(value)} bytes, at most {LARGEST} are read; send less")
        elif (depth := _depth(value)) > DEEPEST:
            reject("too deep", f"the message is nested {depth} levels deep, at most {DEEPEST} are read; flatten it")
        else:
            try:
                self.messages.append((row, index, self._decoder.decode(value), value))
            except msgspec.ValidationError as error:
                reject("wrong type", f"{error}; send the field as the rule says")
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                reject("not json", f"{error}, in {shown(value)}; send one JSON object in UTF-8")

    def columns(self) -> Columns:
        """What was read, in order."""
        self.messages.sort(key=lambda each: (each[0], each[1] or 0))
        messages = [message for _, _, message, _ in self.messages]
        of: dict[Path, list[Any]] = {(): messages}
        for path, i in self._wanted.position.items():
            of[path] = [None if parent is None else getattr(parent, f"f{i}") for parent in of[path[:-1]]]
        fields = self._wanted.fields.items()
        values = [value for _, _, _, value in self.messages]
        return Columns(
            np.array([row for row, _, _, _ in self.messages], np.int64),
            np.array([index or 0 for _, index, _, _ in self.messages], np.int64),
            np.array([index is not None for _, index, _, _ in self.messages], np.bool_),
            {path: Texts.of([_first(each) for each in of[path]]) for path, kind in fields if kind in _TEXTS},
            {path: _integers(of[path]) for path, kind in fields if kind == Type.INTEGER},
            {path: _numbers(of[path]) for path, kind in fields if kind == Type.NUMBER},
            values.__getitem__,
        )


def _first(value: str | list[str] | None) -> str | None:
    return (value[0] if value else None) if isinstance(value, list) else value


def _integers(values: list[int | None]) -> NDArray[np.int64]:
    """Integers beyond what any field may hold are brought down to 2^62."""
    bound = 1 << 62
    return np.array([MISSING if each is None else min(max(each, -bound), bound) for each in values], np.int64)


def _numbers(values: list[Any]) -> NDArray[np.float64]:
    return np.array([_number(each) if type(each) in {int, float} else np.nan for each in values], np.float64)


def _number(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return np.inf if value > 0 else -np.inf


def _depth(value: bytes) -> int:
    """An upper bound of how many objects and arrays are open at once; exact where it is more than `DEEPEST`."""
    opened = value.count(b"{") + value.count(b"[")
    return opened if opened <= DEEPEST else int(_deepest(as_bytes(value)))


@njit(cache=True)
def _deepest(b):  # type: ignore[no-untyped-def]
    """How many objects and arrays are open at once, at most, in JSON or what pretends to be it."""
    deepest = 0
    depth = 0
    inside = False
    i = 0
    while i < b.size:
        c = b[i]
        if inside:
            if c == 92:
                i += 1
            elif c == 34:
                inside = False
        elif c == 34:
            inside = True
        elif c == 123 or c == 91:  # noqa: PLR1714
            depth += 1
            deepest = max(deepest, depth)
        elif c == 125 or c == 93:  # noqa: PLR1714
            depth -= 1
        i += 1
    return deepest


class _WrongTypeError(Exception):
    """A column of an Arrow stream is of no use."""


def _arrow(records: Records, row: int, wanted: Wanted, letters: Letters) -> Columns:
    """The rows of an Arrow stream."""
    value = records.value(row)
    table, columns = pa.table({}), {}
    if value:
        try:
            with pa.ipc.open_stream(value) as stream:
                table = stream.read_all().combine_chunks()
            table.validate(full=True)
            columns = {path: _arrow_column(table, path, kind) for path, kind in wanted.fields.items()}
        except _WrongTypeError as error:
            letters.add(row, None, "wrong type", str(error), value)
            table = pa.table({})
        except (pa.ArrowException, OSError, ValueError, KeyError, UnicodeDecodeError) as error:
            letters.add(row, None, "not arrow", f"{shown(str(error))}; send one Arrow IPC stream", value)
            table = pa.table({})
    else:
        letters.add(row, None, "empty", "the value is empty; send one Arrow IPC stream", value)
    if not columns:
        return _nothing(wanted)

    def message(i: int) -> bytes:
        (fields,) = table.slice(i, 1).to_pylist()
        fields = {name: field for name, field in fields.items() if field is not None}
        if ("time",) in columns and (time := int(columns["time",][i])) != MISSING:
            fields["time"] = time
        return msgspec.json.encode(fields, enc_hook=str)

    good = np.ones(table.num_rows, np.bool_)
    for path, column in columns.items():
        if not isinstance(column, Texts):
            continue
        for i in np.flatnonzero(column.length > LONGEST_TEXT).tolist():
            if good[i] and len(column[i] or "") > LONGEST_TEXT:
                detail = f"{'.'.join(path)} is {shown(column[i])}; a string has at most {LONGEST_TEXT} characters"
                letters.add(row, i, "wrong type", detail, message(i))
                good[i] = False
        if path == wanted.required:
            for i in np.flatnonzero(good & (column.length < 0)).tolist():
                letters.add(row, i, "wrong type", f"{path[0]} is missing; every message has one", message(i))
                good[i] = False
    kept = np.flatnonzero(good)
    fields = wanted.fields.items()
    return Columns(
        np.full(len(kept), row),
        kept,
        np.ones(len(kept), np.bool_),
        {path: columns[path].take(kept) for path, kind in fields if kind in _TEXTS},
        {path: columns[path][kept] for path, kind in fields if kind == Type.INTEGER},
        {path: columns[path][kept] for path, kind in fields if kind == Type.NUMBER},
        lambda i: message(int(kept[i])),
    )


def _nothing(wanted: Wanted) -> Columns:
    fields = wanted.fields.items()
    nothing = np.empty(0, np.int64)
    return Columns(
        nothing,
        nothing,
        nothing.astype(np.bool_),
        {path: Texts.of([]) for path, kind in fields if kind in _TEXTS},
        {path: nothing for path, kind in fields if kind == Type.INTEGER},
        {path: nothing.astype(np.float64) for path, kind in fields if kind == Type.NUMBER},
        lambda _: None,
    )


def _arrow_column(table: pa.Table, path: Path, kind: Type) -> Any:
    """One wanted field of an Arrow table; raises `_WrongTypeError`."""
    column = pa.nulls(table.num_rows)
    for depth, name in enumerate(path):
        if depth and not pa.types.is_struct(column.type):
            column = pa.nulls(table.num_rows)
            break
        names = [field.name for field in column.type] if depth else table.column_names
        if names.count(name) > 1:
            raise _WrongTypeError(f"two columns are named {shown(name)}; name each once")
        if name not in names:
            column = pa.nulls(table.num_rows)
            break
        chunked = pc.struct_field(column, name) if depth else table.column(name)
        column = (
            pa.concat_arrays(chunked.chunks)
            if isinstance(chunked, pa.ChunkedArray) and chunked.num_chunks
            else (chunked if isinstance(chunked, pa.Array) else pa.nulls(0, chunked.type))
        )

    def refuse(rule: str) -> NoReturn:
        raise _WrongTypeError(f"column {'.'.join(path)} is {column.type}; send {rule}")

    is_null = pa.types.is_null(column.type)
    if kind == Type.OBJECT:
        if not is_null and not pa.types.is_struct(column.type):
            refuse("a struct")
        return column
    if kind in _TEXTS:
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if kind == Type.FIRST and (pa.types.is_list(column.type) or pa.types.is_large_list(column.type)):
            column = pa.array([_first(names) for names in column.to_pylist()], column.type.value_type)
        if not is_null and not _is_text(column.type):
            refuse("strings")
        return Texts.of(column)
    if kind == Type.INTEGER:
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.timestamp("ms"), safe=False).cast(pa.int64())
        if not is_null and not pa.types.is_integer(column.type):
            refuse("integers")
        return column.cast(pa.int64()).fill_null(MISSING).to_numpy(zero_copy_only=False)
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        return column.cast(pa.float64(), safe=False).fill_null(np.nan).to_numpy(zero_copy_only=False)
    return np.full(table.num_rows, np.nan)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))
