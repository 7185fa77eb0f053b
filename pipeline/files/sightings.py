"""Sightings: which events some files have, and what these say: for whoever asks why a metric found none."""

from collections import Counter
from collections.abc import Collection, Mapping

import msgspec
import numpy as np
import pyarrow as pa

from evaluation.catalog.in_force import Fact
from evaluation.columns.scanning import Type, Wanted, scan
from evaluation.columns.texts import Texts
from evaluation.flags.paths import Path
from pipeline.files.exports import FIELDS
from pipeline.files.titles import OBJECTS, listed
from schemas.aggregate import Aggregate, MetricHealth

ASKED = 100  # events of a type in each lot that are asked what they say
SAMPLED = 1000  # rows of each lot whose names are looked at

_WANTED = Wanted({("event_type",): Type.TEXT}, None)


class Sightings:
    """Events by type, and the names of what those of some types say."""

    def __init__(self, asked: Collection[str]) -> None:
        self._types: Counter[str] = Counter()
        self._names: dict[str, set[str]] = {name: set() for name in asked}
        self._unread: dict[str, set[str]] = {name: set() for name in asked}
        self.twice: set[tuple[str, str]] = set()  # names that are not read beside others, which are

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

    def take_names(self, rows: Texts, aliases: Mapping[str, Path]) -> None:
        """Look at rows as a file has them, for names that no message has, and what by aliases is said twice."""
        for place in np.unique(np.linspace(0, len(rows) - 1, SAMPLED).astype(np.int64)).tolist() if len(rows) else ():
            fields = _decoded(rows, place)
            by_path: dict[Path, str] = {}
            for name in [name for name in aliases if fields.get(name) is not None]:
                path = aliases[name]
                other = path[0] if fields.get(path[0]) is not None else by_path.setdefault(path, name)
                self.twice |= {(name, other)} if name != other else set()
            named = {name.lower(): value for name, value in fields.items()}
            if isinstance(event := named.get("event_type"), str) and event in self._names:
                names = {name for name, value in fields.items() if value is not None and name not in aliases}
                self._unread[event] |= {each for each in names if each.lower() not in (*FIELDS, *OBJECTS)}

    def take_unread(self, titles: Collection[str]) -> None:
        """Take in the titles of a table's columns that are read as nothing."""
        for names in self._unread.values():
            names |= set(titles)

    def __contains__(self, event: str) -> bool:
        return event in self._types

    def why_none(self, fact: Fact, run: Aggregate, health: MetricHealth) -> str:
        """Why no event may have fed a fact of this metric of the run."""
        if not self._types:
            return "there are no events"
        if fact.event not in self._types:
            there = [f"{name} ({count:,})" for name, count in self._types.most_common()]
            return f"there is no event `{fact.event}`, only {listed(there)}"
        asked = [each.property for each in fact.where]
        asked += [f"event_properties.{fact.property}"] if fact.property else []
        names = self._names.get(fact.event, set())
        if missing := sorted({name for name in asked if name not in names}):
            unread = sorted(self._unread[fact.event] - names)
            beside = f", and {listed(unread)}, read as nothing; call it {missing[0]} if it is meant" if unread else ""
            return f"no `{fact.event}` has {' or '.join(missing)}; they have {listed(sorted(names))}{beside}"
        number, what = f"its {self._types[fact.event]:,} `{fact.event}`", ""
        if health.unusable and fact.property:
            example = f" (such as {health.example})" if health.example else ""
            what = f"{health.unusable:,} of {number} hold no {fact.property} that can be used{example}"
            if health.unusable >= self._types[fact.event]:
                return what
            what, number = what + "; ", "the others"
        jumpers = ", or jumped between variants" if run.jumpers else ""
        conditions = ", or do not satisfy its `where`" if fact.where else ""
        return (
            f"{what}{number} are of units that were not exposed before{jumpers}{conditions}, or lie outside its window"
        )


def _decoded(events: Texts, place: int) -> dict[str, object]:
    try:
        return msgspec.json.decode(events[place] or "{}", type=dict[str, object])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}


def _said(events: Texts, place: int) -> set[str]:
    fields = _decoded(events, place)
    said = {name for name, value in fields.items() if value is not None and name in FIELDS and name not in OBJECTS}
    for parent in OBJECTS:
        inner = fields.get(parent)
        if isinstance(inner, dict):
            said |= {f"{parent}.{name}" for name, value in inner.items() if value is not None}
    return said
