"""Oracle: what the unit store must come to, from raw rows, in plain SQL; one query for each type of metric.

It shares no code with the store. The files are read in this order, each is a table for those after it.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, combinations_with_replacement
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from evaluation.catalog.in_force import RunInForce
from schemas.aggregate import Aggregate
from schemas.catalog import Breakdown, Metric
from schemas.duration import parse_duration
from schemas.recount import marked

HERE = Path(__file__).parent
TYPES = ("conversion", "count", "sum", "mean", "funnel", "retention", "percentile", "distinct")
ORDER = ("members", "happened", "windows", *TYPES, "numbers", "spread")
QUERIES = {name: (HERE / f"{name}.sql").read_text() for name in (*ORDER, "answer", "joined")}

S, N, U, B = pa.string(), pa.int64(), pa.uint64(), pa.bool_()
COLUMNS: dict[str, dict[str, pa.DataType]] = {
    "exposures": {
        "run": S,
        "allocation": N,
        "variant": S,
        "unit": U,
        "time": N,
        "id": U,
        "packed": N,
        "segments": pa.list_(S),
        "late": B,
        "inactive": B,
        "forced": B,
    },
    "events": {"fact": S, "unit": U, "time": N, "id": U, "value": N, "late": B, "unusable": B},
    "metrics": {"run": S, "metric": S, "version": N, "span": N, "since": N, "width": N, "recorded": N, "spread": S},
    "variables": {
        "run": S,
        "metric": S,
        "variable": N,
        "kind": S,
        "facts": pa.list_(S),
        "totals": B,
        "begins": N,
        "ends": N,
        "one": N,
        "factor": N,
        "cap": N,
        "lower_cap": N,
        "is_other": B,
        "pasts": N,
    },
    "runs": {"run": S, "ends": N},
}
JOINED: dict[str, dict[str, pa.DataType]] = {
    "own": COLUMNS["events"],
    "loose": {"pair": S, "identity": U} | {name: kind for name, kind in COLUMNS["events"].items() if name != "unit"},
    "joins": {"pair": S, "identity": U, "unit": U, "time": N},
}

Row = tuple[Any, ...]


class Oracle:
    """A database that answers question after question."""

    def __init__(self, threads: int = 1) -> None:
        self._database = duckdb.connect(config={"threads": threads})

    def answer(self, tables: Mapping[str, Iterable[Row] | pa.Table], clock: int, horizon: int, minute: int) -> set[Row]:
        """What the rows of `tables`, by the names of `COLUMNS`, come to, zeros left out."""
        for name, columns in COLUMNS.items():
            self._database.register(name, _table(tables[name], columns))
        for name in ORDER:
            self._database.execute(f'CREATE OR REPLACE TEMP TABLE "{name}" AS {QUERIES[name]}')
        parameters = {"clock": clock, "horizon": horizon, "minute": minute}
        return set(self._database.execute(QUERIES["answer"], parameters).fetchall())

    def joined(self, tables: Mapping[str, Iterable[Row]], horizon: int, pair: str) -> pa.Table:
        """The table `events` of what units and people did, by all joins; `tables` by the names of `JOINED`."""
        for name, columns in JOINED.items():
            self._database.register(name, _table(tables[name], columns))
        return self._database.sql(QUERIES["joined"], params={"horizon": horizon, "pair": pair}).to_arrow_table()


def _table(rows: Iterable[Row] | pa.Table, columns: Mapping[str, pa.DataType]) -> pa.Table:
    if isinstance(rows, pa.Table):
        return rows.rename_columns(list(columns)).cast(pa.schema(columns))
    rows = list(rows)
    data = zip(*rows, strict=True) if rows else [[] for _ in columns]
    arrays = [pa.array(values, kind) for values, kind in zip(data, columns.values(), strict=True)]
    return pa.table(arrays, names=list(columns))


def definitions(runs: Iterable[RunInForce], horizon: int) -> dict[str, list[Row]]:
    """The tables `metrics`, `variables` and `runs`: what the documents in force say."""
    tables: dict[str, list[Row]] = {"metrics": [], "variables": [], "runs": []}
    for run in runs:
        tables["runs"].append((run.key, _ends(run, horizon)))
        for key, metric in run.metrics.items():
            cuped = metric.definition.cuped
            since = run.since[key] if run.since[key] > run.started else 0
            width = max(1, parse_duration(cuped.lookback) // 14) if cuped else None
            past = (width, metric.recorded + 1000 + horizon) if cuped else (None, None)
            spread = metric.definition.of if metric.definition.type == "percentile" else None
            tables["metrics"].append((run.key, key, metric.version, metric.window, since, *past, spread))
            behind = f"~{run.definition.unit}~{run.definition.identity}" if run.definition.identity else ""
            own = metric.parts or (metric.definition,)
            others = [part for parts in metric.others for part in parts] if cuped else []
            read = [*metric.variables, *(each for its in metric.others_variables for each in its)]
            has_past = cuped and not any(part.type in ("funnel", "retention") for part in own)
            for variable, part in enumerate([*own, *others]):
                facts = [marked(fact.key, run.generation) + behind for fact in read[variable].facts]
                past = variable >= len(own), len(own) if has_past else 0
                tables["variables"].append((run.key, key, variable, *_variable(part, facts), *past))
    return tables


def _variable(part: Metric, facts: list[str]) -> Row:
    scale = 6 if part.scale is None else part.scale
    one = 10**scale if part.type in ("sum", "mean", "percentile") else 1
    period = parse_duration(part.period)
    return (
        {"percentile/units": "sum", "distinct/": "days"}.get(f"{part.type}/{_which(part)}", part.type),
        facts,
        part.counting == "totals",
        part.nth * period,
        part.nth * period + period,
        one,
        10**scale if part.log else None,
        *(None if cap is None else round(cap * one) for cap in (part.cap, part.lower_cap)),
    )


def _which(part: Metric) -> str | None:
    return part.of if part.type == "percentile" else part.property or ""


def _ends(run: RunInForce, horizon: int) -> int | None:
    """When events stop to count: a second for the catalog to settle, the longest window, a horizon."""
    if run.completed is None:
        return None
    windows = [metric.window for metric in run.metrics.values() if metric.window is not None]
    return run.completed + 1000 + max(windows, default=0) + horizon


def segments(breakdowns: Sequence[Breakdown], packed: int) -> list[str]:
    """The segments that an exposure's value names."""
    found = ["all"]
    for number, breakdown in enumerate(breakdowns):
        code = packed >> 6 * number & 63
        found.append(f"{breakdown.property}={('(other)', *breakdown.values)[code]}")
    return found


