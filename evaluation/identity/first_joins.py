"""First joins: with which unit each identity was seen first, by event time; of one time it is the smaller hash.

They are kept for ever. A minimum: what is told twice, or in another order, changes nothing.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from evaluation.columns.arrays import Words
from evaluation.identity.keyed_rows import KeyedRows
from evaluation.metrics.layouts import Table

NEVER = 1 << 62  # the time of a join that there is not (ms UTC)
FIRST_JOIN = np.dtype((np.record, [("key", np.int64), ("time", np.int64), ("unit", np.int64)]))


class JoinChange(NamedTuple):
    """Keys whose first join is another one now: with whom they were joined before, and since; `NEVER`: with nobody."""

    keys: Words
    former_times: Words
    former_units: Words
    times: Words
    units: Words


class FirstJoins:
    """The first join of each key, which stands for a pair of types and an identity."""

    def __init__(self) -> None:
        self._known = KeyedRows(FIRST_JOIN)

    def __len__(self) -> int:
        return self._known.count

    def put(self, keys: Words, times: Words, units: Words) -> JoinChange:
        """Take in joins; what that changes, each key once."""
        before = self._known.count
        numbers = self._known.enter(keys)
        rows = self._known.rows
        rows["time"][before : self._known.count] = NEVER
        former_times, former_units = rows["time"][numbers], rows["unit"][numbers]
        _take_earliest(rows, numbers, times, units)
        changed = (rows["time"][numbers] != former_times) | (rows["unit"][numbers] != former_units)
        _, first = np.unique(numbers[changed], return_index=True)
        at = np.flatnonzero(changed)[first]
        its = numbers[at]
        return JoinChange(keys[at], former_times[at], former_units[at], rows["time"][its], rows["unit"][its])

    def get(self, keys: Words) -> tuple[Words, Words]:
        """Time and unit of each key's first join; `NEVER`: there is none."""
        numbers = self._known.find(keys)
        rows = self._known.rows
        return np.where(numbers < 0, NEVER, rows["time"][numbers]), rows["unit"][numbers]

    def words(self) -> Words:
        """The joins of a checkpoint."""
        return self._known.words()

    @classmethod
    def load(cls, words: Words) -> "FirstJoins":
        """The joins again, from what `words()` gave."""
        joins = cls()
        joins._known = KeyedRows.load(FIRST_JOIN, words)
        return joins


@njit(cache=True)
def _take_earliest(rows: Table, numbers: Words, times: Words, units: Words) -> None:
    for i in range(numbers.shape[0]):
        its = rows[numbers[i]]
        is_smaller = times[i] == its.time and np.uint64(units[i]) < np.uint64(its.unit)
        if times[i] < its.time or is_smaller:
            its.time, its.unit = times[i], units[i]
