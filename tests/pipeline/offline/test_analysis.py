"""An analysis of files: the same integers as the stream's, and what is concluded of them."""

import json
import random
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from evaluation.assignment.routing import assign
from evaluation.catalog.configs import flags_in_force
from evaluation.metrics.partition import Partition
from evaluation.significance.look import encode_look, look
from pipeline.catalog.documents import read_documents
from pipeline.cli import command
from pipeline.errors import PeekproofError
from pipeline.offline.analysis import FileAnalysis
from pipeline.offline.running import running
from pipeline.stages.gathering import Gathering
from schemas.aggregate import Aggregate
from schemas.records import Records
from schemas.topics import EVENTS, EXPOSURES
from tests.pipeline.analyzing import (
    DAY,
    FLAGS,
    HORIZON,
    MINUTE,
    Message,
    T,
    analysed,
    call,
    describe_orders,
    history,
    ndjson,
    split,
    told,
)

Integers = Counter[tuple[Any, ...]]


class Stream(NamedTuple):
    """What a stream came to: all integers, and the bytes of the look at each experiment."""

    integers: Integers
    looks: list[bytes]


def integers(aggregates: Iterable[Aggregate]) -> Integers:
    """Every number of all partitions together, by its place."""
    added: Integers = Counter()
    for run in aggregates:
        added[run.flag, "clock"] = run.watermark
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
    analysis = FileAnalysis(read_documents(catalog), *files)

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


def test_exposures_that_name_no_variant_are_told(tmp_path: Path, catalog: Path) -> None:
    shown = split("button", 3, 2)
    renamed = [{"group" if name == "variant" else name: value for name, value in each.items()} for each in shown[:2]]

    found = told("--catalog", catalog, "--exposures", ndjson(tmp_path / "x.ndjson", renamed + shown[2:]))

    assert found["notes"] == ["2 of 5 exposures of 'button' name no `variant`, and were given one by its definition"]


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


@pytest.mark.parametrize("experiment", sorted(read_documents(Path("configs")).flags))
def test_n11_every_flag_of_the_examples_is_analysed_alone(tmp_path: Path, experiment: str) -> None:
    variant = read_documents(Path("configs")).flags[experiment].definition.variants[0].key
    shown = ndjson(
        tmp_path / "x.ndjson", [each | {"variant": variant, "device_id": "d"} for each in split(experiment, 2, 2)]
    )

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


UNJOINED = """
WITH said AS (FROM read_json('{files}', union_by_name = true)),
firsts AS (SELECT user_id, min(time) AS time FROM said WHERE user_id IS NOT NULL AND device_id IS NOT NULL GROUP BY 1)
SELECT count(*) FROM said s ANTI JOIN firsts f ON f.user_id = s.user_id AND f.time <= s.time
WHERE s.event_type = 'buy' AND s.device_id IS NULL
"""
IDENTIFIED = """
WITH said AS (FROM read_json('{files}', union_by_name = true)),
firsts AS (
    SELECT user_id, arg_min(device_id, time) AS device_id, min(time) AS time FROM said
    WHERE user_id IS NOT NULL AND device_id IS NOT NULL GROUP BY user_id
),
bought AS (
    SELECT coalesce(s.device_id, f.device_id) AS device_id, s.time, s.event_properties.price AS price
    FROM said s LEFT JOIN firsts f ON f.user_id = s.user_id AND f.time <= s.time WHERE s.event_type = 'buy'
),
entries AS (
    SELECT device_id, min(time) AS time, any_value(variant) AS variant FROM said WHERE variant IS NOT NULL GROUP BY 1
)
SELECT e.variant, count(DISTINCT e.device_id), sum(b.price)::BIGINT
FROM entries e LEFT JOIN bought b ON b.device_id = e.device_id AND b.time >= e.time GROUP BY 1 ORDER BY 1
"""


