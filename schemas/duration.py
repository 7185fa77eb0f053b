"""Duration: a length of time as a person writes it, for example `500ms`, `10s`, `30m`, `24h` or `7d`."""

import re
from functools import lru_cache

# What documents may hold: a positive duration. The look-ahead refuses a final line feed, which `$` alone lets pass in
# Python (and `\Z` means nothing in JSON Schema).
PATTERN = r"^[1-9][0-9]{0,8}(ms|s|m|h|d)$(?!\n)"
MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": HOUR_MS, "d": DAY_MS}


def in_words(ms: int) -> str:
    """A length of time as people read it: `90 minutes`."""
    for unit, length in (("days", DAY_MS), ("hours", HOUR_MS), ("minutes", 60_000)):
        if ms >= 2 * length:
            return f"{ms // length} {unit}"
    return f"{ms // 1_000} seconds"


@lru_cache(1024)
def parse_duration(text: str) -> int:
    """Milliseconds. Raises ValueError for anything but a whole number and its unit."""
    if not re.fullmatch(r"[0-9]{1,9}(ms|s|m|h|d)", text):
        raise ValueError(f"'{text}' is no duration; write a whole number and its unit: 500ms, 10s, 30m, 24h or 7d")
    number = text.rstrip("mshd")
    return int(number) * UNITS_MS[text[len(number) :]]
