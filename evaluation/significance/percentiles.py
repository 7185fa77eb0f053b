"""Percentiles: of how values are spread in two arms, by how much a percentile of one exceeds that of the other.

Whether x is the q-quantile of an arm shows in the share F(x) of its values that are at most x, which then is q but for
chance: z = (F(x) - q)/sqrt(W) of x is compared with nothing that depends on x, so no density is estimated. W is
q (1 - q)/n, times how much more shares vary because events of one unit depend on each other (the variance of a ratio of
units' sums, as of any ratio, at the estimated quantile). The set of all x that the normal mixture does not exclude, at
any look, is a confidence sequence of the quantile (Howard and Ramdas 2022, arXiv:1906.09712). Values of one bucket are
tied: x is excluded by what speaks less against it, the share up to it or the share below it. For, were ties broken by
chance, just a share q of all values would stand before the quantile, and what counts there lies between the two.

Two arms are independent, so the product of their e-processes is one, at the two quantiles: the pairs of x for which it
is below 1/alpha are a confidence sequence of both, and those of their differences that of the difference. No effect is
excluded once every x is, as the quantile of both. Ends are those of buckets, so an interval holds for the values as
they were, not as they were rounded.

What a t-test or a Bayesian reading takes instead is the standard error, by the distance between order statistics, as
gbstats has it. Allocations are strata, whose distributions are mixed alike in both arms.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from evaluation.columns.arrays import Floats
from evaluation.columns.buckets import ends_of
from evaluation.significance import gates, mixture
from evaluation.significance.moments import ArmMoments

WIDTH = -float(ndtri(0.025))  # of the interval whose order statistics give the standard error, in SEs of the share
FEWEST = 25.0  # values on either side of the percentile, as if of units, that each arm must have


class Quantile(NamedTuple):
    """A percentile of an arm. `known` values lie beyond it, on the side with fewer, as if each were of another unit."""

    value: float
    variance: float
    known: float


class Excess(NamedTuple):
    """By how much the treatment's percentile exceeds control's. NaN: there is no number, or an end is open."""

    log_e: float
    lower: float
    upper: float
    relative_lower: float
    relative_upper: float


class ArmValues:
    """How the values of an arm lie on `buckets` that it shares with others: of strata, whose weights make 1."""

    def __init__(
        self, strata: Sequence[ArmMoments], weights: Sequence[float], buckets: NDArray[np.int64], q: float
    ) -> None:
        self._q = q
        self._low, self._high = ends_of(buckets)
        self.units, self.nonzero = sum(arm.n for arm in strata), sum(arm.nonzero for arm in strata)
        self._upto, self._variance, most = np.zeros(len(buckets)), np.zeros(len(buckets)), 0.0
        for arm, weight in zip(strata, weights, strict=True):
            share, variance, dependent = _shares(arm, buckets)
            self._upto += weight * share
            self._variance += weight**2 * variance
            most += weight**2 * dependent
        self._below = np.concatenate([[0.0], self._upto[:-1]])
        self.variance = q * (1.0 - q) * self._dependence(most)
        self._error = float(np.sqrt(self.variance))

    def _dependence(self, most: float) -> float:
        """A share's variance over F (1 - F), at that threshold within the values which is nearest to the quantile.

        At most it is what units would make whose values are all alike.
        """
        inside = np.flatnonzero((self._upto > 0.0) & (self._upto < 1.0) & (self._variance > 0.0))
        if not inside.size:
            return most
        at = inside[np.argmin(np.abs(self._upto[inside] - self._q))]
        return float(self._variance[at] / (self._upto[at] * (1.0 - self._upto[at])))

    def at(self, share: float) -> float:
        """The value up to which that share of all values lies; within a bucket by its share."""
        k = min(int(np.searchsorted(self._upto, share)), len(self._upto) - 1)
        within = self._upto[k] - self._below[k]
        part = min(1.0, max(0.0, (share - self._below[k]) / within)) if within > 0.0 else 1.0
        return float(self._low[k] + (self._high[k] - self._low[k]) * part)

    @property
    def quantile(self) -> Quantile:
        """The estimate, and how sure it is."""
        q, width = self._q, WIDTH * self._error
        variance = order_statistic_variance(self.units, self.at(q - width), self.at(q + width))
        return Quantile(self.at(q), variance, q * (1.0 - q) / self.variance * min(q, 1.0 - q))

    def too_low(self, ratio: float, *, one_sided: bool) -> Floats:
        """What speaks against values below all buckets, and against each bucket, as the quantile: log E, descending."""
        return _evidence((self._q - np.concatenate([[0.0], self._upto])) / self._error, ratio, one_sided=one_sided)

    def too_high(self, ratio: float, *, one_sided: bool) -> Floats:
        """The same of each bucket and of values above them all: ascending."""
        return _evidence((np.concatenate([self._below, [1.0]]) - self._q) / self._error, ratio, one_sided=one_sided)


def order_statistic_variance(n: int, lower: float, upper: float) -> float:
    """Of a quantile of n units' values, between whose order statistics it lies with 95 % (gbstats)."""
    return (n - 1) / n * ((upper - lower) / (2.0 * WIDTH)) ** 2


