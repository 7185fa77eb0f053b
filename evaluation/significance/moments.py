"""Moments: exact integer sums of an arm, and what they say of means, ratios and covariances, each rounded once.

A unit has k values: its total of a metric (k = 1), or several that belong together (numerator and denominator, total
and covariate). An arm is its units' number, the k sums and the k(k + 1)/2 sums of products, of quantised values.
Everything up to the one division is integer arithmetic without limit, so that neither order nor cancellation can change
a bit.

Whatever an arm estimates is a fraction of integers, and a unit moves it by a linear function of its values, its
influence: that of a ratio Sy/Sd is (y - R d)/mean(d) (the delta method). The variance of the estimate is that of a mean
of influences, the covariance of two estimates likewise: quadratic forms of the sums, in integers too.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from operator import add
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from evaluation.columns.arrays import Floats
from schemas.aggregate import Spread

Integers = NDArray[Any]  # dtype object: Python integers


class ArmMoments(msgspec.Struct, frozen=True, gc=False):
    """Exact sums of one arm. The zero of `+` has no values at all.

    `nonzero` counts units with a non-zero first value; `second` holds the sums of products, upper triangle by rows: of
    values (y, d) that is yy, yd, dd.
    """

    n: int = 0
    nonzero: int = 0
    first: tuple[int, ...] = ()
    second: tuple[int, ...] = ()
    spreads: tuple[Spread, ...] = ()  # of a percentile: those of parts of its units

    def __add__(self, other: "ArmMoments") -> "ArmMoments":
        if not (self.first and other.first):
            return self if self.first else other
        return ArmMoments(
            self.n + other.n,
            self.nonzero + other.nonzero,
            tuple(map(add, self.first, other.first)),
            tuple(map(add, self.second, other.second)),
            self.spreads + other.spreads,
        )

    def leading(self, k: int) -> "ArmMoments":
        """The sums of the first k values alone."""
        if len(self.first) <= k:
            return self
        pairs = combinations_with_replacement(range(len(self.first)), 2)
        second = tuple(value for (_, j), value in zip(pairs, self.second, strict=True) if j < k)
        return ArmMoments(self.n, self.nonzero, self.first[:k], second)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What arms estimate: `numerator`/`denominator`. A unit's value x_j has the influence `weights`[j] x_j/`scale`."""

    numerator: Integers
    denominator: Integers
    weights: Mapping[int, Integers]
    scale: Integers

    def value(self) -> Floats:
        """The estimate."""
        return divided(self.numerator, self.denominator)

    def between(self, treatment: NDArray[np.int64], control: NDArray[np.int64]) -> Floats:
        """The differences of arms at these places: exact even where two agree in every digit."""
        numerator, control_numerator = self.numerator[treatment], self.numerator[control]
        denominator, control_denominator = self.denominator[treatment], self.denominator[control]
        return divided(
            numerator * control_denominator - control_numerator * denominator, denominator * control_denominator
        )

    def adjusted(self, covariate: "Estimate", theta: Integers, over: Integers) -> "Estimate":
        """The estimate less theta/over times the covariate's."""
        weights = {j: over * covariate.scale * weight for j, weight in self.weights.items()}
        for j, weight in covariate.weights.items():
            weights[j] = weights.get(j, 0) - theta * self.scale * weight
        return Estimate(
            over * self.numerator * covariate.denominator - theta * covariate.numerator * self.denominator,
            over * self.denominator * covariate.denominator,
            weights,
            over * self.scale * covariate.scale,
        )


class ArmColumns:
    """Many arms of k values each, as columns of unlimited integers. `units` holds the quantised 1 of each value."""

    def __init__(self, arms: Sequence[ArmMoments], units: Sequence[tuple[int, ...]], k: int) -> None:
        values = range(k)
        self.n = integers(arm.n for arm in arms)
        self.nonzero = integers(arm.nonzero for arm in arms)
        self.first = [integers(arm.first[j] for arm in arms) for j in values]
        self.second = {
            pair: integers(arm.second[at] for arm in arms)
            for at, pair in enumerate(combinations_with_replacement(values, 2))
        }
        self.unit = [integers(unit[j] for unit in units) for j in values]

    def mean(self, j: int) -> Estimate:
        """The mean of value j, for n >= 1."""
        return Estimate(self.first[j], self.n * self.unit[j], {j: integers([1])}, self.unit[j])

    def ratio(self, j: int, d: int) -> Estimate:
        """The sum of value j over that of value d, which must not be 0."""
        total, below = self.first[j], self.first[d]
        factor = self.n * self.unit[d]
        return Estimate(
            total * self.unit[d],
            below * self.unit[j],
            {j: factor * below, d: -factor * total},
            below * below * self.unit[j],
        )

    def covariance(self, one: Estimate, other: Estimate) -> Floats:
        """The covariance of two estimates (of one with itself: its variance), for n >= 2.

        Of the influences' sample covariance, n - 1 in its denominator, one n-th.
        """
        products = sum(
            weight * factor * self.second[min(i, j), max(i, j)]
            for i, weight in one.weights.items()
            for j, factor in other.weights.items()
        )
        total, other_total = (
            sum(weight * self.first[j] for j, weight in estimate.weights.items()) for estimate in (one, other)
        )
        n = self.n
        return divided(n * products - total * other_total, n * n * (n - 1) * one.scale * other.scale)


def integers(values: Iterable[int]) -> Integers:
    """The values as an array of unlimited integers."""
    return np.array(list(values), dtype=object)


def divided(numerator: Integers, denominator: Integers) -> Floats:
    """The quotients, correctly rounded: Python's division of integers is."""
    return np.asarray(numerator / denominator, dtype=np.float64)


def variance_of_share(n: Integers, successes: Integers) -> Floats:
    """p(1 - p)/n, for n >= 1: of a conversion. The factor n/(n - 1) is left out, as gbstats and Amplitude do."""
    return divided(successes * (n - successes), n * n * n)


def weighted(group: NDArray[np.int64], groups: int, weights: Floats, values: Floats) -> Floats:
    """Sum of weights * values per group, in the order of the rows: 0 where a group has no row."""
    sums: Floats = np.bincount(group, weights * values, minlength=groups).astype(np.float64, copy=False)
    return sums
