"""Moments: what programs write as a time is one moment, whichever of the two readers reads it."""

from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.columns.moments import moment_of, moments
from evaluation.columns.texts import Texts

T = 1_772_366_400_000  # 2026-03-01T12:00:00Z


def read(values, unit):
    """What the columns say of each."""
    times, said = moments(Texts.of(values), unit)
    return [int(time) if is_said else None for time, is_said in zip(times, said, strict=True)]


@pytest.mark.parametrize(
    ("value", "unit", "moment"),
    [
        ("1772366400000", "ms", T),
        ('"1772366400000"', "ms", T),
        ("1772366400", "s", T),
        ("1772366400.25", "s", T + 250),
        ("1772366400.2509", "s", T + 250),
        ("1772366400000.9", "ms", T),
        ("1772366400000999", "us", T),
        ("1772366400000999999", "ns", T),
        ("1.7723664e9", "s", T),
        ("1.7723664E+12", "ms", T),
        ("-0.0005", "s", -1),
        ("-1", "us", -1),
        ("1" + "0" * 40, "s", 1 << 62),
        ("1e999", "s", 1 << 62),
        ('"2026-03-01T12:00:00Z"', "iso8601", T),
        ('"2026-03-01T12:00Z"', "iso8601", T),
        ('"2026-03-01 12:00:00.000000"', "iso8601", T),
        ('"2026-03-01t12:00:00,1z"', "iso8601", T + 100),
        ('"2026-03-01T12:00:00.123999999Z"', "iso8601", T + 123),
        ('"2026-03-01T13:00:00+01:00"', "iso8601", T),
        ('"2026-03-01T17:30:00+0530"', "iso8601", T),
        ('"2026-03-01T04:00:00-08"', "iso8601", T),
        ('"2026-03-01T11:59:60Z"', "iso8601", T),
        ('"2026-03-01"', "iso8601", T - 43_200_000),
        ('"1969-12-31T23:59:59.999Z"', "iso8601", -1),
        ('"2024-02-29"', "iso8601", 1_709_164_800_000),
        ('"0001-01-01"', "iso8601", -62_135_596_800_000),
    ],
)
def test_a_moment_is_read_in_its_unit(value, unit, moment):
    assert moment_of(value.encode(), unit) == moment
    assert read([value], unit) == [moment]


@pytest.mark.parametrize(
    ("value", "unit"),
    [
        ('"soon"', "ms"),
        ('""', "s"),
        ("true", "ms"),
        ("{}", "ns"),
        ('"2026-03-01T12:00:00Z"', "ms"),
        ('"1.5s"', "s"),
        ('"-"', "s"),
        ('"1."', "s"),
        ("1772366400000", "iso8601"),
        ('"2026-02-29"', "iso8601"),
        ('"2026-13-01"', "iso8601"),
        ('"2026-03-01T24:00:00Z"', "iso8601"),
        ('"2026-03-01T12:00:00+24:00"', "iso8601"),
        ('"2026-03-01T12"', "iso8601"),
        ('"2026-03-01T12:00:"', "iso8601"),
        ('"2026-03-01T12:00:00 UTC"', "iso8601"),
        ('"2026-3-1"', "iso8601"),
        ('"0000-01-01"', "iso8601"),
    ],
)
def test_what_says_no_moment_is_none(value, unit):
    assert moment_of(value.encode(), unit) is None
    assert read([value, None], unit) == [None, None]


MOMENTS = st.datetimes(
    min_value=datetime(1, 1, 3), timezones=st.integers(-1439, 1439).map(lambda m: timezone(timedelta(minutes=m)))
)


@settings(max_examples=300)
@given(MOMENTS, st.sampled_from(["T", " "]))
def test_any_moment_of_a_calendar_is_read_as_the_calendar_has_it(moment, between):
    value = msgspec.json.encode(moment.isoformat(between))

    assert read([value.decode()], "iso8601") == [
        (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    ]


@settings(max_examples=500)
@given(
    st.lists(st.text('0123456789.eE+-:TZ ",t', max_size=30), max_size=5),
    st.sampled_from(["s", "ms", "us", "ns", "iso8601"]),
)
def test_both_readers_agree_on_whatever_stands_there(texts, unit):
    values = [f'"{text.replace(chr(34), "")}"' for text in texts]
    values += [text for text in texts if '"' not in text and text.strip() == text and text]

    assert read(values, unit) == [moment_of(value.encode(), unit) for value in values]
