"""Bisection: where a claim about numbers begins to hold, over arrays, to the last bit."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from evaluation.columns.arrays import Floats

HALVINGS = 100  # any interval of doubles down to its last bit


def edge(without: Floats, within: Floats, holds: Callable[[Floats], NDArray[np.bool_]]) -> Floats:
    """The first number for which the claim `holds` on the way from `without`, where it does not, to `within`."""
    for _ in range(HALVINGS):
        half = (without + within) / 2.0
        if np.all((half == without) | (half == within)):
            break  # nothing lies between
        is_within = holds(half)
        without, within = np.where(is_within, without, half), np.where(is_within, half, within)
    return within
