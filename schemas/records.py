"""Records: what one fetch brought for one partition, as columns."""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

Headers = tuple[tuple[str, bytes], ...]
KEY = "$key"  # the header as which a record's key is kept, where it is wanted and there is no other place for it


@dataclass(frozen=True, slots=True)
class RecordKeys:
    """The keys of n records, as spans of a buffer; a null has the length -1."""

    start: NDArray[np.int64]  # (n,)
    length: NDArray[np.int64]  # (n,) bytes
    data: memoryview

    def of(self, rows: slice) -> "RecordKeys":
        """Those of some of the records."""
        return RecordKeys(self.start[rows], self.length[rows], self.data)

    def value(self, row: int) -> bytes | None:
        """One record's key; None where it has none."""
        at, size = int(self.start[row]), int(self.length[row])
        return bytes(self.data[at : at + size]) if size >= 0 else None

    def beside(self, headers: "dict[int, Headers]") -> "dict[int, Headers]":
        """The headers of these records, with each key as the first, for where there is no other place for it."""
        keys = {row: ((KEY, key),) for row in range(len(self.start)) if (key := self.value(row)) is not None}
        return {row: keys.get(row, ()) + headers.get(row, ()) for row in keys | headers}

    @classmethod
    def among(cls, headers: "dict[int, Headers]", n: int) -> "tuple[RecordKeys | None, dict[int, Headers]]":
        """The keys that stand so in the headers of n records, None if none does, and the other headers."""
        found = {row: each[0][1] for row, each in headers.items() if each[0][0] == KEY}
        if not found:
            return None, headers
        length = np.full(n, -1)
        length[[*found]] = [len(key) for key in found.values()]
        size = np.maximum(length, 0)
        others = {row: each[1:] if row in found else each for row, each in headers.items()}
        data = memoryview(b"".join(found[row] for row in sorted(found)))
        return cls(np.cumsum(size) - size, length, data), {row: each for row, each in others.items() if each}


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
    has_own_times: bool = False  # `append_time` of one or more is the producer's: the topic has CreateTime

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
