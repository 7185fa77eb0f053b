"""Records that hold many messages, as lines or as Arrow."""

import json
from decimal import Decimal

import msgspec
import numpy as np
import pyarrow as pa
import pytest
import xxhash

from evaluation.assignment import portions
from schemas.numbers import BEYOND
from schemas.units import RowKind
from tests.evaluation.assignment.routed import ARROW, NDJSON, NOW, event, exposure, reasons, rows_of, stream, unit


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
            said = [(row[1] & RowKind.UNUSABLE, row[-1]) for row in rows_of(route((value, ARROW))) if row[2][1]]
            assert said == [(0, 725), (0, 725), (RowKind.UNUSABLE, 0), (0, 1_000), (RowKind.UNUSABLE, 0)][:n]

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
        monkeypatch.setattr(portions, "MOST_ROWS", 2_000)
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
