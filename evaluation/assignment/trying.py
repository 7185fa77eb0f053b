"""Trying: what a source makes of some records, side by side with what came."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from evaluation.assignment.absent import absent, conditions_of, fields_of, told
from evaluation.assignment.dead_letters import DeadLetters
from evaluation.assignment.foreign import foreign_columns, ours, readable
from evaluation.assignment.messages import Stretch
from evaluation.assignment.routing import read_by
from evaluation.catalog.in_force import Catalog
from evaluation.sources.mapping import whole
from evaluation.sources.presets import filled
from schemas.dead_letter import DeadLetter
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
    lacks: frozenset[str] | None = None  # fields at none of whose paths something stands; None: none was looked for
    unasked: frozenset[str] | None = None  # and conditions, of all that the record holds


def tried(  # noqa: PLR0917
    records: Records,
    source: ForeignSource,
    horizon: int,
    tolerance: int,
    schemas: Schemas = NO_SCHEMAS,
    catalog: Catalog | None = None,
) -> list[Tried]:
    """What the source makes of every record; one that is unfolded gives several. See `assign` for the rest.

    What flags and metrics of the catalog make a dead letter of is one too; None: nobody asks them.
    """
    refused: dict[int, list[DeadLetter]] = defaultdict(list)
    if catalog is not None and len(records):
        for each in read_by(source, records, catalog, horizon, tolerance, schemas).rejects:
            refused[int(np.searchsorted(records.offset, each.offset))].append(each)
    lacking = absent(records, source, fields_of(source), filled(source).where, schemas)
    unasked: dict[int, frozenset[str]] = {}
    for (row, _), conditions in absent(records, source, conditions_of(source), (), schemas).items():
        unasked[row] = unasked.get(row, conditions) & conditions
    return [
        replace(each, lacks=lacking.get((row, each.index)), unasked=unasked.get(row))
        for row in range(len(records))
        for each in _tried(records, row, source, horizon, tolerance, schemas, refused[row])
    ]


def absences(source: ForeignSource, shown: Sequence[Tried]) -> Iterator[str]:
    """What these records lack of the document's own paths; of conditions only where none of them has it."""
    meant = [each for each in shown if each.lacks is not None and each.detail != EXCLUDED]
    asked = [each for each in shown if each.unasked is not None]
    values = [each.value for each in shown]
    for field, taken in conditions_of(source).items():
        if asked and all(field in each.unasked for each in asked if each.unasked is not None):
            yield told(source, field, taken, len(asked), len(asked), values)
    for field, taken in fields_of(source).items():
        if lacking := sum(field in each.lacks for each in meant if each.lacks is not None):
            yield told(source, field, taken, lacking, len(meant), values)


def _tried(  # noqa: PLR0917
    records: Records,
    row: int,
    source: ForeignSource,
    horizon: int,
    tolerance: int,
    schemas: Schemas,
    refused: Sequence[DeadLetter],
) -> list[Tried]:
    wanted, counts, dead_letters = whole(source, timed=True), Counter[str](), DeadLetters(records)
    stretch = Stretch(records, range(row, row + 1), records.append_time, horizon, tolerance, dead_letters)
    found = []
    dead = {index: each for each in refused for index in each.others or (each.index,)}
    for columns in foreign_columns(records, np.array([row]), source, wanted, dead_letters, counts, schemas=schemas):
        _, late, usable = stretch.times(columns)
        for i in np.flatnonzero(usable).tolist():
            if (index := columns.index_of(i)) not in dead:
                message = ours(columns, i, wanted.fields)
                found.append(Tried(row, index, columns.readable(i), message, is_late=bool(late[i])))
            else:
                found.append(_dead(row, dead[index], columns.readable(i)))
    said, told = readable(records, row, source, schemas), {each.index for each in found}
    for each in [*refused, *dead_letters.in_order()]:
        if each.index not in told:
            found.append(_dead(row, each, said if each.index is None else each.value))
            told.add(each.index)
    if not found or counts["excluded"]:
        why = TOMBSTONE if counts["tombstones"] else EXCLUDED if counts["excluded"] else EMPTY
        found.append(Tried(row, None, said, detail=why))
    return sorted(found, key=lambda each: each.index or 0)


def _dead(row: int, dead_letter: DeadLetter, came: bytes | None) -> Tried:
    return Tried(row, dead_letter.index, came, None, dead_letter.reason, dead_letter.detail)
