"""What is usual of a metric, and who would be met, against SQL over what was sent."""

import time
from dataclasses import replace
from pathlib import Path

import duckdb
import msgspec
import pyarrow as pa
import pytest

from evaluation.catalog.sources import ReadSource
from evaluation.flags.cohorts import Cohorts
from pipeline.questions import matching
from pipeline.questions import unit_records as of_records
from pipeline.questions.baseline import metric_numbers
from pipeline.questions.matching import segment_counts
from pipeline.questions.reading import said
from pipeline.questions.unit_records import CarriedUnit, unit_records
from schemas.catalog import Condition, Cuped, Segment
from schemas.duration import DAY_MS, HOUR_MS
from schemas.topics import EVENTS
from tests.pipeline.questions.world import HORIZON, PARTITIONS, SHOP, World, history_of, live

READ = [ReadSource(SHOP)]
LONG = 600.0  # seconds, in which kernels compile on whatever machine

EXPECTED = """
WITH first AS (SELECT user_id, min(time) AS entry FROM sent GROUP BY ALL),
entered AS (SELECT * FROM first WHERE entry < $until AND entry + 43_200_000 <= $reached - $horizon),
numbers AS (
    SELECT user_id,
        coalesce(sum(event_properties.price) FILTER (event_type = 'buy' AND time < entry + 43_200_000), 0) AS x
    FROM entered JOIN sent USING (user_id) GROUP BY ALL
)
SELECT count(*), avg(x), stddev_samp(x) FROM numbers
"""


def test_a_baseline_is_that_of_units_which_enter_with_their_first_event(world: World) -> None:
    now = time.time_ns() // 1_000_000
    metric = world.history.newest.metrics["spent"]

    found = metric_numbers(world.directory, metric, "user_id", 1, now, HORIZON, HORIZON, 60.0, READ)

    sent = pa.Table.from_pylist(world.sent)
    since = found.since
    database = duckdb.connect()
    database.register("told", sent)
    database.execute("CREATE TABLE sent AS SELECT * FROM told WHERE time >= $since", {"since": since})
    reached = max(each["time"] for each in world.sent)
    units, mean, deviation = database.execute(
        EXPECTED, {"until": found.until, "reached": reached, "horizon": HORIZON}
    ).fetchone()
    assert found.is_settled
    assert found.distribution.zeros + sum(found.distribution.counts) == units > 100
    assert found.mean == pytest.approx(mean, rel=1e-12)
    assert found.deviation == pytest.approx(deviation, rel=1e-9)
    assert found.daily == pytest.approx(found.units * DAY_MS / (found.until - found.since))
    assert found.notes == []

    looking_back = replace(metric, definition=msgspec.structs.replace(metric.definition, cuped=Cuped(lookback="1d")))
    adjusted = metric_numbers(world.directory, looking_back, "user_id", 1, now, HORIZON, HORIZON, 60.0, READ)
    assert adjusted.mean == found.mean
    assert [note.partition(":")[0] for note in adjusted.notes] == ["these are the numbers before adjustment"]
    ratio = metric_numbers(
        world.directory, world.history.newest.metrics["per-view"], "user_id", 1, now, HORIZON, HORIZON, 60.0, READ
    )
    assert ratio.mean is not None
    assert ratio.deviation is not None
    short = metric_numbers(world.directory, metric, "user_id", 1, now, HORIZON, HORIZON, 0.0, READ)
    assert (short.units, short.mean) == (0, None)
    assert "cut off" in short.notes[0]


def test_segments_count_units_by_their_newest_records(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    segments = (
        Segment(name="Pros", conditions=(Condition(property="user_properties.plan", op="is", values=("pro",)),)),
        Segment(name="Austria", conditions=(Condition(property="country", op="is", values=("AT",)),)),
        Segment(name="Everybody"),
    )

    found = segment_counts(world.directory, segments, "user_id", Cohorts(), 0, LONG, READ)

    units = range(200)  # each of which did something
    pros, austria = {u for u in units if u % 5 == 0}, {u for u in units if u % 3 == 0}
    assert [(each.name, each.matching, each.decided) for each in found.segments] == [
        ("Pros", len(pros), len(pros)),
        ("Austria", len(austria), len(austria - pros)),
        ("Everybody", 200, 200 - len(pros | austria)),
    ]
    assert (found.units, found.rest, found.sampled, found.notes) == (200, 0, 1.0, [])
    monkeypatch.setattr(matching, "MOST_BYTES", 5_000)  # of about a hundred messages
    sample = segment_counts(world.directory, segments, "user_id", Cohorts(), 0, LONG, READ)
    assert sample.sampled in {0.5, 0.25, 0.125}
    assert abs(sample.units - 200) < 80
    assert "a sample" in sample.notes[0]


def test_what_was_recorded_of_a_unit_is_found_and_what_is_cut_off_is_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = CarriedUnit({("user_id",): "u7"}, {"user_id": "u7"})
    since = world.run.started + 20 * HOUR_MS

    found = unit_records(world.directory, asked, [world.run], None, PARTITIONS, since, LONG, READ)
    short = unit_records(world.directory, asked, [world.run], None, PARTITIONS, since, 0.0, READ)

    sent = sorted(
        (each["time"], each["event_type"]) for each in world.sent if each["user_id"] == "u7" and each["time"] >= since
    )
    events = [(each.time, each.name) for each in found.records if each.topic != "exposures"]
    assert sorted(events) == sent
    (contribution,) = found.contributions
    assert contribution.variant == "treatment"
    spent = next(each for each in contribution.metrics if each.metric == "spent")
    end = contribution.entry + 12 * HOUR_MS
    own = [each for each in world.sent if each["user_id"] == "u7" and contribution.entry <= each["time"] < end]
    assert spent.numbers == [sum(each["event_properties"]["price"] for each in own if each["event_type"] == "buy")]
    assert found.notes == []
    monkeypatch.setattr(of_records, "MOST_RECORDS", 3)
    newest = unit_records(world.directory, asked, [world.run], None, PARTITIONS, since, LONG, READ)
    assert newest.records == found.records[:3]
    assert newest.notes == [f"of {len(found.records)} records the newest 3 are shown"]
    assert "@shop" in {each.topic for each in found.records}
    assert short.records == []
    assert "cut off" in short.notes[0]
    assert short.notes[-1].endswith("contributions by user_id are those of the beginning")


def test_what_contributions_do_not_hold_yet_is_told(tmp_path: Path) -> None:
    started = 1_764_000_000_000
    world = World(tmp_path, history_of(started))
    live(world, started, hours=1)
    known = started + HOUR_MS
    world.flush(known)
    met = next(each["user_id"] for each in world.sent)
    came = {"event_type": "buy", "user_id": met, "time": known + 5_000, "event_properties": {"price": 3}}
    world.send(EVENTS, [came], [known + 5_000])
    world._archive.advance(EVENTS, 0, known + 2 * HOUR_MS)  # but not what the stages made of it
    asked = CarriedUnit({("user_id",): met}, {"user_id": met})

    found = unit_records(world.directory, asked, [world.run], None, PARTITIONS, started, LONG, READ)

    assert known + 5_000 in {each.time for each in found.records}
    assert found.notes == [f"contributions by user_id are those of {said(known)}: what came since is not in them yet"]
