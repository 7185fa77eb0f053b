"""Gates: when a comparison has enough data for the normal approximation that the confidence sequence rests on.

A metric of which some arm's events hold no usable number too often says nothing, however many they are; nor does a
table's column that the arms lack for different shares of their units: what is lost then differs with the treatment.
Else: at least 100 units in each arm (Amplitude's rule), and enough units with a non-zero value *expected* in each:
pooled non-zero units times the arm's share. Expected, not observed, so that a treatment which kills a conversion still
shows.
Simulated, any look at an A/A test split 90/10 rejecting at alpha = .05: 2 % conversion .17 without, .00 with 25;
revenue (5 % payers, lognormal of standard deviation 1) .18 without, .07 with 25. Skewness stays for long: with 50 that
revenue still has .053 in runs of 50,000 units, .059-.067 of 100,000 and .057 of 200,000; with 100 .034, .036-.042 and
.036 (R = 4,000).

Where clusters were randomised, a t-test compares ratios of sums by the delta method, which errs where clusters are few
and of different sizes: simulated at alpha = .05 with 10 clusters in each arm .048 of equal ones, .057 of lognormal
sizes of standard deviation .5, .100 of 1; with 20 .050, .058, .087; with 50 .051, .052, .071 (R = 20,000). What counts
is how many of one size they are worth, by Kish (1965) (sum of sizes)^2 / sum of squares: with 20 of these in each arm
(of the last kind 54) it errs in at most .07.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtr, bdtrc

from schemas.look import MOST_UNUSABLE

UNEVEN = 0.001  # difference between arms' shares, below which it does not matter
UNEVEN_ALPHA = 0.001  # of the test whether arms lose different shares
EXPOSURES = 100  # units in each arm
CONVERTED = 25  # expected in each arm, of a conversion
NONZERO = 100  # expected in each arm, of any other metric
CLUSTERS = 20  # of one size, of which each arm's are worth as many, of a t-test over clusters


def is_rare(n: ArrayLike, control_n: ArrayLike, nonzero: ArrayLike, control_nonzero: ArrayLike) -> NDArray[np.bool_]:
    """Whether most units have no value, and fewer than 25 with one are expected in an arm: too few for a t-test."""
    n, control_n = np.asarray(n, np.float64), np.asarray(control_n, np.float64)
    total, pooled = n + control_n, np.asarray(nonzero, np.float64) + np.asarray(control_nonzero, np.float64)
    return (pooled < 0.5 * total) & (pooled * np.minimum(n, control_n) < CONVERTED * total)


def are_few_clusters(sizes: ArrayLike, squares: ArrayLike) -> NDArray[np.bool_]:
    """Whether clusters of these sizes, of which the sum and the sum of squares is given, are too few for a t-test."""
    sizes, squares = np.asarray(sizes, np.float64), np.asarray(squares, np.float64)
    return np.square(sizes) < CLUSTERS * squares


def loses_too_much(events: int, unusable: int) -> bool:
    """Whether so many of a metric's events are lost that its numbers say nothing; `events` are those that count."""
    return unusable > MOST_UNUSABLE * (events + unusable)


def lose_unevenly(units: Sequence[int], unusable: Sequence[int]) -> bool:
    """Whether the arms lose different shares of their units, by more than chance has it and by enough to matter.

    Of what all arms lose together each loses its share of the units, binomially: some arm's exact two-sided p-value,
    times the number of arms, is below `UNEVEN_ALPHA`, and its share is not the others'. (Given all units it is
    hypergeometric, which varies less.) `units` are those that count.
    """
    lost, all_of = np.asarray(unusable, np.float64), np.asarray(units, np.float64) + np.asarray(unusable, np.float64)
    lost, all_of = lost[all_of > 0], all_of[all_of > 0]
    if len(lost) < 2:
        return False
    total = lost.sum()
    others = (total - lost) / np.maximum(1.0, all_of.sum() - all_of)
    expected = all_of / all_of.sum()
    tails = np.minimum(bdtr(lost, int(total), expected), bdtrc(lost - 1.0, int(total), expected))
    return bool(((2.0 * len(lost) * tails < UNEVEN_ALPHA) & (np.abs(lost / all_of - others) > UNEVEN)).any())


def is_open(
    n: ArrayLike, control_n: ArrayLike, nonzero: ArrayLike, control_nonzero: ArrayLike, is_conversion: ArrayLike
) -> NDArray[np.bool_]:
    """Whether each comparison passes."""
    n, control_n = np.asarray(n, np.float64), np.asarray(control_n, np.float64)
    pooled = np.asarray(nonzero, np.float64) + np.asarray(control_nonzero, np.float64)
    smaller = np.minimum(n, control_n)
    needed = np.where(is_conversion, CONVERTED, NONZERO)
    return (smaller >= EXPOSURES) & (pooled * smaller >= needed * (n + control_n))
