"""Intake: what one message of `units` brings: exposures that count, events that count, and what is only counted."""

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from evaluation.columns.arrays import Words
from evaluation.metrics.kernels import notes as noted
from evaluation.metrics.layouts import (
    EVENT,
    EXPOSURE,
    EXPOSURE_COUNTS,
    NOTE,
    Events,
    ExposureCounts,
    Exposures,
    HeaderArms,
    Notes,
)
from evaluation.metrics.sums import LIMIT
from schemas.decoding import NoMessageError
from schemas.units import Header, RowKind

# The run of an arm that is none of ours.
ELSEWHERE = -1  # the catalog has none of that name
OVER = -2  # it is final

_EXPOSURE, _LATE, _INACTIVE, _FORCED, _UNUSABLE = (
    int(kind) for kind in (RowKind.EXPOSURE, RowKind.LATE, RowKind.INACTIVE, RowKind.FORCED, RowKind.UNUSABLE)
)
_OK, _BAD_SOURCE, _BAD_CODE, _NO_RUN = range(4)
_COMPLAINTS = {
    _BAD_SOURCE: "its source is not in the header",
    _BAD_CODE: "its code is not in the header's arms or facts",
    _NO_RUN: "it is an exposure that counts, but the catalog in force has no such run",
}


class Intake(NamedTuple):
    """What is new in one message, each table with its number of rows in use."""

    exposures: Exposures
    exposure_count: int
    events: Events
    event_count: int
    notes: Notes  # with room for two more of each event
    note_count: int
    counted: ExposureCounts  # of each run


class _Columns(NamedTuple):
    """A message's columns; see schemas.units.ROWS."""

    source: NDArray[np.uint16]
    offset: Words
    kind: NDArray[np.uint8]
    code: NDArray[np.uint16]
    unit: Words
    time: Words
    insert_id: Words
    value: Words


@njit(cache=True)
def _is_accepted(kind: int, is_late: bool, counted: Any) -> bool:
    """Count an exposure of a run; whether it may be an entry."""
    if kind & _INACTIVE:
        counted.inactive += 1
    elif kind & _FORCED:
        counted.forced += 1
    elif is_late:
        counted.late += 1
    else:
        counted.accepted += 1
        return True
    return False


@njit(cache=True)
def _sort(  # noqa: PLR0917
    columns: _Columns, floors: Words, bounds: Words, arms: HeaderArms, facts: Words, intake: Intake
) -> tuple[int, int, int, int, int]:
    """Take in the rows that are new.

    1. A row counts if its source offset is not folded yet.
    2. It is late if it says so, or if its time is before its source's bound.
    3. An exposure that is none of ours, or not accepted, is only counted.
    4. An event that is late or unusable is only noted.
    5. One whose value lies beyond all limits is noted too: where a cap makes a number of it, it counts.

    Returns: a fault and the row that has it; how many exposures, events and notes there are.
    """
    source, offset, kind, code, unit, time, insert_id, value = columns
    exposures, events, notes, counted = intake.exposures, intake.events, intake.notes, intake.counted
    shown = happened = told = 0
    for i in range(source.shape[0]):
        if source[i] >= floors.shape[0]:
            return _BAD_SOURCE, i, 0, 0, 0
        if offset[i] < floors[source[i]]:  # rule 1
            continue
        is_exposure = kind[i] & _EXPOSURE != 0
        if code[i] >= (arms.shape[0] if is_exposure else facts.shape[0]):
            return _BAD_CODE, i, 0, 0, 0
        is_late = kind[i] & _LATE != 0 or time[i] < bounds[source[i]]  # rule 2
        if is_exposure:
            arm = arms[code[i]]
            if arm.run == ELSEWHERE and kind[i] & _INACTIVE == 0:
                return _NO_RUN, i, 0, 0, 0
            if arm.run >= 0 and _is_accepted(kind[i], is_late, counted[arm.run]):  # rule 3
                its = exposures[shown]
                its.unit, its.time, its.insert_id = unit[i], time[i], insert_id[i]
                its.arm, its.run, its.segments = arm.arm, arm.run, value[i]
                shown += 1
        elif is_late or kind[i] & _UNUSABLE:  # rule 4
            what = noted.LATE_EVENT if is_late else noted.UNUSABLE
            noted.put(notes[told], facts[code[i]], time[i], what, unit[i], insert_id[i])
            told += 1
        else:
            if abs(value[i]) >= LIMIT:  # rule 5
                what = noted.TOO_LARGE if value[i] > 0 else noted.TOO_SMALL
                noted.put(notes[told], facts[code[i]], time[i], what, unit[i], insert_id[i])
                told += 1
            event = events[happened]
            event.time, event.insert_id, event.value = time[i], insert_id[i], value[i]
            event.unit, event.fact = unit[i], facts[code[i]]
            happened += 1
    return _OK, 0, shown, happened, told


