"""Entry values: what units were at their entry, by properties: each combination of values that was met has a number.

The number travels in the place of an exposure's segments, so that the stage's kernels say with which exposure a unit
entered. What was met is remembered level by level: a combination of the first properties, and a value of the next one.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evaluation.assignment.columns import MessageColumns
from evaluation.assignment.messages import properties
from evaluation.assignment.properties import satisfied
from evaluation.columns.scanning import Wanted
from evaluation.flags.conditions import NONE, compile_condition
from evaluation.flags.paths import property_path
from evaluation.flags.values import text_of
from evaluation.metrics.contribution import OTHER
from schemas.catalog import Breakdown, Condition

MOST_VALUES = 1_000  # of one property; what comes after them is `(other)`


class _Level:
    """The combinations of a level by what they are made of: one of the level before, and a code."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[int, int], int] = {}

    def numbers(self, before: NDArray[np.int64], code: NDArray[np.int64]) -> NDArray[np.int64]:
        """The combinations' numbers; new ones are given in the order in which they come."""
        pairs, first, which = np.unique(before * MOST_CODES + code, return_index=True, return_inverse=True)
        found = np.empty(len(pairs), np.int64)
        for i in np.argsort(first).tolist():
            pair = divmod(int(pairs[i]), MOST_CODES)
            found[i] = self._numbers.setdefault(pair, len(self._numbers))
        return found[which]

    def parts(self) -> NDArray[np.int64]:
        """(combinations, 2): of the level before, and the code."""
        return np.array([*self._numbers], np.int64).reshape(-1, 2)


MOST_CODES = 2 * MOST_VALUES


class EntryValues:
    """The values at entries of some properties, and whether the conditions were met. To be given to `assign`."""

    def __init__(self, asked: Sequence[str], where: Sequence[Condition]) -> None:
        self.properties = tuple(dict.fromkeys(asked))
        self.properties_read = tuple(dict.fromkeys([*self.properties, *(each.property for each in where)]))
        self._where = [(property_path(each.property), compile_condition(each.op, each.values)) for each in where]
        self._values: list[dict[str, int]] = [{OTHER: 0} for _ in self.properties]
        self._levels = [_Level() for _ in range(1 + len(self.properties))]
        self.is_cut = False  # some property had more values than are told apart

    def __call__(
        self,
        columns: MessageColumns,
        wanted: Wanted,
        breakdowns: Sequence[Breakdown],
        rows: NDArray[np.int64],
    ) -> NDArray[np.int64]:
        """The combination's number of each of these messages."""
        del breakdowns
        paths = {path for path, _ in self._where} | set(map(property_path, self.properties))
        found = properties(columns, wanted, paths, rows)
        number = self._levels[0].numbers(
            np.zeros(len(rows), np.int64), satisfied(self._where, found, len(rows)).astype(np.int64)
        )
        for place, each in enumerate(self.properties):
            codes, values = found[property_path(each)].distinct
            known = np.array([self._code(place, value) for value in values], np.int64)
            number = self._levels[place + 1].numbers(number, known[codes])
        return number

    def _code(self, place: int, value: object) -> int:
        known, text = self._values[place], NONE if value is None else text_of(value) or ""
        if text not in known and len(known) > MOST_VALUES:
            self.is_cut = True
            return 0
        return known.setdefault(text, len(known))

    @property
    def untold(self) -> list[str]:
        """The properties that no exposure told."""
        return [name for name, known in zip(self.properties, self._values, strict=True) if {*known} <= {OTHER, NONE}]

    def met(self, number: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of these combinations met the conditions."""
        if not self._where:
            return np.ones(len(number), np.bool_)
        for level in self._levels[:0:-1]:
            number = level.parts()[number, 0]
        return np.asarray(self._levels[0].parts()[number, 1] == 1)

    def codes(self, number: NDArray[np.int64], name: str) -> tuple[NDArray[np.int64], list[str]]:
        """A property's value in each of these combinations, as an index into a list of values."""
        at = self.properties.index(name)
        for level in self._levels[: at + 1 : -1]:
            number = level.parts()[number, 0]
        return self._levels[at + 1].parts()[number, 1], [*self._values[at]]
