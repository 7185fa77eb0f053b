"""Running: what judgements rest on, as columns: NaN where there is no number.

Of a sequential test all looks so far together: the smallest p, the intersection of the intervals. Of a fixed-horizon
test the first look with the planned units. A Bayesian reading has no more than the look itself.
"""

from collections.abc import Sequence

import numpy as np

from evaluation.columns.arrays import Floats, Mask
from evaluation.significance.intervals import Intervals
from evaluation.significance.procedures import Procedures
from schemas.look import FIXED, Cell


class Running:
    """One value per comparison. `is_empty`: intervals of different looks exclude each other."""

    def __init__(
        self, procedures: Procedures, said: Intervals, is_planned: Mask, before: Sequence[Cell | None]
    ) -> None:
        """`is_planned`: the planned units are in; `before` are the cells of the last look, None where it starts."""
        is_fixed = np.isin(procedures.method, FIXED)
        was_p_value = _of([None if each is None else each.running_p_value for each in before])
        starts = np.array([each is None for each in before], np.bool_) | (procedures.method == "bayesian")
        starts |= is_fixed & np.isnan(was_p_value)
        is_read = ~is_fixed | is_planned

        def running(was: Floats, now: Floats, beyond: Mask) -> Floats:
            """`beyond`: where `now` says more than `was`."""
            so_far = np.where(~is_fixed & (np.isnan(was) | beyond), now, was)
            return np.where(starts, np.where(is_read, now, np.nan), so_far)

        def largest(was: Floats, now: Floats) -> Floats:
            return running(was, now, now > was)

        def smallest(was: Floats, now: Floats) -> Floats:
            return running(was, now, now < was)

        self.p_value = smallest(was_p_value, said.p_value)
        self.lower = largest(_of([None if each is None else each.running_lower for each in before]), said.lower)
        self.upper = smallest(_of([None if each is None else each.running_upper for each in before]), said.upper)
        self.relative_lower = largest(
            _of([None if each is None else each.running_relative_lower for each in before]), said.relative_lower
        )
        self.relative_upper = smallest(
            _of([None if each is None else each.running_relative_upper for each in before]), said.relative_upper
        )
        self.is_empty = self.lower > self.upper
        self.is_empty |= (procedures.method == "exact") & (self.relative_lower > self.relative_upper)


def _of(numbers: Sequence[float | None]) -> Floats:
    return np.array(numbers, np.float64)
