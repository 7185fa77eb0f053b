"""Columns: the wanted fields of many messages, whichever way their producers wrote them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.columns.texts import Texts
from evaluation.flags.paths import Path

Value = Callable[[int], bytes | None]


@dataclass(frozen=True, slots=True)
class MessageColumns:
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
    are_elements: bool = False  # of lists that a source unfolds: each value is a copy of its record
    source: str | None = None  # the key of the source that made them of records of another shape
    of_ours: Value | None = None  # then one message as we would have it
    of_schema: Value | None = None  # of records that only a schema explains, one message as JSON
    said_time: Callable[[int], str] | None = (
        None  # where the time of one message was found, how it stands there, its unit
    )
    written_by: Callable[[int], str | None] | None = None  # of such records: by which schema one message was written

    def ours(self, i: int) -> bytes | None:
        """One message in our own shape, as JSON."""
        return self.value(i) if self.of_ours is None else self.of_ours(i)

    def readable(self, i: int) -> bytes | None:
        """One message as its producer sent it, in words: as JSON where only a schema explains it."""
        return self.value(i) if self.of_schema is None else self.of_schema(i)

    def __len__(self) -> int:
        return len(self.row)

    def index_of(self, i: int) -> int | None:
        """A message's index within its record; None where the record holds no other."""
        return int(self.index[i]) if self.is_one_of_many[i] else None
