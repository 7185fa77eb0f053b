"""Files as people have them, experiments that they are about, and `peekproof analyze` as people call it."""

import csv
import json
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from click.testing import CliRunner, Result

from pipeline.cli import command
from pipeline.files.pieces import Piece

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
    "dear": "type: percentile, percentile: 75, event: buy, property: price, window: 2h",
    "prices": "type: distinct, event: buy, property: price, cap: 3, window: 2h",
    "back": "type: retention, start: {event: view}, event: view, nth: 1, period: 10m, window: 2h",
}
FLAGS = {
    "button": """
variants: [{key: control, users: [user-3, user-4, user-5, user-6]}, {key: treatment}],
breakdowns: [{property: platform, values: [iOS, web]}],
metrics: [{metric: buyers, role: primary}, {metric: spent}, {metric: views}, {metric: back}, {metric: price},
  {metric: dear}, {metric: prices}]""",
    "menu": """
unit: device_id, rollout: 80, variants: [{key: control}, {key: wide}, {key: narrow}],
metrics: [{metric: spent}, {metric: per-view}, {metric: funnel}, {metric: big}]""",
    "till": """
variants: [{key: control}, {key: fast}], metrics: [{metric: buyers}],
exposure_event: {event: view, where: [{property: platform, op: is not, values: [web]}]}""",
}
PLATFORMS = ("iOS", "web", "Android")
Message = dict[str, Any]


def call(*arguments: object) -> Result:
    return CliRunner().invoke(command, ["analyze", *map(str, arguments)], catch_exceptions=False)


def told(*arguments: object) -> Any:
    result = call(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def describe(directory: Path) -> Path:
    """The documents of these metrics and flags, in a directory of their own."""
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


def split(flag: str, control: int, treatment: int) -> list[Message]:
    """Exposures, one a unit: each arm's units, a millisecond apart."""
    variants = ["control"] * control + ["treatment"] * treatment
    return [{"flag_key": flag, "variant": v, "user_id": f"u{i}", "time": T + i} for i, v in enumerate(variants)]


def describe_orders(directory: Path, role: str, more: str = "") -> None:
    """An experiment of which the one metric is whether a unit has ordered."""
    variants, metrics = "[{ key: control }, { key: treatment }]", f"[{{ metric: order, role: {role} }}]"
    for kind, text in (
        ("experiments", f"key: mail\nowner: me\nvariants: {variants}\nmetrics: {metrics}\n{more}\n"),
        ("metrics", "key: order\nowner: me\ntype: conversion\nevent: order\nwindow: 1s\n"),
    ):
        (directory / kind).mkdir()
        (directory / kind / "a.yaml").write_text(text)
