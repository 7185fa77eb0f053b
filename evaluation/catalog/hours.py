"""Hours: dates and times of day as a wall clock in a time zone shows them, daylight saving included.

Hours are open while the wall clock shows a time between theirs: an hour that a clock shows twice counts twice, and one
that it skips never comes. A date that it skips is reckoned by the offset before the change, one that it shows twice is
the first of the two, as RFC 5545 (3.3.5) has it.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from schemas.duration import DAY_MS
from schemas.written import Day, Hours

DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# ms UTC, the years 6 and 9892: before and behind them the calendar of some time zone ends
FIRST, LAST = -62_000_000_000_000, 250_000_000_000_000
AHEAD = 15  # days: hours of one day a week that a change of the clock skips begin within two weeks


def parse_date(text: str, timezone: str = "UTC") -> datetime:
    """An ISO 8601 date or date and time, in the time zone unless it says its own offset. Raises ValueError."""
    read = datetime.fromisoformat(text)
    if read.tzinfo:
        return read
    try:
        # In UTC, because moments of one time zone are compared by what its clock shows.
        return read.replace(tzinfo=zone_of(timezone)).astimezone(UTC)
    except OverflowError:
        raise ValueError(f"'{text}' is beyond the calendar") from None


def moment_of(text: str, timezone: str) -> int:
    """The same in ms UTC."""
    return _milliseconds(parse_date(text, timezone))


@lru_cache(1024)
def zone_of(timezone: str) -> tzinfo:
    """The time zone of an IANA name. Raises ValueError."""
    try:
        return ZoneInfo(timezone)
    except (KeyError, ValueError, OSError):
        raise ValueError(
            f"'{timezone}' is no time zone; write its IANA name, for example Europe/Berlin, or UTC"
        ) from None


def told_time(time: int, timezone: str) -> str:
    """A moment (ms UTC) as people of the time zone write it, with its offset."""
    if time > LAST:
        return "never"
    return _wall(time, timezone).isoformat(" ", "seconds")


def told_hours(hours: Hours, timezone: str) -> str:
    """Hours in words."""
    days = [each.capitalize() for each in DAYS if each in hours.days]
    numbers = [number for number, each in enumerate(DAYS) if each in hours.days]
    if len(days) > 2 and numbers[-1] - numbers[0] == len(days) - 1:
        days = [f"{days[0]} to {days[-1]}"]
    return f"{', '.join(days)} {hours.between} {timezone}".lstrip()


def opens(hours: Hours | None, timezone: str, time: int) -> bool:
    """Whether a moment (ms UTC) is within the hours; None: they are always."""
    if hours is None:
        return True
    begin, end = minutes_of(hours)
    wall = _wall(time, timezone)
    minute, today = wall.hour * 60 + wall.minute, DAYS[wall.weekday()]
    yesterday = DAYS[wall.weekday() - 1]
    days = hours.days or DAYS
    if begin < end:
        return today in days and begin <= minute < end
    return (today in days and minute >= begin) or (yesterday in days and minute < end)


def opening(hours: Hours | None, timezone: str, time: int) -> int | None:
    """The first moment within the hours from this one on (ms UTC); None: the clock never shows such a time."""
    if time > LAST:
        return None
    if hours is None:
        return time
    if opens(hours, timezone, time):
        return time
    later = (each for each in sorted(_changes(hours, timezone, time)) if each > time)
    return next((each for each in later if opens(hours, timezone, each)), None)


def minutes_of(hours: Hours) -> tuple[int, int]:
    """When they begin and end, in minutes since midnight."""
    begin, end = hours.between.split("-")
    return _minute(begin), _minute(end)


def _minute(text: str) -> int:
    hour, minute = text.split(":")
    return int(hour) * 60 + int(minute)


def _changes(hours: Hours, timezone: str, time: int) -> Iterator[int]:
    """When hours that are closed may begin: where the clock shows their beginning, and where it is put on or back."""
    zone, begin = zone_of(timezone), minutes_of(hours)[0]
    first = _wall(time, timezone).date()
    for ahead in range(AHEAD):
        yield from _shown(first + timedelta(days=ahead), begin, zone)
        at = time + ahead * DAY_MS
        if _offset(at, zone) != _offset(at + DAY_MS, zone):
            yield _change(at, at + DAY_MS, zone)


def _shown(day: date, minute: int, zone: tzinfo) -> Iterator[int]:
    """The moments that a clock, before and after it is put back, calls so."""
    wall = datetime(day.year, day.month, day.day, *divmod(minute, 60), tzinfo=zone)
    for fold in (0, 1):
        yield _milliseconds(wall.replace(fold=fold))


def _change(before: int, after: int, zone: tzinfo) -> int:
    """The moment between two at which the clock is put on or back."""
    was = _offset(before, zone)
    while after - before > 1:
        middle = (before + after) // 2
        before, after = (middle, after) if _offset(middle, zone) == was else (before, middle)
    return after


def _offset(time: int, zone: tzinfo) -> timedelta | None:
    return (EPOCH + timedelta(milliseconds=time)).astimezone(zone).utcoffset()


def _wall(time: int, timezone: str) -> datetime:
    return (EPOCH + timedelta(milliseconds=max(time, FIRST))).astimezone(zone_of(timezone))


def _milliseconds(date: datetime) -> int:
    return (date - EPOCH) // timedelta(milliseconds=1)
