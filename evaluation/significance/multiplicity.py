"""Multiplicity: p-values adjusted for being several. Always-valid p-values stay so: at any look, and however one stops.

Each function takes the p-values of one family along the last axis and returns adjusted ones, to be compared with alpha.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.columns.arrays import Floats


def bonferroni(p_values: ArrayLike) -> Floats:
    """min(1, m p): the chance of any error is alpha at most."""
    p = np.asarray(p_values, np.float64)
    return np.minimum(1.0, p.shape[-1] * p)


def holm(p_values: ArrayLike) -> Floats:
    """max over j <= i of (m - j + 1) p_(j): what Bonferroni promises, with more found (Holm 1979)."""
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p, axis=-1, kind="stable")
    stepped = np.take_along_axis(p, order, -1) * np.arange(p.shape[-1], 0, -1)
    return _in_place_of(p, order, np.maximum.accumulate(stepped, axis=-1))


def benjamini_hochberg(p_values: ArrayLike) -> Floats:
    """min over j >= i of m p_(j)/j: of what is found, a share of alpha at most is wrong (1995)."""
    p = np.asarray(p_values, np.float64)
    m = p.shape[-1]
    order = np.argsort(p, axis=-1, kind="stable")[..., ::-1]
    stepped = np.take_along_axis(p, order, -1) * (m / np.arange(m, 0, -1))
    return _in_place_of(p, order, np.minimum.accumulate(stepped, axis=-1))


def _in_place_of(p: Floats, order: NDArray[np.intp], stepped: Floats) -> Floats:
    adjusted = np.empty_like(p)
    np.put_along_axis(adjusted, order, np.minimum(1.0, stepped), -1)
    return adjusted
