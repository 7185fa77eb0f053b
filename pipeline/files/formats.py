"""Files: the rows of NDJSON, CSV and Parquet files as JSON messages, each with its line, piece by piece.

The name says what a file is: `.parquet`, `.csv`, `.ndjson`, `.jsonl` or `.json` (one array of objects, too); the texts
may be compressed by gzip, and several may stand in a `.zip`. NDJSON is taken as it is. What a table's columns are,
`titles` says by its header; ids may be whole numbers, times timestamps. Properties stand in structs or as JSON in
`event_properties` and the like, or one by one in columns of their own: in a CSV file what reads as a JSON number,
`true` or `false` there is one, everything else a text; an empty cell (or `\\N`, as warehouses write it) is no value.
Ids are texts as they are written, except in a column of floats: in Parquet, or in a CSV file that reads like one.
"""

import csv
import gzip
import io
import re
import zipfile
import zlib
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path, PurePath
from typing import IO, Any

import duckdb
import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import csv as pa_csv

from evaluation.columns.texts import Texts
from pipeline.errors import PeekproofError
from pipeline.files.exports import NO_IDS
from pipeline.files.json_columns import joined, listed, quoted
from pipeline.files.titles import NOTHING, Column, Header, Kind

PIECE = 1 << 24  # bytes of an NDJSON file that are taken at once
ROWS = 50_000  # of a table
TEXTS = (".csv", ".ndjson", ".jsonl", ".json")
NO_VALUE = "\\N"  # what Snowflake and MySQL write for NULL

GZIP = b"\x1f\x8b"  # RFC 1952, 2.3.1
BEGIN = 1 << 16  # bytes of a text, by which one knows what it is
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


EXAMPLES = 100  # bad rows of each kind that are kept; all are counted
NO_NUMBER = "no number"  # a reason: what stands where a number must


def keep(examples: list[BadRow], row: BadRow, counter: Counter[Any], kind: tuple[str, ...]) -> None:
    """Count a row, and keep it as an example of its kind, unless there are enough."""
    counter[kind] += 1
    if counter[kind] <= EXAMPLES:
        examples.append(row)


@dataclass(frozen=True, slots=True)
class Piece:
    """Consecutive rows of a file: JSON objects that stand in `data` one after another."""

    file: str  # as it is called; in an archive `ARCHIVE:NAME`
    data: bytes
    length: NDArray[np.int64]  # (n,) bytes of each
    line: NDArray[np.int64]  # (n,) where it stands in the file, from 1
    read: float  # the share of the path that has been read, from 0 to 1
    bad: tuple[BadRow, ...] = ()
    is_titled: bool = False  # by a header
    floats: tuple[tuple[str, str], ...] = ()  # ids of a CSV file that are taken for floats: the field, and one of them

    @classmethod
    def of(
        cls,
        file: str,
        messages: Iterable[bytes],
        line: Iterable[int],
        read: float,
        *,
        bad: Iterable[BadRow] = (),
        is_titled: bool = False,
    ) -> "Piece":
        """The piece that these messages make."""
        values = list(messages)
        sizes = np.array([len(value) for value in values], np.int64)
        return cls(file, b"".join(values), sizes, np.array(list(line), np.int64), read, tuple(bad), is_titled)

    @classmethod
    def of_array(cls, file: str, messages: pa.Array, line: NDArray[np.int64], read: float) -> "Piece":
        """The piece of a table that an array of large strings makes, none of them null."""
        texts = Texts.of(messages)
        begin = int(texts.start[0]) if len(texts) else 0
        data = texts.data[begin : begin + int(texts.length.sum())].tobytes()
        return cls(file, data, texts.length, line, read, is_titled=True)


@dataclass(frozen=True, slots=True)
class _Source:
    """A file of text, or one within an archive: what it is called, its text, and how much of that has been read."""

    name: str
    text: IO[bytes]
    raw: IO[bytes]  # what it is decompressed from
    size: int  # of that

    @property
    def read(self) -> float:
        return self.raw.tell() / max(1, self.size)


