"""`peekproof analyze`: the same integers as the stream's, from files of any kind, in any order."""

import csv
import gzip
import json
import random
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from click.testing import CliRunner, Result

from evaluation.assignment.routing import assign
from evaluation.metrics.partition import Partition
from pipeline.analysis import running
from pipeline.cli import command
from pipeline.documents import read_documents
from pipeline.errors import PeekproofError
from pipeline.gathering import Gathering
from schemas.records import Records
from schemas.topics import EVENTS, EXPOSURES

T = 1_764_000_000_000
HORIZON = 3_600_000
WINDOW = 60_000
DOCUMENTS = {
    "metrics/buyers.yaml": "{key: buyers, owner: shop, type: conversion, event: buy, window: 60s}",
    "metrics/spent.yaml": "{key: spent, owner: shop, type: sum, event: buy, property: price, window: 300s}",
    "metrics/views.yaml": "{key: views, owner: shop, type: count, event: view, window: none}",
    "experiments/button.yaml": """
{key: button, owner: shop, variants: [{key: control, users: [user-3]}, {key: treatment}],
 metrics: [{metric: buyers, role: primary}, {metric: spent}, {metric: views}]}""",
    "experiments/menu.yaml": """
{key: menu, owner: shop, unit: device_id, rollout: 80, variants: [{key: control}, {key: wide}, {key: narrow}],
 metrics: [{metric: spent}]}""",
}

Message = dict[str, Any]


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    directory = tmp_path / "catalog"
    for name, text in DOCUMENTS.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)
    return directory


