"""Titles: what the columns of a table are, by its header: fields of a message, properties, or nothing that is read."""

from collections.abc import Callable, Collection, Iterable, Sequence
from difflib import get_close_matches
from typing import Literal, NamedTuple

from evaluation.catalog.rules import did_you_mean
from evaluation.flags.paths import Path
from pipeline.errors import PeekproofError
from pipeline.files.exports import FIELDS
from schemas.topics import EVENTS, EXPOSURES

OBJECTS = ("event_properties", "user_properties", "groups", "group_properties", "metadata")
TIMES = ("time", "event_time")
UNIT_FIELDS = ("user_id", "device_id", "groups", "user_properties")
ID_FIELDS = ("user_id", "device_id", "insert_id", "$insert_id")
MARKS = ".:"  # between an object and what is in it; a warehouse writes the latter
SEPARATORS = ";\t|"

Holds = Literal[
    "text", "id", "group", "time", "object", "value", "written", "nothing"
]  # written: a text, whatever it is


class FileColumn(NamedTuple):
    """What a column holds: a field ("", name), or a property (parent, name)."""

    parent: str
    name: str
    kind: Holds = "text"


UNREAD = FileColumn("", "", "nothing")
ColumnsOf = Callable[[str, Sequence[str]], list[FileColumn]]
"""The columns of a file's header, by its name. Raises PeekproofError where they cannot be used."""


class OfMessages:
    """The columns of a table of messages.

    A field may be written in capitals, a property as `event_properties.revenue`, in capitals too where the catalog
    reads one of that name. A column that is called like such a property alone is taken for it, unless the table has its
    object, which is noted. What would be one property twice is refused. A column without a name has its rows' numbers.
    """

    def __init__(self, topic: str, properties: Collection[Path]) -> None:
        self._topic = topic
        self._properties = properties
        self.unread: list[str] = []  # titles that mean nothing
        self.notes: list[str] = []

    def __call__(self, file: str, header: Sequence[str]) -> list[FileColumn]:
        """The columns of a file. Raises PeekproofError where one of those is missing that every message has."""
        _refuse_separators(file, header)
        titles = [title.removeprefix("\ufeff").strip() for title in header]
        columns = [self._column(title) for title in titles]
        for at, title in enumerate(titles):
            if columns[at] is UNREAD and title:
                columns[at] = self._alone(file, title, columns)
        for at, column in enumerate(columns):
            if column is not UNREAD and not column.parent and column.name in OBJECTS:
                inner = [other for other in range(len(columns)) if columns[other].parent == column.name]
                _refuse_twice(file, titles, [*inner[:1], at])
            same = [other for other in range(len(columns)) if columns[other] == column != UNREAD]
            _refuse_twice(file, titles, same)
        self._require(file, titles, columns)
        self.unread += [title for title, column in zip(titles, columns, strict=True) if column is UNREAD and title]
        return columns

    def _column(self, title: str) -> FileColumn:
        name = title.lower()
        if name in OBJECTS:
            return FileColumn("", name, "object")
        if name in FIELDS:
            return FileColumn("", name, "time" if name in TIMES else "id" if name in ID_FIELDS else "text")
        for mark in MARKS:
            parent, found, inner = title.partition(mark)
            if found and inner and parent.lower() in OBJECTS:
                kind: Holds = "group" if parent.lower() == "groups" else "value"
                return FileColumn(parent.lower(), self._known(parent.lower(), inner), kind)
        return UNREAD

    def _known(self, parent: str, name: str) -> str:
        """The property as the catalog writes it."""
        known = {path[1] for path in self._properties if path[0] == parent}
        alike = [each for each in known if each.lower() == name.lower()]
        return alike[0] if name not in known and len(alike) == 1 else name

    def _alone(self, file: str, title: str, columns: Iterable[FileColumn]) -> FileColumn:
        """The property that the catalog calls so, if one does."""
        objects = {each.name for each in columns if each.kind == "object"}
        exact = [path for path in self._properties if path[1] == title]
        alike = exact or [path for path in self._properties if path[1].lower() == title.lower()]
        found = [path for path in alike if path[0] not in objects]
        if alike and not found:
            self.notes.append(f"'{file}': column '{title}' is not read, since '{alike[0][0]}' is there, which holds it")
        if len(found) > 1:
            meant = " or ".join(sorted(map(".".join, found)))
            raise PeekproofError(f"'{file}': column '{title}' may be {meant}; call it by the one that it is")
        return self._column(".".join(found[0])) if found else UNREAD

    def _require(self, file: str, titles: Sequence[str], columns: Collection[FileColumn]) -> None:
        there = {column.parent or column.name for column in columns}
        for needed in (_KINDS[self._topic], TIMES, UNIT_FIELDS):
            if there.isdisjoint(needed):
                raise PeekproofError(
                    f"'{file}' has no column `{needed[0]}`, only {listed(titles)}; name its columns so. "
                    f"{_SAYS[self._topic]}, and the first line is taken for the header"
                )


_KINDS = {EVENTS: ("event_type",), EXPOSURES: ("flag_key", "event_type")}  # an export has exposures among its events
_SAYS = {
    EVENTS: "An event says event_type, time and user_id",
    EXPOSURES: "An exposure says flag_key, variant, time and user_id",
}


class OfTable:
    """The columns of a table with a row for each unit: those that are named, by their very names."""

    def __init__(self, names: Collection[str], others: Collection[str] = ()) -> None:
        self._names = names
        self._others = others

    def __call__(self, file: str, header: Sequence[str]) -> list[FileColumn]:
        """The columns of a file. Raises PeekproofError where one of the names is missing, or stands there twice."""
        _refuse_separators(file, header)
        titles = [title.removeprefix("\ufeff").strip() for title in header]
        for name in self._names:
            if name not in titles:
                nearest = did_you_mean(name, titles) + " " if get_close_matches(name, titles, 1) else ""
                raise PeekproofError(f"'{file}' has no column '{name}'; {nearest}it has {listed(titles)}")
            _refuse_twice(file, titles, [i for i, title in enumerate(titles) if title == name])
        wanted = {*self._names, *self._others}
        return [FileColumn(TABLE, title, "written") if title in wanted else UNREAD for title in titles]


TABLE = "columns"  # the object in which a row's columns stand


def listed(names: Sequence[str], most: int = 20) -> str:
    """Some names, for a message."""
    there = [name for name in names if name]
    more = f" and {len(there) - most:,} more" if len(there) > most else ""
    return (", ".join(there[:most]) or "nothing") + more


def _refuse_separators(file: str, header: Sequence[str]) -> None:
    if len(header) == 1 and (other := next((mark for mark in SEPARATORS if mark in header[0]), None)):
        raise PeekproofError(f"the columns of '{file}' are separated by {other!r}; separate them by commas")


def _refuse_twice(file: str, titles: Sequence[str], columns: Sequence[int]) -> None:
    if len(columns) > 1:
        one, other = (titles[at] for at in columns[:2])
        raise PeekproofError(f"'{file}' has the columns '{one}' and '{other}'; leave one of the two out")