def pieces(path: Path, header: Header) -> Iterator[Piece]:
    """The rows of a file; `header` says what a table's columns are.

    Raises PeekproofError where it cannot be read, or is of no known kind, and what `header` raises.
    """
    if path.is_dir():
        raise PeekproofError(f"'{path}' is a directory; name the files, as {path / '*.parquet'}")
    kind = _kind(path)
    try:
        if kind == ".parquet":
            yield from _parquet(path, header)
        elif kind == ".zip":
            yield from _zipped(path, header)
        elif kind in TEXTS:
            with path.open("rb") as raw:
                yield from _text(str(path), kind, raw, path.stat().st_size, header)
        else:
            way_out = "save its sheet as CSV (UTF-8)" if kind.startswith(".xls") else _KINDS
            raise PeekproofError(f"'{path}' is of no known kind; {way_out}")
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, duckdb.Error, csv.Error) as error:
        raise PeekproofError(f"'{path}' cannot be read: {str(error).partition(chr(10))[0]}") from error


_KINDS = "name it .parquet, .csv, .ndjson, .jsonl or .json, the texts also with .gz, or a .zip of texts"


def _kind(path: PurePath) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes[-2:] == [".parquet", ".gz"]:
        return ""
    return next((suffix for suffix in reversed(suffixes) if suffix != ".gz"), "")


def _text(name: str, kind: str, raw: IO[bytes], size: int, header: Header) -> Iterator[Piece]:
    with raw:
        is_compressed = raw.read(len(GZIP)) == GZIP
        raw.seek(0)
        text: IO[bytes] = gzip.GzipFile(fileobj=raw) if is_compressed else raw  # type: ignore[assignment]
        with text:
            begin = text.read(BEGIN)
            text.seek(0)
            _refuse_others(name, begin)
            if b"\r" in begin[:-1] and b"\n" not in begin:
                text = io.BufferedReader(_Returns(text), PIECE)  # type: ignore[arg-type]
            source = _Source(name, text, raw, size)
            yield from _csv(source, header) if kind == ".csv" else _json_rows(source)


# How files begin that are no texts, and what to do about it.
_BEGIN = {
    b"PAR1": "Parquet; name it .parquet",
    b"PK\x03\x04": "a ZIP archive, or a sheet; name it .zip, or save the sheet as CSV (UTF-8)",
    b"\x28\xb5\x2f\xfd": "compressed by zstd; unpack it, or use gzip",
    b"ARROW1": "Arrow's IPC format; write it as Parquet",
    b"\xff\xfe": "UTF-16; save it as UTF-8 (of a sheet: CSV UTF-8)",
    b"\xfe\xff": "UTF-16; save it as UTF-8 (of a sheet: CSV UTF-8)",
}


def _refuse_others(name: str, begin: bytes) -> None:
    """Raise PeekproofError where a file that is called a text is something else."""
    what = next((what for mark, what in _BEGIN.items() if begin.startswith(mark)), None)
    if what is None and b"\0" in begin:
        # Of UTF-16 every other byte is 0, as long as letters are English.
        halves = [half.count(0) for half in (begin[::2], begin[1::2])]
        if max(halves) > len(begin) // 4 > 4 * min(halves):
            what = _BEGIN[b"\xff\xfe"]
    if what is not None:
        raise PeekproofError(f"'{name}' is {what}")


class _Returns(io.RawIOBase):
    """A text whose lines end in carriage returns, as one of lines."""

    def __init__(self, text: IO[bytes]) -> None:
        self._text = text

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block = self._text.read(len(buffer)).replace(b"\r", b"\n")
        buffer[: len(block)] = block
        return len(block)


