"""Frames: tables in memory, as pandas, polars, Arrow, DuckDB and others give them: by Arrow's stream (its PyCapsule
interface), of which nothing is copied before it is read.
"""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from numbers import Number
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from pipeline.errors import PeekproofError


@dataclass(frozen=True, slots=True)
class Frame:
    """A table, and what it is called."""

    name: str
    table: Any

    def __str__(self) -> str:
        return self.name

    def stream(self) -> pa.RecordBatchReader:
        """Its rows. Raises PeekproofError where a column has no type that can be read."""
        try:
            found = pa.RecordBatchReader.from_stream(self.table)
        except (pa.ArrowException, ValueError, TypeError) as error:
            if (texts := _mixed_as_texts(self.table)) is not None:
                return Frame(self.name, texts).stream()
            told = "; ".join(map(str, error.args)).partition("\n")[0]
            raise PeekproofError(f"'{self.name}' cannot be read: {told}; give each column one type") from error
        kinds = [pa.float32() if each.type == pa.float16() else each.type for each in found.schema]
        schema = pa.schema(zip(found.schema.names, kinds, strict=True))
        if (column := _unreadable(schema)) is not None:
            raise PeekproofError(
                f"'{self.name}' cannot be read: column '{column.name}' is of type {column.type}; leave it out, or make "
                "it one of numbers or texts"
            )
        return found if kinds == found.schema.types else found.cast(schema)


def _unreadable(schema: pa.Schema) -> pa.Field | None:
    """The first column of a type that DuckDB does not have."""
    with duckdb.connect() as database:
        try:
            database.from_arrow(schema.empty_table())
        except duckdb.Error:
            if len(schema) == 1:
                return schema[0]
            return next(filter(None, (_unreadable(pa.schema([each])) for each in schema)), None)
    return None


def _mixed_as_texts(table: Any) -> Any:
    """A data frame of pandas whose columns of texts and numbers are texts, as it writes them; None: there are none."""
    pandas = sys.modules.get("pandas")
    if pandas is None or not isinstance(table, pandas.DataFrame):
        return None
    made = table.copy(deep=False)
    mixed = [at for at, kind in enumerate(table.dtypes) if kind == "object" and _is_mixed(table.iloc[:, at])]
    for at in mixed:
        column = table.iloc[:, at]
        made.isetitem(at, column.map(str).where(column.notna(), None))
    return made if mixed else None


def _is_mixed(column: Any) -> bool:
    """Whether Arrow has no type for what is written as a cell."""
    if not column.map(lambda value: isinstance(value, _CELLS) or value is None).all():
        return False
    try:
        pa.array(column, from_pandas=True)
    except (pa.ArrowException, ValueError, TypeError):
        return True
    return False


_CELLS = (str, Number, date)


Input = Path | Frame
"""What is analysed: a file, or a table in memory."""


def inputs(name: str, given: object) -> list[Input]:
    """What somebody gave under this name: a path (a pattern of paths, too), a table, or several of them.

    Raises PeekproofError for what is neither, and for paths that lead nowhere.
    """
    if given is None:
        return []
    if isinstance(given, (list, tuple)):
        found = [inputs(f"{name}[{number}]", each) for number, each in enumerate(given)]
        return [each for some in found for each in some]
    if isinstance(given, (str, Path)):
        return [*_paths(Path(given))]
    if hasattr(given, "__arrow_c_stream__"):
        return [Frame(name, given)]
    way_out = (
        ".collect() it" if hasattr(given, "collect") else "give a table of pandas, polars, Arrow or DuckDB, or a path"
    )
    kind = f"{type(given).__module__}.{type(given).__name__}".removeprefix("builtins.")
    raise PeekproofError(f"'{name}' is of type {kind}, which is no table; {way_out}")


def size(given: Input) -> int:
    """The bytes to be read, by which one knows how far that is; of a frame none."""
    return 0 if isinstance(given, Frame) else given.stat().st_size


def resolved(given: Input) -> Path:
    """What tells it from others, however it is called."""
    return Path(given.name) if isinstance(given, Frame) else given.resolve()


def _paths(path: Path) -> Iterable[Path]:
    if path.exists():
        return [path]
    anchor = Path(path.anchor)
    if found := sorted(anchor.glob(str(path.relative_to(anchor)))):
        return found
    raise PeekproofError(f"'{path}' is not there, and no file is called so")
