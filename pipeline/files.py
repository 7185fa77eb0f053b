"""Files: the rows of NDJSON, CSV and Parquet files as JSON messages, each with its line, piece by piece.

The name says what a file is: `.parquet`, `.csv`, `.ndjson`, `.jsonl` or `.json`; the texts may be compressed by gzip.
NDJSON is taken as it is. A table's columns are named like the fields of the topic, in capitals or not; ids may be whole
numbers, times timestamps. Properties stand in structs or as JSON in `event_properties`, `user_properties`, `groups` and
`metadata`, or one by one in columns such as `event_properties.price`: in a CSV file what reads as a JSON number, `true`
or `false` there is one, everything else a text, and an empty cell is no value.
"""

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import IO, Any

import duckdb
import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import csv as pa_csv

from evaluation.texts import Texts
from pipeline.errors import PeekproofError
from pipeline.json_columns import joined, listed, quoted

PIECE = 1 << 24  # bytes of an NDJSON file that are taken at once
ROWS = 50_000  # of a table
OBJECTS = ("event_properties", "user_properties", "groups", "metadata")
TIMES = ("time", "event_time")

GZIP = b"\x1f\x8b"  # RFC 1952, 2.3.1
QUOTE, LINE_END, RETURN = b'"\n\r'
BEFORE_A_CELL = np.frombuffer(b',\n"', np.uint8)
AFTER_A_CELL = np.frombuffer(b',\r\n"', np.uint8)

