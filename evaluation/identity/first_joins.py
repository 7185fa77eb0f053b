"""First joins: with which unit each identity was seen first, by event time; of one time it is the smaller hash.

They are kept for ever. A minimum: what is told twice, or in another order, changes nothing.

A table keeps them, in the order of their keys' hashes, with free places between: a key's home is where its hash lies
among all hashes, and it stands there or behind smaller ones, without a gap. So a look-up ends at the first larger one,
growth goes from end to end, and 85 % of the places may be in use. Bytes: 22 a place, so 26 to 31 for each join.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from evaluation.columns.arrays import Mask, Words
from evaluation.metrics.layouts import Table, words_of

NEVER = 1 << 62  # the time of a join that there is not (ms UTC)
FIRST_JOIN = np.dtype((np.record, [("key", np.int64), ("time", np.int64), ("unit", np.int64)]))
_PLACE = np.dtype(  # packed; the time in ms UTC and one more, in 48 bits: 0 is free
    (np.record, [("key", np.int64), ("unit", np.int64), ("low", np.uint32), ("high", np.uint16)])
)

_SMALLEST = 64  # homes
_TAIL = 64  # places behind the last home, at first
_FULLEST = 0.85
_GROWTH = 1.2


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
        self._count = 0
        self._homes = _SMALLEST
        self._table = np.zeros(_SMALLEST + _TAIL, _PLACE)

    def __len__(self) -> int:
        return self._count

    def put(self, keys: Words, times: Words, units: Words) -> JoinChange:
        """Take in joins; what that changes, each key once."""
        former_times, former_units = np.full(len(keys), NEVER), np.zeros(len(keys), np.int64)
        changes = np.zeros(len(keys), np.bool_)
        done = 0
        while done < len(keys):
            room = int(_FULLEST * self._homes) - self._count
            if room <= 0:
                self._move(int(_GROWTH * self._homes), len(self._table) - self._homes)
                continue
            end = min(len(keys), done + room)
            done, self._count, _ = _put(
                self._table,
                self._homes,
                self._count,
                keys[:end],
                times,
                units,
                former_times,
                former_units,
                changes,
                done,
            )
            if done < end:
                self._move(self._homes, 2 * (len(self._table) - self._homes))
        changed = np.flatnonzero(changes)
        changed = changed[np.argsort(keys[changed], kind="stable")]
        is_last = np.append(np.diff(keys[changed]) != 0, True)[: len(changed)]
        first, last = changed[np.roll(is_last, 1)], changed[is_last]  # of a key's changes
        return JoinChange(keys[first], former_times[first], former_units[first], times[last], units[last])

    def get(self, keys: Words) -> tuple[Words, Words]:
        """Time and unit of each key's first join; `NEVER`: there is none."""
        times, units = np.empty(len(keys), np.int64), np.empty(len(keys), np.int64)
        _get(self._table, self._homes, keys, times, units)
        return times, units

    def _move(self, homes: int, tail: int) -> None:
        """Move all to so many homes, with so many places behind the last one, or more where they crowd there."""
        while True:
            table = np.zeros(homes + tail, _PLACE)
            if _moved(self._table, table, homes):
                break
            tail *= 2
        self._homes, self._table = homes, table

    def words(self) -> Words:
        """The joins of a checkpoint."""
        joins = np.zeros(self._count, FIRST_JOIN)
        _list(self._table, joins)
        return words_of(joins)

    @classmethod
    def load(cls, words: Words) -> "FirstJoins":
        """The joins again, from what `words()` gave."""
        joins = cls()
        rows = words.view(FIRST_JOIN)
        joins._move(max(_SMALLEST, int(len(rows) / _FULLEST) + 1), _TAIL)
        joins.put(rows["key"].copy(), rows["time"].copy(), rows["unit"].copy())
        return joins


