"""Mapping: a source's document compiled for the fields that a plan wants: which paths to read, and what each makes."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import msgspec

from evaluation.columns.path_scanning import PathTree, Steps, View
from evaluation.columns.scanning import Type, Wanted
from evaluation.flags.conditions import CompiledCondition, compile_condition
from evaluation.flags.paths import Path
from evaluation.sources.paths import (
    InValue,
    OfHeader,
    OfKey,
    RecordPath,
    constant_of,
    is_constant,
    parse_path,
)
from evaluation.sources.presets import filled
from schemas.source import ForeignSource, TimeAt, TimeUnit

REQUIRED: dict[str, tuple[Path, ...]] = {"event": (("event_type",),), "exposure": (("flag_key",), ("variant",))}
TEXT_FIELDS = ("event_type", "flag_key", "variant", "experiment_key", "user_id", "device_id", "insert_id")
TIME: Path = ("time",)
INSERT_ID: Path = ("insert_id",)


@dataclass(frozen=True, slots=True)
class Constant:
    """The same text for every message."""

    text: str


@dataclass(frozen=True, slots=True)
class At:
    """A place in the record, or in the element of it that becomes a message; `text` is how the document calls it."""

    steps: Steps
    is_in_element: bool
    text: str


@dataclass(frozen=True, slots=True)
class Beside:
    """What travels beside a record's value: its key, or a header; `text` is how the document calls it."""

    path: OfKey | OfHeader
    text: str


Alternative = Constant | At | Beside


@dataclass(frozen=True, slots=True)
class SourceMapping:
    """What is read of a record, and of each element that becomes a message, and what our fields are made of.

    Of alternatives the first counts that is there. A field without any is missing.
    """

    source: ForeignSource
    kinds: Mapping[Path, Type]  # of the fields to make
    required: tuple[Path, ...]  # of these each must be there
    units: tuple[Path, ...]  # and of these one; none: that is for others to say
    of_record: PathTree
    of_element: PathTree | None  # None: a record is one message
    each: Steps
    parse: tuple[Steps, ...]  # where texts stand that hold JSON
    where: tuple[tuple[Alternative, CompiledCondition], ...]
    fields: dict[Path, tuple[Alternative, ...]]
    unit: TimeUnit


def mapping_of(source: ForeignSource, wanted: Wanted) -> SourceMapping:
    """The mapping of a source that satisfies its rules; the last ones are kept."""
    return _mapping(msgspec.json.encode(source), wanted)


def whole(source: ForeignSource, *, timed: bool = False) -> Wanted:
    """All fields that a source's map has, and if asked the time, whether it has one or not."""
    fields: dict[Path, Type] = {TIME: Type.INTEGER} if timed else {}
    said = filled(source).map
    for name in said.__struct_fields__:
        taken = getattr(said, name)
        if isinstance(taken, dict):
            fields[name,] = Type.OBJECT
            fields |= dict.fromkeys(((name, each) for each in taken), Type.FIRST if name == "groups" else Type.VALUE)
        elif taken is not None:
            fields[name,] = Type.INTEGER if name == "time" else Type.TEXT if name in TEXT_FIELDS else Type.VALUE
    return Wanted(fields, None)


@lru_cache(maxsize=64)
def _mapping(document: bytes, wanted: Wanted) -> SourceMapping:
    source = filled(msgspec.json.decode(document, type=ForeignSource))
    each = parse_path(source.each) if source.each is not None else None
    assert each is None or isinstance(each, InValue)

    parse = tuple(path.steps for path in map(parse_path, source.parse) if isinstance(path, InValue))

    def at(text: str, below: Steps = ()) -> Alternative:
        if is_constant(text):
            return Constant(constant_of(text))
        path: RecordPath = parse_path(text)
        if not isinstance(path, InValue):
            return Beside(path, text)
        named = ".".join(map(str, (text, *below)))
        path = InValue(path.steps + below)
        inner = path.within(each.steps) if each else None
        return At(path.steps, False, named) if inner is None else At(inner.steps, True, named)

    where = tuple((at(each.property), compile_condition(each.op, each.values)) for each in source.where)
    kinds: dict[Path, Type] = {path: kind for path, kind in wanted.fields.items() if kind != Type.OBJECT}
    units: tuple[Path, ...] = ()
    if source.makes == "event":
        groups = source.map.groups
        units = ("user_id",), ("device_id",)
        if isinstance(groups, dict):
            units += tuple(("groups", each) for each in groups)
        elif groups is not None:
            units += (("groups",),)
        kinds = {**{path: Type.VALUE if path == ("groups",) else Type.FIRST for path in units}, **kinds}
    fields = {path: tuple(at(text, below) for text, below in _taken(source, path)) for path in kinds}
    views: tuple[dict[Steps, View], dict[Steps, View]] = ({}, {})
    if each:
        views[False][each.steps] = View.JSON

    def read(alternative: Alternative, view: View) -> None:
        if isinstance(alternative, At):
            of = views[alternative.is_in_element]
            of[alternative.steps] = of.get(alternative.steps, View(0)) | view

    for alternative, _ in where:
        read(alternative, View.JSON)
    for path, alternatives in fields.items():
        for alternative in alternatives:
            read(alternative, _view(path, kinds[path], is_chosen=len(alternatives) > 1))
    return SourceMapping(
        source=source,
        kinds=kinds,
        required=tuple(path for path in REQUIRED[source.makes] if path in kinds),
        units=units,
        of_record=PathTree(views[False]),
        of_element=PathTree(views[True]) if each else None,
        each=each.steps if each else (),
        parse=parse,
        where=where,
        fields=fields,
        unit=source.map.time.unit if isinstance(source.map.time, TimeAt) else "ms",
    )


def _view(path: Path, kind: Type, *, is_chosen: bool) -> View:
    """How a field is read; where it is chosen among several, also whether it is there."""
    match kind:
        case Type.TEXT | Type.FIRST:
            return View.TEXT
        case Type.NUMBER if not is_chosen:
            return View.NUMBER
        case Type.INTEGER if path == TIME:
            return View.JSON
    return View.JSON | View.NUMBER


def _taken(source: ForeignSource, path: Path) -> list[tuple[str, Steps]]:
    """What a document gives for a field: paths and constants, each with the steps below it that are meant."""
    name, *below = path
    said = getattr(source.map, name, None)
    if isinstance(said, TimeAt):
        said = said.path
    inner = None
    if isinstance(said, dict):
        said = said.get(below[0]) if below else None
    elif below:
        inner = below[0]
    every = () if said is None else (said,) if isinstance(said, str) else said
    if name == "groups" and inner is not None:  # of a list of names the first counts
        return [(each, of) for each in every for of in ((inner, 0), (inner,))]
    return [(each, () if inner is None else (inner,)) for each in every]
