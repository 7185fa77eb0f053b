"""Id lists: files of ids as people have them. One id a line, a table with a column of ids, or a JSON array.

An id is never read as something else: a line that may mean another one is a fault.
"""

import csv
import re
from collections.abc import Iterator

import msgspec

from evaluation.catalog.ids import BLANKS, id_fault

Read = tuple[int, str, str | None]  # the line (from 1), the id, and what is wrong with it
SEPARATORS = ",;\t"
_LINE_END = re.compile(r"\r\n|\n|\r")


def read_ids(text: str, suffix: str, unit: str) -> Iterator[Read]:
    """The ids of a file whose name ends so, of units of a type, each as often as it stands there."""
    text = text.removeprefix("\ufeff")
    suffix = suffix.lower()
    if suffix == ".json" or (text.strip().startswith("[") and text.strip().endswith("]")):
        return _of_array(text)
    lines = _LINE_END.split(text)
    first = next(filter(None, map(str.strip, lines)), "")
    is_table = suffix in {".csv", ".tsv"} or _column(_cells(first), unit) is not None
    return _of_table(lines, first, unit) if is_table else _of_lines(lines)


def _of_array(text: str) -> Iterator[Read]:
    try:
        items = msgspec.json.decode(text, type=list[msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeError) as error:
        yield 1, "", f'is no JSON array of ids ({error}); write ["u1", "u2"], or one id a line'
        return
    at, line = 0, 1
    for item in items:
        written = bytes(item).decode()
        begin = text.index(written, at)
        line += text.count("\n", at, begin)
        at = begin + len(written)
        if written.startswith('"'):
            name = msgspec.json.decode(item, type=str)
            yield line, name, id_fault(name)
        elif re.fullmatch(r"[0-9]+", written):
            yield line, written, None
        else:
            yield line, written, f"{written[:60]} is no id; write it in quotes"
        line += written.count("\n")


def _of_table(lines: list[str], first: str, unit: str) -> Iterator[Read]:
    header, width = _cells(first), len(_cells(first))
    column = _column(header, unit)
    rows = csv.reader((line + "\n" for line in lines), delimiter=_separator(first), strict=True)
    is_header = column is not None
    if column is None and width > 1:
        yield 1, "", f"none of the {width} columns is called {_names(unit)[0]}; call the one that holds the ids so"
        return
    try:
        for cells in rows:
            if not any(cell.strip(BLANKS) for cell in cells):
                continue
            if is_header:
                is_header = False
            elif len(cells) != width:
                told = f"has {len(cells)} values, and the first line {width}"
                yield rows.line_num, "", f"{told}; put what holds a separator into double quotes"
            else:
                name = cells[column or 0].strip(BLANKS)
                yield rows.line_num, name, id_fault(name) or _number_fault(name)
    except csv.Error as error:
        yield rows.line_num, "", f"is no line of a table: {error}"


def _of_lines(lines: list[str]) -> Iterator[Read]:
    for number, line in enumerate(lines, 1):
        name = line.strip(BLANKS)
        if name:
            yield number, name, id_fault(name) or _number_fault(name) or _doubt(name)


def _number_fault(name: str) -> str | None:
    """Whether a program took the id for a number, and wrote it as another one."""
    if re.fullmatch(r"[0-9]+\.0|[0-9]+(\.[0-9]+)?[eE]\+[0-9]+", name):
        return f"'{name}' looks like an id that a program took for a number; write its digits as they are"
    return None


def _doubt(name: str) -> str | None:
    """What a line may mean beside an id."""
    shown = f"'{name[:60]}'"
    if name.startswith("#") or re.search(r"\s#", name):
        return f"{shown} looks like a comment, and there are none here; leave ids alone"
    if name[0] in "\"'{" or name.startswith("- "):
        return f"{shown} looks like a part of another kind of file; write one id a line, and nothing around it"
    if found := next((each for each in SEPARATORS if each in name), None):
        return f"{shown} looks like several values; write one id a line, or, of ids that hold '{found}', a .csv"
    return None


def _separator(line: str) -> str:
    return max(SEPARATORS, key=line.count)


def _cells(line: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=_separator(line)), [])
    except csv.Error:
        return [line]


def _column(cells: list[str], unit: str) -> int | None:
    """The column of ids by a table's first line."""
    called = [re.sub(r"[\s-]+", "_", cell.strip(BLANKS).lower()) for cell in cells]
    return next((called.index(name) for name in _names(unit) if name in called), None)


def _names(unit: str) -> list[str]:
    """What a column of ids is called."""
    own = unit.removeprefix("groups.").lower()
    return list(
        dict.fromkeys([own, unit.lower(), own.replace("_", ""), *(["group_name"] if own != unit else []), "id"])
    )
