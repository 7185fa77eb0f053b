"""Messages: what exposures and events have in common: their times, units and ids, and the rows that they make."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.assignment.columns import MessageColumns
from evaluation.assignment.dead_letters import DeadLetters, MessageOrigin, place_of
from evaluation.assignment.properties import PropertyColumn
from evaluation.columns.arrays import Mask
from evaluation.columns.hashing import position_hashes, text_hashes, unit_hashes
from evaluation.columns.scanning import MISSING, Type, Wanted
from evaluation.columns.texts import Texts
from evaluation.flags.paths import Path, unit_path
from evaluation.flags.values import Selector
from schemas.assignment import Assignment
from schemas.catalog import Breakdown
from schemas.numbers import LAST_SECONDS, LATEST, is_in_seconds
from schemas.records import Records
from schemas.units import Arm, Example, RowKind
from schemas.writer_schema import Schemas


@dataclass(frozen=True, slots=True)
class UnitRows:
    """Rows of schemas.units.ROWS without their source: parallel columns (n,), ascending by offset."""

    offset: NDArray[np.int64]
    kind: NDArray[np.uint8]
    code: NDArray[np.uint16]
    unit: NDArray[np.uint64]
    time: NDArray[np.int64]
    id: NDArray[np.uint64]
    value: NDArray[np.int64]

    @classmethod
    def join(cls, pieces: "Sequence[UnitRows]") -> "UnitRows":
        """The rows of several pieces, by offset."""
        if len(pieces) == 1:
            return pieces[0]
        columns = [
            np.concatenate([np.empty(0, dtype), *(getattr(piece, name) for piece in pieces)])
            for name, dtype in _DTYPES.items()
        ]
        order = np.argsort(columns[0], kind="stable")
        return cls(*(column[order] for column in columns))

    def columns(self) -> dict[str, Any]:
        """The columns by name."""
        return {name: getattr(self, name) for name in _DTYPES}

    def between(self, begin: int, end: int) -> dict[str, Any]:
        """The columns of the records with offsets in [begin, end)."""
        first, stop = np.searchsorted(self.offset, (begin, end))
        return {name: column[first:stop] for name, column in self.columns().items()}


_DTYPES = {
    "offset": np.int64,
    "kind": np.uint8,
    "code": np.uint16,
    "unit": np.uint64,
    "time": np.int64,
    "id": np.uint64,
    "value": np.int64,
}


def bits(*masks: tuple[Mask, RowKind]) -> NDArray[np.uint8]:
    """The column `kind` in which each bit is set where its mask is true."""
    kind = np.zeros(len(masks[0][0]), np.uint8)
    for mask, bit in masks:
        kind |= mask.astype(np.uint8) * np.uint8(bit)
    return kind


def properties(
    columns: MessageColumns, wanted: Wanted, paths: Iterable[Path], rows: NDArray[np.int64]
) -> dict[Selector, PropertyColumn]:
    """What these messages say at each path, for comparison."""
    found: dict[Selector, PropertyColumn] = {}
    for path in paths:
        texts = columns.texts[path].take(rows)
        found[path] = (
            PropertyColumn.of_json(texts) if wanted.fields[path] == Type.VALUE else PropertyColumn.of_texts(texts)
        )
    return found


def _unit_texts(columns: MessageColumns, unit_type: str) -> Texts:
    """Each message's unit as the text by which it is bucketed."""
    path = unit_path(unit_type)
    texts = columns.texts[path]
    return PropertyColumn.of_json(texts).texts if path[0] == "user_properties" else texts


# What the units of these messages (the rows) were, by a run's breakdowns, as one number each.
Segments = Callable[[MessageColumns, Wanted, Sequence[Breakdown], NDArray[np.int64]], NDArray[np.int64]]


