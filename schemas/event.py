"""Event: something that a unit did. A record on `events`; the names are Amplitude's."""

import msgspec


class Event(msgspec.Struct, frozen=True):
    """Conditions of metrics also read fields of the user: `country`, `platform`, … Unknown fields are ignored."""

    event_type: str
    time: int | None = None  # ms UTC; missing: the append time
    user_id: str | None = None
    device_id: str | None = None
    groups: dict[str, str | list[str]] | None = None
    insert_id: str | None = None
    event_properties: dict[str, object] | None = None
    user_properties: dict[str, object] | None = None
