"""CSV: the rows of a table as JSON messages, a column at a time.

What reads as a JSON number, `true` or `false` is one in a property's column, everything else a text; an empty cell (or
`\\N`, as warehouses write it) is no value. Ids are texts as they are written, but in a column that reads like floats.
"""

import csv
import io
import re
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import csv as pa_csv

from pipeline.errors import PeekproofError
from pipeline.files.exports import NO_IDS
from pipeline.files.json_columns import joined, listed, quoted
from pipeline.files.left_out import BadRow
from pipeline.files.pieces import ROWS, OpenText, Piece
from pipeline.files.titles import UNREAD, ColumnsOf, FileColumn, Holds

NO_VALUE = "\\N"  # what Snowflake and MySQL write for NULL
QUOTE, LINE_END, RETURN = b'"\n\r'
BEFORE_A_CELL = np.frombuffer(b',\n"', np.uint8)
AFTER_A_CELL = np.frombuffer(b',\r\n"', np.uint8)

_JSON_SCALAR = re.compile(r"true|false|-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")


def csv_rows(source: OpenText, header: ColumnsOf) -> Iterator[Piece]:
    """A column at a time, as long as quotes stand where RFC 4180 has them; from there on row by row."""
    csv.field_size_limit(1 << 24)
    file = source.name
    columns: list[FileColumn] = []
    ids = _Ids(file)
    rest, line, is_over = b"", 1, False
    while not is_over:
        block = source.block()
        is_over, data = not block, rest + block
        if not columns:
            data = data.removeprefix(BOM_UTF8)
        rows = _Rows.of(data, is_over)
        if rows is None:
            lines = chain(io.BytesIO(data + source.text.readline()), source.text)
            for piece in _row_by_row(ids, header, columns, lines, line):
                yield replace(piece, read=source.read)
            return
        end = int(rows.end[-1]) if len(rows.end) else 0
        if not columns and end:
            columns = header(file, next(_reader([data[: rows.end[0]]])))
            rows = rows.without_first()
        if len(rows.end):
            whole = _by_columns(ids, columns, data, rows, line)
            if whole is None:
                some = io.BytesIO(data[rows.start[0] : end])
                yield from _row_by_row(ids, header, columns, some, line + int(rows.lines_before[0]))
            else:
                yield replace(whole, read=source.read)
        rest = data[end:]
        line += data.count(b"\n", 0, end)


@dataclass(frozen=True, slots=True)
class _Rows:
    """Where the rows of a CSV text begin and end, and how many lines stand before each; empty lines are none."""

    start: NDArray[np.int64]
    end: NDArray[np.int64]
    lines_before: NDArray[np.int64]

    @classmethod
    def of(cls, data: bytes, is_whole: bool) -> "_Rows | None":
        """The rows that end, or None where a quote stands in the midst of a cell, or a line ends otherwise."""
        text = np.frombuffer(data, np.uint8)
        quotes = np.flatnonzero(text == QUOTE)
        around = np.concatenate([[LINE_END], text, [LINE_END]])
        opening, closing = around[quotes[::2]], around[quotes[1::2] + 2]
        if not (np.isin(opening, BEFORE_A_CELL).all() and np.isin(closing, AFTER_A_CELL).all()):
            return None
        if (around[np.flatnonzero(text == RETURN) + 2] != LINE_END).any():
            return None
        lines = np.flatnonzero(text == LINE_END)
        end = lines[np.searchsorted(quotes, lines) % 2 == 0] + 1
        if is_whole and len(data) and (not len(end) or end[-1] < len(data)):
            if len(quotes) % 2:
                return None
            end = np.append(end, len(data))
        start = np.concatenate([[0], end[:-1]])[: len(end)]
        before = np.searchsorted(lines, start)
        size = end - start - (text[end - 1] == LINE_END)
        filled = size - (text[start + np.maximum(size, 1) - 1] == RETURN) > 0
        return cls(start[filled], end[filled], before[filled])

    def without_first(self) -> "_Rows":
        return _Rows(self.start[1:], self.end[1:], self.lines_before[1:])


