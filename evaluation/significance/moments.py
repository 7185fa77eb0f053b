"""Moments: from exact integer sums to means, differences and variances, each rounded once.

An arm is (n, S1, S2) with S1, S2 the sums of quantised unit totals and of their squares. Everything up to the one
division is integer arithmetic without limit, so that neither order nor cancellation can change a bit. Arrays of
integers are object arrays; `unit` is 10^scale, the quantised value of 1.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[Any]  # dtype object: Python integers


def integers(values: Iterable[int]) -> Integers:
    """The values as an array of unlimited integers."""
    return np.array(list(values), dtype=object)


def _divide(numerator: Integers, denominator: Integers) -> Floats:
    """Correctly rounded: Python's division of integers is."""
    return np.asarray(numerator / denominator, dtype=np.float64)


def mean(n: Integers, total: Integers, unit: Integers) -> Floats:
    """S1/n, for n >= 1."""
    return _divide(total, n * unit)


def difference(n: Integers, total: Integers, control_n: Integers, control_total: Integers, unit: Integers) -> Floats:
    """Mean of the treatment minus mean of control, for n >= 1: exact even where the means agree in every digit."""
    return _divide(total * control_n - control_total * n, n * control_n * unit)


def variance_of_mean(n: Integers, total: Integers, squares: Integers, unit: Integers) -> Floats:
    """s^2/n with s^2 = (S2 - S1^2/n)/(n - 1), for n >= 2."""
    return _divide(n * squares - total * total, n * n * (n - 1) * unit * unit)


def variance_of_share(n: Integers, successes: Integers) -> Floats:
    """p(1 - p)/n, for n >= 1: of a conversion. The factor n/(n - 1) is left out, as gbstats and Amplitude do."""
    return _divide(successes * (n - successes), n * n * n)


def weighted(group: NDArray[np.int64], groups: int, weights: Floats, values: Floats) -> Floats:
    """Sum of weights * values per group, in the order of the rows: 0 where a group has no row."""
    sums: Floats = np.bincount(group, weights * values, minlength=groups).astype(np.float64, copy=False)
    return sums
