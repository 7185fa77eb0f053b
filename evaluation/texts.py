"""Texts: a column of UTF-8 strings as spans of one buffer, so that kernels can hash and compare them in place."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from evaluation.memory import byte_at, copy, word_at


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


@dataclass(frozen=True)
class Names:
    """A fixed list of distinct strings to find others in, however many."""

    names: tuple[str, ...]

    @cached_property
    def table(self) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64], np.uint64]:
        """For the kernel: the names' bytes; where each ends; a hash table of codes, open addressing, -1 where free.

        Its seed is a digest of all names, so that nobody can choose names that collide. Half a surrogate pair makes
        bytes that no text has.
        """
        encoded = [name.encode("utf-8", "surrogatepass") for name in self.names]
        joined = b"".join(encoded)
        seed = np.uint64(int.from_bytes(blake2b(joined, digest_size=8).digest(), "little"))
        data = as_bytes(joined)
        ends = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
        slots = np.full(1 << (2 * len(encoded) + 1).bit_length(), -1)
        _enter(data, ends, slots, seed)
        return data, ends, slots, seed

    def codes(self, texts: Texts) -> NDArray[np.int64]:
        """Each text's position in `names`; -1 where it is none of them, -2 where it is missing."""
        codes = np.empty(len(texts), np.int64)
        _codes(*self.table, texts.data, texts.start, texts.length, codes)
        return codes


@njit(cache=True)
def _slot(data, start, length, slots, seed):  # type: ignore[no-untyped-def]
    """Where the search for a string begins: FNV-1a by words, the last of which may overlap; upper bits mixed in."""
    h = seed ^ np.uint64(length)
    prime = np.uint64(0x100000001B3)
    if length < 8:
        for i in range(start, start + length):
            h = (h ^ np.uint64(byte_at(data, i))) * prime
    else:
        for i in range(start, start + length - 8, 8):
            h = (h ^ word_at(data, i)) * prime
        h = (h ^ word_at(data, start + length - 8)) * prime
    h ^= h >> np.uint64(32)
    return np.int64((h * prime ^ (h >> np.uint64(16))) & np.uint64(slots.size - 1))


@njit(cache=True)
def _enter(names, ends, slots, seed):  # type: ignore[no-untyped-def]
    for code in range(ends.size - 1):
        at = _slot(names, ends[code], ends[code + 1] - ends[code], slots, seed)
        while slots[at] >= 0:
            at = (at + 1) & (slots.size - 1)
        slots[at] = code


@njit(cache=True)
def _find(names, ends, slots, seed, data, start, length):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    """The code of the name that equals `data[start:start+length]`, or -1."""
    at = _slot(data, start, length, slots, seed)
    while slots[at] >= 0:
        name = ends[slots[at]]
        if ends[slots[at] + 1] - name == length:
            same = True
            for i in range(length):
                if byte_at(names, name + i) != byte_at(data, start + i):
                    same = False
                    break
            if same:
                return slots[at]
        at = (at + 1) & (slots.size - 1)
    return np.int64(-1)


@njit(cache=True)
def _gather(data, start, length, out):  # type: ignore[no-untyped-def]
    at = 0
    for i in range(start.size):
        if length[i] > 0:
            copy(out, at, data, start[i], length[i])
            at += length[i]


@njit(cache=True)
def _codes(names, ends, slots, seed, data, start, length, codes):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    for i in range(start.size):
        codes[i] = -2 if length[i] < 0 else _find(names, ends, slots, seed, data, start[i], length[i])
