"""Hash table: open addressing with linear probing, for kernels.

A key's fingerprint is 32 bits, never 0; its top bits are its home slot, from which on it stands in the first one that
was free. So a table twice as large is filled by reading the old one from end to end: growth is sequential. A table has
a power of two of slots and at most 5/8 of them are in use. It is one of two kinds:

* Slots (int64) are the fingerprint above the 32 low bits of the number of what has that key. `first` and `following`
  go through the numbers that may be meant; the caller compares the key itself.
* Keyed slots are records that begin with the key: `unit`, and the bits of `word` from some bit on. 0 in `word` is free.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from evaluation.columns.arrays import Words

_SMALLEST = 64
_LOW = np.int64(0xFFFFFFFF)


@njit(cache=True)
def fingerprint(unit: int, fact: int, insert_id: int) -> Any:
    """32 well-mixed bits, never 0. (Multipliers of splitmix64.)"""
    h = (np.uint64(unit) ^ (np.uint64(fact) << np.uint64(48))) * np.uint64(0x9E3779B97F4A7C15)
    h = ((h ^ (h >> np.uint64(30))) + np.uint64(insert_id)) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.int64(h >> np.uint64(32)) | 1


@njit(cache=True)
def home(mark: int, size: int) -> Any:
    """Where the search for a fingerprint begins: its top bits, because `size` is a power of two."""
    return (mark * size) >> 32


@njit(cache=True)
def number_of(slot: int) -> Any:
    """The 32 low bits of the number that a slot holds."""
    return slot & _LOW


@njit(cache=True)
def _match(slots: Words, mark: int, p: int) -> Any:
    """The first slot from p on that has the fingerprint or is free."""
    while slots[p] != 0 and (slots[p] >> 32) & _LOW != mark:
        p = (p + 1) & (slots.shape[0] - 1)
    return p


@njit(cache=True)
def first(slots: Words, mark: int) -> Any:
    """The first slot that has the fingerprint, or the free one where it would stand."""
    return _match(slots, mark, home(mark, slots.shape[0]))


@njit(cache=True)
def following(slots: Words, mark: int, p: int) -> Any:
    """The next slot after p that has the fingerprint, or the free one where it would stand."""
    return _match(slots, mark, (p + 1) & (slots.shape[0] - 1))


@njit(cache=True)
def fill(slots: Words, p: int, mark: int, number: int) -> None:
    """Take the free slot p."""
    slots[p] = (mark << 32) | (number & _LOW)


@njit(cache=True)
def add(slots: Words, mark: int, number: int) -> None:
    """Enter a number whose key is not there."""
    p = home(mark, slots.shape[0])
    while slots[p] != 0:
        p = (p + 1) & (slots.shape[0] - 1)
    fill(slots, p, mark, number)


@njit(cache=True)
def remove(slots: Words, mark: int, number: int) -> None:
    """Take out a number that is there. (Knuth 6.4, algorithm R: into the hole moves what has its home before it.)"""
    mask = slots.shape[0] - 1
    hole = home(mark, slots.shape[0])
    while number_of(slots[hole]) != number & _LOW:
        hole = (hole + 1) & mask
    p = (hole + 1) & mask
    while slots[p] != 0:
        begin = home((slots[p] >> 32) & _LOW, slots.shape[0])
        if ((p - begin) & mask) >= ((p - hole) & mask):
            slots[hole] = slots[p]
            hole = p
        p = (p + 1) & mask
    slots[hole] = 0


@njit(cache=True)
def refill(before: Words, slots: Words) -> None:
    """Move the slots of one table into an empty larger one."""
    for k in range(before.shape[0]):
        if before[k] != 0:
            add(slots, (before[k] >> 32) & _LOW, before[k])


@njit(cache=True)
def place(table: NDArray[np.void], mark: int, unit: int, key: int, shift: int) -> Any:
    """The keyed slot of a unit and a key, which is `word >> shift`, or the free one that it would take."""
    p = home(mark, table.shape[0])
    while table[p].word != 0 and (table[p].unit != unit or table[p].word >> shift != key):
        p = (p + 1) & (table.shape[0] - 1)
    return p


def is_full(slots: int, used: int) -> bool:
    """Whether more of a table's slots would be in use than may be."""
    return used * 8 > slots * 5


def slots_for(used: int) -> int:
    """How many slots a table needs of which so many are in use."""
    return max(_SMALLEST, 1 << (2 * used - 1).bit_length())
