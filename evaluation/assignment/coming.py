"""Coming: in which minutes of append time exposures of runs, events of facts, and events of any name came."""

from collections.abc import Iterator, Sequence

import numpy as np

from evaluation.assignment.messages import Stretch, UnitRows
from evaluation.columns.arrays import Mask, Words
from schemas.duration import MINUTE_MS
from schemas.recount import unmarked
from schemas.units import Arm, CameKind, RowKind

_LEFT_OUT = RowKind.LATE | RowKind.INACTIVE | RowKind.FORCED


def came(
    rows: UnitRows, arms: Sequence[Arm], facts: Sequence[str], stretch: Stretch
) -> frozenset[tuple[CameKind, str, int]]:
    """What came, of rows that count. What was sent again came when it was sent first."""
    if not stretch.rows:
        return frozenset()
    its = slice(stretch.rows.start, stretch.rows.stop)
    time = np.minimum(stretch.judged[its], stretch.records.append_time[its])
    first, last = int(time.min()) // MINUTE_MS, int(time.max()) // MINUTE_MS
    of_row = None
    if first != last:
        of_row = time[np.searchsorted(stretch.records.offset, rows.offset) - its.start] // MINUTE_MS
    counts = rows.kind & np.uint8(_LEFT_OUT) == 0
    is_exposure = rows.kind & np.uint8(RowKind.EXPOSURE) != 0
    found: set[tuple[CameKind, str, int]] = {("name", name, last) for name in stretch.names}
    for code, each in _pairs(rows, counts & is_exposure, of_row, last):
        found.add(("run", f"{arms[code].flag}/{unmarked(arms[code].run)[1]}", each))
    for code, each in _pairs(rows, counts & ~is_exposure, of_row, last):
        found.add(("fact", unmarked(facts[code])[1], each))
    return frozenset(found)


def came_loose(rows: UnitRows, facts: Sequence[str], stretch: Stretch) -> frozenset[tuple[CameKind, str, int]]:
    """The same of events that name no unit: a fact is fed by them too."""
    kept = rows.kind & np.uint8(RowKind.JOIN | RowKind.EXPOSURE) == 0
    if not facts or not kept.any():
        return frozenset()
    columns = {name: column[kept] for name, column in rows.columns().items()}
    columns["code"] = columns["code"] % np.uint16(len(facts))
    return came(UnitRows(**columns), (), facts, stretch)


def _pairs(rows: UnitRows, counts: Mask, of_row: Words | None, minute: int) -> Iterator[tuple[int, int]]:
    """The codes of the rows that count, each with its minutes."""
    codes = rows.code[counts]
    if of_row is None:
        seen = np.zeros(1 << 16, np.bool_)
        seen[codes] = True
        yield from ((code, minute) for code in np.flatnonzero(seen).tolist())
        return
    both = np.unique(of_row[counts] << 16 | codes)
    yield from zip((both & 0xFFFF).tolist(), (both >> 16).tolist(), strict=True)
