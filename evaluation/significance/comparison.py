"""Comparison: one metric, one treatment against control, one reading; and what the sums say of many of them at once.

A run's allocations are strata: each has its own weights, so pooling them would compare units of different times
(Simpson's paradox). Moments are kept per allocation e and combined with w_e = N_e/N over the allocations that had both
arms: D = sum w_e D_e, V = sum w_e^2 V_e, and so for control's own mean, its variance and its covariance with D.

N D is a sum over units, so a martingale under the null whatever allocations came before, and its variance N^2 V is the
clock that the mixture runs on. Units count in the measure of the first allocation that had enough of them: `units` is
N^2 V over that allocation's N_e V_e. With one allocation it is N.

CUPED (Deng et al. 2013) takes from each unit's value what its past explains: D(y) - theta D(x). Any theta is valid; the
regression slopes over all arms make V smallest. Of one covariate or of several: those of y on all of them.

Post-stratification compares units within segments, and weighs these by their units, as allocations: what units' own
property explains is taken out. It is Lin's (2013) regression on treatment, segments and their interactions, with the
errors HC2. Which share of the units a segment has is chance too, so where effects differ between segments V is more,
by sum w_s (D_s - D)^2 / N (Negi and Wooldridge 2021): the effect is that on whoever may enter, as it is without strata.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from evaluation.columns.arrays import Floats
from evaluation.significance import gates
from evaluation.significance.moments import ArmColumns, ArmMoments, Estimate, integers, variance_of_share, weighted
from evaluation.significance.percentiles import Compared

Measure = Literal["mean", "conversion", "ratio", "percentile"]
"""What an arm is measured by, and of which values of a unit: y; y in {0, 1}; y, d; y (see `percentiles`, for it takes
more)."""

Covariate = tuple[int, ...]
"""What explains a part, by places among a unit's values: (j,) is the mean of value j, (j, d) the sum by that of d."""

EXPLAINED = 1e-9  # of a covariate's variance, below which what the ones before leave of it is nothing


class Form(NamedTuple):
    """How an arm is measured, and what explains a part of it."""

    measure: Measure = "mean"
    covariates: tuple[Covariate, ...] = ()

    @property
    def values(self) -> int:
        """How many of a unit's values it reads: the first ones."""
        return max(2 if self.measure == "ratio" else 1, *(1 + place for each in self.covariates for place in each), 0)

    def is_measurable(self, arm: ArmMoments) -> bool:
        """Two units, so that there is a variance; of ratios a denominator."""
        below = [1] * (self.measure == "ratio") + [each[1] for each in self.covariates if len(each) > 1]
        return arm.n >= 2 and all(arm.first[place] for place in below)

    def measured(self, arms: ArmColumns) -> tuple[Estimate, list[Estimate]]:
        """The estimates of the arms' own values and of their covariates."""
        value = arms.ratio(0, 1) if self.measure == "ratio" else arms.mean(0)
        return value, [arms.ratio(*each) if len(each) > 1 else arms.mean(*each) for each in self.covariates]


class AskedPercentile(msgspec.Struct, frozen=True):
    """Which one: the share of values up to it; and of how many decimal places the values are."""

    share: float
    scale: int


class Adjustment(msgspec.Struct, frozen=True):
    """Of a metric, the same for all its arms: of each covariate the slope, and its value over all arms."""

    slopes: tuple[float, ...] = ()
    centers: tuple[float, ...] = ()


class Sample(msgspec.Struct, frozen=True, gc=False):
    """The arms of one metric, reading and segment: of every allocation, the same ones in the same order in each sample.

    `scales` are the numbers of decimal places of a unit's quantised values, in the order of the form's. A sample of
    other arms than the others' has `pairs` of its own.
    """

    arms: list[ArmMoments]
    scales: tuple[int, ...]
    form: Form = Form()
    adjustment: Adjustment = Adjustment()
    pairs: "Pairs | None" = None
    percentile: AskedPercentile | None = None


class Pairs:
    """Which arms of each sample are compared: for every comparison its strata, as places of treatment and control.

    `allocations` are those of the strata: each its own, unless they are said.
    """

    def __init__(
        self, strata: Sequence[Sequence[tuple[int, int]]], allocations: Sequence[Sequence[int]] | None = None
    ) -> None:
        of = allocations or [range(len(pairs)) for pairs in strata]
        rows = [
            (comparison, allocation, *pair)
            for comparison, pairs in enumerate(strata)
            for allocation, pair in zip(of[comparison], pairs, strict=True)
        ]
        columns = np.array(rows, np.int64).reshape(-1, 4).T
        self.comparison, self.allocation, self.treatment, self.control = columns
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


Percentiles = dict[int, tuple[Compared, AskedPercentile]]


