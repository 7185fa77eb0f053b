"""Power: how many units a difference takes to be seen, and how likely it is seen with those at hand.

Of a single look, and of a sequential test that is watched all the time: it has crossed before in some experiments, so
that it needs fewer units than its last look alone (`earlier`). `share_units` and `arcsine_effect` are other planners'
rules for conversions, to compare with: our tests don't pool the variance of two rates, so plans go by `fixed_units`.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln, nctdtr, ndtr, ndtri, stdtrit, xlog1py, xlogy

from evaluation.columns.arrays import Floats
from evaluation.significance import boschloo, mixture
from evaluation.significance.bisection import edge

BEYOND_ANY = 60.0  # ln of units or of a factor, and an effect in SEs: beyond any experiment
FAR = 6.0  # standard deviations, and as many conversions, beyond which there are hardly any
EARLIER = 0.17  # of the units, at most, is what crossings at earlier looks spare


def fixed_power(effect: ArrayLike, variance: ArrayLike, alpha: ArrayLike, freedom: ArrayLike = np.inf) -> Floats:
    """The chance that a two-sided test sees `effect` when the difference's variance (SE^2) is `variance`.

    A z-test, or a t-test with so many degrees of `freedom`: then by the noncentral t distribution.
    """
    z = np.abs(np.asarray(effect, np.float64)) / np.sqrt(np.asarray(variance, np.float64))
    freedom = np.asarray(freedom, np.float64)
    width = -stdtrit(freedom, np.asarray(alpha, np.float64) / 2.0)
    is_normal = np.isinf(freedom)
    df = np.where(is_normal, 1.0, freedom)
    # scipy has no number for some tails on the wrong side, below 1e-25.
    by_t = nctdtr(df, -z, -width) + np.nan_to_num(nctdtr(df, z, -width))
    return np.where(is_normal, ndtr(z - width) + ndtr(-z - width), by_t)


def detectable(variance: ArrayLike, alpha: ArrayLike, power: ArrayLike, freedom: ArrayLike = np.inf) -> Floats:
    """The smallest effect that a two-sided test sees with this power, `variance` being SE^2 of the difference.

    That is (z_{1-alpha/2} + z_power) SE but for the chance that a z-test errs to the other side.
    """
    alpha, power, freedom = np.broadcast_arrays(*(np.asarray(each, np.float64) for each in (alpha, power, freedom)))

    def suffices(errors: Floats) -> NDArray[np.bool_]:
        return fixed_power(errors, 1.0, alpha, freedom) >= power

    return edge(np.zeros(alpha.shape), np.full(alpha.shape, BEYOND_ANY), suffices) * np.sqrt(
        np.asarray(variance, np.float64)
    )


def fixed_units(
    effect: ArrayLike, variances: tuple[ArrayLike, ArrayLike], ratio: ArrayLike, alpha: ArrayLike, power: ArrayLike
) -> Floats:
    """Units of control that a two-sided z-test needs, for `ratio` times as many of the treatment.

    (z_{1-alpha/2} + z_power)^2 (s2_c + s2_t/ratio)/effect^2, `variances` s2 of one unit in control and treatment.
    """
    control_variance, variance = (np.asarray(each, np.float64) for each in variances)
    spread = control_variance + variance / np.asarray(ratio, np.float64)
    return np.square(detectable(1.0, alpha, power) / np.asarray(effect, np.float64)) * spread


def t_units(effect: ArrayLike, variance: ArrayLike, ratio: ArrayLike, alpha: ArrayLike, power: ArrayLike) -> Floats:
    """The same of Student's t-test, `variance` being that of one unit in either arm; at least two units in each."""
    effect, variance, ratio, alpha, power = np.broadcast_arrays(
        *(np.asarray(each, np.float64) for each in (effect, variance, ratio, alpha, power))
    )
    least = np.log(2.0 * np.maximum(1.0, 1.0 / ratio))

    def suffices(log_units: Floats) -> NDArray[np.bool_]:
        n = np.exp(log_units)
        spread = variance / n * (1.0 + 1.0 / ratio)
        return fixed_power(effect, spread, alpha, n * (1.0 + ratio) - 2.0) >= power

    return np.exp(edge(least, np.full_like(least, BEYOND_ANY), suffices))


