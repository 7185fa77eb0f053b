"""Bayes: the chance that a treatment beats control, and what a wrong choice would cost.

No guarantee on how often it errs when watched; Amplitude's alternative reading, with its priors: Beta(1, 1) for a
conversion, flat for any other mean. Integrals are quadratures, so that the same counts give the same bits.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betainc, betaln, ndtr, ndtri

from evaluation.columns.arrays import Floats

NODES, WEIGHTS = np.polynomial.legendre.leggauss(256)
SPREAD = 12.0  # standard deviations of the posterior on each side of its mean that the quadrature covers


@dataclass(frozen=True, slots=True)
class Posterior:
    """Of the difference: arrays, one value per comparison.

    `risk` is the expected loss of choosing the treatment, `control_risk` of staying with control.
    """

    mean: Floats
    lower: Floats
    upper: Floats
    chance: Floats  # that the treatment is better
    risk: Floats
    control_risk: Floats


def normal_posterior(
    difference: ArrayLike, variance: ArrayLike, alpha: ArrayLike, prior_variance: ArrayLike = np.inf
) -> Posterior:
    """After an estimate with variance V > 0; the prior is normal around zero, flat by default."""
    V = np.asarray(variance, np.float64)
    shrink = 1.0 / (1.0 + V / np.asarray(prior_variance, np.float64))
    mean = np.asarray(difference, np.float64) * shrink
    deviation = np.sqrt(V * shrink)
    width = -ndtri(np.asarray(alpha, np.float64) / 2.0) * deviation
    z = mean / deviation
    density = np.exp(-0.5 * np.square(z)) / np.sqrt(2.0 * np.pi)
    return Posterior(
        mean=mean,
        lower=mean - width,
        upper=mean + width,
        chance=ndtr(z),
        risk=deviation * (density - z * ndtr(-z)),
        control_risk=deviation * (density + z * ndtr(z)),
    )


def beta_mean(conversions: ArrayLike, n: ArrayLike) -> Floats:
    """Posterior mean of a conversion rate."""
    return (1.0 + np.asarray(conversions, np.float64)) / (2.0 + np.asarray(n, np.float64))


def beta_chance(conversions: ArrayLike, n: ArrayLike, control_conversions: ArrayLike, control_n: ArrayLike) -> Floats:
    """P(treatment's rate > control's): the integral of the treatment's density times control's distribution."""
    x, n, y, control_n = (
        np.asarray(each, np.float64)[..., None] for each in (conversions, n, control_conversions, control_n)
    )
    a, b, c, d = 1.0 + x, 1.0 + n - x, 1.0 + y, 1.0 + control_n - y
    mean = a / (a + b)
    deviation = np.sqrt(mean * (1.0 - mean) / (a + b + 1.0))
    low, high = np.maximum(0.0, mean - SPREAD * deviation), np.minimum(1.0, mean + SPREAD * deviation)
    rate = low + (high - low) * (NODES + 1.0) / 2.0
    density = np.exp((a - 1.0) * np.log(rate) + (b - 1.0) * np.log1p(-rate) - betaln(a, b))
    chance = np.sum(WEIGHTS * density * betainc(c, d, rate), axis=-1) * (high - low)[..., 0] / 2.0
    return np.clip(chance, 0.0, 1.0)  # of 10^9 units the logarithms round to a millionth
