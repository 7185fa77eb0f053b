"""Conversions: an exact sequential test for rare conversions, that sees nothing but the conversions themselves.

Units enter the treatment with probability pi. If the arms convert alike, every conversion belongs to the treatment with
probability pi, whenever it comes: a coin flip. With X_t and X_c conversions, mixing over a Beta(a, b) around pi,

    log E(q) = ln B(a + X_t, b + X_c) - ln B(a, b) - X_t ln q - X_c ln(1 - q)

at q = pi is the evidence against "alike". All q with log E(q) < ln(1/alpha) are the confidence sequence of the
treatment's share of conversions, and q/(1 - q) (1 - pi)/pi, which rises with q, that of the risk ratio. No variance, no
approximation: valid from the first conversion (Lindon and Malek, arXiv:2011.03567). Where allocations followed one
another, each is a coin of its own with one risk ratio behind all of them: their log E add. Simulated, it is as powerful
as the normal mixture up to a base rate of about 2 %, and more so in unequal splits; at 40 % it is poor.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaln, expit, logit

from evaluation.columns.arrays import Floats
from evaluation.significance.bisection import edge

CONCENTRATION = 100.0  # a + b: how near to pi the mixture expects the share (savvi's default)
FARTHEST = 36.0  # log odds of a rate that is 1 but for the last bit
BEYOND = 745.0  # log odds of a rate that is 0 or 1


@dataclass(frozen=True, slots=True)
class ExactEvidence:
    """Arrays, one value per comparison. `lower` and `upper` bound the risk ratio: 0 and infinity where nothing does."""

    log_e: Floats
    p_value: Floats
    risk_ratio: Floats  # NaN without conversions in control
    lower: Floats
    upper: Floats


def exact_evidence(
    conversions: ArrayLike,
    control_conversions: ArrayLike,
    share: ArrayLike,
    alpha: ArrayLike,
    concentration: float = CONCENTRATION,
) -> ExactEvidence:
    """The test and the risk ratio's confidence sequence; `share` is pi, the treatment's weight within the pair."""
    columns = np.broadcast_arrays(*(np.asarray(each, np.float64) for each in (conversions, control_conversions, share)))
    x, y, share = (column.ravel() for column in columns)
    shape = np.broadcast_shapes(columns[0].shape, np.shape(alpha))
    alpha = np.broadcast_to(np.asarray(alpha, np.float64), shape).ravel()
    return _reshaped(
        stratified_evidence(x, y, share, comparison=np.arange(len(x)), alpha=alpha, concentration=concentration), shape
    )


def stratified_evidence(
    conversions: ArrayLike,
    control_conversions: ArrayLike,
    share: ArrayLike,
    *,
    comparison: NDArray[np.int64],
    alpha: Floats,
    concentration: float = CONCENTRATION,
) -> ExactEvidence:
    """The same of comparisons with several allocations: a row is one of a `comparison`, an index of `alpha`."""
    x, y, share = (np.asarray(each, np.float64) for each in (conversions, control_conversions, share))
    mixed = _mixed(x, y, concentration * share, concentration * (1.0 - share))
    coins = _Coins(x=x, y=y, mixed=mixed, offset=logit(share), group=comparison, groups=len(alpha))
    log_e = coins.log_e(np.zeros_like(alpha))
    likeliest = coins.likeliest()
    with np.errstate(over="ignore"):
        lower, upper = (np.exp(end) for end in coins.bounds(likeliest, alpha))
        ratio = np.exp(np.where(coins.total(x) > 0.0, likeliest, -np.inf))
    return ExactEvidence(
        log_e=log_e,
        p_value=np.exp(-np.maximum(log_e, 0.0)),
        risk_ratio=np.where(coins.total(y) > 0.0, ratio, np.nan),
        lower=lower,
        upper=upper,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Coins:
    """Rows of successes x and failures y, which come with log odds that are an offset and a shift of the `group`."""

    x: Floats
    y: Floats
    mixed: Floats  # the log of their likelihood, mixed over Beta(a, b)
    offset: Floats
    group: NDArray[np.int64]
    groups: int

    def total(self, rows: Floats) -> Floats:
        return np.bincount(self.group, rows, minlength=self.groups).astype(np.float64)

    def log_e(self, shift: Floats) -> Floats:
        log_odds = self.offset + shift[self.group]
        # -ln q and -ln(1 - q) of the log odds
        return self.total(self.mixed + self.x * np.logaddexp(0.0, -log_odds) + self.y * np.logaddexp(0.0, log_odds))

    def likeliest(self) -> Floats:
        """The shift that expects as many successes as there are."""

        def expects_enough(shift: Floats) -> NDArray[np.bool_]:
            expected = (self.x + self.y) * expit(self.offset + shift[self.group])
            return self.total(self.x - expected) <= 0.0

        far = np.full(self.groups, BEYOND)
        return edge(-far, far, expects_enough)

    def bounds(self, likeliest: Floats, alpha: Floats) -> tuple[Floats, Floats]:
        """Where log E, which falls towards the likeliest shift and rises beyond it, is ln(1/alpha); else infinite."""
        both = self.twice()
        threshold = np.tile(-np.log(alpha), 2)
        end = np.repeat([-BEYOND, BEYOND], self.groups)
        inner = edge(end, np.tile(likeliest, 2), lambda shift: both.log_e(shift) < threshold)
        lower, upper = np.split(np.where(both.log_e(end) < threshold, end * np.inf, inner), 2)
        return lower, upper

    def twice(self) -> "_Coins":
        """The same again behind it, as groups of its own."""
        rows = {name: np.tile(getattr(self, name), 2) for name in ("x", "y", "mixed", "offset")}
        return _Coins(**rows, group=np.concatenate([self.group, self.group + self.groups]), groups=2 * self.groups)


def _reshaped(evidence: ExactEvidence, shape: tuple[int, ...]) -> ExactEvidence:
    columns = (evidence.log_e, evidence.p_value, evidence.risk_ratio, evidence.lower, evidence.upper)
    return ExactEvidence(*(column.reshape(shape) for column in columns))


def log_mixture(successes: ArrayLike, failures: ArrayLike, a: ArrayLike, b: ArrayLike, share: ArrayLike) -> Floats:
    """log E(q) for q = `share`, mixed over Beta(a, b)."""
    x, y, a, b, share = (np.asarray(each, np.float64) for each in (successes, failures, a, b, share))
    return _mixed(x, y, a, b) - x * np.log(share) - y * np.log1p(-share)


def _mixed(x: Floats, y: Floats, a: Floats, b: Floats) -> Floats:
    return np.asarray(betaln(a + x, b + y) - betaln(a, b))


def log_odds_bounds(
    successes: ArrayLike, failures: ArrayLike, a: ArrayLike, b: ArrayLike, alpha: ArrayLike
) -> tuple[Floats, Floats]:
    """ln(q/(1 - q)) at both ends of the confidence sequence of a share: -inf, inf where nothing bounds it."""
    columns = np.broadcast_arrays(*(np.asarray(each, np.float64) for each in (successes, failures, a, b, alpha)))
    x, y, a, b, alpha = (column.ravel() for column in columns)
    coins = _Coins(x=x, y=y, mixed=_mixed(x, y, a, b), offset=np.zeros_like(x), group=np.arange(len(x)), groups=len(x))
    lower, upper = coins.bounds(coins.likeliest(), alpha)
    return lower.reshape(columns[0].shape), upper.reshape(columns[0].shape)


def share_bounds(
    successes: ArrayLike, failures: ArrayLike, a: ArrayLike, b: ArrayLike, alpha: ArrayLike
) -> tuple[Floats, Floats]:
    """The confidence sequence of one arm's conversion rate. For notebooks: looks compare arms, and bound none alone."""
    lower, upper = log_odds_bounds(successes, failures, a, b, alpha)
    return expit(lower), expit(upper)


def centred_share_bounds(
    successes: ArrayLike, failures: ArrayLike, concentration: ArrayLike, alpha: ArrayLike
) -> tuple[Floats, Floats]:
    """The same with a mixture around each rate q in question, Beta(k q, k (1 - q)) with k = `concentration`.

    Narrowest after about k c_alpha units whatever the rate (Howard et al. arXiv:1810.08240, confseq).
    """
    x, y, k, alpha = np.broadcast_arrays(
        *(np.asarray(each, np.float64) for each in (successes, failures, concentration, alpha))
    )

    def is_accepted(log_odds: Floats) -> NDArray[np.bool_]:
        rate = expit(log_odds)
        return log_mixture(x, y, k * rate, k * (1.0 - rate), rate) < -np.log(alpha)

    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.clip(np.where(x + y > 0.0, logit(x / np.maximum(x + y, 1.0)), 0.0), -FARTHEST, FARTHEST)
    far = np.full(found.shape, FARTHEST)
    return expit(edge(-far, found, is_accepted)), expit(edge(far, found, is_accepted))