def test_people_in_files_count_for_the_device_that_they_were_first_seen_with_until_then(tmp_path: Path) -> None:
    chance = random.Random(3)
    shown, events = [], []
    for number in range(400):
        device, user = f"d{number}", f"u{chance.randrange(250)}"
        variant = chance.choice(["control", "treatment"])
        shown.append({"flag_key": "till", "variant": variant, "device_id": device, "time": T + number})
        events.append({"event_type": "$identify", "device_id": device, "user_id": user, "time": T + 2_000 + 7 * number})
        bought = {"event_type": "buy", "event_properties": {"price": chance.randrange(1, 90)}}
        events.append(bought | {"user_id": user, "time": T + chance.randrange(6_000)})
        events.append(bought | {"user_id": user, "device_id": device, "time": T + chance.randrange(6_000)})
    events.append(bought | {"user_id": "nobody", "time": T + 10_000})  # the last of all
    chance.shuffle(events)
    files = ndjson(tmp_path / "x.ndjson", shown), ndjson(tmp_path / "e.ndjson", events)
    for kind, text in (
        ("metrics", "key: spent\nowner: me\ntype: sum\nevent: buy\nproperty: price\nwindow: none\n"),
        ("experiments", "key: till\nowner: me\nunit: device_id\nidentity: user_id\n"
         "variants: [{key: control}, {key: treatment}]\nmetrics: [{metric: spent}]\n"),
    ):  # fmt: skip
        (tmp_path / "people" / kind).mkdir(parents=True)
        (tmp_path / "people" / kind / "a.yaml").write_text(text)

    document = told("--catalog", tmp_path / "people", "--exposures", files[0], "--events", files[1])

    [look] = document["experiments"]
    cell = next(each for each in look["cells"] if each["reading"] == "live")
    assert [
        ("control", cell["control_n"], int(cell["control_sum"]) // 10 ** cell["scale"]),
        ("treatment", cell["n"], int(cell["sum"]) // 10 ** cell["scale"]),
    ] == duckdb.sql(IDENTIFIED.format(files=tmp_path / "*.ndjson")).fetchall()
    health = look["health"]
    [(unjoined,)] = duckdb.sql(UNJOINED.format(files=tmp_path / "*.ndjson")).fetchall()
    assert (health["unjoined_events"], health["waiting_events"]) == (unjoined, 0)
    assert unjoined > 0


def test_a_measured_holdout_compares_who_is_held_out_with_all_others_by_the_group_s_draw(tmp_path: Path) -> None:
    for folder, name, text in (
        ("groups", "out", "type: holdout, slots: [{percentage: 20, users: [user-1]}]"),
        ("metrics", "orders", "type: count, event: order, window: 1h"),
        (
            "experiments",
            "measured",
            "holdout: out, variants: [{key: holdout, weight: 20}, {key: on, weight: 80}], "
            "exposure_event: {event: visit}, metrics: [{metric: orders}]",
        ),
    ):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{name}.yaml").write_text(f"{{key: {name}, owner: me, {text}}}")
    events = [
        {"event_type": name, "user_id": f"user-{unit}", "time": T + unit + after}
        for unit in range(1_000)
        for name, after in (("visit", 0), ("order", 1), ("visit", 2))
    ]

    document = told("--catalog", tmp_path, "--events", ndjson(tmp_path / "e.ndjson", events))

    flags = flags_in_force(running(read_documents(tmp_path)).newest)
    held_out = sum(flags.evaluate({"user_id": f"user-{unit}"})["out"].key == "holdout" for unit in range(1_000))
    (experiment,) = document["experiments"]
    assert {arm["variant"]: arm["units"] for arm in experiment["health"]["arms"]} == {
        "holdout": held_out - 1,  # who is listed was not drawn
        "on": 1_000 - held_out,
    }
    (cell,) = (each for each in experiment["cells"] if each["reading"] == "live")
    assert (cell["variant"], cell["control"], int(cell["sum"]), int(cell["control_sum"])) == (
        "on",
        "holdout",
        1_000 - held_out,
        held_out - 1,
    )


def test_different_values_are_told_apart_as_texts_and_missing_ones_are_unusable(tmp_path: Path) -> None:
    of_control: list[Any] = ["tea", "tea", "1", 1, 1.0, "é", True, {"size": 2}, ""]
    of_treatment: list[Any] = ["tea", "milk", None]

    found = analysed(
        tmp_path,
        {"products": "type: distinct, event: view, property: product"},
        [("view", unit, {"product": each}) for unit in range(300) for each in of_control],
        [("view", unit, {"product": each}) for unit in range(300) for each in of_treatment],
    )

    (loss,) = found["experiments"][0]["health"]["losses"]
    assert {arm["variant"]: arm["unusable"] for arm in loss["arms"]} == {"control": 0, "treatment": 300}
    cell = found["cells"]["products"]
    assert (int(cell["control_sum"]), int(cell["sum"])) == (7 * 300, 2 * 300)  # of 1.0 the text is another
