"""Scanning: the wanted fields of many JSON objects as columns, in one pass over their bytes, with no object for each.

Theory of operation. One kernel walks each record's bytes, checks the whole grammar, notes where the wanted strings
stand and computes the wanted numbers. It takes only what it is sure of: escapes in keys or wanted strings, numbers
beyond 15 digits or with an exponent, repeated fields, wrong types, deep nesting and everything malformed make the
record *odd*. An odd record is read by msgspec, on its own, which gives the value or the words that say what is wrong
with it. What the kernel does take, it takes as msgspec would (a test compares them): which of the two reads a record
depends on its bytes alone. What the kernel calls for a token (see tokens.py) is compiled into it: a call would cost
half as much again.
"""

import re
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from math import nan
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from evaluation.columns.memory import PADDING, byte_at
from evaluation.columns.nesting import DEEPEST
from evaluation.columns.texts import Texts
from evaluation.columns.tokens import (
    AFTER,
    CONTENT,
    IS_SPACE,
    KEY,
    POWERS,
    find_field,
    is_utf8,
    name_table,
    read_number,
    read_quoted,
    read_string,
    read_word,
)
from schemas.numbers import DECIMAL

MISSING = np.iinfo(np.int64).min  # an integer that is not there
LONGEST_TEXT = 1024  # characters, as Amplitude limits them
LARGEST_OBJECT = 1_000_000  # bytes of one object


class Type(IntEnum):
    """What a wanted field must be; `null` is the same as no field."""

    OBJECT = 0  # holds other wanted fields
    TEXT = 1
    INTEGER = 2
    NUMBER = 3  # or a text that is one (see `plain_number`); anything else is taken as no number
    FIRST = 4  # a text, or the first of a list of texts
    VALUE = 5  # anything, as the JSON that writes it; and a number, as NUMBER has it


TEXTS = (Type.TEXT, Type.FIRST, Type.VALUE)  # those that are read as texts
NUMBERS = (Type.NUMBER, Type.VALUE)  # and as numbers


def first_text(value: str | list[str] | None) -> str | None:
    """What a field of type FIRST says."""
    return (value[0] if value else None) if isinstance(value, list) else value


_PLAIN = re.compile(f'" *{DECIMAL} *"'.encode())


def plain_number(value: bytes) -> float:
    """The number that a JSON value is, or that stands in quotes (blanks around it); beyond doubles infinite, else NaN.

    Whatever could be read in two ways is none: `7,25`, `1 099.00`, `$7`. A text with escapes is none either.
    """
    if value[:1] == b'"':
        return float(value[1:-1]) if _PLAIN.fullmatch(value) else nan
    return float(value) if value[:1] in _DIGITS else nan


_DIGITS = frozenset(bytes([each]) for each in b"-0123456789")


@dataclass(frozen=True)
class Wanted:
    """The fields to read. A path of two names lies in an object, which is wanted too."""

    fields: dict[tuple[str, ...], Type]
    required: tuple[str, ...] | None  # a text at the top that every message must have

    def __hash__(self) -> int:
        return hash(tuple(self.fields.items()))

    @cached_property
    def position(self) -> dict[tuple[str, ...], int]:
        """Each field's row in the columns."""
        return {path: i for i, path in enumerate(self.fields)}

    @cached_property
    def table(self) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """For the kernel: names' bytes; (start, length, position) by parent and length; where each begins; types.

        Parent 0 is the record, parent i + 1 the field at position i.
        """
        parents = {(): 0} | {path: i + 1 for path, i in self.position.items()}
        named = [(parents[path[:-1]], path[-1], i) for path, i in self.position.items()]
        return *name_table(named, len(parents)), np.array([*self.fields.values()], np.int64)


@dataclass(frozen=True, slots=True)
class Scanned:
    """Columns of n records. Where `odd` is true they say nothing."""

    wanted: Wanted
    data: NDArray[np.uint8]
    odd: NDArray[np.bool_]  # (n,)
    start: NDArray[np.int64]  # (fields, n) first byte of a text; the value of an integer
    length: NDArray[np.int64]  # (fields, n) bytes of a text; -1: missing
    number: NDArray[np.float64]  # (fields, n) NaN: missing or no number

    def texts(self, path: tuple[str, ...]) -> Texts:
        """A column of strings."""
        i = self.wanted.position[path]
        return Texts(self.data, self.start[i], self.length[i])


def scan(source: NDArray[np.uint8], start: NDArray[np.int64], length: NDArray[np.int64], wanted: Wanted) -> Scanned:
    """The wanted fields of the JSON objects that stand at these spans of `source`."""
    data = np.concatenate([source, np.zeros(PADDING, np.uint8)])
    data.flags.writeable = False
    n, fields = len(start), len(wanted.fields)
    odd = np.zeros(n, np.bool_)
    starts = np.full((fields, n), MISSING)
    lengths = np.full((fields, n), -1)
    numbers = np.full((fields, n), np.nan)
    _scan(*wanted.table, data, start, length, odd, starts, lengths, numbers)
    odd |= length > LARGEST_OBJECT
    if wanted.required:
        odd |= lengths[wanted.position[wanted.required]] < 0
    return Scanned(wanted, data, odd, starts, lengths, numbers)


OBJECT, TEXT, INTEGER, NUMBER, FIRST, VALUE = map(int, Type)


