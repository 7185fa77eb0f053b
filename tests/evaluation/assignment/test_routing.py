"""Routing: from records to rows, rule by rule, and the same whatever the slices."""

import io
import json
from decimal import Decimal
from itertools import pairwise

import msgspec
import numpy as np
import pyarrow as pa
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.assignment import routing
from evaluation.assignment.routing import assign, partition_of
from evaluation.catalog.configs import flags_in_force
from evaluation.catalog.history import History
from evaluation.catalog.in_force import SETTLING
from evaluation.catalog.lifecycle import apply_definition, complete, start
from schemas.assignment import Assignment
from schemas.catalog import Condition, Document, Flag, Goal, Metric, Segment, Step, Variant
from schemas.dead_letter import resent_headers
from schemas.numbers import BEYOND
from schemas.units import ROWS, Kind

START = 1_795_457_000_000  # the catalog is written in the minutes after it
NOW = START + 1_000_000  # and input appended long after
HORIZON, TOLERANCE = 60_000, 5_000
NDJSON = [("content-type", b"application/x-ndjson")]
ARROW = [("content-type", b"application/vnd.apache.arrow.stream")]

PURCHASE = Metric(key="purchase", owner="shop", type="conversion", event="purchase", window="10s")
REVENUE = Metric(key="revenue", owner="shop", type="sum", event="purchase", property="price", window="10s")
VIEWS = Metric(key="views", owner="shop", type="count", event="view", window="20s")
BUTTON = Flag(
    key="button",
    owner="shop",
    variants=(Variant(key="control", users=("tester",)), Variant(key="treatment", payload={"colour": "red"})),
    metrics=(Goal(metric="purchase"), Goal(metric="revenue"), Goal(metric="views")),
)
TEAMS = Flag(
    key="teams",
    owner="shop",
    unit="groups.org",
    variants=(Variant(key="control"), Variant(key="treatment")),
    metrics=(Goal(metric="purchase"),),
)
PLAIN = Flag(key="banner", owner="shop", variants=(Variant(key="on"), Variant(key="dark")), rollout=50)
DRAFT = Flag(key="draft", owner="shop", variants=(Variant(key="control"), Variant(key="treatment", users=("tester",))))


class Topic:
    """The catalog's topic and its reader: a record every ten seconds."""

    def __init__(self):
        self.history = History()
        self.states = {}
        self.versions = {}
        self.time = START

    def _append(self, kind, key, spec):
        version = self.versions.get(key, 0) + 1
        document = Document(
            kind=kind,
            key=key,
            version=version,
            base=version - 1,
            author="ann",
            time=0,
            reason="test",
            spec=msgspec.Raw(msgspec.json.encode(spec)),
        )
        self.time += 10_000
        self.history.append(self.history.newest.offset, self.time, msgspec.json.encode(document))
        assert not self.history.rejected
        self.versions[key] = version

    def metric(self, metric):
        self._append("metric", metric.key, metric)

    def apply(self, flag):
        self.states[flag.key] = apply_definition(self.states.get(flag.key), flag, self.versions.get(flag.key, 0) + 1)
        self._append("flag", flag.key, self.states[flag.key])

    def start(self, key):
        version = self.versions[key] + 1
        self.states[key] = start(self.states[key], version, f"salt-{key}-{version}")
        self._append("flag", key, self.states[key])

    def complete(self, key):
        self.states[key] = complete(self.states[key], self.versions[key] + 1)
        self._append("flag", key, self.states[key])

    def run(self, *flags):
        for flag in flags:
            self.apply(flag)
            self.start(flag.key)
        return self


def shop():
    topic = Topic()
    for metric in (PURCHASE, REVENUE, VIEWS):
        topic.metric(metric)
    return topic


@pytest.fixture(scope="module")
def history():
    """Three flags that run and a draft."""
    topic = shop().run(BUTTON, PLAIN)
    topic.apply(DRAFT)
    return topic.history


@pytest.fixture
def route(records_of, history):
    """Routes messages (dicts, bytes, or (value, headers)) of one topic, in one slice, appended at `at`."""

    def route_(*messages, topic="events", at=NOW, catalog=None):
        rows = []
        for i, message in enumerate(messages):
            value, headers = message if isinstance(message, tuple) else (message, ())
            value = msgspec.json.encode(value) if isinstance(value, dict) else value
            rows.append((100 + i, at, value, headers))
        (assigned,) = assign(records_of(rows, topic=topic), catalog or history, HORIZON, TOLERANCE)
        return assigned

    return route_


def rows_of(assigned):
    """Rows as tuples, with codes spelled out: offset, kind, arm or fact (bare), unit, time, id, value."""
    columns = ("offset", "kind", "code", "unit", "time", "id", "value")
    rows = []
    for each in assigned if isinstance(assigned, list) else [assigned]:
        for offset, kind, code, *rest in zip(*(getattr(each, name).tolist() for name in columns), strict=True):
            names = each.arms if kind & Kind.EXPOSURE else each.facts
            name = (
                tuple(msgspec.to_builtins(names[code])) if kind & Kind.EXPOSURE else tuple(json.loads(names[code])[:3])
            )
            rows.append((offset, kind, name, *rest))
    return rows


def kinds(assigned):
    return assigned.kind.tolist()


def reasons(assigned):
    return [(letter.offset, letter.reason) for letter in assigned.rejects]


def unit(unit_type, name):
    return xxhash.xxh64(f"{unit_type}\0{name}".encode()).intdigest()


