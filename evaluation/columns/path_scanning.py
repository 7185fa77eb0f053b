"""Path scanning: what stands at paths of any depth in many JSON values, as columns, in one pass over their bytes.

It is the sibling of scanning.py for shapes that are not ours. The paths make a tree: a node is a place, below which
names of an object or indices of an array lead to others. At each open object or array the kernel knows the node, or
that nobody asks below it. As there, it takes only what it is sure of, and whatever else makes the record *odd*: escapes
in keys that may be a step or in wanted texts, numbers beyond 15 digits where a number is wanted, repeated steps, an
object or an array where a text is wanted, deep nesting and everything malformed. Odd records are read one by one
(see evaluation/sources/odd.py), with the same result wherever both can read (a test compares them).

What leads through something else than an object, or an array, is missing; so is `null`. A number, `true` and `false`
are texts as they are written.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntFlag
from functools import cached_property

import numpy as np
from numba import njit
from numpy.typing import NDArray

from evaluation.columns.memory import PADDING, byte_at
from evaluation.columns.nesting import DEEPEST
from evaluation.columns.scanning import LARGEST_OBJECT, LONGEST_TEXT
from evaluation.columns.texts import Texts
from evaluation.columns.tokens import (
    AFTER,
    CONTENT,
    IS_SPACE,
    KEY,
    POWERS,
    find_field,
    is_utf8,
    name_table,
    read_number,
    read_quoted,
    read_string,
    read_word,
)

Steps = tuple[str | int, ...]


class View(IntFlag):
    """How what stands at a path is wanted; one may be wanted several ways."""

    TEXT = 1  # a text, or what is written as one
    JSON = 2  # anything, as the JSON that writes it
    NUMBER = 4  # or a text that is one; NaN for anything else


@dataclass(frozen=True)
class PathTree:
    """The paths to read, each with its views. Without steps it is the whole value."""

    views: Mapping[Steps, View]

    def __hash__(self) -> int:
        return hash(tuple(self.views.items()))

    @cached_property
    def nodes(self) -> dict[Steps, int]:
        """Every place on the way to a path, the whole value first, each behind those that lead to it."""
        places = {(): 0} | {path[:n]: 0 for path in self.views for n in range(1, len(path) + 1)}
        return {place: i for i, place in enumerate(sorted(places, key=len))}

    def columns(self, view: View) -> dict[Steps, int]:
        """The paths of a view, and their columns."""
        return {path: i for i, path in enumerate(path for path, views in self.views.items() if view in views)}

    @cached_property
    def table(self) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """For the kernel: names' bytes; (start, length, node) by parent and length; where each begins; the nodes.

        Of a node: its columns as text, JSON and number (-1: none), and of its indices the first row of `indices`, and
        how many.
        """
        nodes = self.nodes
        named = [(nodes[place[:-1]], str(place[-1]), i) for place, i in nodes.items() if _is_name(place)]
        table = np.full((len(nodes), 6), -1, np.int64)
        table[:, 3:] = 0
        for column, view in enumerate((View.TEXT, View.JSON, View.NUMBER)):
            for path, i in self.columns(view).items():
                table[nodes[path], column] = i
        for parent, _, _ in named:
            table[parent, 5] = 1
        for row, (place, _) in enumerate(self._indexed):
            parent = nodes[place[:-1]]
            if table[parent, 4] == 0:
                table[parent, 3] = row
            table[parent, 4] += 1
        return *name_table(named, len(nodes)), table

    @cached_property
    def indices(self) -> NDArray[np.int64]:
        """For the kernel: (index, node), those of one array together, in ascending order."""
        return np.array([(place[-1], node) for place, node in self._indexed] or [(-1, -1)], np.int64)

    @cached_property
    def _indexed(self) -> list[tuple[Steps, int]]:
        found = [(place, node) for place, node in self.nodes.items() if place and not _is_name(place)]
        return sorted(found, key=lambda each: (self.nodes[each[0][:-1]], each[0][-1]))


def _is_name(place: Steps) -> bool:
    return bool(place) and isinstance(place[-1], str)


@dataclass(frozen=True, slots=True)
class PathColumns:
    """Columns of n values, by path. A text or JSON that is missing has length -1, a number NaN."""

    texts: dict[Steps, Texts]
    json: dict[Steps, Texts]
    numbers: dict[Steps, NDArray[np.float64]]

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> "PathColumns":
        """The columns of these rows."""
        return PathColumns(
            {path: Texts(each.data, each.start[rows], each.length[rows]) for path, each in self.texts.items()},
            {path: Texts(each.data, each.start[rows], each.length[rows]) for path, each in self.json.items()},
            {path: each[rows] for path, each in self.numbers.items()},
        )


def scan_paths(
    source: NDArray[np.uint8],
    start: NDArray[np.int64],
    length: NDArray[np.int64],
    tree: PathTree,
    *,
    is_any: bool = False,
) -> tuple[PathColumns, NDArray[np.bool_]]:
    """What stands at the paths in the JSON values at these spans of `source`, and which are odd: nothing of those.

    Each is an object, unless it may be `any` value.
    """
    data = np.concatenate([source, np.zeros(PADDING, np.uint8)])
    data.flags.writeable = False
    n = len(start)
    columns = [tree.columns(view) for view in (View.TEXT, View.JSON, View.NUMBER)]
    odd = np.zeros(n, np.bool_)
    starts = [np.empty((len(each), n), np.int64) for each in columns[:2]]  # read where there is a length
    lengths = [np.full((len(each), n), -1) for each in columns[:2]]
    numbers = np.full((len(columns[2]), n), np.nan)
    _scan(*tree.table, tree.indices, is_any, data, start, length, odd, *starts, *lengths, numbers)  # type: ignore[call-arg]
    odd |= length > LARGEST_OBJECT
    return (
        PathColumns(
            {path: Texts(data, starts[0][i], lengths[0][i]) for path, i in columns[0].items()},
            {path: Texts(data, starts[1][i], lengths[1][i]) for path, i in columns[1].items()},
            {path: numbers[i] for path, i in columns[2].items()},
        ),
        odd,
    )


@njit(cache=True, forceinline=True)
def _element(nodes, indices, parent, index):  # type: ignore[no-untyped-def]
    """The node of an element of the array that stands at a node, or -1."""
    found = np.int64(-1)
    first = nodes[parent, 3]
    for k in range(first, first + nodes[parent, 4]):
        if indices[k, 0] == index:
            found = indices[k, 1]
    return found


@njit(cache=True)
def _scan(  # type: ignore[no-untyped-def]  # noqa: PLR0917
    names,
    spans,
    begins,
    nodes,
    indices,
    is_any,
    b,
    start,
    length,
    odd,
    text_starts,
    json_starts,
    text_lengths,
    json_lengths,
    numbers,
):
    """One loop, in which every token is looked at once; a record that breaks one of these rules stays odd.

    The grammar is that of `scanning._scan`. `node` is the place of the value that comes next, -1 where nobody asks.

    1. Between tokens there may be white space.
    2. A string is closed before the end of the record.
    3. Where a key is due, a string is one, and a colon follows. Where keys are steps it has no escapes, and a step
       comes once.
    4. Elsewhere a string is a value. A wanted one is UTF-8; as a text it has no escapes and is not too long; as a
       number it is none with an exponent or too many digits.
    5. Behind a value comes a comma, then a key in an object and a value in an array; or the end of whichever is open.
    6. An object or an array that is wanted is UTF-8.
    7. Where a key is due, nothing but a string comes.
    8. An object or an array opens no deeper than DEEPEST, and is not wanted as a text, unless it is an array of which
       an element is wanted; the record is an object.
    9. A number that is wanted as one has few enough digits to be exact.
    10. A word is `null`, `true` or `false`.
    11. Behind the end of the record there is nothing more.
    """
    seen = np.full(nodes.shape[0], -1, np.int64)
    of_level = np.empty(DEEPEST + 1, np.int64)  # by open level: its node, or -1
    began = np.empty(DEEPEST + 1, np.int64)  # where it opened
    count = np.empty(DEEPEST + 1, np.int64)  # which element of an array comes next
    for r in range(start.size):
        odd[r] = True
        i = start[r]
        end = i + length[r]
        objects = np.uint64(0)  # one bit for each open level: is it an object?
        depth = 0
        parent = np.int64(-1)  # the node of the innermost level where keys are steps, or -1
        node = np.int64(0)
        expected = CONTENT
        while i < end:
            c = byte_at(b, i)
            if c <= 32:
                if not IS_SPACE[c]:  # 1
                    break
                i += 1
                continue
            if c == 34:
                at = i + 1
                i, is_wide, is_escaped = read_string(b, at, end)
                if i >= end:  # 2
                    break
                if expected == KEY:  # 3
                    node = np.int64(-1)
                    if parent >= 0:
                        if is_escaped:
                            break
                        node = find_field(names, spans, begins, parent, b, at, i - at)
                        if node >= 0:
                            if seen[node] == r:
                                break
                            seen[node] = r
                    i += 1
                    while IS_SPACE[byte_at(b, i)]:
                        i += 1
                    if byte_at(b, i) != 58:
                        break
                    i += 1
                    expected = CONTENT
                    continue
                if expected != CONTENT or (depth == 0 and not is_any):  # 4
                    break
                if node >= 0:
                    text, json, number = nodes[node, 0], nodes[node, 1], nodes[node, 2]
                    if is_wide and (text >= 0 or json >= 0) and not is_utf8(b, at, i):
                        break
                    if text >= 0:
                        if is_escaped or i - at > LONGEST_TEXT:
                            break
                        text_starts[text, r] = at
                        text_lengths[text, r] = i - at
                    if json >= 0:
                        json_starts[json, r] = at - 1
                        json_lengths[json, r] = i - at + 2
                    if number >= 0 and not is_escaped:
                        numbers[number, r], is_unsure = read_quoted(b, at, i)
                        if is_unsure:
                            break
                i += 1
                expected = AFTER
            elif expected == AFTER:  # 5
                is_object = objects & np.uint64(1)
                if c == 44:
                    i += 1
                    node = np.int64(-1)
                    if is_object:
                        expected = KEY
                    else:
                        expected = CONTENT
                        if of_level[depth] >= 0:
                            count[depth] += 1
                            node = _element(nodes, indices, of_level[depth], count[depth])
                    continue
                if c != (125 if is_object else 93):
                    break
                i += 1
                objects >>= np.uint64(1)
                closed = of_level[depth]
                if closed >= 0 and nodes[closed, 1] >= 0:  # 6
                    if not is_utf8(b, began[depth], i):
                        break
                    json_starts[nodes[closed, 1], r] = began[depth]
                    json_lengths[nodes[closed, 1], r] = i - began[depth]
                depth -= 1
                parent = np.int64(-1)
                if depth > 0 and objects & np.uint64(1) and of_level[depth] >= 0 and nodes[of_level[depth], 5]:
                    parent = of_level[depth]
            elif expected == KEY:  # 7
                break
            elif c | 32 == 123:  # 8: { or [
                is_object = c == 123
                if depth == DEEPEST or (depth == 0 and not is_object and not is_any):
                    break
                if node >= 0 and nodes[node, 0] >= 0 and (is_object or nodes[node, 4] == 0):
                    break
                depth += 1
                of_level[depth] = node
                began[depth] = i
                count[depth] = 0
                parent = node if is_object and node >= 0 and nodes[node, 5] else np.int64(-1)
                objects = (objects << np.uint64(1)) | np.uint64(is_object)
                i += 1
                while IS_SPACE[byte_at(b, i)]:
                    i += 1
                if byte_at(b, i) == (125 if is_object else 93):
                    expected = AFTER  # it is empty
                elif is_object:
                    expected = KEY
                else:
                    expected = CONTENT
                    node = np.int64(-1)
                    if of_level[depth] >= 0:
                        node = _element(nodes, indices, of_level[depth], 0)
                continue
            elif depth == 0 and not is_any:
                break
            elif c == 45 or 48 <= c <= 57:  # 9
                at = i
                i, digits, places, _, is_exact = read_number(b, i)
                if i < 0:
                    break
                if node >= 0:
                    text, json, number = nodes[node, 0], nodes[node, 1], nodes[node, 2]
                    if text >= 0:
                        if i - at > LONGEST_TEXT:
                            break
                        text_starts[text, r] = at
                        text_lengths[text, r] = i - at
                    if json >= 0:
                        json_starts[json, r] = at
                        json_lengths[json, r] = i - at
                    if number >= 0:
                        if not is_exact:
                            break
                        numbers[number, r] = digits / POWERS[places]
                expected = AFTER
            else:  # 10
                size = read_word(b, i)
                if size == 0:
                    break
                if node >= 0 and c != 110:
                    text, json = nodes[node, 0], nodes[node, 1]
                    if text >= 0:
                        text_starts[text, r] = i
                        text_lengths[text, r] = size
                    if json >= 0:
                        json_starts[json, r] = i
                        json_lengths[json, r] = size
                i += size
                expected = AFTER
            if depth == 0:  # 11
                while i < end and IS_SPACE[byte_at(b, i)]:
                    i += 1
                odd[r] = i != end
                break


def elements(
    data: NDArray[np.uint8], start: NDArray[np.int64], length: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Every element of the JSON arrays at these spans: which array it is of, its first byte, and its bytes.

    What stands at a span is JSON; what is no array has none.
    """
    n = _elements(data, start, length, np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int64))
    found = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.int64)
    _elements(data, start, length, *found)
    return found


@njit(cache=True)
def _elements(b, start, length, of, starts, lengths):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    """How many there are; they are written down where there is room."""
    n = 0
    for r in range(start.size):
        if length[r] < 2 or b[start[r]] != 91:
            continue
        end = start[r] + length[r] - 1
        i = start[r] + 1
        depth = 0
        first = np.int64(-1)  # byte of the element that is open
        last = np.int64(-1)  # byte of it that is no white space
        while i <= end:
            c = b[i]
            if depth == 0 and (c == 44 or i == end):
                if first >= 0:
                    if n < of.size:
                        of[n] = r
                        starts[n] = first
                        lengths[n] = last + 1 - first
                    n += 1
                first = np.int64(-1)
            elif not IS_SPACE[c]:
                if first < 0:
                    first = i
                if c == 34:
                    i += 1
                    while b[i] != 34:
                        i += 2 if b[i] == 92 else 1
                elif c | 32 == 123:
                    depth += 1
                elif c | 32 == 125:
                    depth -= 1
                last = i
            i += 1
    return n
