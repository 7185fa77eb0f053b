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

from evaluation.columns.arrays import Floats
from evaluation.significance import gates
from evaluation.significance.moments import ArmColumns, ArmMoments, Estimate, integers, variance_of_share, weighted
from evaluation.significance.percentiles import Compared

Measure = Literal["mean", "conversion", "ratio", "adjusted mean", "adjusted ratio", "percentile"]
"""What an arm is measured by, and of which values of a unit: y; y in {0, 1}; y, d; y, x; y, d, y0, d0; y (see
`percentiles`, for it takes more)."""


VALUES: dict[Measure, int] = {
    "mean": 1,
    "conversion": 1,
    "ratio": 2,
    "adjusted mean": 2,
    "adjusted ratio": 4,
    "percentile": 1,
}
UNADJUSTED: dict[Measure, Measure] = {
    "mean": "mean",
    "conversion": "conversion",
    "ratio": "ratio",
    "adjusted mean": "mean",
    "adjusted ratio": "ratio",
    "percentile": "percentile",
}
DENOMINATORS: dict[Measure, tuple[int, ...]] = {
    "mean": (),
    "conversion": (),
    "ratio": (1,),
    "adjusted mean": (),
    "adjusted ratio": (1, 3),
    "percentile": (),
}


class Percentile(msgspec.Struct, frozen=True):
    """Which one: the share of values up to it; and of how many decimal places the values are."""

    share: float
    scale: int


class Adjustment(msgspec.Struct, frozen=True):
    """Of a metric, the same for all its arms: the slope, and the covariate's value over all arms."""

    theta: float = 0.0
    center: float = 0.0


class Sample(msgspec.Struct, frozen=True, gc=False):
    """The arms of one metric, reading and segment: of every allocation, the same ones in the same order in each sample.

    `scales` are the numbers of decimal places of a unit's quantised values, in the order of the measure's.
    """

    arms: list[ArmMoments]
    scales: tuple[int, ...]
    measure: Measure = "mean"
    adjustment: Adjustment = Adjustment()
    percentile: Percentile | None = None


class Pairs:
    """Which arms of each sample are compared: for every comparison its strata, as places of treatment and control."""

    def __init__(self, strata: Sequence[Sequence[tuple[int, int]]]) -> None:
        rows = [(comparison, *pair) for comparison, pairs in enumerate(strata) for pair in pairs]
        self.comparison, self.treatment, self.control = np.array(rows, np.int64).reshape(-1, 3).T
        self.comparisons = len(strata)
        self.strata = strata


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


Percentiles = dict[int, tuple[Compared, Percentile]]


def adjustment(arms: Sequence[ArmMoments], measure: Measure, scales: tuple[int, ...]) -> Adjustment:
    """The slope over all arms of a metric, control among them; none without a covariate that varies.

    Of means the arms are stacked into one sample, Cov(y, x)/Var(x); of ratios the arms' covariances and variances are
    added up (both as gbstats does).
    """
    total = sum(arms, ArmMoments())
    arms = [arm for arm in ([total] if measure == "adjusted mean" else arms) if _is_measurable(arm, measure)]
    if not (measure.startswith("adjusted") and arms and _is_measurable(total, measure)):
        return Adjustment()
    unit = tuple(10**scale for scale in scales)
    columns = ArmColumns(arms, [unit] * len(arms), VALUES[measure])
    value, covariate = _measured(columns, measure)
    assert covariate is not None
    n = columns.n.astype(np.float64)
    variance = float(np.sum(n * columns.covariance(covariate, covariate)))
    if not variance > 0.0:
        return Adjustment()
    theta = float(np.sum(n * columns.covariance(value, covariate))) / variance
    _, center = _measured(ArmColumns([total], [unit], VALUES[measure]), measure)
    return Adjustment(theta, float(center.value()[0]) if center else 0.0)


def compared_percentiles(samples: Sequence[Sample], pairs: Pairs) -> Percentiles:
    """Those that can be compared, by number of the comparison: both arms of a stratum have two units, and a value."""
    found = {}
    for number, sample in enumerate(samples):
        if its := sample.percentile:
            for place, strata in enumerate(pairs.strata):
                arms = [(sample.arms[t], sample.arms[c]) for t, c in strata]
                if kept := [each for each in arms if all(arm.n >= 2 and arm.spreads for arm in each)]:
                    found[number * pairs.comparisons + place] = Compared(kept, its.share), its
    return found


def _of_percentile(compared: Compared, scale: int) -> dict[str, float]:
    """The fields of its difference."""
    unit = float(10**scale)
    treatment, control = compared.treatment.quantile, compared.control.quantile
    variances = treatment.variance / unit**2, control.variance / unit**2
    return {
        "n": compared.treatment.units,
        "control_n": compared.control.units,
        "nonzero": compared.treatment.nonzero,
        "control_nonzero": compared.control.nonzero,
        "mean": treatment.value / unit,
        "control_mean": control.value / unit,
        "treatment_variance": variances[0],
        "control_variance": variances[1],
        "difference": (treatment.value - control.value) / unit,
        "variance": sum(variances),
        "baseline": control.value / unit,
        "baseline_variance": variances[1],
        "covariance": variances[1],
        "units": compared.units,
    }


