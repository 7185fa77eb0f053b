"""Slice sums: the exact sums of units' numbers by arm and slice, added up by the kernel that makes those of looks."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from evaluation.columns.arrays import Words
from evaluation.metrics import sums
from evaluation.significance.moments import ArmMoments


def slice_sums(numbers: NDArray[np.int64], cell: NDArray[np.int64], cells: int) -> list[ArmMoments]:
    """Of each cell the sums of its units. `numbers` (units, k) are quantised; a `cell` of -1 is none."""
    k = numbers.shape[1]
    words = np.zeros(cells * sums.size(k), np.int64)
    _fold(words, numbers, cell, k)
    found = sums.read(words.reshape(cells, -1), k)
    return [ArmMoments(n, nonzero, tuple(first), tuple(second)) for n, nonzero, first, second in found]


@njit(cache=True)
def _fold(words: Words, numbers: NDArray[np.int64], cell: NDArray[np.int64], k: int) -> None:
    size = sums.size(k)
    for i in range(cell.size):
        if cell[i] >= 0:
            sums.fold(words, cell[i] * size, numbers[i], k, 1)
