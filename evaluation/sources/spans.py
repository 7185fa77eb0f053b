"""Spans: where the JSON of messages stands in a buffer, and how a message that is of no use is told."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.dead_letter import Reason

Came = bytes | Callable[[], bytes | None] | None  # a message as it came; of an element, what makes a record of it alone
Reject = Callable[[int, int | None, Reason, str, Came], None]  # row, index, reason, detail, value


@dataclass(frozen=True, slots=True)
class Spans:
    """n JSON values in a buffer; `row` is of the record, `index` within a record that holds many."""

    data: NDArray[np.uint8]
    row: NDArray[np.int64]  # (n,)
    index: NDArray[np.int64]  # (n,)
    start: NDArray[np.int64]  # (n,)
    length: NDArray[np.int64]  # (n,) bytes
    is_one_of_many: bool

    def __len__(self) -> int:
        return len(self.row)

    def take(self, rows: NDArray[Any]) -> "Spans":
        """Some of them."""
        return replace(
            self, row=self.row[rows], index=self.index[rows], start=self.start[rows], length=self.length[rows]
        )

    def value(self, i: int) -> bytes:
        """The bytes of one."""
        return self.data[self.start[i] : self.start[i] + self.length[i]].tobytes()

    def index_of(self, i: int) -> int | None:
        """Its index within the record; None where the record holds no other."""
        return int(self.index[i]) if self.is_one_of_many else None
