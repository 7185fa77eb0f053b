"""Numbers: what the integers of messages may be, so that tables and arrays of 64 bits hold them."""

from typing import Annotated, Any

import msgspec

LAST_SECONDS = 100_000_000_000  # ms UTC: in 1973
LATEST = 253_402_300_799_999  # ms UTC: the last of the year 9999
BEYOND = 1 << 62  # a quantised value lies below it, up or down

Count = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
Time = Annotated[int, msgspec.Meta(ge=0, le=LATEST)]  # ms UTC
Small = Annotated[int, msgspec.Meta(ge=0, le=(1 << 31) - 1)]
Exact = (
    Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
    | Annotated[str, msgspec.Meta(pattern=r"^-?[0-9]{1,60}$")]
)  # an integer; beyond 2^53 it travels as a decimal string

DECIMAL = r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"  # a plain number, as people and programs write it


def exact(number: int) -> Exact:
    """The integer as it travels."""
    return number if abs(number) <= 1 << 53 else str(number)


def is_in_seconds(time: Any) -> Any:
    """Whether a time (ms UTC), or each of an array, would be early in the 1970s: whoever wrote it means seconds."""
    return (time > 0) & (time < LAST_SECONDS)


def hundredths(percentage: float) -> int:
    """How many hundredths of a percent that is."""
    return round(percentage * 100)
