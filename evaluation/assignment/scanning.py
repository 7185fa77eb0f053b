"""Scanning: the wanted fields of many JSON objects as columns, in one pass over their bytes, with no object for each.

Theory of operation. One kernel walks each record's bytes, checks the whole grammar, notes where the wanted strings
stand and computes the wanted numbers. It takes only what it is sure of: escapes in keys or wanted strings, numbers
beyond 15 digits or with an exponent, repeated fields, wrong types, deep nesting and everything malformed make the
record *odd*. An odd record is read by msgspec, on its own, which gives the value or the words that say what is wrong
with it. What the kernel does take, it takes as msgspec would (a test compares them): which of the two reads a record
depends on its bytes alone.
"""

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import numpy as np
from numba import njit
from numpy.typing import NDArray

from evaluation.texts import LONGEST_BUCKET, Texts, as_bytes

MISSING = np.iinfo(np.int64).min  # an integer that is not there
LONGEST_TEXT = 1024  # characters, as Amplitude limits them
DEEPEST = 64  # levels of nesting
LARGEST = 1_000_000  # bytes of one object


class Type(IntEnum):
    """What a wanted field must be; `null` is the same as no field."""

    OBJECT = 0  # holds other wanted fields
    TEXT = 1
    INTEGER = 2
    NUMBER = 3  # anything else is taken as no number
    FIRST = 4  # a text, or the first of a list of texts


Path = tuple[str, ...]  # of one or two names


@dataclass(frozen=True)
class Wanted:
    """The fields to read. A path of two names lies in an object, which is wanted too."""

    fields: dict[Path, Type]
    required: Path  # a text at the top that every message must have

    def __hash__(self) -> int:
        return hash(self.required)

    @cached_property
    def position(self) -> dict[Path, int]:
        """Each field's row in the columns."""
        return {path: i for i, path in enumerate(self.fields)}

    @cached_property
    def table(self) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """For the kernel: names' bytes; (start, length, position) by parent and length; where each begins; types.

        Parent 0 is the record, parent i + 1 the field at position i.
        """
        parents = {(): 0} | {path: i + 1 for path, i in self.position.items()}
        named = [(parents[path[:-1]], path[-1].encode(), i) for path, i in self.position.items()]
        named.sort(key=lambda each: (each[0], min(len(each[1]), LONGEST_BUCKET)))
        spans = np.zeros((len(named), 3), np.int64)
        counts = np.zeros((len(parents), LONGEST_BUCKET + 1), np.int64)
        at = 0
        for i, (parent, name, position) in enumerate(named):
            spans[i] = at, len(name), position
            counts[parent, min(len(name), LONGEST_BUCKET)] += 1
            at += len(name)
        begins = np.concatenate([[0], np.cumsum(counts.ravel())])
        return (
            as_bytes(b"".join(name for _, name, _ in named)),
            spans,
            begins,
            np.array([*self.fields.values()], np.int64),
        )


@dataclass(frozen=True, slots=True)
class Scanned:
    """Columns of n records. Where `odd` is true they say nothing."""

    wanted: Wanted
    data: NDArray[np.uint8]
    odd: NDArray[np.bool_]  # (n,)
    start: NDArray[np.int64]  # (fields, n) first byte of a text; the value of an integer
    length: NDArray[np.int64]  # (fields, n) bytes of a text; -1: missing
    number: NDArray[np.float64]  # (fields, n) NaN: missing or not a number

    def texts(self, path: Path) -> Texts:
        """A column of strings."""
        i = self.wanted.position[path]
        return Texts(self.data, self.start[i], self.length[i])


def scan(data: NDArray[np.uint8], start: NDArray[np.int64], length: NDArray[np.int64], wanted: Wanted) -> Scanned:
    """The wanted fields of the JSON objects that stand at these spans of `data`."""
    n, fields = len(start), len(wanted.fields)
    odd = np.zeros(n, np.bool_)
    starts = np.full((fields, n), MISSING)
    lengths = np.full((fields, n), -1)
    numbers = np.full((fields, n), np.nan)
    _scan(*wanted.table, data, start, length, odd, starts, lengths, numbers)
    odd |= (lengths[wanted.position[wanted.required]] < 0) | (length > LARGEST)
    return Scanned(wanted, data, odd, starts, lengths, numbers)


