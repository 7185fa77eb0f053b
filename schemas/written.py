"""Written: what the fields of documents may hold. Descriptions and patterns stand in the JSON Schema of editors."""

from typing import Annotated, Literal

import msgspec

from schemas import duration

# `$(?!\n)`: `$` alone lets a final line feed pass in Python.
Key = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$(?!\n)",
        description="1 to 100 letters of either case, digits, '-', '_' and '.', beginning with a letter or digit",
    ),
]
Window = Annotated[
    str,
    msgspec.Meta(
        pattern=rf"^none$(?!\n)|{duration.PATTERN}",
        description="a duration, for example 500ms, 10s, 30m, 24h or 7d, or none",
    ),
]
Duration = Annotated[
    str,
    msgspec.Meta(pattern=duration.PATTERN, description="a duration, for example 500ms, 10s, 30m, 24h or 7d"),
]
Unit = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^(user_id|device_id|groups\.[A-Za-z0-9_ -]+|user_properties\.[A-Za-z0-9_ .\\-]+)$(?!\n)",
        description="what is randomised: user_id, device_id, groups.TYPE or user_properties.NAME",
    ),
]
Identity = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^(user_id|device_id|groups\.[A-Za-z0-9_ -]+)$(?!\n)",
        description="who is behind several units: user_id, device_id or groups.TYPE",
    ),
]
Percentage = Annotated[
    Annotated[int, msgspec.Meta(ge=0, le=100)] | Annotated[float, msgspec.Meta(ge=0, le=100)],
    msgspec.Meta(description="a number from 0 to 100 with at most two decimal places"),
]
Weight = Annotated[
    int,
    msgspec.Meta(ge=0, le=1_000_000, description="a whole number from 0 to 1000000: the share relative to the others"),
]
Share = Annotated[float, msgspec.Meta(gt=0, description="a number above 0; 0.02 means two per cent of control")]
Deviation = Annotated[
    float,
    msgspec.Meta(
        gt=0,
        description="a number above 0: the standard deviation of units' numbers, as they are; 90 beside a mean of 40",
    ),
]
MOST_UNITS = 10**12  # of a plan: a sample that nobody ever has
Units = Annotated[int, msgspec.Meta(ge=4, le=MOST_UNITS, description=f"a whole number from 4 to {MOST_UNITS}")]
Probability = Annotated[
    float, msgspec.Meta(gt=0, le=0.2, description="a number above 0 and at most 0.2; 0.05 means 95 % confidence")
]
Scale = Annotated[int, msgspec.Meta(ge=0, le=9, description="a whole number from 0 to 9: decimal places")]
Cap = Annotated[float, msgspec.Meta(gt=0, description="a number above 0: a unit counts for at most that much")]
LowerCap = Annotated[
    float, msgspec.Meta(le=0, description="0 or a number below: a unit counts for at least that much, say for refunds")
]
Nth = Annotated[
    int, msgspec.Meta(ge=0, le=366, description="a whole number from 0 to 366: which period after the start")
]
Percent = Annotated[
    float,
    msgspec.Meta(gt=0, lt=100, description="a number between 0 and 100: 50 is the median, 99.9 the slowest of 1000"),
]
Switch = Annotated[bool, msgspec.Meta(description="true or false")]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=1024, description="a text of 1 to 1024 characters")]
Prose = Annotated[str, msgspec.Meta(min_length=1, description="a sentence or more")]
Date = Annotated[
    str, msgspec.Meta(description="an ISO 8601 date, or date and time (UTC unless it says otherwise): 2026-03-01")
]


Property = Annotated[
    str,
    msgspec.Meta(
        pattern=(
            r"^(user_id|device_id|country|region|city|dma|language|platform|version|os|device_manufacturer|device_brand"
            r"|device_model|carrier|library|ip_address|cohort|user_properties\..+|event_properties\..+"
            r"|groups\.[A-Za-z0-9_ -]+\.(group_name|cohort|group_properties\..+))$(?!\n)"
        ),
        description=(
            "what is read: user_properties.NAME, a field of the user (user_id, device_id, country, region, city, "
            "dma, language, platform, version, os, device_manufacturer, device_brand, device_model, carrier, library, "
            "ip_address), cohort, groups.TYPE.group_name, groups.TYPE.group_properties.NAME, groups.TYPE.cohort, or, "
            "in a metric's filter, event_properties.NAME"
        ),
    ),
]
Operator = Literal[
    "is",
    "is not",
    "contains",
    "does not contain",
    "less",
    "less or equal",
    "greater",
    "greater or equal",
    "version less",
    "version less or equal",
    "version greater",
    "version greater or equal",
    "set is",
    "set is not",
    "set contains",
    "set does not contain",
    "set contains any",
    "set does not contain any",
    "regex match",
    "regex does not match",
    "glob match",
    "glob does not match",
]
Value = Annotated[str, msgspec.Meta(max_length=1024, description="a text of at most 1024 characters")]
Slot = Annotated[int, msgspec.Meta(ge=1, le=20, description="a whole number from 1 to 20: a slot of the group")]


class Strict(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A document's part: an unknown field is a spelling mistake."""


Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Timezone = Annotated[str, msgspec.Meta(min_length=1, description="a time zone by its IANA name: Europe/Berlin, or UTC")]
Between = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]-(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$(?!\n)",
        description="two times of day, for example 09:00-17:00; 22:00-06:00 goes over midnight",
    ),
]


class Hours(Strict, frozen=True, kw_only=True):
    """When something may be done: on these `days` (none named: on every day), `between` these times of day.

    In the time zone that the document names. Hours over midnight belong to the day on which they begin.
    """

    days: tuple[Day, ...] = ()
    between: Between = "00:00-24:00"
