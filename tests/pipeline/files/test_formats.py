"""Files of any kind say the same, and those that say nothing are told."""

import csv
import gzip
import json
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import pipeline.files.pieces
from pipeline.cli import command
from pipeline.errors import PeekproofError
from pipeline.files.formats import pieces
from pipeline.files.titles import OfMessages
from schemas.topics import EVENTS
from tests.pipeline.analyzing import (
    FLOATS,
    MINUTE,
    Message,
    T,
    call,
    history,
    in_r,
    ndjson,
    said_by,
    split,
    told,
    written,
)


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


def test_exposures_of_which_none_can_be_used_are_an_error_that_says_what_to_write(tmp_path: Path) -> None:
    (tmp_path / "catalog" / "experiments").mkdir(parents=True)
    (tmp_path / "catalog" / "metrics").mkdir()
    (tmp_path / "catalog" / "metrics" / "buyers.yaml").write_text(
        "{key: buyers, owner: shop, type: conversion, event: buy, window: 2h}"
    )
    (tmp_path / "catalog" / "experiments" / "button.yaml").write_text(
        "{key: button, owner: shop, variants: [{key: control}, {key: treatment}], metrics: [{metric: buyers}]}"
    )
    shown = [{"flag_key": "button", "variant": "control", "user_id": f"u{i}", "time": T + i} for i in range(300)]
    bought = [{"event_type": "buy", "user_id": f"u{i}", "time": T + MINUTE} for i in range(300)]
    export = exported(tmp_path / "export.json.gz", shown, bought)
    text = gzip.decompress(export.read_bytes())
    export.write_bytes(gzip.compress(text.replace(b"[Experiment] Flag Key", b"flag_key")))
    of_another = ndjson(tmp_path / "other.ndjson", [message | {"flag_key": "knob"} for message in shown])

    found = [
        CliRunner().invoke(command, ["analyze", "--catalog", str(tmp_path / "catalog"), *map(str, files)])
        for files in (("--events", export), ("--exposures", of_another), ("--events", export, "--json"))
    ]

    assert [each.stdout for each in found] == ["", "", ""]
    assert all(isinstance(each.exception, PeekproofError) for each in found)
    by_export, by_flag, _ = (str(each.exception) for each in found)
    assert "none of the 300 exposures can be used" in by_export
    assert "the event property `[Experiment] Flag Key`" in by_export
    assert f"'{export}', line 301" in by_export
    assert "flag_key is 'knob'; no flag of this key" in by_flag

    ndjson(of_another, [*(message | {"flag_key": "knob"} for message in shown), shown[0]])
    one_counts = told("--catalog", tmp_path / "catalog", "--exposures", of_another)
    assert [(row["line"], row["rows"]) for row in one_counts["bad_rows"]] == [(1, 300)]
    assert "(and 299 rows more)" in call("--catalog", tmp_path / "catalog", "--exposures", of_another).stderr
