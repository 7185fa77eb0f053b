"""Slices: the units of a run by what they were at their entry, the largest slices and all others together."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evaluation.columns.arrays import Mask
from evaluation.exploring.entry_values import EntryValues
from evaluation.exploring.question import DAY, MOMENTS
from evaluation.metrics.contribution import OTHER
from schemas.duration import DAY_MS, HOUR_MS


class Slices(NamedTuple):
    """A breakdown: of each unit the place of its slice in `values`, the first of which is all others."""

    by: tuple[str, ...]
    values: list[tuple[str, ...]]
    code: NDArray[np.int64]
    has_others: bool

    @property
    def inhabited(self) -> list[int]:
        """The places of the slices where somebody is, all others last."""
        return [*range(1, len(self.values)), *([0] if self.has_others else [])]


def slices(  # noqa: PLR0917
    by: tuple[str, ...],
    values: EntryValues,
    number: NDArray[np.int64],
    entry: NDArray[np.int64],
    counts: Mask,
    most: int,
) -> Slices:
    """The `most` largest slices, by the units that `counts`; of those as large as each other the first by name."""
    codes, names = zip(*(_of_property(each, values, number, entry) for each in by), strict=True)
    together = np.zeros(len(number), np.int64)
    for code in codes:
        together = together * (int(code.max(initial=0)) + 1) + code
        _, together = np.unique(together, return_inverse=True)
    _, first = np.unique(together, return_index=True)
    places = [code[first] for code in codes]
    named = [tuple(name[place[i]] for name, place in zip(names, places, strict=True)) for i in range(len(first))]
    units = np.bincount(together[counts], minlength=len(named)).tolist() if named else []
    others = (OTHER,) * len(by)
    largest = sorted(
        (i for i in range(len(named)) if units[i] and named[i] != others), key=lambda i: (-units[i], named[i])
    )
    kept = largest[:most]
    code_of = np.zeros(len(named) + 1, np.int64)
    code_of[kept] = np.arange(1, len(kept) + 1)
    code = code_of[together]
    return Slices(by, [others, *(named[i] for i in kept)], code, bool((code[counts] == 0).any()))


def _of_property(
    name: str, values: EntryValues, number: NDArray[np.int64], entry: NDArray[np.int64]
) -> tuple[NDArray[np.int64], Sequence[str]]:
    if name not in MOMENTS:
        return values.codes(number, name)
    length, form = (DAY_MS, "%Y-%m-%d") if name == DAY else (HOUR_MS, "%Y-%m-%d %H:00")
    times, code = np.unique(entry // length * length, return_inverse=True)
    return code, [datetime.fromtimestamp(time / 1_000, UTC).strftime(form) for time in times.tolist()]