def _zipped(path: Path, header: Header) -> Iterator[Piece]:
    """The texts in an archive, by name; what a Mac adds to it is none."""
    with zipfile.ZipFile(path) as archive:
        members = sorted(
            (each for each in archive.infolist() if not each.is_dir() and not each.filename.startswith("__MACOSX/")),
            key=lambda each: each.filename,
        )
        total, before = sum(each.file_size for each in members), 0
        for each in members:
            name, kind = f"{path}:{each.filename}", _kind(PurePath(each.filename))
            if kind not in TEXTS:
                raise PeekproofError(f"'{name}' is no CSV or JSON; unpack the archive, and name the files")
            for piece in _text(name, kind, archive.open(each), each.file_size, header):
                yield replace(piece, read=(before + piece.read * each.file_size) / max(1, total))
            before += each.file_size


def _json_rows(source: _Source) -> Iterator[Piece]:
    """The lines of NDJSON, or the objects of one array."""
    before = 0  # lines
    rest = b""
    while block := source.text.read(PIECE):
        if before:
            block = rest + block
        else:
            block = (rest + block).removeprefix(BOM_UTF8)
            if block.lstrip().startswith(b"["):
                yield from _array(source, block + source.text.read())
                return
        end = block.rfind(b"\n") + 1
        rest = block[end:]
        if end:
            yield _split(source.name, block[:end], before, source.read)
            before += block.count(b"\n", 0, end)
    if rest:
        if not before:
            _refuse_columns(source.name, rest)
        yield _split(source.name, rest, before, 1.0)


def _array(source: _Source, text: bytes) -> Iterator[Piece]:
    try:
        rows = msgspec.json.decode(text, type=list[msgspec.Raw])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise PeekproofError(f"'{source.name}' is no JSON array of objects: {error}") from None
    for begin in range(0, len(rows), ROWS):
        some = rows[begin : begin + ROWS]
        lines = range(begin + 1, begin + 1 + len(some))
        yield Piece.of(source.name, map(bytes, some), lines, (begin + len(some)) / len(rows))


def _refuse_columns(name: str, text: bytes) -> None:
    """Raise PeekproofError where one object holds columns, as pandas writes them."""
    try:
        columns = msgspec.json.decode(text, type=dict[str, dict[str, msgspec.Raw]])
    except (msgspec.MsgspecError, RecursionError):
        return
    if len(columns) > 1:
        raise PeekproofError(
            f"'{name}' is one object of columns; write one object a line: to_json(…, orient='records', lines=True)"
        )


def _split(file: str, data: bytes, before: int, read: float) -> Piece:
    """A message takes in its line's end. Empty lines don't count."""
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n")) + 1
    if not len(ends) or ends[-1] != len(data):
        ends = np.append(ends, len(data))
    length = np.diff(ends, prepend=0)
    line = np.arange(before + 1, before + 1 + len(length))
    empty = [i for i in np.flatnonzero(length <= 2).tolist() if not data[ends[i] - length[i] : ends[i]].strip()]
    if not empty:
        return Piece(file, data, length, line, read)
    kept = np.delete(np.arange(len(length)), empty)
    spans = zip((ends - length)[kept].tolist(), ends[kept].tolist(), strict=True)
    return Piece.of(file, (data[begin:end] for begin, end in spans), line[kept].tolist(), read)


def _csv(source: _Source, header: Header) -> Iterator[Piece]:
    """A column at a time, as long as quotes stand where RFC 4180 has them; from there on row by row."""
    csv.field_size_limit(1 << 24)
    file = source.name
    columns: list[Column] = []
    ids = _Ids(file)
    rest, line, is_over = b"", 1, False
    while not is_over:
        block = source.text.read(PIECE)
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


def _by_columns(ids: _Ids, columns: list[Column], data: bytes, rows: _Rows, line: int) -> Piece | None:
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
        if column == NOTHING:
            continue
        cells = pa.concat_arrays(texts.chunks)
        is_empty = pc.or_(pc.equal(cells, ""), pc.equal(cells, NO_VALUE))
        kind: Kind = "value" if column.kind == "id" and ids.are_floats(column.name, cells) else column.kind
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
    ids: _Ids, header: Header, columns: list[Column], lines: Iterable[bytes], first: int
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
                if column is not NOTHING:
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


