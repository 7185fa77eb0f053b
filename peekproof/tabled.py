"""Tabled: what can be had as a table of whatever library one works with."""

from abc import ABC, abstractmethod
from importlib import import_module
from typing import TYPE_CHECKING, Any

from pipeline.errors import PeekproofError

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow


class Tabled(ABC):
    """Has a table, in Arrow; pandas and polars are wanted where they are asked for."""

    @abstractmethod
    def to_arrow(self) -> "pyarrow.Table":
        """The table of Arrow."""

    def to_pandas(self) -> "pandas.DataFrame":
        """The same as a data frame of pandas."""
        _want("pandas")
        return self.to_arrow().to_pandas()

    def to_polars(self) -> "polars.DataFrame":
        """The same as a data frame of polars."""
        found: Any = _want("polars").from_arrow(self.to_arrow())
        return found

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """The same for whatever else takes Arrow's stream, such as DuckDB."""
        return self.to_arrow().__arrow_c_stream__(requested_schema)


def _want(library: str) -> Any:
    try:
        return import_module(library)
    except ImportError:
        raise PeekproofError(f"{library} is not installed: pip install {library}; to_arrow() goes without") from None
