"""Texts: a column of UTF-8 strings as spans of one buffer, so that kernels can hash and compare them in place."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from evaluation.memory import byte_at, copy

LONGEST_BUCKET = 63  # names at least this long share a bucket


def as_bytes(data: bytes | memoryview | pa.Buffer) -> NDArray[np.uint8]:
    """The bytes as a read-only array: one type for every kernel."""
    array = np.frombuffer(data, np.uint8)
    array.flags.writeable = False
    return array


@dataclass(frozen=True, slots=True)
class Texts:
    """n strings. `length` is -1 where a string is missing."""

    data: NDArray[np.uint8]
    start: NDArray[np.int64]  # (n,)
    length: NDArray[np.int64]  # (n,) bytes

    def __len__(self) -> int:
        return len(self.start)

    @classmethod
    def of(cls, strings: pa.Array | Sequence[str | None]) -> "Texts":
        """The column of an Arrow array (without a copy if of large strings or binaries) or of Python strings."""
        array = strings if isinstance(strings, pa.Array) else pa.array(strings, pa.large_string())
        if array.type not in (pa.large_string(), pa.large_binary()):
            array = array.cast(pa.large_string())
        _, offsets, data = array.buffers()
        if len(array) == 0 or offsets is None:
            return cls(as_bytes(b""), np.empty(0, np.int64), np.empty(0, np.int64))
        bounds = np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1]
        length = np.diff(bounds)
        if array.null_count:
            length[array.is_null().to_numpy(zero_copy_only=False)] = -1
        return cls(as_bytes(data or b""), bounds[:-1].copy(), length)

    def __getitem__(self, i: int) -> str | None:
        start, length = int(self.start[i]), int(self.length[i])
        return None if length < 0 else self.data[start : start + length].tobytes().decode()

    def take(self, rows: NDArray[np.int64]) -> "Texts":
        """The strings of these rows; the buffer is shared."""
        return Texts(self.data, self.start[rows], self.length[rows])

    def arrow(self) -> pa.Array:
        """The strings' bytes as an Arrow array of large binaries."""
        ends = np.cumsum(np.maximum(self.length, 0))
        offsets = np.concatenate([np.zeros(1, np.int64), ends])
        data = np.empty(int(offsets[-1]), np.uint8)
        _gather(self.data, self.start, self.length, data)
        is_there = None
        if (self.length < 0).any():
            is_there = pa.py_buffer(np.packbits(self.length >= 0, bitorder="little"))
        buffers = [is_there, pa.py_buffer(offsets), pa.py_buffer(data)]
        return pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(self), buffers)


@dataclass(frozen=True)
class Names:
    """A fixed list of distinct strings to find others in."""

    names: tuple[str, ...]

    @cached_property
    def table(self) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
        """For `find`: the names' bytes; (start, length, code) per name, by length; where each length begins."""
        encoded = [(name.encode(), code) for code, name in enumerate(self.names)]
        encoded.sort(key=lambda each: min(len(each[0]), LONGEST_BUCKET))
        spans = np.zeros((len(encoded), 3), np.int64)
        begins = np.zeros(LONGEST_BUCKET + 2, np.int64)
        at = 0
        for i, (name, code) in enumerate(encoded):
            spans[i] = at, len(name), code
            begins[min(len(name), LONGEST_BUCKET) + 1] += 1
            at += len(name)
        return as_bytes(b"".join(name for name, _ in encoded)), spans, np.cumsum(begins)

    def codes(self, texts: Texts) -> NDArray[np.int64]:
        """Each text's position in `names`; -1 where it is none of them, -2 where it is missing."""
        codes = np.empty(len(texts), np.int64)
        _codes(*self.table, texts.data, texts.start, texts.length, codes)
        return codes


@njit(cache=True)
def find(names, spans, begins, data, start, length):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    """The code of the name that equals `data[start:start+length]`, or -1."""
    bucket = min(length, LONGEST_BUCKET)
    for k in range(begins[bucket], begins[bucket + 1]):
        if spans[k, 1] != length:
            continue
        at = spans[k, 0]
        same = True
        for j in range(length):
            if byte_at(names, at + j) != byte_at(data, start + j):
                same = False
                break
        if same:
            return spans[k, 2]
    return np.int64(-1)


@njit(cache=True)
def _gather(data, start, length, out):  # type: ignore[no-untyped-def]
    at = 0
    for i in range(start.size):
        if length[i] > 0:
            copy(out, at, data, start[i], length[i])
            at += length[i]


@njit(cache=True)
def _codes(names, spans, begins, data, start, length, codes):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    for i in range(start.size):
        codes[i] = -2 if length[i] < 0 else find(names, spans, begins, data, start[i], length[i])