PLAIN, QUOTE, ESCAPE, CONTROL, WIDE = range(5)  # classes of a string's bytes
CLASSES = np.zeros(256, np.uint8)
CLASSES[:32] = CONTROL
CLASSES[128:] = WIDE
CLASSES[ord('"')] = QUOTE
CLASSES[ord("\\")] = ESCAPE
SHORT_ESCAPES = np.isin(np.arange(256), np.frombuffer(b'"\\/bfnrt', np.uint8))
POWERS = 10.0 ** np.arange(23)  # exact doubles, so that one division rounds once (Clinger 1990)


@njit(cache=True)
def _space(b, i, end):  # type: ignore[no-untyped-def]
    """The next byte that is no white space."""
    while i < end and (b[i] == 32 or b[i] == 10 or b[i] == 13 or b[i] == 9):
        i += 1
    return i


@njit(cache=True)
def _string(b, i, end):  # type: ignore[no-untyped-def]  # noqa: PLR0911
    """Past the string that opens at `i` (-1: malformed), and whether it is plain ASCII without escapes."""
    plain = True
    i += 1
    while i < end:
        kind = CLASSES[b[i]]
        if kind == QUOTE:
            return i + 1, plain
        if kind == CONTROL:
            return -1, False
        if kind == ESCAPE:
            plain = False
            i += 1
            if i >= end:
                return -1, False
            c = b[i]
            if c == 117:  # \uXXXX, but no surrogates: msgspec shall judge those
                if i + 4 >= end or ((b[i + 1] == 68 or b[i + 1] == 100) and b[i + 2] >= 56):
                    return -1, False
                for k in range(1, 5):
                    d = b[i + k]
                    if not (48 <= d <= 57 or 65 <= d <= 70 or 97 <= d <= 102):
                        return -1, False
                i += 4
            elif not SHORT_ESCAPES[c]:
                return -1, False
        elif kind == WIDE:
            plain = False
        i += 1
    return -1, False


@njit(cache=True)
def _number(b, i, end):  # type: ignore[no-untyped-def]
    """Past the number at `i` (-1: malformed), its digits as an integer, decimal places (-1: integer), and if exact.

    Exact: no exponent, at most 15 digits.
    """
    negative = b[i] == 45
    if negative:
        i += 1
    first = i
    digits = np.int64(0)
    while i < end and 48 <= b[i] <= 57:
        if i - first < 18:
            digits = digits * 10 + np.int64(b[i] - 48)
        i += 1
    count = i - first
    if count == 0 or (count > 1 and b[first] == 48):
        return -1, digits, -1, False
    places = -1
    if i < end and b[i] == 46:
        i += 1
        places = 0
        while i < end and 48 <= b[i] <= 57:
            if count + places < 18:
                digits = digits * 10 + np.int64(b[i] - 48)
            places += 1
            i += 1
        if places == 0:
            return -1, digits, places, False
        count += places
    exact = count <= 15
    if i < end and (b[i] == 101 or b[i] == 69):
        exact = False
        i += 1
        if i < end and (b[i] == 43 or b[i] == 45):
            i += 1
        first = i
        while i < end and 48 <= b[i] <= 57:
            i += 1
        if i == first:
            return -1, digits, places, False
    return i, -digits if negative else digits, places, exact


@njit(cache=True)
def _literal(b, i, end):  # type: ignore[no-untyped-def]
    """Past `true`, `false` or `null` at `i` (-1: something else)."""
    if i + 4 <= end:
        if b[i] == 110 and b[i + 1] == 117 and b[i + 2] == 108 and b[i + 3] == 108:
            return i + 4
        if b[i] == 116 and b[i + 1] == 114 and b[i + 2] == 117 and b[i + 3] == 101:
            return i + 4
        if i + 5 <= end and b[i] == 102 and b[i + 1] == 97 and b[i + 2] == 108 and b[i + 3] == 115 and b[i + 4] == 101:
            return i + 5
    return -1


@njit(cache=True)
def _scalar(b, i, end):  # type: ignore[no-untyped-def]
    """Past the string, number or literal at `i` (-1: malformed or none)."""
    if b[i] == 34:
        return _string(b, i, end)[0]
    if b[i] == 45 or 48 <= b[i] <= 57:
        return _number(b, i, end)[0]
    return _literal(b, i, end)