# What an id may be in a column of numbers: all alike end in `.0`, or some whole ones are shortened.
_FORMS = {
    "whole": "-?(?:0|[1-9][0-9]*)",
    "dotted": r"-?(?:0|[1-9][0-9]*)\.0",
    "shortened": r"-?[1-9](?:\.[0-9]+)?e\+[0-9]+",
    "none": "|".join(map(re.escape, ("", NO_VALUE, *NO_IDS))),
}


class _Ids:
    """The ids of a CSV file by their columns: whether a program wrote them as floats, as it does beside empty cells.

    So they are read where each ends in `.0` (pandas), or none does, and one is shortened as `1e+05` is (R).
    """

    def __init__(self, file: str) -> None:
        self.file = file
        self._forms: dict[str, set[str]] = {}
        self._floats: dict[str, str] = {}

    @property
    def floats(self) -> tuple[tuple[str, str], ...]:
        return tuple(self._floats.items())

    def are_floats(self, name: str, cells: pa.Array) -> bool:
        """Whether all cells of a column are, these and those before. Raises PeekproofError where only these aren't."""
        forms = self._forms.setdefault(name, set())
        if "other" not in forms:
            forms |= _forms(cells)
        are_floats = bool(forms & {"dotted", "shortened"}) and "other" not in forms and not forms >= {"whole", "dotted"}
        if name in self._floats and not are_floats:
            raise PeekproofError(
                f"'{self.file}': `{name}` is a number of a column of floats in its first rows, {self._floats[name]}, "
                "and something else further on; write ids as whole numbers, or all as texts, in NDJSON or Parquet"
            )
        if are_floats and name not in self._floats:
            written = pc.match_substring_regex(cells, f"^(?:{_FORMS['dotted']}|{_FORMS['shortened']})$")
            self._floats[name] = cells.filter(written)[0].as_py()
        return are_floats


def _forms(cells: pa.Array) -> set[str]:
    some = cells[:1000]  # a column of texts shows there
    known = "|".join(_FORMS.values())
    for each in (some, cells):
        if not pc.all(pc.match_substring_regex(each, f"^(?:{known})$"), min_count=0).as_py():
            return {"other"}
    return {form for form, its in _FORMS.items() if pc.any(pc.match_substring_regex(cells, f"^(?:{its})$")).as_py()}


def _by_columns(ids: _Ids, columns: list[FileColumn], data: bytes, rows: _Rows, line: int) -> Piece | None:
    """The piece that these rows make, or None where one of them is no row of the table."""
    names = [str(number) for number in range(len(columns))]
    try:
        titles = [quoted(column.name) for column in columns]
        table = pa_csv.read_csv(
            pa.py_buffer(data[rows.start[0] : rows.end[-1]]),
            pa_csv.ReadOptions(column_names=names, use_threads=False, block_size=len(data) + 1),
            pa_csv.ParseOptions(newlines_in_values=True),
            pa_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.large_string()), strings_can_be_null=False),
        )
    except (pa.ArrowInvalid, UnicodeEncodeError):
        return None
    if table.num_rows != len(rows.end):
        return None
    members: dict[str, list[pa.Array]] = {"": []}
    for column, title, texts in zip(columns, titles, table.columns, strict=True):
        if column == UNREAD:
            continue
        cells = pa.concat_arrays(texts.chunks)
        is_empty = pc.or_(pc.equal(cells, ""), pc.equal(cells, NO_VALUE))
        kind: Holds = "value" if column.kind == "id" and ids.are_floats(column.name, cells) else column.kind
        value = pc.if_else(is_empty, None, _cells_as_json(kind, cells))
        members.setdefault(column.parent, []).append(joined(f",{title}:", value))
    top = members.pop("")
    for parent, inner in members.items():
        found = listed(inner)
        top.append(pc.if_else(pc.equal(found, ""), None, joined(f",{quoted(parent)}:{{", found, "}")))
    whole = Piece.of_array(ids.file, joined("{", listed(top), "}"), line + rows.lines_before, 1.0)
    return replace(whole, floats=ids.floats)


