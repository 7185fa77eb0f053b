"""`peekproof analyze`: the same integers as the stream's, from files of any kind, in any order."""

import csv
import gzip
import json
import random
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import pipeline.files.pieces
from evaluation.assignment.routing import assign
from evaluation.metrics.partition import Partition
from evaluation.significance.look import encode_look, look
from pipeline.catalog.documents import read_documents
from pipeline.cli import command
from pipeline.errors import PeekproofError
from pipeline.files.csv_rows import _Ids, _row_by_row
from pipeline.files.formats import pieces
from pipeline.files.pieces import Piece
from pipeline.files.titles import OfMessages
from pipeline.offline.analysis import Analysis
from pipeline.offline.running import running
from pipeline.stages.gathering import Gathering
from schemas.aggregate import Aggregate
from schemas.records import Records
from schemas.topics import EVENTS, EXPOSURES
from tests.pipeline.analyzing import call, told

T = 1_764_000_000_000
HORIZON = 3_600_000
MINUTE, DAY = 60_000, 86_400_000
METRICS = {
    "buyers": "type: conversion, event: buy, window: 2h",
    "spent": "type: sum, event: buy, property: price, cap: 150, window: 2h, cuped: {lookback: 1d}",
    "big": "type: sum, event: buy, property: price, log: true, window: 2h, "
    "where: [{property: event_properties.price, op: greater, values: ['20']}]",
    "views": "type: count, event: view, window: none",
    "price": "type: mean, event: buy, property: price, window: 2h",
    "per-view": "type: ratio, numerator: spent, denominator: views, window: 2h, cuped: {lookback: 6h}",
    "funnel": "type: funnel, steps: [{event: view}, {event: buy}], counting: totals, window: 2h",
    "back": "type: retention, start: {event: view}, event: view, nth: 1, period: 10m, window: 2h",
}
FLAGS = {
    "button": """
variants: [{key: control, users: [user-3, user-4, user-5, user-6]}, {key: treatment}],
breakdowns: [{property: platform, values: [iOS, web]}],
metrics: [{metric: buyers, role: primary}, {metric: spent}, {metric: views}, {metric: back}, {metric: price}]""",
    "menu": """
unit: device_id, rollout: 80, variants: [{key: control}, {key: wide}, {key: narrow}],
metrics: [{metric: spent}, {metric: per-view}, {metric: funnel}, {metric: big}]""",
    "till": """
variants: [{key: control}, {key: fast}], metrics: [{metric: buyers}],
exposure_event: {event: view, where: [{property: platform, op: is not, values: [web]}]}""",
}

PLATFORMS = ("iOS", "web", "Android")
Message = dict[str, Any]


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    directory = tmp_path / "catalog"
    for folder, documents in (("metrics", METRICS), ("experiments", FLAGS)):
        (directory / folder).mkdir(parents=True)
        for key, text in documents.items():
            (directory / folder / f"{key}.yaml").write_text(f"{{key: {key}, owner: shop, {text}}}")
    return directory


