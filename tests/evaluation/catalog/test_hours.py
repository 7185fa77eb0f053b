"""Dates and hours by a wall clock: days of 23 and 25 hours, hours over midnight, times that come twice or never."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.catalog.hours import DAYS, moment_of, opening, opens, parse_date, told_hours, told_time, zone_of
from schemas.written import Hours

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
BERLIN = "Europe/Berlin"


def at(text: str) -> int:
    """ms UTC of a time that says its offset."""
    return int(datetime.fromisoformat(text).timestamp()) * 1_000


@pytest.mark.parametrize(
    ("text", "timezone", "is_at"),
    [
        ("2026-03-01", "UTC", "2026-03-01T00:00+00:00"),
        ("2026-03-01", BERLIN, "2026-03-01T00:00+01:00"),
        ("2026-07-01T08:30", BERLIN, "2026-07-01T08:30+02:00"),
        ("2026-07-01T08:30-04:00", BERLIN, "2026-07-01T08:30-04:00"),
        ("2026-03-29T02:30", BERLIN, "2026-03-29T03:30+02:00"),  # skipped: by the offset before
        ("2026-10-25T02:30", BERLIN, "2026-10-25T02:30+02:00"),  # twice: the first
        ("2026-10-25T03:00", BERLIN, "2026-10-25T03:00+01:00"),
        ("2026-03-29", "Asia/Beirut", "2026-03-29T01:00+03:00"),  # a day without a midnight
    ],
)
def test_a_date_is_a_moment_of_its_time_zone(text: str, timezone: str, is_at: str) -> None:
    assert moment_of(text, timezone) == at(is_at)


def test_two_dates_of_a_zone_are_compared_as_moments() -> None:
    assert parse_date("2026-03-29T03:10", BERLIN) < parse_date("2026-03-29T02:30", BERLIN)


@pytest.mark.parametrize("timezone", ["", "Berlin", "Europe", "../UTC", "Europe/Berlin\0"])
def test_what_is_no_time_zone_is_told(timezone: str) -> None:
    with pytest.raises(ValueError, match="is no time zone; write its IANA name"):
        zone_of(timezone)


def test_a_date_beyond_the_calendar_is_no_date() -> None:
    with pytest.raises(ValueError, match="beyond the calendar"):
        parse_date("0001-01-01", "Asia/Tokyo")


@pytest.mark.parametrize(
    ("between", "days", "open_from", "until"),
    [
        ("09:00-17:00", ("mon",), "2026-11-30T09:00+01:00", "2026-11-30T17:00+01:00"),
        ("00:00-24:00", ("sun",), "2026-03-29T00:00+01:00", "2026-03-30T00:00+02:00"),  # 23 hours
        ("00:00-24:00", ("sun",), "2026-10-25T00:00+02:00", "2026-10-26T00:00+01:00"),  # 25 hours
        ("22:00-06:00", ("sat",), "2026-10-24T22:00+02:00", "2026-10-25T06:00+01:00"),  # a Saturday's night
        ("02:30-04:00", ("sun",), "2026-03-29T03:00+02:00", "2026-03-29T04:00+02:00"),  # its beginning is skipped
        ("01:00-02:30", ("sun",), "2026-03-29T01:00+01:00", "2026-03-29T03:00+02:00"),  # its end is skipped
        ("09:00-09:00", ("fri",), "2026-12-04T09:00+01:00", "2026-12-05T09:00+01:00"),
    ],
)
def test_hours_begin_and_end_by_the_wall_clock(between: str, days: tuple, open_from: str, until: str) -> None:
    hours, begin, end = Hours(days=days, between=between), at(open_from), at(until)

    assert [opens(hours, BERLIN, each) for each in (begin - 1, begin, end - 1, end)] == [False, True, True, False]
    assert opening(hours, BERLIN, begin - 3 * DAY) == begin
    assert opening(hours, BERLIN, end - 1) == end - 1
    assert (opening(hours, BERLIN, end) or 0) - begin in (7 * DAY, 7 * DAY - HOUR, 7 * DAY + HOUR, 7 * DAY - HOUR // 2)


def test_an_hour_that_the_clock_shows_twice_opens_twice() -> None:
    hours = Hours(between="02:00-02:30")
    first, second = at("2026-10-25T02:00+02:00"), at("2026-10-25T02:00+01:00")

    assert opening(hours, BERLIN, first - HOUR) == first
    assert opening(hours, BERLIN, first + 30 * MINUTE) == second


def test_hours_that_are_skipped_wait_for_the_next_time() -> None:
    hours = Hours(days=("sun",), between="02:15-02:45")

    assert opening(hours, BERLIN, at("2026-03-28T00:00+01:00")) == at("2026-04-05T02:15+02:00")


def test_without_hours_it_is_always_open() -> None:
    assert opens(None, BERLIN, 5)
    assert opening(None, BERLIN, 5) == 5


def test_times_and_hours_are_told_as_people_of_the_zone_write_them() -> None:
    assert told_time(at("2026-07-01T06:00+00:00"), BERLIN) == "2026-07-01 08:00:00+02:00"
    assert told_hours(Hours(days=("fri", "mon"), between="09:00-17:00"), BERLIN) == "Mon, Fri 09:00-17:00 Europe/Berlin"
    assert told_hours(Hours(days=DAYS[:5]), "UTC") == "Mon to Fri 00:00-24:00 UTC"
    assert told_hours(Hours(), "UTC") == "00:00-24:00 UTC"


def test_beyond_the_calendar_there_are_no_hours() -> None:
    beyond = 999_999_999 * DAY

    assert opening(Hours(), BERLIN, beyond) is None
    assert told_time(beyond, BERLIN) == "never"
    assert told_time(moment_of("0001-01-01T00:00+00:00", BERLIN), "America/New_York").startswith("0005")


@settings(max_examples=30)
@given(
    zone=st.sampled_from([BERLIN, "America/St_Johns", "Asia/Beirut", "Australia/Lord_Howe", "Asia/Kolkata", "UTC"]),
    days=st.sets(st.sampled_from(DAYS)),
    begin=st.integers(0, 1_439),
    end=st.integers(0, 1_440),
    minute=st.integers(0, 366 * 1_440),
)
def test_hours_are_those_that_a_clock_shows_minute_by_minute(zone, days, begin, end, minute) -> None:
    between = f"{begin // 60:02}:{begin % 60:02}-{end // 60:02}:{end % 60:02}"
    hours, time = Hours(days=tuple(days), between=between), at("2026-01-01T00:00+00:00") + minute * MINUTE

    def shows(moment: int) -> bool:
        clock = datetime.fromtimestamp(moment / 1_000, UTC).astimezone(ZoneInfo(zone))
        now, today = clock.strftime("%H:%M"), (clock.weekday() + 6) % 7
        starts, stops = between.split("-")
        named = [DAYS.index(day) for day in days] or range(7)
        is_first_night = now >= starts and (today + 1) % 7 in named
        if starts < stops:
            return is_first_night and now < stops
        return is_first_night or (now < stops and today in named)

    expected = next((each for each in range(time, time + 9 * DAY, MINUTE) if shows(each)), None)

    assert opens(hours, zone, time) == shows(time)
    if expected is not None:
        assert opening(hours, zone, time) == expected