def adjustment(strata: Sequence[Sequence[ArmMoments]], form: Form, scales: tuple[int, ...]) -> Adjustment:
    """The slopes over all arms of a metric, control among them; none without a covariate that varies.

    Of means the arms are stacked into one sample, Cov(y, x)/Var(x); of ratios the arms' covariances and variances are
    added up (both as gbstats does). Strata are stacked each by itself, and what they say is weighed by their units.
    """
    every = [arm for arms in strata for arm in arms]
    total = sum(every, ArmMoments())
    is_ratio = form.measure == "ratio"
    samples = every if is_ratio else [sum(arms, ArmMoments()) for arms in strata]
    samples = [each for each in samples if form.is_measurable(each)]
    if not (form.covariates and samples and form.is_measurable(total)):
        return Adjustment()
    unit = tuple(10**scale for scale in scales)
    columns = ArmColumns(samples, [unit] * len(samples), form.values)
    value, covariates = form.measured(columns)
    n = columns.n.astype(np.float64)
    weight = n if is_ratio else n * (n / n.sum())

    def total_of(one: Estimate, other: Estimate) -> float:
        return float(np.sum(weight * columns.covariance(one, other)))

    slopes = _slopes(
        [[total_of(one, other) for other in covariates] for one in covariates],
        [total_of(value, each) for each in covariates],
    )
    if not any(slopes):
        return Adjustment()
    _, centers = form.measured(ArmColumns([total], [unit], form.values))
    return Adjustment(tuple(slopes), tuple(float(each.value()[0]) for each in centers))


def _slopes(between: list[list[float]], with_value: list[float]) -> list[float]:
    """The slopes of the regression, by elimination; 0 for a constant, and for what the covariates before it explain.

    Plain arithmetic in one order, so that every machine finds the same bits.
    """
    many = range(len(with_value))
    own, kept = [between[i][i] for i in many], []
    for i in many:
        if not between[i][i] > EXPLAINED * own[i]:
            continue
        kept.append(i)
        for j in many[i + 1 :]:
            factor = between[j][i] / between[i][i]
            between[j] = [one - factor * other for one, other in zip(between[j], between[i], strict=True)]
            with_value[j] -= factor * with_value[i]
    slopes = [0.0 for _ in many]
    for i in reversed(kept):
        known = sum(between[i][j] * slopes[j] for j in kept if j > i)
        slopes[i] = (with_value[i] - known) / between[i][i]
    return slopes


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
    groups: dict[tuple[Form, int], list[int]] = defaultdict(list)
    for number, sample in enumerate(samples):
        form = sample.form if any(sample.adjustment.slopes) else sample.form._replace(covariates=())
        if form.measure != "percentile":
            groups[form, id(sample.pairs)].append(number)
    columns = {field.name: np.full(len(samples) * pairs.comparisons, np.nan) for field in fields(Differences)}
    for row, (compared, its) in (percentiles or {}).items():
        for name, value in _of_percentile(compared, its.scale).items():
            columns[name][row] = value
    for (form, _), numbers in groups.items():
        at = _places(np.array(numbers), np.arange(pairs.comparisons), pairs.comparisons)
        within = samples[numbers[0]].pairs or pairs
        found = _differences([samples[number] for number in numbers], within, form)
        for name, column in columns.items():
            column[at] = getattr(found, name)
    return Differences(**columns)


def _places(samples: NDArray[np.int64], within: NDArray[np.int64], width: int) -> NDArray[np.int64]:
    """Those of the numbers `within` a sample, for each of the samples, when every sample has `width`."""
    return np.asarray((samples[:, None] * width + within).ravel())


