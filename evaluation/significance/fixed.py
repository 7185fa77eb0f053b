"""Fixed: tests for a single look at a planned sample. Watched continuously, they err far more often than alpha.

Student's t with Welch's degrees of freedom, or the normal distribution where these are infinite. Tails are computed as
tails, so that a p-value is small rather than zero.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtr, stdtrit

from evaluation.columns.arrays import Floats
from schemas.look import Alternative


@dataclass(frozen=True, slots=True)
class Test:
    """Arrays, one value per comparison. An end that a one-sided test leaves open is infinite."""

    p_value: Floats
    lower: Floats
    upper: Floats


def welch_freedom(variance: ArrayLike, n: ArrayLike, control_variance: ArrayLike, control_n: ArrayLike) -> Floats:
    """Degrees of freedom of the difference of two means, `variance` being that of a mean, n >= 2 (Satterthwaite)."""
    a, b = np.asarray(variance, np.float64), np.asarray(control_variance, np.float64)
    return np.square(a + b) / (np.square(a) / (np.asarray(n) - 1.0) + np.square(b) / (np.asarray(control_n) - 1.0))


def pooled_variance(
    variance: ArrayLike, n: ArrayLike, control_variance: ArrayLike, control_n: ArrayLike
) -> tuple[Floats, Floats]:
    """Of the difference of two means if units of both arms vary alike, and its degrees of freedom (Student).

    For notebooks, to compare with: a treatment may change how units vary, so looks use Welch's test.
    """
    n, m = np.asarray(n, np.float64), np.asarray(control_n, np.float64)
    squares = n * (n - 1.0) * np.asarray(variance) + m * (m - 1.0) * np.asarray(control_variance)
    freedom = n + m - 2.0
    return squares / freedom * (1.0 / n + 1.0 / m), freedom


def t_test(
    difference: ArrayLike,
    variance: ArrayLike,
    freedom: ArrayLike,
    alpha: ArrayLike,
    alternative: Alternative = "two-sided",
    *,
    continuity: ArrayLike = 0.0,
) -> Test:
    """The difference against zero: `variance` V > 0 of the difference, `freedom` of its t distribution.

    A difference towards the alternative counts as less by `continuity`, and the interval is as much wider.
    """
    D = np.asarray(difference, np.float64)
    error = np.sqrt(np.asarray(variance, np.float64))
    freedom, alpha = np.asarray(freedom, np.float64), np.asarray(alpha, np.float64)
    nearer = np.copysign(np.maximum(np.abs(D) - continuity, 0.0), D)
    if alternative == "two-sided":
        width = error * -stdtrit(freedom, alpha / 2.0) + continuity
        return Test(2.0 * stdtr(freedom, -np.abs(nearer) / error), D - width, D + width)
    width = error * -stdtrit(freedom, alpha) + continuity
    if alternative == "greater":
        t = np.where(D > 0.0, nearer, D) / error
        return Test(stdtr(freedom, -t), D - width, np.full_like(D, np.inf))
    t = np.where(D < 0.0, nearer, D) / error
    return Test(stdtr(freedom, t), np.full_like(D, -np.inf), D + width)
