"""Assignment: the answer to an exposure that asked for a variant. A record on `assignments`, keyed by flag/unit."""

import msgspec


class Assignment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`variant` is `off` where the unit gets none; `reason` says why. Readers take one per origin."""

    flag_key: str
    variant: str
    reason: str  # segment, inclusion, dependency, sticky, not allocated, inactive
    experiment_key: str | None = None
    user_id: str | None = None
    device_id: str | None = None
    groups: dict[str, str | list[str]] | None = None
    unit: str | None = None  # by which the flag buckets; said by servers, which read it again
    payload: object = None
    metadata: dict[str, object] = {}  # flagVersion, experimentKey, segmentName
    time: int  # the exposure's, ms UTC
    insert_id: str | None = None
    origin: str  # topic/partition/offset, and /index of a record that holds many
