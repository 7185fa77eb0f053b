"""Odd records: those that the kernel of path_scanning.py leaves to msgspec, each read on its own, with the same result.

What stands where a text is wanted and is none is told for its place; who asked for it decides whether that matters.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from evaluation.columns.named_fields import named_fields
from evaluation.columns.path_scanning import PathColumns, PathTree, Steps, View
from evaluation.columns.scanning import LONGEST_TEXT, plain_number
from evaluation.columns.texts import Texts

WRONG = -3  # the length of a text that is there and of no use
_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
_KINDS = {b"{": "a group of fields", b"[": "a list"}


@dataclass
class OddColumns:
    """What stands at the paths of a tree in values that are read one by one; `faults` by position and path."""

    tree: PathTree
    found: list[dict[Steps, bytes]] = field(default_factory=list)
    faults: dict[tuple[int, Steps], str] = field(default_factory=dict)

    def read(self, value: bytes, *, is_any: bool = False) -> None:
        """Read one more. Raises msgspec's errors, and UnicodeDecodeError, for what is no JSON, or no object."""
        found: dict[Steps, bytes] = {}
        if is_any:
            whole = bytes(msgspec.json.decode(value, type=msgspec.Raw))
            msgspec.json.decode(whole)
        else:
            whole = value.strip(b" \t\r\n")
        _read(self.tree, (), whole, found, is_any=is_any)
        self.found.append(found)

    def columns(self) -> PathColumns:
        """What was read, in order."""
        numbers = self.tree.columns(View.NUMBER)
        return PathColumns(
            {path: self._texts(path) for path in self.tree.columns(View.TEXT)},
            {path: _as_texts([each.get(path) for each in self.found]) for path in self.tree.columns(View.JSON)},
            {path: np.array([plain_number(each.get(path, b"")) for each in self.found], float) for path in numbers},
        )

    def _texts(self, path: Steps) -> Texts:
        texts: list[bytes | None] = []
        _, indices = _steps_below(self.tree)[path]
        for i, found in enumerate(self.found):
            raw = found.get(path)
            text = raw
            if raw is not None and raw[:1] == b"[" and indices:
                text = None  # an element of it is wanted
            elif raw is not None and raw[:1] in _KINDS:
                self.faults[i, path] = f"{_KINDS[raw[:1]]}; it must be a text"
            elif raw is not None:
                whole = msgspec.json.decode(raw, type=str) if raw[:1] == b'"' else raw.decode()
                text = whole.encode()
                if len(whole) > LONGEST_TEXT:
                    self.faults[i, path] = f"{len(whole)} characters long; a text has at most {LONGEST_TEXT}"
            texts.append(None if (i, path) in self.faults else text)
        column = _as_texts(texts)
        column.length[[i for i, of in self.faults if of == path]] = WRONG
        return column


def _as_texts(values: list[bytes | None]) -> Texts:
    return Texts.of(pa.array(values, pa.large_binary()))


@lru_cache(maxsize=64)
def _steps_below(tree: PathTree) -> dict[Steps, tuple[tuple[str, ...], tuple[int, ...]]]:
    """Of every place the names and indices that lead on."""
    below: dict[Steps, tuple[list[str], list[int]]] = {place: ([], []) for place in tree.nodes}
    for place in tree.nodes:
        if place:
            last: Any = place[-1]
            below[place[:-1]][isinstance(last, int)].append(last)
    return {place: (tuple(names), tuple(indices)) for place, (names, indices) in below.items()}


@lru_cache(maxsize=256)
def _object(names: tuple[str, ...]) -> msgspec.json.Decoder[Any]:
    """Decodes an object to what stands under these names, each as it is written."""
    return msgspec.json.Decoder(named_fields(dict.fromkeys(names, msgspec.Raw)))


def _read(tree: PathTree, place: Steps, value: bytes, found: dict[Steps, bytes], *, is_any: bool) -> None:
    """Note what stands at a place and below. At the top of a record an object must stand."""
    if value == b"null" and (place or is_any):
        return
    if place in tree.views:
        if View.TEXT in tree.views[place] and value[:1] == b'"':
            msgspec.json.decode(value, type=str)  # raises where it is none
        elif View.JSON in tree.views[place]:
            value.decode()  # raises where it is no UTF-8
        found[place] = value
    names, indices = _steps_below(tree)[place]
    below: list[tuple[str | int, bytes]] = []
    if (not place and not is_any) or (names and value[:1] == b"{"):
        read = _object(names).decode(value)
        below = [(name, bytes(read.get(name, b"null"))) for name in names]
    elif indices and value[:1] == b"[":
        every = _ARRAY.decode(value)
        below = [(index, bytes(every[index])) for index in indices if index < len(every)]
    for step, each in below:
        _read(tree, (*place, step), each, found, is_any=is_any)
