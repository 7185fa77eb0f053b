"""Gates: when a comparison has enough data for the normal approximation that the confidence sequence rests on.

At least 100 units in each arm (Amplitude's rule), and enough units with a non-zero value *expected* in each: pooled
non-zero units times the arm's share. Expected, not observed, so that a treatment which kills a conversion still shows.
Simulated, any of 500 looks at an A/A test rejecting at alpha = .05: 2 % conversion split 90/10 .17 without, .00 with
25; revenue of 5 % payers split 90/10 .18 without, .07 with 25, .01 with 50.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

EXPOSURES = 100  # units in each arm
CONVERTED = 25  # expected in each arm, of a conversion
NONZERO = 50  # expected in each arm, of any other metric


def is_open(
    n: ArrayLike, control_n: ArrayLike, nonzero: ArrayLike, control_nonzero: ArrayLike, is_conversion: ArrayLike
) -> NDArray[np.bool_]:
    """Whether each comparison passes."""
    n, control_n = np.asarray(n, np.float64), np.asarray(control_n, np.float64)
    pooled = np.asarray(nonzero, np.float64) + np.asarray(control_nonzero, np.float64)
    smaller = np.minimum(n, control_n)
    needed = np.where(is_conversion, CONVERTED, NONZERO)
    return (smaller >= EXPOSURES) & (pooled * smaller >= needed * (n + control_n))
