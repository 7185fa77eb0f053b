"""Runs whose units enter by an event of their own, and runs with people behind their units."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from evaluation.catalog.history import History
from evaluation.catalog.lifecycle import apply_definition, start
from evaluation.exploring.question import ExploreQuestion
from pipeline.exploring.explore import Exploration, explore
from pipeline.storage.archive import Archive
from pipeline.storage.archived import EXPIRED, Expired
from schemas.catalog import Flag, Goal, Metric, Spec, Step, Variant
from schemas.duration import HOUR_MS
from schemas.records import Records
from schemas.source import ForeignSource
from schemas.topics import EVENTS, EXPOSURES

START = 1_795_457_000_000
HORIZON = HOUR_MS
BUYERS = Metric(key="buyers", owner="-", type="conversion", event="buy", window="1h")
VARIANTS = (Variant(key="control"), Variant(key="treatment"))


def answer(
    directory: Path, flag: Flag, told: dict[str, list[dict[str, Any]]], question: ExploreQuestion, *others: Spec
) -> Exploration:
    """Of messages that are appended when they happen."""
    archive = Archive(directory, HOUR_MS)
    for topic, messages in told.items():
        values = [msgspec.json.encode(each) for each in messages]
        length, rows = np.array([*map(len, values)], np.int64), np.arange(len(values))
        times = np.array([each["time"] for each in messages], np.int64)
        start_of = np.cumsum(length) - length
        archive.append(Records(topic, 0, 0, len(values), rows, times, start_of, length, memoryview(b"".join(values))))
        archive.advance(topic, 0, START + 100 * HOUR_MS)
    draft = apply_definition(None, flag, 1)
    history = History()
    for each in (BUYERS, *others):
        history.suppose(each, START - HOUR_MS)
    history.suppose(draft, START - HOUR_MS)
    history.suppose(start(draft, 2, "salt"), START - HOUR_MS)
    return explore(directory, history, flag.key, None, question, HORIZON, HORIZON)


def test_units_enter_by_the_event_that_stands_in_for_exposures(tmp_path: Path) -> None:
    flag = Flag(key="f", owner="-", variants=VARIANTS, exposure_event=Step(event="opened"))
    entered = [
        {"event_type": "opened", "user_id": f"u{i}", "time": START + i, "country": "AT" if i % 4 else "CH"}
        for i in range(100)
    ]
    bought = [{"event_type": "buy", "user_id": f"u{i}", "time": START + 1_000 + i} for i in range(150)]

    found = answer(
        tmp_path, flag, {EVENTS: [*entered, *bought]}, ExploreQuestion(any_event=("buy:count",), by=(("country",),))
    )

    totals = {each.slice: int(each.cell.sum) + int(each.cell.control_sum) for each in found.cells}
    assert totals == {(): 100, ("AT",): 75, ("CH",): 25}
    assert found.units == 100


def test_events_of_the_people_behind_units_count(tmp_path: Path) -> None:
    goals = (Goal(metric=BUYERS.key),)
    flag = Flag(key="f", owner="-", unit="device_id", identity="user_id", variants=VARIANTS, metrics=goals)
    exposed = [
        {
            "flag_key": "f",
            "variant": VARIANTS[i % 2].key,
            "device_id": f"d{i}",
            "time": START + i,
            **({"user_id": f"u{i}"} if i % 5 else {}),
        }
        for i in range(100)
    ]
    bought = [{"event_type": "buy", "user_id": f"u{i}", "time": START + 1_000 + i} for i in range(150)]
    later = [{"event_type": "seen", "device_id": "d0", "time": START + 9 * HOUR_MS}]  # so that time goes on

    found = answer(
        tmp_path, flag, {EXPOSURES: exposed, EVENTS: [*bought, *later]}, ExploreQuestion(any_event=("buy:count@1h",))
    )

    (cell,) = (each.cell for each in found.cells)
    assert cell.reading == "settled"
    assert (cell.n, cell.control_n) == (50, 50)
    assert int(cell.sum) + int(cell.control_sum) == 80  # of whom it was known when they were exposed


def test_what_is_no_longer_archived_of_a_source_is_told(tmp_path: Path) -> None:
    flag = Flag(key="f", owner="-", variants=VARIANTS, exposure_event=Step(event="opened"))
    opened = [{"event_type": "opened", "user_id": f"u{i}", "time": START + i} for i in range(10)]
    orders = ForeignSource(key="orders", topic="shop", makes="event", map={"event_type": "= buy", "user_id": "id"})
    bought = [{"id": f"u{i}", "time": START + i} for i in range(10)]
    (tmp_path / "@shop" / "0").mkdir(parents=True)
    (tmp_path / "@shop" / "0" / EXPIRED).write_bytes(msgspec.json.encode(Expired(0, START + HOUR_MS)))

    found = answer(tmp_path, flag, {EVENTS: opened, "@shop": bought}, ExploreQuestion(any_event=("buy:count",)), orders)

    assert any("of `@shop` what was appended up to" in note for note in found.notes)
