"""Histogram: the numbers of units in bins that every arm shares."""

from math import ceil, floor, log10

import msgspec
import numpy as np
from numpy.typing import NDArray

MOST_BINS = 20
TAIL = 0.995  # beyond this share of the numbers one last bin holds the rest


class Histogram(msgspec.Struct, frozen=True, kw_only=True):
    """How many units have 0, and of the others how many in each bin: from an edge on to before the next.

    The last bin has its upper edge too.
    """

    zeros: int
    counts: list[int]


def edges_of(numbers: NDArray[np.float64], *, is_whole: bool) -> list[float]:
    """Edges at round numbers for those that are not 0; a last one holds the largest of all."""
    values = numbers[numbers != 0]
    if not len(values):
        return []
    least, most = float(values.min()), float(values.max())
    usual = float(np.quantile(values, TAIL, method="higher"))
    width = _round_up((usual - least) / MOST_BINS) if usual > least else max(abs(least) / 10, 1e-9)
    width = max(width, 1.0) if is_whole else width
    first = floor(least / width)
    last = max(first + 1, ceil(usual / width) + (usual % width == 0))
    edges = [width * step for step in range(first, last + 1)]
    return edges if most <= edges[-1] else [*edges, most]


def histogram(numbers: NDArray[np.float64], edges: list[float]) -> Histogram:
    """The numbers in these bins."""
    values = numbers[numbers != 0]
    counts = np.histogram(values, edges)[0].tolist() if edges else []
    return Histogram(zeros=len(numbers) - len(values), counts=counts)


def _round_up(width: float) -> float:
    """1, 2 or 5 times a power of ten, at least as large."""
    power = 10.0 ** floor(log10(width))
    return next(power * step for step in (1, 2, 5, 10) if power * step >= width * (1 - 1e-9))
