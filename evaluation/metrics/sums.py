"""Sums: exact sums over units of k numbers and of their products, in kernels; Python integers outside.

A cell is a stretch of one flat array of int64: n, how many units have a first number that isn't 0, then in two words
each the sums of the k numbers, and those of the products of each two of them (the upper triangle by rows). Two words
are the limbs, low and high, of a 128-bit number. A limb's bits count, not its sign: addition wraps, and the carry comes
from comparing the bits as unsigned. With |x| < 2^47 a cell has room for 2^33 units. Addition can be taken back, so no
order of updates shows.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Cell = tuple[int, int, list[int], list[int]]  # n, nonzero, the sums of the numbers, and those of their products

N, NONZERO, FIRST = range(3)  # of a cell; each sum takes two words
LIMIT = np.int64(1 << 47)  # of |x|
SMALL = np.int64(1 << 31)  # |x| below it has a square of one limb

_HALF = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)


@njit(cache=True)
def size(k: int) -> Any:
    """How many words a cell of k numbers takes."""
    return 2 + 2 * k + k * (k + 1)


@njit(cache=True)
def _add(cells: NDArray[np.int64], at: int, low: Any, high: int) -> None:
    """Add (low: uint64, high). Unsigned: a compiler may take it that signed numbers don't overflow."""
    after = np.uint64(cells[at]) + low
    cells[at] = np.int64(after)
    cells[at + 1] += high + (1 if after < low else 0)


@njit(cache=True)
def _subtract(cells: NDArray[np.int64], at: int, low: Any, high: int) -> None:
    """Subtract (low: uint64, high)."""
    before = np.uint64(cells[at])
    cells[at] = np.int64(before - low)
    cells[at + 1] -= high + (1 if before < low else 0)


@njit(cache=True)
def _product(x: int, y: int) -> tuple[Any, Any]:
    """Low (uint64) and high limb of |x y|, for |x|, |y| < 2^47, by schoolbook multiplication of 32-bit halves."""
    a, b = np.uint64(abs(x)), np.uint64(abs(y))
    a_high, a_low, b_high, b_low = a >> _HALF, a & _LOW, b >> _HALF, b & _LOW
    cross = a_high * b_low + a_low * b_high
    first = a_low * b_low
    total = first + (cross << _HALF)
    return total, np.int64(a_high * b_high + (cross >> _HALF)) + (1 if total < first else 0)


@njit(cache=True)
def fold(cells: NDArray[np.int64], at: int, x: NDArray[np.int64], k: int, one: int) -> None:
    """One unit with the k numbers x more (`one` is 1) or less (-1) in the cell at `at`."""
    cells[at + N] += one
    if x[0] != 0:
        cells[at + NONZERO] += one
    p = at + FIRST
    for i in range(k):
        signed = one * x[i]
        _add(cells, p, np.uint64(signed), signed >> 63)
        p += 2
    for i in range(k):
        for j in range(i, k):
            if x[i] != 0 and x[j] != 0:
                low, high = _product(x[i], x[j])
                if (one * x[i] < 0) == (x[j] < 0):
                    _add(cells, p, low, high)
                else:
                    _subtract(cells, p, low, high)
            p += 2


@njit(cache=True)
def change(cells: NDArray[np.int64], at: int, before: int, after: int) -> None:
    """The only number of a unit in the cell at `at` becomes another; both are `SMALL`."""
    cells[at + NONZERO] += (1 if after != 0 else 0) - (1 if before != 0 else 0)
    more = after - before
    _add(cells, at + FIRST, np.uint64(more), more >> 63)
    more = after * after - before * before
    _add(cells, at + FIRST + 2, np.uint64(more), more >> 63)


def read(cells: NDArray[np.int64], k: int) -> list[Cell]:
    """Each of the cells (m, words) of k numbers."""
    low, high = cells[:, FIRST::2], cells[:, FIRST + 1 :: 2]
    numbers = low.tolist()
    is_wide = high != low >> 63  # it needs both limbs
    if is_wide.any():
        for i, j in np.argwhere(is_wide).tolist():
            numbers[i][j] = (int(high[i, j]) << 64) + (int(low[i, j]) & 0xFFFF_FFFF_FFFF_FFFF)
    heads = cells[:, :FIRST].tolist()
    return [(n, nonzero, each[:k], each[k:]) for (n, nonzero), each in zip(heads, numbers, strict=True)]
