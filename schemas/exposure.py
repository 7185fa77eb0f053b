"""Exposure: a unit met a variant, or asks for one. A record on `exposures`; the names are Amplitude's."""

import msgspec


class Exposure(msgspec.Struct, frozen=True):
    """Without `variant` it asks for one. `experiment_key` names the run; `metadata.flagVersion` the flag's version.

    Breakdowns also read fields of the user: `country`, `platform`, …
    """

    flag_key: str
    variant: str | None = None
    experiment_key: str | None = None
    user_id: str | None = None
    device_id: str | None = None
    groups: dict[str, str | list[str]] | None = None
    time: int | None = None  # ms UTC
    insert_id: str | None = None
    user_properties: dict[str, object] | None = None
    metadata: dict[str, object] | None = None
