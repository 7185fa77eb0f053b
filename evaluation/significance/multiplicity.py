"""Multiplicity: p-values adjusted for being several. Always-valid p-values stay so: at any look, and however one stops.

Each function takes the p-values of one family along the last axis and returns adjusted ones, to be compared with alpha.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import false_discovery_control

Floats = NDArray[np.float64]


def bonferroni(p_values: ArrayLike) -> Floats:
    """min(1, m p): the chance of any error is alpha at most."""
    p = np.asarray(p_values, np.float64)
    return np.minimum(1.0, p.shape[-1] * p)


def holm(p_values: ArrayLike) -> Floats:
    """max over j <= i of (m - j + 1) p_(j): what Bonferroni promises, with more found (Holm 1979)."""
    p = np.asarray(p_values, np.float64)
    m = p.shape[-1]
    order = np.argsort(p, axis=-1, kind="stable")
    stepped = np.take_along_axis(p, order, -1) * np.arange(m, 0, -1)
    adjusted = np.empty_like(p)
    np.put_along_axis(adjusted, order, np.minimum(1.0, np.maximum.accumulate(stepped, axis=-1)), -1)
    return adjusted


def benjamini_hochberg(p_values: ArrayLike) -> Floats:
    """min over j >= i of m p_(j)/j: of what is found, a share of alpha at most is wrong (1995)."""
    return np.asarray(false_discovery_control(p_values, axis=-1, method="bh"), np.float64)
