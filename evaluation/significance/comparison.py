"""Comparison: one metric, one treatment against control, one reading; and what the sums say of many of them at once.

A run's allocations are strata: each has its own weights, so pooling them would compare units of different times
(Simpson's paradox). Moments are kept per allocation e and combined with w_e = N_e/N over the allocations that had both
arms: D = sum w_e D_e, V = sum w_e^2 V_e.

N D is a sum over units, so a martingale under the null whatever allocations came before, and its variance N^2 V is the
clock that the mixture runs on. Units count in the measure of the first allocation that had enough of them: `units` is
N^2 V over that allocation's N_e V_e. With one allocation it is N.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from evaluation.significance import gates
from evaluation.significance.moments import (
    Floats,
    Integers,
    difference,
    integers,
    mean,
    variance_of_mean,
    variance_of_share,
    weighted,
)


class Arm(msgspec.Struct, frozen=True, gc=False):
    """Exact sums of one arm: units, units with a non-zero total, sum of quantised totals and of their squares."""

    n: int = 0
    nonzero: int = 0
    sum: int = 0
    sum_squares: int = 0

    def __add__(self, other: "Arm") -> "Arm":
        return Arm(
            self.n + other.n, self.nonzero + other.nonzero, self.sum + other.sum, self.sum_squares + other.sum_squares
        )


class Comparison(msgspec.Struct, frozen=True):
    """`treatment` and `control` hold all units; `strata` the pairs of each allocation that gave both a weight.

    `scale` is the number of decimal places of the quantised totals; a conversion's totals are 0 and 1.
    """

    treatment: Arm
    control: Arm
    strata: list[tuple[Arm, Arm]]
    scale: int
    is_conversion: bool


@dataclass(frozen=True, slots=True)
class Differences:
    """Arrays, one value per comparison; NaN where two units in each arm of some allocation are missing."""

    n: Floats  # units that the difference rests on
    control_n: Floats
    nonzero: Floats
    control_nonzero: Floats
    mean: Floats
    control_mean: Floats
    control_variance: Floats  # of the mean
    difference: Floats
    variance: Floats  # of the difference
    units: Floats  # the mixture's clock


def differences(comparisons: Sequence[Comparison]) -> Differences:
    """Every comparison's difference and what it rests on."""
    count = len(comparisons)
    rows = [
        (index, treatment, control, 10**comparison.scale, comparison.is_conversion)
        for index, comparison in enumerate(comparisons)
        for treatment, control in comparison.strata
        if min(treatment.n, control.n) >= 2
    ]
    group = np.array([row[0] for row in rows], np.int64)
    unit = integers(row[3] for row in rows)
    is_conversion = np.array([row[4] for row in rows], np.bool_)
    treatment, control = _Arms([row[1] for row in rows]), _Arms([row[2] for row in rows])

    n, control_n = treatment.n.astype(np.float64), control.n.astype(np.float64)
    per_row = np.ones(len(rows))
    row_pair = n + control_n
    pair = weighted(group, count, per_row, row_pair)
    weight = row_pair / pair[group]
    v, control_v = treatment.variance(unit, is_conversion), control.variance(unit, is_conversion)
    variance = weighted(group, count, np.square(weight), v + control_v)
    missing = np.where(pair > 0.0, 0.0, np.nan)
    return Differences(
        n=weighted(group, count, per_row, n),
        control_n=weighted(group, count, per_row, control_n),
        nonzero=weighted(group, count, per_row, treatment.nonzero.astype(np.float64)),
        control_nonzero=weighted(group, count, per_row, control.nonzero.astype(np.float64)),
        mean=weighted(group, count, weight, mean(treatment.n, treatment.total, unit)) + missing,
        control_mean=weighted(group, count, weight, mean(control.n, control.total, unit)) + missing,
        control_variance=weighted(group, count, np.square(weight), control_v) + missing,
        difference=weighted(
            group, count, weight, difference(treatment.n, treatment.total, control.n, control.total, unit)
        )
        + missing,
        variance=variance + missing,
        units=_clock(group, pair, np.minimum(n, control_n), row_pair * (v + control_v), variance),
    )


def _clock(
    group: NDArray[np.int64], pair: Floats, smaller_arm: Floats, unit_variance: Floats, variance: Floats
) -> Floats:
    """N^2 V / (N_e V_e): `smaller_arm` and `unit_variance` (N_e V_e) by row; `pair` (N), `variance` by comparison."""
    is_first = (smaller_arm >= gates.EXPOSURES) & (unit_variance > 0.0) & (np.bincount(group)[group] > 1)
    rows = np.flatnonzero(is_first)[::-1]  # where one place is assigned twice the last stands: the first allocation
    reference = np.zeros(len(pair))
    reference[group[rows]] = unit_variance[rows]
    units = pair.copy()
    several = reference > 0.0
    units[several] = np.square(pair[several]) * variance[several] / reference[several]
    return units


class _Arms:
    """The arms of all rows as arrays of unlimited integers."""

    def __init__(self, arms: Sequence[Arm]) -> None:
        self.n: Integers = integers(arm.n for arm in arms)
        self.nonzero: Integers = integers(arm.nonzero for arm in arms)
        self.total: Integers = integers(arm.sum for arm in arms)
        self.squares: Integers = integers(arm.sum_squares for arm in arms)

    def variance(self, unit: Integers, is_conversion: NDArray[np.bool_]) -> Floats:
        """Of the mean: each row by its kind."""
        variance = np.empty(len(self.n))
        rows = is_conversion
        variance[rows] = variance_of_share(self.n[rows], self.nonzero[rows])
        rows = ~is_conversion
        variance[rows] = variance_of_mean(self.n[rows], self.total[rows], self.squares[rows], unit[rows])
        return variance
