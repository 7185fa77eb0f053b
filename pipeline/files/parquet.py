"""Parquet: the rows of a file, or of a frame, as JSON messages, by DuckDB."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from pipeline.files.frames import Frame
from pipeline.files.pieces import ROWS, Piece
from pipeline.files.titles import UNREAD, ColumnsOf


def parquet_rows(path: Path, header: ColumnsOf) -> Iterator[Piece]:
    """The rows of one file; `header` says what its columns are."""
    file = str(path)
    with duckdb.connect() as database:
        source = f"read_parquet({_sql_text(file)})"
        schema = database.execute("SELECT name, num_children FROM parquet_schema($file)", {"file": file}).fetchall()
        ((count,),) = database.execute(f"SELECT count(*) FROM {source}").fetchall()
        yield from _rows(database, source, file, _columns(schema), count, header)


def frame_rows(frame: Frame, header: ColumnsOf) -> Iterator[Piece]:
    """The same of a frame; a line is a row, from 1."""
    with duckdb.connect() as database, frame.stream() as stream:
        database.register("frame", stream)
        yield from _rows(database, "frame", frame.name, stream.schema.names, None, header)


def _rows(  # noqa: PLR0917
    database: duckdb.DuckDBPyConnection,
    source: str,
    file: str,
    titles: list[str],
    count: int | None,
    header: ColumnsOf,
) -> Iterator[Piece]:
    database.execute("SET TimeZone = 'UTC'")
    database.execute("SET enable_progress_bar = false")
    described = database.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
    names, types = [row[0] for row in described], [row[1] for row in described]
    titles = titles + names[len(titles) :]  # of a directory named COLUMN=VALUE
    fields: dict[str, list[str]] = {}
    for column, title, kind in zip(header(file, titles), names, types, strict=True):
        if column != UNREAD:
            value = _json(column.kind, '"' + title.replace('"', '""') + '"', kind)
            fields.setdefault(column.parent, []).append(f"{_sql_text(column.name)}, {value}")
    top = fields.pop("", [])
    top += [f"{_sql_text(parent)}, json_object({', '.join(each)})" for parent, each in fields.items()]
    first = 1
    for rows in database.sql(f"SELECT json_object({', '.join(top)})::VARCHAR FROM {source}").to_arrow_reader(ROWS):
        lines = np.arange(first, first + rows.num_rows)
        first += rows.num_rows
        read = (first - 1) / count if count else 1.0
        yield Piece.of_array(file, rows.column(0).cast(pa.large_string()), lines, read)


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
        return f"CASE WHEN isfinite({column}) THEN {column}{'::VARCHAR' * (kind == 'text')} END"
    if kind == "time" and type_.startswith("TIMESTAMP"):  # epoch_ms would round
        return f"epoch_ns({column}) // 1000000" if type_.endswith("_NS") else f"epoch_us({column}) // 1000"
    if kind == "time":
        return f"epoch_ms({column})" if type_ == "DATE" else column
    if kind == "object" and type_ == "VARCHAR":
        return f"CASE WHEN json_valid({column}) THEN {column}::JSON ELSE to_json({column}) END"
    if kind == "id" and type_.startswith("DECIMAL"):
        return f"regexp_replace({column}::VARCHAR, '\\.0+$', '')"
    is_json = kind in {"value", "object"} or (kind == "group" and not type_.endswith(("INT", "INTEGER")))
    is_json = is_json and not type_.startswith(("ENUM", '"NULL"'))
    return column if is_json else f"{column}::VARCHAR"
