"""Presets: how the records of common products become ours, each as that product's own documentation has them."""

from dataclasses import dataclass
from typing import Literal

import msgspec

from schemas.source import FieldMap, ForeignSource, Preset, SourceCondition, TimeAt


@dataclass(frozen=True, slots=True)
class PresetMap:
    """What a preset fills in: the map, and where the document says none, `each` and `where`."""

    makes: Literal["event", "exposure"]
    map: FieldMap
    each: str | None = None
    where: tuple[SourceCondition, ...] = ()


_SEGMENT = FieldMap(
    event_type=("event", "type"),  # what is no `track` is called as its type: page, screen, identify, group, alias
    user_id="userId",
    device_id="anonymousId",
    time=TimeAt(path=("timestamp", "originalTimestamp", "sentAt"), unit="iso8601"),
    insert_id="messageId",
    event_properties="properties",
    user_properties=("traits", "context.traits"),
)
PRESETS: dict[Preset, PresetMap] = {
    # https://segment.com/docs/connections/spec/common/
    "segment": PresetMap("event", _SEGMENT),
}


def filled(source: ForeignSource) -> ForeignSource:
    """The source with what its preset gives where it says nothing itself."""
    if source.preset is None or source.preset not in PRESETS:
        return source
    preset = PRESETS[source.preset]
    said = {name: own for name in FieldMap.__struct_fields__ if (own := getattr(source.map, name)) is not None}
    return msgspec.structs.replace(
        source,
        map=msgspec.structs.replace(preset.map, **said),
        each=source.each or preset.each,
        where=source.where or preset.where,
    )