def _evidence(z: Floats, ratio: float, *, one_sided: bool) -> Floats:
    """Two-sided: nothing speaks against what lies on the other side; there it is as at the estimate."""
    return mixture.one_sided_log_e(z, ratio) if one_sided else mixture.log_e(np.maximum(z, 0.0), ratio)


def _shares(arm: ArmMoments, buckets: NDArray[np.int64]) -> tuple[Floats, Floats, float]:
    """The share of an arm's values up to each bucket, its variance, and what that is over F (1 - F) at most."""
    table = np.zeros((3, len(buckets)))
    for spread in arm.spreads:
        at = np.searchsorted(buckets, list(accumulate(spread.steps)))
        for row, column in zip(table, (spread.values, spread.squares, spread.products), strict=True):
            if column:
                row[at] += np.array(column, np.float64)
    values, squares, products = np.cumsum(table, axis=1)
    total = values[-1]
    share = values / total
    if not any(spread.squares for spread in arm.spreads):
        return share, share * (1.0 - share) / arm.n, 1.0 / arm.n
    of_units = arm.second[0] / total**2
    variance = (squares - 2.0 * share * products) / total**2 + np.square(share) * of_units
    return share, np.maximum(variance, 0.0) * (arm.n / (arm.n - 1)), of_units


class Compared:
    """A treatment beside control over strata, in each of which both arms have two units, and a value."""

    def __init__(self, strata: Sequence[tuple[ArmMoments, ArmMoments]], q: float) -> None:
        """`strata` hold treatment and control; `q` is the share, between 0 and 1."""
        self._strata, self._q = strata, q
        self._units = sum(t.n + c.n for t, c in strata)
        weights = [(t.n + c.n) / self._units for t, c in strata]
        spreads = [spread for pair in strata for arm in pair for spread in arm.spreads]
        buckets = np.unique(np.concatenate([list(accumulate(spread.steps)) for spread in spreads]).astype(np.int64))
        self._low, self._high = (end.astype(np.float64) for end in ends_of(buckets))
        self.treatment, self.control = (ArmValues(arms, weights, buckets, q) for arms in zip(*strata, strict=True))

    @property
    def units(self) -> float:
        """The mixture's clock, as of other metrics: N^2 V over N_e V_e of the first stratum that has enough units."""
        first = next((pair for pair in self._strata if min(pair[0].n, pair[1].n) >= gates.EXPOSURES), None)
        if len(self._strata) == 1 or first is None:
            return float(self._units)
        alone = Compared([first], self._q)
        return self._units**2 * self._spread / (alone._units * alone._spread)

    @property
    def _spread(self) -> float:
        return self.treatment.variance + self.control.variance

    def excess(self, ratio: float, alpha: float, sign: float, *, one_sided: bool) -> Excess:
        """By the mixture with tau2/W = `ratio` in each arm. One-sided each end is a bound, and log E of that `sign`."""
        t_low, t_high, c_low, c_high = (
            found
            for arm in (self.treatment, self.control)
            for found in (arm.too_low(ratio, one_sided=one_sided), arm.too_high(ratio, one_sided=one_sided))
        )
        if not one_sided:
            log_e = np.min(np.maximum(t_low[1:], t_high[:-1]) + np.maximum(c_low[1:], c_high[:-1]))
        elif sign > 0.0:
            log_e = np.min(t_low[1:] + c_high[:-1])
        else:
            log_e = np.min(c_low[1:] + t_high[:-1])
        least = -float(np.log(alpha))
        of_treatment, above_control = self._frontier(t_low, c_high, least)
        of_control, above_treatment = self._frontier(c_low, t_high, least)
        lower, upper = np.min(of_treatment - above_control), np.max(above_treatment - of_control)
        ratios = (np.nan, np.nan)
        if of_control.min() > 0.0 and of_treatment.min() >= 0.0:
            ratios = np.min(of_treatment / above_control), np.max(above_treatment / of_control)
        ends = lower, upper, ratios[0] - 1.0, ratios[1] - 1.0
        return Excess(float(log_e), *(float(end) if np.isfinite(end) else np.nan for end in ends))

    def _frontier(self, too_low: Floats, too_high: Floats, least: float) -> tuple[Floats, Floats]:
        """For the low ends of one arm that are not excluded the largest high end of the other that isn't beside it."""
        last = np.searchsorted(too_high, least - too_low) - 1
        held = np.flatnonzero(last >= 0)
        return np.concatenate([[-np.inf], self._low])[held], np.append(self._high, np.inf)[last[held]]
