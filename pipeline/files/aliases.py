"""Aliases: other names by which a line of NDJSON says a field or a property, made the ones of the topics.

A data frame's line has `event_properties.revenue` at its top, a warehouse's has names in capitals, a hand-made one says
`revenue` where the catalog reads a property of that name. What a line says by the topic's own names holds.
"""

from collections.abc import Collection
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evaluation.columns.scanning import Type, Wanted, scan
from evaluation.columns.texts import Texts
from evaluation.flags.paths import Path
from pipeline.files.exports import FIELDS
from pipeline.files.json_columns import joined, listed, quoted
from pipeline.files.titles import OBJECTS

BEGIN = 1 << 16  # bytes of a text, by which one knows whether names are in capitals

_BLANKS = np.frombuffer(b" \t\n\r", np.uint8)


class Aliases:
    """Of the properties that the catalog reads, and of every field."""

    def __init__(self, properties: Collection[Path]) -> None:
        alone: dict[str, Path] = {}
        for path in sorted(properties):
            if path[1] not in FIELDS and path[1] not in OBJECTS:
                alone.setdefault(path[1], path)
        dotted = {".".join(path): path for path in properties}
        self._usual = alone | dotted
        self._capitals: dict[str, Path] = {name.upper(): (name,) for name in (*FIELDS, *OBJECTS)}
        self._capitals |= {name.upper(): path for name, path in self._usual.items()}

    def of(self, data: bytes) -> dict[str, Path]:
        """Those that lines of this text may have at their top, and what they mean."""
        begin = data[:BEGIN]
        is_in_capitals = b'"EVENT_TYPE"' in begin or b'"FLAG_KEY"' in begin
        return self._usual | self._capitals if is_in_capitals else self._usual


def renamed(lines: Texts, aliases: dict[str, Path]) -> pa.Array:
    """The lines (large strings), with what they say by aliases behind it, said in the topic's names."""
    wanted = _wanted(tuple(aliases))
    found = scan(lines.data, lines.start, lines.length, wanted)

    def said(name: str) -> pa.Array:
        return found.texts((name,)).arrow().view(pa.large_string())

    fields: dict[str, list[pa.Array]] = {}
    members: dict[str, dict[str, list[pa.Array]]] = {}
    for alias, path in aliases.items():
        if (found.length[wanted.position[alias,]] >= 0).any():
            if len(path) == 1:
                fields.setdefault(path[0], []).append(said(alias))
            else:
                members.setdefault(path[0], {}).setdefault(path[1], []).append(said(alias))
    for parent, inner in members.items():
        texts = listed([joined(f",{quoted(name)}:", pc.coalesce(*ways)) for name, ways in inner.items()])
        whole = pc.if_else(pc.equal(texts, ""), None, joined("{", texts, "}"))
        fields.setdefault(parent, []).append(whole)
    added = []
    for name, ways in fields.items():
        value = pc.coalesce(*ways)
        is_free = pa.array((found.length[wanted.position[name,]] < 0) & ~found.odd)
        added.append(joined(f",{quoted(name)}:", pc.if_else(is_free, value, None)))
    as_they_are = lines.arrow().view(pa.large_string())
    if not added:
        return as_they_are
    behind = joined(*(pc.coalesce(each, "") for each in added))
    return pc.if_else(pc.equal(behind, ""), as_they_are, joined(_opened(lines), behind, "}"))


@lru_cache(maxsize=16)
def _wanted(aliases: tuple[str, ...]) -> Wanted:
    names = dict.fromkeys((*FIELDS, *OBJECTS, *aliases))
    return Wanted({(name,): Type.VALUE for name in names}, None)


def _opened(lines: Texts) -> pa.Array:
    """The lines without the brace that ends them."""
    last = lines.start + lines.length - 1
    while (blank := np.isin(lines.data[last], _BLANKS) & (last > lines.start)).any():
        last[blank] -= 1
    return Texts(lines.data, lines.start, last - lines.start).arrow().view(pa.large_string())
