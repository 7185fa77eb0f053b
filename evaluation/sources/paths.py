"""Paths: where in a record of somebody else's shape a value stands, as documents write it.

Names are joined by dots. A name in single quotes may hold dots, and a quote that is doubled; a number without quotes is
an index of an array. `$` is the whole record, `$key` its key, `$header.NAME` a header.
"""

import re
from dataclasses import dataclass

from schemas.source import CONSTANT, HEADER_PATH, KEY_PATH, ROOT

DEEPEST_PATH = 20  # names
LARGEST_INDEX = 9_999

Steps = tuple[str | int, ...]
_STEP = re.compile(r"'((?:[^']|'')*)'|([^.']+)")
_PLAIN = re.compile(r"(?![0-9]+$|=|\$(key)?$)[^.']+")
_INDEX = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class InValue:
    """A place in a record's value; without steps the whole of it."""

    steps: Steps

    def within(self, steps: Steps) -> "InValue | None":
        """The same place as seen from another that holds it; None: it is not in there."""
        n = len(steps)
        return InValue(self.steps[n:]) if self.steps[:n] == steps else None


@dataclass(frozen=True, slots=True)
class OfKey:
    """A record's key, as a text."""


@dataclass(frozen=True, slots=True)
class OfHeader:
    """The newest header of a name, whatever its case, as a text."""

    name: str


RecordPath = InValue | OfKey | OfHeader


def is_constant(taken: str) -> bool:
    """Whether a document gives a constant there, and no path."""
    return taken.startswith(CONSTANT)


def constant_of(taken: str) -> str:
    """The text of a constant; blanks around it do not count."""
    return taken.removeprefix(CONSTANT).strip()


def parse_path(text: str) -> RecordPath:
    """The place that a document's path names. Raises ValueError with the reason, and the way out."""
    if text == KEY_PATH:
        return OfKey()
    if text.startswith(HEADER_PATH):
        name = text.removeprefix(HEADER_PATH)
        if not name:
            raise ValueError(f"'{text}' names no header; write {HEADER_PATH}NAME")
        return OfHeader(name.lower())
    if text == ROOT:
        return InValue(())
    return InValue(_steps(text))


def path_of(steps: Steps) -> str:
    """The path that names a place in a record's value, as a document writes it."""
    return ".".join(map(_step, steps)) or ROOT


def _step(step: str | int) -> str:
    if isinstance(step, int) or _PLAIN.fullmatch(step):
        return str(step)
    quoted = step.replace("'", "''")
    return f"'{quoted}'"


def _steps(text: str) -> Steps:
    steps: list[str | int] = []
    at = 0
    while True:
        found = _STEP.match(text, at)
        if found is None or found.end() == at:
            what = "a quote that is not closed" if text[at : at + 1] == "'" else "a dot without a name beside it"
            raise ValueError(f"'{text}' has {what}; join names by single dots, and quote a name that holds dots: 'a.b'")
        quoted, plain = found.groups()
        if quoted is not None:
            steps.append(quoted.replace("''", "'"))
        elif _INDEX.fullmatch(plain):
            if int(plain) > LARGEST_INDEX:
                raise ValueError(f"'{text}' has the index {plain}, at most {LARGEST_INDEX} is read; quote it as a name")
            steps.append(int(plain))
        else:
            steps.append(plain)
        at = found.end()
        if at == len(text):
            break
        if text[at] != ".":
            raise ValueError(f"'{text}' has a quote within a name; quote the whole name, and double the quote")
        at += 1
    if len(steps) > DEEPEST_PATH:
        raise ValueError(f"'{text}' has {len(steps)} names, at most {DEEPEST_PATH} are read")
    return tuple(steps)
