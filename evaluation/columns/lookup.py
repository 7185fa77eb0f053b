"""Lookup: strings among fixed names by a hash table of codes, for as many as a column has."""

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
from numba import njit
from numpy.typing import NDArray

from evaluation.columns.hash_table import add, first, following, number_of
from evaluation.columns.memory import byte_at, word_at
from evaluation.columns.texts import Texts, as_bytes

LookupTable = tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64], np.uint64]


def table_of(names: Sequence[str]) -> LookupTable:
    """The names' bytes; where each ends; a hash table of codes; its seed.

    The seed is a digest of all names, so that nobody can choose names that collide. Half a surrogate pair makes bytes
    that no text has.
    """
    encoded = [name.encode("utf-8", "surrogatepass") for name in names]
    joined = b"".join(encoded)
    seed = np.uint64(int.from_bytes(blake2b(joined, digest_size=8).digest(), "little"))
    data = as_bytes(joined)
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    slots = np.zeros(1 << (2 * len(encoded) + 1).bit_length(), np.int64)
    _enter(data, ends, slots, seed)
    return data, ends, slots, seed


def codes_of(texts: Texts, table: LookupTable) -> NDArray[np.int64]:
    """Each text's position among the names; -1 where it is none of them, -2 where it is missing."""
    codes = np.empty(len(texts), np.int64)
    _codes(*table, texts.data, texts.start, texts.length, codes)
    return codes


@njit(cache=True)
def _mark(data, start, length, seed):  # type: ignore[no-untyped-def]
    """A string's fingerprint: FNV-1a by words, the last of which may overlap; upper bits mixed in."""
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
    return np.int64((h * prime) >> np.uint64(32)) | 1


@njit(cache=True)
def _enter(names, ends, slots, seed):  # type: ignore[no-untyped-def]
    for code in range(ends.size - 1):
        add(slots, _mark(names, ends[code], ends[code + 1] - ends[code], seed), code)


@njit(cache=True)
def _find(names, ends, slots, seed, data, start, length):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    """The code of the name that equals `data[start:start+length]`, or -1."""
    mark = _mark(data, start, length, seed)
    p = first(slots, mark)
    while slots[p] != 0:
        code = number_of(slots[p])
        if ends[code + 1] - ends[code] == length:
            same = True
            for i in range(length):
                if byte_at(names, ends[code] + i) != byte_at(data, start + i):
                    same = False
                    break
            if same:
                return code
        p = following(slots, mark, p)
    return np.int64(-1)


@njit(cache=True)
def _codes(names, ends, slots, seed, data, start, length, codes):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    for i in range(start.size):
        codes[i] = -2 if length[i] < 0 else _find(names, ends, slots, seed, data, start[i], length[i])
