"""Quantising: a number as a whole multiple of 10^-scale, rounded half to even.

Times 10^scale, a large number has more digits than a float holds: its whole part and its fraction, both exact, are then
taken apart.
"""

import numpy as np

from evaluation.columns.arrays import Floats

LARGE = 2.0**51  # from here on the product's own rounding would tell


def quantised(numbers: Floats, factor: Floats | float) -> tuple[Floats, Floats]:
    """Of finite numbers two whole ones each, which are exact: the first times the factor, plus the second."""
    scaled = numbers * factor
    whole = np.where((np.abs(scaled) < LARGE) | (np.asarray(factor) == 1.0), 0.0, np.trunc(numbers))
    return whole, np.rint(np.where(whole == 0.0, scaled, (numbers - whole) * factor))
