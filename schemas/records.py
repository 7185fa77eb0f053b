"""Records: what one fetch brought for one partition, as columns."""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

Headers = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class RecordKeys:
    """The keys of n records, as spans of a buffer; a null has the length -1."""

    start: NDArray[np.int64]  # (n,)
    length: NDArray[np.int64]  # (n,) bytes
    data: memoryview

    def of(self, rows: slice) -> "RecordKeys":
        """Those of some of the records."""
        return RecordKeys(self.start[rows], self.length[rows], self.data)


@dataclass(frozen=True, slots=True)
class Records:
    """The n records of one partition with offsets in [begin, end); compaction and control records leave holes.

    The values stand in `data` one after another, in order and with nothing between them: each ends where the next one
    starts, and a null takes no bytes.
    """

    topic: str
    partition: int
    begin: int
    end: int
    offset: NDArray[np.int64]  # (n,)
    append_time: NDArray[np.int64]  # (n,) ms UTC; the broker's for topics with LogAppendTime
    start: NDArray[np.int64]  # (n,) first byte of each value in `data`
    length: NDArray[np.int64]  # (n,) bytes of each value; -1 for a null value
    data: memoryview
    headers: dict[int, Headers] = field(default_factory=dict)  # by row, of the records that have any
    received: float = 0.0  # after the fetch, on the reader's monotonic clock (seconds)
    keys: RecordKeys | None = None  # of topics that are not ours: nobody asks for those of ours

    def __len__(self) -> int:
        return len(self.offset)

    def moved(self, topic: str, offsets: int) -> "Records":
        """The same under another topic's name, their offsets so much larger."""
        if not offsets:
            return replace(self, topic=topic)
        offset = self.offset + offsets
        return replace(self, topic=topic, begin=self.begin + offsets, end=self.end + offsets, offset=offset)

    def split(self, at: int) -> "tuple[Records, Records]":
        """The records before offset `at`, which lies in [begin, end], and those from it on."""
        row = int(np.searchsorted(self.offset, at))
        edge = int(self.start[row]) if row < len(self) else len(self.data)
        before = replace(
            self,
            end=at,
            offset=self.offset[:row],
            append_time=self.append_time[:row],
            start=self.start[:row],
            length=self.length[:row],
            data=self.data[:edge],
            headers={number: headers for number, headers in self.headers.items() if number < row},
            keys=self.keys and self.keys.of(slice(row)),
        )
        after = replace(
            self,
            begin=at,
            offset=self.offset[row:],
            append_time=self.append_time[row:],
            start=self.start[row:] - edge,
            length=self.length[row:],
            data=self.data[edge:],
            headers={number - row: headers for number, headers in self.headers.items() if number >= row},
            keys=self.keys and self.keys.of(slice(row, None)),
        )
        return before, after

    def value(self, row: int) -> bytes | None:
        """The original bytes of one record's value, or None where the record has none (a null)."""
        length = int(self.length[row])
        if length < 0:
            return None
        start = int(self.start[row])
        return bytes(self.data[start : start + length])
