"""Metrics for which files have nothing, and what is said of it."""

import json
from pathlib import Path

import pytest

from tests.pipeline.analyzing import MINUTE, T, analysed, call, history, ndjson, split, told, written

UNFOUND = {
    "renamed.csv": (
        "event_properties.amount",
        "no `buy` has event_properties.price; they have event_properties.amount",
    ),
    "renamed.ndjson": (
        "amount",
        "no `buy` has event_properties.price; they have event_type, time, user_id, and amount, read as nothing; "
        "call it event_properties.price if it is meant",
    ),
    "alone.csv": (
        "amount",
        "they have event_type, time, user_id, and amount, read as nothing; call it event_properties.p",
    ),
}


@pytest.mark.parametrize("name", UNFOUND)
def test_what_is_not_found_is_told_with_what_there_is(tmp_path: Path, catalog: Path, name: str) -> None:
    title, expected = UNFOUND[name]
    rows = [{"event_type": "buy", "time": T + i, "user_id": f"u{i}", title: 7.25} for i in range(4)]
    file = written(tmp_path / name, rows) if name.endswith(".csv") else ndjson(tmp_path / name, rows)
    shown = ndjson(tmp_path / "shown.ndjson", split("button", 2, 2))

    found = told("--catalog", catalog, "--exposures", shown, "--events", file)

    (unusable,) = found["unusable"]
    assert (unusable["reason"], unusable["property"], unusable["rows"]) == ("no property", "event_properties.price", 4)
    assert any(expected in note for note in found["notes"]), found["notes"]


def test_events_whose_values_are_all_unusable_are_not_said_to_lie_elsewhere(tmp_path: Path) -> None:
    metrics = {
        "mean": "type: mean, event: order, property: rev",
        "rev": "type: sum, event: order, property: rev",
    }
    some = [("order", unit, {"rev": "7,25"}) for unit in range(200)]

    found = analysed(tmp_path, metrics, some, some)

    why = 'of its 400 `order` hold no rev that can be used (such as "7,25")'
    assert found["notes"] == [f"events are missing for mean, rev of 'till': 400 {why}"]
    files = ("--exposures", tmp_path / "x.ndjson", "--events", tmp_path / "e.ndjson")
    header = call("--catalog", tmp_path / "one", *files).stdout
    assert "800 unusable values" in header
    shown = [json.loads(line) for line in (tmp_path / "x.ndjson").read_text().splitlines()]
    ndjson(tmp_path / "x.ndjson", [each for each in shown if each["user_id"] != "control-7"])
    notes = told("--catalog", tmp_path / "one", *files)["notes"]
    assert notes == [
        f"events are missing for mean, rev of 'till': 399 {why}; the others are of units that were not exposed before, "
        "or lie outside its window"
    ]


def test_events_of_units_that_have_all_jumped_are_said_to_be_theirs(tmp_path: Path, catalog: Path) -> None:
    shown = [each | {"variant": arm} for each in split("button", 2, 2) for arm in ("control", "treatment")]
    bought = [{"event_type": "buy", "time": T + MINUTE, "user_id": f"u{i}"} for i in range(4)]
    files = ("--exposures", ndjson(tmp_path / "x.ndjson", shown), "--events", ndjson(tmp_path / "e.ndjson", bought))

    notes = told("--catalog", catalog, "--experiment", "button", *files)["notes"]

    assert any("buyers" in note and "not exposed before, or jumped between variants, or" in note for note in notes)


def test_metrics_for_which_nothing_counts_are_named(tmp_path: Path, catalog: Path) -> None:
    exposures, events = history(60)
    renamed = [message | {"event_type": message["event_type"].title()} for message in events]
    files = (
        "--exposures",
        ndjson(tmp_path / "x.ndjson", exposures),
        "--events",
        ndjson(tmp_path / "e.ndjson", renamed),
    )

    said = call("--catalog", catalog, *files).stderr
    assert "of 'menu': there is no event `buy`, only Buy (140), View (139), Other (134)" in said