def history(units: int = 400) -> tuple[list[Message], list[Message]]:
    """Exposures and events: two unit types, repeats, jumpers, some that ask, some without an insert id."""
    chance = random.Random(20_261_125)
    exposures, events = [], []
    for unit in range(units):
        who = {"user_id": f"user-{unit}", "device_id": f"device-{unit // 2}", "platform": f"{chance.choice(PLATFORMS)}"}
        entry = T + chance.randrange(DAY)
        for flag, variants in (("button", ("control", "treatment")), ("menu", ("control", "wide", "narrow"))):
            variant = variants[(unit // 2) % len(variants)]
            for again in range(chance.choice([0, 1, 1, 2])):
                shown = {"flag_key": flag, **who, "time": entry + again * chance.randrange(MINUTE)}
                if chance.random() < 0.7:
                    shown["variant"] = chance.choice(variants) if chance.random() < 0.02 else variant
                if chance.random() < 0.9:
                    shown["insert_id"] = f"shown-{flag}-{unit}-{again}"
                exposures.append(shown)
        for number in range(chance.randrange(12)):
            event = {"event_type": chance.choice(["buy", "view", "other"]), **who}
            event["time"] = entry + chance.choice([-DAY, -HORIZON, 0, 0, 0]) + chance.randrange(-MINUTE, 30 * MINUTE)
            if chance.random() < 0.9:
                event["insert_id"] = f"event-{unit}-{number}"
            if chance.random() < 0.9:
                event["event_properties"] = {"price": round(chance.uniform(-5, 90), chance.choice([0, 1, 2, 3]))}
            events += [event] * (2 if "insert_id" in event and chance.random() < 0.1 else 1)
    return exposures, events


def ndjson(path: Path, messages: Iterable[Message]) -> Path:
    path.write_text("".join(f"{json.dumps(message)}\n" for message in messages))
    return path


Integers = Counter[tuple[Any, ...]]


class Stream(NamedTuple):
    """What a stream came to: all integers, and the bytes of the look at each experiment."""

    integers: Integers
    looks: list[bytes]


def integers(aggregates: Iterable[Aggregate]) -> Integers:
    """Every number of all partitions together, by its place."""
    added: Integers = Counter()
    for run in aggregates:
        added[run.flag, "clock"] = run.clock
        for name in ("exposures", "late", "inactive", "forced", "jumpers", "reassigned"):
            added[run.flag, name] += getattr(run, name)
        for arm in run.arms:
            added[run.flag, arm.variant, "units"] += arm.units
        for metric in run.metrics:
            for name in ("events", "duplicates", "late", "unusable", "withheld", "looked_back"):
                added[run.flag, metric.metric, name] += getattr(metric, name)
        for sums in run.sums:
            place = run.flag, sums.metric, sums.reading, sums.variant, sums.segment
            numbers = [sums.n, sums.nonzero, *sums.first, *sums.second]
            for index, number in enumerate(numbers):
                added[*place, index] += int(number)
    return Counter({place: number for place, number in added.items() if number})


def streamed(catalog: Path, topics: dict[str, list[Message]], partitions: int, seed: int) -> Stream:
    """What the stages make of the messages: appended within the horizon, in slices and messages of any size."""
    chance = random.Random(seed)
    documents = running(read_documents(catalog))
    gathering = Gathering(partitions, HORIZON, len(topics))
    stores = [Partition(number, HORIZON) for number in range(partitions)]

    def fold() -> None:
        for store, message in zip(stores, gathering.cut()[1], strict=True):
            store.fold(store.offset, message, documents.at_offset)

    slices = []
    for topic, messages in topics.items():
        gathering.begin((topic, 0), 0)
        appended = sorted(
            ((message["time"] + chance.randrange(HORIZON), message) for message in messages), key=lambda each: each[0]
        )
        begin = 0
        while begin < len(appended):
            some = appended[begin : begin + chance.choice([1, 10, 300])]
            values = [json.dumps(message).encode() for _, message in some]
            length = np.array([len(value) for value in values], np.int64)
            records = Records(
                topic=topic,
                partition=0,
                begin=begin,
                end=begin + len(some),
                offset=np.arange(begin, begin + len(some)),
                append_time=np.array([time for time, _ in some], np.int64),
                start=np.cumsum(length) - length,
                length=length,
                data=memoryview(b"".join(values)),
            )
            slices.append((some[0][0], records))
            begin += len(some)
    for _, records in sorted(slices, key=lambda each: each[0]):
        for assigned in assign(records, documents, HORIZON, HORIZON):
            gathering.add((records.topic, 0), assigned)
        if chance.random() < 0.3:
            fold()
    last = max(message["time"] for messages in topics.values() for message in messages)
    for topic in topics:  # to where the clock of files ends, which have no horizon
        gathering.reach((topic, 0), last + HORIZON, documents.newest.offset)
    fold()
    aggregates = [aggregate for store in stores for aggregate in store.aggregates()]
    found = integers(aggregates)
    for flag in FLAGS:
        found[flag, "clock"] -= HORIZON
    looks = [
        look(flag.runs[-1], [each for each in aggregates if each.flag == key], None)
        for key, flag in documents.newest.flags.items()
    ]
    # Where the partitions' logs ended is all that may differ.
    return Stream(found, [encode_look(msgspec.structs.replace(each, offsets={})) for each in looks])


@pytest.mark.parametrize("partitions", [1, 4, 16])
def test_files_give_the_same_integers_as_the_stream(tmp_path: Path, catalog: Path, partitions: int) -> None:
    exposures, events = history()
    files = [ndjson(tmp_path / "exposures.ndjson", exposures)], [ndjson(tmp_path / "events.ndjson", events)]
    analysis = Analysis(read_documents(catalog), *files)

    shares = list(analysis)

    found = integers(analysis.aggregates())
    assert found == streamed(catalog, {EXPOSURES: exposures, EVENTS: events}, partitions, seed=partitions).integers
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert not analysis.left_out.rows
    for place in (
        ("button", "jumpers"),
        ("button", "forced"),
        ("till", "fast", "units"),
        ("button", "spent", "duplicates"),
        ("button", "back", "live", "treatment", "all", 1),
        ("button", "spent", "settled", "control", "platform=iOS", 5),
        ("menu", "per-view", "settled", "wide", "all", 12),
        ("menu", "funnel", "live", "narrow", "all", 3),
    ):
        assert found[place] > 0, place


def test_looks_are_the_same_to_the_last_byte_on_any_number_of_partitions(catalog: Path) -> None:
    exposures, events = history(150)

    one, four, sixteen = (
        streamed(catalog, {EXPOSURES: exposures, EVENTS: events}, partitions, seed=10 + partitions).looks
        for partitions in (1, 4, 16)
    )

    assert one == four == sixteen
    assert [b'"reading":"settled"' in each for each in one] == [True] * len(FLAGS)


def analysed(
    tmp_path: Path, metrics: dict[str, str], *arms: Iterable[tuple[str, int, dict[str, Any]]], units: int = 500
) -> Any:
    """What `analyze` tells of one experiment of two arms by metrics of which the last is primary.

    Of each arm the events: type, unit and properties.
    """
    for folder in ("metrics", "experiments"):
        (tmp_path / "one" / folder).mkdir(parents=True)
    for key, text in metrics.items():
        (tmp_path / "one" / "metrics" / f"{key}.yaml").write_text(f"{{key: {key}, owner: shop, window: none, {text}}}")
    *others, primary = metrics
    goals = ", ".join([*(f"{{metric: {key}}}" for key in others), f"{{metric: {primary}, role: primary}}"])
    (tmp_path / "one" / "experiments" / "till.yaml").write_text(
        f"{{key: till, owner: shop, variants: [{{key: control}}, {{key: treatment}}], metrics: [{goals}], "
        "analysis: {method: t-test, correction: none}}"
    )
    who = [(f"{arm}-{unit}", arm) for arm in ("control", "treatment") for unit in range(units)]
    shown = [{"flag_key": "till", "variant": arm, "user_id": name, "time": T + i} for i, (name, arm) in enumerate(who)]
    events = [
        {"event_type": event, "user_id": f"{arm}-{unit}", "time": T + MINUTE + i, "event_properties": properties}
        for arm, its in zip(("control", "treatment"), arms, strict=True)
        for i, (event, unit, properties) in enumerate(its)
    ]
    files = ("--exposures", ndjson(tmp_path / "x.ndjson", shown), "--events", ndjson(tmp_path / "e.ndjson", events))
    document = told("--catalog", tmp_path / "one", *files)
    return document | {"cells": {cell["metric"]: cell for cell in document["experiments"][0]["cells"]}}


def test_n01_a_value_that_is_large_touches_no_other_metric_and_counts(tmp_path: Path) -> None:
    metrics = {"buyers": "type: conversion, event: order", "bytes": "type: sum, event: order, property: bytes"}
    few = [("order", unit, {"bytes": 1_000}) for unit in range(150)]
    many = [("order", unit, {"bytes": 5e11 if unit < 30 else 1_000}) for unit in range(150)]

    found = analysed(tmp_path, metrics, few, many)

    buyers, size = found["cells"]["buyers"], found["cells"]["bytes"]
    assert (buyers["nonzero"], buyers["control_nonzero"], buyers["status"]) == (150, 150, "ok")
    assert (int(size["sum"]), size["scale"], size["status"]) == ((30 * 5 * 10**11 + 120_000) * 10**6, 6, "ok")
    assert int(size["sum_squares"]) == (30 * (5 * 10**11) ** 2 + 120 * 10**6) * 10**12
    assert found["rejected"] == []


def test_n01_a_value_beyond_all_limits_is_unusable_for_its_metric_unless_it_is_capped(tmp_path: Path) -> None:
    metrics = {
        "buyers": "type: conversion, event: order",
        "capped": "type: sum, event: order, property: bytes, cap: 2000",
        "bytes": "type: sum, event: order, property: bytes",
    }
    few = [("order", unit, {"bytes": 1_000}) for unit in range(150)]
    many = [("order", unit, {"bytes": 5e15 if unit < 4 else 1_000}) for unit in range(150)]

    found = analysed(tmp_path, metrics, few, many)

    buyers, capped, size = (found["cells"][key] for key in metrics)
    assert (buyers["nonzero"], buyers["status"], capped["status"]) == (150, "ok", "ok")
    assert capped["mean"] == (4 * 2_000 + 146 * 1_000) / 500
    assert (size["status"], size["p_value"], size["example"]) == ("unusable", None, "5000000000000000.0")
    assert found["experiments"][0]["verdict"]["decision"] == "needs attention"


def test_n04_only_a_plain_number_in_quotes_counts_and_the_others_are_told(tmp_path: Path) -> None:
    metrics = {"buyers": "type: conversion, event: buy", "spent": "type: sum, event: buy, property: price"}
    plain = [("buy", unit, {"price": "7.25"}) for unit in range(200)]
    others = ["7.25", " 7.25", "7,25", "$7.25", "1 099.00", "EUR 7"]
    mixed = [("buy", unit, {"price": others[unit % 6]}) for unit in range(200)]

    found = analysed(tmp_path, metrics, plain, mixed)

    spent, buyers = found["cells"]["spent"], found["cells"]["buyers"]
    assert (spent["control_mean"], spent["mean"]) == (7.25 * 200 / 500, 7.25 * 68 / 500)
    assert (spent["status"], spent["judgement"], spent["unusable_share"]) == ("unusable", "open", 132 / 200)
    assert spent["example"] in [json.dumps(text) for text in others[2:]]
    assert (buyers["status"], buyers["nonzero"]) == ("ok", 200)
    assert "spent says nothing: 66.0% of treatment's events" in found["experiments"][0]["verdict"]["reason"]


def test_a_ratio_that_loses_its_numerator_says_nothing_however_many_events_its_denominator_has(tmp_path: Path) -> None:
    metrics = {
        "revenue": "type: sum, event: order, property: price",
        "views": "type: count, event: view",
        "per_view": "type: ratio, numerator: revenue, denominator: views",
    }
    views = [("view", unit, {}) for unit in range(500) for _ in range(12)]
    few = [("order", unit, {"price": 12.5}) for unit in range(40)]
    many = [("order", unit, {"price": "$12.50"}) for unit in range(40)]

    found = analysed(tmp_path, metrics, few + views, many + views)

    (look,) = found["experiments"]
    ratio = found["cells"]["per_view"]
    assert (ratio["status"], ratio["p_value"], ratio["unusable_share"], ratio["example"]) == (
        "unusable",
        None,
        1.0,
        '"$12.50"',
    )
    assert look["verdict"]["decision"] == "needs attention"
    assert look["verdict"]["reason"] == (
        "per_view says nothing: 100.0% of treatment's events hold no number that can be used as price, such as "
        "\"$12.50\", of control's 0.0%; mend what sends them, or leave them out by the metric's `where`."
    )
    (loss,) = (loss for loss in look["health"]["losses"] if loss["metric"] == "per_view")
    assert (loss["property"], loss["events"], loss["unusable"]) == ("price", 80, 40)
    assert loss["arms"] == [
        {"variant": "control", "events": 40, "unusable": 0},
        {"variant": "treatment", "events": 40, "unusable": 40},
    ]


def test_a_small_arm_that_loses_a_fifth_of_its_events_gives_no_verdict(tmp_path: Path) -> None:
    """Of all events it is less than a hundredth."""
    metrics = {"revenue": "type: sum, event: order, property: price"}
    few = [("order", unit % 500, {"price": 10 + unit % 7}) for unit in range(20_000)]
    many = [("order", unit % 500, {"price": "$9" if unit % 16 < 3 else 10}) for unit in range(1_000)]

    found = analysed(tmp_path, metrics, few, many)

    (look,) = found["experiments"]
    assert look["health"]["unusable_events"] / 21_000 < 0.01
    assert (found["cells"]["revenue"]["status"], look["verdict"]["decision"]) == ("unusable", "needs attention")
    assert "18.9% of treatment's events hold no number" in look["verdict"]["reason"]


@pytest.mark.parametrize("price", [576460752305, 576460752305.25, -4611686018426.125, 4398046511.103999])
def test_large_numbers_keep_all_their_digits(tmp_path: Path, price: float) -> None:
    metrics = {"revenue": "type: sum, event: order, property: price"}
    orders = [("order", unit, {"price": price}) for unit in range(2)]

    cell = analysed(tmp_path, metrics, orders, orders)["cells"]["revenue"]

    assert int(cell["sum"]) == 2 * Decimal(repr(price)).scaleb(6).to_integral_value()


def test_n05_small_values_count_without_a_scale_and_what_is_rounded_is_told(tmp_path: Path) -> None:
    metrics = {
        "tiny": "type: sum, event: buy, property: price",
        "seconds": "type: mean, event: load, property: s",
        "cents": "type: sum, event: pay, property: price, scale: 2",
    }
    some = [("buy", unit, {"price": 0.004}) for unit in range(200) for _ in range(3)]
    some += [("load", unit, {"s": 0.0004 + unit / 1e6}) for unit in range(200)]
    some += [("pay", unit, {"price": 0.004}) for unit in range(200)]

    found = analysed(tmp_path, metrics, some, [("buy", 0, {"price": 0.0004}), *some[1:]])

    tiny, seconds, cents = (found["cells"][key] for key in metrics)
    assert (tiny["control_mean"], tiny["mean"]) == (0.012 * 200 / 500, pytest.approx((0.012 * 200 - 0.0036) / 500))
    assert seconds["mean"] == pytest.approx((200 * 0.0004 + 199 * 200 / 2 / 1e6) / 500)
    assert (tiny["status"], seconds["status"], cents["sum"]) == ("ok", "ok", 0)
    (loss,) = found["experiments"][0]["health"]["losses"]
    assert (loss["metric"], loss["scale"], loss["rounded"], loss["example"]) == ("cents", 2, "0.004", None)


def test_n15_refunds_are_capped_too_and_the_windows_of_a_ratio_s_parts_are_named(tmp_path: Path) -> None:
    metrics = {
        "spent": "type: sum, event: buy, property: price, cap: 100, lower_cap: -100",
        "buys": "type: count, event: buy",
        "each": "type: ratio, numerator: spent, denominator: buys",
    }
    some = [("buy", unit, {"price": 10 + unit % 3}) for unit in range(499)]

    found = analysed(tmp_path, metrics, some, [*some, ("buy", 499, {"price": -1e6})])

    spent = found["cells"]["spent"]
    assert spent["mean"] == pytest.approx(spent["control_mean"] - 100 / 500)
    assert found["notes"] == []
    ratio = tmp_path / "one" / "metrics" / "each.yaml"
    ratio.write_text(ratio.read_text().replace("window: none", "window: 7d"))
    result = CliRunner().invoke(command, ["validate", str(tmp_path / "one")], catch_exceptions=False)
    assert "'each' counts within its own window, 7d: that of its numerator 'spent', none, is not read" in result.stderr
    assert result.exit_code == 0


def test_a_ratio_is_told_with_both_sums(tmp_path: Path, catalog: Path) -> None:
    users = [{"device_id": f"d{i}", "time": T + i} for i in range(4)]
    shown = [who | {"flag_key": "menu", "variant": ("control", "wide")[i % 2]} for i, who in enumerate(users)]
    events = [
        who | {"event_type": event, "time": T + MINUTE + i, "event_properties": {"price": 2.5}}
        for who in users
        for i, event in enumerate(["buy", "view", "view"])
    ]
    files = ("--exposures", ndjson(tmp_path / "x.ndjson", shown), "--events", ndjson(tmp_path / "e.ndjson", events))

    (cell,) = [
        cell
        for look in told("--catalog", catalog, "--experiment", "menu", *files)["experiments"]
        for cell in look["cells"]
        if (cell["metric"], cell["variant"], cell["reading"]) == ("per-view", "wide", "live")
    ]
    table = call("--catalog", catalog, "--experiment", "menu", *files).stdout.splitlines()

    assert (cell["sum"], cell["scale"], cell["mean"]) == (5_000_000, 6, 1.25)
    assert (cell["denominator_sum"], cell["control_denominator_sum"], cell["denominator_scale"]) == (4, 4, 0)
    begin = ["per-view", "live", "all", "sequential", "gated", "wide"]
    (row,) = [line.split() for line in table if line.split()[:6] == begin]
    assert row[6:11] == ["2", "5", "12.5", "4", "1.25"]


def test_how_long_it_may_still_take_is_by_the_pace_since_the_first_entry(tmp_path: Path, catalog: Path) -> None:
    users = [{"user_id": f"u{i}", "time": T + i * 2 * DAY // 4000} for i in range(4000)]
    shown = [
        who | {"flag_key": "button", "variant": ("control", "treatment")[i % 2], "user_id": f"u{i}"}
        for i, who in enumerate(users)
    ]
    buys = [who | {"event_type": "buy"} for i, who in enumerate(users) if i % 20 < 8 or i % 80 == 9]
    files = ("--exposures", ndjson(tmp_path / "x.ndjson", shown), "--events", ndjson(tmp_path / "e.ndjson", buys))

    (found,) = told("--catalog", catalog, "--experiment", "button", *files)["experiments"]

    assert found["verdict"]["decision"] == "keep running"
    assert 1 < found["verdict"]["days_left"] < 20
    assert "days more" in found["verdict"]["reason"]


def as_csv(path: Path, messages: list[Message], dotted: bool) -> Path:
    with path.open("w", newline="") as file:
        price = "event_properties.price" if dotted else "event_properties"
        writer = csv.DictWriter(file, ["event_type", "time", "USER_ID", "device_id", "platform", "insert_id", price])
        writer.writeheader()
        for message in messages:
            properties = message.get("event_properties")
            row = {name: value for name, value in message.items() if name not in {"user_id", "event_properties"}}
            if properties:
                row[price] = properties["price"] if dotted else json.dumps(properties, indent=1)
            writer.writerow(row | {"USER_ID": message["user_id"]})
    return path


def as_parquet(path: Path, messages: list[Message], query: str) -> Path:
    source = ndjson(path.with_suffix(".source.ndjson"), messages)
    with duckdb.connect() as database:
        database.execute(f"SET VARIABLE source = '{source}'")
        database.execute(f"COPY ({query}) TO '{path}'")
    return path


SOURCE = "read_json(getvariable('source'), convert_strings_to_integers = false)"
JSON_TEXT = f"SELECT * REPLACE (to_json(event_properties)::VARCHAR AS event_properties) FROM {SOURCE}"
TYPED = f"SELECT * REPLACE (epoch_ms(time::BIGINT) AS time) FROM {SOURCE}"


def exported(path: Path, exposures: list[Message], events: list[Message]) -> Path:
    """As Amplitude exports them: exposures among the events, other names, times as texts."""
    rows = []
    for message in [*events, *exposures]:
        row = {name: value for name, value in message.items() if name not in {"time", "insert_id"}}
        row["event_time"] = datetime.fromtimestamp(message["time"] / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
        row["$insert_id"] = message.get("insert_id")
        if "flag_key" in row:
            variant, flag = row.pop("variant", None), row.pop("flag_key")
            properties = {
                "[Experiment] Flag Key": flag,
                "[Experiment] Variant": variant,
                "metadata": {"flagVersion": 9},
            }
            row |= {"event_type": "[Experiment] Exposure", "event_properties": properties}
        rows.append(row)
    with gzip.open(path, "wt") as file:
        file.writelines(f"{json.dumps(row)}\n" for row in rows)
    return path


def test_every_kind_of_file_says_the_same(tmp_path: Path, catalog: Path) -> None:
    exposures, events = history(120)
    exposures = [message for message in exposures if "variant" in message]  # an export holds no question
    named = [
        message | {"experiment_key": "exp-4", "metadata": {"flagVersion": 17}, "time": float(message["time"])}
        for message in exposures
    ]
    shown = ndjson(tmp_path / "shown.jsonl", exposures)
    plain = ndjson(tmp_path / "plain.ndjson", events)
    expected = told("--catalog", catalog, "--exposures", shown, "--events", plain)["experiments"]
    others = [
        ("--exposures", shown, "--events", as_csv(tmp_path / "dotted.csv", events, dotted=True)),
        ("--exposures", shown, "--events", as_csv(tmp_path / "json.csv", events, dotted=False)),
        ("--exposures", shown, "--events", as_parquet(tmp_path / "json.parquet", events, JSON_TEXT)),
        ("--exposures", shown, "--events", as_parquet(tmp_path / "typed.parquet", events, TYPED)),
        ("--exposures", ndjson(tmp_path / "named.json", named), "--events", plain),
        ("--events", exported(tmp_path / "export.json.gz", exposures, events)),
    ]
    for files in others:
        found = told("--catalog", catalog, *files)
        assert found["rejected"] == []
        assert found["experiments"] == expected, files


def as_frame(messages: list[Message]) -> list[Message]:
    """As a data frame has them: whole numbers with holes are floats."""
    return [
        {
            "event_type": message["event_type"],
            "time": message["time"],
            "user_id": float(message["user_id"].removeprefix("user-")),
            "device_id": message["device_id"],
            "platform": message["platform"],
            "insert_id": message.get("insert_id"),
            "event_properties.price": message.get("event_properties", {}).get("price"),
        }
        for message in messages
    ]


def written(
    path: Path, rows: list[Message], titles: Callable[[str], str] = str, missing: str = "", *, numbered: bool = False
) -> Path:
    """A CSV file, with what stands for no value, perhaps with a nameless column of row numbers."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_MINIMAL)
        writer.writerow([""] * numbered + [*map(titles, rows[0])])
        for number, row in enumerate(rows):
            writer.writerow([number] * numbered + [missing if cell is None else cell for cell in row.values()])
    return path


def in_r(number: int) -> str:
    """As R writes a number: the shorter of two ways."""
    short = f"{number:.15g}" if number % 10**5 else f"{number:.14e}".rstrip("0")
    mantissa, _, exponent = f"{number:.14e}".partition("e")
    short = f"{mantissa.rstrip('0').rstrip('.')}e{exponent}"
    return min(str(number), short, key=len)


FLOATS = {
    f"{name}.csv" for name in ("pandas", "capitals", "alone", "shouted", "snowflake", "bigquery", "duckdb", "sheet")
}
BUYERS = ("buyers", "live", "all")


@pytest.mark.parametrize("kind", ["ndjson", "csv", "numbers.ndjson", "parquet"])
def test_an_id_that_is_a_text_is_the_unit_that_it_is_on_the_stream(tmp_path: Path, catalog: Path, kind: str) -> None:
    ids = {
        "1": "control",
        "1.0": "treatment",
        "7": "control",
        "7.00": "control",
        "1e+05": "control",
        "100000": "control",
    }
    shown = [{"flag_key": "button", "variant": arm, "user_id": name, "time": T} for name, arm in ids.items()]
    path = tmp_path / f"shown.{kind}"
    if kind == "csv":
        written(path, shown)
    elif kind == "parquet":
        as_parquet(path, shown, f"SELECT * FROM {SOURCE}")
    else:
        ndjson(path, shown)
    if kind.startswith("numbers"):  # JSON's own
        path.write_text(path.read_text().replace('"1.0"', "2.0").replace('"7.00"', "7.0").replace('"1e+05"', "1e+05"))

    found = told("--catalog", catalog, "--experiment", "button", "--exposures", path)

    health = found["experiments"][0]["health"]
    arms = [3, 1] if kind.startswith("numbers") else [5, 1]
    assert ([arm["units"] for arm in health["arms"]], health["jumpers"]) == (arms, 0)
    assert (found["notes"], found["rejected"]) == ([], [])


@pytest.mark.parametrize("kind", ["csv", "numbers.parquet", "lists.parquet"])
def test_groups_are_texts_whatever_their_column_has(tmp_path: Path, catalog: Path, kind: str) -> None:
    flag = catalog / "experiments" / "button.yaml"
    flag.write_text(flag.read_text().replace("key: button,", "key: button, unit: groups.org,"))
    ids: list[Any] = ["1", "1.0", "7", "7.00", "08"] if kind == "csv" else [1, 2, 3, 4, 5]
    columns = {"flag_key": ["button"] * 5, "variant": ["control", "treatment", *["control"] * 3], "time": [T] * 5}
    path = tmp_path / f"shown.{kind}"
    if kind == "csv":
        cells = zip(*columns.values(), ids, strict=True)
        written(path, [dict(zip([*columns, "groups.org"], row, strict=True)) for row in cells])
    else:
        pq.write_table(pa.table(columns | {"groups.org": ids if "numbers" in kind else [[f"{i}"] for i in ids]}), path)

    found = told("--catalog", catalog, "--experiment", "button", "--exposures", path)

    health = found["experiments"][0]["health"]
    assert ([arm["units"] for arm in health["arms"]], health["jumpers"], found["rejected"]) == ([4, 1], 0, [])


@pytest.mark.parametrize(("like", "example"), [("{}.0".format, "99990.0"), (in_r, r"1e\+05")])
def test_a_column_of_a_csv_file_whose_ids_all_read_like_floats_is_told(
    tmp_path: Path, catalog: Path, monkeypatch: pytest.MonkeyPatch, like: Callable[[int], str], example: str
) -> None:
    ids = range(99_990, 100_030)
    shown = [{"flag_key": "button", "variant": "control", "user_id": f"{i}", "time": T} for i in ids]
    bought = [{"event_type": "buy", "user_id": like(i), "time": T + MINUTE, "q": '"' * (i % 7)} for i in ids]
    files = ("--exposures", written(tmp_path / "x.csv", shown), "--events", written(tmp_path / "e.csv", bought))

    found = told("--catalog", catalog, "--experiment", "button", *files)

    (note,) = [note for note in found["notes"] if "reads like" in note]
    assert re.search(rf"e.csv': every `user_id` reads like {example}, as", note)
    (buyers,) = [c for c in found["experiments"][0]["cells"] if (c["metric"], c["reading"], c["segment"]) == BUYERS]
    assert buyers["control_sum"] == 40
    monkeypatch.setattr(pipeline.files.pieces, "PIECE", 200)
    bought[-1]["user_id"] = "ann"
    written(tmp_path / "e.csv", bought)
    with pytest.raises(PeekproofError, match=f"`user_id` is a number .* first rows, {example}, and"):
        call("--catalog", catalog, *files)


def test_n06_files_are_read_as_data_frames_warehouses_and_sheets_write_them(tmp_path: Path, catalog: Path) -> None:
    exposures, events = history(150)
    exposures = [message | {"user_id": message["user_id"].removeprefix("user-")} for message in exposures]
    rows = as_frame(events)
    whole = [row | {"user_id": int(row["user_id"])} for row in rows]
    shown = ndjson(tmp_path / "exposures.ndjson", exposures)
    plain = [message | {"user_id": message["user_id"].removeprefix("user-")} for message in events]
    expected = told("--catalog", catalog, "--exposures", shown, "--events", ndjson(tmp_path / "plain.ndjson", plain))

    def dates(form: str) -> list[Message]:
        return [row | {"time": f"{datetime.fromtimestamp(row['time'] / 1000, UTC):{form}}"} for row in rows]

    alone = {"event_properties.price": "price"}
    moved = [{alone.get(name, name): value for name, value in row.items()} for row in rows]
    nested = [{name: value for name, value in message.items() if value is not None} for message in plain]
    caps = [{name.upper(): value for name, value in message.items()} for message in nested]
    of_r = [row | {"user_id": in_r(int(row["user_id"])), "time": in_r(row["time"])} for row in rows]
    files = [
        written(tmp_path / "pandas.csv", rows, numbered=True),
        written(tmp_path / "capitals.csv", rows, str.upper, "\\N"),
        written(tmp_path / "path.csv", whole, lambda name: name.upper().replace(".", ":")),
        written(tmp_path / "alone.csv", moved),
        written(tmp_path / "shouted.csv", moved, str.upper),
        written(tmp_path / "r.csv", of_r, numbered=True),
        written(tmp_path / "snowflake.csv", dates("%Y-%m-%d %H:%M:%S.%f +0000")),
        written(tmp_path / "bigquery.csv", dates("%Y-%m-%d %H:%M:%S.%f UTC")),
        written(tmp_path / "duckdb.csv", dates("%Y-%m-%d %H:%M:%S.%f+00")),
        ndjson(tmp_path / "pandas.ndjson", rows),
        ndjson(tmp_path / "alone.ndjson", moved),
        ndjson(tmp_path / "capitals.ndjson", caps),
        tmp_path / "polars.json",
        tmp_path / "pandas.parquet",
        tmp_path / "amplitude.zip",
    ]
    (tmp_path / "sheet.csv").write_bytes(b"\xef\xbb\xbf" + (tmp_path / "alone.csv").read_bytes())
    (tmp_path / "polars.json").write_text(json.dumps(rows))
    with duckdb.connect() as database:
        source = f"read_json('{tmp_path / 'pandas.ndjson'}', columns = {{'__index_level_0__': 'BIGINT', "
        source += ", ".join(
            f"'{name}': '{'DOUBLE' if name in {'user_id', 'event_properties.price'} else 'VARCHAR'}'"
            for name in rows[0]
        )
        database.execute(f"COPY (FROM {source}}})) TO '{tmp_path / 'pandas.parquet'}'")
    with zipfile.ZipFile(tmp_path / "amplitude.zip", "w") as archive:
        for part in range(3):
            name = exported(tmp_path / f"part-{part}.json.gz", [], plain[part::3])
            archive.write(name, f"123/123_2025-11-24_1{part}#0.json.gz")

    for file in [*files, tmp_path / "sheet.csv"]:
        found = told("--catalog", catalog, "--exposures", shown, "--events", file)

        as_floats = [note for note in found["notes"] if "every `user_id` reads like " in note]
        assert len(as_floats) == (file.name in FLOATS), file
        found["notes"] = [note for note in found["notes"] if note not in as_floats]
        assert (found["rejected"], found["notes"]) == ([], expected["notes"]), file
        assert found["experiments"] == expected["experiments"], file


@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Vienna"])
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_timestamps_of_any_unit_are_read(tmp_path: Path, unit: str, zone: str | None) -> None:
    """As pandas writes them by pyarrow: its own unit is nanoseconds."""
    moments = [T, None, T + 1_000] if unit == "s" else [T, None, T + 1_999]
    fine = 999_999 if unit == "ns" else 999 if unit == "us" else 0
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    times = pa.array([each and each * per_second // 1000 + fine for each in moments], pa.int64())
    times = times.cast(pa.timestamp(unit, zone))
    columns = {
        "event_type": pa.array(["buy", "view", "buy"], pa.large_string()).dictionary_encode(),
        "user_id": pa.array(["u", "v", "w"]),
        "event_properties": pa.array([{"at": None}] * 3, pa.struct({"at": times.type})),
    }
    several = {"plain": times, "dictionary": times.dictionary_encode()}

    for name, column in several.items():
        path = tmp_path / f"{name}.parquet"
        pq.write_table(pa.table(columns | {"time": column}), path)
        (piece,) = pieces(path, OfMessages(EVENTS, ()))

        rows = msgspec.json.decode(b"[" + piece.data.replace(b"}{", b"},{") + b"]")
        assert [row["time"] for row in rows] == moments
        assert [row["event_type"] for row in rows] == ["buy", "view", "buy"]


@pytest.mark.parametrize("kind", ["csv", "ndjson", "csv.gz", "quoted.csv"])
def test_lines_may_end_in_carriage_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    rows = [{"event_type": "buy", "time": T + i, "user_id": f"u{i}"} for i in range(60)]
    text = "".join(f"{json.dumps(row)}\r" for row in rows)
    if "csv" in kind:
        cell = 'b"uy' if kind == "quoted.csv" else "buy"
        text = "event_type,time,user_id\r" + "".join(f"{cell},{row['time']},{row['user_id']}\r" for row in rows)
    path = tmp_path / f"old.{kind}"
    path.write_bytes(gzip.compress(text.encode()) if kind.endswith("gz") else text.encode())
    monkeypatch.setattr(pipeline.files.pieces, "PIECE", 100)

    found = said_by(pieces(path, OfMessages(EVENTS, ())))

    first = 1 if kind == "ndjson" else 2
    assert [line for line, _ in found] == [*range(first, 60 + first)]
    assert [row["user_id"] for _, row in found] == [f"u{i}" for i in range(60)]


EMPTY = {
    "empty.csv": b"",
    "header.csv": b"event_type,user_id,time\n",
    "empty.ndjson": b"",
    "blank.ndjson": b"\n\n",
    "array.json": b"[]",
    "archive.zip": b"PK\x05\x06" + bytes(18),
}


@pytest.mark.parametrize("name", EMPTY)
def test_a_file_without_rows_is_told_and_nothing_else_than_such_an_error(
    tmp_path: Path, catalog: Path, name: str
) -> None:
    (tmp_path / name).write_bytes(EMPTY[name])
    shown = ndjson(tmp_path / "x.ndjson", split("button", 2, 2))

    found = told("--catalog", catalog, "--experiment", "button", "--exposures", shown, "--events", tmp_path / name)

    assert f"'{tmp_path / name}' has no rows" in found["notes"]
    assert any(note.endswith("of 'button': there are no events") for note in found["notes"])
    with pytest.raises(PeekproofError, match=f"{name}': there are no rows, so there is nothing to analyse"):
        call("--catalog", catalog, "--events", tmp_path / name)


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


AMOUNTS = ("7.25", " 7.25", "7,25", "$7.25", "1 099.00", "EUR 7")
PLAIN = AMOUNTS[:2]


@pytest.mark.parametrize("kind", ["csv", "ndjson", "parquet"])
def test_n04_values_that_are_no_plain_numbers_are_told_and_not_read_as_zero(
    tmp_path: Path, catalog: Path, kind: str
) -> None:
    rows = [
        {"event_type": "buy", "time": T + MINUTE, "user_id": f"u{i}", "event_properties.price": amount}
        for i, amount in enumerate(AMOUNTS)
    ]
    file = ndjson(tmp_path / "rows.ndjson", rows)
    if kind == "csv":
        file = written(tmp_path / "rows.csv", rows)
    if kind == "parquet":
        file = as_parquet(tmp_path / "rows.parquet", rows, f"FROM {SOURCE}")
    files = ("--exposures", ndjson(tmp_path / "x.ndjson", split("button", 6, 6)), "--events", file)

    found = told("--catalog", catalog, "--experiment", "button", *files)
    text = call("--catalog", catalog, "--experiment", "button", *files).stderr

    first = 2 if kind == "csv" else 1
    amounts = [AMOUNTS[row["line"] - first] for row in found["bad_rows"]]
    assert {row["reason"] for row in found["bad_rows"]} == {"no number"}
    assert [each for each in amounts if each not in PLAIN] == [*AMOUNTS[2:]]
    assert "event_properties.price is '$7.25'" in "".join(row["detail"] for row in found["bad_rows"])
    assert f"{file}:{first + 2}: event_properties.price is '7,25'" in text
    sums = {
        cell["metric"]: cell["control_sum"] / 10 ** cell["scale"]
        for cell in found["experiments"][0]["cells"]
        if (cell["reading"], cell["segment"]) == ("live", "all")
    }
    assert sums["buyers"] == len(AMOUNTS)  # an event is one thing, what a metric makes of it another
    assert sums["spent"] == 7.25 * len([each for each in PLAIN if each not in amounts])


CELLS = ("", "a", "12", "-3.5e2", "true", 'x"y', "a,b", "l1\nl2", "é", "\\", '{"a":3}', "\t", '"', "1e5", "\x01")
TITLES = ("event_type", "time", "platform", "event_properties.price", "event_properties.q", "user_id")


class AnyColumns(OfMessages):
    """Some may be missing."""

    def _require(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("seed", range(30))
def test_columns_of_a_csv_file_say_what_its_rows_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    chance = random.Random(seed)
    path, titles = tmp_path / "table.csv", TITLES[: chance.randrange(1, 7)]
    columns = AnyColumns(EVENTS, ())
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator=chance.choice(["\n", "\r\n"]), quoting=chance.choice([0, 1]))
        writer.writerows([titles, *([chance.choice(CELLS) for _ in titles] for _ in range(30))])
    data = bytearray(path.read_bytes())
    for _ in range(chance.randrange(3)):  # somebody edited it by hand
        data[chance.randrange(len(",".join(titles)) + 20, len(data))] = chance.choice(b'"\xff,\n\ra')
    path.write_bytes(data.rstrip(b"\n") if chance.random() < 0.3 else data)

    with path.open("rb") as lines:
        expected = said_by(_row_by_row(_Ids(""), columns, [], lines, 1))
    monkeypatch.setattr(pipeline.files.pieces, "PIECE", chance.choice([40, 100, 1 << 24]))

    assert said_by(pieces(path, columns)) == expected


def said_by(of_file: Iterable[Piece]) -> list[tuple[int, Any]]:
    """What each line says, or why it says nothing."""
    found: list[tuple[int, Any]] = []
    for piece in of_file:
        ends = np.cumsum(piece.length)
        for line, begin, end in zip(piece.line, ends - piece.length, ends, strict=True):
            try:
                found.append((line, json.loads(piece.data[begin:end])))
            except ValueError:
                found.append((line, "no JSON"))
        found += [(bad.line, bad.detail) for bad in piece.bad]
    return sorted(found, key=lambda each: each[0])


def test_how_rows_are_spread_over_files_means_nothing(tmp_path: Path, catalog: Path) -> None:
    exposures, events = history(120)
    whole = [ndjson(tmp_path / "exposures.ndjson", exposures), ndjson(tmp_path / "events.ndjson", events)]
    parts = [ndjson(tmp_path / f"part-{number}.ndjson", events[number::3]) for number in (2, 0, 1)]

    one = told("--catalog", catalog, "--exposures", whole[0], "--events", whole[1])
    again = parts[0].parent / "again" / ".." / parts[0].name
    again.parent.parent.mkdir()
    other = told("--events", *parts, again, "--catalog", catalog, "--exposures", whole[0])

    lost = [sum(each["rows"] for each in of.pop("unusable")) for of in (one, other)]
    assert other == one
    assert lost == [24, 24]


def test_bad_rows_are_told_with_file_line_and_reason_and_the_others_count(tmp_path: Path, catalog: Path) -> None:
    good = json.dumps({"event_type": "view", "user_id": "u", "time": T})
    events = tmp_path / "events.ndjson"
    events.write_text(
        "\n".join([good, "", "{no json", good, '{"event_type":"view","user_id":"u"}', f'{{"time":{T}}}', good])
    )
    table = tmp_path / "table.csv"
    table.write_bytes(
        b'event_type,user_id,time\nview,u,%d\nview,u\n"view","\nu",%d\nview,\xff,1\nview,u,soon\n' % (T, T)
    )
    shown = ndjson(tmp_path / "shown.ndjson", [{"flag_key": "none", "variant": "a", "user_id": "u", "time": T}])

    found = told("--catalog", catalog, "--exposures", shown, "--events", events, table)

    bad = [(Path(row["file"]).name, row["line"], row["reason"]) for row in found["bad_rows"]]
    assert bad == [
        ("events.ndjson", 3, "not json"),
        ("events.ndjson", 5, "time out of range"),
        ("events.ndjson", 6, "wrong type"),
        ("shown.ndjson", 1, "unknown flag"),
        ("table.csv", 3, "not csv"),
        ("table.csv", 6, "not csv"),
        ("table.csv", 7, "wrong type"),
    ]
    text = call("--catalog", catalog, "--events", events).stderr
    assert f"{events}:3: " in text


MISTAKES = {
    "seconds.ndjson": (f'{{"event_type":"buy","user_id":"u","time":{T // 1000}}}', "is it in seconds"),
    "american.csv": ("event_type,user_id,time\nbuy,u,11/24/2025 16:00", r"time is '11/24/2025 16:00'; write"),
    "others.csv": ("event,user,timestamp\nbuy,u,1", "no column `event_type`, only event, user, timestamp"),
    "exposures.ndjson": (f'{{"flag_key":"button","user_id":"u","time":{T}}}', "missing required field `event_type`"),
    "semicolons.csv": ("event_type;user_id;time\nbuy;u;1", "separated by ';'"),
    "array.json": ('[\n{"event_type":"buy"}\n]', "the row has no `time`, only event_type"),
    "pandas.json": ('{"event_type":{"0":"buy"},"time":{"0":1}}', "orient='records', lines=True"),
    "headless.csv": (f"buy,u1,{T}\nbuy,u2,{T}", "only buy, u1, .* the first line is taken for the header"),
    "unicode.csv": ("\xff\xfee\x00", "is UTF-16; save it as UTF-8"),
    "wide.csv": ("event_type,user_id\n".encode("utf-16-le").decode("latin-1"), "is UTF-16; save it as UTF-8"),
    "wide.ndjson": ('{"event_type":"b"}'.encode("utf-16-be").decode("latin-1"), "is UTF-16; save it as UTF-8"),
    "parquet.csv": ("PAR1\x15\x04\x15", "is Parquet; name it .parquet"),
    "parquet.json": ("PAR1\x15\x04\x15", "is Parquet; name it .parquet"),
    "zip.csv": ("PK\x03\x04\x14\0", "is a ZIP archive, or a sheet; name it .zip, or"),
    "sheet.xlsx": ("PK", "save its sheet as CSV"),
    "sheets.zip": ("PK", "cannot be read: File is not a zip file"),
    "ids.ndjson": (f'{{"event_type":"buy","time":{T},"user_id":"1.23457E+11"}}', "the id 1.23457E.11 has lost digits"),
    "not.parquet": ("event_type", "cannot be read: .* too small"),
    "zipped.parquet.gz": ("", "no known kind"),
    "cut.ndjson.gz": ("\x1f\x8b", "cannot be read"),
    "directory.csv": (None, "is a directory; name the files"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_file_that_is_of_no_use_is_an_error_that_says_what_to_do(tmp_path: Path, catalog: Path, name: str) -> None:
    text, expected = MISTAKES[name]
    path = tmp_path / name
    path.write_bytes(text.encode("latin-1")) if text is not None else path.mkdir()

    with pytest.raises(PeekproofError, match=expected) as refused:
        call("--catalog", catalog, "--events", path)

    assert name in str(refused.value)


def test_numbers_for_ids_texts_for_times_and_gzip_without_its_suffix_are_understood(
    tmp_path: Path, catalog: Path
) -> None:
    exposures, events = history(60)
    plain = ("--exposures", ndjson(tmp_path / "x.ndjson", exposures), "--events", ndjson(tmp_path / "e.ndjson", events))
    numbered = [
        message | {"user_id": int(message["user_id"].removeprefix("user-")), "time": str(message["time"])}
        for message in events
    ]
    for message in exposures:
        message["user_id"] = message["user_id"].removeprefix("user-")
    named = ndjson(tmp_path / "named.ndjson", exposures)
    path = tmp_path / "numbered.ndjson"
    path.write_bytes(gzip.compress("".join(f"{json.dumps(message)}\n" for message in numbered).encode()))

    found = told("--catalog", catalog, "--exposures", named, "--events", path, "--experiment", "menu")

    assert found["rejected"] == []
    assert found["experiments"] == told("--catalog", catalog, *plain, "--experiment", "menu")["experiments"]


def test_exposures_that_name_no_variant_are_told(tmp_path: Path, catalog: Path) -> None:
    shown = split("button", 3, 2)
    renamed = [{"group" if name == "variant" else name: value for name, value in each.items()} for each in shown[:2]]

    found = told("--catalog", catalog, "--exposures", ndjson(tmp_path / "x.ndjson", renamed + shown[2:]))

    assert found["notes"] == ["2 of 5 exposures of 'button' name no `variant`, and were given one by its definition"]


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


def test_a_run_begins_at_the_start_date_of_its_experiment(tmp_path: Path, catalog: Path) -> None:
    flag = catalog / "experiments" / "button.yaml"
    flag.write_text(flag.read_text().replace("key: button,", "key: button, start: 2025-11-24T16:00:01Z,"))
    messages = [
        {"flag_key": "button", "variant": "control", "user_id": f"u{i}", "time": T + 1_000 * i} for i in (2, 0, 3, 1)
    ]
    assert datetime.fromtimestamp(T / 1000, UTC) == datetime(2025, 11, 24, 16, tzinfo=UTC)

    shown = ndjson(tmp_path / "shown.ndjson", messages)
    look = told("--catalog", catalog, "--exposures", shown, "--events", ndjson(tmp_path / "e.ndjson", []))[
        "experiments"
    ][0]

    assert look["health"]["arms"][0]["units"] == 3
    assert look["time"] == T + 3_000


def test_one_experiment_alone_and_the_runs_that_were_named(tmp_path: Path, catalog: Path) -> None:
    messages = [
        {"flag_key": "menu", "variant": "wide", "device_id": f"d{i}", "time": T, "experiment_key": f"exp-{i}"}
        for i in (1, 2)
    ]
    files = ("--exposures", ndjson(tmp_path / "x.ndjson", messages), "--events", ndjson(tmp_path / "e.ndjson", []))

    found = told("--catalog", catalog, "--experiment", "menu", *files)
    table = call("--catalog", catalog, *files)

    assert [look["experiment"] for look in found["experiments"]] == ["menu"]
    assert "exp-1 (1), exp-2 (1)" in found["notes"][0]
    assert "SRM p" in table.stdout
    with pytest.raises(PeekproofError, match="did you mean 'menu'"):
        call("--catalog", catalog, "--experiment", "men", *files)


def test_columns_that_say_a_thing_twice_are_refused(tmp_path: Path, catalog: Path) -> None:
    (tmp_path / "twice.csv").write_text("event_type,event_properties,event_properties.price\n")

    with pytest.raises(PeekproofError, match=r"'event_properties.price' and 'event_properties'"):
        call("--catalog", catalog, "--events", tmp_path / "twice.csv")


SAME = {
    "v,v": "has the columns 'v' and 'v'",
    "v,V": "has the columns 'v' and 'V'",
    "event_properties.v,v": "has the columns 'event_properties.v' and 'v'",
    "V,EVENT_PROPERTIES.V": "has the columns 'V' and 'EVENT_PROPERTIES.V'",
}


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("titles", SAME)
def test_columns_that_would_be_one_property_are_refused(tmp_path: Path, titles: str, kind: str) -> None:
    names, path = ["event_type", "user_id", "time", *titles.split(",")], tmp_path / f"same.{kind}"
    if kind == "csv":
        path.write_text(",".join(names) + f"\nbuy,u,{T},1,2\n")
    else:
        columns = [pa.array([value]) for value in ("buy", "u", T, 1, 2)]
        pq.write_table(pa.Table.from_arrays(columns, names), path)

    with pytest.raises(PeekproofError, match=SAME[titles]):
        list(pieces(path, OfMessages(EVENTS, {("event_properties", "v")})))


@pytest.mark.parametrize("kind", ["csv", "ndjson"])
def test_what_is_not_read_beside_what_holds_it_is_told(tmp_path: Path, catalog: Path, kind: str) -> None:
    rows = [{"event_type": "buy", "user_id": "u0", "time": T + MINUTE, "event_properties": '{"price": 3}', "price": 7}]
    shown = ndjson(tmp_path / "x.ndjson", split("button", 2, 2))
    if kind == "csv":
        path, told_so = (
            written(tmp_path / "e.csv", rows),
            "column 'price' is not read, since 'event_properties' is there",
        )
    else:
        path = ndjson(tmp_path / "e.ndjson", [rows[0] | {"event_properties": {"price": 3}}])
        told_so = "`price` is not read in lines that have `event_properties`, which holds it"

    found = told("--catalog", catalog, "--experiment", "button", "--exposures", shown, "--events", path)

    assert [note for note in found["notes"] if told_so in note]
    sums = {c["metric"]: c["control_sum"] / 10 ** c["scale"] for c in found["experiments"][0]["cells"]}
    assert sums["spent"] == 3


def split(flag: str, control: int, treatment: int) -> list[Message]:
    """Exposures, one a unit: each arm's units, a millisecond apart."""
    variants = ["control"] * control + ["treatment"] * treatment
    return [{"flag_key": flag, "variant": v, "user_id": f"u{i}", "time": T + i} for i, v in enumerate(variants)]


@pytest.mark.parametrize("experiment", sorted(read_documents(Path("configs")).flags))
def test_n11_every_flag_of_the_examples_is_analysed_alone(tmp_path: Path, experiment: str) -> None:
    shown = ndjson(tmp_path / "x.ndjson", split(experiment, 2, 2))

    found = told("--exposures", shown, "--experiment", experiment)

    assert [each["experiment"] for each in found["experiments"]] == [experiment]


def test_n12_exposures_from_start_to_end_enter(tmp_path: Path, catalog: Path) -> None:
    flag = catalog / "experiments" / "button.yaml"
    dates = "start: 2025-11-24T16:00:01Z, end: 2025-11-24T16:00:04Z"
    flag.write_text(flag.read_text().replace("key: button,", f"key: button, {dates},"))
    shown = [{"flag_key": "button", "variant": "control", "user_id": f"v{i}", "time": T + 500 * i} for i in range(12)]
    bought = [{"event_type": "buy", "user_id": f"v{i}", "time": T + MINUTE} for i in range(12)]
    files = ("--exposures", ndjson(tmp_path / "x.ndjson", shown), "--events", ndjson(tmp_path / "e.ndjson", bought))

    (look,) = told("--catalog", catalog, "--experiment", "button", *files)["experiments"]

    entered = [i for i in range(12) if T + 1_000 <= T + 500 * i < T + 4_000]
    (buyers,) = [c for c in look["cells"] if (c["metric"], c["reading"], c["segment"]) == ("buyers", "live", "all")]
    assert look["health"]["arms"][0]["units"] == len(entered)
    assert look["health"]["inactive"] == 4  # those after the end
    assert buyers["control_sum"] == len(entered)


@pytest.mark.parametrize(
    ("arms", "decision", "reason"),
    [((700, 300), "needs attention", "The split is broken"), ((500, 500), "none", "nothing speaks against")],
)
def test_n16_a_split_is_judged_without_events(
    tmp_path: Path, catalog: Path, arms: tuple[int, int], decision: str, reason: str
) -> None:
    shown = ndjson(tmp_path / "x.ndjson", split("button", *arms))

    found = told("--catalog", catalog, "--experiment", "button", "--exposures", shown)
    text = call("--catalog", catalog, "--experiment", "button", "--exposures", shown)

    (look,) = found["experiments"]
    assert [arm["units"] for arm in look["health"]["arms"]] == [*arms]
    assert look["verdict"]["decision"] == decision
    assert reason in look["verdict"]["reason"]
    assert (look["health"]["srm_p_value"] < 0.01) == (decision == "needs attention")
    assert look["cells"] == []  # of events that nobody gave nothing is counted as zero
    assert found["notes"] == []
    assert "interval" not in text.stdout


def test_without_any_file_there_is_nothing_to_analyse() -> None:
    result = call()

    assert result.exit_code == 2
    assert "--exposures, --events, or both" in result.stderr


def test_n17_a_verdict_on_a_metric_without_a_window_says_that_nothing_is_guaranteed(
    tmp_path: Path, catalog: Path
) -> None:
    metric = catalog / "metrics" / "buyers.yaml"
    metric.write_text(metric.read_text().replace("window: 2h", "window: none"))
    shown = split("button", 1_000, 1_000)
    bought = [
        {"event_type": "buy", "user_id": each["user_id"], "time": T + MINUTE}
        for i, each in enumerate(shown)
        if i % 10 < (2 if each["variant"] == "control" else 4)
    ]
    files = ("--exposures", ndjson(tmp_path / "x.ndjson", shown), "--events", ndjson(tmp_path / "e.ndjson", bought))

    verdict = told("--catalog", catalog, "--experiment", "button", *files)["experiments"][0]["verdict"]

    assert verdict["decision"] == "ship"
    assert "its metric has no window, so the guarantee of always-valid results is not claimed" in verdict["reason"]
    page = Path("docs/define/metrics.md").read_text()
    said = next(line for line in page.splitlines() if line.startswith("window: 7d"))
    assert "the verdict on it says that nothing is guaranteed" in said


def describe_orders(directory: Path, role: str, more: str = "") -> None:
    """An experiment of which the one metric is whether a unit has ordered."""
    variants, metrics = "[{ key: control }, { key: treatment }]", f"[{{ metric: order, role: {role} }}]"
    for kind, text in (
        ("experiments", f"key: mail\nowner: me\nvariants: {variants}\nmetrics: {metrics}\n{more}\n"),
        ("metrics", "key: order\nowner: me\ntype: conversion\nevent: order\nwindow: 1s\n"),
    ):
        (directory / kind).mkdir()
        (directory / kind / "a.yaml").write_text(text)


def test_files_with_more_units_than_a_fixed_test_planned_decide_nothing(tmp_path: Path) -> None:
    describe_orders(tmp_path, "primary", "analysis: { method: t-test, planned_units: 1000 }")
    exposures, events = tmp_path / "exposures.csv", tmp_path / "events.csv"

    def verdict(units: int) -> tuple[str, str]:
        rows = [(f"user-{i}", ("control", "treatment")[i % 2], T + i) for i in range(units)]
        rows.append(("late", "control", T + 10_000))
        exposures.write_text("\n".join(["user_id,flag_key,variant,time", *(f"{u},mail,{v},{t}" for u, v, t in rows)]))
        bought = [(u, t) for i, (u, v, t) in enumerate(rows) if i % 20 < (8 if v == "treatment" else 2)]
        events.write_text("\n".join(["user_id,event_type,time", *(f"{u},order,{t + 1}" for u, t in bought)]))
        (look,) = told("--exposures", exposures, "--events", events, "--catalog", tmp_path)["experiments"]
        return look["verdict"]["decision"], look["verdict"]["reason"]

    assert verdict(1_000)[0] == "ship"
    decision, reason = verdict(4_000)
    assert decision == "none"
    assert reason.startswith("order was read at 4,000 units, where 1,000 were planned: a fixed-horizon test is valid ")


def test_an_exact_test_tells_the_interval_of_its_lift_and_what_both_are_of(tmp_path: Path) -> None:
    describe_orders(tmp_path, "guardrail")
    exposures, events = tmp_path / "exposures.csv", tmp_path / "events.csv"
    units = [(f"{variant}-{i:03}", variant) for variant, n in (("control", 227), ("treatment", 224)) for i in range(n)]
    exposures.write_text("\n".join(["user_id,flag_key,variant,time", *(f"{u},mail,{v},{T}" for u, v in units)]))
    bought = [u for u, v in units if int(u[-3:]) < (33 if v == "treatment" else 13)]
    events.write_text("\n".join(["user_id,event_type,time", *(f"{u},order,{T + 1}" for u in bought)]))

    shown = call("--exposures", exposures, "--events", events, "--catalog", tmp_path).stdout
    (look,) = told("--exposures", exposures, "--events", events, "--catalog", tmp_path)["experiments"]

    (cell,) = (each for each in look["cells"] if each["method"] == "exact")
    ends = [f"{cell[f'running_relative_{end}']:+.2%}" for end in ("lower", "upper")]
    (row,) = (line for line in shown.splitlines() if " exact " in line)
    assert f"{33 / 224 - 13 / 227:.4g}" in row
    assert f"{33 / 13 - 1:+.2%}" in row
    assert " to ".join(ends) in row
    assert "exact: the interval is of the relative effect, and both are by conversions alone, as the planned" in shown
