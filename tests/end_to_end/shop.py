"""Shop: experiments of every kind of metric on the traffic of the visitors, and what they must come to.

Rows of the traffic's own file, in SQL and by other people's hashes, make the tables of `tests.oracle`.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pyarrow as pa
import xxhash
from aiokafka import ConsumerRecord
from amplitude_experiment.evaluation.murmur3 import hash32x86
from click.testing import CliRunner

from evaluation.catalog.in_force import Catalog, RunInForce
from pipeline.cli import command
from pipeline.kafka.follower import Follower
from pipeline.kafka.set_aside import SetAside
from pipeline.settings import Settings
from schemas.aggregate import Aggregate
from schemas.look import Look
from schemas.topics import AGGREGATES, EVENTS, EXPOSURES
from tests.oracle import Oracle, Row, definitions

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
variants: [{{key: control, weight: 3}}, {{key: treatment, weight: 2, users: [u7]}}],
breakdowns: [{{property: platform, values: [{", ".join(LISTED)}]}}],
metrics: [{", ".join(f"{{metric: {key}}}" for key in METRICS)}]""",
    "every-device": """
unit: device_id, variants: [{key: control}, {key: treatment}],
metrics: [{metric: spent}, {metric: funnel}, {metric: per-page}]""",
    "own-exposure": """
variants: [{key: control}, {key: treatment}], metrics: [{metric: buyers}, {metric: pages}], exposure_event:
  {event: page_view, where: [{property: event_properties.page, op: contains, values: ['/product/49']}]}""",
}
CELL = (
    *("metric", "reading", "segment", "variant", "n", "nonzero", "sum", "sum_squares", "denominator_sum"),
    *("control", "control_n", "control_nonzero", "control_sum", "control_sum_squares", "control_denominator_sum"),
)
MESSAGES = """
SELECT CASE WHEN value ->> '$.insert_id' IS NOT NULL AND value ->> '$.time' IS NOT NULL THEN value
    ELSE json_merge_patch(value, json_object('insert_id', name, 'time', time)) END
FROM said WHERE topic = ? AND NOT late
"""
MICROS = "greatest(least(round_even(revenue * 1000000, 0), (1::HUGEINT << 62)::DOUBLE), -(1::HUGEINT << 62)::DOUBLE)"
VALUES = {None: "1", "revenue": f"if(revenue IS NULL, NULL, {MICROS})::BIGINT"}  # by property
HALF = 21_474_837  # of the buckets of two equal weights
WHERE = {"greater": "coalesce(revenue > 40, paid > '40')"}  # by operator of a filter; no number is compared as text


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
    ids = pa.array([xxhash.xxh64_intdigest(name.encode()) for name in names.to_pylist()], pa.uint64())
    database.register("ids", pa.table({"name": names, "id": ids}))
    database.execute("CREATE TABLE said AS SELECT * FROM read JOIN ids USING (name)")
    return database


def expected(database: duckdb.DuckDBPyConnection, catalog: Catalog, clock: int, settings: Settings) -> set[Row]:
    """What the queries say of all experiments; their runs are called flag/run."""
    runs = [replace(run, key=f"{run.flag}/{run.key}") for flag in catalog.flags.values() for run in flag.runs]
    exposures = " UNION ALL ".join(_exposures(database, run) for run in runs)
    tables: dict[str, Any] = definitions(runs, settings.horizon)
    tables["exposures"] = database.sql(exposures).to_arrow_table()
    tables["events"] = database.sql(_events(catalog, runs)).to_arrow_table()
    return Oracle(threads=2).answer(tables, clock, settings.horizon, settings.horizon)


def analyzed(database: duckdb.DuckDBPyConnection, documents: Path, directory: Path) -> set[Row]:
    """The live cells, columns as in `CELL`, of `analyze` over files of the records that were not late.

    An insert id and a time that the record's append gave it stand in the files.
    """
    arguments = ["analyze", "--catalog", str(documents), "--json"]
    for topic in (EXPOSURES, EVENTS):
        file = directory / f"{topic}.ndjson"
        records = database.execute(MESSAGES, [topic])
        with file.open("w") as opened:
            while rows := records.fetchmany(10_000):
                opened.writelines(f"{value}\n" for (value,) in rows)
        arguments += [f"--{topic}", str(file)]
    called = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert called.exit_code == 0
    return live(msgspec.convert(msgspec.json.decode(called.stdout)["experiments"], list[Look]))


def live(looks: Iterable[Look]) -> set[Row]:
    """The live cells of these looks, columns as in `CELL`."""
    return {
        (look.experiment, look.run, *(getattr(cell, name) for name in CELL))
        for look in looks
        for cell in look.cells
        if cell.reading == "live"
    }


