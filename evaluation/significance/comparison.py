"""Comparison: one metric, one treatment against control, one reading; and what the sums say of many of them at once.

A run's allocations are strata: each has its own weights, so pooling them would compare units of different times
(Simpson's paradox). Moments are kept per allocation e and combined with w_e = N_e/N over the allocations that had both
arms: D = sum w_e D_e, V = sum w_e^2 V_e, and so for control's own mean, its variance and its covariance with D.

N D is a sum over units, so a martingale under the null whatever allocations came before, and its variance N^2 V is the
clock that the mixture runs on. Units count in the measure of the first allocation that had enough of them: `units` is
N^2 V over that allocation's N_e V_e. With one allocation it is N.

CUPED (Deng et al. 2013) takes from each unit's value what its past explains: D(y) - theta D(x). Any theta is valid; the
regression slope over all arms makes V smallest.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from evaluation.significance import gates
from evaluation.significance.moments import Arm, Arms, Estimate, Floats, integers, variance_of_share, weighted

Measure = Literal["mean", "conversion", "ratio", "adjusted mean", "adjusted ratio"]
"""What an arm is measured by, and of which values of a unit: y; y in {0, 1}; y, d; y, x; y, d, y0, d0."""


VALUES: dict[Measure, int] = {"mean": 1, "conversion": 1, "ratio": 2, "adjusted mean": 2, "adjusted ratio": 4}
UNADJUSTED: dict[Measure, Measure] = {
    "mean": "mean",
    "conversion": "conversion",
    "ratio": "ratio",
    "adjusted mean": "mean",
    "adjusted ratio": "ratio",
}
DENOMINATORS: dict[Measure, tuple[int, ...]] = {
    "mean": (),
    "conversion": (),
    "ratio": (1,),
    "adjusted mean": (),
    "adjusted ratio": (1, 3),
}


class Adjustment(msgspec.Struct, frozen=True):
    """Of a metric, the same for all its arms: the slope, and the covariate's value over all arms."""

    theta: float = 0.0
    center: float = 0.0


class Comparison(msgspec.Struct, frozen=True):
    """`treatment` and `control` hold all units; `strata` the pairs of each allocation that gave both a weight.

    `scales` are the numbers of decimal places of a unit's quantised values, in the order of the measure's.
    """

    treatment: Arm
    control: Arm
    strata: list[tuple[Arm, Arm]]
    scales: tuple[int, ...]
    measure: Measure = "mean"
    adjustment: Adjustment = Adjustment()


@dataclass(frozen=True, slots=True)
class Differences:
    """Arrays, one value per comparison; NaN where no allocation has two units in each arm (of a ratio: a denominator).

    Means and their difference are adjusted where the measure is. The baseline, that a lift is relative to, never is:
    `covariance` is -Cov(difference, baseline), what `relative.fieller` takes.
    """

    n: Floats  # units that the difference rests on
    control_n: Floats
    nonzero: Floats
    control_nonzero: Floats
    mean: Floats
    control_mean: Floats
    treatment_variance: Floats  # of the mean
    control_variance: Floats
    difference: Floats
    variance: Floats  # of the difference
    baseline: Floats
    baseline_variance: Floats
    covariance: Floats
    units: Floats  # the mixture's clock


def adjustment(arms: Sequence[Arm], measure: Measure, scales: tuple[int, ...]) -> Adjustment:
    """The slope over all arms of a metric, control among them; none without a covariate that varies.

    Of means the arms are stacked into one sample, Cov(y, x)/Var(x); of ratios the arms' covariances and variances are
    added up (both as gbstats does).
    """
    total = sum(arms, Arm())
    arms = [arm for arm in ([total] if measure == "adjusted mean" else arms) if _is_measurable(arm, measure)]
    if not measure.startswith("adjusted") or not arms:
        return Adjustment()
    unit = tuple(10**scale for scale in scales)
    columns = Arms(arms, [unit] * len(arms), VALUES[measure])
    value, covariate = _measured(columns, measure)
    assert covariate is not None
    n = columns.n.astype(np.float64)
    variance = float(np.sum(n * columns.covariance(covariate, covariate)))
    if not variance > 0.0:
        return Adjustment()
    theta = float(np.sum(n * columns.covariance(value, covariate))) / variance
    _, center = _measured(Arms([total], [unit], VALUES[measure]), measure)
    return Adjustment(theta, float(center.value()[0]) if center else 0.0)


