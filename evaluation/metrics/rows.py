"""Rows: one message of `units`, sorted into exposures that count, events that count, and what is only counted."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from evaluation.metrics import members, recent
from evaluation.metrics.recent import Words
from evaluation.metrics.sums import LIMIT
from schemas.decoding import NoMessageError
from schemas.units import Header, Kind

ELSEWHERE = -1  # an arm's run, where the catalog has none of that name
OVER = -2  # an arm's run, where it is final

EXPOSURES, LATE, INACTIVE, FORCED = range(4)  # columns of what is counted of a run's exposures

_EXPOSURE, _LATE, _INACTIVE, _FORCED, _UNUSABLE = (
    int(kind) for kind in (Kind.EXPOSURE, Kind.LATE, Kind.INACTIVE, Kind.FORCED, Kind.UNUSABLE)
)
_OK, _BAD_SOURCE, _BAD_CODE, _NO_RUN = range(4)
_COMPLAINTS = {
    _BAD_SOURCE: "its source is not in the header",
    _BAD_CODE: "its code is not in the header's arms or facts",
    _NO_RUN: "it is an exposure that counts, but the catalog in force has no such run",
}


class Rows(NamedTuple):
    """The rows of one message that are new, each table with its number of rows in use."""

    exposures: Words  # (n, 6): unit, time, id, arm, run, segments
    exposure_count: int
    events: Words  # (n, 5): time, id, value, unit, fact
    event_count: int
    notes: Words  # (3n, 4): fact, time, what, unit
    note_count: int
    counted: Words  # (runs, 4): see EXPOSURES


@njit(cache=True)
def _sort(  # noqa: PLR0917
    source: NDArray[np.uint16],
    offset: Words,
    kind: NDArray[np.uint8],
    code: NDArray[np.uint16],
    unit: Words,
    time: Words,
    name: Words,
    value: Words,
    floors: Words,
    bound: int,
    arms: Words,
    facts: Words,
    exposures: Words,
    events: Words,
    notes: Words,
    counted: Words,
) -> tuple[int, int, int, int, int]:
    shown, happened, noted = 0, 0, 0
    for i in range(source.shape[0]):
        if source[i] >= floors.shape[0]:
            return _BAD_SOURCE, i, 0, 0, 0
        if offset[i] < floors[source[i]]:
            continue
        late = kind[i] & _LATE != 0 or time[i] < bound
        if kind[i] & _EXPOSURE:
            if code[i] >= arms.shape[0]:
                return _BAD_CODE, i, 0, 0, 0
            of_run, arm = arms[code[i], 0], arms[code[i], 1]
            if of_run < 0:
                if of_run == ELSEWHERE and kind[i] & _INACTIVE == 0:
                    return _NO_RUN, i, 0, 0, 0
            elif kind[i] & _INACTIVE:
                counted[of_run, INACTIVE] += 1
            elif kind[i] & _FORCED:
                counted[of_run, FORCED] += 1
            elif late:
                counted[of_run, LATE] += 1
            else:
                counted[of_run, EXPOSURES] += 1
                exposures[shown, members.E_UNIT] = unit[i]
                exposures[shown, members.E_TIME] = time[i]
                exposures[shown, members.E_ID] = name[i]
                exposures[shown, members.E_ARM] = arm
                exposures[shown, members.E_RUN] = of_run
                exposures[shown, members.E_SEGMENTS] = value[i]
                shown += 1
        else:
            if code[i] >= facts.shape[0]:
                return _BAD_CODE, i, 0, 0, 0
            fact = facts[code[i]]
            if late or kind[i] & _UNUSABLE:
                recent.put_note(notes, noted, fact, time[i], recent.LATE if late else recent.UNUSABLE, unit[i])
                noted += 1
            else:
                if abs(value[i]) >= LIMIT:
                    what = recent.TOO_LARGE if value[i] > 0 else recent.TOO_SMALL
                    recent.put_note(notes, noted, fact, time[i], what, unit[i])
                    noted += 1
                events[happened, recent.TIME] = time[i]
                events[happened, recent.ID] = name[i]
                events[happened, recent.VALUE] = value[i]
                events[happened, recent.UNIT] = unit[i]
                events[happened, recent.LINK] = fact
                happened += 1
    return _OK, 0, shown, happened, noted


def sort(batch: pa.RecordBatch, header: Header, floors: Words, bound: int, arms: Words, facts: Words) -> Rows:  # noqa: PLR0917
    """The rows of a message.

    Args:
        floors: (sources,) the first offset of each source that is new.
        bound: event times before it are late, whatever the row says (ms UTC).
        arms: (arms, 2) for each of the header's arms the number of its run, or `ELSEWHERE` or `OVER`, and its number
            in that run.
        facts: (facts,) the partition's number of each of the header's facts.

    Raises:
        NoMessageError: a row refers to what isn't there; the message is from another version, or broken.
    """
    n = batch.num_rows
    source, offset, kind, code, unit, time, name, value = (column.to_numpy() for column in batch.columns)
    exposures, events, notes = (np.empty((rows, width), np.int64) for rows, width in ((n, 6), (n, 5), (3 * n, 4)))
    counted = np.zeros((len(arms), 4), np.int64)
    fault, row, shown, happened, noted = _sort(
        source,
        offset,
        kind,
        code,
        unit.view(np.int64),
        time,
        name.view(np.int64),
        value,
        floors,
        bound,
        arms,
        facts,
        exposures,
        events,
        notes,
        counted,
    )
    if fault:
        raise NoMessageError(
            f"row {row} (code {code[row]}, catalog {header.catalog}): {_COMPLAINTS[fault]}; an assignment worker of "
            "another version may have sent it"
        )
    return Rows(exposures, shown, events, happened, notes, noted, counted)
