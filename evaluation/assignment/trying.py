"""Trying: what a source makes of some records, side by side with what came."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from evaluation.assignment.dead_letters import DeadLetters
from evaluation.assignment.foreign import foreign_columns, ours, readable
from evaluation.assignment.messages import Stretch
from evaluation.sources.mapping import whole
from schemas.records import Records
from schemas.source import ForeignSource
from schemas.writer_schema import NO_SCHEMAS, Schemas

TOMBSTONE, EXCLUDED, EMPTY = (
    "a tombstone: it has no value, and is skipped",
    "left out: it does not satisfy `where`",
    "nothing: the list that is unfolded is empty",
)


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of a record, or of one message of it: a `message` of ours, or why there is none.

    `reason` is that of a dead letter; without one the record is of no fault. One that is late is left out of numbers.
    """

    row: int
    index: int | None  # within a record that holds many
    value: bytes | None  # as it came
    message: dict[str, Any] | None = None
    reason: str | None = None
    detail: str | None = None
    is_late: bool = False


def tried(
    records: Records, source: ForeignSource, horizon: int, tolerance: int, schemas: Schemas = NO_SCHEMAS
) -> list[Tried]:
    """What the source makes of every record; one that is unfolded gives several. See `assign` for the rest."""
    return [each for row in range(len(records)) for each in _tried(records, row, source, horizon, tolerance, schemas)]


def _tried(  # noqa: PLR0917
    records: Records, row: int, source: ForeignSource, horizon: int, tolerance: int, schemas: Schemas
) -> list[Tried]:
    wanted, counts, dead_letters = whole(source, timed=True), Counter[str](), DeadLetters(records)
    stretch = Stretch(records, range(row, row + 1), records.append_time, horizon, tolerance, dead_letters)
    found = []
    for columns in foreign_columns(records, np.array([row]), source, wanted, dead_letters, counts, schemas=schemas):
        _, late, usable = stretch.times(columns)
        for i in np.flatnonzero(usable).tolist():
            message = ours(columns, i, wanted.fields)
            found.append(Tried(row, columns.index_of(i), columns.readable(i), message, is_late=bool(late[i])))
    said = readable(records, row, source, schemas)
    for each in dead_letters.in_order():
        came = said if each.index is None else each.value
        found.append(Tried(row, each.index, came, None, each.reason, each.detail))
    if not found or counts["excluded"]:
        why = TOMBSTONE if counts["tombstones"] else EXCLUDED if counts["excluded"] else EMPTY
        found.append(Tried(row, None, said, detail=why))
    return sorted(found, key=lambda each: each.index or 0)
