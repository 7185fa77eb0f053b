"""Texts: a column of UTF-8 strings as spans of one buffer, so that kernels can hash and compare them in place."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from evaluation.columns.memory import copy


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

    def strings(self) -> list[str | None]:
        """The strings as Python's."""
        return self.arrow().cast(pa.large_string()).to_pylist()

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


@njit(cache=True)
def _gather(data, start, length, out):  # type: ignore[no-untyped-def]
    at = 0
    for i in range(start.size):
        if length[i] > 0:
            copy(out, at, data, start[i], length[i])
            at += length[i]
