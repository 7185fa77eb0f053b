"""Conversions: an exact sequential test for rare conversions, that sees nothing but the conversions themselves.

Units enter the treatment with probability pi. If the arms convert alike, every conversion belongs to the treatment with
probability pi, whenever it comes: a coin flip. With X_t and X_c conversions, mixing over a Beta(a, b) around pi,

    log E(q) = ln B(a + X_t, b + X_c) - ln B(a, b) - X_t ln q - X_c ln(1 - q)

at q = pi is the evidence against "alike". All q with log E(q) < ln(1/alpha) are the confidence sequence of the
treatment's share of conversions, and q/(1 - q) (1 - pi)/pi, which rises with q, that of the risk ratio. No variance, no
approximation: valid from the first conversion (Lindon and Malek, arXiv:2011.03567). Simulated, it is as powerful as the
normal mixture up to a base rate of about 2 %, and more so in unequal splits; at 40 % it is poor.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaln, expit, logit

from evaluation.significance.bisection import edge

Floats = NDArray[np.float64]

CONCENTRATION = 100.0  # a + b: how near to pi the mixture expects the share (savvi's default)
BISECTIONS = 100  # of the log odds: down to the last bit
FARTHEST = 36.0  # log odds of a rate that is 1 but for the last bit


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
    x, y = np.asarray(conversions, np.float64), np.asarray(control_conversions, np.float64)
    share = np.asarray(share, np.float64)
    a, b = concentration * share, concentration * (1.0 - share)
    log_e = log_mixture(x, y, a, b, share)
    odds = share / (1.0 - share)
    lower, upper = log_odds_bounds(x, y, a, b, alpha)
    with np.errstate(divide="ignore", invalid="ignore"):
        risk_ratio = np.where(y > 0.0, x / y, np.nan) / odds
        return ExactEvidence(
            log_e, np.exp(-np.maximum(log_e, 0.0)), risk_ratio, np.exp(lower) / odds, np.exp(upper) / odds
        )


def log_mixture(successes: ArrayLike, failures: ArrayLike, a: ArrayLike, b: ArrayLike, share: ArrayLike) -> Floats:
    """log E(q) for q = `share`, mixed over Beta(a, b)."""
    x, y, a, b, share = (np.asarray(each, np.float64) for each in (successes, failures, a, b, share))
    return betaln(a + x, b + y) - betaln(a, b) - x * np.log(share) - y * np.log1p(-share)


def log_odds_bounds(
    successes: ArrayLike, failures: ArrayLike, a: ArrayLike, b: ArrayLike, alpha: ArrayLike
) -> tuple[Floats, Floats]:
    """ln(q/(1 - q)) at both ends of the confidence sequence of a share: -inf, inf where only successes or failures are.

    log E falls towards the observed share and rises beyond it, so each end is found by bisection.
    """
    x, y, a, b, alpha = np.broadcast_arrays(
        *(np.asarray(each, np.float64) for each in (successes, failures, a, b, alpha))
    )
    evidence, threshold = betaln(a + x, b + y) - betaln(a, b), -np.log(alpha)

    def contradicts(log_odds: Floats) -> NDArray[np.bool_]:
        # -ln q and -ln(1 - q) of the log odds
        likelihood = x * np.logaddexp(0.0, -log_odds) + y * np.logaddexp(0.0, log_odds)
        return evidence + likelihood >= threshold

    with np.errstate(divide="ignore", invalid="ignore"):
        middle = np.clip(np.where(x + y > 0.0, logit(x / np.maximum(x + y, 1.0)), 0.0), -700.0, 700.0)
    ends = []
    for far in (-745.0, 745.0):
        outside, inside = np.full_like(middle, far), middle.copy()
        bounded = contradicts(outside)
        for _ in range(BISECTIONS):
            half = (outside + inside) / 2.0
            is_outside = contradicts(half)
            outside, inside = np.where(is_outside, half, outside), np.where(is_outside, inside, half)
        ends.append(np.where(bounded, inside, np.sign(far) * np.inf))
    return ends[0], ends[1]


def share_bounds(
    successes: ArrayLike, failures: ArrayLike, a: ArrayLike, b: ArrayLike, alpha: ArrayLike
) -> tuple[Floats, Floats]:
    """The confidence sequence of one arm's conversion rate."""
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