def _differences(samples: Sequence[Sample], pairs: Pairs, form: Form) -> Differences:
    """Of samples that are measured alike. What an arm says is found once, however many it is compared with."""
    count = len(samples) * pairs.comparisons
    numbers, width = np.arange(len(samples)), len(samples[0].arms)
    arms = [arm for sample in samples for arm in sample.arms]
    is_measurable = np.array([form.is_measurable(arm) for arm in arms], np.bool_)
    treatment, control = (_places(numbers, within, width) for within in (pairs.treatment, pairs.control))
    is_kept = is_measurable[treatment] & is_measurable[control]
    position = np.cumsum(is_measurable) - 1
    t, c = position[treatment[is_kept]], position[control[is_kept]]
    comparison = _places(numbers, pairs.comparison, pairs.comparisons)[is_kept]
    allocation = np.tile(pairs.allocation, len(samples))[is_kept]

    kept = np.flatnonzero(is_measurable)
    owner = (kept // width).tolist()
    units = [tuple(10**scale for scale in sample.scales) for sample in samples]
    measured = _Estimated(
        ArmColumns(
            [arms[place].leading(form.values) for place in kept.tolist()], [units[n] for n in owner], form.values
        ),
        form,
        [samples[number].adjustment for number in owner],
    )
    return _over_strata(measured, t, c, _Strata(comparison, allocation, count))


class _Strata:
    """Rows, of which each is a stratum of a comparison: of all the units of one allocation, or of a segment of them."""

    def __init__(self, comparison: NDArray[np.int64], allocation: NDArray[np.int64], comparisons: int) -> None:
        self.comparison, self.comparisons = comparison, comparisons
        names, first, self.part = np.unique(
            np.stack([comparison, allocation], axis=1), axis=0, return_index=True, return_inverse=True
        )
        self.part = self.part.reshape(-1)  # which allocation of which comparison
        self.whose, self.parts = comparison[first], len(names)  # of each part its comparison

    def by_part(self, values: Floats) -> Floats:
        """The sums of the rows' values over each part."""
        return weighted(self.part, self.parts, np.ones(len(self.part)), values)

    def by_comparison(self, weight: Floats, values: Floats) -> Floats:
        """The sums over each comparison, of rows."""
        return weighted(self.comparison, self.comparisons, weight, values)


def _over_strata(measured: "_Estimated", t: NDArray[np.int64], c: NDArray[np.int64], strata: _Strata) -> Differences:
    """`t`, `c` by row, a comparison's stratum: the places of its arms."""
    value, nonzero = measured.mean(), measured.arms.nonzero.astype(np.float64)
    n, control_n = measured.arms.n[t].astype(np.float64), measured.arms.n[c].astype(np.float64)
    row_pair, one = n + control_n, np.ones(len(n))
    pair = strata.by_comparison(one, row_pair)
    weight = row_pair / pair[strata.comparison]
    missing = np.where(pair > 0.0, 0.0, np.nan)
    part_pair = strata.by_part(row_pair)
    within = row_pair / part_pair[strata.part]  # of its allocation

    def total(values: Floats) -> Floats:
        return strata.by_comparison(one, values)

    def combined(values: Floats) -> Floats:
        return strata.by_comparison(weight, values) + missing

    def mixed(one: Floats, other: Floats) -> Floats:
        """By part: what the chance of the mix adds to the covariance of two estimates."""
        apart = [values - strata.by_part(within * values)[strata.part] for values in (one, other)]
        return strata.by_part(within * apart[0] * apart[1]) / part_pair

    def combined_variance(values: Floats, mix: Floats) -> Floats:
        by_chance = weighted(strata.whose, strata.comparisons, np.square(part_pair / pair[strata.whose]), mix)
        return strata.by_comparison(np.square(weight), values) + by_chance + missing

    difference, baseline = measured.value.between(t, c), measured.unadjusted.value()[c]
    row_variance, mix = measured.variance[t] + measured.variance[c], mixed(difference, difference)
    variance = combined_variance(row_variance, mix)
    part_variance = strata.by_part(np.square(within) * row_variance) + mix
    smaller_arm = np.minimum(strata.by_part(n), strata.by_part(control_n))
    return Differences(
        n=total(n),
        control_n=total(control_n),
        nonzero=total(nonzero[t]),
        control_nonzero=total(nonzero[c]),
        mean=combined(value[t]),
        control_mean=combined(value[c]),
        treatment_variance=combined_variance(measured.variance[t], mixed(value[t], value[t])),
        control_variance=combined_variance(measured.variance[c], mixed(value[c], value[c])),
        difference=combined(difference),
        variance=variance,
        baseline=combined(baseline),
        baseline_variance=combined_variance(measured.unadjusted_variance[c], mixed(baseline, baseline)),
        covariance=combined_variance(measured.covariance[c], -mixed(difference, baseline)),
        units=_clock(strata.whose, pair, smaller_arm, part_pair * part_variance, variance),
    )


def _clock(
    group: NDArray[np.int64], pair: Floats, smaller_arm: Floats, unit_variance: Floats, variance: Floats
) -> Floats:
    """N^2 V / (N_e V_e), by allocations: `group` says of which comparison each is.

    `smaller_arm` and `unit_variance` (N_e V_e) by allocation; `pair` (N), `variance` by comparison.
    """
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

    def __init__(self, arms: ArmColumns, form: Form, adjustments: Sequence[Adjustment]) -> None:
        self.arms = arms
        self._center = np.zeros(len(adjustments))
        self.unadjusted, covariates = form.measured(arms)
        self.value = self.unadjusted
        if form.measure == "conversion":
            self.variance = self.unadjusted_variance = self.covariance = variance_of_share(arms.n, arms.nonzero)
            return
        self.unadjusted_variance = arms.covariance(self.unadjusted, self.unadjusted)
        self.variance = self.covariance = self.unadjusted_variance
        for place, covariate in enumerate(covariates):
            self._center += np.array([each.slopes[place] * each.centers[place] for each in adjustments])
            over = [each.slopes[place].as_integer_ratio() for each in adjustments]
            slope, denominator = (integers(each[part] for each in over) for part in (0, 1))
            self.value = self.value.adjusted(covariate, slope, denominator)
        if covariates:
            self.variance = arms.covariance(self.value, self.value)
            self.covariance = arms.covariance(self.value, self.unadjusted)

    def mean(self) -> Floats:
        """The value, around what the covariates are over all arms."""
        return self.value.value() + self._center
