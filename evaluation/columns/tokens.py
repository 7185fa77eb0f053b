"""Tokens: the strings, numbers and words of JSON at a place in a buffer, for kernels that walk it.

The buffer is padded with zeros, at which every token ends.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from evaluation.columns.memory import byte_at, trailing_zeros, word_at
from evaluation.columns.texts import as_bytes

LONGEST_BUCKET = 63  # fields' names at least this long share a bucket
LOW, HIGH = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)
QUOTES, ESCAPES, SPACES = LOW * np.uint64(0x22), LOW * np.uint64(0x5C), LOW * np.uint64(0x20)
IS_SPACE = np.isin(np.arange(256), np.frombuffer(b" \t\n\r", np.uint8))
IS_SHORT_ESCAPE = np.isin(np.arange(256), np.frombuffer(b'"\\/bfnrt', np.uint8))
IS_HEX_DIGIT = np.isin(np.arange(256), np.frombuffer(b"0123456789abcdefABCDEF", np.uint8))
POWERS = 10.0 ** np.arange(23)  # exact doubles, so that one division rounds once (Clinger 1990)
NULL, TRUE, FALSE = (np.uint64(int.from_bytes(word, "little")) for word in (b"null", b"true", b"false"))
KEY, CONTENT, AFTER = range(3)  # what comes next: a key, a value, or what follows a value


@njit(cache=True)
def is_utf8(b, i, end):  # type: ignore[no-untyped-def]
    """Whether b[i:end] is UTF-8 (Unicode 16, table 3-7)."""
    while i < end:
        c: Any = byte_at(b, i)
        i += 1
        if c < 128:
            continue
        if c < 0xC2 or c > 0xF4:
            return False
        more = 1 if c < 0xE0 else 2 if c < 0xF0 else 3
        if i + more > end:
            return False
        low = 0xA0 if c == 0xE0 else 0x90 if c == 0xF0 else 0x80
        high = 0x9F if c == 0xED else 0x8F if c == 0xF4 else 0xBF
        if byte_at(b, i) < low or byte_at(b, i) > high:
            return False
        for k in range(i + 1, i + more):
            if byte_at(b, k) >> 6 != 2:
                return False
        i += more
    return True


@njit(cache=True, forceinline=True)
def read_digits(b, i, digits, count):  # type: ignore[no-untyped-def]
    """Where the digits from b[i] on end, the number that they make behind those before (18 of all), and how many."""
    c: Any = byte_at(b, i)
    while 48 <= c <= 57:
        if count < 18:
            digits = digits * 10 + np.int64(c - 48)
        count += 1
        i += 1
        c = byte_at(b, i)
    return i, digits, count


@njit(cache=True, forceinline=True)
def read_quoted(b, i, end):  # type: ignore[no-untyped-def]
    """The number that the text b[i:end] is, NaN where it is none; and whether that is for others to say."""
    while i < end and byte_at(b, i) == 32:
        i += 1
    c: Any = byte_at(b, i)
    negative = c == 45
    i += c in {43, 45}
    i, digits, whole = read_digits(b, i, np.int64(0), 0)
    count = whole
    if byte_at(b, i) == 46:
        i, digits, count = read_digits(b, i + 1, digits, whole)
    if count == 0:
        return np.nan, False
    if byte_at(b, i) | 32 == 101:  # e or E
        return np.nan, True
    while i < end and byte_at(b, i) == 32:
        i += 1
    if i < end:
        return np.nan, False
    return (-digits if negative else digits) / POWERS[min(count - whole, 22)], count > 15


@njit(cache=True, forceinline=True)
def read_string(b, i, end):  # type: ignore[no-untyped-def]
    """Where the string from b[i] on has its closing quote, or `end`; whether it has letters beyond ASCII, or escapes.

    Eight bytes at a time, up to one that is a quote, an escape, a control character or beyond ASCII.
    """
    is_wide = is_escaped = False
    while True:
        word = word_at(b, i)
        quote, escape = word ^ QUOTES, word ^ ESCAPES
        special = (((quote - LOW) & ~quote) | ((escape - LOW) & ~escape) | ((word - SPACES) & ~word) | word) & HIGH
        if special == 0:
            i += 8
            continue
        i += trailing_zeros(special) >> 3
        c: Any = byte_at(b, i)
        if c == 34 or c < 32 or i >= end:
            break
        if c >= 128:
            is_wide = True
            i += 1
            continue
        is_escaped = True
        if IS_SHORT_ESCAPE[byte_at(b, i + 1)]:
            i += 2
        elif (
            byte_at(b, i + 1) == 117
            and IS_HEX_DIGIT[byte_at(b, i + 2)]
            and IS_HEX_DIGIT[byte_at(b, i + 3)]
            and IS_HEX_DIGIT[byte_at(b, i + 4)]
            and IS_HEX_DIGIT[byte_at(b, i + 5)]
            and not ((byte_at(b, i + 2) | 32) == 100 and byte_at(b, i + 3) >= 56)  # no surrogate
        ):
            i += 6
        else:
            break
    return i if c == 34 else end, is_wide, is_escaped


def name_table(
    named: Iterable[tuple[int, str, int]], parents: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """For `find_field`: names' bytes; (start, length, number) by parent and length; where each of these begins.

    `named`: of each wanted field its parent (of so many), its name, and the number by which it is found.
    """
    fields = [(parent, name.encode(), number) for parent, name, number in named]
    fields.sort(key=lambda each: (each[0], min(len(each[1]), LONGEST_BUCKET)))
    spans = np.zeros((len(fields), 3), np.int64)
    counts = np.zeros((parents, LONGEST_BUCKET + 1), np.int64)
    at = 0
    for i, (parent, name, number) in enumerate(fields):
        spans[i] = at, len(name), number
        counts[parent, min(len(name), LONGEST_BUCKET)] += 1
        at += len(name)
    begins = np.concatenate([[0], np.cumsum(counts.ravel())])
    return as_bytes(b"".join(name for _, name, _ in fields)), spans, begins


@njit(cache=True, forceinline=True)
def find_field(names, spans, begins, parent, b, at, size):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    """The wanted field of `parent` that the key of `size` bytes at b[at] names, or -1."""
    found: Any = np.int64(-1)
    bucket = parent * (LONGEST_BUCKET + 1) + min(size, LONGEST_BUCKET)
    for k in range(begins[bucket], begins[bucket + 1]):
        if spans[k, 1] == size:
            difference = np.uint64(0)
            j = 0
            while j + 8 <= size:
                difference |= word_at(names, spans[k, 0] + j) ^ word_at(b, at + j)
                j += 8
            while j < size:
                difference |= np.uint64(byte_at(names, spans[k, 0] + j) ^ byte_at(b, at + j))
                j += 1
            if difference == 0:
                found = spans[k, 2]
    return found


@njit(cache=True, forceinline=True)
def read_number(b, i):  # type: ignore[no-untyped-def]
    """Where the number at b[i] ends, -1 where it is none; its digits, their decimal places; is it whole, and exact?"""
    negative = byte_at(b, i) == 45
    i += negative
    first = i
    i, digits, whole = read_digits(b, i, np.int64(0), 0)
    is_number = whole == 1 or (whole > 1 and byte_at(b, first) != 48)
    count = whole
    is_integer = True
    if byte_at(b, i) == 46:
        is_integer = False
        i, digits, count = read_digits(b, i + 1, digits, whole)
        is_number &= count > whole
    is_exact = count <= 15
    if byte_at(b, i) | 32 == 101:  # e or E
        is_integer = is_exact = False
        i += 1
        if byte_at(b, i) == 43 or byte_at(b, i) == 45:
            i += 1
        first = i
        while 48 <= byte_at(b, i) <= 57:
            i += 1
        is_number &= i > first
    return i if is_number else -1, -digits if negative else digits, count - whole, is_integer, is_exact


@njit(cache=True, forceinline=True)
def read_word(b, i):  # type: ignore[no-untyped-def]
    """How many bytes `null`, `true` or `false` has at b[i]; 0: none of these stands there."""
    word = word_at(b, i)
    four, five = word & np.uint64(0xFFFFFFFF), word & np.uint64(0xFFFFFFFFFF)
    return 4 if four in (NULL, TRUE) else 5 if five == FALSE else 0
