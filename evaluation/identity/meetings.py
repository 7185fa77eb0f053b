"""Meetings: whether a person met two variants of one allocation through different units, by exposures that name both.

Of several exposures with more than one variant and more than one unit there are always two with neither in common. So
it is enough to know the first one, and whether another variant and another unit followed.
"""

from typing import Any

import numpy as np
from numba import njit

from evaluation.columns.arrays import Words
from evaluation.identity.keyed_rows import KeyedRows
from evaluation.metrics.layouts import Table

MEETING = np.dtype((np.record, [("key", np.int64), ("unit", np.int64), ("seen", np.int64)]))
_OTHER_VARIANT, _OTHER_UNIT, _KNOWN = 1, 2, 4  # of what was seen; above them stands the first variant
_BITS = 3


class Meetings:
    """What the people behind a run's units met. A key stands for an identity and an allocation."""

    def __init__(self) -> None:
        self.crossed = 0
        self._known = KeyedRows(MEETING)

    def put(self, keys: Words, units: Words, variants: Words) -> None:
        """People met variants, known by numbers, through these units."""
        self.crossed += int(_meet(self._known.enter(keys), self._known.rows, units, variants))

    def words(self) -> Words:
        """What a checkpoint says of it."""
        return self._known.words()

    @classmethod
    def load(cls, words: Words) -> "Meetings":
        """It again, from what `words()` gave."""
        meetings = cls()
        meetings._known = KeyedRows.load(MEETING, words)
        seen = meetings._known.rows["seen"] & (_OTHER_VARIANT | _OTHER_UNIT)
        meetings.crossed = int((seen == _OTHER_VARIANT | _OTHER_UNIT).sum())
        return meetings


@njit(cache=True)
def _meet(numbers: Words, rows: Table, units: Words, variants: Words) -> Any:
    """How many have crossed now that had not before."""
    both = _OTHER_VARIANT | _OTHER_UNIT
    crossed = 0
    for i in range(numbers.shape[0]):
        its = rows[numbers[i]]
        if its.seen == 0:
            its.unit, its.seen = units[i], variants[i] << _BITS | _KNOWN
        before = its.seen
        if variants[i] != its.seen >> _BITS:
            its.seen |= _OTHER_VARIANT
        if units[i] != its.unit:
            its.seen |= _OTHER_UNIT
        crossed += before & both != both and its.seen & both == both
    return crossed