def event(name="view", **fields):
    return {"event_type": name, "user_id": "u-1", "time": NOW - 1_000, "insert_id": "i-1"} | fields


def exposure(variant="treatment", **fields):
    said = {"flag_key": "button", "user_id": "u-1", "time": NOW - 1_000, "insert_id": "i-1"} | fields
    return said if variant is None else said | {"variant": variant}


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
        assert (assigned.begin, assigned.end, assigned.clock) == (100, 103, NOW)
        assert not assigned.rejects

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
    def test_an_event_with_only_units_that_no_run_needs_makes_no_row_and_no_letter(self, route, other):
        assigned = route(event(**({"user_id": None} | other)))

        assert not len(assigned.offset)
        assert not assigned.rejects

    def test_a_missing_time_is_the_append_time(self, route):
        assigned = route(event(time=None), {"event_type": "view", "user_id": "u"})

        assert assigned.time.tolist() == [NOW, NOW]
        assert kinds(assigned) == [0, Kind.OWN_ID]

    def test_an_event_is_late_beyond_the_horizon(self, route):
        assigned = route(event(time=NOW - HORIZON), event(time=NOW - HORIZON - 1), event(time=0))

        assert kinds(assigned) == [0, Kind.LATE, Kind.LATE]
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
            (Kind.UNUSABLE, "price", 0),
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

        assert kinds(assigned) == [Kind.OWN_ID, Kind.OWN_ID, 0]
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


