"""Absent: at which of the paths that a source's document gives nothing stands in the records that it is tried with."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from itertools import islice
from typing import Any

import msgspec
import numpy as np

from evaluation.assignment.dead_letters import DeadLetters
from evaluation.assignment.foreign import foreign_columns
from evaluation.columns.scanning import Type, Wanted
from evaluation.flags.conditions import NONE
from evaluation.flags.paths import Path
from evaluation.flags.values import read_json
from evaluation.sources.paths import DEEPEST_PATH, InValue, Steps, is_constant, parse_path, path_of
from evaluation.sources.presets import filled
from schemas.records import Records
from schemas.source import CONSTANT, ROOT, FieldMap, ForeignSource, SourceCondition, Taking, TimeAt
from schemas.writer_schema import Schemas

MOST_PATHS = 5_000  # that are looked through for a near one
NO_CONSTANTS = ("where", "user_id", "device_id", "insert_id", "time")  # fields of which one hardly is meant
Place = tuple[int, int | None]  # a row, and the index of a message in it


def fields_of(source: ForeignSource) -> dict[str, Taking]:
    """What the document itself takes from paths, by the field: `user_id`, `event_properties.price`."""
    found: dict[str, Taking] = {}
    for name in FieldMap.__struct_fields__:
        taken = getattr(source.map, name)
        every = {f"{name}.{key}": each for key, each in taken.items()} if isinstance(taken, dict) else {name: taken}
        for field, each in every.items():
            path = each.path if isinstance(each, TimeAt) else each
            if path is not None and not is_constant(_alternatives(path)[-1]):  # which is always there
                found[field] = path
    return found


def conditions_of(source: ForeignSource) -> dict[str, Taking]:
    """The paths of the document's own conditions that ask for something, by the condition: `where[0]`."""
    every = enumerate(source.where)
    return {f"where[{index}]": each.property for index, each in every if NONE not in each.values}


def absent(
    records: Records,
    source: ForeignSource,
    fields: Mapping[str, Taking],
    where: tuple[SourceCondition, ...],
    schemas: Schemas,
) -> dict[Place, frozenset[str]]:
    """Of every message of which these conditions hold the fields at none of whose paths something stands."""
    names = {str(number): field for number, field in enumerate(fields)}
    properties: dict[Path, Type] = {("event_properties", name): Type.VALUE for name in names}
    taken = {name: fields[field] for name, field in names.items()}
    said = FieldMap(event_type=f"{CONSTANT} -", user_id=f"{CONSTANT} -", event_properties=taken)
    looking = msgspec.structs.replace(filled(source), preset=None, makes="event", where=where, map=said)
    wanted = Wanted({("event_properties",): Type.OBJECT, **properties}, None)
    nobody, counts = DeadLetters(records), Counter[str]()
    pieces = foreign_columns(records, np.arange(len(records)), looking, wanted, nobody, counts, schemas=schemas)
    return {
        (int(columns.row[i]), columns.index_of(i)): frozenset(
            field for name, field in names.items() if columns.texts["event_properties", name].length[i] < 0
        )
        for columns in pieces
        for i in range(len(columns))
    }


def told(  # noqa: PLR0917
    source: ForeignSource,
    field: str,
    taken: Taking,
    lacking: int,
    looked: int,
    values: Sequence[bytes | None],
) -> str:
    """A sentence of how many of the messages lack a field, and where none has it, what may be meant."""
    paths = _alternatives(taken)
    what = "element" if source.each is not None else "record"
    how_many = f"in any of the {looked} {what}s" if looked > 1 else f"in the one {what}"
    if lacking < looked:
        how_many = f"in {lacking} of the {looked} {what}s"
    sentence = f"{field}: nothing stands at {', '.join(paths)} {how_many}"
    hints = _hints(source, field, paths, values) if lacking == looked else ()
    return "; ".join(dict.fromkeys([sentence, *hints]))


def _alternatives(taken: Taking) -> tuple[str, ...]:
    return (taken,) if isinstance(taken, str) else taken


def _hints(source: ForeignSource, field: str, paths: Sequence[str], values: Sequence[bytes | None]) -> Iterator[str]:
    found = (steps for value in values if value for steps in _places(read_json(value), source, ()))
    there = {path_of(steps): steps[-1] for steps in islice(found, MOST_PATHS)}
    for path in paths:
        if path.startswith(f"{ROOT}."):
            yield f"drop `{ROOT}.`: paths begin at the record"
            continue
        place = parse_path(path)
        if not isinstance(place, InValue) or not place.steps:
            continue
        alike = [each for each, last in there.items() if last == place.steps[-1]]
        near = get_close_matches(path, alike, n=1, cutoff=0.0) or get_close_matches(path, there, n=1)
        if near:
            yield f"did you mean {near[0]}?"
        if len(place.steps) == 1 and field.partition("[")[0] not in NO_CONSTANTS:
            yield f"a constant is `{CONSTANT} {path}`"


def _places(value: Any, source: ForeignSource, at: Steps) -> Iterator[Steps]:
    """Where something stands in a record, as paths of the source lead there: of elements without their numbers."""
    if isinstance(value, str) and path_of(at) in source.parse:
        value = read_json(value.encode())
    if at and value is not None:
        yield at
    if len(at) == DEEPEST_PATH:
        return
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _places(each, source, (*at, name))
    elif isinstance(value, list):
        is_unfolded = path_of(at) == source.each
        for index, each in enumerate(value):
            yield from _places(each, source, at if is_unfolded else (*at, index))