def published(aggregates: Iterable[Aggregate]) -> set[Row]:
    """The store's answer in the oracle's shape. Aggregates of several partitions add up."""
    totals: dict[Row, int] = {}

    def add(key: Row, number: int | str) -> None:
        totals[key] = totals.get(key, 0) + int(number)

    for each in aggregates:
        for sums in each.sums:
            cell = (sums.metric, sums.version, sums.reading, sums.allocation, sums.variant, sums.segment)
            add(("sums", each.run, *cell, None, None), sums.n)
            add(("sums", each.run, *cell, None, 0), sums.nonzero)
            for i, x in enumerate(sums.first):
                add(("sums", each.run, *cell, i, None), x)
            pairs = combinations_with_replacement(range(len(sums.first)), 2)
            for pair, x in zip(pairs, sums.second, strict=True):
                add(("sums", each.run, *cell, *pair), x)
            if sums.spread:
                buckets = list(accumulate(sums.spread.steps))
                columns = sums.spread.values, sums.spread.squares, sums.spread.products
                for j, column in enumerate(columns):
                    for bucket, x in zip(buckets, column, strict=False):
                        add(("spread", each.run, *cell, bucket, j), x)
        counted: dict[tuple[str | None, str], int] = {
            (None, "exposures"): each.exposures,
            (None, "late exposures"): each.late,
            (None, "inactive"): each.inactive,
            (None, "forced"): each.forced,
            (None, "jumpers"): each.jumpers,
            (None, "reassigned"): each.reassigned,
            (None, "pairs"): each.duplicate_ids,
        }
        counted |= {(None, f"units/{arm.allocation}/{arm.variant}"): arm.units for arm in each.arms}
        for metric in each.metrics:
            for name in ("events", "withheld", "late", "unusable", "duplicates"):
                counted[metric.metric, name] = getattr(metric, name)
            counted[metric.metric, "looked back"] = metric.looked_back
        for (key, what), number in counted.items():
            add((what, each.run, key, *[None] * 7), number)
    return {(*key, str(number)) for key, number in totals.items() if number}
