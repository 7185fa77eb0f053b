"""Events: the rows that they make, and what becomes of those that make none."""

import json

import msgspec
import pytest
import xxhash

from evaluation.assignment.events import MOST_NAMES
from evaluation.catalog.in_force import SETTLING
from schemas.numbers import BEYOND
from schemas.units import ROWS, RowKind
from tests.evaluation.assignment.routed import (
    BUTTON,
    HORIZON,
    NOW,
    TEAMS,
    TOLERANCE,
    event,
    exposure,
    kinds,
    reasons,
    rows_of,
    shop,
    unit,
)


class TestEvents:
    def test_an_event_makes_a_row_for_each_fact_that_it_feeds(self, route):
        assigned = route(event("purchase", event_properties={"price": 12.5}), event("view"), event("login"))

        insert_id = xxhash.xxh64(b"i-1").intdigest()
        said = (unit("user_id", "u-1"), NOW - 1_000, insert_id)
        assert rows_of(assigned) == [
            (100, 0, ("purchase", None, 0), *said, 1),
            (100, 0, ("purchase", "price", 2), *said, 1_250),
            (101, 0, ("view", None, 0), *said, 1),
        ]
        assert (assigned.begin, assigned.end, assigned.watermark) == (100, 103, NOW)
        assert not assigned.rejects

    def test_names_that_come_are_told_but_none_that_nothing_counts_and_is_too_long_to_be_meant(self, route):
        assigned = route(event("purchase"), event("Purchase"), event("é" * 51))

        assert {key for what, key, _ in assigned.came if what == "name"} == {"purchase", "Purchase"}

    def test_a_name_that_nothing_counts_is_told_however_seldom_it_comes_unless_many_others_come_more_often(self, route):
        once, twice = [event(f"page {number}") for number in range(200)], event("Purchase")

        few = route(*[event("viewed")] * 500, twice, *[event("viewed")] * 500)
        many = route(*once, twice, twice)

        assert {key for what, key, _ in few.came if what == "name"} == {"viewed", "Purchase"}
        told = {key for what, key, _ in many.came if what == "name"}
        assert "Purchase" in told
        assert len(told) == MOST_NAMES

    def test_columns_have_the_types_of_the_message(self, route):
        for assigned in (route(event()), route(b"x"), route(exposure(), topic="exposures")):
            for column in ROWS:
                if column.name != "source":
                    assert getattr(assigned, column.name).dtype == column.type.to_pandas_dtype(), column.name

    def test_an_event_counts_for_each_unit_type_that_a_run_needs_and_it_carries(self, route):
        history = shop().run(BUTTON, TEAMS).history

        both = event("purchase", groups={"org": ["acme", "other"], "team": "x"}, event_properties={"price": 1})
        assigned = route(both, event("purchase", groups={"org": "acme"}, user_id=None), event(), catalog=history)

        assert [(row[0], row[2], row[3]) for row in rows_of(assigned)] == [
            (100, ("purchase", None, 0), unit("groups.org", "acme")),
            (100, ("purchase", None, 0), unit("user_id", "u-1")),
            (100, ("purchase", "price", 2), unit("user_id", "u-1")),
            (101, ("purchase", None, 0), unit("groups.org", "acme")),
            (102, ("view", None, 0), unit("user_id", "u-1")),
        ]

    def test_a_user_property_is_a_unit(self, route):
        by_account = msgspec.structs.replace(BUTTON, unit="user_properties.account")
        history = shop().run(by_account).history

        assigned = route(event(user_properties={"account": "a-7", "plan": 3}), event(), catalog=history)

        assert assigned.unit.tolist() == [unit("user_properties.account", "a-7")]
        assert not assigned.rejects

    def test_a_user_property_is_a_unit_by_its_text_and_bothers_nobody_else(self, route):
        by_account = msgspec.structs.replace(BUTTON, key="accounts", unit="user_properties.account")
        history = shop().run(BUTTON, by_account).history
        said = [17, "17", True, 'a"b', None, "", {"a": [1]}]

        assigned = route(*(event(user_properties={"account": each}) for each in said), catalog=history)

        of_users = unit("user_id", "u-1")
        assert [row[3] for row in rows_of(assigned) if row[3] != of_users] == [
            unit("user_properties.account", text) for text in ("17", "17", "true", 'a"b', '{"a":[1]}')
        ]
        assert assigned.unit.tolist().count(of_users) == len(said)
        assert not assigned.rejects

    @pytest.mark.parametrize(
        "missing", [{"user_id": None}, {"user_id": ""}, {"user_id": None, "device_id": "", "groups": {}}]
    )
    def test_an_event_without_any_unit_is_rejected(self, route, missing):
        assigned = route(event(), event(**missing), event())

        assert reasons(assigned) == [(101, "no unit")]
        assert assigned.offset.tolist() == [100, 102]

    @pytest.mark.parametrize("other", [{"device_id": "d"}, {"groups": {"org": "acme"}}, {"groups": {"org": ["acme"]}}])
    def test_an_event_with_only_units_that_no_run_needs_makes_no_row_and_no_dead_letter(self, route, other):
        assigned = route(event(**({"user_id": None} | other)))

        assert not len(assigned.offset)
        assert not assigned.rejects

    def test_a_missing_time_is_the_append_time(self, route):
        assigned = route(event(time=None), {"event_type": "view", "user_id": "u"})

        assert assigned.time.tolist() == [NOW, NOW]
        assert kinds(assigned) == [0, RowKind.OWN_ID]

    def test_an_event_is_late_beyond_the_horizon(self, route):
        assigned = route(event(time=NOW - HORIZON), event(time=NOW - HORIZON - 1), event(time=0))

        assert kinds(assigned) == [0, RowKind.LATE, RowKind.LATE]
        assert assigned.counts["late"] == 2

    def test_an_event_beyond_the_tolerance_is_in_the_future(self, route):
        assigned = route(event(time=NOW + TOLERANCE), event(time=NOW + TOLERANCE + 1))

        assert assigned.offset.tolist() == [100]
        assert reasons(assigned) == [(101, "future")]
        assert f"time is {NOW + TOLERANCE + 1}" in assigned.rejects[0].detail

    def test_a_time_in_seconds_is_told_so_and_not_taken_for_one_in_1970(self, route):
        assigned = route(event(time=NOW // 1_000), event())

        assert reasons(assigned) == [(100, "time out of range")]
        assert "is it in seconds? Send milliseconds" in assigned.rejects[0].detail
        assert assigned.offset.tolist() == [101]

    @pytest.mark.parametrize("time", [-1, 253_402_300_800_000, 2**63 - 1, 2**63, -(2**63), 10**30])
    def test_a_time_that_is_none_is_out_of_range(self, route, time):
        value = b'{"event_type":"view","user_id":"u","time":%d}' % time

        assert reasons(route(event(), value)) == [(101, "time out of range")]

    @pytest.mark.parametrize(
        ("number", "quantised"),
        [
            (b"12", 1_200),
            (b"12.345", 1_234),  # 1234.5 in doubles: half to even
            (b"0.125", 12),
            (b"0.375", 38),
            (b"-0.125", -12),
            (b"1e2", 10_000),
            (b"1.005", 100),  # the double is a little less
            (b"0.1e1", 100),
            (b"10995116277.75", 1_099_511_627_775),  # 2^40 - 1
            (b"-10995116277.75", -1_099_511_627_775),
            (b"-0.0", 0),
            (b"45035996273704.97", 4_503_599_627_370_497),
            (b"5764607523050001", 576_460_752_305_000_100),
            (b"-2882303761525000.5", -288_230_376_152_500_050),
        ],
    )
    def test_a_number_is_quantised_once_half_to_even(self, route, number, quantised):
        value = b'{"event_type":"purchase","user_id":"u","event_properties":{"price":%s}}' % number

        assigned = route(value)

        assert [row[-1] for row in rows_of(assigned) if row[2][1]] == [quantised]

    @pytest.mark.parametrize("number", [b"46116860184273879.04", b"1e300", b"1e400", b"9" * 400, b'"1e300"'])
    @pytest.mark.parametrize("sign", [b"", b"-"])
    def test_n01_a_number_beyond_all_limits_says_so_and_touches_no_other_row(self, route, number, sign):
        number = number.replace(b'"1', b'"%s1' % sign) if number[:1] == b'"' else sign + number
        value = b'{"event_type":"purchase","user_id":"u","event_properties":{"price":%s}}' % number

        assigned = route(event(), value, event())

        assert reasons(assigned) == []
        said = [(row[2][1], row[-1]) for row in rows_of(assigned) if row[0] == 101]
        assert said == [(None, 1), ("price", -BEYOND if sign else BEYOND)]
        (example,) = assigned.examples
        assert (json.loads(example.fact)[1], example.what) == ("price", "unusable")
        assert example.text[:5] == number.decode()[:5]
        assert len(example.text) < 50
        assert assigned.counts["unusable"] == 1

    @pytest.mark.parametrize(
        ("properties", "example"),
        [
            (None, ""),
            ({}, ""),
            ({"price": None}, ""),
            ({"price": True}, "true"),
            ({"price": [1]}, "[1]"),
            ({"price": {"x": 1}}, '{"x":1}'),
            ({"price": "7,25"}, '"7,25"'),
            ({"price": "$7.25"}, '"$7.25"'),
            ({"price": "1 099.00"}, '"1 099.00"'),
            ({"price": "EUR 7"}, '"EUR 7"'),
            ({"price": ""}, '""'),
        ],
    )
    def test_n04_a_property_that_is_missing_or_no_number_is_unusable_and_shown(self, route, properties, example):
        assigned = route(event("purchase", event_properties=properties))

        assert [(row[1], row[2][1], row[-1]) for row in rows_of(assigned)] == [
            (0, None, 1),
            (RowKind.UNUSABLE, "price", 0),
        ]
        assert assigned.counts["unusable"] == 1
        assert [(each.what, each.time, each.text) for each in assigned.examples] == [("unusable", NOW - 1_000, example)]

    @pytest.mark.parametrize("text", ["7.25", " 7.25", "7.250000000000000000", "0.725e1", "+7.25 "])
    def test_n04_a_plain_number_in_quotes_counts(self, route, text):
        assigned = route(event("purchase", event_properties={"price": text}))

        assert [(row[1], row[-1]) for row in rows_of(assigned) if row[2][1]] == [(0, 725)]
        assert assigned.examples == []

    def test_n05_a_number_that_rounding_changes_is_shown_with_its_digits(self, route):
        prices = (0.004, 12.5, 0.00123, 19.999, 1234567.891)  # two decimal places are kept

        assigned = route(
            *(event("purchase", time=NOW - 9 + i, event_properties={"price": price}) for i, price in enumerate(prices))
        )

        assert assigned.counts["rounded"] == 2
        assert [(each.what, each.text) for each in assigned.examples] == [("rounded", "0.00123")]

    def test_a_late_event_is_no_example(self, route):
        assigned = route(event("purchase", time=NOW - HORIZON - 1, event_properties={"price": "x"}))

        assert assigned.examples == []

    def test_a_missing_insert_id_is_the_position(self, route):
        assigned = route(event(insert_id=None), event(insert_id=""), event(insert_id="i"))

        assert kinds(assigned) == [RowKind.OWN_ID, RowKind.OWN_ID, 0]
        assert assigned.id.tolist() == [
            xxhash.xxh64(x).intdigest() for x in (b"events/0/100/0", b"events/0/101/0", b"i")
        ]

    def test_events_of_a_completed_run_count_until_its_last_window_and_two_horizons_are_over(self, route):
        topic = shop().run(BUTTON)
        topic.complete("button")
        over = topic.time + SETTLING + 20_000 + 2 * HORIZON

        assert len(route(event(time=None), at=over, catalog=topic.history).offset) == 1
        after = route(event(time=None), b"[]", at=over + 1, catalog=topic.history)
        assert not len(after.offset)
        assert reasons(after) == [(101, "wrong type")]

    def test_metrics_of_drafts_are_not_read(self, route):
        topic = shop()
        topic.apply(BUTTON)

        assert not len(route(event("purchase"), catalog=topic.history).offset)