def differences(comparisons: Sequence[Comparison]) -> Differences:
    """Every comparison's difference and what it rests on."""
    places: dict[Measure, list[int]] = defaultdict(list)
    for place, comparison in enumerate(comparisons):
        is_adjusted = comparison.adjustment.theta != 0.0
        places[comparison.measure if is_adjusted else UNADJUSTED[comparison.measure]].append(place)
    columns = {field.name: np.full(len(comparisons), np.nan) for field in fields(Differences)}
    for measure, at in places.items():
        found = _differences([comparisons[place] for place in at], measure)
        for name, column in columns.items():
            column[at] = getattr(found, name)
    return Differences(**columns)


def _differences(comparisons: Sequence[Comparison], measure: Measure) -> Differences:
    """Of comparisons that are measured alike."""
    count, k = len(comparisons), VALUES[measure]
    rows = [
        (
            index,
            treatment.leading(k),
            control.leading(k),
            tuple(10**scale for scale in comparison.scales),
            comparison.adjustment,
        )
        for index, comparison in enumerate(comparisons)
        for treatment, control in comparison.strata
        if _is_measurable(treatment, measure) and _is_measurable(control, measure)
    ]
    group = np.array([row[0] for row in rows], np.int64)
    units = [row[3] for row in rows]
    theta = [row[4].theta for row in rows]
    center = np.array([row[4].theta * row[4].center for row in rows], np.float64)
    treatment = _Measured(Arms([row[1] for row in rows], units, k), measure, theta)
    control = _Measured(Arms([row[2] for row in rows], units, k), measure, theta)

    n, control_n = (each.arms.n.astype(np.float64) for each in (treatment, control))
    row_pair = n + control_n
    pair = weighted(group, count, np.ones(len(rows)), row_pair)
    weight = row_pair / pair[group]
    missing = np.where(pair > 0.0, 0.0, np.nan)

    def total(values: Floats) -> Floats:
        return weighted(group, count, np.ones(len(rows)), values)

    def combined(values: Floats) -> Floats:
        return weighted(group, count, weight, values) + missing

    def combined_variance(values: Floats) -> Floats:
        return weighted(group, count, np.square(weight), values) + missing

    row_variance = treatment.variance + control.variance
    variance = combined_variance(row_variance)
    return Differences(
        n=total(n),
        control_n=total(control_n),
        nonzero=total(treatment.arms.nonzero.astype(np.float64)),
        control_nonzero=total(control.arms.nonzero.astype(np.float64)),
        mean=combined(treatment.value.value() + center),
        control_mean=combined(control.value.value() + center),
        treatment_variance=combined_variance(treatment.variance),
        control_variance=combined_variance(control.variance),
        difference=combined(treatment.value.minus(control.value)),
        variance=variance,
        baseline=combined(control.unadjusted.value()),
        baseline_variance=combined_variance(control.unadjusted_variance),
        covariance=combined_variance(control.covariance),
        units=_clock(group, pair, np.minimum(n, control_n), row_pair * row_variance, variance),
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


class _Measured:
    """What arms measured alike estimate, and how surely."""

    def __init__(self, arms: Arms, measure: Measure, theta: Sequence[float]) -> None:
        self.arms = arms
        self.unadjusted, covariate = _measured(arms, measure)
        if measure == "conversion":
            self.value = self.unadjusted
            self.variance = self.unadjusted_variance = self.covariance = variance_of_share(arms.n, arms.nonzero)
            return
        self.unadjusted_variance = arms.covariance(self.unadjusted, self.unadjusted)
        if covariate is None:
            self.value = self.unadjusted
            self.variance = self.covariance = self.unadjusted_variance
            return
        over = [each.as_integer_ratio() for each in theta]
        slope, denominator = (integers(each[part] for each in over) for part in (0, 1))
        self.value = self.unadjusted.adjusted(covariate, slope, denominator)
        self.variance = arms.covariance(self.value, self.value)
        self.covariance = arms.covariance(self.value, self.unadjusted)


def _measured(arms: Arms, measure: Measure) -> tuple[Estimate, Estimate | None]:
    """The estimates of the arms' own values and of their covariates."""
    match measure:
        case "ratio":
            return arms.ratio(0), None
        case "adjusted mean":
            return arms.mean(0), arms.mean(1)
        case "adjusted ratio":
            return arms.ratio(0), arms.ratio(2)
    return arms.mean(0), None


def _is_measurable(arm: Arm, measure: Measure) -> bool:
    """Two units, so that there is a variance; of ratios a denominator."""
    return arm.n >= 2 and all(arm.first[j] for j in DENOMINATORS[measure])