@njit(cache=True)
def _scan(names, spans, begins, types, b, start, length, odd, starts, lengths, numbers):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    """One loop, in which every token is looked at once; a record that breaks one of these rules stays odd.

    `b` is padded with zeros, at which every token ends. A byte behind a record, of the next one or of the padding, may
    be read but never taken: whoever passes the end is found out at the end.

    1. Between tokens there may be white space.
    2. A string is closed before the end of the record.
    3. Where a key is due, a string is one, and a colon follows. Where keys name fields it has no escapes, and a field
       comes once.
    4. Elsewhere a string is a value, within the record. Of a wanted one it is noted where it stands, and the number
       that it is; it is UTF-8, as a text without escapes and not too long, and of no other type.
    5. Behind a value comes a comma, then a key in an object and a value in a list; or the end of whichever is open.
    6. A field of type VALUE that is an object or a list ends with it, and is UTF-8.
    7. Behind the end of the record there is nothing more.
    8. Where a key is due, nothing but a string comes.
    9. An object or a list opens no deeper than DEEPEST, the record as an object. A wanted one is of type OBJECT and an
       object, whose keys then name fields, or of type VALUE.
    10. A number is a value, within the record; a wanted one has few enough digits to be exact, and is no text.
    11. So is a word; `null` is as good as nothing, and the others are for VALUE, or are no NUMBER.
    """
    seen = np.full(types.size, -1, np.int64)
    for r in range(start.size):
        odd[r] = True
        i = start[r]
        end = i + length[r]
        objects = np.uint64(0)  # one bit for each open level: is it an object?
        depth = 0
        parent = -1  # whose wanted fields the keys name: 0 the record's, i + 1 those of field i; -1: nobody's
        second = -1  # the parent of the second level
        held: Any = np.int64(-1)  # the field of type VALUE whose object or list is open, at level `held_depth`
        held_depth = 0
        field: Any = np.int64(-1)  # of the value that comes next
        expected = CONTENT
        while i < end:
            c: Any = byte_at(b, i)
            if c <= 32:
                if not IS_SPACE[c]:  # 1
                    break
                i += 1
            elif c == 34:
                at = i + 1
                i, is_wide, is_escaped = read_string(b, at, end)
                if i >= end:  # 2
                    break
                if expected == KEY:  # 3
                    field = np.int64(-1)
                    if parent >= 0:
                        if is_escaped:
                            break
                        field = find_field(names, spans, begins, parent, b, at, i - at)
                        if field >= 0:
                            if seen[field] == r:
                                break
                            seen[field] = r
                    i += 1
                    while IS_SPACE[byte_at(b, i)]:
                        i += 1
                    if byte_at(b, i) != 58:
                        break
                    i += 1
                    expected = CONTENT
                    continue
                if expected != CONTENT or depth == 0:  # 4
                    break
                if field >= 0:
                    if is_wide and not is_utf8(b, at, i):
                        break
                    if types[field] == TEXT or types[field] == FIRST:
                        if is_escaped or i - at > LONGEST_TEXT:
                            break
                        starts[field, r] = at
                        lengths[field, r] = i - at
                    elif types[field] == VALUE or types[field] == NUMBER:
                        if not is_escaped:
                            numbers[field, r], is_unsure = read_quoted(b, at, i)
                            if is_unsure:
                                break
                        if types[field] == VALUE:
                            starts[field, r] = at - 1
                            lengths[field, r] = i - at + 2
                    elif types[field] == OBJECT or types[field] == INTEGER:
                        break
                i += 1
                expected = AFTER
            elif expected == AFTER:  # 5
                is_object = objects & np.uint64(1)
                if c == 44:
                    i += 1
                    expected = KEY if is_object else CONTENT
                    field = np.int64(-1)
                elif c == (125 if is_object else 93):
                    i += 1
                    objects >>= np.uint64(1)
                    depth -= 1
                    if held >= 0 and depth == held_depth:  # 6
                        if not is_utf8(b, starts[held, r], i):
                            break
                        lengths[held, r] = i - starts[held, r]
                        held = np.int64(-1)
                    if depth == 0:  # 7
                        while i < end and IS_SPACE[byte_at(b, i)]:
                            i += 1
                        odd[r] = i != end
                        break
                    parent = 0 if depth == 1 else second if depth == 2 else -1
                else:
                    break
            elif expected == KEY:  # 8
                break
            elif c | 32 == 123:  # 9: { or [
                if depth == DEEPEST or (depth == 0 and c == 91):
                    break
                if field >= 0 and types[field] != VALUE:
                    if types[field] != OBJECT or c == 91:
                        break
                    parent = second = field + 1
                else:
                    if field >= 0:
                        held = field
                        held_depth = depth
                        starts[field, r] = i
                    parent = 0 if depth == 0 else -1
                    if depth == 1:
                        second = -1
                depth += 1
                is_object = c == 123
                objects = (objects << np.uint64(1)) | np.uint64(is_object)
                field = np.int64(-1)
                i += 1
                while IS_SPACE[byte_at(b, i)]:
                    i += 1
                if byte_at(b, i) == (125 if is_object else 93):
                    expected = AFTER  # it is empty
                elif is_object:
                    expected = KEY
                else:
                    expected = CONTENT
            elif depth == 0:  # 10, 11
                break
            elif c == 45 or 48 <= c <= 57:  # 10
                at = i
                i, digits, places, is_integer, is_exact = read_number(b, i)
                if i < 0:
                    break
                if field >= 0:
                    if not is_exact or types[field] == TEXT or types[field] == FIRST or types[field] == OBJECT:
                        break
                    if types[field] == INTEGER and not is_integer:
                        break
                    if types[field] == VALUE:
                        starts[field, r] = at
                        lengths[field, r] = i - at
                    else:
                        starts[field, r] = digits
                    numbers[field, r] = digits / POWERS[places]
                expected = AFTER
            else:  # 11
                size = read_word(b, i)
                if size == 0:
                    break
                if field >= 0 and c != 110:
                    if types[field] == VALUE:
                        starts[field, r] = i
                        lengths[field, r] = size
                    elif types[field] != NUMBER:
                        break
                i += size
                expected = AFTER