class TestExposures:
    @pytest.fixture
    def show(self, route):
        return lambda *messages, **settings: route(*messages, topic="exposures", **settings)

    def test_an_exposure_makes_a_row_with_its_arm(self, show):
        assigned = show(exposure("treatment"), exposure("control", user_id="u-2"), exposure("treatment", user_id="u-3"))

        insert_id = xxhash.xxh64(b"i-1").intdigest()
        assert rows_of(assigned) == [
            (100 + i, 1, ("button", "exp-1", 0, variant), unit("user_id", user), NOW - 1_000, insert_id, 0)
            for i, (variant, user) in enumerate([("treatment", "u-1"), ("control", "u-2"), ("treatment", "u-3")])
        ]
        assert len(assigned.arms) == 2

    @pytest.mark.parametrize(
        ("fields", "reason", "says"),
        [
            ({"flag_key": "nothing"}, "unknown flag", "'nothing'"),
            ({"variant": "blue"}, "unknown variant", "'blue'"),
            ({"variant": "on"}, "unknown variant", "'on'"),  # another flag has it
            ({"experiment_key": "exp-9"}, "unknown run", "'exp-9'"),
            ({"metadata": {"flagVersion": 3}}, "unknown version", "3"),
            ({"metadata": {"flagVersion": 10**25}}, "unknown version", ""),
            ({"metadata": {"flagVersion": 1}, "experiment_key": "exp-1"}, "unknown version", "1"),
            ({"user_id": None}, "no unit", "user_id"),
            ({"user_id": "", "device_id": "d"}, "no unit", "user_id"),
            ({"time": NOW + TOLERANCE + 1}, "future", str(NOW)),
            ({"flag_key": "x" * 1000}, "unknown flag", "1002 characters"),
            ({"flag_key": "{variant}{0}"}, "unknown flag", "'{variant}{0}'"),
            ({"flag_key": 5}, "wrong type", 'flag_key is a number; send it as a text, "5"'),
            ({"user_id": 42}, "wrong type", 'user_id is a number; send it as a text, "42"'),
            ({"time": "now"}, "wrong type", 'time is "now", a text; it must be a whole number'),
            ({"metadata": {"flagVersion": "2"}}, "wrong type", "flagVersion"),
        ],
    )
    def test_an_exposure_that_names_what_is_not_there_is_rejected(self, show, fields, reason, says):
        assigned = show(exposure(), exposure() | fields, exposure())

        assert reasons(assigned) == [(101, reason)]
        assert says in assigned.rejects[0].detail
        assert len(assigned.rejects[0].detail) < 500
        assert assigned.rejects[0].value == msgspec.json.encode(exposure() | fields)
        assert assigned.offset.tolist() == [100, 102]

    def test_off_makes_no_row_and_no_letter(self, show):
        assigned = show(exposure("off"), exposure("off", user_id=None))

        assert not len(assigned.offset)
        assert not assigned.rejects
        assert not assigned.answers

    def test_an_exposure_of_a_draft_is_only_counted(self, show):
        assigned = show(exposure("control", flag_key="draft"), exposure("control", flag_key="draft", user_id=None))

        assert not len(assigned.offset)
        assert not assigned.rejects
        assert assigned.counts["inactive"] == 2

    def test_an_exposure_of_a_completed_run_is_inactive(self, show):
        topic = shop().run(BUTTON)
        topic.complete("button")

        assigned = show(exposure(time=None), at=topic.time + SETTLING, catalog=topic.history)

        assert [row[1:3] for row in rows_of(assigned)] == [
            (Kind.EXPOSURE | Kind.INACTIVE, ("button", "exp-1", 0, "treatment"))
        ]

    def test_a_completion_applies_a_second_after_it(self, show):
        topic = shop().run(BUTTON)
        topic.complete("button")

        assert kinds(show(exposure(time=None), at=topic.time + SETTLING - 1, catalog=topic.history)) == [1]

    def test_an_exposure_from_before_the_start_is_of_the_run_if_it_says_so(self, show):
        topic = shop().run(BUTTON)  # versions 1 and 2
        before = topic.time - 1
        said = [
            {"time": before},
            {"time": before, "variant": "control", "user_id": "tester"},
            {"time": before, "experiment_key": "exp-1"},
            {"time": before, "metadata": {"flagVersion": 2}},
            {"time": topic.time},
        ]

        assigned = show(
            *(exposure(**each) for each in said),
            exposure(None, time=before, user_id="asks"),
            at=topic.time + SETTLING,
            catalog=topic.history,
        )

        inactive = Kind.EXPOSURE | Kind.INACTIVE
        assert kinds(assigned) == [inactive, inactive | Kind.FORCED, *[Kind.EXPOSURE] * 4]
        assert {row[2][:2] for row in rows_of(assigned)} == {("button", "exp-1")}
        assert assigned.counts["inactive"] == 2

    def test_what_stands_in_for_an_exposure_happened_after_the_start(self, route):
        topic = shop().run(msgspec.structs.replace(BUTTON, exposure_event=Step(event="login")))
        times = (topic.time - 1, topic.time)

        assigned = route(
            *(event("login", time=time, user_id=f"u-{time}") for time in times),
            at=topic.time + SETTLING,
            catalog=topic.history,
        )

        assert kinds(assigned) == [Kind.EXPOSURE | Kind.INACTIVE, Kind.EXPOSURE]
        assert assigned.counts["inactive"] == 1

    def test_an_exposure_of_an_included_unit_is_forced_whatever_its_variant(self, show):
        assigned = show(exposure("control", user_id="tester"), exposure("treatment", user_id="tester"), exposure())

        assert kinds(assigned) == [Kind.EXPOSURE | Kind.FORCED, Kind.EXPOSURE | Kind.FORCED, Kind.EXPOSURE]

    def test_lateness_and_own_ids_are_marked(self, show):
        assigned = show(exposure(time=NOW - HORIZON - 1), exposure(insert_id=None))

        assert kinds(assigned) == [Kind.EXPOSURE | Kind.LATE, Kind.EXPOSURE | Kind.OWN_ID]

    def test_a_flag_without_metrics_has_rows_too(self, show):
        assigned = show(exposure("dark", flag_key="banner"))

        assert [row[2] for row in rows_of(assigned)] == [("banner", "exp-1", 0, "dark")]

    def test_an_exposure_belongs_to_the_allocation_of_the_version_that_it_carries(self, show):
        topic = shop().run(BUTTON)  # versions 1 and 2
        topic.apply(msgspec.structs.replace(BUTTON, rollout=50))  # version 3: another allocation
        topic.apply(msgspec.structs.replace(BUTTON, rollout=50, description="the same"))  # version 4: the same
        said = [
            {},
            {"metadata": {"flagVersion": 2}},
            {"metadata": {"flagVersion": 3}},
            {"metadata": {"flagVersion": 4}},
        ]

        assigned = show(*(exposure(**each) for each in said), catalog=topic.history)

        assert [row[2] for row in rows_of(assigned)] == [("button", "exp-1", i, "treatment") for i in (1, 0, 1, 1)]

    def test_an_exposure_belongs_to_the_run_that_it_names_or_its_version_lies_in(self, show):
        topic = shop().run(BUTTON)
        topic.complete("button")  # version 3
        topic.start("button")  # version 4
        said = [
            {},
            {"experiment_key": "exp-1"},
            {"experiment_key": "exp-2"},
            {"metadata": {"flagVersion": 2}},
            {"metadata": {"flagVersion": 4}},
            {"metadata": {"flagVersion": 1}},
            {"experiment_key": "exp-2", "metadata": {"flagVersion": 2}},
            {"experiment_key": "exp-1", "metadata": {"flagVersion": 4}},
        ]

        assigned = show(*(exposure(**each) for each in said), catalog=topic.history)

        runs = [(row[0], row[1], row[2][1]) for row in rows_of(assigned)]
        inactive = Kind.EXPOSURE | Kind.INACTIVE
        assert runs == [
            (100, 1, "exp-2"),
            (101, inactive, "exp-1"),
            (102, 1, "exp-2"),
            (103, inactive, "exp-1"),
            (104, 1, "exp-2"),
        ]
        assert reasons(assigned) == [(106, "unknown version"), (107, "unknown version")]
        assert assigned.counts["inactive"] == 3

    def test_one_that_asks_is_answered_and_enters(self, show, history):
        flags = flags_in_force(history.newest)
        users = [f"u-{i}" for i in range(200)]

        assigned = show(*(exposure(None, user_id=user, device_id="d") for user in users))

        expected = [flags.evaluate({"user_id": user})["button"].key for user in users]
        assert [row[2][3] for row in rows_of(assigned)] == expected
        assert [answer.variant for answer in assigned.answers] == expected
        i = expected.index("treatment")
        assert assigned.answers[i] == Assignment(
            flag_key="button",
            variant="treatment",
            reason="segment",
            experiment_key="exp-1",
            user_id=users[i],
            device_id="d",
            payload={"colour": "red"},
            metadata={"flagVersion": 2, "experimentKey": "exp-1", "segmentName": "All Other Users"},
            time=NOW - 1_000,
            insert_id="i-1",
            origin=f"exposures/0/{100 + i}",
        )

    def test_what_was_answered_comes_back_as_the_same_arm(self, show):
        asked = show(*(exposure(None, user_id=f"u-{i}") for i in range(20)))

        told = show(
            *(
                exposure(a.variant, user_id=a.user_id, experiment_key=a.experiment_key, metadata=a.metadata)
                for a in asked.answers
            )
        )

        assert rows_of(told) == rows_of(asked)

    def test_an_answer_by_an_old_allocation_carries_its_version(self, show):
        topic = shop().run(BUTTON)  # versions 1 and 2
        topic.apply(msgspec.structs.replace(BUTTON, rollout=50))  # version 3: another allocation
        topic.apply(msgspec.structs.replace(BUTTON, rollout=50, description="the same"))  # version 4: the same
        versions = [{"flagVersion": version} for version in (2, 3, 4)]

        asked = show(*(exposure(None, metadata=each) for each in versions), catalog=topic.history)
        told = show(*(exposure(a.variant, metadata=a.metadata) for a in asked.answers), catalog=topic.history)

        assert [answer.metadata["flagVersion"] for answer in asked.answers] == [2, 4, 4]
        assert [row[2:] for row in rows_of(told)] == [row[2:] for row in rows_of(asked)]

    def test_one_that_asks_of_a_run_that_is_over_is_answered_by_what_is_in_force(self, show):
        topic = shop().run(BUTTON)
        topic.complete("button")
        topic.run(msgspec.structs.replace(BUTTON, unit="device_id"))
        flags = flags_in_force(topic.history.newest)
        devices = [{"device_id": f"d-{i}"} for i in range(20)]

        assigned = show(
            *(exposure(None, experiment_key="exp-1", **each) for each in devices),
            exposure(None, experiment_key="exp-1"),
            catalog=topic.history,
        )

        expected = [flags.evaluate({"user_id": "u-1", **each})["button"].key for each in devices]
        assert [answer.variant for answer in assigned.answers] == expected
        assert not len(assigned.offset)
        assert reasons(assigned) == [(120, "no unit")]

    def test_f01_one_that_asks_of_a_flag_that_cannot_be_evaluated_is_off_and_told_why(self, show):
        broken = (Segment(name="s", conditions=(Condition(property="country", op="regex match", values=("(?!A)",)),)),)
        topic = shop().run(msgspec.structs.replace(BUTTON, segments=broken))

        assigned = show(exposure(None, user_id="tester"), exposure("control"), catalog=topic.history)

        (answer,) = assigned.answers
        assert (answer.variant, answer.reason, len(assigned.offset)) == ("off", "inactive", 1)
        assert "'(?!A)' is no regular expression of RE2" in answer.metadata["problem"]

    def test_one_that_asks_and_is_off_forced_or_inactive_is_answered_and_does_not_enter(self, show, history):
        flags = flags_in_force(history.newest)
        off = next(f"u-{i}" for i in range(99) if flags.evaluate({"user_id": f"u-{i}"})["banner"].key == "off")

        assigned = show(
            exposure(None, flag_key="banner", user_id=off),
            exposure(None, user_id="tester"),
            exposure(None, flag_key="draft"),
            exposure(None, flag_key="draft", user_id=None),
        )

        assert [(answer.variant, answer.reason) for answer in assigned.answers] == [
            ("off", "not allocated"),
            ("control", "inclusion"),
            ("off", "inactive"),
        ]
        assert not len(assigned.offset)
        assert reasons(assigned) == [(103, "no unit")]

    def test_f15_whom_a_draft_lists_gets_the_variant_and_is_not_counted(self, show):
        asked = show(exposure(None, flag_key="draft", user_id="tester"))
        met = show(exposure("treatment", flag_key="draft", user_id="tester", metadata={"flagVersion": 1}))

        assert [(each.variant, each.reason) for each in asked.answers] == [("treatment", "inclusion")]
        assert asked.answers[0].experiment_key is None
        assert not len(asked.offset)
        assert not len(met.offset)
        assert (met.counts["inactive"], met.rejects) == (1, [])

    def test_a_group_is_answered_with_its_name(self, show):
        history = shop().run(TEAMS).history

        assigned = show(exposure(None, flag_key="teams", groups={"org": ["acme"]}, user_id=None), catalog=history)

        assert assigned.answers[0].groups == {"org": "acme"}
        assert assigned.unit.tolist() == [unit("groups.org", "acme")]


