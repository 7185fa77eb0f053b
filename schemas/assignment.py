"""Assignment: the answer to an exposure that asked for a variant. A record on `assignments`, keyed by flag/unit."""

from typing import Annotated

import msgspec

from schemas.fields import says


class Assignment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`variant` is `off` where the unit gets none; `reason` says why. Readers take one per origin."""

    flag_key: Annotated[str, says("flag", "none", "Key of the flag.")]
    variant: Annotated[str, says("variant", "none", "The variant that the unit gets; `off` where it gets none.")]
    reason: Annotated[
        str,
        says("reason", "none", "Why: segment, inclusion, dependency, sticky, not allocated, no unit or inactive."),
    ]
    experiment_key: Annotated[str | None, says("run", "none", "The run that is open; null where none is.")] = None
    user_id: Annotated[str | None, says("user", "none", "As the exposure or the request has it.")] = None
    device_id: Annotated[str | None, says("device", "none", "As the exposure or the request has it too.")] = None
    groups: Annotated[
        dict[str, str | list[str]] | None,
        says("groups", "none", "The group that the flag is split by, or those of the request."),
    ] = None
    unit: Annotated[
        str | None,
        says("unit", "none", "The text by which the flag buckets. Servers say it, and read it for sticky flags."),
    ] = None
    payload: Annotated[object, says("payload", "none", "The variant's.")] = None
    metadata: Annotated[
        dict[str, object],
        says("metadata", "none", "`flagVersion`, `experimentKey` and `segmentName`: send them back with the exposure."),
    ] = {}
    time: Annotated[int, says("time", "ms UTC", "The exposure's, or when the server answered.")]
    insert_id: Annotated[str | None, says("insert id", "none", "The exposure's.")] = None
    origin: Annotated[
        str,
        says(
            "origin",
            "none",
            "What was answered: topic/partition/offset of the exposure, and /index in a record that holds many.",
            more="Of an answer over HTTP it begins with `http/`.",
        ),
    ]
