"""Exposure: a unit met a variant, or asks for one. A record on `exposures`; the names are Amplitude's."""

from typing import Annotated

import msgspec

from schemas.fields import says


class Exposure(msgspec.Struct, frozen=True):
    """Without `variant` it asks for one. `experiment_key` names the run; `metadata.flagVersion` the flag's version.

    Breakdowns also read fields of the user: `country`, `platform`, …
    """

    flag_key: Annotated[str, says("flag", "none", "Key of the flag.")]
    variant: Annotated[
        str | None,
        says("variant", "none", "The variant that the unit met. Without it the answer is on `assignments`."),
    ] = None
    experiment_key: Annotated[
        str | None, says("run", "none", "The run by which the variant was chosen. Without it the newest one.")
    ] = None
    user_id: Annotated[str | None, says("user", "none", "Who it was, to flags that are split by `user_id`.")] = None
    device_id: Annotated[str | None, says("device", "none", "Who it was, to flags that are split by `device_id`.")] = (
        None
    )
    groups: Annotated[
        dict[str, str | list[str]] | None,
        says(
            "groups",
            "none",
            "Who it was, to flags that are split by a group: its name, by the group's type.",
            more="Of a list the first name counts.",
        ),
    ] = None
    time: Annotated[
        int | None, says("time", "ms UTC", "When they met. Without it, when Kafka appended the record.")
    ] = None
    insert_id: Annotated[
        str | None,
        says(
            "insert id",
            "none",
            "The producer's own id: what the same unit sends again with the same id and time counts once.",
        ),
    ] = None
    user_properties: Annotated[
        dict[str, object] | None,
        says("user properties", "none", "What breakdowns and a flag's conditions read, by name."),
    ] = None
    metadata: Annotated[
        dict[str, object] | None,
        says("metadata", "none", "An answer's, as it was given: `flagVersion` is read, the rest is ignored."),
    ] = None
