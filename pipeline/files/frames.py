"""Frames: tables in memory, as pandas, polars, Arrow, DuckDB and others give them: by Arrow's stream (its PyCapsule
interface), of which nothing is copied before it is read.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
        """Its rows. Raises PeekproofError where Arrow has no type for a column."""
        try:
            return pa.RecordBatchReader.from_stream(self.table)
        except (pa.ArrowException, ValueError, TypeError) as error:
            told = "; ".join(map(str, error.args)).partition("\n")[0]
            raise PeekproofError(f"'{self.name}' cannot be read: {told}; give each column one type") from error


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