BAD = {
    "null": (None, "empty"),
    "empty": (b"", "empty"),
    "blank": (b"  ", "not json"),
    "text": (b"hello", "not json"),
    "a number": (b"5", "wrong type"),
    "a string": (b'"view"', "wrong type"),
    "an array": (b"[]", "wrong type"),
    "no type": (b"{}", "wrong type"),
    "half": (b'{"event_type":"view","user_id":"u-1"', "not json"),
    "an open string": (b'{"event_type":"view","user_id":"u-1', "not json"),
    "the other half": (b'"user_id":"u-1"}', "wrong type"),  # it begins as a string
    "two in one": (b'{"event_type":"view","user_id":"a"},{"event_type":"view","user_id":"b"}', "not json"),
    "two lines": (b'{"event_type":"view","user_id":"a"}\n{"event_type":"view","user_id":"b"}', "not json"),
    "two with a string between": (b'{"event_type":"view","user_id":"a"},"x",{"event_type":"view"}', "not json"),
    "a closed array": (b'{"event_type":"view","user_id":"a"}]', "not json"),
    "bad UTF-8": (b'{"event_type":"view","user_id":"\xff\xfe"}', "not json"),
    "a byte order mark": (b'\xef\xbb\xbf{"event_type":"view","user_id":"u"}', "not json"),
    "UTF-16": ('{"event_type":"view"}'.encode("utf-16"), "not json"),
    "surrogate": (b'{"event_type":"view","user_id":"\\ud800"}', "not json"),
    "number as id": (b'{"event_type":"view","user_id":5}', "wrong type"),
    "fraction as time": (b'{"event_type":"view","user_id":"u","time":1.5}', "wrong type"),
    "text as time": (b'{"event_type":"view","user_id":"u","time":"2026-01-01"}', "wrong type"),
    "array as properties": (b'{"event_type":"view","user_id":"u","event_properties":[]}', "wrong type"),
    "long id": (b'{"event_type":"view","user_id":"%s"}' % (b"x" * 1025), "wrong type"),
    "long type": (b'{"event_type":"%s","user_id":"u"}' % (b"x" * 1025), "wrong type"),
    "huge": (b'{"event_type":"view","user_id":"u","x":"%s"}' % (b"x" * 1_000_000), "too large"),
    "deep": (b'{"event_type":"view","user_id":"u","x":%s%s}' % (b"[" * 100, b"]" * 100), "too deep"),
    "very deep": (b"[" * 500_000, "too deep"),
    "deep objects": (b'{"x":' * 100_000, "too deep"),
    "no unit": (b'{"event_type":"view"}', "no unit"),
    "group beyond all numbers": (b'{"event_type":"view","groups":{"org":1e999}}', "no unit"),
    "bad UTF-8 as group": (b'{"event_type":"view","groups":{"org":"\xff"}}', "no unit"),
    "groups beyond all numbers": (b'{"event_type":"view","groups":1e999}', "no unit"),
    "future": (b'{"event_type":"view","user_id":"u","time":9999999999999}', "future"),
}