@njit(cache=True)
def _skip(b, i, end, deepest):  # type: ignore[no-untyped-def]  # noqa: PLR0911
    """Past any value at `i` (-1: malformed, or more than `deepest` levels deep)."""
    objects = np.uint64(0)  # one bit per open level: is it an object?
    depth = 0
    while True:
        if i >= end:
            return -1
        opened = False
        if b[i] == 123 or b[i] == 91:
            if depth == deepest:
                return -1
            depth += 1
            objects = (objects << np.uint64(1)) | np.uint64(b[i] == 123)
            i = _space(b, i + 1, end)
            if i >= end:
                return -1
            opened = True
        else:
            i = _scalar(b, i, end)
            if i < 0:
                return -1
        while not opened or b[i] == (125 if objects & np.uint64(1) else 93):
            if opened:  # closes what has just been opened
                i += 1
                depth -= 1
                objects >>= np.uint64(1)
                opened = False
            if depth == 0:
                return i
            i = _space(b, i, end)
            if i >= end:
                return -1
            if b[i] == 44:
                i = _space(b, i + 1, end)
                break
            if b[i] != (125 if objects & np.uint64(1) else 93):
                return -1
            opened = True
        if objects & np.uint64(1):
            if i >= end or b[i] != 34:
                return -1
            i = _string(b, i, end)[0]
            if i < 0:
                return -1
            i = _space(b, i, end)
            if i >= end or b[i] != 58:
                return -1
            i = _space(b, i + 1, end)


@njit(cache=True)
def _find(names, spans, begins, parent, b, start, length):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    """The position of the field of this name in this parent, or -1."""
    bucket = parent * (LONGEST_BUCKET + 1) + min(length, LONGEST_BUCKET)
    for k in range(begins[bucket], begins[bucket + 1]):
        if spans[k, 1] == length:
            at = spans[k, 0]
            same = True
            for j in range(length):
                if names[at + j] != b[start + j]:
                    same = False
                    break
            if same:
                return spans[k, 2]
    return np.int64(-1)


@njit(cache=True)
def _record(names, spans, begins, types, b, i, end, r, seen, starts, lengths, numbers):  # type: ignore[no-untyped-def]  # noqa: PLR0911, PLR0917
    """Read record `r` at b[i:end]; whether all of it is understood."""
    i = _space(b, i, end)
    if i >= end or b[i] != 123:
        return False
    i = _space(b, i + 1, end)
    parent = 0
    closes = i < end and b[i] == 125
    while True:
        if not closes:
            if i >= end or b[i] != 34:
                return False
            key = i + 1
            i, plain = _string(b, i, end)
            if i < 0 or not plain:
                return False
            field = _find(names, spans, begins, parent, b, key, i - 1 - key)
            i = _space(b, i, end)
            if i >= end or b[i] != 58:
                return False
            i = _space(b, i + 1, end)
            if i >= end:
                return False
            c = b[i]
            if field < 0:
                i = _skip(b, i, end, DEEPEST - 2)
            elif seen[field] == r:
                return False
            else:
                seen[field] = r
                if c == 110:
                    i = _literal(b, i, end)
                elif types[field] == 1 or types[field] == 4:
                    if c != 34:
                        return False
                    at = i + 1
                    i, plain = _string(b, i, end)
                    if not plain or i - 1 - at > LONGEST_TEXT:
                        return False
                    starts[field, r] = at
                    lengths[field, r] = i - 1 - at
                elif types[field] == 0:
                    if c != 123:
                        return False
                    i = _space(b, i + 1, end)
                    parent = field + 1
                    closes = i < end and b[i] == 125
                    continue
                elif c == 45 or 48 <= c <= 57:
                    i, digits, places, exact = _number(b, i, end)
                    if not exact or (types[field] == 2 and places >= 0):
                        return False
                    starts[field, r] = digits
                    numbers[field, r] = digits if places <= 0 else digits / POWERS[places]
                elif types[field] == 2:
                    return False
                else:
                    i = _skip(b, i, end, DEEPEST - 2)
            if i < 0:
                return False
            i = _space(b, i, end)
            if i >= end:
                return False
            if b[i] == 44:
                i = _space(b, i + 1, end)
                continue
            if b[i] != 125:
                return False
        closes = False
        i = _space(b, i + 1, end)
        if parent == 0:
            return i == end
        parent = 0
        if i >= end:
            return False
        if b[i] == 44:
            i = _space(b, i + 1, end)
        elif b[i] == 125:
            closes = True
        else:
            return False


@njit(cache=True)
def _scan(names, spans, begins, types, data, start, length, odd, starts, lengths, numbers):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    seen = np.full(types.size, -1, np.int64)
    for r in range(start.size):
        odd[r] = not _record(
            names, spans, begins, types, data, start[r], start[r] + length[r], r, seen, starts, lengths, numbers
        )
