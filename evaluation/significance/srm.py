"""SRM: does the split of units match the weights? A sequential test, valid at every look.

Lindon and Malek (arXiv:2011.03567): the Bayes factor of "some other split", a Dirichlet around the weights, against the
weights. It depends on cumulative counts only, so batching cannot change it. Allocations are independent experiments in
splitting: their log Bayes factors add.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtrc, gammaln

Floats = NDArray[np.float64]

ALPHA = 0.01
CONCENTRATION = 1_000.0  # finds a split of 51/49 soonest (simulated among 100, 1,000, 10,000)


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


def chi_squared(counts: Sequence[int], weights: Sequence[float]) -> tuple[float, float]:
    """Pearson's statistic and p-value: of a single look."""
    n = np.asarray(counts, np.float64)
    expected = np.asarray(weights, np.float64) / np.sum(weights) * n.sum()
    statistic = float(np.sum(np.square(n - expected) / expected))
    return statistic, float(chdtrc(len(counts) - 1, statistic))