class TestNeighbours:
    @pytest.mark.parametrize(("value", "reason"), BAD.values(), ids=BAD)
    @pytest.mark.parametrize("place", [0, 1, 2])
    def test_a_bad_record_costs_itself_alone_wherever_it_stands(self, route, value, reason, place):
        messages = [event(user_id="a"), event(user_id="b")]
        messages.insert(place, value)

        assigned = route(*messages)

        assert reasons(assigned) == [(100 + place, reason)]
        assert assigned.rejects[0].value == value
        assert assigned.rejects[0].detail
        assert len(assigned.rejects[0].detail) < 500
        is_marked = (value or b"").startswith(b"\xef\xbb\xbf")
        assert ("it begins with a byte order mark" in assigned.rejects[0].detail) == is_marked
        assert assigned.unit.tolist() == [unit("user_id", "a"), unit("user_id", "b")]

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            (b'{"event_type":"view","user_id":"u","z":[1', b'2],"time":3}'),
            (b'{"event_type":"view","user_id":"u","z":["', b'"],"time":3}'),
            (b'{"event_type":"view","user_id":"u","z":{"a":"', b'":1}}'),
            (b'{"event_type":"view","user_id":"u"', b'"time":3}'),
            (b"[", b"]"),
            (b'{"event_type":"view","user_id":"u\\', b'"}'),
            (b'{"event_type":"view","user_id":"u","time":1', b"2}"),
            (b'{"event_type":"view","user_id":"u","z":nu', b"ll}"),
            (b'"\\', b'"\\'),
        ],
    )
    @pytest.mark.parametrize("place", [0, 1, 2])
    def test_halves_in_neighbouring_records_never_make_one_event(self, route, first, second, place):
        twice = b'{"event_type":"view","user_id":"c"},{"event_type":"view","user_id":"d"}'
        messages = [event(user_id="a"), event(user_id="b")]
        messages[place:place] = [first, second, twice]

        assigned = route(*messages)

        assert [offset for offset, _ in reasons(assigned)] == [100 + place, 101 + place, 102 + place]
        assert assigned.unit.tolist() == [unit("user_id", "a"), unit("user_id", "b")]

    def test_all_kinds_of_bad_records_together_cost_themselves_alone(self, route):
        messages = [each for value, _ in BAD.values() for each in (value, event())]

        assigned = route(*messages)

        assert [reason for _, reason in reasons(assigned)] == [reason for _, reason in BAD.values()]
        assert assigned.offset.tolist() == [101 + 2 * i for i in range(len(BAD))]

    @pytest.mark.parametrize("value", [value for value, _ in BAD.values()], ids=BAD)
    def test_the_same_bad_values_cost_themselves_alone_under_headers(self, route, value):
        trace = [("traceparent", b"00-1-2-03")]

        assigned = route((event(user_id="a"), trace), (value, trace), event(user_id="b"), (event(user_id="c"), trace))

        assert [offset for offset, _ in reasons(assigned)] == [101]
        assert assigned.rejects[0].headers == tuple(trace)
        assert assigned.unit.tolist() == [unit("user_id", name) for name in "abc"]


def stream(**columns):
    """An Arrow IPC stream."""
    table = pa.table(columns)
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


