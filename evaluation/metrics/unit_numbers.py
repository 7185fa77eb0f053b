"""Unit numbers: what each member of a run came to by one metric, read from its row as the sums were made of it."""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from evaluation.columns.arrays import Words
from evaluation.metrics import measures as of
from evaluation.metrics.kernels.members import FLAGS, JUMPER, MOST_NUMBERS, REASSIGNED, Members
from evaluation.metrics.layouts import Heads
from evaluation.metrics.measures import Measures
from evaluation.metrics.member_store import MemberStore
from schemas.units import SEGMENT_BITS


class UnitNumbers(NamedTuple):
    """Of each member: `arm` is an index into `arms` (allocation, variant), `numbers` are those of the live reading.

    A jumper's numbers are none, and neither are those of a unit that the column does not cover or whose number is
    withheld: `counts` is False of them. `steps` is how many steps of a funnel the unit has done, in order: all of them
    once it has done so once. Numbers are in units of 10^-places.
    """

    arms: list[tuple[int, str]]
    unit: NDArray[np.uint64]
    entry: NDArray[np.int64]  # ms UTC
    arm: NDArray[np.int64]
    segments: NDArray[np.int64]
    is_jumper: NDArray[np.bool_]
    is_reassigned: NDArray[np.bool_]
    counts: NDArray[np.bool_]
    numbers: NDArray[np.int64]  # (members, variables)
    steps: NDArray[np.int64]

    def are_in(self, breakdown: int, code: int) -> NDArray[np.bool_]:
        """Which members were in the segment of that code of a breakdown, when they entered."""
        return np.asarray((self.segments >> (SEGMENT_BITS * breakdown)) & ((1 << SEGMENT_BITS) - 1) == code)


def unit_numbers(store: MemberStore, column: int | None, arms: list[tuple[int, str]]) -> UnitNumbers:
    """What the members of a store came to by one of its columns; None: who they are, and no numbers."""
    n = int(store.counts[0].members)
    variables = 0 if column is None else len(store.columns[column].variables)
    numbers, steps = np.zeros((n, variables), np.int64), np.zeros(n, np.int64)
    counts = np.zeros(n, np.bool_)
    if column is not None:
        _read(store.tables, n, store.measures, column, numbers, steps, counts)
    heads: Heads = store.heads
    state = heads["state"]
    return UnitNumbers(
        arms=list(arms),
        unit=heads["unit"].copy().view(np.uint64),
        entry=heads["entry"].copy(),
        arm=state >> FLAGS,
        segments=heads["segments"].copy(),
        is_jumper=(state & JUMPER) != 0,
        is_reassigned=(state & REASSIGNED) != 0,
        counts=counts,
        numbers=numbers,
        steps=steps,
    )


@njit(cache=True)
def _read(  # type: ignore[no-untyped-def]  # noqa: PLR0917
    store: Members, n: int, measures: Measures, c: int, numbers: Words, steps: Words, counts
) -> None:
    rows, heads, column = store.rows, store.heads, measures.columns[c]
    variable = measures.variables[column.first]
    x = np.empty(MOST_NUMBERS, np.int64)
    for m in range(n):
        if heads[m].state & JUMPER or heads[m].entry < column.since:
            continue
        counts[m] = of.numbers(rows, m, measures, c, x)
        for v in range(column.variables):
            numbers[m, v] = x[v]
        if variable.kind in (of.FUNNEL, of.FUNNELS):
            reached = rows[m, variable.at + of.REACHED]
            steps[m] = variable.steps if reached >> 8 else reached & 0xFF
