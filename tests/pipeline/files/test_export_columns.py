"""Exported rows by columns: the messages that each row makes on its own."""

import json
import random
from collections import Counter
from typing import Any

import pyarrow as pa
import pytest

from evaluation.columns.texts import Texts
from pipeline.files.export_columns import translate
from pipeline.files.exports import EXPOSURE_EVENTS, to_message
from schemas.topics import EVENTS, EXPOSURES

T = 1_764_000_000_000
NO_VALUE = object()
TEXTS = (
    NO_VALUE,
    NO_VALUE,
    None,
    "",
    "a",
    "b c",
    'x"y',
    "\\",
    "é",
    "l1\nl2",
    7,
    -7,
    1.10,
    True,
    [],
    {"a": "b"},
    7.0,
    "7.0",
    "1e+05",
    "1.2E+11",
    "NA",
)
TIMES = (
    *(NO_VALUE, None, "", "soon", True, [], {}, 0, -1, T, float(T), 1e12, 1.5, 10**15, 10**17, "2025-11-24"),
    *("2025-11-24 16:00:01", "2025-11-24T16:00:01Z", "2025-11-24 16:00:01.5", "2025-11-24 16:00:01.123456 UTC"),
    *("2025-11-24T16:00:01+02:00", "2025-11-24 16:00:01.123-11:30", "2025-11-24T16:00", "20251124T160001"),
    *("2025-11-24 16:00:01.1234567", "2025-11-24 16:00:01z", "2025-11-24 16:00:61", "2025-02-30 16:00:01"),
    *("1969-12-31 23:59:59.999500", "0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-05:00", "2024-02-29 00:00:00"),
    *("1764000000000", "1764000000000.0", "20251124160001", "20251124", "1764000000", "1.764e12", "1764000000000.5"),
    *(" 2025-11-24 16:00:01", "２０２５-11-24 16:00:01"),
)  # fmt: skip
EVENT_TYPES = (NO_VALUE, None, "buy", "buy", "$exposure", "[Experiment] Exposure", "[Experiment] Exposure", 3, "a\\b")
VARIANTS = (NO_VALUE, None, "", "on", "on", "off", 0, False, [], 'q"', {"key": "on"})
PROPERTIES = (NO_VALUE, None, "none", [], 3, {})


def a_row(chance: random.Random) -> dict[str, Any]:
    """Fields that may say anything, but often what one expects."""
    habit = chance.choice([0.7, 0.97])

    def one(values: tuple[Any, ...], usual: Any) -> Any:
        return usual if chance.random() < habit else chance.choice(values)

    said = {
        name: one(values, usual)
        for of in ("{}", "[Experiment] {}")
        for name, values, usual in (
            (of.format("flag_key" if of == "{}" else "Flag Key"), TEXTS, "button"),
            (of.format("variant" if of == "{}" else "Variant"), VARIANTS, "on"),
            (of.format("experiment_key" if of == "{}" else "Experiment Key"), TEXTS, chance.choice(["exp-1", "exp-2"])),
        )
    }
    row = {
        "event_type": chance.choice(EVENT_TYPES),
        "time": one(TIMES, NO_VALUE),
        "event_time": one(TIMES, f"2025-11-24 16:00:{chance.randrange(60):02}.{chance.randrange(10**6):06}"),
        "insert_id": one(TEXTS, NO_VALUE),
        "$insert_id": one(TEXTS, "i"),
        "user_id": one(TEXTS, "u"),
        "event_properties": one(PROPERTIES, present(said) | {"price": 1.50}),
        "flag_key": one(TEXTS, NO_VALUE),
        "variant": one(VARIANTS, NO_VALUE),
        "experiment_key": one(TEXTS, NO_VALUE),
        "platform": one(TEXTS, "iOS"),
        "version": one(TEXTS, 1.10),
        "user_properties": one(PROPERTIES, {"plan": "pro"}),
        "uuid": "of no use",
    }
    return present(row)


def present(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not NO_VALUE}


def fields(message: str | bytes) -> dict[str, Any]:
    """`null` is the same as no field."""
    return {name: value for name, value in json.loads(message).items() if value is not None}


def lines(seed: int, number: int) -> list[bytes]:
    chance = random.Random(seed)
    rows = [json.dumps(a_row(chance), ensure_ascii=chance.random() < 0.2).encode() for _ in range(number)]
    broken = [
        b"{",
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"time":1,"time":2}',
        b'{"event_type":"a","event_time":"\xff"}',
        b"12",
    ]
    return [*rows, *broken, rows[0] + b"\n"]


@pytest.mark.parametrize("topic", [EVENTS, EXPOSURES])
def test_columns_of_exported_rows_say_what_each_row_says(topic: str) -> None:
    rows = lines(seed=5, number=3_000)
    taken = named = 0

    for begin in range(0, len(rows), 10):
        some = rows[begin : begin + 10]
        found = translate(Texts.of(pa.array(some, pa.large_binary())), topic)

        expected = [to_message(some[row], topic) for row in found.row]
        messages = [message for message in expected if message]
        assert [*map(fields, found.message.to_pylist())] == [fields(each.value) for each in messages]
        assert [EXPOSURES if each else EVENTS for each in found.is_exposure] == [each.topic for each in messages]
        assert found.time.tolist() == [each.time for each in messages]
        assert found.runs == Counter(each.run for each in messages if each.run)
        taken += len(found.row)
        named += found.runs.total()

    assert taken > 800
    assert named > 100


@pytest.mark.parametrize(
    "time", ["2025-11-24 16:00:01", "2025-11-24T16:00:01.25Z", "2025-11-24 18:00:01.5+02:00", T, f"{T}.0"]
)
@pytest.mark.parametrize("event", ["buy", *EXPOSURE_EVENTS])
def test_what_exports_say_as_a_rule_is_taken_by_columns(event: str, time: str | int) -> None:
    properties = {"flag_key": "button", "variant": "on"} | {
        "[Experiment] Flag Key": "button",
        "[Experiment] Variant": "on",
        "[Experiment] Experiment Key": "exp-1",
        "price": 1.5,
    }
    row = {"event_type": event, "event_time": time, "$insert_id": "i", "user_id": "u", "event_properties": properties}

    found = translate(Texts.of([json.dumps(row)]), EVENTS)

    assert found.row.tolist() == [0]
