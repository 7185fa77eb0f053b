"""Gates: when a comparison has enough data for the normal approximation that the confidence sequence rests on.

A metric whose events hold no usable number too often says nothing, however many they are: what is lost may differ
between the arms. Else: at least 100 units in each arm (Amplitude's rule), and enough units with a non-zero value
*expected* in each: pooled non-zero units times the arm's share. Expected, not observed, so that a treatment which kills
a conversion still shows.
Simulated, any look at an A/A test split 90/10 rejecting at alpha = .05: 2 % conversion .17 without, .00 with 25;
revenue (5 % payers, lognormal of standard deviation 1) .18 without, .07 with 25. Skewness stays for long: with 50 that
revenue still has .053 in runs of 50,000 units, .059-.067 of 100,000 and .057 of 200,000; with 100 .034, .036-.042 and
.036 (R = 4,000).
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

UNUSABLE = 0.01  # share of a metric's events without a number that can be used, beyond which it says nothing
EXPOSURES = 100  # units in each arm
CONVERTED = 25  # expected in each arm, of a conversion
NONZERO = 100  # expected in each arm, of any other metric


def is_rare(n: ArrayLike, control_n: ArrayLike, nonzero: ArrayLike, control_nonzero: ArrayLike) -> NDArray[np.bool_]:
    """Whether most units have no value, and fewer than 25 with one are expected in an arm: too few for a t-test."""
    n, control_n = np.asarray(n, np.float64), np.asarray(control_n, np.float64)
    total, pooled = n + control_n, np.asarray(nonzero, np.float64) + np.asarray(control_nonzero, np.float64)
    return (pooled < 0.5 * total) & (pooled * np.minimum(n, control_n) < CONVERTED * total)


def loses_too_much(events: int, unusable: int) -> bool:
    """Whether so many of a metric's events are lost that its numbers say nothing; `events` are those that count."""
    return unusable > UNUSABLE * (events + unusable)


def is_open(
    n: ArrayLike, control_n: ArrayLike, nonzero: ArrayLike, control_nonzero: ArrayLike, is_conversion: ArrayLike
) -> NDArray[np.bool_]:
    """Whether each comparison passes."""
    n, control_n = np.asarray(n, np.float64), np.asarray(control_n, np.float64)
    pooled = np.asarray(nonzero, np.float64) + np.asarray(control_nonzero, np.float64)
    smaller = np.minimum(n, control_n)
    needed = np.where(is_conversion, CONVERTED, NONZERO)
    return (smaller >= EXPOSURES) & (pooled * smaller >= needed * (n + control_n))