class TestManyInOne:
    def test_lines_are_events_with_an_index(self, route):
        lines = [event(user_id="a", insert_id=None), event(user_id="b"), event(user_id="c", insert_id=None)]
        value = b"\r\n".join(msgspec.json.encode(line) for line in lines) + b"\n\n"

        assigned = route(event(user_id="x"), (value, NDJSON), event(user_id="y"))

        assert [(row[0], row[3]) for row in rows_of(assigned)] == [
            (100, unit("user_id", "x")),
            *((101, unit("user_id", name)) for name in "abc"),
            (102, unit("user_id", "y")),
        ]
        positions = [xxhash.xxh64(f"events/0/101/{i}".encode()).intdigest() for i in (0, 2)]
        assert assigned.id[[1, 3]].tolist() == positions
        assert not assigned.rejects

    def test_a_bad_line_costs_itself_alone(self, route):
        lines = [msgspec.json.encode(event()), b'{"event_type":', b"", b"5", msgspec.json.encode(event(user_id="b"))]

        assigned = route((b"\n".join(lines), NDJSON))

        assert [(each.index, each.reason, each.value) for each in assigned.rejects] == [
            (1, "not json", b'{"event_type":'),
            (2, "wrong type", b"5"),
        ]
        assert len(assigned.offset) == 2

    @pytest.mark.parametrize("value", [None, b"", b"\n\r\n"])
    def test_no_line_is_empty(self, route, value):
        assert reasons(route((value, NDJSON), event())) == [(100, "empty")]

    def test_arrow_rows_are_the_same_as_their_json(self, route):
        events = [
            event("purchase", user_id="a", event_properties={"price": 1.25}),
            event("purchase", user_id="b", event_properties={"price": None}),
            event("view", user_id="c", time=None, insert_id=None),
        ]
        value = stream(
            event_type=pa.array([each["event_type"] for each in events]).dictionary_encode(),
            user_id=pa.array([each["user_id"] for each in events], pa.large_string()),
            time=pa.array([each["time"] for each in events], pa.int64()),
            insert_id=[each["insert_id"] for each in events],
            event_properties=pa.array([each.get("event_properties") for each in events]),
            unknown=[1, 2, 3],
        )
        lines = b"\n".join(msgspec.json.encode(each) for each in events)

        assert rows_of(route((value, ARROW))) == rows_of(route((lines, NDJSON)))

    def test_arrow_types_that_mean_the_same_are_taken(self, route):
        value = stream(
            event_type=["purchase"] * 2,
            user_id=["a", "b"],
            time=pa.array([NOW, None], pa.timestamp("ms")),
            event_properties=pa.array([{"price": 3}, {"price": 4}]),
        )

        assigned = route((value, ARROW))

        assert [row[-1] for row in rows_of(assigned) if row[2][1]] == [300, 400]
        assert assigned.time.tolist() == [NOW] * 4

    def test_a_bad_row_of_arrow_costs_itself_alone_and_leaves_as_json(self, route):
        value = stream(
            event_type=["view", None, "view", "view", "purchase"],
            user_id=["a", "b", "", "x" * 1025, "e"],
            time=pa.array([NOW] * 5),
            event_properties=pa.array([{"price": 1.0}] * 4 + [{"price": 1e30}]),
        )

        assigned = route((value, ARROW), event())

        assert [(each.index, each.reason) for each in assigned.rejects] == [
            (1, "wrong type"),
            (2, "no unit"),
            (3, "wrong type"),
        ]
        assert json.loads(assigned.rejects[0].value) == {
            "user_id": "b",
            "time": NOW,
            "event_properties": {"price": 1.0},
        }
        assert assigned.offset.tolist() == [100, 100, 100, 101]
        assert [row[-1] for row in rows_of(assigned) if row[2][1]] == [BEYOND]
        assert [each.text for each in assigned.examples] == ["1e30"]

    def test_n04_texts_and_decimals_of_arrow_are_numbers_as_those_of_json(self, route):
        texts = pa.array([{"price": text} for text in ("7.25", " 7.25", "$7.25", "1e1", None)])
        decimals = pa.array([{"price": Decimal("7.25")}])

        for properties in (texts, decimals):
            n = len(properties)
            value = stream(
                event_type=["purchase"] * n, user_id=["a"] * n, time=pa.array([NOW] * n), event_properties=properties
            )
            said = [(row[1] & Kind.UNUSABLE, row[-1]) for row in rows_of(route((value, ARROW))) if row[2][1]]
            assert said == [(0, 725), (0, 725), (Kind.UNUSABLE, 0), (0, 1_000), (Kind.UNUSABLE, 0)][:n]

    @pytest.mark.parametrize(
        ("value", "reason"),
        [
            (None, "empty"),
            (b"", "empty"),
            (b"hello", "not arrow"),
            (stream(event_type=["view"], user_id=["a"])[:-40], "not arrow"),
            (stream(event_type=[5], user_id=["a"]), "wrong type"),
            (stream(event_type=["view"], user_id=[5]), "wrong type"),
            (stream(event_type=["view"], user_id=["a"], time=["now"]), "wrong type"),
            (stream(event_type=["view"], user_id=["a"], event_properties=["{}"]), "wrong type"),
        ],
    )
    def test_a_stream_of_no_use_is_rejected_whole(self, route, value, reason):
        assigned = route(event(), (value, ARROW), event())

        assert reasons(assigned) == [(101, reason)]
        assert assigned.offset.tolist() == [100, 102]

    @pytest.mark.parametrize(("topic", "message"), [("events", event("purchase")), ("exposures", exposure(None))])
    def test_a_record_whose_rows_no_message_holds_costs_itself_alone(self, route, monkeypatch, topic, message):
        monkeypatch.setattr(routing, "MOST_ROWS", 2_000)
        line = msgspec.json.encode(message) + b"\n"
        rows = len(route(message, topic=topic).offset)
        most, more = line * (2_000 // rows), line * (2_000 // rows + 1)

        assigned = route(message, (more, NDJSON), (most, NDJSON), message, topic=topic)

        assert reasons(assigned) == [(101, "too large")]
        assert assigned.rejects[0].value == more
        assert f"make {len(more) // len(line) * rows} rows" in assigned.rejects[0].detail
        assert [*zip(*np.unique(assigned.offset, return_counts=True), strict=True)] == [
            (100, rows),
            (102, 2_000),
            (103, rows),
        ]
        assert len(assigned.answers) == (topic == "exposures") * (2_000 + 2)

    def test_exposures_come_as_lines_and_arrow_too(self, route):
        value = stream(flag_key=["button", "button"], variant=["control", None], user_id=["a", "b"])

        assigned = route((value, ARROW), topic="exposures")

        assert len(assigned.offset) == 2
        assert assigned.answers[0].origin == "exposures/0/100/1"


class TestSentAgain:
    def test_a_letter_sent_again_is_judged_by_its_first_append_time_and_keeps_its_id(self, route):
        (letter,) = route(event(user_id=5, insert_id=None, time=None)).rejects

        again = route((event(insert_id=None, time=None), resent_headers(letter)), at=NOW + 10 * HORIZON)

        assert kinds(again) == [Kind.OWN_ID]
        assert again.time.tolist() == [NOW]
        assert again.clock == NOW + 10 * HORIZON
        assert again.id.tolist() == route(event(insert_id=None)).id.tolist()

    def test_a_letter_that_fails_again_keeps_its_first_place(self, route):
        (first,) = route(event(), event(user_id=5)).rejects

        (again,) = route((first.value, resent_headers(first)), at=NOW + HORIZON).rejects

        assert (again.origin, again.append_time) == (first.origin, first.append_time)
        assert resent_headers(again) == resent_headers(first)

    def test_one_line_of_many_is_sent_again_on_its_own(self, route):
        good = msgspec.json.encode(event(insert_id=None))
        (letter,) = route((good + b"\n{", NDJSON)).rejects

        again = route((good, resent_headers(letter)))

        assert letter.origin == "events/0/100/1"
        assert again.id.tolist() == [xxhash.xxh64(b"events/0/100/1").intdigest()]

    @pytest.mark.parametrize(
        "origin", [b"", b"x", b"events/0", b"events/a/1", b"events/0/1/2/3", b"\xff", b"events/0/" + b"9" * 5_000]
    )
    def test_an_origin_that_is_none_is_ignored(self, route, origin):
        headers = [("peekproof-append-time", b"0"), ("peekproof-origin", origin)]

        assert route((event(time=None), headers)).time.tolist() == [NOW]


class TestSlices:
    def test_a_slice_is_split_where_another_catalog_applies(self, records_of):
        topic = shop()
        topic.apply(BUTTON)
        before = topic.time + SETTLING
        topic.start("button")
        after = topic.time + SETTLING
        times = [before, after - 1, after, after + 5]
        rows = [(200 + 2 * i, at, msgspec.json.encode(event(time=None)), ()) for i, at in enumerate(times)]

        assigned = assign(records_of(rows, begin=190, end=300), topic.history, HORIZON, TOLERANCE)

        assert [(each.begin, each.end, each.clock, each.catalog) for each in assigned] == [
            (190, 204, after - 1, topic.history.newest.offset - 1),
            (204, 300, after + 5, topic.history.newest.offset),
        ]
        assert [each.offset.tolist() for each in assigned] == [[], [204, 206]]

    def test_a_stretch_is_cut_between_records_and_its_last_piece_has_the_clock(self, route):
        line = msgspec.json.encode(event()) + b"\n"
        whole = route(*((line * lines, NDJSON) for lines in (2, 2, 7, 1, 1, 2, 7)))

        pieces = list(whole.pieces(4))

        assert [len(piece.offset) for piece in pieces] == [4, 7, 4, 7]
        assert [(piece.begin, piece.end) for piece in pieces] == [(100, 102), (102, 103), (103, 106), (106, 107)]
        assert [piece.clock for piece in pieces] == [0, 0, 0, NOW]
        assert rows_of(pieces) == rows_of(whole)

    def test_a_slice_without_records_covers_its_offsets(self, records_of, history):
        (assigned,) = assign(records_of([], begin=5, end=9), history, HORIZON, TOLERANCE)

        assert (assigned.begin, assigned.end, assigned.clock, assigned.catalog) == (5, 9, 0, 0)
        assert not len(assigned.offset)
        assert [(each.begin, each.end) for each in assigned.pieces(1)] == [(5, 9)]
        assert assign(records_of([], begin=5, end=5), history, HORIZON, TOLERANCE) == []

    @pytest.fixture(scope="class")
    def moving(self):
        """A catalog that changes every ten seconds of the records' time."""
        topic = shop().run(BUTTON, TEAMS, PLAIN)
        topic.apply(msgspec.structs.replace(BUTTON, rollout=50))
        topic.complete("button")
        topic.start("button")
        return topic.history

    MESSAGES = st.one_of(
        st.sampled_from([value for value, _ in BAD.values() if value is None or len(value) < 10_000]).map(
            lambda v: (v, ())
        ),
        st.builds(
            lambda name, user, org, price, ago: (
                msgspec.json.encode(
                    {
                        "event_type": name,
                        "user_id": user,
                        "groups": org,
                        "time": ago and START + ago,
                        "event_properties": {"price": price},
                    }
                ),
                (),
            ),
            st.sampled_from(["purchase", "view", "login", "naïve"]),
            st.sampled_from([None, "", "a", "ü", "tester", 'q"q']),
            st.sampled_from([None, {}, {"org": "acme"}, {"org": ["b", "c"]}]),
            st.sampled_from([None, 1, 2.5, True, "x", 1e300, 0.125]),
            st.integers(0, 200_000),
        ),
        st.builds(
            lambda n, end: (b"\n".join([b'{"event_type":"view","user_id":"n"}'] * n) + end, NDJSON),
            st.integers(0, 3),
            st.sampled_from([b"", b"\n", b"\n{"]),
        ),
        st.sampled_from(
            [
                (stream(event_type=["view", None, "purchase"], user_id=["a", "b", "c"]), ARROW),
                (b"x", ARROW),
                (b'{"event_type":"view","user_id":"h"}', [("trace", b"1")]),
            ]
        ),
    )
    EXPOSURES = st.builds(
        lambda flag, variant, run, version, user: (
            msgspec.json.encode(
                {
                    "flag_key": flag,
                    "variant": variant,
                    "experiment_key": run,
                    "metadata": version,
                    "user_id": user,
                    "groups": {"org": "acme"},
                }
            ),
            (),
        ),
        st.sampled_from(["button", "teams", "banner", "none"]),
        st.sampled_from([None, "control", "treatment", "off", "on", "blue"]),
        st.sampled_from([None, "exp-1", "exp-2", "exp-9"]),
        st.sampled_from([None, {"flagVersion": 2}, {"flagVersion": 4}, {"flagVersion": 77}]),
        st.sampled_from([None, "a", "tester"]),
    )

    @settings(max_examples=120)
    @given(st.data())
    def test_a_record_makes_the_same_rows_in_whatever_slice_it_stands(self, records_of, moving, data):
        topic = data.draw(st.sampled_from(["events", "exposures"]))
        messages = data.draw(st.lists(self.MESSAGES if topic == "events" else self.EXPOSURES, min_size=1, max_size=12))
        times = sorted(data.draw(st.lists(st.integers(0, 150_000), min_size=len(messages), max_size=len(messages))))
        cuts = sorted(data.draw(st.sets(st.integers(1, len(messages)), max_size=4)) | {0, len(messages)})
        rows = [(10 + 3 * i, START + at, *message) for i, (at, message) in enumerate(zip(times, messages, strict=True))]

        whole = assign(records_of(rows, topic=topic, begin=0, end=100), moving, HORIZON, TOLERANCE)
        parts = [
            each
            for low, high in pairwise(cuts)
            for each in assign(
                records_of(
                    rows[low:high],
                    topic=topic,
                    begin=rows[low][0] if low else 0,
                    end=rows[high][0] if high < len(rows) else 100,
                ),
                moving,
                HORIZON,
                TOLERANCE,
            )
        ]

        assert rows_of(whole) == rows_of(parts)
        assert [x for each in whole for x in each.rejects] == [x for each in parts for x in each.rejects]
        assert [x for each in whole for x in each.answers] == [x for each in parts for x in each.answers]
        for assigned in (whole, parts):
            assert [each.begin for each in assigned] == [0, *(each.end for each in assigned[:-1])]
            assert assigned[-1].end == 100

    def test_rows_of_many_slices_equal_those_of_one(self, records_of, history):
        rng = np.random.default_rng(7)
        rows = [
            (
                i,
                NOW,
                msgspec.json.encode(
                    event(
                        str(rng.choice(["purchase", "view", "login"])),
                        user_id=f"u-{rng.integers(500)}",
                        insert_id=f"i-{i}",
                        event_properties={"price": round(float(rng.random()) * 100, 2)},
                    )
                ),
                (),
            )
            for i in range(4_000)
        ]

        whole = rows_of(assign(records_of(rows), history, HORIZON, TOLERANCE))
        parts = [
            row
            for low in range(0, 4_000, 37)
            for row in rows_of(assign(records_of(rows[low : low + 37]), history, HORIZON, TOLERANCE))
        ]

        assert whole == parts
        assert len(whole) > 3_000


class TestPartitions:
    def test_the_partition_of_a_unit_is_fixed_for_ever(self):
        units = np.array([0, 1, 2**32 - 1, 2**32, 2**60, 2**63, 2**64 - 1, unit("user_id", "u-1")], np.uint64)

        assert partition_of(units, 16).tolist() == [0, 0, 0, 0, 1, 8, 15, unit("user_id", "u-1") >> 60]
        assert partition_of(units, 1).tolist() == [0] * 8
        assert partition_of(units, 3).tolist()[:7] == [0, 0, 0, 0, 0, 1, 2]

    @pytest.mark.parametrize("partitions", [1, 2, 7, 16, 1000])
    def test_units_spread_evenly(self, partitions):
        units = np.array([unit("user_id", f"u-{i}") for i in range(50_000)], np.uint64)

        counts = np.bincount(partition_of(units, partitions), minlength=partitions)

        assert len(counts) == partitions
        assert (np.abs(counts - 50_000 / partitions) < 6 * np.sqrt(50_000 / partitions)).all()
