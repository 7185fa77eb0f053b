"""Decoding: the messages of a slice as columns, whichever way they were written, and dead letters for the rest.

A record without headers, or without the header `content-type`, is one JSON object. `application/x-ndjson` makes it
many, one a line, and `application/vnd.apache.arrow.stream` many rows (see arrow.py). Any other content type is taken as
one JSON object. Which way a message is read depends on its own bytes and headers alone, never on its neighbours.
"""

from codecs import BOM_UTF8
from collections.abc import Collection, Iterable
from functools import lru_cache
from typing import Annotated, Any, Required

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from evaluation.assignment.arrow import read_arrow
from evaluation.assignment.columns import MessageColumns
from evaluation.assignment.dead_letters import DeadLetters, shown
from evaluation.assignment.wrong_types import in_words
from evaluation.columns.named_fields import named_fields
from evaluation.columns.nesting import DEEPEST, json_depth
from evaluation.columns.scanning import (
    LARGEST_OBJECT,
    LONGEST_TEXT,
    MISSING,
    NUMBERS,
    TEXTS,
    Type,
    Wanted,
    first_text,
    plain_number,
    scan,
)
from evaluation.columns.texts import Texts, as_bytes
from evaluation.flags.paths import Path
from evaluation.sources.spans import Reject, Spans
from schemas.dead_letter import CONTENT_TYPE, Reason
from schemas.records import Records

JSON, NDJSON, ARROW = "application/json", "application/x-ndjson", "application/vnd.apache.arrow.stream"


def decode(
    records: Records, rows: range, wanted: Wanted, dead_letters: DeadLetters, but: Collection[int] = ()
) -> list[MessageColumns]:
    """The messages of these rows, `but` some of them, in pieces; within one they stand in order, each record in one."""
    data = as_bytes(records.data)
    types = {row: content_type(records, row) for row in records.headers if row in rows and row not in but}
    many = [row for row, kind in types.items() if kind in {NDJSON, ARROW}]
    single = np.arange(rows.start, rows.stop)
    if many or but:
        single = np.setdiff1d(single, [*many, *but])
    odd = _Odd(records, wanted, dead_letters)
    nought = np.zeros(len(single), np.int64)
    spans = Spans(data, single, nought, records.start[single], records.length[single], is_one_of_many=False)
    pieces = [_scanned(spans, wanted, odd)]
    if lined := [row for row in many if types[row] == NDJSON]:
        lines = lines_of(records, lined, data, dead_letters.add)
        pieces.append(_scanned(lines, wanted, odd))
    pieces += [read_arrow(records, row, wanted, dead_letters) for row in many if types[row] == ARROW]
    if odd.messages:
        pieces.append(odd.columns())
    return [piece for piece in pieces if len(piece)]


def content_type(records: Records, row: int) -> str:
    """What a record's headers say of its value, without parameters; empty: nothing."""
    for name, value in records.headers[row]:
        if name.lower() == CONTENT_TYPE:
            return value.decode("ascii", "replace").partition(";")[0].strip().lower()
    return ""


def lines_of(records: Records, rows: Iterable[int], data: NDArray[np.uint8], reject: Reject) -> Spans:
    """The JSON objects of the records that hold one a line (empty lines don't count)."""
    spans = [(np.empty(0, np.int64),) * 4]
    for row in rows:
        start, length = records.start[row], records.length[row]
        if length <= 0:
            reject(row, None, "empty", "the value is empty; send one JSON object a line", records.value(row))
            continue
        ends = np.append(np.flatnonzero(data[start : start + length] == ord("\n")), length) + start
        starts = np.concatenate([[start], ends[:-1] + 1])
        last = data[np.maximum(ends - 1, 0)]
        ends -= (ends > starts) & (last == ord("\r"))
        filled = ends > starts
        if not filled.any():
            reject(row, None, "empty", "the record holds no line; send one JSON object a line", records.value(row))
        starts, lengths = starts[filled], (ends - starts)[filled]
        spans.append((np.full(len(starts), row), np.arange(len(starts)), starts, lengths))
    columns = [np.concatenate(column) for column in zip(*spans, strict=True)]
    return Spans(data, *columns, is_one_of_many=True)  # type: ignore[misc, arg-type]


