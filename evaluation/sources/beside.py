"""Beside: what travels beside the values of records, keys and headers, as texts."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from evaluation.columns.arrays import Words
from evaluation.columns.scanning import LONGEST_TEXT
from evaluation.columns.texts import Texts, as_bytes
from evaluation.columns.tokens import is_utf8
from evaluation.sources.odd import WRONG
from evaluation.sources.paths import OfHeader, OfKey
from schemas.records import KEY, Records


def beside(records: Records, rows: Words, path: OfKey | OfHeader) -> Texts:
    """The key, or a header, of each of these records; what is no UTF-8, or too long, has the length `WRONG`."""
    found = _keys(records, rows) if isinstance(path, OfKey) else _headers(records, rows, path.name)
    _check(found.data, found.start, found.length, LONGEST_TEXT, WRONG)
    return found


def _keys(records: Records, rows: Words) -> Texts:
    if records.keys is None:  # those that were sent again have them so
        return _headers(records, rows, KEY)
    return Texts(as_bytes(records.keys.data), records.keys.start[rows], records.keys.length[rows])


def _headers(records: Records, rows: Words, name: str) -> Texts:
    """Of several headers of a name the last one; most records have none."""
    said = {
        row: found[-1] for row, each in records.headers.items() if (found := [v for k, v in each if k.lower() == name])
    }
    places = {row: i for i, row in enumerate(said)}
    length = np.array([-1, *map(len, said.values())], np.int64)
    start = np.cumsum(np.maximum(length, 0)) - np.maximum(length, 0)
    which = np.array([places.get(row, -1) + 1 for row in rows.tolist()] if said else np.zeros(len(rows)), np.int64)
    return Texts(as_bytes(b"".join(said.values())), start[which], length[which])


@njit(cache=True)
def _check(b: NDArray[np.uint8], start: Words, length: Words, longest: int, wrong: int) -> None:
    for i in range(start.size):
        if length[i] > 0 and (length[i] > longest or not is_utf8(b, start[i], start[i] + length[i])):
            length[i] = wrong