@dataclass
class Stretch:
    """Records to which one catalog state applies, and what they say besides rows."""

    records: Records
    rows: range
    judged: NDArray[np.int64]  # by record: the append time by which lateness is judged
    horizon: int
    tolerance: int
    dead_letters: DeadLetters
    schemas: Schemas = field(default_factory=dict)  # that the records name
    origins: dict[int, MessageOrigin] = field(default_factory=dict)  # by row, of the records that were sent again
    segments: Segments | None = None  # in place of the bits of breakdowns (see entries.py)
    arms: dict[Arm, int] = field(default_factory=dict)
    answers: list[tuple[int, int, Assignment]] = field(default_factory=list)  # with row and index of the exposure
    counts: dict[str, int] = field(default_factory=dict)
    examples: list[Example] = field(default_factory=list)
    names: set[str] = field(default_factory=set)  # of events, of those that nothing counts the most frequent
    identities: list[UnitRows] = field(default_factory=list)  # see joins.py

    def count(self, what: str, number: int) -> None:
        """Add to a total."""
        self.counts[what] = self.counts.get(what, 0) + number

    def times(self, columns: MessageColumns) -> tuple[NDArray[np.int64], Mask, Mask]:
        """Each message's time (ms UTC), whether it is late, and whether it is usable; the others are rejected."""
        judged = self.judged[columns.row]
        said = columns.integers["time",]
        time = np.where(said == MISSING, judged, said)
        usable = (time >= 0) & (time <= LATEST)
        in_seconds = usable & is_in_seconds(time) & (judged >= LAST_SECONDS)
        future = usable & (time > judged + self.tolerance)
        refuse, said_time = self.dead_letters.reject, columns.said_time
        for i in np.flatnonzero(~usable).tolist():
            detail = f"time is {time[i]}; it is an integer of milliseconds since 1970, up to the year 9999: send that"
            if said_time:
                detail = f"{said_time(i)}, which is no time from 1970 to the year 9999; mend `time`, or its unit"
            refuse(columns, i, "time out of range", detail)
        for i in np.flatnonzero(in_seconds).tolist():
            detail = f"time is {time[i]}, which would be early in the 1970s; is it in seconds? Send milliseconds"
            if said_time:
                detail = f"{said_time(i)}, which would be early in the 1970s; mend `time`, or its unit: s are seconds"
            refuse(columns, i, "time out of range", detail)
        for i in np.flatnonzero(future).tolist():
            what, mends = f"time is {time[i]}", "set the producer's clock"
            if said_time:
                what, mends = f"{said_time(i)}: time is {time[i]}", "mend `time`, its unit, or the producer's clock"
            refuse(
                columns,
                i,
                "future",
                f"{what}, {time[i] - judged[i]} ms after the append time {judged[i]}, at most {self.tolerance} ms are "
                f"tolerated; {mends}",
            )
        return time, judged - time > self.horizon, usable & ~future & ~in_seconds

    def units(
        self, columns: MessageColumns, unit_types: Sequence[str], needed: Collection[str]
    ) -> tuple[NDArray[np.uint64], Mask]:
        """The hashes (types, n) of the units of needed types, and whether a message carries a unit (types, n).

        An empty string is none.
        """
        texts = [_unit_texts(columns, unit_type) for unit_type in unit_types]
        hashes = np.empty((len(texts), len(columns)), np.uint64)
        carried = np.empty(hashes.shape, np.bool_)
        for i, (unit_type, each) in enumerate(zip(unit_types, texts, strict=True)):
            carried[i] = each.length > 0
            if unit_type in needed:
                hashes[i] = unit_hashes(unit_type, each)
        return hashes, carried

    def ids(self, columns: MessageColumns) -> tuple[NDArray[np.uint64], Mask]:
        """Each message's id, and whether its position stands in for one."""
        said = columns.texts["insert_id",]
        own = said.length <= 0
        ids = text_hashes(said)
        if own.any():
            records, source = self.records, columns.source
            offset = records.offset[columns.row[own]]
            topic = records.topic if source is None else f"{records.topic}#{source}"
            ids[own] = position_hashes(topic, records.partition, offset, columns.index[own])
            for i in np.flatnonzero(own & np.isin(columns.row, list(self.origins))).tolist():
                place = place_of(records, int(columns.row[i]), int(columns.index[i])).read_by(source)
                ids[i] = text_hashes(Texts.of([place.text]))[0]
        return ids, own