def history(units: int = 400) -> tuple[list[Message], list[Message]]:
    """Exposures and events: two unit types, repeats, jumpers, some that ask, some without an insert id."""
    chance = random.Random(20_261_125)
    exposures, events = [], []
    for unit in range(units):
        who = {"user_id": f"user-{unit}", "device_id": f"device-{unit // 2}"}
        entry = T + chance.randrange(600_000)
        for flag, variants in (("button", ("control", "treatment")), ("menu", ("control", "wide", "narrow"))):
            variant = variants[(unit // 2) % len(variants)]
            for again in range(chance.choice([0, 1, 1, 2])):
                shown = {"flag_key": flag, **who, "time": entry + again * chance.randrange(9_000)}
                if chance.random() < 0.7:
                    shown["variant"] = chance.choice(variants) if chance.random() < 0.02 else variant
                if chance.random() < 0.9:
                    shown["insert_id"] = f"shown-{flag}-{unit}-{again}"
                exposures.append(shown)
        for number in range(chance.randrange(8)):
            event = {"event_type": chance.choice(["buy", "view", "other"]), **who}
            event["time"] = entry + chance.randrange(-5_000, WINDOW + 5_000)
            if chance.random() < 0.9:
                event["insert_id"] = f"event-{unit}-{number}"
            if chance.random() < 0.9:
                event["event_properties"] = {"price": round(chance.uniform(-5, 90), chance.choice([0, 1, 2, 3]))}
            events += [event] * (2 if "insert_id" in event and chance.random() < 0.1 else 1)
    return exposures, events


def ndjson(path: Path, messages: Iterable[Message]) -> Path:
    path.write_text("".join(f"{json.dumps(message)}\n" for message in messages))
    return path


def call(*arguments: object) -> Result:
    return CliRunner().invoke(command, ["analyze", *map(str, arguments)], catch_exceptions=False)


def told(*arguments: object) -> Any:
    result = call(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def integers(sums: Iterable[Any]) -> Counter[tuple[Any, ...]]:
    """n, nonzero, sum and sum of squares, added up."""
    added: Counter[tuple[Any, ...]] = Counter()
    for each in sums:
        key = each.metric, each.reading, each.variant
        exact = {"n": each.n, "nonzero": each.nonzero, "sum": each.first[0], "sum_squares": each.second[0]}
        for name, number in exact.items():
            added[*key, name] += int(number)
    return added


def streamed(catalog: Path, topics: dict[str, list[Message]], partitions: int, seed: int) -> dict[str, Counter[Any]]:
    """What the stages make of the messages, shuffled, appended a while later and cut anyhow; by experiment."""
    chance = random.Random(seed)
    documents = running(read_documents(catalog))
    gathering = Gathering(partitions, HORIZON, len(topics))
    stores = [Partition(number, HORIZON) for number in range(partitions)]
    for topic in topics:
        gathering.begin((topic, 0), 0)

    def fold() -> None:
        for store, message in zip(stores, gathering.cut()[1], strict=True):
            store.fold(store.offset, message, documents.at_offset)

    end = max(message["time"] for messages in topics.values() for message in messages)
    for topic, messages in topics.items():
        order = chance.sample(messages, len(messages))
        begin = 0
        while begin < len(order):
            some = order[begin : begin + chance.choice([1, 10, 300])]
            values = [json.dumps(message).encode() for message in some]
            length = np.array([len(value) for value in values], np.int64)
            records = Records(
                topic=topic,
                partition=0,
                begin=begin,
                end=begin + len(some),
                offset=np.arange(begin, begin + len(some)),
                append_time=np.full(len(some), end, np.int64),
                start=np.cumsum(length) - length,
                length=length,
                data=memoryview(b"".join(values)),
            )
            for assigned in assign(records, documents, HORIZON, HORIZON):
                gathering.add((topic, 0), assigned)
            begin += len(some)
            if chance.random() < 0.3:
                fold()
        gathering.reach((topic, 0), end, documents.newest.offset)
    fold()
    for topic in topics:
        gathering.reach((topic, 0), end + HORIZON, documents.newest.offset)  # where a clock without a horizon ends
    fold()
    aggregates = [aggregate for store in stores for aggregate in store.aggregates()]
    return {
        flag: integers(sums for each in aggregates if each.flag == flag for sums in each.sums)
        for flag in ("button", "menu")
    }


@pytest.mark.parametrize("partitions", [1, 4, 16])
def test_files_give_the_same_integers_as_the_stream(tmp_path: Path, catalog: Path, partitions: int) -> None:
    exposures, events = history()
    ndjson(tmp_path / "exposures.ndjson", exposures)
    ndjson(tmp_path / "events.ndjson", events)

    found = told(
        "--catalog", catalog, "--exposures", tmp_path / "exposures.ndjson", "--events", tmp_path / "events.ndjson"
    )

    expected = streamed(catalog, {EXPOSURES: exposures, EVENTS: events}, partitions, seed=partitions)
    for look in found["experiments"]:
        cells = {}
        for cell in look["cells"]:
            for variant, prefix in ((cell["variant"], ""), (cell["control"], "control_")):
                for name in ("n", "nonzero", "sum", "sum_squares"):
                    cells[cell["metric"], cell["reading"], variant, name] = int(cell[prefix + name])
        assert cells == expected[look["experiment"]]
        assert 0 < cells["spent", "settled", "control", "n"] < cells["spent", "live", "control", "n"]
    assert found["experiments"][0]["health"]["jumpers"] > 0
    assert found["rejected"] == []


def as_csv(path: Path, messages: list[Message], dotted: bool) -> Path:
    with path.open("w", newline="") as file:
        price = "event_properties.price" if dotted else "event_properties"
        writer = csv.DictWriter(file, ["event_type", "time", "USER_ID", "device_id", "insert_id", price])
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


def test_how_rows_are_spread_over_files_means_nothing(tmp_path: Path, catalog: Path) -> None:
    exposures, events = history(120)
    whole = [ndjson(tmp_path / "exposures.ndjson", exposures), ndjson(tmp_path / "events.ndjson", events)]
    parts = [ndjson(tmp_path / f"part-{number}.ndjson", events[number::3]) for number in (2, 0, 1)]

    one = told("--catalog", catalog, "--exposures", whole[0], "--events", whole[1])
    again = parts[0].parent / "again" / ".." / parts[0].name
    again.parent.parent.mkdir()
    other = told("--events", *parts, again, "--catalog", catalog, "--exposures", whole[0])

    assert other == one


def test_bad_rows_are_told_with_file_line_and_reason_and_the_others_count(tmp_path: Path, catalog: Path) -> None:
    good = json.dumps({"event_type": "view", "user_id": "u", "time": T})
    events = tmp_path / "events.ndjson"
    events.write_text(
        "\n".join([good, "", "{no json", good, '{"event_type":"view","user_id":"u"}', '{"time":1}', good])
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
