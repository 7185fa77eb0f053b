"""Seen: which different values, or days, the events of a member have had, each with how many events have it.

Theory of operation. Values stand in one hash table by member, variable and value, so an event costs the same however
many a unit has, and may be taken back. A total that is counted anew has another generation: what was seen before is
not found any more, and is gone when the table is moved into another.
"""

from typing import Any

from numba import njit

from evaluation.columns.arrays import Words
from evaluation.columns.hash_table import fingerprint, place
from evaluation.metrics.layouts import ListCounts, SeenValues, Variables
from evaluation.metrics.measures import DIFFERENT, EVENTS, GENERATION

DAY = 86_400_000  # ms
_MEMBER, _VARIABLE = 32, 20  # bits from which on they stand
_GENERATIONS = (1 << _VARIABLE) - 1
_VARIABLES = (1 << _MEMBER - _VARIABLE) - 1


@njit(cache=True)
def see(rows: Words, m: int, at: int, v: int, seen: SeenValues, counts: ListCounts, value: int, sign: int) -> None:  # noqa: PLR0917
    """One more event with that value for the total at `at` of variable v, or one less (`sign` is -1)."""
    rows[m, at + EVENTS] += sign
    unit = (m << _MEMBER) | (v << _VARIABLE) | (rows[m, at + GENERATION] & _GENERATIONS)
    word = (value << 1) | 1
    p = place(seen, fingerprint(unit, 0, word), unit, word, 0)
    if seen[p].word == 0:
        seen[p].unit, seen[p].word = unit, word
        counts[0].seen += 1
    before = seen[p].events
    seen[p].events = before + sign
    rows[m, at + DIFFERENT] += (1 if before + sign > 0 else 0) - (1 if before > 0 else 0)


@njit(cache=True)
def forget(rows: Words, m: int, at: int) -> None:
    """The total at `at` has seen nothing."""
    rows[m, at + GENERATION] += 1
    rows[m, at + DIFFERENT] = 0


@njit(cache=True)
def refill(rows: Words, variables: Variables, before: SeenValues, numbers: Words, seen: SeenValues) -> Any:
    """Move what still counts into another table that is empty; `numbers` are those that variables have now, or -1.

    Returns: how many values there are.
    """
    n = 0
    for i in range(before.shape[0]):
        its = before[i]
        if its.word == 0 or its.events == 0:
            continue
        m, v = its.unit >> _MEMBER, numbers[(its.unit >> _VARIABLE) & _VARIABLES]
        if v < 0 or rows[m, variables[v].at + GENERATION] & _GENERATIONS != its.unit & _GENERATIONS:
            continue
        unit = (m << _MEMBER) | (v << _VARIABLE) | (its.unit & _GENERATIONS)
        p = place(seen, fingerprint(unit, 0, its.word), unit, its.word, 0)
        seen[p].unit, seen[p].word, seen[p].events = unit, its.word, its.events
        n += 1
    return n