def _of_rows(ids: _Ids, columns: list[Column], good: list[tuple[int, list[str]]], bad: list[BadRow]) -> Piece:
    kinds: list[Column] = []
    for at, column in enumerate(columns):
        cells = pa.array([row[at] for _, row in good] if column.kind == "id" else [], pa.large_string())
        is_float = len(cells) > 0 and ids.are_floats(column.name, cells)
        kinds.append(column._replace(kind="value") if is_float else column)
    messages = [_message(kinds, row) for _, row in good]
    piece = Piece.of(ids.file, messages, [line for line, _ in good], 1.0, bad=bad, is_titled=True)
    return replace(piece, floats=ids.floats)


def _message(columns: list[Column], row: list[str]) -> bytes:
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


def _parquet(path: Path, header: Header) -> Iterator[Piece]:
    file = str(path)
    with duckdb.connect() as database:
        database.execute("SET TimeZone = 'UTC'")
        database.execute("SET enable_progress_bar = false")
        described = database.execute("DESCRIBE SELECT * FROM read_parquet($file)", {"file": file}).fetchall()
        names, types = [row[0] for row in described], [row[1] for row in described]
        schema = database.execute("SELECT name, num_children FROM parquet_schema($file)", {"file": file}).fetchall()
        titles = _columns(schema)
        titles += names[len(titles) :]  # of a directory named COLUMN=VALUE
        fields: dict[str, list[str]] = {}
        for column, title, kind in zip(header(file, titles), names, types, strict=True):
            if column != NOTHING:
                value = _json(column.kind, '"' + title.replace('"', '""') + '"', kind)
                fields.setdefault(column.parent, []).append(f"{_sql_text(column.name)}, {value}")
        top = fields.pop("", [])
        top += [f"{_sql_text(parent)}, json_object({', '.join(each)})" for parent, each in fields.items()]
        ((count,),) = database.execute("SELECT count(*) FROM read_parquet($file)", {"file": file}).fetchall()
        query = f"SELECT json_object({', '.join(top)})::VARCHAR FROM read_parquet($file)"
        first = 1
        for rows in database.sql(query, params={"file": file}).to_arrow_reader(ROWS):
            lines = np.arange(first, first + rows.num_rows)
            first += rows.num_rows
            yield Piece.of_array(file, rows.column(0).cast(pa.large_string()), lines, (first - 1) / count)


def _columns(schema: list[tuple[str, int | None]]) -> list[str]:
    """The names of the columns as they stand in the file; what reads it tells two of one name apart."""
    names, inner = [], 0
    for name, children in schema[1:]:
        if inner:
            inner -= 1
        else:
            names.append(name)
        inner += children or 0
    return names


def _sql_text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _json(kind: str, column: str, type_: str) -> str:
    """The SQL expression of a column's value as JSON. NaN and infinity are no value, as they are none in JSON."""
    if type_ in {"FLOAT", "DOUBLE"} and kind != "written":
        return f"CASE WHEN isfinite({column}) THEN {column} END"
    if kind == "time" and type_.startswith("TIMESTAMP"):  # epoch_ms would round
        return f"epoch_ns({column}) // 1000000" if type_.endswith("_NS") else f"epoch_us({column}) // 1000"
    if kind == "time":
        return f"epoch_ms({column})" if type_ == "DATE" else column
    if kind == "object" and type_ == "VARCHAR":
        return f"CASE WHEN json_valid({column}) THEN {column}::JSON ELSE to_json({column}) END"
    if kind == "id" and type_.startswith("DECIMAL"):
        return f"regexp_replace({column}::VARCHAR, '\\.0+$', '')"
    is_json = kind in {"value", "object"} or (kind == "group" and not type_.endswith(("INT", "INTEGER")))
    return column if is_json else f"{column}::VARCHAR"
