"""Heterogeneity: does an effect differ between slices, or is one striking slice what chance gives to one of many?

Cochran (1954): of k independent estimates D_i with variances V_i, Q = sum w_i (D_i - D)^2, where w_i = 1/V_i and D is
their weighted mean. If all estimate the same effect, Q has a chi-squared distribution with k - 1 degrees of freedom.
It is the Wald test of the slices' interaction with the treatment, their covariances being zero.
"""

from collections.abc import Sequence

import numpy as np
from scipy.special import chdtrc


def cochran_q(estimates: Sequence[float], variances: Sequence[float]) -> tuple[float, float]:
    """Q and its p-value for one look, of two estimates or more, each variance above 0."""
    weight = 1.0 / np.asarray(variances, np.float64)
    estimate = np.asarray(estimates, np.float64)
    mean = float(np.sum(weight * estimate) / np.sum(weight))
    statistic = float(np.sum(weight * np.square(estimate - mean)))
    return statistic, float(chdtrc(len(estimate) - 1, statistic))
