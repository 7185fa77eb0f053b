"""Intervals: what one look's numbers say of each comparison, by its procedure. Columns, computed together.

Most procedures come down to a multiplier k: the interval is D -+ k SE, the lift's is Fieller's set with the same k.
Boschloo's test has an exact p-value, which stands for a distance of so many standard errors from zero; by as much as
that is less than D/SE is, k is more than the normal distribution's, and the interval excludes zero where the p-value
is below alpha. Its SE is that of the score test, which bears conversions that are rare. A one-sided test has one end; a
guardrail has both, each a one-sided bound: one shows harm, the other that it is safe.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtrit

from evaluation.columns.arrays import Floats, Mask
from evaluation.significance import bayes, boschloo, conversions, fixed, gates, mixture, proportions
from evaluation.significance.comparison import AskedPercentile, Differences, Percentiles
from evaluation.significance.percentiles import Compared
from evaluation.significance.procedures import Procedures
from evaluation.significance.relative import fieller

NEAREST = 1e-12  # to zero, of an end that excludes it


class Coins(NamedTuple):
    """What exact tests see, a row for each stratum: conversions, units, and the treatment's weight within the pair."""

    comparison: Sequence[int]
    conversions: Sequence[int]
    n: Sequence[int]
    control_conversions: Sequence[int]
    control_n: Sequence[int]
    share: Sequence[float]

    def of(self, rows: NDArray[np.int64]) -> tuple[NDArray[Any], ...]:
        """The columns of some comparisons, which are counted anew."""
        comparison = np.asarray(self.comparison)
        is_asked = np.isin(comparison, rows)
        return np.searchsorted(rows, comparison[is_asked]), *(np.asarray(each)[is_asked] for each in self[1:])