def _cells_as_json(kind: str, cells: pa.Array) -> pa.Array:
    if kind == "object":
        return cells
    escaped = cells
    if pc.any(pc.match_substring_regex(cells, r'[\x00-\x1f"\\]')).as_py():
        for character in ["\\", '"', *map(chr, range(32))]:
            escaped = pc.replace_substring(escaped, character, quoted(character)[1:-1])
    text = joined('"', escaped, '"')
    if kind in {"text", "id", "group", "written"}:
        return text
    pattern = _JSON_SCALAR.pattern if kind == "value" else "[0-9]+"
    return pc.if_else(pc.match_substring_regex(cells, f"^(?:{pattern})$"), cells, text)


def _reader(lines: Iterable[bytes]) -> Any:
    return csv.reader((line.decode("utf-8", "surrogateescape") for line in lines), strict=True)


_OF_CSV = "new-line character seen in unquoted field - do you need to open the file in universal-newline mode?"


def _row_by_row(
    ids: _Ids, header: ColumnsOf, columns: list[FileColumn], lines: Iterable[bytes], first: int
) -> Iterator[Piece]:
    rows = _reader(lines)
    if not columns:
        columns = header(ids.file, next(rows, []))
    good: list[tuple[int, list[str]]] = []
    bad: list[BadRow] = []
    while True:
        line = rows.line_num + first
        try:
            row = next(rows)
            if not row:
                continue
            if len(row) != len(columns):
                raise csv.Error(f"it has {len(row)} cells, the header {len(columns)}")
            for column, cell in zip(columns, row, strict=True):
                if column is not UNREAD:
                    cell.encode()  # raises where it is no UTF-8
            good.append((line, row))
        except StopIteration:
            break
        except (csv.Error, UnicodeEncodeError) as error:
            why = str(error).replace(_OF_CSV, "a carriage return stands in a cell without quotes")
            bad.append(BadRow(ids.file, line, "not csv", f"{why}; write it as RFC 4180 says, in UTF-8"))
        if len(good) + len(bad) >= ROWS:
            yield _of_rows(ids, columns, good, bad)
            good, bad = [], []
    yield _of_rows(ids, columns, good, bad)


def _of_rows(ids: _Ids, columns: list[FileColumn], good: list[tuple[int, list[str]]], bad: list[BadRow]) -> Piece:
    kinds: list[FileColumn] = []
    for at, column in enumerate(columns):
        cells = pa.array([row[at] for _, row in good] if column.kind == "id" else [], pa.large_string())
        is_float = len(cells) > 0 and ids.are_floats(column.name, cells)
        kinds.append(column._replace(kind="value") if is_float else column)
    messages = [_message(kinds, row) for _, row in good]
    piece = Piece.of(ids.file, messages, [line for line, _ in good], 1.0, bad=bad, is_titled=True)
    return replace(piece, floats=ids.floats)


def _message(columns: list[FileColumn], row: list[str]) -> bytes:
    fields: dict[str, Any] = {}
    for (parent, name, kind), cell in zip(columns, row, strict=True):
        if not cell or cell == NO_VALUE or kind == "nothing":
            continue
        is_json = (
            kind == "object"
            or (kind == "value" and _JSON_SCALAR.fullmatch(cell))
            or (kind == "time" and cell.isascii() and cell.isdigit())
        )
        of = fields.setdefault(parent, {}) if parent else fields
        of[name] = msgspec.Raw(cell.encode()) if is_json else cell
    return msgspec.json.encode(fields)
