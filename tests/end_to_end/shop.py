"""Shop: experiments of every kind of metric on the traffic of the visitors, and what they must come to.

Rows of the traffic's own file, in SQL and by other people's hashes, make the tables of `tests.oracle`.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import xxhash
from amplitude_experiment.evaluation.murmur3 import hash32x86

from evaluation.catalog import Catalog, RunInForce
from pipeline.settings import Settings
from tests.oracle import Oracle, definitions

ROWS = Path(__file__).with_name("rows.sql").read_text()
LISTED = ("iOS", "Android")
METRICS = {
    "buyers": "type: conversion, event: purchase, window: 5s, cuped: {lookback: 1h}",
    "pages": "type: count, event: page_view, window: 4s, cap: 3, log: true",
    "ever": "type: count, event: page_view, window: none",
    "spent": "type: sum, event: purchase, property: revenue, window: 5s, cap: 60, cuped: {lookback: 2h}",
    "price": "type: mean, event: purchase, property: revenue, window: 5s",
    "logged": "type: sum, event: purchase, property: revenue, window: none, log: true",
    "dear": "type: sum, event: purchase, property: revenue, window: 5s, "
    "where: [{property: event_properties.revenue, op: greater, values: ['40']}]",
    "funnel": "type: funnel, window: 5s, steps: [{event: page_view}, {event: purchase}]",
    "rounds": "type: funnel, window: none, counting: totals, steps: [{event: page_view}, {event: page_view}]",
    "back": "type: retention, window: 5s, start: {event: page_view}, event: page_view, nth: 1, period: 1s",
    "per-page": "type: ratio, numerator: spent, denominator: ever, window: 5s, cuped: {lookback: 1h}",
}
FLAGS = {
    "every-metric": f"""
variants: [{{key: control, weight: 3}}, {{key: treatment, weight: 2}}],
breakdowns: [{{property: platform, values: [{", ".join(LISTED)}]}}],
metrics: [{", ".join(f"{{metric: {key}}}" for key in METRICS)}]""",
    "every-device": """
unit: device_id, variants: [{key: control}, {key: treatment}],
metrics: [{metric: spent}, {metric: funnel}, {metric: per-page}]""",
    "own-exposure": """
variants: [{key: control}, {key: treatment}], metrics: [{metric: buyers}, {metric: pages}],
exposure_event: {event: page_view, where: [{property: event_properties.page, op: contains, values: ['/product/1']}]}""",
}
VALUES = {None: "1", "revenue": "round_even(revenue * 100, 0)::BIGINT"}  # by property
HALF = 21_474_837  # of the buckets of two equal weights
WHERE = {"greater": "revenue > 40"}  # by operator of a filter


def write_documents(directory: Path) -> Path:
    """The experiments and metrics as files."""
    for folder, documents in (("metrics", METRICS), ("experiments", FLAGS)):
        (directory / folder).mkdir(parents=True, exist_ok=True)
        for key, text in documents.items():
            (directory / folder / f"{key}.yaml").write_text(f"{{key: {key}, owner: tests, {text}}}")
    return directory


def rows_of(file: Path, settings: Settings) -> duckdb.DuckDBPyConnection:
    """A database whose table `said` has a row for each record of the traffic's file that can be used."""
    database = duckdb.connect()
    parameters = {"file": str(file), "horizon": settings.horizon, "tolerance": settings.tolerance}
    database.execute(f"CREATE TABLE read AS {ROWS}", parameters)
    names = database.sql("SELECT DISTINCT name FROM read").to_arrow_table()["name"]
    ids = pa.array([xxhash.xxh64(name.encode()).intdigest() for name in names.to_pylist()], pa.uint64())
    database.register("ids", pa.table({"name": names, "id": ids}))
    database.execute("CREATE TABLE said AS SELECT * FROM read JOIN ids USING (name)")
    return database


def expected(database: duckdb.DuckDBPyConnection, catalog: Catalog, clock: int, settings: Settings) -> set[Any]:
    """What the queries say of all experiments; their runs are called flag/run."""
    flags = [flag for flag in catalog.flags.values() if flag.definition.metrics]
    runs = [replace(run, key=f"{run.flag}/{run.key}") for flag in flags for run in flag.runs]
    tables: dict[str, Any] = definitions(runs, settings.horizon)
    tables["exposures"] = [row for run in runs for row in _exposures(database, run)]
    tables["events"] = database.execute(_events(runs)).fetchall()
    return Oracle(threads=2).answer(tables, clock, settings.horizon, settings.horizon)


def _unit(run: RunInForce) -> str:
    kind = run.definition.unit
    return f"hash('{kind}/' || {kind})"


def _exposures(database: duckdb.DuckDBPyConnection, run: RunInForce) -> list[tuple[Any, ...]]:
    """What the records say, or the events that stand in for them: these by the bucket of Amplitude's engine."""
    source, variant = f"said WHERE topic = 'exposures' AND flag = '{run.flag}'", "variant"
    if run.definition.exposure_event:
        users = [user for (user,) in database.execute("SELECT DISTINCT user_id FROM said").fetchall()]
        met = ["control" if hash32x86(f"{run.salt}/{user}") // 100 < HALF else "treatment" for user in users]
        database.register("met", pa.table({"user_id": users, "met": met}))
        source = "said JOIN met USING (user_id) WHERE event = 'page_view' AND page LIKE '%/product/1%'"
        variant = "met"
    split = "'platform=' || CASE WHEN platform IN ('iOS', 'Android') THEN platform ELSE '(other)' END"
    packed, segments = "0", "['all']"
    if run.definition.breakdowns:
        packed = "CASE platform WHEN 'iOS' THEN 1 WHEN 'Android' THEN 2 ELSE 0 END"
        segments = f"['all', {split}]"
    arms = ", ".join(f"'{key}'" for key in run.allocations[0].weights)
    return database.execute(
        f"SELECT '{run.key}', 0, {variant}, {_unit(run)}, time, id, {packed}, {segments}, late, false, false "
        f"FROM {source} AND {variant} IN ({arms})"
    ).fetchall()


def _events(runs: list[RunInForce]) -> str:
    """One row for each fact that an event feeds and each unit type that asks for it."""
    asked = {(fact, _unit(run)) for run in runs for metric in run.metrics.values() for fact in metric.facts}
    parts = []
    for fact, unit in sorted(asked, key=str):
        value = VALUES[fact.property]
        where = "".join(f" AND {WHERE[condition.op]}" for condition in fact.where)
        key = fact.key.replace("'", "''")
        parts.append(
            f"SELECT '{key}', {unit}, time, id, coalesce({value}, 0), late, ({value}) IS NULL FROM said "
            f"WHERE topic = 'events' AND event = '{fact.event}'{where}"
        )
    return " UNION ALL ".join(parts)
