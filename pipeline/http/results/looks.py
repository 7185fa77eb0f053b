"""Looks: the results that were published, remembered within bounds. The newest of each run is kept whole.

Of older ones it keeps where some of them stand on the topic, and the numbers of each cell at some of them: whenever
there are more than `MOST` of either, every other one is forgotten, so that those that stay lie evenly over the run.
"""

import asyncio
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from math import isnan
from typing import Any, NamedTuple

import msgspec
import numpy as np
from aiokafka import ConsumerRecord
from numpy.typing import NDArray

from schemas.decoding import decode
from schemas.fields import fields
from schemas.look import Cell, Look

MOST_MARKS = 4_096  # places of looks on the topic, of one run
MOST_POINTS = 256  # looks of which the history of cells knows, of one run

# What a history tells of a cell.
COLUMNS: dict[str, type] = {
    name: list[int | None] if field.unit == "units" else list[float | None]
    for name, field in fields(Cell).items()
    if field.is_followed
}
Columns = msgspec.defstruct(
    "Columns",
    [("look", list[int]), ("time", list[int]), *COLUMNS.items()],
    frozen=True,
    kw_only=True,
    namespace={"__doc__": "A cell over the looks: parallel columns; null where a look doesn't know the number."},
)

CellKey = tuple[str, str, str, str]  # metric, variant, reading, segment


class HistoryMark(NamedTuple):
    """Where a look stands on the topic, and when it was published (ms UTC)."""

    look: int
    offset: int
    published: int


class Point(NamedTuple):
    """The cells' numbers at one look: one row each, in the order of `keys`."""

    look: int
    time: int
    keys: tuple[CellKey, ...]
    numbers: NDArray[np.float64]  # (cells, COLUMNS) NaN: null


class Remembered:
    """What is kept of one run."""

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.head: Look  # the newest
        self.newest = b""  # its bytes as they stand on the topic
        self.offset = 0  # where it stands
        self.published = 0  # when (ms UTC)
        self.marks: list[HistoryMark] = []
        self.points: list[Point] = []
        self._first = 0  # look
        self._apart = 1  # looks from one point to the next
        self._marks_apart = 1

    def take(self, look: Look, value: bytes, offset: int, published: int) -> None:
        """Remember the run's next look."""
        self.head, self.newest, self.offset, self.published = look, value, offset, published
        self._first = self._first or look.look
        if (look.look - self._first) % self._marks_apart == 0:
            self.marks.append(HistoryMark(look.look, offset, published))
            if len(self.marks) > MOST_MARKS:
                del self.marks[1::2]
                self._marks_apart *= 2
        if (look.look - self._first) % self._apart == 0:
            self.points.append(_point(look, self.points))
            if len(self.points) > MOST_POINTS:
                del self.points[1::2]
                self._apart *= 2

    def begin(self, offset: int) -> None:
        """Looks before those that are known may stand on the topic, from this place on."""
        self.marks.insert(0, HistoryMark(0, offset, 0))

    def recall(self, look: Look, offset: int, published: int) -> None:
        """Remember one that came before those that are known, or between them."""
        place = bisect_left(self.marks, look.look, key=lambda mark: mark.look)
        if place == len(self.marks) or self.marks[place].look == look.look:
            return
        self.marks.insert(place, HistoryMark(look.look, offset, published))
        place = bisect_left(self.points, look.look, key=lambda point: point.look)
        self.points.insert(place, _point(look, self.points))

    def mark(self, look: int) -> HistoryMark | None:
        """Where to begin to read for a look; None: it is not there (any more)."""
        found = bisect_right(self.marks, look, key=lambda mark: mark.look)
        return self.marks[found - 1] if found and look <= self.head.look else None

    def mark_at(self, time: int) -> HistoryMark | None:
        """The last one that was published by then (ms UTC); None: all came later."""
        found = bisect_right(self.marks, time, key=lambda mark: mark.published)
        return self.marks[found - 1] if found else None

    def history(self, cell: CellKey) -> dict[str, list[Any]] | None:
        """The cell over the looks, as columns; a null where a look has no such cell. None: no look has.

        A look before every partition has a watermark is as of no time, and stands on no axis.
        """
        points = [*self.points]
        if not points or points[-1].look != self.head.look:
            points.append(_point(self.head, points))
        if not any(cell in each.keys for each in points):
            return None
        points = [each for each in points if each.time]
        nothing = np.full(len(COLUMNS), np.nan)
        rows = [each.numbers[each.keys.index(cell)] if cell in each.keys else nothing for each in points]
        columns = zip(COLUMNS, np.reshape(rows, (len(points), len(COLUMNS))).T.tolist(), strict=True)
        return {
            "look": [each.look for each in points],
            "time": [each.time for each in points],
            **{name: [None if isnan(value) else value for value in column] for name, column in columns},
        }


class Looks:
    """Every run's looks, read from the topic `results`."""

    def __init__(self) -> None:
        self.runs: dict[tuple[str, str], Remembered] = {}  # by experiment and run
        self.arrived = asyncio.Event()  # set for a moment with every look, and at the end

    def read(self, record: ConsumerRecord) -> None:
        """Take one record of the topic: of each run only one that is newer than the last one that was taken."""
        look, value = decode(record.value, Look), record.value or b""
        run = self.runs.get((look.experiment, look.run))
        if run is None:
            run = self.runs[look.experiment, look.run] = Remembered(record.partition)
        elif look.look <= run.head.look:
            return
        run.take(look, value, record.offset, record.timestamp)
        pulse(self.arrived)

    def recall(self, record: ConsumerRecord) -> None:
        """Take one that stands before what was read of the topic."""
        look = decode(record.value, Look)
        if run := self.runs.get((look.experiment, look.run)):
            run.recall(look, record.offset, record.timestamp)

    def of(self, experiment: str, run: str | None = None) -> Remembered | None:
        """What is kept of an experiment's run; of its newest one, unless it is said which."""
        runs = {each: kept for (key, each), kept in self.runs.items() if key == experiment and run in (None, each)}
        return runs[max(runs, key=_number)] if runs else None

    def news(self, seen: dict[tuple[str, str], int], experiment: str | None = None) -> Iterator[Remembered]:
        """The runs of which a look was published after the last one that was `seen`; then it is seen."""
        for key, run in [*self.runs.items()]:
            if experiment in (None, key[0]) and seen.get(key) != run.head.look:
                seen[key] = run.head.look
                yield run


def pulse(event: asyncio.Event) -> None:
    """Wake everybody who waits for the event now."""
    event.set()
    event.clear()


def _number(run: str) -> int:
    found = re.search(r"\d+$", run)
    return int(found[0]) if found else 0


def _point(look: Look, before: list[Point]) -> Point:
    keys: tuple[CellKey, ...] = tuple((cell.metric, cell.variant, cell.reading, cell.segment) for cell in look.cells)
    if before and before[-1].keys == keys:
        keys = before[-1].keys  # one tuple for many looks
    numbers = np.array([[_float(cell, name) for name in COLUMNS] for cell in look.cells], np.float64)
    return Point(look.look, look.time, keys, numbers.reshape(len(keys), len(COLUMNS)))


def _float(cell: Cell, name: str) -> float:
    value = getattr(cell, name)
    return np.nan if value is None else value
