"""Rules of sources: what a document that reads a foreign topic must satisfy beyond the types of its fields."""

from collections.abc import Collection, Iterator

from evaluation.catalog.hours import parse_date
from evaluation.catalog.rules import Path, Violation
from evaluation.flags.conditions import condition_fault
from evaluation.sources.paths import InValue, constant_of, is_constant, parse_path
from evaluation.sources.presets import PRESETS, filled
from schemas.source import CONSTANT, FieldMap, ForeignSource, TimeAt

OF_EVENTS = ("event_type", "event_properties")
OF_EXPOSURES = ("flag_key", "variant", "experiment_key", "metadata")
REQUIRED = {"event": ("event_type",), "exposure": ("flag_key", "variant")}
UNITS = {  # of which a record must carry one
    "event": ("user_id", "device_id", "groups"),
    "exposure": ("user_id", "device_id", "groups", "user_properties"),
}
KEPT = {"topic": "topic", "makes": "as"}  # what stays as it is, by attribute and field
MOMENTS = ("now", "beginning")


def source_violations(source: ForeignSource, before: ForeignSource | None = None) -> Iterator[Violation]:
    """What is wrong with a source, or with what an edit makes of it."""
    if before is not None:
        yield from _edit_violations(source, before)
    preset = PRESETS[source.preset] if source.preset else None
    if preset and preset.makes != source.makes:
        text = f"'{source.preset}' gives {preset.makes}s; write `as: {preset.makes}`, or say the map without a preset"
        yield Violation(("preset",), text)
        return
    yield from _path_violations(source)
    yield from _field_violations(filled(source))
    for index, condition in enumerate(source.where):
        if fault := condition_fault(condition.op, condition.values):
            yield Violation(("where", index, "values"), fault)
    if source.since not in MOMENTS:
        try:
            parse_date(source.since)
        except ValueError:
            text = f"'{source.since}' is no moment; write now, beginning, or an ISO 8601 date: 2026-03-01"
            yield Violation(("from",), text)


def topic_violations(source: ForeignSource, ours: Collection[str]) -> Iterator[Violation]:
    """Whether its topic is one of our own, by their names on the cluster: whoever knows the prefix asks."""
    if source.topic in ours:
        text = f"'{source.topic}' is ours, which is read already; name a topic of another program"
        yield Violation(("topic",), text)


def _edit_violations(source: ForeignSource, before: ForeignSource) -> Iterator[Violation]:
    for name, field in KEPT.items():
        if getattr(source, name) != getattr(before, name):
            text = f"'{getattr(source, name)}' was '{getattr(before, name)}', and stays so: what was read is counted; "
            yield Violation((field,), text + "pause this source, and make another")


def _field_violations(source: ForeignSource) -> Iterator[Violation]:
    """Fields that its records lack, and fields that they do not have."""
    for name in REQUIRED[source.makes]:
        if getattr(source.map, name) is None:
            yield Violation(("map", name), f"is missing; every {source.makes} has one: a path, or `= a constant`")
    units = UNITS[source.makes]
    if not any(getattr(source.map, name) for name in units):
        yield Violation(("map",), f"names no unit, without which nothing counts; give one of {', '.join(units)}")
    for name in OF_EXPOSURES if source.makes == "event" else OF_EVENTS:
        if getattr(source.map, name) is not None:
            text = f"would be ignored: no {source.makes} has it; remove it, or write another `as`"
            yield Violation(("map", name), text)


def _path_violations(source: ForeignSource) -> Iterator[Violation]:
    """What is wrong with the paths and constants that the document says itself."""
    if source.each is not None:
        yield from _in_value(source.each, ("each",))
    for index, each in enumerate(source.parse):
        yield from _parse_violation(each, source.each, ("parse", index))
    for index, condition in enumerate(source.where):
        yield from _path_violation(condition.property, ("where", index, "property"))
    for name in FieldMap.__struct_fields__:
        taken = getattr(source.map, name)
        path: Path = ("map", name)
        if isinstance(taken, TimeAt):
            yield from _paths(taken.path, (*path, "path"))
        elif isinstance(taken, dict):
            for key, each in taken.items():
                yield from _taking(each, (*path, key))
        elif name in {"time", "groups", "event_properties", "user_properties", "metadata"}:
            yield from _paths(taken, path)
        else:
            yield from _taking(taken, path)


def _taking(taken: str | tuple[str, ...] | None, path: Path) -> Iterator[Violation]:
    every = taken if isinstance(taken, tuple) else () if taken is None else (taken,)
    for index, each in enumerate(every):
        at = (*path, index) if isinstance(taken, tuple) else path
        if not is_constant(each):
            yield from _path_violation(each, at)
        elif not constant_of(each):
            yield Violation(at, f"'{each}' is an empty constant; write a text behind it, or leave the field out")
        elif index < len(every) - 1:
            yield Violation(at, f"'{each}' is always there, so that nothing behind it counts; put it last")


def _paths(taken: str | tuple[str, ...] | None, path: Path) -> Iterator[Violation]:
    """The same where a constant means nothing."""
    for index, each in enumerate(taken if isinstance(taken, tuple) else () if taken is None else (taken,)):
        at = (*path, index) if isinstance(taken, tuple) else path
        if is_constant(each):
            text = f"'{each}' is a constant, which is of no use here; write a path"
            yield Violation(at, text + (f", or NAME: {CONSTANT} …" if path[-1] != "path" else ""))
        else:
            yield from _path_violation(each, at)


def _path_violation(text: str, path: Path) -> Iterator[Violation]:
    try:
        parse_path(text)
    except ValueError as error:
        yield Violation(path, str(error))


def _parse_violation(text: str, each: str | None, path: Path) -> Iterator[Violation]:
    try:
        place = parse_path(text)
        elements = parse_path(each) if each is not None else None
    except ValueError as error:
        yield Violation(path, str(error))
        return
    if not isinstance(place, InValue) or not place.steps:
        yield Violation(path, f"'{text}' is no text within the record's value; name one")
    elif isinstance(elements, InValue) and len(place.steps) > len(elements.steps) and place.within(elements.steps):
        yield Violation(path, f"'{text}' is within the elements of `each`, of which no texts are parsed; leave it out")


def _in_value(text: str, path: Path) -> Iterator[Violation]:
    try:
        if not isinstance(parse_path(text), InValue):
            yield Violation(path, f"'{text}' is no array; name one within the record's value")
    except ValueError as error:
        yield Violation(path, str(error))