def differences(samples: Sequence[Sample], pairs: Pairs, percentiles: Percentiles | None = None) -> Differences:
    """Every comparison's difference and what it rests on: those of the first sample, of the second, and so on.

    Those of `percentiles` were compared before.
    """
    groups: dict[Measure, list[int]] = defaultdict(list)
    for number, sample in enumerate(samples):
        groups[sample.measure if sample.adjustment.theta != 0.0 else UNADJUSTED[sample.measure]].append(number)
    columns = {field.name: np.full(len(samples) * pairs.comparisons, np.nan) for field in fields(Differences)}
    for row, (compared, its) in (percentiles or {}).items():
        for name, value in _of_percentile(compared, its.scale).items():
            columns[name][row] = value
    groups.pop("percentile", None)
    for measure, numbers in groups.items():
        at = _places(np.array(numbers), np.arange(pairs.comparisons), pairs.comparisons)
        found = _differences([samples[number] for number in numbers], pairs, measure)
        for name, column in columns.items():
            column[at] = getattr(found, name)
    return Differences(**columns)


def _places(samples: NDArray[np.int64], within: NDArray[np.int64], width: int) -> NDArray[np.int64]:
    """Those of the numbers `within` a sample, for each of the samples, when every sample has `width`."""
    return np.asarray((samples[:, None] * width + within).ravel())


def _differences(samples: Sequence[Sample], pairs: Pairs, measure: Measure) -> Differences:
    """Of samples that are measured alike. What an arm says is found once, however many it is compared with."""
    count, k = len(samples) * pairs.comparisons, VALUES[measure]
    numbers, width = np.arange(len(samples)), len(samples[0].arms)
    arms = [arm for sample in samples for arm in sample.arms]
    is_measurable = np.array([_is_measurable(arm, measure) for arm in arms], np.bool_)
    treatment, control = (_places(numbers, within, width) for within in (pairs.treatment, pairs.control))
    is_kept = is_measurable[treatment] & is_measurable[control]
    position = np.cumsum(is_measurable) - 1
    t, c = position[treatment[is_kept]], position[control[is_kept]]
    group = _places(numbers, pairs.comparison, pairs.comparisons)[is_kept]

    kept = np.flatnonzero(is_measurable)
    owner = (kept // width).tolist()
    units = [tuple(10**scale for scale in sample.scales) for sample in samples]
    measured = _Estimated(
        ArmColumns([arms[place].leading(k) for place in kept.tolist()], [units[number] for number in owner], k),
        measure,
        [samples[number].adjustment for number in owner],
    )
    return _over_strata(measured, t, c, group, count)


def _over_strata(
    measured: "_Estimated", t: NDArray[np.int64], c: NDArray[np.int64], group: NDArray[np.int64], count: int
) -> Differences:
    """`t`, `c` and `group` by row, a comparison's stratum: the places of its arms, and which of `count` it is of."""
    value, nonzero = measured.mean(), measured.arms.nonzero.astype(np.float64)
    n, control_n = measured.arms.n[t].astype(np.float64), measured.arms.n[c].astype(np.float64)
    row_pair = n + control_n
    pair = weighted(group, count, np.ones(len(group)), row_pair)
    weight = row_pair / pair[group]
    missing = np.where(pair > 0.0, 0.0, np.nan)

    def total(values: Floats) -> Floats:
        return weighted(group, count, np.ones(len(group)), values)

    def combined(values: Floats) -> Floats:
        return weighted(group, count, weight, values) + missing

    def combined_variance(values: Floats) -> Floats:
        return weighted(group, count, np.square(weight), values) + missing

    row_variance = measured.variance[t] + measured.variance[c]
    variance = combined_variance(row_variance)
    return Differences(
        n=total(n),
        control_n=total(control_n),
        nonzero=total(nonzero[t]),
        control_nonzero=total(nonzero[c]),
        mean=combined(value[t]),
        control_mean=combined(value[c]),
        treatment_variance=combined_variance(measured.variance[t]),
        control_variance=combined_variance(measured.variance[c]),
        difference=combined(measured.value.between(t, c)),
        variance=variance,
        baseline=combined(measured.unadjusted.value()[c]),
        baseline_variance=combined_variance(measured.unadjusted_variance[c]),
        covariance=combined_variance(measured.covariance[c]),
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


class _Estimated:
    """What arms measured alike estimate, and how surely."""

    def __init__(self, arms: ArmColumns, measure: Measure, slopes: Sequence[Adjustment]) -> None:
        self.arms = arms
        self._center = np.array([slope.theta * slope.center for slope in slopes], np.float64)
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
        over = [each.theta.as_integer_ratio() for each in slopes]
        slope, denominator = (integers(each[part] for each in over) for part in (0, 1))
        self.value = self.unadjusted.adjusted(covariate, slope, denominator)
        self.variance = arms.covariance(self.value, self.value)
        self.covariance = arms.covariance(self.value, self.unadjusted)

    def mean(self) -> Floats:
        """The value, around what the covariate is over all arms."""
        return self.value.value() + self._center


def _measured(arms: ArmColumns, measure: Measure) -> tuple[Estimate, Estimate | None]:
    """The estimates of the arms' own values and of their covariates."""
    match measure:
        case "ratio":
            return arms.ratio(0), None
        case "adjusted mean":
            return arms.mean(0), arms.mean(1)
        case "adjusted ratio":
            return arms.ratio(0), arms.ratio(2)
    return arms.mean(0), None


def _is_measurable(arm: ArmMoments, measure: Measure) -> bool:
    """Two units, so that there is a variance; of ratios a denominator."""
    return arm.n >= 2 and all(arm.first[j] for j in DENOMINATORS[measure])
