"""Measures: what a run measures, as tables for kernels, and what a member's row says by them.

A column is a metric as one run reads it. It has one variable, a ratio two; each has a total in the members' rows, and
with CUPED another one, of the events before the entry. The words of a total, by the variable's kind:

    conversion, count           how many events
    sum, mean                   how many events | sum of their values
    funnel, funnels, retention  how many events | state before the pending events | state after them | newest of them

(see ordered.py for the last ones). A sum of values is exact, however large: above the lowest `EVENT_BITS` bits of how
many events there are stands how often it has passed 2^63; of the last ones whether some events were not read. A unit's
numbers are what is made of its totals: one per variable, then one per covariate.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from evaluation.metrics.recent import Words
from evaluation.metrics.sums import LIMIT, wrapped

CONVERSION, COUNT, SUM, MEAN, FUNNEL, FUNNELS, RETENTION = range(7)
WORDS = (1, 1, 2, 2, 4, 4, 4)  # of a total, by kind

F_FACT, F_VARIABLE, F_STEPS, F_IS_FIRST = range(4)
V_KIND, V_COLUMN, V_AT, V_PAST, V_CAP, V_FLOOR, V_UNIT, V_FACTOR, V_STEPS, V_BEGINS, V_ENDS = range(11)
C_SINCE, C_WINDOW, C_FIRST, C_VARIABLES, C_NUMBERS, C_CELL, C_WIDTH, C_RECORDED = range(8)
B_FIRST, B_SEGMENTS = range(2)

EVENTS, VALUES = 0, 1  # words of a total
EVENT_BITS = 40
FRONT, LIVE, NEWEST = 1, 2, 3
MOST_EVENTS, HOUR = 500, 3_600_000  # an ordered total reads so many of a unit's events in so many ms; see ordered.py
BUCKETS = 14  # of a lookback

NO_WINDOW = 1 << 61
NO_CAP, NO_FLOOR = 1 << 62, -(1 << 62)
YES_OR_NO = (CONVERSION, FUNNEL, RETENTION)  # kinds whose number is 0 or 1: capped by 1

_LN2 = math.log(2.0)
_HALF_ROOT = math.sqrt(0.5)


class Measures(NamedTuple):
    """`feeds`: fact, variable, which steps it is (bits), and whether it is the first of its fact in its column.
    `variables`: kind, column, where the total and the covariate's stand in a row, cap, lower cap, 10^scale and
    10^places of a log (0: none), how many steps, and of a retention the begin and end of its period after the start
    (ms). `columns`: begin (ms UTC), window (ms), first variable, how many, how many numbers, first cell, width of a
    bucket (ms, 0: no CUPED) and the time from which on buckets are whole (ms UTC). `breakdowns`: first segment and how
    many.
    """

    feeds: Words  # (feeds, 4)
    variables: Words  # (variables, 11)
    columns: Words  # (columns, 8)
    breakdowns: Words  # (breakdowns or 1, 2)


@njit(cache=True)
def quotient(total: int, count: int) -> Any:
    """total/count, rounded half to even; 0 of nothing."""
    if count == 0:
        return np.int64(0)
    floor = total // count
    return floor + _rounds_up(floor, total - floor * count, count)


@njit(cache=True)
def _rounds_up(floor: Any, rest: Any, count: int) -> bool:
    return 2 * rest > count or (2 * rest == count and floor & 1 == 1)


@njit(cache=True)
def large_quotient(passes: int, total: int, count: int) -> Any:
    """(passes 2^64 + total)/count < 2^63, rounded half to even, by long division; count < 2^`EVENT_BITS`."""
    below = passes - (1 if total < 0 else 0)
    rest = np.uint64(below - below // count * count)
    bits, by, one = np.uint64(total), np.uint64(count), np.uint64(1)
    floor = np.uint64(0)
    for shift in range(63, -1, -1):
        rest = (rest << one) | ((bits >> np.uint64(shift)) & one)
        floor <<= one
        if rest >= by:
            rest -= by
            floor |= one
    return np.int64(floor) + _rounds_up(np.int64(floor), np.int64(rest), count)


@njit(cache=True)
def events_of(word: int) -> Any:
    """How many events the first word of a total says."""
    return word & ((1 << EVENT_BITS) - 1)


@njit(cache=True)
def add_value(rows: Words, m: int, at: int, value: int, sign: int) -> None:
    """One more event with its value in the total at `at`, or one less (`sign` is -1)."""
    rows[m, at + VALUES], passes = wrapped(rows[m, at + VALUES], sign * value)
    rows[m, at + EVENTS] += sign + (passes << EVENT_BITS)


@njit(cache=True)
def is_crowded(rows: Words, m: int, measures: Measures, c: int) -> int:
    """Whether member m sent more events in some hour than an ordered total of column c reads."""
    first = measures.columns[c, C_FIRST]
    for v in range(first, first + measures.columns[c, C_VARIABLES]):
        if measures.variables[v, V_KIND] >= FUNNEL and rows[m, measures.variables[v, V_AT] + EVENTS] >> EVENT_BITS:
            return 1
    return 0


@njit(cache=True)
def can_hold(variables: Words, v: int, value: Any) -> Any:
    """Whether the variable makes a number of such a value: one beyond all limits counts as its cap, if it has one."""
    if value >= LIMIT:
        return variables[v, V_CAP] != NO_CAP
    return value > -LIMIT or variables[v, V_FLOOR] != NO_FLOOR


@njit(cache=True)
def logarithm(x: float) -> float:
    """ln x for x > 0, within 2 units in the last place, from operations that are the same on every machine.

    With x = m 2^e and 1/sqrt(2) <= m < sqrt(2): e ln 2 + 2 artanh((m - 1)/(m + 1)), by its Taylor series.
    """
    m, e = math.frexp(x)
    if m < _HALF_ROOT:
        m, e = 2.0 * m, e - 1
    z = (m - 1.0) / (m + 1.0)
    square = z * z
    series = 0.0
    for n in range(23, 0, -2):
        series = series * square + 1.0 / n
    return e * _LN2 + 2.0 * z * series


@njit(cache=True)
def number(rows: Words, m: int, at: int, variables: Words, v: int) -> Any:
    """What member m's total at `at` comes to: capped, logged; from `LIMIT` on it is withheld."""
    kind = variables[v, V_KIND]
    x = rows[m, at + EVENTS]
    if kind >= FUNNEL:
        x = rows[m, at + LIVE] & 1 if kind == RETENTION else rows[m, at + LIVE] >> 8
    elif kind >= SUM:
        passes, events = x >> EVENT_BITS, events_of(x)
        x = rows[m, at + VALUES]
        if kind == MEAN:
            x = quotient(x, events) if passes == 0 else large_quotient(passes, x, events)
        elif passes != 0:
            x = LIMIT if passes > 0 else -LIMIT
    x = max(min(x, variables[v, V_CAP]), variables[v, V_FLOOR])
    if variables[v, V_FACTOR] > 0 and abs(x) < LIMIT:
        unit = variables[v, V_UNIT]
        if unit + x <= 0:
            return np.int64(0)
        return np.int64(np.rint(logarithm((unit + x) / unit) * variables[v, V_FACTOR]))
    return x


