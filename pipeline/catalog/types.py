"""Types: every fault of plain values (of YAML, of JSON, of a command) that should be a definition."""

from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec

from evaluation.catalog import rules
from evaluation.catalog.rules import Violation, did_you_mean
from pipeline.errors import PeekproofError
from schemas.catalog import Definition

MOST_HINTS = 20  # of the fields that a document does not have: each takes a millisecond

Written = TypeVar("Written", bound=Definition)


def definition_of(value: object, kind: type[Written]) -> Written:
    """The definition that plain values (of JSON, of a command) describe. Raises PeekproofError with every fault."""
    if violations := list(type_violations(value, kind)):
        raise PeekproofError("\n".join(map(str, violations)))
    return msgspec.convert(value, kind)


def kind_of(kind: type[msgspec.Struct], name: str) -> Any:
    """The type of one field."""
    return next(field.type for field in msgspec.structs.fields(kind) if field.encode_name == name)


def required(kind: Any, value: object) -> Any:
    """What a field must be that is there: of a text, a list or a group of fields, the one that the value may be."""
    if get_origin(kind) not in (Union, UnionType):
        return kind
    kinds = [each for each in get_args(kind) if each is not NoneType]
    holder = value.__class__ if value.__class__ in {dict, list} else None
    return next((each for each in kinds if _holder(each) is holder), kinds[0])


def _holder(kind: Any) -> type | None:
    """What holds values of the kind that are no plain ones."""
    kind = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    if _is_group(kind) or get_origin(kind) is dict:
        return dict
    return list if get_origin(kind) is tuple else None


def _is_group(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def type_violations(value: object, kind: Any, path: rules.Path = ()) -> Iterator[Violation]:
    """Every value that is not what the kind wants there."""
    if value is None and NoneType in get_args(kind):
        return
    kind = required(kind, value)
    container = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    if _is_group(kind):
        if isinstance(value, dict):
            yield from _field_violations(value, kind, path)
        else:
            names = ", ".join(field.encode_name for field in msgspec.structs.fields(kind))
            yield Violation(path, f"{_shown(value)} is not allowed; it has fields: {names}")
    elif get_origin(container) is tuple:
        if isinstance(value, list):
            for index, item in enumerate(value):
                yield from type_violations(item, get_args(container)[0], (*path, index))
            yield from length_violations(value, kind, path)
        else:
            yield Violation(path, f"{_shown(value)} is not allowed; it must be a list: write [{_shown(value)}]")
    elif get_origin(container) is dict:
        if isinstance(value, dict):
            key_kind, value_kind = get_args(container)
            for key, item in value.items():
                if not _accepts(key, key_kind):
                    yield Violation((*path, key), f"'{key}' is not allowed; a name here must be {_rule(key_kind)}")
                yield from type_violations(item, value_kind, (*path, key))
        else:
            yield Violation(path, f"{_shown(value)} is not allowed; it must be a group of names and values")
    else:
        try:
            msgspec.convert(value, kind)
        except msgspec.ValidationError:
            is_scalar = isinstance(value, bool | int | float)
            quote = ", in quotes" if is_scalar and _accepts(str(value), kind) else ""
            yield Violation(path, f"{_shown(value)} is not allowed; it must be {_rule(kind)}{quote}")


def length_violations(value: list[object], kind: Any, path: rules.Path) -> Iterator[Violation]:
    """Whether a list is too short or too long."""
    for meta in get_args(kind)[1:] if get_origin(kind) is Annotated else ():
        if meta.min_length is not None and len(value) < meta.min_length:
            yield Violation(path, f"the list has {len(value)} items; it must have at least {meta.min_length}")
        if meta.max_length is not None and len(value) > meta.max_length:
            yield Violation(path, f"the list has {len(value)} items; it may have at most {meta.max_length}")


def _field_violations(value: dict[str, object], kind: type[msgspec.Struct], path: rules.Path) -> Iterator[Violation]:
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    for number, name in enumerate(value.keys() - fields.keys()):
        hint = f"; {did_you_mean(name, fields)}" if number < MOST_HINTS else ""
        yield Violation((*path, name), f"is no field of this document{hint}")
    for name, known in fields.items():
        if name in value:
            yield from type_violations(value[name], known.type, (*path, name))
        elif known.required:
            yield Violation((*path, name), f"is missing; it must be {_rule(known.type)}")


def _accepts(value: str, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


def _rule(kind: Any) -> str:
    if get_origin(kind) is Annotated:
        described = [meta.description for meta in get_args(kind)[1:] if isinstance(meta, msgspec.Meta)]
        return " ".join(filter(None, described)) or _rule(get_args(kind)[0])
    if kind is int:
        return "a whole number, from 0 on"
    if get_origin(kind) is Literal:
        return f"one of {', '.join(get_args(kind))}"
    if get_origin(kind) is tuple:
        return "a list"
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(_rule(each) for each in get_args(kind) if each is not NoneType)
    return "a text" if kind is str else "a group of fields"


def _shown(value: object) -> str:
    match value:
        case None:
            return "nothing"
        case dict():
            return "a group of fields"
        case list():
            return "a list"
        case str() if len(value) > 60:
            return f"'{value[:60]}…'"
        case str():
            return f"'{value}'"
        case _:
            return msgspec.json.encode(value).decode()
