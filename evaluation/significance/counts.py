"""Counts: events of a process with a known expectation, watched one by one: are there more of them than expected?

With v events expected so far and s more seen, a centred Poisson process is at s after the intrinsic time v, and
exp(lambda s - v (e^(c lambda) - 1 - c lambda)/c^2) with lambda > 0 is a supermartingale, c = 1. Mixed over a gamma
distribution of e^(c lambda), cut off at 1 (Howard et al. arXiv:1810.08240, proposition 10), with r = rho/c^2:

    log E = r ln r - ln Gamma(r, r) + ln Gamma(s/c + v/c^2 + r, v/c^2 + r) - (s/c + v/c^2 + r) ln(v/c^2 + r) + v/c^2

It holds for event counts of technical canaries whose expectation is known, which a notebook can watch. No metric is
judged by it: an experiment's expectation is control, and its events come in bursts by unit, which are not Poisson;
there, units are compared.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaincc, gammaln

from evaluation.columns.arrays import Floats
from evaluation.significance import mixture
from evaluation.significance.bisection import edge


def rho(planned: ArrayLike, alpha: ArrayLike) -> Floats:
    """The mixture's parameter that brings the bound nearest when `planned` events were expected."""
    return np.asarray(planned, np.float64) / mixture.tuning(2.0 * np.asarray(alpha, np.float64))


def log_e(excess: ArrayLike, expected: ArrayLike, rho: ArrayLike, step: ArrayLike = 1.0) -> Floats:
    """The evidence that there are more: `excess` s over `expected` v > 0; `step` is c, what one event adds to s."""
    s, v, rho, c = (np.asarray(each, np.float64) for each in (excess, expected, rho, step))
    r, time = rho / np.square(c), (v + rho) / np.square(c)
    shape = np.maximum(s / c + time, np.finfo(np.float64).tiny)
    return (
        r * np.log(r) - _log_upper_gamma(r, r) + _log_upper_gamma(shape, time) - shape * np.log(time) + v / np.square(c)
    )


def bound(expected: ArrayLike, rho: ArrayLike, alpha: ArrayLike, step: ArrayLike = 1.0) -> Floats:
    """The excess at which `log_e` reaches ln(1/alpha)."""
    v, rho, alpha, c = (
        np.asarray(each, np.float64) for each in np.broadcast_arrays(*map(np.asarray, (expected, rho, alpha, step)))
    )
    # An excess beyond it: x ln x - x grows faster than the threshold.
    far = 100.0 * (v + rho + c * c * (1.0 - np.log(alpha)))
    return edge(np.zeros_like(v), far, lambda excess: log_e(excess, v, rho, c) >= -np.log(alpha))


def _log_upper_gamma(shape: Floats, x: Floats) -> Floats:
    """ln of the upper incomplete gamma function."""
    return np.asarray(gammaln(shape) + np.log(gammaincc(shape, x)), np.float64)