@njit(cache=True)
def numbers(rows: Words, m: int, measures: Measures, c: int, x: Words) -> bool:
    """Member m's numbers of column c into `x`; whether none of them is withheld."""
    first, count = measures.columns[c, C_FIRST], measures.columns[c, C_VARIABLES]
    kept = True
    for i in range(count):
        v = first + i
        x[i] = number(rows, m, measures.variables[v, V_AT], measures.variables, v)
        kept = kept and abs(x[i]) < LIMIT
        if measures.columns[c, C_WIDTH] > 0:
            x[count + i] = number(rows, m, measures.variables[v, V_PAST], measures.variables, v)
            kept = kept and abs(x[count + i]) < LIMIT
    return kept


@njit(cache=True)
def first_bucket(entry: int, columns: Words, c: int) -> Any:
    """The first bucket that a member's covariate of column c covers; it ends before the entry's own bucket."""
    width = columns[c, C_WIDTH]
    whole = -(-columns[c, C_RECORDED] // width)
    return max(entry // width - BUCKETS, whole)


@njit(cache=True)
def is_looked_back(entry: int, columns: Words, c: int) -> bool:
    """Whether events were kept for the whole lookback before the entry."""
    width = columns[c, C_WIDTH]
    return width > 0 and (entry // width - BUCKETS) * width >= columns[c, C_RECORDED]
