"""Power: how many units a difference takes to be seen, and how likely it is seen with those at hand.

Of a single look. Watched continuously, a sequential test has crossed before in some experiments, so that it needs about
0.83 of the units that `sequential_growth` says (simulated, where these are about the planned ones or more).
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri

from evaluation.significance import mixture

Floats = NDArray[np.float64]


def fixed_power(effect: ArrayLike, variance: ArrayLike, alpha: ArrayLike) -> Floats:
    """The chance that a two-sided z-test sees `effect` when the difference's variance (SE^2) is `variance`."""
    z = np.abs(np.asarray(effect, np.float64)) / np.sqrt(np.asarray(variance, np.float64))
    width = -ndtri(np.asarray(alpha, np.float64) / 2.0)
    return ndtr(z - width) + ndtr(-z - width)


def fixed_units(
    effect: ArrayLike, variances: tuple[ArrayLike, ArrayLike], ratio: ArrayLike, alpha: ArrayLike, power: ArrayLike
) -> Floats:
    """Units of control that a two-sided z-test needs, for `ratio` times as many of the treatment.

    (z_{1-alpha/2} + z_power)^2 (s2_c + s2_t/ratio)/effect^2, `variances` s2 of one unit in control and treatment.
    """
    quantiles = -ndtri(np.asarray(alpha, np.float64) / 2.0) + ndtri(np.asarray(power, np.float64))
    control_variance, variance = (np.asarray(each, np.float64) for each in variances)
    spread = control_variance + variance / np.asarray(ratio, np.float64)
    return np.square(quantiles / np.asarray(effect, np.float64)) * spread


def detectable(variance: ArrayLike, alpha: ArrayLike, power: ArrayLike) -> Floats:
    """The smallest effect that a two-sided z-test sees with this power, `variance` being SE^2 of the difference."""
    quantiles = -ndtri(np.asarray(alpha, np.float64) / 2.0) + ndtri(np.asarray(power, np.float64))
    return quantiles * np.sqrt(np.asarray(variance, np.float64))


def sequential_power(
    effect: ArrayLike, variance: ArrayLike, units: ArrayLike, planned: ArrayLike, alpha: ArrayLike
) -> Floats:
    """The chance that the confidence sequence excludes zero at the look after `units` of the pair."""
    error = np.sqrt(np.asarray(variance, np.float64))
    width = mixture.multiplier(mixture.mixing_ratio(units, planned, alpha), alpha)
    z = np.asarray(effect, np.float64) / error
    return ndtr(z - width) + ndtr(-z - width)


def sequential_growth(
    effect: ArrayLike,
    variance: ArrayLike,
    units: ArrayLike,
    planned: ArrayLike,
    alpha: ArrayLike,
    *,
    power: ArrayLike,
) -> Floats:
    """By which factor `units` must grow for `sequential_power` to reach `power`; 1 where it does already."""
    effect, variance, units, planned, alpha, power = np.broadcast_arrays(
        *(np.asarray(each, np.float64) for each in (effect, variance, units, planned, alpha, power))
    )
    low, high = np.zeros(effect.shape), np.full(effect.shape, 60.0)  # of ln(factor): power rises with it
    for _ in range(100):
        half = (low + high) / 2.0
        enough = sequential_power(effect, variance / np.exp(half), units * np.exp(half), planned, alpha) >= power
        low, high = np.where(enough, low, half), np.where(enough, half, high)
    return np.exp(high)
