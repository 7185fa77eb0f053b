"""Sightings: which events some files have, and what these say: for whoever asks why a metric found none."""

from collections import Counter
from collections.abc import Collection

import msgspec
import numpy as np
import pyarrow as pa

from evaluation.assignment.scanning import Type, Wanted, scan
from evaluation.catalog import Fact
from evaluation.texts import Texts
from pipeline.exports import FIELDS
from pipeline.titles import OBJECTS, listed

ASKED = 100  # events of a type in each lot that are asked what they say

_WANTED = Wanted({("event_type",): Type.TEXT}, None)


class Sightings:
    """Events by type, and the names of what those of some types say."""

    def __init__(self, asked: Collection[str]) -> None:
        self._types: Counter[str] = Counter()
        self._names: dict[str, set[str]] = {name: set() for name in asked}

    def take(self, events: Texts) -> None:
        """Look at some more."""
        types = scan(events.data, events.start, events.length, _WANTED).texts(("event_type",)).arrow()
        coded = types.view(pa.large_string()).dictionary_encode()
        codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        names = coded.dictionary.to_pylist()
        counts = np.bincount(codes[codes >= 0], minlength=len(names)).tolist()
        self._types.update(dict(zip(names, counts, strict=True)))
        for name in self._names.keys() & set(names):
            for place in np.flatnonzero(codes == names.index(name))[:ASKED].tolist():
                self._names[name] |= _said(events, place)

    def __contains__(self, event: str) -> bool:
        return event in self._types

    def why_none(self, fact: Fact) -> str:
        """Why no event may have fed a fact."""
        if fact.event not in self._types:
            there = [f"{name} ({count:,})" for name, count in self._types.most_common()]
            return f"there is no event `{fact.event}`, only {listed(there)}"
        asked = [each.property for each in fact.where]
        asked += [f"event_properties.{fact.property}"] if fact.property else []
        names = self._names.get(fact.event, set())
        if missing := sorted({name for name in asked if name not in names}):
            return f"no `{fact.event}` has {' or '.join(missing)}; they have {listed(sorted(names))}"
        conditions = ", or do not satisfy its `where`" if fact.where else ""
        return (
            f"its {self._types[fact.event]:,} `{fact.event}` are of units that were not exposed before{conditions}, or "
            "lie outside its window"
        )


def _said(events: Texts, place: int) -> set[str]:
    text = events[place] or "{}"
    try:
        fields = msgspec.json.decode(text, type=dict[str, object])
    except (msgspec.MsgspecError, RecursionError):
        return set()
    said = {name for name, value in fields.items() if value is not None and name in FIELDS and name not in OBJECTS}
    for parent in OBJECTS:
        inner = fields.get(parent)
        if isinstance(inner, dict):
            said |= {f"{parent}.{name}" for name, value in inner.items() if value is not None}
    return said
