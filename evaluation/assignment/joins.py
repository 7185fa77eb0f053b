"""Joins: who was seen together with which unit, and what people did that names no unit: rows on `identities`."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from evaluation.assignment.columns import MessageColumns
from evaluation.assignment.messages import Stretch, UnitRows
from evaluation.columns.arrays import Mask
from schemas.pair import Pair
from schemas.units import RowKind

_LEFT_OUT = RowKind.LATE | RowKind.INACTIVE | RowKind.FORCED


@dataclass(frozen=True, slots=True)
class IdentityRows(UnitRows):
    """Rows for `identities`: `unit` is the identity's hash; `code` indexes `pairs` (joins), `facts`, or arms."""

    pairs: list[Pair]
    facts: list[str]


def join_rows(  # noqa: PLR0917
    columns: MessageColumns,
    pairs: Sequence[tuple[int, int]],
    stretch: Stretch,
    hashes: NDArray[np.uint64],
    carried: Mask,
    counts: Mask,
    time: NDArray[np.int64],
) -> None:
    """Tell the joins of these messages, of each identity and unit the earliest one.

    Args:
        pairs: of each pair the unit's and the identity's place among the types.
        hashes, carried: by type and message.
        counts: which messages are usable and not late.
    """
    for code, (unit, identity) in enumerate(pairs):
        rows = np.flatnonzero(counts & carried[unit] & carried[identity])
        if len(rows):
            rows = _earliest(rows, hashes[identity], hashes[unit], time, len(rows))
            zeros = np.zeros(len(rows), np.uint64)
            stretch.count("joins", len(rows))
            stretch.identities.append(
                UnitRows(
                    offset=stretch.records.offset[columns.row[rows]],
                    kind=np.full(len(rows), RowKind.JOIN, np.uint8),
                    code=np.full(len(rows), code, np.uint16),
                    unit=hashes[identity, rows],
                    time=time[rows],
                    id=zeros,
                    value=hashes[unit, rows].view(np.int64),
                )
            )


def meeting_rows(rows: UnitRows, identities: NDArray[np.uint64], carried: Mask, stretch: Stretch) -> None:
    """Tell which people met an arm, by exposures that name them beside the unit; `identities` are those of the rows."""
    met = np.flatnonzero(carried & (rows.kind & np.uint8(_LEFT_OUT) == 0))
    stretch.identities.append(
        UnitRows(
            offset=rows.offset[met],
            kind=np.full(len(met), RowKind.EXPOSURE, np.uint8),
            code=rows.code[met],
            unit=identities[met],
            time=rows.time[met],
            id=np.zeros(len(met), np.uint64),
            value=rows.unit[met].view(np.int64),
        )
    )


@njit(cache=True)
def _earliest(rows, identities, units, time, n):  # type: ignore[no-untyped-def]
    """Of each identity and unit among these messages the first one in time; ascending."""
    size = 4
    while size < 2 * n:
        size *= 2
    mask = np.uint64(size - 1)
    slots = np.full(size, -1, np.int64)
    for row in rows:
        at = (identities[row] ^ (units[row] * np.uint64(0x9E3779B97F4A7C15))) & mask
        while slots[at] >= 0 and (identities[slots[at]] != identities[row] or units[slots[at]] != units[row]):
            at = (at + np.uint64(1)) & mask
        if slots[at] < 0 or time[row] < time[slots[at]]:
            slots[at] = row
    return np.sort(slots[slots >= 0])