def _scanned(spans: Spans, wanted: Wanted, odd: "_Odd") -> MessageColumns:
    """The messages that the scan understands; the others are given to `odd`."""
    scanned = scan(spans.data, spans.start, spans.length, wanted)
    bad = scanned.odd
    start, length, number = scanned.start, scanned.length, scanned.number
    if bad.any():
        for i in np.flatnonzero(bad).tolist():
            odd.read(int(spans.row[i]), spans.index_of(i), None if spans.length[i] < 0 else spans.value(i))
        good = ~bad
        spans = spans.take(good)
        start, length, number = start[:, good], length[:, good], number[:, good]
    position = wanted.position.items()
    return MessageColumns(
        spans.row,
        spans.index,
        np.full(len(spans), spans.is_one_of_many),
        {path: Texts(spans.data, start[i], length[i]) for path, i in position if wanted.fields[path] in TEXTS},
        {path: start[i] for path, i in position if wanted.fields[path] == Type.INTEGER},
        {path: number[i] for path, i in position if wanted.fields[path] in NUMBERS},
        spans.value,
    )


_Text = Annotated[str, msgspec.Meta(max_length=LONGEST_TEXT)]
_TYPES: dict[Type, Any] = {
    Type.TEXT: _Text | None,
    Type.FIRST: _Text | list[_Text] | None,
    Type.INTEGER: int | None,
    Type.NUMBER: msgspec.Raw,
    Type.VALUE: msgspec.Raw,
}


@lru_cache(maxsize=16)
def _decoder(wanted: Wanted) -> msgspec.json.Decoder[Any]:
    """Decodes the wanted fields into dictionaries in each other."""

    def fields(parent: Path) -> Any:
        below: dict[str, Any] = {}
        for path, kind in wanted.fields.items():
            if path[:-1] == parent:
                below[path[-1]] = fields(path) | None if kind == Type.OBJECT else _TYPES[kind]
                if path == wanted.required:
                    below[path[-1]] = Required[_Text]
        return named_fields(below)

    return msgspec.json.Decoder(fields(()))


class _Odd:
    """The messages that are read one by one."""

    def __init__(self, records: Records, wanted: Wanted, dead_letters: DeadLetters) -> None:
        self._records, self._wanted, self._dead_letters = records, wanted, dead_letters
        self._decoder = _decoder(wanted)
        self.messages: list[tuple[int, int | None, Any, bytes]] = []

    def read(self, row: int, index: int | None, value: bytes | None) -> None:
        """Read one message, or reject it."""

        def reject(reason: Reason, detail: str) -> None:
            self._dead_letters.add(row, index, reason, detail, value)

        if not value:
            reject("empty", f"the value is {'null' if value is None else 'empty'}; send one JSON object")
        elif len(value) > LARGEST_OBJECT:
            reject("too large", f"the message has {len(value)} bytes, at most {LARGEST_OBJECT} are read; send less")
        elif (depth := json_depth(value)) > DEEPEST:
            reject("too deep", f"the message is nested {depth} levels deep, at most {DEEPEST} are read; flatten it")
        else:
            try:
                self.messages.append((row, index, self._decoder.decode(value), value))
            except msgspec.ValidationError as error:
                reject("wrong type", in_words(str(error), value))
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                why = "it begins with a byte order mark" if value.startswith(BOM_UTF8) else str(error)
                reject("not json", f"{why}, in {shown(value)}; send one JSON object in UTF-8")

    def columns(self) -> MessageColumns:
        """What was read, in order."""
        self.messages.sort(key=lambda each: (each[0], each[1] or 0))
        messages = [message for _, _, message, _ in self.messages]
        of: dict[Path, list[Any]] = {(): messages}
        for path in self._wanted.fields:
            of[path] = [None if parent is None else parent.get(path[-1]) for parent in of[path[:-1]]]
        fields = self._wanted.fields.items()
        values = [value for _, _, _, value in self.messages]
        return MessageColumns(
            np.array([row for row, _, _, _ in self.messages], np.int64),
            np.array([index or 0 for _, index, _, _ in self.messages], np.int64),
            np.array([index is not None for _, index, _, _ in self.messages], np.bool_),
            {path: _texts(of[path], kind) for path, kind in fields if kind in TEXTS},
            {path: _integers(of[path]) for path, kind in fields if kind == Type.INTEGER},
            {path: _numbers(of[path]) for path, kind in fields if kind in NUMBERS},
            values.__getitem__,
        )


def _integers(values: list[int | None]) -> NDArray[np.int64]:
    """Integers beyond what any field may hold are brought down to 2^62."""
    bound = 1 << 62
    return np.array([MISSING if each is None else min(max(each, -bound), bound) for each in values], np.int64)


def _texts(values: list[Any], kind: Type) -> Texts:
    if kind == Type.VALUE:
        texts = [None if each is None or bytes(each) == b"null" else bytes(each) for each in values]
        return Texts.of(pa.array(texts, pa.large_binary()))
    return Texts.of([first_text(each) for each in values])


def _numbers(values: list[Any]) -> NDArray[np.float64]:
    return np.array([np.nan if each is None else plain_number(bytes(each)) for each in values], np.float64)
