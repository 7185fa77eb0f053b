"""Hashing: units and insert ids by XXH64, buckets by MurmurHash3. Fixed for ever: `tests/vectors/hashing.json`.

XXH64 with seed 0 (https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md). MurmurHash3_x86_32 with seed 0
(https://github.com/aappleby/smhasher), the hash by which Amplitude's engines put a unit into a bucket.
"""

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from evaluation.columns.memory import copy, half_at, word_at
from evaluation.columns.texts import Texts, as_bytes

P1 = np.uint64(0x9E3779B185EBCA87)
P2 = np.uint64(0xC2B2AE3D27D4EB4F)
P3 = np.uint64(0x165667B19E3779F9)
P4 = np.uint64(0x85EBCA77C2B2AE63)
P5 = np.uint64(0x27D4EB2F165667C5)


def unit_hashes(unit_type: str, ids: pa.Array | Texts) -> NDArray[np.uint64]:
    """XXH64 of `type NUL id` for every id, such as `user_id NUL u-1`; 0 where the id is missing."""
    return _hashes(as_bytes(unit_type.encode() + b"\0"), _texts(ids))


def text_hashes(texts: pa.Array | Texts) -> NDArray[np.uint64]:
    """XXH64 of every string; 0 where it is missing."""
    return _hashes(as_bytes(b""), _texts(texts))


def position_hashes(
    topic: str, partition: int, offset: NDArray[np.int64], index: NDArray[np.int64]
) -> NDArray[np.uint64]:
    """XXH64 of `topic/partition/offset/index`, in decimal digits: the id of an event that brought none."""
    out = np.empty(len(offset), np.uint64)
    _positions(as_bytes(f"{topic}/{partition}/".encode()), offset, index, out)
    return out


def bucket_hashes(salt: str, values: pa.Array | Texts) -> NDArray[np.uint32]:
    """MurmurHash3_x86_32 of `salt/value` for every value; 0 where the value is missing."""
    texts = _texts(values)
    out = np.empty(len(texts), np.uint32)
    _buckets(as_bytes(salt.encode() + b"/"), texts.data, texts.start, texts.length, out)
    return out


def _texts(strings: pa.Array | Texts) -> Texts:
    return strings if isinstance(strings, Texts) else Texts.of(strings)


def _hashes(prefix: NDArray[np.uint8], texts: Texts) -> NDArray[np.uint64]:
    out = np.empty(len(texts), np.uint64)
    _xxh64(prefix, texts.data, texts.start, texts.length, out)
    return out


@njit(cache=True)
def _rotated(x, bits):  # type: ignore[no-untyped-def]
    return (x << np.uint64(bits)) | (x >> np.uint64(64 - bits))


@njit(cache=True)
def _round(lane, word):  # type: ignore[no-untyped-def]
    return _rotated(lane + word * P2, 31) * P1


@njit(cache=True)
def _merged(h, lane):  # type: ignore[no-untyped-def]
    return (h ^ _round(np.uint64(0), lane)) * P1 + P4


@njit(cache=True)
def xxh64(b, size):  # type: ignore[no-untyped-def]
    """XXH64, seed 0, of the first `size` bytes of `b`."""
    at = 0
    if size >= 32:
        v1, v2, v3, v4 = P1 + P2, P2, np.uint64(0), np.uint64(0) - P1
        while at + 32 <= size:
            v1 = _round(v1, word_at(b, at))
            v2 = _round(v2, word_at(b, at + 8))
            v3 = _round(v3, word_at(b, at + 16))
            v4 = _round(v4, word_at(b, at + 24))
            at += 32
        h = _rotated(v1, 1) + _rotated(v2, 7) + _rotated(v3, 12) + _rotated(v4, 18)
        h = _merged(_merged(_merged(_merged(h, v1), v2), v3), v4)
    else:
        h = P5
    h += np.uint64(size)
    while at + 8 <= size:
        h = _rotated(h ^ _round(np.uint64(0), word_at(b, at)), 27) * P1 + P4
        at += 8
    if at + 4 <= size:
        h = _rotated(h ^ (np.uint64(half_at(b, at)) * P1), 23) * P2 + P3
        at += 4
    while at < size:
        h = _rotated(h ^ (np.uint64(b[at]) * P5), 11) * P1
        at += 1
    h = (h ^ (h >> np.uint64(33))) * P2
    h = (h ^ (h >> np.uint64(29))) * P3
    return h ^ (h >> np.uint64(32))


