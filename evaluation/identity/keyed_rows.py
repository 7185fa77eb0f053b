"""Keyed rows: what is known of each of millions of keys, a row of int64 each, in the order in which they were met.

A hash table of slots (see hash_table.py) finds the row of a key. Bytes: 24 for a row of three words, 8 per slot of
which at most 5/8 are in use: 37 to 50 for each key. A checkpoint holds the rows.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from evaluation.columns.arrays import Words
from evaluation.columns.hash_table import add, fill, fingerprint, first, following, home, is_full, number_of, slots_for
from evaluation.metrics.layouts import Table, words_of

_SMALLEST = 64  # rows


def keys_of(identities: NDArray[np.uint64], number: NDArray[np.int64] | int) -> Words:
    """The keys of identities in a numbered space of their own (the 64-bit golden ratio tells spaces apart)."""
    space = np.asarray(number).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return (identities ^ space).view(np.int64)


class KeyedRows:
    """Rows of a layout that begins with `key`."""

    def __init__(self, layout: np.dtype[np.void]) -> None:
        self.count = 0
        self.rows = np.zeros(_SMALLEST, layout)
        self.slots = np.zeros(slots_for(_SMALLEST), np.int64)

    def enter(self, keys: Words) -> Words:
        """The numbers of the keys' rows; who has none yet has one of zeros now, from the former `count` on."""
        self._reserve(len(keys))
        numbers = np.empty(len(keys), np.int64)
        self.count, _ = _enter(self.rows, self.slots, self.count, keys, numbers)
        return numbers

    def find(self, keys: Words) -> Words:
        """The numbers of the keys' rows, or -1."""
        numbers = np.empty(len(keys), np.int64)
        _find(self.rows, self.slots, keys, numbers)
        return numbers

    def _reserve(self, n: int) -> None:
        if self.count + n > len(self.rows):
            rows = np.zeros(max(self.count + n, len(self.rows) + len(self.rows) // 2), self.rows.dtype)
            rows[: self.count] = self.rows[: self.count]
            self.rows = rows
        if is_full(len(self.slots), self.count + n):
            self._fill_slots(self.count + n)

    def _fill_slots(self, n: int) -> None:
        self.slots = np.zeros(max(2 * len(self.slots), slots_for(n) // 2), np.int64)
        while is_full(len(self.slots), n):
            self.slots = np.zeros(2 * len(self.slots), np.int64)
        _fill(self.rows, self.slots, self.count)

    def words(self) -> Words:
        """The rows of a checkpoint."""
        return words_of(self.rows[: self.count])

    @classmethod
    def load(cls, layout: np.dtype[np.void], words: Words) -> "KeyedRows":
        """The rows again, from what `words()` gave."""
        table = cls(layout)
        rows = words.view(layout)
        table._reserve(len(rows))
        table.rows[: len(rows)], table.count = rows, len(rows)
        table._fill_slots(table.count)
        return table


@njit(cache=True)
def _fill(rows: Table, slots: Words, n: int) -> None:
    """Enter the first n rows into an empty table."""
    for number in range(n):
        add(slots, fingerprint(rows[number].key, 0, 0), number)


@njit(cache=True)
def _slot(rows: Table, slots: Words, mark: int, key: int) -> Any:
    p = first(slots, mark)
    while slots[p] != 0 and rows[number_of(slots[p])].key != key:
        p = following(slots, mark, p)
    return p


@njit(cache=True)
def _enter(rows: Table, slots: Words, count: int, keys: Words, numbers: Words) -> tuple[int, Any]:
    """How many rows there are then. In passes, so that cache misses overlap."""
    seen = np.int64(0)
    for i in range(keys.shape[0]):
        numbers[i] = fingerprint(keys[i], 0, 0)
        seen ^= slots[home(numbers[i], slots.shape[0])]
    for i in range(keys.shape[0]):
        mark = numbers[i]
        p = _slot(rows, slots, mark, keys[i])
        if slots[p] == 0:
            fill(slots, p, mark, count)
            rows[count].key = keys[i]
            numbers[i] = count
            count += 1
        else:
            numbers[i] = number_of(slots[p])
    return count, seen


@njit(cache=True)
def _find(rows: Table, slots: Words, keys: Words, numbers: Words) -> Any:
    seen = np.int64(0)
    for i in range(keys.shape[0]):
        numbers[i] = fingerprint(keys[i], 0, 0)
        seen ^= slots[home(numbers[i], slots.shape[0])]
    for i in range(keys.shape[0]):
        p = _slot(rows, slots, numbers[i], keys[i])
        numbers[i] = number_of(slots[p]) if slots[p] != 0 else -1
    return seen
