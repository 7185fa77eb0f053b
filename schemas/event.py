"""Event: something that a unit did. A record on `events`; the names are Amplitude's."""

from typing import Annotated

import msgspec

from schemas.fields import says


class Event(msgspec.Struct, frozen=True):
    """Conditions of metrics also read fields of the user: `country`, `platform`, … Unknown fields are ignored."""

    event_type: Annotated[str, says("event type", "none", "What was done. Metrics name the types that they count.")]
    time: Annotated[
        int | None, says("time", "ms UTC", "When it was done. Without it, when Kafka appended the record.")
    ] = None
    user_id: Annotated[str | None, says("user", "none", "Who did it, to flags that are split by `user_id`.")] = None
    device_id: Annotated[str | None, says("device", "none", "Who did it, to flags that are split by `device_id`.")] = (
        None
    )
    groups: Annotated[
        dict[str, str | list[str]] | None,
        says(
            "groups",
            "none",
            "Who did it, to flags that are split by a group: its name, by the group's type.",
            more="Of a list the first name counts.",
        ),
    ] = None
    insert_id: Annotated[
        str | None,
        says(
            "insert id",
            "none",
            "The producer's own id of the event: what the same unit sends again with the same id and time counts once.",
            more="Without it the record's own position stands in.",
        ),
    ] = None
    event_properties: Annotated[
        dict[str, object] | None,
        says("event properties", "none", "What metrics read as values and in conditions, by name."),
    ] = None
    user_properties: Annotated[
        dict[str, object] | None,
        says("user properties", "none", "What metrics read in conditions, by name. None is kept for later events."),
    ] = None