@njit(cache=True)
def _with_room(prefix, length):  # type: ignore[no-untyped-def]
    """The prefix, and behind it room for the longest of the texts."""
    longest = 0
    for i in range(length.size):
        longest = max(longest, length[i])
    joined = np.empty(prefix.size + longest, np.uint8)
    joined[: prefix.size] = prefix
    return joined


@njit(cache=True)
def _xxh64(prefix, data, start, length, out):  # type: ignore[no-untyped-def]
    joined = _with_room(prefix, length)
    for i in range(start.size):
        if length[i] < 0:
            out[i] = 0
            continue
        copy(joined, prefix.size, data, start[i], length[i])
        out[i] = xxh64(joined, prefix.size + length[i])


@njit(cache=True)
def _digits(number, out, at):  # type: ignore[no-untyped-def]
    """Write a non-negative integer in decimal digits; where it ends."""
    size = 1
    rest = number // 10
    while rest > 0:
        size += 1
        rest //= 10
    rest = number
    for i in range(size):
        out[at + size - 1 - i] = np.uint8(48 + rest % 10)
        rest //= 10
    return at + size


@njit(cache=True)
def _positions(prefix, offset, index, out):  # type: ignore[no-untyped-def]
    text = np.empty(prefix.size + 40, np.uint8)
    text[: prefix.size] = prefix
    for i in range(offset.size):
        at = _digits(offset[i], text, prefix.size)
        text[at] = 47  # /
        at = _digits(index[i], text, at + 1)
        out[i] = xxh64(text, at)


@njit(cache=True)
def _murmur3_x86_32(b, size):  # type: ignore[no-untyped-def]
    """MurmurHash3_x86_32, seed 0, of the first `size` bytes of `b`."""
    mask = np.uint64(0xFFFFFFFF)
    c1, c2 = np.uint64(0xCC9E2D51), np.uint64(0x1B873593)
    h = np.uint64(0)
    at = 0
    while at + 4 <= size:
        k = (np.uint64(half_at(b, at)) * c1) & mask
        k = ((k << np.uint64(15)) | (k >> np.uint64(17))) & mask
        h ^= (k * c2) & mask
        h = ((h << np.uint64(13)) | (h >> np.uint64(19))) & mask
        h = (h * np.uint64(5) + np.uint64(0xE6546B64)) & mask
        at += 4
    if at < size:
        k = np.uint64(0)
        for j in range(size - at):
            k |= np.uint64(b[at + j]) << np.uint64(8 * j)
        k = (k * c1) & mask
        k = ((k << np.uint64(15)) | (k >> np.uint64(17))) & mask
        h ^= (k * c2) & mask
    h ^= np.uint64(size)
    h = ((h ^ (h >> np.uint64(16))) * np.uint64(0x85EBCA6B)) & mask
    h = ((h ^ (h >> np.uint64(13))) * np.uint64(0xC2B2AE35)) & mask
    return h ^ (h >> np.uint64(16))


@njit(cache=True)
def _buckets(prefix, data, start, length, out):  # type: ignore[no-untyped-def]
    joined = _with_room(prefix, length)
    for i in range(start.size):
        if length[i] < 0:
            out[i] = 0
            continue
        copy(joined, prefix.size, data, start[i], length[i])
        out[i] = _murmur3_x86_32(joined, prefix.size + length[i])
