"""Given: the code of what each of millions of units was given, by the unit's hash, in arrays instead of objects.

Two tables of open addressing, at most half full, twice as large whenever they would be fuller. When the newer one has
half of the units that may be remembered, it becomes the older one, and what stood in that is forgotten.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Codes = NDArray[np.int32]

NOT_GIVEN = -1  # the code of who was given nothing
_SMALLEST = 1024  # slots


class GivenVariants:
    """Remembers at least `most` / 2 units, the newest ones. 12 bytes a slot. No unit has the hash 0."""

    def __init__(self, most: int) -> None:
        self._most_of_one = most // 2
        self._newer, self._older = _Table(), _Table()

    def put(self, units: Hashes, codes: Codes) -> None:
        """The units were given these, one after the other: the last one counts."""
        for begin in range(0, len(units), self._most_of_one):
            part = slice(begin, begin + self._most_of_one)
            if self._newer.count + len(units[part]) > self._most_of_one:
                self._newer, self._older = _Table(), self._newer
            self._newer.put(units[part], codes[part])

    def get(self, units: Hashes) -> Codes:
        """What each was given last, or NOTHING."""
        codes = self._newer.get(units)
        return np.where(codes == NOT_GIVEN, self._older.get(units), codes) if self._older.count else codes


class _Table:
    def __init__(self) -> None:
        self.count = 0
        self._make(_SMALLEST)

    def put(self, units: Hashes, codes: Codes) -> None:
        needed = 2 * (self.count + len(units))
        if needed > len(self._units):
            units_before, codes_before = self._units, self._codes
            self._make(1 << (needed - 1).bit_length())
            taken = units_before != 0
            _put(self._units, self._codes, units_before[taken], codes_before[taken])
        self.count += _put(self._units, self._codes, units, codes)

    def get(self, units: Hashes) -> Codes:
        found = np.empty(len(units), np.int32)
        _get(self._units, self._codes, units, found)
        return found

    def _make(self, slots: int) -> None:
        self._units = np.zeros(slots, np.uint64)  # 0: free
        self._codes = np.empty(slots, np.int32)


@njit(cache=True)
def _slot(slots, unit):  # type: ignore[no-untyped-def]
    """Where the unit stands, or would."""
    mask = np.uint64(slots.size - 1)
    at = unit & mask
    while slots[at] != 0 and slots[at] != unit:
        at = (at + np.uint64(1)) & mask
    return at


@njit(cache=True)
def _put(slots, slot_codes, units, codes):  # type: ignore[no-untyped-def]
    """How many were not there before."""
    new = 0
    for i in range(units.size):
        at = _slot(slots, units[i])
        new += slots[at] == 0
        slots[at] = units[i]
        slot_codes[at] = codes[i]
    return new


@njit(cache=True)
def _get(slots, slot_codes, units, found):  # type: ignore[no-untyped-def]
    for i in range(units.size):
        at = _slot(slots, units[i])
        found[i] = NOT_GIVEN if slots[at] == 0 else slot_codes[at]
