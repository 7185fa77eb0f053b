"""Intervals: what one look's numbers say of each comparison, by its procedure. Columns, computed together.

Every procedure but the exact one comes down to a multiplier k: its interval is D -+ k SE, the lift's is Fieller's set
with the same k. A one-sided test has one end; a guardrail has both, each a one-sided bound: one shows harm, the other
that it is safe.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtrit

from evaluation.significance import bayes, conversions, fixed, gates, mixture
from evaluation.significance.comparison import Comparison, Differences
from evaluation.significance.moments import Floats
from evaluation.significance.procedures import Procedure
from evaluation.significance.relative import fieller
from schemas.look import Status

Mask = NDArray[np.bool_]


class Intervals:
    """One value per comparison; NaN where there is no number, infinite where an end is open."""

    def __init__(
        self,
        comparisons: Sequence[Comparison],
        procedures: Sequence[Procedure],
        found: Differences,
        shares: Sequence[Sequence[float]],
        is_withheld: Mask,
    ) -> None:
        """`shares` are the treatment's weights within the pair, one for each stratum of a comparison."""
        self._found = found
        self._method = np.array([each.method for each in procedures], dtype=object)
        self._alpha = np.array([each.alpha for each in procedures], np.float64)
        self._is_one_sided = np.array([each.alternative != "two-sided" for each in procedures], np.bool_)
        self._sign = np.array([-1.0 if each.alternative == "less" else 1.0 for each in procedures])
        self._is_conversion = np.array([each.is_conversion for each in procedures], np.bool_)

        self.status = self._status(comparisons, is_withheld)
        judged = np.array([status == "ok" for status in self.status], np.bool_) & (self._method != "exact")
        self._variance = np.where(judged, found.variance, np.nan)
        self.log_e, self.p_value, self.chance = (np.full(len(comparisons), np.nan) for _ in range(3))
        multiplier = np.full(len(comparisons), np.nan)
        planned = np.array([each.planned or np.nan for each in procedures], np.float64)
        for method, said in (
            ("sequential", lambda rows: self._sequential(rows, planned)),
            ("t-test", self._t_test),
            ("bayesian", lambda rows: self._bayesian(rows, comparisons)),
        ):
            rows = np.flatnonzero(judged & (self._method == method))
            if rows.size:
                multiplier[rows] = said(rows)
        self._ends(multiplier, procedures)
        self._exact(comparisons, shares)

    def _status(self, comparisons: Sequence[Comparison], is_withheld: Mask) -> list[Status]:
        """A fixed-horizon test keeps all its numbers, and the exact one approximates nothing: no gate for them."""
        found = self._found
        has_data = np.array([min(each.treatment.n, each.control.n) > 0 for each in comparisons], np.bool_)
        is_open = gates.is_open(found.n, found.control_n, found.nonzero, found.control_nonzero, self._is_conversion)
        is_open |= (self._method == "t-test") & np.isfinite(found.variance) | (self._method == "exact")
        has_variance = (found.variance > 0.0) | (self._method == "exact")
        status: list[Status] = np.select(
            [~has_data, is_withheld, ~is_open, ~has_variance],
            np.array(["no data", "withheld", "gated", "zero variance"], dtype=object)[:, None],
            "ok",
        ).tolist()
        return status

    def _z(self, rows: NDArray[np.int64]) -> Floats:
        """In SEs, in the direction of the alternative."""
        return self._sign[rows] * self._found.difference[rows] / np.sqrt(self._variance[rows])

    def _sequential(self, rows: NDArray[np.int64], planned: Floats) -> Floats:
        z, alpha, is_one_sided = self._z(rows), self._alpha[rows], self._is_one_sided[rows]
        tuned = np.where(is_one_sided, 2.0 * alpha, alpha)
        ratio = mixture.mixing_ratio(self._found.units[rows], planned[rows], tuned)
        log_e = np.where(is_one_sided, mixture.one_sided_log_e(z, ratio), mixture.log_e(z, ratio))
        self.log_e[rows] = log_e
        self.p_value[rows] = np.exp(-np.maximum(log_e, 0.0))
        return np.where(is_one_sided, mixture.one_sided_boundary(ratio, alpha), mixture.multiplier(ratio, alpha))

    def _t_test(self, rows: NDArray[np.int64]) -> Floats:
        found, is_one_sided = self._found, self._is_one_sided[rows]
        freedom = fixed.welch_freedom(
            found.treatment_variance[rows], found.n[rows], found.control_variance[rows], found.control_n[rows]
        )
        z, one = self._z(rows), np.ones(len(rows))
        self.p_value[rows] = np.where(
            is_one_sided,
            fixed.t_test(z, one, freedom, self._alpha[rows], "greater").p_value,
            fixed.t_test(z, one, freedom, self._alpha[rows]).p_value,
        )
        return np.asarray(-stdtrit(freedom, self._alpha[rows] / np.where(is_one_sided, 1.0, 2.0)), np.float64)

    def _bayesian(self, rows: NDArray[np.int64], comparisons: Sequence[Comparison]) -> Floats:
        """`chance` that the treatment's value is the greater one; a flat prior, of conversions Beta(1, 1)."""
        self.chance[rows] = ndtr(self._found.difference[rows] / np.sqrt(self._variance[rows]))
        of_one = [row for row in rows.tolist() if self._is_conversion[row] and len(comparisons[row].strata) == 1]
        if of_one:
            arms = [comparisons[row].strata[0] for row in of_one]
            x, n, y, control_n = np.array([(t.nonzero, t.n, c.nonzero, c.n) for t, c in arms], np.float64).T
            self.chance[of_one] = bayes.beta_chance(x, n, y, control_n)
        return np.asarray(-ndtri(self._alpha[rows] / np.where(self._is_one_sided[rows], 1.0, 2.0)), np.float64)

    def _ends(self, multiplier: Floats, procedures: Sequence[Procedure]) -> None:
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
        has_both = np.array([each.alternative == "two-sided" or each.is_guardrail for each in procedures], np.bool_)
        has_lower, has_upper = has_both | (self._sign > 0.0), has_both | (self._sign < 0.0)
        self.lower = np.where(has_lower, found.difference - width, -np.inf)
        self.upper = np.where(has_upper, found.difference + width, np.inf)
        self.relative_estimate = found.difference / np.where(size > 0.0, size, np.nan)
        self.relative_lower = np.where(has_lower, relative[0], -np.inf)
        self.relative_upper = np.where(has_upper, relative[1], np.inf)

    def _exact(self, comparisons: Sequence[Comparison], shares: Sequence[Sequence[float]]) -> None:
        """Of the risk ratio, less 1: a relative lift. There is no interval of the difference."""
        rows = np.array(
            [row for row in np.flatnonzero(self._method == "exact") if self.status[row] == "ok"], dtype=np.int64
        )
        if not rows.size:
            return
        each = [
            (at, treated.nonzero, control.nonzero, share)
            for at, row in enumerate(rows.tolist())
            for (treated, control), share in zip(comparisons[row].strata, shares[row], strict=True)
        ]
        group, x, y, share = (np.array(column) for column in zip(*each, strict=True))
        said = conversions.stratified_evidence(x, y, share, comparison=group, alpha=self._alpha[rows])
        self.log_e[rows], self.p_value[rows] = said.log_e, said.p_value
        self.relative_estimate[rows] = said.risk_ratio - 1.0
        self.relative_lower[rows], self.relative_upper[rows] = said.lower - 1.0, said.upper - 1.0