@njit(cache=True)
def _hash(key: int) -> Any:
    """64 well-mixed bits, others for each key: a partition's identities have upper bits in common."""
    h = np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)
    return (h ^ (h >> np.uint64(32))) * np.uint64(0xBF58476D1CE4E5B9)


@njit(cache=True)
def _time(its: Any) -> Any:
    """The time at a place, and one more; 0: it is free."""
    return np.int64(its.high) << 32 | np.int64(its.low)


@njit(cache=True)
def _home(homes: int, h: int) -> Any:
    return np.int64(((h >> np.uint64(32)) * np.uint64(homes)) >> np.uint64(32))


@njit(cache=True)
def _seen(table: Table, homes: int, keys: Words, begin: int) -> Any:
    """Touch the homes of these keys: one after the other, so that cache misses overlap."""
    seen = np.int64(0)
    for i in range(begin, keys.shape[0]):
        seen ^= table[_home(homes, _hash(keys[i]))].key
    return seen


@njit(cache=True)
def _place(table: Table, homes: int, key: int) -> Any:
    """Where the key is, or else would be: at the end of the table there may be none."""
    h = _hash(key)
    p = _home(homes, h)
    while p < table.shape[0] and _time(table[p]) != 0 and _hash(table[p].key) < h:
        p += 1
    return p


@njit(cache=True)
def _write(its: Any, key: int, time: int, unit: int) -> None:
    its.key, its.unit = key, unit
    its.low, its.high = (time + 1) & 0xFFFFFFFF, (time + 1) >> 32


@njit(cache=True)
def _put(  # noqa: PLR0917
    table: Table,
    homes: int,
    count: int,
    keys: Words,
    times: Words,
    units: Words,
    former_times: Words,
    former_units: Words,
    changes: Mask,
    begin: int,
) -> tuple[int, int, Any]:
    """Take in joins, as far as there is room: up to which one, and how many keys are known then."""
    seen = _seen(table, homes, keys, begin)
    for i in range(begin, keys.shape[0]):
        p = _place(table, homes, keys[i])
        if p < table.shape[0] and _time(table[p]) != 0 and table[p].key == keys[i]:
            its = table[p]
            former_times[i], former_units[i] = _time(its) - 1, its.unit
            is_smaller = times[i] == former_times[i] and np.uint64(units[i]) < np.uint64(its.unit)
            if times[i] < former_times[i] or is_smaller:
                _write(its, keys[i], times[i], units[i])
                changes[i] = True
            continue
        free = p
        while free < table.shape[0] and _time(table[free]) != 0:
            free += 1
        if free == table.shape[0]:
            return i, count, seen
        for k in range(free, p, -1):
            table[k] = table[k - 1]
        _write(table[p], keys[i], times[i], units[i])
        changes[i] = True
        count += 1
    return keys.shape[0], count, seen


@njit(cache=True)
def _get(table: Table, homes: int, keys: Words, times: Words, units: Words) -> Any:
    seen = _seen(table, homes, keys, 0)
    for i in range(keys.shape[0]):
        p = _place(table, homes, keys[i])
        is_there = p < table.shape[0] and _time(table[p]) != 0 and table[p].key == keys[i]
        times[i] = _time(table[p]) - 1 if is_there else NEVER
        units[i] = table[p].unit if is_there else 0
    return seen


@njit(cache=True)
def _moved(before: Table, table: Table, homes: int) -> bool:
    """Move all to an empty table of so many homes; False: there was no room at its end."""
    following = np.int64(0)
    for k in range(before.shape[0]):
        if _time(before[k]) != 0:
            following = max(following, _home(homes, _hash(before[k].key)))
            if following == table.shape[0]:
                return False
            table[following] = before[k]
            following += 1
    return True


@njit(cache=True)
def _list(table: Table, joins: Table) -> None:
    n = 0
    for k in range(table.shape[0]):
        if _time(table[k]) != 0:
            joins[n].key, joins[n].time, joins[n].unit = table[k].key, _time(table[k]) - 1, table[k].unit
            n += 1
