"""Sums: exact sums over units of k numbers and of their products, in kernels; Python integers outside.

A cell is a stretch of one flat array of int64: n, how many units have a first number that isn't 0, then in two words
each the sums of the k numbers, and in three each those of the products of each two of them (the upper triangle by
rows). Words are limbs, the lowest first. A limb's bits count, not its sign: addition wraps, and the carry comes from
comparing the bits as unsigned. With |x| < 2^62 a cell has room for more units than n can count. Addition can be taken
back, so no order of updates shows.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from schemas.numbers import BEYOND

SumCell = tuple[int, int, list[int], list[int]]  # n, nonzero, the sums of the numbers, and those of their products

N, NONZERO, FIRST = range(3)  # of a cell
LIMIT = np.int64(BEYOND)  # of |x|
SMALL = np.int64(1 << 31)  # |x| below it has a square of one limb

_HALF = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)


@njit(cache=True)
def size(k: int) -> Any:
    """How many words a cell of k numbers takes."""
    return 2 + 2 * k + 3 * (k * (k + 1) // 2)


@njit(cache=True)
def wrapped(total: Any, value: Any) -> tuple[Any, Any]:
    """Their sum in one word, and how often it passed 2^63 by it: 1, 0 or -1."""
    after = np.int64(np.uint64(total) + np.uint64(value))
    return after, 1 if value > 0 and after < total else -1 if value < 0 and after > total else 0


@njit(cache=True)
def _add(cells: NDArray[np.int64], at: int, x: int) -> None:
    """Add to a sum of two limbs. Unsigned: a compiler may take it that signed numbers don't overflow."""
    low = np.uint64(x)
    after = np.uint64(cells[at]) + low
    cells[at] = np.int64(after)
    cells[at + 1] += (x >> 63) + (1 if after < low else 0)


@njit(cache=True)
def _add_to_product(cells: NDArray[np.int64], at: int, x: int) -> None:
    """Add to a sum of three limbs: most often the lowest one says it all."""
    low = np.uint64(x)
    after = np.uint64(cells[at]) + low
    cells[at] = np.int64(after)
    more = (x >> 63) + (1 if after < low else 0)
    if more != 0:
        second = np.int64(np.uint64(cells[at + 1]) + np.uint64(more))
        cells[at + 1] = second
        cells[at + 2] += 1 if more > 0 and second == 0 else -1 if more < 0 and second == -1 else 0


@njit(cache=True)
def _add_product(cells: NDArray[np.int64], at: int, x: int, y: int) -> None:
    """Add x y to a sum of three limbs, for |x|, |y| < 2^63."""
    low, high = _product(x, y)
    first, second = np.uint64(cells[at]), np.uint64(cells[at + 1])
    if (x < 0) == (y < 0):
        after = first + low
        carried = second + np.uint64(1 if after < low else 0)
        cells[at + 2] += 1 if carried < second else 0
        second = carried + high
        cells[at + 2] += 1 if second < high else 0
    else:
        after = first - low
        carried = second - np.uint64(1 if first < low else 0)
        cells[at + 2] -= 1 if carried > second else 0
        second = carried - high
        cells[at + 2] -= 1 if second > carried else 0
    cells[at], cells[at + 1] = np.int64(after), np.int64(second)


@njit(cache=True)
def _product(x: int, y: int) -> tuple[Any, Any]:
    """Low and high limb (uint64) of |x y|, for |x|, |y| < 2^63, by schoolbook multiplication of 32-bit halves."""
    a, b = np.uint64(abs(x)), np.uint64(abs(y))
    a_high, a_low, b_high, b_low = a >> _HALF, a & _LOW, b >> _HALF, b & _LOW
    cross = a_high * b_low + a_low * b_high
    first = a_low * b_low
    total = first + (cross << _HALF)
    return total, a_high * b_high + (cross >> _HALF) + np.uint64(1 if total < first else 0)


@njit(cache=True)
def fold(cells: NDArray[np.int64], at: int, x: NDArray[np.int64], k: int, one: int) -> None:
    """One unit with the k numbers x more (`one` is 1) or less (-1) in the cell at `at`."""
    cells[at + N] += one
    if x[0] != 0:
        cells[at + NONZERO] += one
    p = at + FIRST
    for i in range(k):
        _add(cells, p, one * x[i])
        p += 2
    for i in range(k):
        for j in range(i, k):
            if x[i] != 0 and x[j] != 0:
                _add_product(cells, p, one * x[i], x[j])
            p += 3


@njit(cache=True)
def change(cells: NDArray[np.int64], at: int, before: int, after: int) -> None:
    """The only number of a unit in the cell at `at` becomes another."""
    cells[at + NONZERO] += (1 if after != 0 else 0) - (1 if before != 0 else 0)
    _add(cells, at + FIRST, after - before)
    if abs(before) < SMALL and abs(after) < SMALL:
        _add_to_product(cells, at + FIRST + 2, after * after - before * before)
    else:
        _add_product(cells, at + FIRST + 2, after - before, after + before)


def read(cells: NDArray[np.int64], k: int) -> list[SumCell]:
    """Each of the cells (m, words) of k numbers."""
    heads, end = cells[:, :FIRST].tolist(), FIRST + 2 * k
    first, second = _integers(cells[:, FIRST:end], 2), _integers(cells[:, end:], 3)
    return [(*head, *sums) for head, *sums in zip(heads, first, second, strict=True)]


def _integers(words: NDArray[np.int64], limbs: int) -> list[list[int]]:
    """Each row of words as integers of so many limbs."""
    low = words[:, ::limbs]
    numbers: list[list[int]] = low.tolist()
    is_wide = np.zeros(low.shape, np.bool_)  # the lowest limb does not say it
    for limb in range(1, limbs):
        is_wide |= words[:, limb::limbs] != low >> 63
    if is_wide.any():
        for i, j in np.argwhere(is_wide).tolist():
            *lower, highest = words[i, j * limbs : (j + 1) * limbs].tolist()
            bits = sum((each & 0xFFFF_FFFF_FFFF_FFFF) << 64 * limb for limb, each in enumerate(lower))
            numbers[i][j] = bits + (highest << 64 * len(lower))
    return numbers