def sort(batch: pa.RecordBatch, header: Header, floors: Words, bounds: Words, arms: HeaderArms, facts: Words) -> Intake:  # noqa: PLR0917
    """What a message brings.

    Args:
        floors: (sources,) the first offset of each source that is new.
        bounds: (sources,) event times before it are late, whatever the row says (ms UTC).
        arms: for each of the header's arms its run, or `ELSEWHERE` or `OVER`, and its number in that run.
        facts: (facts,) the partition's number of each of the header's facts.

    Raises:
        NoMessageError: a row refers to what isn't there; the message is from another version, or broken.
    """
    n = batch.num_rows
    source, offset, kind, code, unit, time, insert_id, value = (column.to_numpy() for column in batch.columns)
    columns = _Columns(source, offset, kind, code, unit.view(np.int64), time, insert_id.view(np.int64), value)
    intake = Intake(
        exposures=Exposures(np.empty(n, EXPOSURE)),
        exposure_count=0,
        events=Events(np.empty(n, EVENT)),
        event_count=0,
        notes=Notes(np.empty(3 * n, NOTE)),
        note_count=0,
        counted=ExposureCounts(np.zeros(len(arms), EXPOSURE_COUNTS)),
    )
    fault, row, shown, happened, told = _sort(columns, floors, bounds, arms, facts, intake)
    if fault:
        raise NoMessageError(
            f"row {row} (code {code[row]}, catalog {header.catalog}): {_COMPLAINTS[fault]}; an assignment worker of "
            "another version may have sent it"
        )
    return intake._replace(exposure_count=shown, event_count=happened, note_count=told)


def segments(batch: pa.RecordBatch) -> list[pa.RecordBatch]:
    """The rows in order, cut where events begin, or cease, to be taken back: most often there is one piece."""
    kind = batch.column("kind").to_numpy()
    if not (kind & np.uint8(RowKind.WITHDRAWN)).any():
        return [batch]
    cuts = np.flatnonzero(np.diff(kind & np.uint8(RowKind.WITHDRAWN))) + 1
    edges = [0, *cuts.tolist(), batch.num_rows]
    return [batch.slice(begin, end - begin) for begin, end in pairwise(edges)]


def are_withdrawn(batch: pa.RecordBatch) -> bool:
    """Whether the rows of a segment are events that are taken back."""
    kind = batch.column("kind")
    return len(kind) > 0 and bool(kind[0].as_py() & RowKind.WITHDRAWN)


def withdrawn(batch: pa.RecordBatch, floors: Words, facts: Words) -> tuple[Events, Words]:
    """The events of a segment that are taken back, by unit, time, insert id and fact.

    And of each what was noted instead of counting it: that it was late or unusable; -1: it counted.
    """
    source, offset, kind, code, unit, time, insert_id, value = (column.to_numpy() for column in batch.columns)
    (rows,) = np.nonzero(offset >= floors[source])
    events = Events(np.zeros(len(rows), EVENT))
    events["unit"], events["insert_id"] = unit.view(np.int64)[rows], insert_id.view(np.int64)[rows]
    events["time"], events["value"], events["fact"] = time[rows], value[rows], facts[code[rows]]
    is_late, is_unusable = (kind[rows] & np.uint8(bit) != 0 for bit in (RowKind.LATE, RowKind.UNUSABLE))
    what = np.where(is_late, noted.LATE_EVENT, np.where(is_unusable, noted.UNUSABLE, -1))
    order = np.lexsort((events["fact"], events["insert_id"], events["time"], events["unit"]))
    return Events(events[order]), what[order]
