"""Proportions: conversion rates at a single look, where the normal approximation is poor: few units, rare conversions.

The score intervals are those of `boschloo`, the fixed-horizon test of looks; the others are for notebooks. Watched
continuously they err more often than alpha, as every fixed test does. The test of rare conversions that may be watched
is in `conversions`.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from evaluation.columns.arrays import Floats
from evaluation.significance.bisection import edge
from schemas.look import Alternative

FARTHEST = 300.0  # of a log ratio: its square is still a double


def pooled_variance(
    conversions: ArrayLike, n: ArrayLike, control_conversions: ArrayLike, control_n: ArrayLike
) -> Floats:
    """Of the difference of two rates if they are one: p(1 - p)(1/n_t + 1/n_c), p the rate of both arms together."""
    x, n, y, m = _floats(conversions, n, control_conversions, control_n)
    rate = (x + y) / (n + m)
    return rate * (1.0 - rate) * (1.0 / n + 1.0 / m)


def continuity(n: ArrayLike, control_n: ArrayLike) -> Floats:
    """Half a conversion in each arm, as a difference of rates (Yates 1934): what counts as no difference."""
    n, m = _floats(n, control_n)
    return 0.5 * (1.0 / n + 1.0 / m)


def fisher(
    conversions: ArrayLike,
    n: ArrayLike,
    control_conversions: ArrayLike,
    control_n: ArrayLike,
    alternative: Alternative = "two-sided",
) -> Floats:
    """The p-value of Fisher's exact test (1934): given all conversions, how unlikely is their split over the arms?"""
    from scipy.stats import fisher_exact  # noqa: PLC0415 (slow to import, and no stage needs it)

    columns = np.broadcast_arrays(*(np.asarray(each) for each in (conversions, n, control_conversions, control_n)))
    p_values = [
        fisher_exact([[x, y], [n - x, m - y]], alternative).pvalue
        for x, n, y, m in zip(*(column.ravel().tolist() for column in columns), strict=True)
    ]
    return np.array(p_values, np.float64).reshape(columns[0].shape)


def wilson(conversions: ArrayLike, n: ArrayLike, alpha: ArrayLike) -> tuple[Floats, Floats]:
    """The rates that a z-test with the variance of the rate itself does not reject (Wilson 1927)."""
    x, n, alpha = _floats(conversions, n, alpha)
    k = np.square(ndtri(alpha / 2.0))
    middle = (x + k / 2.0) / (n + k)
    radius = np.sqrt(k * (x * (n - x) / n + k / 4.0)) / (n + k)
    return middle - radius, middle + radius


def newcombe(
    conversions: ArrayLike, n: ArrayLike, control_conversions: ArrayLike, control_n: ArrayLike, alpha: ArrayLike
) -> tuple[Floats, Floats]:
    """An interval of the difference from both rates' Wilson intervals (Newcombe 1998, method 10)."""
    x, n, y, m = _floats(conversions, n, control_conversions, control_n)
    rate, control_rate = x / n, y / m
    (lower, upper), (control_lower, control_upper) = wilson(x, n, alpha), wilson(y, m, alpha)
    return (
        rate - control_rate - np.hypot(rate - lower, control_upper - control_rate),
        rate - control_rate + np.hypot(upper - rate, control_rate - control_lower),
    )


def score_difference(
    conversions: ArrayLike, n: ArrayLike, control_conversions: ArrayLike, control_n: ArrayLike, multiplier: ArrayLike
) -> tuple[Floats, Floats]:
    """The differences that a score test with this multiplier does not reject (Miettinen and Nurminen 1985)."""
    x, n, y, m, k = _floats(conversions, n, control_conversions, control_n, multiplier)
    found, k = x / n - y / m, np.square(k)

    def is_accepted(difference: Floats) -> NDArray[np.bool_]:
        # The likeliest rates with this difference: a root of a cubic (Farrington and Manning 1990).
        ratio = m / n
        a = 1.0 + ratio
        b = -(a + (x + y) / n + difference * (ratio + 2.0))
        c = np.square(difference) + difference * (2.0 * x / n + a) + (x + y) / n
        d = -x / n * difference * (1.0 + difference)
        third = b / (3.0 * a)
        v = third**3 - b * c / (6.0 * a * a) + d / (2.0 * a)
        u = np.copysign(np.sqrt(np.maximum(np.square(third) - c / (3.0 * a), 0.0)), v)
        with np.errstate(divide="ignore", invalid="ignore"):
            angle = np.arccos(np.clip(np.where(u == 0.0, 0.0, v / u**3), -1.0, 1.0))
        rate = np.clip(2.0 * u * np.cos((np.pi + angle) / 3.0) - third, np.maximum(difference, 0.0), 1.0)
        control_rate = np.clip(rate - difference, 0.0, 1.0)
        return np.square(found - difference) <= k * _spread(rate, n, control_rate, m)

    return edge(np.full_like(found, -1.0), found, is_accepted), edge(np.full_like(found, 1.0), found, is_accepted)


def score_ratio(
    conversions: ArrayLike, n: ArrayLike, control_conversions: ArrayLike, control_n: ArrayLike, multiplier: ArrayLike
) -> tuple[Floats, Floats]:
    """The risk ratios that a score test with this multiplier does not reject, if need be 0 or infinity.

    (Miettinen and Nurminen 1985.)
    """
    x, n, y, m, k = _floats(conversions, n, control_conversions, control_n, multiplier)
    k = np.square(k)
    with np.errstate(divide="ignore"):
        found = np.clip(np.log(x / n) - np.log(y / m), -FARTHEST, FARTHEST)

    def is_accepted(log_ratio: Floats) -> NDArray[np.bool_]:
        # The likeliest rates with this ratio: the smaller root of a quadratic.
        ratio = np.exp(log_ratio)
        a, b, c = (n + m) * ratio, -((n + y) * ratio + x + m), x + y
        control_rate = 2.0 * c / (-b + np.sqrt(np.maximum(b * b - 4.0 * a * c, 0.0)))
        rate = np.minimum(ratio * control_rate, 1.0)
        distance = x / n - ratio * y / m
        return np.square(distance) <= k * _spread(rate, n, control_rate, m, ratio)

    far = np.full_like(found, FARTHEST)
    return tuple(  # type: ignore[return-value]
        np.where(is_accepted(end), np.exp(np.sign(end) * np.inf), np.exp(edge(end, found, is_accepted)))
        for end in (-far, far)
    )


def _spread(rate: Floats, n: Floats, control_rate: Floats, m: Floats, ratio: ArrayLike = 1.0) -> Floats:
    """Var(rate - ratio * control's rate), with the factor N/(N - 1)."""
    variance = rate * (1.0 - rate) / n + np.square(ratio) * control_rate * (1.0 - control_rate) / m
    return variance * (n + m) / (n + m - 1.0)


def _floats(*values: ArrayLike) -> list[Floats]:
    return [np.asarray(each, np.float64) for each in values]
