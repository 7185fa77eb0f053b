"""Intervals: what one look's numbers say of each comparison, by its procedure. Columns, computed together.

Every procedure but the exact one comes down to a multiplier k: its interval is D -+ k SE, the lift's is Fieller's set
with the same k. A one-sided test has one end; a guardrail has both, each a one-sided bound: one shows harm, the other
that it is safe.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtrit

from evaluation.significance import bayes, conversions, fixed, gates, mixture
from evaluation.significance.comparison import Differences
from evaluation.significance.moments import Floats
from evaluation.significance.procedures import Procedures
from evaluation.significance.relative import fieller

Mask = NDArray[np.bool_]


class Coins(NamedTuple):
    """What the exact test sees, a row for each stratum: conversions, and the treatment's weight within the pair."""

    comparison: Sequence[int]
    conversions: Sequence[int]
    control_conversions: Sequence[int]
    share: Sequence[float]


class Intervals:
    """One value per comparison; NaN where there is no number, or an open end. `chance` is that of being better."""

    def __init__(
        self,
        procedures: Procedures,
        found: Differences,
        *,
        has_data: Mask,
        is_withheld: Mask,
        is_single: Mask,
        coins: Coins,
    ) -> None:
        """`is_single`: one allocation gave both arms a weight; `coins` are those of the comparisons tested exactly."""
        self._found, self._by = found, procedures
        is_exact = procedures.method == "exact"
        is_open = gates.is_open(
            found.n, found.control_n, found.nonzero, found.control_nonzero, procedures.is_conversion
        )
        # A fixed-horizon test keeps all its numbers, and the exact one approximates nothing: no gate for them.
        is_open |= (procedures.method == "t-test") & np.isfinite(found.variance) | is_exact
        self.status: NDArray[Any] = np.select(
            [~has_data, is_withheld, ~is_open, ~((found.variance > 0.0) | is_exact)],
            np.array(["no data", "withheld", "gated", "zero variance"], dtype=object)[:, None],
            np.array("ok", dtype=object),
        )
        is_ok = self.status == "ok"
        is_judged = is_ok & ~is_exact
        self._variance = np.where(is_judged, found.variance, np.nan)
        self.log_e, self.p_value, self.chance, multiplier = (np.full(len(is_ok), np.nan) for _ in range(4))
        for method, said in (
            ("sequential", self._sequential),
            ("t-test", self._t_test),
            ("bayesian", lambda rows: self._bayesian(rows, is_single)),
        ):
            rows = np.flatnonzero(is_judged & (procedures.method == method))
            if rows.size:
                multiplier[rows] = said(rows)
        self.estimate = found.difference
        self._ends(multiplier)
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
        has_lower, has_upper = self._by.has_both | (self._by.sign > 0.0), self._by.has_both | (self._by.sign < 0.0)
        self.lower = np.where(has_lower, found.difference - width, np.nan)
        self.upper = np.where(has_upper, found.difference + width, np.nan)
        self.relative_estimate = found.difference / np.where(size > 0.0, size, np.nan)
        self.relative_lower = np.where(has_lower, relative[0], np.nan)
        self.relative_upper = np.where(has_upper, relative[1], np.nan)

    def _exact(self, rows: NDArray[np.int64], coins: Coins) -> None:
        """Of the risk ratio, less 1: a relative lift. There is no interval of the difference."""
        if not rows.size:
            return
        comparison = np.asarray(coins.comparison)
        is_asked = np.isin(comparison, rows)
        x, y, share = (np.asarray(column)[is_asked] for column in coins[1:])
        said = conversions.stratified_evidence(
            x, y, share, comparison=np.searchsorted(rows, comparison[is_asked]), alpha=self._by.alpha[rows]
        )
        self.log_e[rows], self.p_value[rows] = said.log_e, said.p_value
        self.relative_estimate[rows] = said.risk_ratio - 1.0
        self.relative_lower[rows] = said.lower - 1.0
        self.relative_upper[rows] = np.where(np.isfinite(said.upper), said.upper - 1.0, np.nan)
