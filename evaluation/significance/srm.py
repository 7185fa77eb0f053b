"""SRM: does the split of units match the weights? A sequential test, valid at every look.

Lindon and Malek (arXiv:2011.03567): the Bayes factor of "some other split", a Dirichlet around the weights, against the
weights. It depends on cumulative counts only, so batching cannot change it. Allocations are independent experiments in
splitting: their log Bayes factors add.

A look's health has the Bayes factor. What else is here is for finding the cause in a notebook: how far off each arm is
(`share_bounds`), and tests of one look (`chi_squared`, `binomial`), which alarm in vain when they are watched.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtrc, expit, gammaln, xlogy

from evaluation.columns.arrays import Floats
from evaluation.significance.bisection import edge

CONCENTRATION = 1_000.0  # finds a split of 51/49 soonest (simulated among 100, 1,000, 10,000)
FARTHEST = 700.0  # log odds beyond which a share is 0 or 1


def log_bayes_factor(counts: ArrayLike, weights: ArrayLike, concentration: float = CONCENTRATION) -> Floats:
    """The log Bayes factor of one allocation at each look.

    `counts` are the units per arm, (..., arms), `weights` the arms' weights, (arms,), each above 0, of any sum.
    """
    n = np.asarray(counts, np.float64)
    share = np.asarray(weights, np.float64) / np.sum(weights)
    prior = concentration * share
    return np.asarray(
        gammaln(concentration)
        - gammaln(concentration + n.sum(-1))
        + np.sum(gammaln(prior + n) - gammaln(prior) - n * np.log(share), axis=-1)
    )


def p_value(log_bayes_factor: ArrayLike) -> Floats:
    """min(1, 1/BF): below alpha at any look with chance alpha at most when the split is right."""
    return np.asarray(np.exp(-np.maximum(log_bayes_factor, 0.0)))


def share_bounds(
    counts: Sequence[int], weights: Sequence[float], alpha: float, concentration: float = CONCENTRATION
) -> tuple[Floats, Floats]:
    """Confidence sequences of all arms' shares at once: every split that the Bayes factor does not contradict.

    For a share q of one arm the others' likeliest shares are in proportion to their counts.
    """
    n = np.asarray(counts, np.float64)
    rest = n.sum() - n
    # log_bayes_factor against q in place of the weights, less what depends on q
    against = log_bayes_factor(counts, weights, concentration) + np.sum(
        n * np.log(np.asarray(weights) / np.sum(weights))
    )
    against -= np.sum(xlogy(n, n)) - xlogy(n, n) - xlogy(rest, rest)

    def is_accepted(log_odds: Floats) -> NDArray[np.bool_]:
        return against + n * np.logaddexp(0.0, -log_odds) + rest * np.logaddexp(0.0, log_odds) < -np.log(alpha)

    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.clip(np.where(n + rest > 0.0, np.log(n) - np.log(rest), 0.0), -FARTHEST, FARTHEST)
    far = np.full_like(n, FARTHEST)
    return expit(edge(-far, found, is_accepted)), expit(edge(far, found, is_accepted))


def chi_squared(counts: ArrayLike, weights: ArrayLike, continuity: float = 0.0) -> tuple[Floats, Floats]:
    """Pearson's statistic and p-value at each look, of which one may be made; arguments as of the Bayes factor.

    Yates's `continuity`, for two arms, is half a unit.
    """
    n = np.asarray(counts, np.float64)
    expected = np.asarray(weights, np.float64) / np.sum(weights) * n.sum(-1, keepdims=True)
    statistic = np.sum(np.square(np.maximum(np.abs(n - expected) - continuity, 0.0)) / expected, axis=-1)
    return np.asarray(statistic), np.asarray(chdtrc(n.shape[-1] - 1, statistic))


def binomial(counts: tuple[int, int], weights: tuple[float, float]) -> float:
    """The exact p-value of two arms' split: of a single look, and of events per time when weights are durations."""
    from scipy.stats import binomtest  # noqa: PLC0415 (slow to import, and no stage needs it)

    return float(binomtest(counts[1], sum(counts), weights[1] / sum(weights)).pvalue)
