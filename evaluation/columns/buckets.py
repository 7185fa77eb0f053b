"""Buckets: values in classes that are narrow beside them, so that how many there are of each says how they are spread.

Of |x| the 9 highest bits are kept: a value below 512 has a bucket of its own, and a larger one shares its own with
those that differ from it by less than a 256th. So each of them is within 0.2 % of its bucket's middle.
All of it is integer arithmetic, and so are counts: they add up in any order, and can be taken back.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

BITS = 8
EXACT = 2 << BITS  # values below it have buckets of their own


@njit(cache=True)
def bucket_of(x: int) -> Any:
    """The bucket of x, |x| < 2^62; buckets ascend with x, and that of -x is its negative."""
    size, halvings = abs(x), 0
    for step in (32, 16, 8, 4, 2, 1):
        if size >> (halvings + step) >= EXACT >> 1:
            halvings += step
    bucket = (halvings << BITS) + (size >> halvings)
    return bucket if x >= 0 else -bucket


def ends_of(buckets: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The smallest and the largest value of each bucket."""
    size = np.abs(buckets)
    halvings = np.maximum((size >> BITS) - 1, 0)
    nearest = (size - (halvings << BITS)) << halvings
    farthest = nearest + (np.int64(1) << halvings) - 1
    is_negative = buckets < 0
    return np.where(is_negative, -farthest, nearest), np.where(is_negative, -nearest, farthest)