class Intervals:
    """One value per comparison; NaN where there is no number, or an open end. `chance` is that of being better."""

    def __init__(
        self,
        procedures: Procedures,
        found: Differences,
        *,
        has_data: Mask,
        is_withheld: Mask,
        is_unusable: Mask,
        is_single: Mask,
        is_few: Mask,
        coins: Coins,
        percentiles: Percentiles,
    ) -> None:
        """`is_single`: one allocation gave both arms a weight; `is_few`: clusters are too few for a t-test.

        `coins` are those of the exact and Boschloo's tests.
        """
        self._found, self._by = found, procedures
        self._says = procedures.has_both | (procedures.sign > 0.0), procedures.has_both | (procedures.sign < 0.0)
        is_exact = procedures.method == "exact"
        self.log_e, self.p_value, self.chance, multiplier = (np.full(len(is_single), np.nan) for _ in range(4))
        is_boschloo, converted = procedures.method == "boschloo", found.nonzero + found.control_nonzero
        varies = found.variance > 0.0
        boschloo_rows = np.flatnonzero(is_boschloo & (converted > 0.0) & (converted < found.n + found.control_n))
        nearer, is_stratified = self._boschloo(boschloo_rows, coins)
        varies[boschloo_rows] |= ~is_stratified[boschloo_rows]

        is_open = gates.is_open(
            found.n, found.control_n, found.nonzero, found.control_nonzero, procedures.is_conversion
        )
        # A fixed-horizon test keeps its numbers where units are few, not where those with a value are.
        is_open |= (
            (procedures.method == "t-test")
            & np.isfinite(found.variance)
            & ~gates.is_rare(found.n, found.control_n, found.nonzero, found.control_nonzero)
        )
        is_open &= ~((procedures.method == "t-test") & is_few)
        for row, (compared, _) in percentiles.items():
            arms = compared.treatment, compared.control
            is_open[row] = all(arm.units >= gates.EXPOSURES and arm.quantile.known >= gates.CONVERTED for arm in arms)
            varies[row] |= procedures.method[row] == "sequential"
        # What is exact approximates nothing: no gate for it.
        is_open[is_boschloo] = np.isfinite(np.where(varies, self.p_value, found.variance))[is_boschloo]
        is_open |= is_exact
        self.status: NDArray[Any] = np.select(
            [~has_data, is_withheld, is_unusable, ~is_open, ~(varies | is_exact)],
            np.array(["no data", "withheld", "unusable", "gated", "zero variance"], dtype=object)[:, None],
            np.array("ok", dtype=object),
        )
        is_ok = self.status == "ok"
        is_judged = is_ok & ~is_exact
        self.p_value[~is_ok] = np.nan
        self._variance = np.where(is_judged, found.variance, np.nan)
        for method, said in (
            ("sequential", self._sequential),
            ("t-test", self._t_test),
            ("bayesian", lambda rows: self._bayesian(rows, is_single)),
        ):
            rows = np.flatnonzero(is_judged & (procedures.method == method))
            if rows.size:
                multiplier[rows] = said(rows)
        rows = boschloo_rows[(is_judged & is_stratified)[boschloo_rows]]
        multiplier[rows] = self._beyond(rows, np.abs(self._z(rows)), nearer[rows])
        self.estimate = found.difference
        self._ends(multiplier)
        for row, (compared, its) in percentiles.items():
            if is_ok[row] and procedures.method[row] == "sequential":
                self._percentile(row, compared, its)
        self._score(boschloo_rows[(is_judged & ~is_stratified)[boschloo_rows]], nearer)
        self._exact(np.flatnonzero(is_ok & is_exact), coins)

    def _z(self, rows: NDArray[np.int64]) -> Floats:
        """In SEs, in the direction of the alternative."""
        return self._by.sign[rows] * self._found.difference[rows] / np.sqrt(self._variance[rows])

    def _sequential(self, rows: NDArray[np.int64]) -> Floats:
        z, alpha, is_one_sided = self._z(rows), self._by.alpha[rows], self._by.is_one_sided[rows]
        tuned = np.where(is_one_sided, 2.0 * alpha, alpha)
        ratio = mixture.mixing_ratio(self._found.units[rows], self._by.planned[rows], tuned)
        log_e = np.where(is_one_sided, mixture.one_sided_log_e(z, ratio), mixture.log_e(z, ratio))
        self.log_e[rows] = log_e
        self.p_value[rows] = np.exp(-np.maximum(log_e, 0.0))
        return np.where(is_one_sided, mixture.one_sided_boundary(ratio, alpha), mixture.multiplier(ratio, alpha))

    def _t_test(self, rows: NDArray[np.int64]) -> Floats:
        found, is_one_sided, alpha = self._found, self._by.is_one_sided[rows], self._by.alpha[rows]
        freedom = fixed.welch_freedom(
            found.treatment_variance[rows], found.n[rows], found.control_variance[rows], found.control_n[rows]
        )
        z, one = self._z(rows), np.ones(len(rows))
        self.p_value[rows] = np.where(
            is_one_sided,
            fixed.t_test(z, one, freedom, alpha, "greater").p_value,
            fixed.t_test(z, one, freedom, alpha).p_value,
        )
        return np.asarray(-stdtrit(freedom, alpha / np.where(is_one_sided, 1.0, 2.0)), np.float64)

    def _boschloo(self, rows: NDArray[np.int64], coins: Coins) -> tuple[Floats, Mask]:
        """The p-values. How many standard errors from zero that on the difference's side is; who has several strata."""
        nearer, is_stratified = np.full(len(self.p_value), np.nan), np.zeros(len(self.p_value), np.bool_)
        if not rows.size:
            return nearer, is_stratified
        comparison, x, n, y, m, _ = coins.of(rows)

        def p_value(side: Floats) -> Floats:
            is_above = side[comparison] > 0.0
            more, units, less, others = (np.where(is_above, *of) for of in ((x, y), (n, m), (y, x), (m, n)))
            return boschloo.one_sided(more, units, less, others, comparison)

        side = np.where(self._found.difference[rows] < 0.0, -1.0, 1.0)
        of_side = p_value(side)
        is_stratified[rows] = np.bincount(comparison, minlength=len(rows)) > 1
        nearer[rows] = np.where(of_side > boschloo.TINY, np.maximum(0.0, -ndtri(of_side)), np.inf)
        is_one_sided, sign = self._by.is_one_sided[rows], self._by.sign[rows]
        asked = p_value(sign) if np.any(is_one_sided & (sign != side)) else of_side
        self.p_value[rows] = np.where(is_one_sided, asked, np.minimum(1.0, 2.0 * of_side))
        return nearer, is_stratified

    def _beyond(self, rows: NDArray[np.int64], distance: Floats, nearer: Floats) -> Floats:
        """The normal distribution's multiplier, more by what a difference at a `distance` of so many SEs is nearer.

        Far out, where p-values end, nothing needs to be more.
        """
        alpha = self._by.alpha[rows] / np.where(self._by.is_one_sided[rows], 1.0, 2.0)
        more = np.where(np.isfinite(nearer), distance - nearer, 0.0)
        return np.asarray(np.maximum(0.0, more - ndtri(alpha)), np.float64)

    def _score(self, rows: NDArray[np.int64], nearer: Floats) -> None:
        """The score test's intervals of conversions, which hold where hardly anybody converts too."""
        if not rows.size:
            return
        found = self._found
        x, n, y, m = (each[rows] for each in (found.nonzero, found.n, found.control_nonzero, found.control_n))
        distance = boschloo.score(x, n, y, m)
        multiplier = self._beyond(rows, np.abs(distance), nearer[rows])
        ends = proportions.score_difference(x, n, y, m, multiplier)
        ratios = proportions.score_ratio(x, n, y, m, multiplier)
        # Of arms of very different sizes an end is so near to zero that roundings decide.
        is_beyond = np.abs(distance) > multiplier
        is_above, is_below = is_beyond & (distance > 0.0), is_beyond & (distance < 0.0)

        def lower(end: Floats) -> Floats:
            return np.where(is_above, np.maximum(end, NEAREST), np.minimum(end, 0.0))

        def upper(end: Floats) -> Floats:
            return np.where(is_below, np.minimum(end, -NEAREST), np.maximum(end, 0.0))

        for name, is_said, end in (
            ("lower", self._says[0], lower(ends[0])),
            ("upper", self._says[1], upper(ends[1])),
            ("relative_lower", self._says[0], lower(ratios[0] - 1.0)),
            ("relative_upper", self._says[1], upper(ratios[1] - 1.0)),
        ):
            getattr(self, name)[rows] = np.where(is_said[rows] & np.isfinite(end), end, np.nan)

    def _bayesian(self, rows: NDArray[np.int64], is_single: Mask) -> Floats:
        """A flat prior, of conversions Beta(1, 1)."""
        found = self._found
        greater = self.chance
        greater[rows] = ndtr(found.difference[rows] / np.sqrt(self._variance[rows]))
        of_one = rows[self._by.is_conversion[rows] & is_single[rows]]
        if of_one.size:
            greater[of_one] = bayes.beta_chance(
                *(each[of_one] for each in (found.nonzero, found.n, found.control_nonzero, found.control_n))
            )
        self.chance = np.where(self._by.is_increase, greater, 1.0 - greater)
        return np.asarray(-ndtri(self._by.alpha[rows] / np.where(self._by.is_one_sided[rows], 1.0, 2.0)), np.float64)

    def _ends(self, multiplier: Floats) -> None:
        found = self._found
        width = multiplier * np.sqrt(self._variance)
        # Relative to |m_c|, so that a lift has the difference's sign.
        size, sign = np.abs(found.baseline), np.sign(found.baseline)
        relative = fieller(
            found.difference,
            self._variance,
            size,
            found.baseline_variance,
            multiplier,
            covariance=sign * found.covariance,
        )
        has_lower, has_upper = self._says
        self.lower = np.where(has_lower, found.difference - width, np.nan)
        self.upper = np.where(has_upper, found.difference + width, np.nan)
        self.relative_estimate = found.difference / np.where(size > 0.0, size, np.nan)
        self.relative_lower = np.where(has_lower, relative[0], np.nan)
        self.relative_upper = np.where(has_upper, relative[1], np.nan)

    def _percentile(self, row: int, compared: Compared, its: AskedPercentile) -> None:
        """Of the sequential test: see percentiles.py."""
        by, alpha = self._by, float(self._by.alpha[row])
        is_one_sided = bool(by.is_one_sided[row])
        tuned = 2.0 * alpha if is_one_sided else alpha
        ratio = float(mixture.mixing_ratio(self._found.units[row], by.planned[row], tuned))
        said = compared.excess(ratio, alpha, float(by.sign[row]), one_sided=is_one_sided)
        self.log_e[row], self.p_value[row] = said.log_e, np.exp(-max(said.log_e, 0.0))
        unit = float(10**its.scale)
        for name, is_said, end in (
            ("lower", self._says[0], said.lower / unit),
            ("upper", self._says[1], said.upper / unit),
            ("relative_lower", self._says[0], said.relative_lower),
            ("relative_upper", self._says[1], said.relative_upper),
        ):
            getattr(self, name)[row] = end if is_said[row] else np.nan

    def _exact(self, rows: NDArray[np.int64], coins: Coins) -> None:
        """Of the risk ratio, less 1: a relative lift. There is no interval of the difference."""
        if not rows.size:
            return
        comparison, x, _, y, _, share = coins.of(rows)
        said = conversions.stratified_evidence(x, y, share, comparison=comparison, alpha=self._by.alpha[rows])
        self.log_e[rows], self.p_value[rows] = said.log_e, said.p_value
        self.relative_estimate[rows] = said.risk_ratio - 1.0
        self.relative_lower[rows] = said.lower - 1.0
        self.relative_upper[rows] = np.where(np.isfinite(said.upper), said.upper - 1.0, np.nan)
