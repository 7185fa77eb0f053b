"""Moments: times of JSON, in the units that programs write, as milliseconds since 1970 UTC, by columns.

A number may stand in quotes. ISO 8601 has a date, and unless it is a date alone, a time of day behind `T` or a blank:
hours and minutes, seconds and their fraction after a point or a comma if there are, and `Z` or an offset (+01:00,
+0100, +01); without one it is UTC. What is finer than a millisecond is cut off, towards the past.

The kernel leaves numbers with an exponent, and the largest, to `moment_of`: both agree.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np
from numba import njit

from evaluation.columns.arrays import Mask, Words
from evaluation.columns.memory import byte_at, word_at
from evaluation.columns.texts import Texts
from schemas.source import TimeUnit

PER_UNIT: dict[TimeUnit, tuple[int, int]] = {  # milliseconds of a unit, and units of a millisecond
    "s": (1_000, 1),
    "ms": (1, 1),
    "us": (1, 1_000),
    "ns": (1, 1_000_000),
}
BOUND = 1 << 62  # beyond what any time may be
LARGEST_TENTH = 922_337_203_685_477_580  # below which one more digit fits
GOOD, NONE, ASK = 0, 1, 2
NO_DAY = -(1 << 40)
_NUMBER = re.compile(rb"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")
_ISO = re.compile(
    rb"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    rb"(?:[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]+))?)?([Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moments(texts: Texts, unit: TimeUnit) -> tuple[Words, Mask]:
    """The moments (ms UTC) that these JSON values say, and which of them say one; what is missing says none."""
    times, said = np.zeros(len(texts), np.int64), np.full(len(texts), NONE, np.int8)
    if unit == "iso8601":
        _iso(texts.data, texts.start, texts.length, times, said)
    else:
        _numbers(texts.data, texts.start, texts.length, *PER_UNIT[unit], times, said)
    for i in np.flatnonzero(said == ASK).tolist():
        start, length = int(texts.start[i]), int(texts.length[i])
        moment = moment_of(texts.data[start : start + length].tobytes(), unit)
        times[i], said[i] = moment or 0, NONE if moment is None else GOOD
    return times, said == GOOD


def moment_of(value: bytes, unit: TimeUnit) -> int | None:
    """The moment (ms UTC, within ±2^62) that one JSON value says; None: it says none."""
    text = value[1:-1] if value[:1] == b'"' else value
    read: Callable[[bytes], int | None] = _iso_of if unit == "iso8601" else lambda each: _number_of(each, unit)
    moment = read(text)
    return None if moment is None else min(max(moment, -BOUND), BOUND)


def _number_of(text: bytes, unit: TimeUnit) -> int | None:
    if not _NUMBER.fullmatch(text):
        return None
    times, per = PER_UNIT[unit]
    try:
        number = Decimal(text.decode())
        return BOUND if number.adjusted() > 30 else int((number * times / per).__floor__())
    except (InvalidOperation, ArithmeticError):
        return None


def _iso_of(text: bytes) -> int | None:
    found = _ISO.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second = (int(each or 0) for each in found.groups()[:6])
    fraction, zone = found[7] or b"", found[8] or b"Z"
    offset = 0
    if zone not in {b"Z", b"z"}:
        digits = zone[1:].replace(b":", b"").ljust(4, b"0")
        if int(digits[:2]) > 23 or int(digits[2:]) > 59:
            return None
        offset = (int(digits[:2]) * 60 + int(digits[2:])) * (-1 if zone[:1] == b"-" else 1)
    try:
        date = datetime(year, month, day, tzinfo=UTC)
    except ValueError:
        return None
    if hour > 23 or minute > 59 or second > 60:
        return None
    whole = (date - _EPOCH) // timedelta(seconds=1) + (hour * 60 + minute - offset) * 60 + second
    return whole * 1_000 + int(fraction[:3].ljust(3, b"0"))


@njit(cache=True)
def _numbers(b, start, length, times_of, per, times, said):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    for r in range(start.size):
        i, end = start[r], start[r] + length[r]
        if length[r] >= 2 and byte_at(b, i) == 34:
            i += 1
            end -= 1
        if i >= end:
            continue
        negative = byte_at(b, i) == 45
        i += negative
        first = i
        whole = np.int64(0)
        while i < end and 48 <= byte_at(b, i) <= 57 and whole < LARGEST_TENTH:
            whole = whole * 10 + np.int64(byte_at(b, i) - 48)
            i += 1
        if i == first:
            continue
        part, scale = np.int64(0), np.int64(1)
        has_more: Any = False  # digits behind the third that are not 0: they count below zero alone
        if i + 1 < end and byte_at(b, i) == 46 and 48 <= byte_at(b, i + 1) <= 57:
            i += 1
            while i < end and 48 <= byte_at(b, i) <= 57:
                if scale < 1_000:
                    part = part * 10 + np.int64(byte_at(b, i) - 48)
                    scale *= 10
                else:
                    has_more |= byte_at(b, i) != 48
                i += 1
        if i < end:
            if 48 <= byte_at(b, i) <= 57 or byte_at(b, i) | 32 == 101:
                said[r] = ASK
            continue
        if whole > 4_000_000_000_000_000 and times_of > 1:
            said[r] = ASK
            continue
        thousandths = part * (1_000 // scale)
        if times_of > 1:
            moment = whole * times_of + thousandths
            is_cut = has_more
        else:
            moment = whole // per
            is_cut = has_more or thousandths > 0 or whole % per > 0
        times[r] = -moment - (1 if is_cut else 0) if negative else moment
        said[r] = GOOD


@njit(cache=True, forceinline=True)
def _two(b, i):  # type: ignore[no-untyped-def]
    """The number that two digits make at byte_at(b, i), or -1."""
    if 48 <= byte_at(b, i) <= 57 and 48 <= byte_at(b, i + 1) <= 57:
        return np.int64(byte_at(b, i) - 48) * 10 + np.int64(byte_at(b, i + 1) - 48)
    return np.int64(-1)


@njit(cache=True)
def _days(b, i):  # type: ignore[no-untyped-def]
    """Days since 1970 of the date at b[i], or `NO_DAY`."""
    century, years, month, day = _two(b, i), _two(b, i + 2), _two(b, i + 5), _two(b, i + 8)
    if century < 0 or years < 0 or byte_at(b, i + 4) != 45 or byte_at(b, i + 7) != 45:
        return NO_DAY
    year = century * 100 + years
    is_leap = (year % 4 == 0 and year % 100 != 0) or year % 400 == 0
    days = 28 + is_leap if month == 2 else 30 if month in (4, 6, 9, 11) else 31
    if year < 1 or not 1 <= month <= 12 or not 1 <= day <= days:
        return NO_DAY
    y = year - (month <= 2)  # years that begin in March (Hinnant, days_from_civil)
    of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
    return 365 * y + y // 4 - y // 100 + y // 400 + of_year - 719_468


@njit(cache=True)
def _iso(b, start, length, times, said):  # type: ignore[no-untyped-def]
    month_of = np.uint64(0)  # the last date, for most are the same as the one before: eight bytes and two digits
    tens = ones = np.uint8(0)
    days = np.int64(NO_DAY)
    for r in range(start.size):
        i, end = start[r], start[r] + length[r]
        if length[r] < 12 or byte_at(b, i) != 34:  # quotes and a date
            continue
        i += 1
        end -= 1
        if word_at(b, i) != month_of or byte_at(b, i + 8) != tens or byte_at(b, i + 9) != ones:
            days = _days(b, i)
            month_of, tens, ones = word_at(b, i), byte_at(b, i + 8), byte_at(b, i + 9)
        if days == NO_DAY:
            continue
        seconds = days * 86_400
        i += 10
        thousandths = np.int64(0)
        if i < end:
            if end - i < 6 or not (byte_at(b, i) | 32 == 116 or byte_at(b, i) == 32) or byte_at(b, i + 3) != 58:
                continue
            hour, minute, second = _two(b, i + 1), _two(b, i + 4), np.int64(0)
            i += 6
            if i < end and byte_at(b, i) == 58:
                if end - i < 3:
                    continue
                second = _two(b, i + 1)
                i += 3
                if i + 1 < end and byte_at(b, i) in (44, 46) and 48 <= byte_at(b, i + 1) <= 57:
                    i += 1
                    scale = 100
                    while i < end and 48 <= byte_at(b, i) <= 57:
                        thousandths += np.int64(byte_at(b, i) - 48) * scale
                        scale //= 10
                        i += 1
            if not (0 <= hour <= 23 and 0 <= minute <= 59 and 0 <= second <= 60):
                continue
            seconds += hour * 3_600 + minute * 60 + second
            if i < end and byte_at(b, i) | 32 == 122:
                i += 1
            elif i < end and byte_at(b, i) in (43, 45):
                if end - i < 3:
                    continue
                sign = -1 if byte_at(b, i) == 45 else 1
                hours, minutes = _two(b, i + 1), np.int64(0)
                i += 3
                if i < end:
                    i += byte_at(b, i) == 58
                    if end - i != 2:
                        continue
                    minutes = _two(b, i)
                    i += 2
                if not (0 <= hours <= 23 and 0 <= minutes <= 59):
                    continue
                seconds -= sign * (hours * 60 + minutes) * 60
        if i == end:
            times[r] = seconds * 1_000 + thousandths
            said[r] = GOOD
