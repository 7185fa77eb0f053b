"""Routing: a record costs itself alone, and makes the same rows whatever the slices."""

from itertools import pairwise

import msgspec
import numpy as np
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.assignment.routing import assign, partition_of
from evaluation.catalog.in_force import SETTLING
from schemas.dead_letter import resent_headers
from schemas.units import RowKind
from tests.evaluation.assignment.routed import (
    ARROW,
    BUTTON,
    HORIZON,
    NDJSON,
    NOW,
    PLAIN,
    START,
    TEAMS,
    TOLERANCE,
    event,
    kinds,
    reasons,
    rows_of,
    shop,
    stream,
    unit,
)

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


class TestSentAgain:
    def test_a_dead_letter_sent_again_is_judged_by_its_first_append_time_and_keeps_its_id(self, route):
        (dead_letter,) = route(event(user_id=5, insert_id=None, time=None)).rejects

        again = route((event(insert_id=None, time=None), resent_headers(dead_letter)), at=NOW + 10 * HORIZON)

        assert kinds(again) == [RowKind.OWN_ID]
        assert again.time.tolist() == [NOW]
        assert again.watermark == NOW + 10 * HORIZON
        assert again.id.tolist() == route(event(insert_id=None)).id.tolist()

    def test_a_dead_letter_that_fails_again_keeps_its_first_place(self, route):
        (first,) = route(event(), event(user_id=5)).rejects

        (again,) = route((first.value, resent_headers(first)), at=NOW + HORIZON).rejects

        assert (again.origin, again.append_time) == (first.origin, first.append_time)
        assert resent_headers(again) == resent_headers(first)

    def test_one_line_of_many_is_sent_again_on_its_own(self, route):
        good = msgspec.json.encode(event(insert_id=None))
        (dead_letter,) = route((good + b"\n{", NDJSON)).rejects

        again = route((good, resent_headers(dead_letter)))

        assert dead_letter.origin == "events/0/100/1"
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

        assert [(each.begin, each.end, each.watermark, each.catalog) for each in assigned] == [
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
        assert [piece.watermark for piece in pieces] == [0, 0, 0, NOW]
        assert rows_of(pieces) == rows_of(whole)

    def test_a_slice_without_records_covers_its_offsets(self, records_of, history):
        (assigned,) = assign(records_of([], begin=5, end=9), history, HORIZON, TOLERANCE)

        assert (assigned.begin, assigned.end, assigned.watermark, assigned.catalog) == (5, 9, 0, 0)
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
