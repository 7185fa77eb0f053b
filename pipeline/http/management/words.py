"""Words: what Amplitude calls things, and what we do. An id is a key; a flag is evaluated anywhere."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec

from evaluation.flags.paths import escaped, unescaped

Mode = Literal["local", "remote"]
LONGEST_REASON = 1_024  # characters


class ResponseShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A part of an answer."""


class RequestShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A part of a request. What is not said stays as it is."""


class Edit(RequestShape, frozen=True, kw_only=True):
    """Why something is edited, for the history, and whether it is to be in spite of what that costs."""

    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_REASON)] | None = None
    yes: bool = False


def unit_of(bucketing_key: str | None, bucketing_unit: str | None) -> str:
    """Our name of what is randomised; Amplitude's own id of a person, which nobody else has, is its user_id."""
    if bucketing_unit not in (None, "User"):
        return f"groups.{bucketing_unit}"
    if bucketing_key in (None, "amplitude_id"):
        return "user_id"
    return property_of(bucketing_key)


def bucketing(unit: str) -> tuple[str, str]:
    """Amplitude's names of what is randomised: the key and the unit."""
    if unit.startswith("groups."):
        return "group_name", unit.removeprefix("groups.")
    return property_shape(unit), "User"


def property_of(prop: str) -> str:
    """Our path of a property by Amplitude's name."""
    return f"user_properties.{escaped(prop.removeprefix('gp:'))}" if prop.startswith("gp:") else prop


def property_shape(path: str) -> str:
    """Amplitude's name of a property by our path; ours where it has none."""
    return f"gp:{unescaped(path.removeprefix('user_properties.'))}" if path.startswith("user_properties.") else path


def whole(percentage: float) -> float:
    """A percentage as documents have it: 10.0 and 1e1 are 10."""
    return int(percentage) if percentage == int(percentage) else percentage


def written(part: Any) -> Any:
    """A document, or a part of it, as plain values: what `definition_of` reads."""
    return msgspec.json.decode(msgspec.json.encode(part))


def iso(milliseconds: int) -> str:
    """A time (ms UTC) as ISO 8601."""
    return datetime.fromtimestamp(milliseconds / 1_000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
