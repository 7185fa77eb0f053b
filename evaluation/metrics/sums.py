"""Sums: exact power sums of integers in kernels, as rows of two-limb 128-bit numbers; Python integers outside.

One row is one cell: (n, nonzero, low and high limb of sum x, low and high limb of sum x^2), all int64. A limb's bits
count, not its sign: addition wraps, and the carry comes from comparing the bits as unsigned. With |x| < 2^47 a cell has
room for 2^33 units. Addition can be taken back, so no order of updates shows.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

WORDS = 6
N, NONZERO, SUM, SQUARES = 0, 1, 2, 4  # of a cell; each sum takes two words
LIMIT = np.int64(1 << 47)  # of |x|
SMALL = np.int64(1 << 31)  # |x| below it has a square of one limb

_HALF = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)


@njit(cache=True)
def _add(cells: NDArray[np.int64], k: int, at: int, low: Any, high: int) -> None:
    """Add (low: uint64, high). Unsigned: a compiler may take it that signed numbers don't overflow."""
    after = np.uint64(cells[k, at]) + low
    cells[k, at] = np.int64(after)
    cells[k, at + 1] += high + (1 if after < low else 0)


@njit(cache=True)
def _subtract(cells: NDArray[np.int64], k: int, at: int, low: Any, high: int) -> None:
    """Subtract (low: uint64, high)."""
    before = np.uint64(cells[k, at])
    cells[k, at] = np.int64(before - low)
    cells[k, at + 1] -= high + (1 if before < low else 0)


@njit(cache=True)
def _square(x: int) -> tuple[Any, Any]:
    """Low (uint64) and high limb of x^2, for |x| < 2^47, by schoolbook multiplication of 32-bit halves."""
    size = np.uint64(abs(x))
    high = size >> _HALF
    low = size & _LOW
    cross = high * low + high * low
    first = low * low
    total = first + (cross << _HALF)
    return total, np.int64(high * high + (cross >> _HALF)) + (1 if total < first else 0)


@njit(cache=True)
def add(cells: NDArray[np.int64], k: int, x: int) -> None:
    """One more unit with the total x in cell k."""
    cells[k, N] += 1
    if x != 0:
        cells[k, NONZERO] += 1
        _add(cells, k, SUM, np.uint64(x), x >> 63)
        low, high = _square(x)
        _add(cells, k, SQUARES, low, high)


@njit(cache=True)
def remove(cells: NDArray[np.int64], k: int, x: int) -> None:
    """One unit less with the total x in cell k."""
    cells[k, N] -= 1
    if x != 0:
        cells[k, NONZERO] -= 1
        _subtract(cells, k, SUM, np.uint64(x), x >> 63)
        low, high = _square(x)
        _subtract(cells, k, SQUARES, low, high)


@njit(cache=True)
def change(cells: NDArray[np.int64], k: int, before: int, after: int) -> None:
    """A unit's total in cell k becomes another; both are `SMALL`."""
    cells[k, NONZERO] += (1 if after != 0 else 0) - (1 if before != 0 else 0)
    more = after - before
    _add(cells, k, SUM, np.uint64(more), more >> 63)
    more = after * after - before * before
    _add(cells, k, SQUARES, np.uint64(more), more >> 63)


def exact(cell: NDArray[np.int64], at: int) -> int:
    """The integer of a cell's sum at `SUM` or `SQUARES`."""
    return (int(cell[at + 1]) << 64) + (int(cell[at]) & 0xFFFF_FFFF_FFFF_FFFF)
