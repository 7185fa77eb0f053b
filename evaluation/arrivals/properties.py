"""Properties: what messages say in which fields, from samples of them."""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from schemas.arrivals import ArrivedSample

MOST_PROPERTIES = 200  # of one name
LONGEST_EXAMPLE = 60  # characters
_KINDS = {type(None): "null", bool: "true or false", int: "whole number", float: "number", str: "text", list: "list"}
_INNER = ("event_properties", "user_properties", "groups", "metadata")  # objects of which the fields are told


class PropertySeen(msgspec.Struct, frozen=True, kw_only=True):
    """A field of the samples: in how many it stands, of which kinds its values are, and the newest."""

    path: str
    samples: int
    kinds: dict[str, int]
    example: str


def properties_of(samples: Iterable[ArrivedSample]) -> tuple[int, list[PropertySeen]]:
    """How many samples are whole, so that their fields are known, and the fields, those in most of them first."""
    read = 0
    kinds: dict[str, dict[str, int]] = {}
    examples: dict[str, str] = {}
    for sample in samples:
        fields = _fields(sample)
        read += fields is not None
        for path, value in fields or ():
            if path in kinds or len(kinds) < MOST_PROPERTIES:
                kind = _KINDS.get(type(value), "object")
                of_path = kinds.setdefault(path, {})
                of_path[kind] = of_path.get(kind, 0) + 1
                examples[path] = _example(value)
    found = [
        PropertySeen(path=path, samples=sum(of_path.values()), kinds=of_path, example=examples[path])
        for path, of_path in kinds.items()
    ]
    return read, sorted(found, key=lambda each: (-each.samples, each.path))


def _fields(sample: ArrivedSample) -> list[tuple[str, Any]] | None:
    if sample.is_cut:
        return None
    try:
        message = msgspec.json.decode(sample.value, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError):
        return None
    return [*_flat(message)]


def _flat(message: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in message.items():
        if name in _INNER and isinstance(value, dict):
            yield from ((f"{name}.{inner}", each) for inner, each in value.items())
        else:
            yield name, value


def _example(value: object) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= LONGEST_EXAMPLE else f"{text[:LONGEST_EXAMPLE]}…"