def share_units(
    control_share: ArrayLike, share: ArrayLike, ratio: ArrayLike, alpha: ArrayLike, power: ArrayLike
) -> Floats:
    """Units of control that a two-sided z-test of two conversion rates needs, for `ratio` times as many treated.

    Its variance is pooled under the null: (z_{1-alpha/2} s_0 + z_power s_1)^2/(p_t - p_c)^2 (Fleiss 1981).
    """
    q, p, ratio = (np.asarray(each, np.float64) for each in (control_share, share, ratio))
    pooled = (q + ratio * p) / (1.0 + ratio)
    null, spread = pooled * (1.0 - pooled) * (1.0 + 1.0 / ratio), q * (1.0 - q) + p * (1.0 - p) / ratio
    reach = -ndtri(np.asarray(alpha, np.float64) / 2.0) * np.sqrt(null) + ndtri(power) * np.sqrt(spread)
    return np.square(reach / (p - q))


def boschloo_power(rate: float, n: int, control_rate: float, m: int, alpha: float) -> float:
    """The chance that Boschloo's two-sided test finds a difference of two rates on its side, by enumeration.

    `n` units are treated, `m` are control's. Sums over all numbers of conversions that are within reach: for few.
    """
    (x, of_x), (y, of_y) = _conversions(rate, n), _conversions(control_rate, m)
    treated, control = (each.ravel() for each in np.meshgrid(x, y, indexing="ij"))
    chance = np.outer(of_x, of_y).ravel()
    is_on_side = (treated * m > control * n) if rate > control_rate else (treated * m < control * n)
    treated, control, chance = treated[is_on_side], control[is_on_side], chance[is_on_side]
    comparison = np.arange(len(chance))
    if rate > control_rate:
        p_value = boschloo.one_sided(treated, n, control, m, comparison)
    else:
        p_value = boschloo.one_sided(control, m, treated, n, comparison)
    return float(chance[2.0 * p_value < alpha].sum())


def _conversions(rate: float, n: int) -> tuple[NDArray[np.int64], Floats]:
    """How many of n units may convert, and the chance of each."""
    reach = FAR * np.sqrt(n * rate * (1.0 - rate)) + FAR
    x = np.arange(max(0, int(n * rate - reach)), min(n, int(n * rate + reach)) + 1)
    choices = gammaln(n + 1.0) - gammaln(x + 1.0) - gammaln(n - x + 1.0)
    return x, np.exp(choices + xlogy(x, rate) + xlog1py(n - x, -rate))


def arcsine_effect(control_share: ArrayLike, share: ArrayLike) -> Floats:
    """Cohen's h: the difference of two rates on the scale where one unit's variance is 1, 2 asin(sqrt(p))."""
    p, q = np.asarray(share, np.float64), np.asarray(control_share, np.float64)
    return 2.0 * (np.arcsin(np.sqrt(p)) - np.arcsin(np.sqrt(q)))


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

    def suffices(log_factor: Floats) -> NDArray[np.bool_]:
        factor = np.exp(log_factor)
        return sequential_power(effect, variance / factor, units * factor, planned, alpha) >= power

    return np.exp(edge(np.zeros(effect.shape), np.full(effect.shape, BEYOND_ANY), suffices))


def earlier(units: ArrayLike, planned: ArrayLike) -> Floats:
    """Which share of `units`, that a look alone needs, the test needs when every look before it counts as well.

    Simulated Brownian motion, power 80 %: 0.97 of 0.08 N*, 0.88 of 1.2 N*, 0.84 of 1.9 N*, 0.84 of 36 N*; this curve is
    within 0.02 of each.
    """
    units = np.asarray(units, np.float64)
    return 1.0 - EARLIER * units / (units + np.asarray(planned, np.float64) / 3.0)


def as_single_look(units: ArrayLike, planned: ArrayLike) -> Floats:
    """At how many units a look alone sees as much as all looks until `units`: the inverse of `earlier`."""
    units, planned = np.broadcast_arrays(np.asarray(units, np.float64), np.asarray(planned, np.float64))
    # u (1 - c u/(u + p)) = units, p = planned/3, is (1 - c) u^2 + (p - units) u - units p = 0.
    p, a = planned / 3.0, 1.0 - EARLIER
    b = p - units
    return (-b + np.sqrt(np.square(b) + 4.0 * a * units * p)) / (2.0 * a)