_JSON_SCALAR = re.compile(r"true|false|-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row of a file that is of no use, and why."""

    file: str
    line: int  # from 1; of a Parquet file the row
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Piece:
    """Consecutive rows of a file: JSON objects that stand in `data` one after another."""

    data: bytes
    length: NDArray[np.int64]  # (n,) bytes of each
    line: NDArray[np.int64]  # (n,) where it stands in the file, from 1
    read: float  # the share of the file that has been read, from 0 to 1
    bad: tuple[BadRow, ...] = ()

    @classmethod
    def of(cls, messages: Iterable[bytes], line: Iterable[int], read: float, bad: Iterable[BadRow] = ()) -> "Piece":
        """The piece that these messages make."""
        values = list(messages)
        sizes = np.array([len(value) for value in values], np.int64)
        return cls(b"".join(values), sizes, np.array(list(line), np.int64), read, tuple(bad))

    @classmethod
    def of_array(cls, messages: pa.Array, line: NDArray[np.int64], read: float) -> "Piece":
        """The piece that an array of large strings makes, none of them null."""
        texts = Texts.of(messages)
        begin = int(texts.start[0]) if len(texts) else 0
        return cls(texts.data[begin : begin + int(texts.length.sum())].tobytes(), texts.length, line, read)


def pieces(path: Path) -> Iterator[Piece]:
    """The rows of a file. Raises PeekproofError where it cannot be read, or is of no known kind."""
    if path.is_dir():
        raise PeekproofError(f"'{path}' is a directory; name the files, as {path / '*.parquet'}")
    kind = next((suffix for suffix in reversed(path.suffixes) if suffix != ".gz"), "")
    readers = {".parquet": _parquet, ".csv": _csv} | dict.fromkeys((".ndjson", ".jsonl", ".json"), _ndjson)
    if kind not in readers or path.suffixes[-2:] == [".parquet", ".gz"]:
        raise PeekproofError(
            f"'{path}' is of no known kind; name it .parquet, .csv, .ndjson, .jsonl or .json, the texts also with .gz"
        )
    try:
        yield from readers[kind](path)
    except (OSError, EOFError, zlib.error, duckdb.Error, csv.Error) as error:
        raise PeekproofError(f"'{path}' cannot be read: {str(error).partition(chr(10))[0]}") from error


def _opened(path: Path) -> tuple[IO[bytes], IO[bytes]]:
    """The text, and the file below it, whose position tells how much of it has been read."""
    raw = path.open("rb")
    is_compressed = raw.read(len(GZIP)) == GZIP
    raw.seek(0)
    return (gzip.GzipFile(fileobj=raw), raw) if is_compressed else (raw, raw)  # type: ignore[return-value]


def _ndjson(path: Path) -> Iterator[Piece]:
    size = max(1, path.stat().st_size)
    text, raw = _opened(path)
    with raw, text:
        before = 0  # lines
        rest = b""
        while block := text.read(PIECE):
            block = (rest + block) if before else (rest + block).removeprefix(b"\xef\xbb\xbf")
            if not before and block.lstrip().startswith(b"["):
                raise PeekproofError(f"'{path}' is one JSON array; write one object a line: jq -c '.[]' {path}")
            end = block.rfind(b"\n") + 1
            rest = block[end:]
            if end:
                yield _split(block[:end], before, raw.tell() / size)
                before += block.count(b"\n", 0, end)
        if rest:
            yield _split(rest, before, 1.0)


def _split(data: bytes, before: int, read: float) -> Piece:
    """A message takes in its line's end. Empty lines don't count."""
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n")) + 1
    if not len(ends) or ends[-1] != len(data):
        ends = np.append(ends, len(data))
    length = np.diff(ends, prepend=0)
    line = np.arange(before + 1, before + 1 + len(length))
    empty = [i for i in np.flatnonzero(length <= 2).tolist() if not data[ends[i] - length[i] : ends[i]].strip()]
    if not empty:
        return Piece(data, length, line, read)
    kept = np.delete(np.arange(len(length)), empty)
    spans = zip((ends - length)[kept].tolist(), ends[kept].tolist(), strict=True)
    return Piece.of((data[begin:end] for begin, end in spans), line[kept].tolist(), read)


def _csv(path: Path) -> Iterator[Piece]:
    """A column at a time, as long as quotes stand where RFC 4180 has them; from there on row by row."""
    size = max(1, path.stat().st_size)
    csv.field_size_limit(1 << 24)
    text, raw = _opened(path)
    with raw, text:
        columns: list[tuple[str, str]] = []
        rest, line, is_over = b"", 1, False
        while not is_over:
            block = text.read(PIECE)
            is_over, data = not block, rest + block
            rows = _Rows.of(data, is_over)
            if rows is None:
                lines = chain(io.BytesIO(data + text.readline()), text)
                for piece in _row_by_row(path, columns, lines, line):
                    yield replace(piece, read=raw.tell() / size)
                return
            end = int(rows.end[-1]) if len(rows.end) else 0
            if not columns and end:
                columns = _columns(path, next(_reader([data[: rows.end[0]]])))
                rows = rows.without_first()
            if len(rows.end):
                whole = _by_columns(columns, data, rows, line)
                if whole is None:
                    some = io.BytesIO(data[rows.start[0] : end])
                    yield from _row_by_row(path, columns, some, line + int(rows.lines_before[0]))
                else:
                    yield replace(whole, read=raw.tell() / size)
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


def _by_columns(columns: list[tuple[str, str]], data: bytes, rows: _Rows, line: int) -> Piece | None:
    """The piece that these rows make, or None where one of them is no row of the table."""
    names = [str(number) for number in range(len(columns))]
    try:
        titles = [quoted(name) for _, name in columns]
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
    for (parent, name), title, column in zip(columns, titles, table.columns, strict=True):
        cells = pa.concat_arrays(column.chunks)
        value = pc.if_else(pc.equal(pc.binary_length(cells), 0), None, _cells_as_json(parent, name, cells))
        members.setdefault(parent, []).append(joined(f",{title}:", value))
    top = members.pop("")
    for parent, inner in members.items():
        found = listed(inner)
        top.append(pc.if_else(pc.equal(found, ""), None, joined(f",{quoted(parent)}:{{", found, "}")))
    return Piece.of_array(joined("{", listed(top), "}"), line + rows.lines_before, 1.0)


def _cells_as_json(parent: str, name: str, cells: pa.Array) -> pa.Array:
    if not parent and name in OBJECTS:
        return cells
    escaped = cells
    if pc.any(pc.match_substring_regex(cells, r'[\x00-\x1f"\\]')).as_py():
        for character in ["\\", '"', *map(chr, range(32))]:
            escaped = pc.replace_substring(escaped, character, quoted(character)[1:-1])
    text = joined('"', escaped, '"')
    if not parent and name not in TIMES:
        return text
    pattern = _JSON_SCALAR.pattern if parent else "[0-9]+"
    return pc.if_else(pc.match_substring_regex(cells, f"^(?:{pattern})$"), cells, text)


def _reader(lines: Iterable[bytes]) -> Any:
    return csv.reader((line.decode("utf-8", "surrogateescape") for line in lines), strict=True)


def _row_by_row(path: Path, columns: list[tuple[str, str]], lines: Iterable[bytes], first: int) -> Iterator[Piece]:
    rows = _reader(lines)
    if not columns:
        columns = _columns(path, next(rows, []))
    messages: list[bytes] = []
    numbers: list[int] = []
    bad: list[BadRow] = []
    while True:
        line = rows.line_num + first
        try:
            row = next(rows)
            if not row:
                continue
            if len(row) != len(columns):
                raise csv.Error(f"it has {len(row)} cells, the header {len(columns)}")
            messages.append(_message(columns, row))
            numbers.append(line)
        except StopIteration:
            break
        except (csv.Error, UnicodeEncodeError) as error:
            bad.append(BadRow(str(path), line, "not csv", f"{error}; write it as RFC 4180 says, in UTF-8"))
        if len(messages) + len(bad) >= ROWS:
            yield Piece.of(messages, numbers, 1.0, bad)
            messages, numbers, bad = [], [], []
    yield Piece.of(messages, numbers, 1.0, bad)


def _columns(path: Path, header: list[str]) -> list[tuple[str, str]]:
    """What each column holds: a field ("", name), or a property (parent, name)."""
    columns = []
    if len(header) == 1 and (other := next((mark for mark in ";\t|" if mark in header[0]), None)):
        raise PeekproofError(f"the columns of '{path}' are separated by {other!r}; separate them by commas")
    for title in (name.removeprefix("\ufeff").strip() for name in header):
        parent, dot, name = title.partition(".")
        columns.append((parent.lower(), name) if dot and parent.lower() in OBJECTS else ("", title.lower()))
    for column in columns:
        whole = ("", column[0])
        if columns.count(column) > 1 or whole in columns:
            twice = ".".join(filter(None, column))
            other = column[0] if whole in columns else twice
            raise PeekproofError(f"'{path}' has the columns '{twice}' and '{other}'; leave one of the two out")
    return columns


def _message(columns: list[tuple[str, str]], row: list[str]) -> bytes:
    fields: dict[str, Any] = {}
    for (parent, name), cell in zip(columns, row, strict=True):
        if not cell:
            continue
        if parent:
            fields.setdefault(parent, {})[name] = msgspec.Raw(cell.encode()) if _JSON_SCALAR.fullmatch(cell) else cell
        elif name in OBJECTS or (name in TIMES and cell.isascii() and cell.isdigit()):
            fields[name] = msgspec.Raw(cell.encode())
        else:
            fields[name] = cell
    return msgspec.json.encode(fields)


def _parquet(path: Path) -> Iterator[Piece]:
    with duckdb.connect() as database:
        database.execute("SET TimeZone = 'UTC'")
        database.execute("SET enable_progress_bar = false")
        described = database.execute("DESCRIBE SELECT * FROM read_parquet($file)", {"file": str(path)}).fetchall()
        names, kinds = [row[0] for row in described], [row[1] for row in described]
        fields: dict[str, list[str]] = {}
        for (parent, name), title, kind in zip(_columns(path, names), names, kinds, strict=True):
            value = _json(parent, name, '"' + title.replace('"', '""') + '"', kind)
            fields.setdefault(parent, []).append(f"'{name.replace(chr(39), chr(39) * 2)}', {value}")
        top = fields.pop("", []) + [f"'{parent}', json_object({', '.join(each)})" for parent, each in fields.items()]
        ((count,),) = database.execute("SELECT count(*) FROM read_parquet($file)", {"file": str(path)}).fetchall()
        query = f"SELECT json_object({', '.join(top)})::VARCHAR FROM read_parquet($file)"
        first = 1
        for rows in database.sql(query, params={"file": str(path)}).to_arrow_reader(ROWS):
            lines = np.arange(first, first + rows.num_rows)
            first += rows.num_rows
            yield Piece.of_array(rows.column(0).cast(pa.large_string()), lines, (first - 1) / count)


def _json(parent: str, name: str, column: str, kind: str) -> str:
    """The SQL expression of a column's value as JSON. NaN and infinity are no value, as they are none in JSON."""
    if kind in {"FLOAT", "DOUBLE"}:
        return f"CASE WHEN isfinite({column}) THEN {column} END"
    if parent:
        return column
    if name in TIMES:
        return f"epoch_ms({column})" if kind.startswith("TIMESTAMP") or kind == "DATE" else column
    if name in OBJECTS:
        as_json = f"CASE WHEN json_valid({column}) THEN {column}::JSON ELSE to_json({column}) END"
        return as_json if kind == "VARCHAR" else column
    return f"{column}::VARCHAR"