async def last_words(settings: Settings) -> list[Aggregate]:
    """The last word of every units partition on every experiment; its run is called flag/run."""
    newest: dict[bytes, Aggregate] = {}

    def read(record: ConsumerRecord) -> None:
        with suppress(msgspec.MsgspecError):  # a stranger's
            newest[record.key] = msgspec.json.decode(record.value or b"", type=Aggregate)

    follower = Follower(settings, AGGREGATES, read, SetAside())
    await follower.start()
    await follower.stop()
    found = list(newest.values())
    assert len(found) == settings.units_partitions * len(FLAGS)
    assert all(each.final for each in found)
    return named(found)


def compare_cells(snapshot: Path, expected: set[Row]) -> tuple[set[Row], list[str]]:
    """The cells that analysts read, columns as in `CELL`, and where one is not what the queries say."""
    sums: dict[Row, int] = {}
    for what, run, metric, _, reading, _, variant, segment, i, j, x in expected:
        if what == "sums":
            place = (run, metric, reading, segment, variant, i, j)
            sums[place] = sums.get(place, 0) + int(x)  # of every allocation
    with duckdb.connect(str(snapshot), read_only=True) as published:
        cells = published.execute(f"SELECT experiment, run, {', '.join(CELL)} FROM results").fetchall()
    differing = []
    for experiment, run, metric, reading, segment, *arms in cells:
        for variant, n, nonzero, total, squares, denominator in (arms[:6], arms[6:]):
            own = (f"{experiment}/{run}", metric, reading, segment, variant)
            places = [(None, None), (None, 0), (0, None), (0, 0)] + [(1, None)] * (denominator is not None)
            wanted = [sums.get((*own, *place), 0) for place in places]
            if (found := [n, nonzero, total, squares, denominator][: len(places)]) != wanted:
                differing.append(f"{own}: {found}, must be {wanted}")
    return set(cells), differing


def named(aggregates: Iterable[Aggregate]) -> list[Aggregate]:
    """Their runs are called flag/run."""
    return [msgspec.structs.replace(each, run=f"{each.flag}/{each.run}") for each in aggregates]


def _unit(unit_type: str) -> str:
    return f"hash('{unit_type}/' || {unit_type})"


def _exposures(database: duckdb.DuckDBPyConnection, run: RunInForce) -> str:
    """What the records say, or the events that stand in for them: these by the bucket of Amplitude's engine."""
    source, variant, inactive = f"said WHERE topic = 'exposures' AND flag = '{run.flag}'", "variant", "false"
    later = [f"(flag_version >= {each.flag_version})::INT" for each in run.allocations[1:]]
    allocation = " + ".join(["0", *later])  # that of the flag's version which the exposure carries
    if run.definition.exposure_event:
        shown = "said WHERE event = 'page_view' AND page LIKE '%/product/49%'"
        users = [user for (user,) in database.sql(f"SELECT DISTINCT user_id FROM {shown}").fetchall()]
        met = ["control" if hash32x86(f"{run.salt}/{user}") // 100 < HALF else "treatment" for user in users]
        database.register("met", pa.table({"user_id": users, "met": met}))
        source = shown.replace("said", "said JOIN met USING (user_id)")
        variant, inactive = "met", f"time < {run.started}"
    split = "'platform=' || CASE WHEN platform IN ('iOS', 'Android') THEN platform ELSE '(other)' END"
    packed, segments = "0", "['all']"
    if run.definition.breakdowns:
        packed = "CASE platform WHEN 'iOS' THEN 1 WHEN 'Android' THEN 2 ELSE 0 END"
        segments = f"['all', {split}]"
    arms = ", ".join(f"'{key}'" for key in run.allocations[0].weights)
    always = ", ".join(f"'{user}'" for each in run.definition.variants for user in ("", *each.users))
    unit = run.definition.unit
    return (
        f"SELECT '{run.key}', {allocation}, {variant}, {_unit(unit)}, time, id, {packed}, {segments}, late, "
        f"{inactive}, user_id IN ({always}) FROM {source} AND {variant} IN ({arms}) AND {unit} IS NOT NULL"
    )


def _events(catalog: Catalog, runs: list[RunInForce]) -> str:
    """One row for each fact that an event feeds and each unit type that asks for it, if only to look back one day."""
    asked = {(fact, run.definition.unit) for run in runs for metric in run.metrics.values() for fact in metric.facts}
    lookbacks = [metric for metric in catalog.metrics.values() if metric.lookback is not None]
    asked |= {(fact, run.definition.unit) for run in runs for metric in lookbacks for fact in metric.facts}
    parts = []
    for fact, unit in sorted(asked, key=str):
        value = VALUES[fact.property]
        where = "".join(f" AND {WHERE[condition.op]}" for condition in fact.where)
        key = fact.key.replace("'", "''")
        parts.append(
            f"SELECT '{key}', {_unit(unit)}, time, id, coalesce({value}, 0)::BIGINT, late, ({value}) IS NULL FROM said "
            f"WHERE topic = 'events' AND event = '{fact.event}' AND {unit} IS NOT NULL{where}"
        )
    return " UNION ALL ".join(parts)
