"""Records: what one fetch brought for one partition, as columns."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Headers = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class Records:
    """The n records of one partition with offsets in [begin, end); compaction and control records leave holes.

    The values stand in `data`, joined to one JSON array: `[value0,"separator",value1,"separator",…,valueN]`. A value
    that is null or empty stands there as `null`, and so does the value of a record that has headers (it is read on its
    own: its `content-type` may say that it is no JSON). `separator` is a random token that no producer can know, so
    that a decoded array shows at its odd positions whether element 2i is record i.
    """

    topic: str
    partition: int
    begin: int
    end: int
    offset: NDArray[np.int64]  # (n,)
    append_time: NDArray[np.int64]  # (n,) ms UTC; the broker's for topics with LogAppendTime
    start: NDArray[np.int64]  # (n,) first byte of each value in `data`; of a value with headers, in `aside`
    length: NDArray[np.int64]  # (n,) bytes of each value; -1 for a null value
    data: memoryview
    separator: str
    aside: bytes = b""  # values of the records that have headers
    headers: dict[int, Headers] = field(default_factory=dict)  # by row, of the records that have any
    received: float = 0.0  # after the fetch, on the reader's monotonic clock (seconds)

    def __len__(self) -> int:
        return len(self.offset)

    def value(self, row: int) -> bytes | None:
        """The original bytes of one record's value, or None where the record has none (a null)."""
        length = int(self.length[row])
        if length < 0:
            return None
        start = int(self.start[row])
        source = self.aside if row in self.headers else self.data
        return bytes(source[start : start + length])
