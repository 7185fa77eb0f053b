"""Measures: what a run measures, as tables for kernels, and what a member's row says by them.

A column is a metric as one run reads it. It has one variable, a ratio two; each has a total in the members' rows, and
with CUPED another one, of the events before the entry. So has each variable of another metric whose past explains a
part of it: such ones stand behind its own, and only events before the entry feed them. The words of a total, by the
variable's kind:

    conversion, count           EVENTS: how many
    values                      EVENTS | LIST: the first of them, by bucket (see kernels/spread.py)
    distinct                    EVENTS | GENERATION | DIFFERENT: how many (see kernels/seen.py)
    sum, mean                   EVENTS | VALUES: their sum
    funnel, funnels, retention  EVENTS | FRONT: state before the pending events | REACHED: after them | NEWEST of them

(see ordered.py for the last ones). A sum of values is exact, however large: above the lowest `EVENT_BITS` bits of how
many events there are stands how often it has passed 2^63; of the last ones whether some events were not read. A unit's
numbers are what is made of its totals: one per variable, then one per covariate, its own first.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from evaluation.columns.arrays import Words
from evaluation.metrics.layouts import Breakdowns, Feeds, MetricColumns, Variables
from evaluation.metrics.sums import LIMIT, wrapped

CONVERSION, COUNT, LISTED, DISTINCT, DAYS, SUM, MEAN, FUNNEL, FUNNELS, RETENTION = range(10)
WORDS = (1, 1, 2, 3, 3, 2, 2, 4, 4, 4)  # of a total, by kind
UNSPREAD, OF_UNITS, OF_EVENTS = range(3)  # whose values a column's spread is of

EVENTS, VALUES = 0, 1  # words of a total
LIST = 1
GENERATION, DIFFERENT = 1, 2
EVENT_BITS = 40
FRONT, REACHED, NEWEST = 1, 2, 3
MOST_EVENTS, HOUR = 500, 3_600_000  # an ordered total reads so many of a unit's events in so many ms; see ordered.py
BUCKETS = 14  # of a lookback

NO_WINDOW = NO_END = 1 << 61
NO_CAP, NO_FLOOR = 1 << 62, -(1 << 62)
YES_OR_NO = (CONVERSION, FUNNEL, RETENTION)  # kinds whose number is 0 or 1: capped by 1

_LN2 = math.log(2.0)
_HALF_ROOT = math.sqrt(0.5)


class Measures(NamedTuple):
    """What a run measures; see layouts.py."""

    feeds: Feeds
    variables: Variables
    columns: MetricColumns
    breakdowns: Breakdowns  # without any there is one, of one segment
    ends: int  # no event counts from this time on (ms UTC)


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
    column = measures.columns[c]
    for v in range(column.first, column.first + column.variables):
        if measures.variables[v].kind >= FUNNEL and rows[m, measures.variables[v].at + EVENTS] >> EVENT_BITS:
            return 1
    return 0


@njit(cache=True)
def can_hold(variable: Any, value: Any) -> Any:
    """Whether the variable makes a number of such a value: one beyond all limits counts as its cap, if it has one."""
    if value >= LIMIT:
        return variable.cap != NO_CAP
    return value > -LIMIT or variable.floor != NO_FLOOR


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
def number(rows: Words, m: int, at: int, variable: Any) -> Any:
    """What member m's total at `at` comes to: capped, logged; from `LIMIT` on it is withheld."""
    x = rows[m, at + EVENTS]
    if variable.kind >= FUNNEL:
        x = rows[m, at + REACHED] & 1 if variable.kind == RETENTION else rows[m, at + REACHED] >> 8
    elif variable.kind in (DISTINCT, DAYS):
        x = rows[m, at + DIFFERENT]
    elif variable.kind >= SUM:
        passes, events = x >> EVENT_BITS, events_of(x)
        x = rows[m, at + VALUES]
        if variable.kind == MEAN:
            x = quotient(x, events) if passes == 0 else large_quotient(passes, x, events)
        elif passes != 0:
            x = LIMIT if passes > 0 else -LIMIT
    x = max(min(x, variable.cap), variable.floor)
    if variable.precision > 0 and abs(x) < LIMIT:
        if variable.scale + x <= 0:
            return np.int64(0)
        return np.int64(np.rint(logarithm((variable.scale + x) / variable.scale) * variable.precision))
    return x


@njit(cache=True)
def numbers(rows: Words, m: int, measures: Measures, c: int, x: Words) -> bool:
    """Member m's numbers of column c into `x`; whether none of them is withheld."""
    column = measures.columns[c]
    count = column.variables
    kept = True
    for i in range(count):
        variable = measures.variables[column.first + i]
        x[i] = number(rows, m, variable.at, variable)
        kept = kept and abs(x[i]) < LIMIT
        if column.own > 0:
            x[count + i] = number(rows, m, variable.covariate, variable)
            kept = kept and abs(x[count + i]) < LIMIT
    for i in range(column.others):
        variable = measures.variables[column.first + count + i]
        x[count + column.own + i] = number(rows, m, variable.covariate, variable)
        kept = kept and abs(x[count + column.own + i]) < LIMIT
    return kept


@njit(cache=True)
def first_bucket(entry: int, column: Any) -> Any:
    """The first bucket that a member's covariate of a column covers; it ends before the entry's own bucket."""
    whole = -(-column.recorded // column.width)
    return max(entry // column.width - BUCKETS, whole)


@njit(cache=True)
def is_looked_back(entry: int, column: Any) -> Any:
    """Whether events were kept for the whole lookback before the entry."""
    return column.width > 0 and (entry // column.width - BUCKETS) * column.width >= column.recorded
