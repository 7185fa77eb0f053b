"""Laws: order, cuts, repeats and checkpoints change nothing, and one SQL query over the raw rows gives the same."""

import random
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evaluation.metrics.partition import Partition
from schemas.units import Kind

ORACLE = (Path(__file__).parents[2] / "oracle" / "units_oracle.sql").read_text()
HORIZON = 100
SPAN = 900  # event times lie in [0, SPAN)
EXPOSED = Kind.EXPOSURE

kinds_of_exposures = st.sampled_from([0] * 12 + [Kind.LATE, Kind.INACTIVE, Kind.FORCED, Kind.LATE | Kind.FORCED])
kinds_of_events = st.sampled_from([0] * 12 + [Kind.LATE, Kind.UNUSABLE, Kind.LATE | Kind.UNUSABLE])
units = st.integers(0, 5).map(lambda unit: (1 << 64) - 1 - unit * 0x1234567890ABCDE)
times = st.integers(0, SPAN - 1)
names = st.sampled_from([0, 1, 2, (1 << 64) - 1, 1 << 63])
edges = st.sampled_from([window - 1 + more for window in (0, 50, 150, 200, 300) for more in (0, 1)])
values = st.one_of(st.integers(-3, 3), st.integers(-(1 << 47) - 5, (1 << 47) + 5))
exposures = st.tuples(kinds_of_exposures.map(lambda k: k | EXPOSED), st.integers(0, 5), units, times, names, st.just(0))
events = st.tuples(kinds_of_events, st.integers(0, 1), units, times, names, values)


@st.composite
def histories(draw):
    """Rows (in no order yet), some of them repeats, some at the edges of others' windows, and a clock to end with.

    A repeated event repeats its value.
    """
    rows = draw(st.lists(st.one_of(exposures, events, events), min_size=1, max_size=40))
    for _ in range(draw(st.integers(0, 8))):
        kind, code, unit, time, name, value = draw(st.sampled_from(rows))
        time = min(SPAN - 1, max(0, time + draw(st.sampled_from([0, 0, 1, -1, 60, HORIZON, HORIZON + 1]))))
        name = draw(st.sampled_from([name, name, name ^ 1, name ^ (1 << 63)]))
        code = draw(st.sampled_from([code, draw(st.integers(0, 5 if kind & EXPOSED else 1))]))
        rows.append((kind, code, unit, time, name, value))
    shown = [row for row in rows if row[0] == EXPOSED] or rows
    for _ in range(draw(st.integers(0, 5))):
        _, _, unit, time, _, _ = draw(st.sampled_from(shown))
        time = min(SPAN - 1, max(0, time + draw(edges)))
        rows.append((0, draw(st.integers(0, 1)), unit, time, draw(names), draw(values)))
    standing = {}
    rows = [row if row[0] & EXPOSED else (*row[:5], standing.setdefault(row[1:5], row[5])) for row in rows]
    settles = [row[3] + window + HORIZON for row in shown for window in (50, 200, 300)]
    clock = draw(
        st.one_of(st.integers(0, 3000), st.sampled_from(settles), st.sampled_from(settles).map(lambda t: t + 1))
    )
    return rows, clock


def fold(make, catalogs, rows, clock, seed):
    """Fold the rows in an order of the seed's choice, cut, repeated, saved and loaded as it chooses.

    The clock is any that the rows still to come allow: none that counts is behind it by more than the horizon. A
    catalog's version comes into force before what it began at is out of reach.
    """
    chance = random.Random(seed)
    jitter = chance.choice([0, HORIZON, 3 * HORIZON, 2 * SPAN])
    order = sorted(rows, key=lambda row: row[3] + chance.uniform(0, jitter))
    log = make.Log(*catalogs)
    sent = []
    past = {"events": [], "exposures": []}
    latest = 0
    last = catalogs[-1].flags["flag"].runs
    begins = [since for run in last for since in run.since.values() if since] + [
        run.completed for run in last if run.completed is not None
    ]
    while order or not sent:
        size = chance.choice([1, 1, 2, 5, 40])
        now, order = order[:size], order[size:]
        ahead = [row[3] for row in order if not row[0] & Kind.LATE]
        version = catalogs[0].offset if len(sent) < 2 and order else catalogs[-1].offset
        limits = [min(ahead, default=SPAN) + HORIZON]
        if version != catalogs[-1].offset:
            limits.append(min(begins))
        latest = max(latest, min(limits) - chance.choice([0, 0, 1, 30]))
        topic = chance.choice(["events", "exposures"])
        again = past[topic][-chance.choice([1, 1, 3]) :] if chance.random() < 0.5 else []  # a restart begins earlier
        begin = log.position.get(topic, 0) - len(again)
        message = log.message(again + now, clock=latest, topic=topic, catalog=version, begin=begin)
        log.partition.fold(log.partition.offset, message, log.catalog_at)
        sent.append(message)
        past[topic] += now
        log.send(clock=latest, topic={"events": "exposures", "exposures": "events"}[topic], catalog=version)
        if chance.random() < 0.3:  # a zombie sends what it sent before
            log.partition.fold(log.partition.offset, chance.choice(sent), log.catalog_at)
        if chance.random() < 0.3:
            log.partition.aggregates()
        if chance.random() < 0.3:
            log.partition = Partition.load(log.partition.save())
    for topic in ("events", "exposures"):
        log.send(clock=max(clock, latest), topic=topic)
    log.partition = Partition.load(log.partition.save())
    return log


def from_sql(rows, catalog, arms, clock):
    """The oracle's answer as a set of tuples."""
    runs = catalog.flags["flag"].runs
    facts = sorted({metric.facts[0].key for run in runs for metric in run.metrics.values()})
    tables = {
        "exposures": [
            (*arms[code], unit, time, name, *(bool(kind & each) for each in (Kind.LATE, Kind.INACTIVE, Kind.FORCED)))
            for kind, code, unit, time, name, _ in rows
            if kind & EXPOSED
        ],
        "events": [
            (facts[code], unit, time, name, value, bool(kind & Kind.LATE), bool(kind & Kind.UNUSABLE))
            for kind, code, unit, time, name, value in rows
            if not kind & EXPOSED
        ],
        "arms": sorted({(run.key, n, v) for run in runs for n, a in enumerate(run.allocations) for v in a.weights}),
        "metrics": [
            (run.key, key, metric.version, metric.definition.type, metric.facts[0].key, metric.window, run.since[key])
            for run in runs
            for key, metric in run.metrics.items()
        ],
        "runs": [(run.key, run.started, ends(run)) for run in runs],
    }
    database = duckdb.connect(config={"threads": 1})
    for name, columns in COLUMNS.items():
        data = zip(*tables[name], strict=True) if tables[name] else [[] for _ in columns]
        arrays = [pa.array(values, kind) for values, (_, kind) in zip(data, columns, strict=True)]
        database.register(name, pa.table(arrays, names=[column for column, _ in columns]))
    found = database.execute(ORACLE, {"clock": clock, "horizon": HORIZON, "gap": HORIZON}).fetchall()
    database.close()
    return set(found)


S, N, U, B = pa.string(), pa.int64(), pa.uint64(), pa.bool_()
COLUMNS = {
    "exposures": [
        *[("run", S), ("allocation", N), ("variant", S), ("unit", U), ("time", N), ("id", U)],
        *[("late", B), ("inactive", B), ("forced", B)],
    ],
    "events": [("fact", S), ("unit", U), ("time", N), ("id", U), ("value", N), ("late", B), ("unusable", B)],
    "arms": [("run", S), ("allocation", N), ("variant", S)],
    "metrics": [("run", S), ("metric", S), ("version", N), ("kind", S), ("fact", S), ("span", N), ("since", N)],
    "runs": [("run", S), ("started", N), ("ends", N)],
}


def ends(run):
    """When events of the run stop to count: a second for the catalog to settle, the longest window, a horizon."""
    if run.completed is None:
        return None
    windows = [metric.window for metric in run.metrics.values() if metric.window is not None]
    return run.completed + 1000 + max(windows, default=0) + HORIZON


def from_store(aggregates):
    """The store's answer in the oracle's shape."""
    found = set()
    for a in aggregates:
        found.add(("exposures", a.run, *[None] * 5, a.exposures, a.late, str(a.inactive), str(a.forced)))
        found.add(("units", a.run, *[None] * 5, a.jumpers, a.reassigned, str(a.duplicate_ids), None))
        found |= {("arm", a.run, *[None] * 3, arm.allocation, arm.variant, arm.units, *[None] * 3) for arm in a.arms}
        for s in a.sums:
            cell = (s.metric, s.version, s.reading, s.allocation, s.variant, s.n, s.nonzero, str(s.first[0]))
            found.add(("sums", a.run, *cell, str(s.second[0])))
        for m in a.metrics:
            found.add(("counted", a.run, m.metric, *[None] * 4, m.events, m.withheld, None, None))
            found.add(("left out", a.run, m.metric, *[None] * 4, m.late, m.unusable, str(m.duplicates), None))
    return found


def catalogs_of(make, change):
    """One catalog or two: a metric changes and another comes, or a run completes."""
    metrics = [
        make.metric("bought", "conversion", "300ms"),
        make.metric("buys", "count", "50ms"),
        make.metric("ever", "count", "none"),
        make.metric("revenue", "sum", "200ms"),
    ]
    others = [make.metric("bought", "conversion", "300ms"), make.metric("all", "sum", "none")]
    first = make.catalog(5, [make.run("exp-1", metrics), make.run("exp-2", others, started=200, allocations=1)])
    if change == "nothing":
        return [first]
    second_others = make.run("exp-2", others, started=200, allocations=1)
    if change == "complete":
        return [first, make.catalog(6, [make.run("exp-1", metrics, completed=400), second_others])]
    changed = [*metrics[1:], make.metric("bought", "count", "150ms", version=2), make.metric("new", "sum", "none")]
    since = {"bought": 300, "new": 500}
    return [first, make.catalog(7, [make.run("exp-1", changed, since=since), second_others])]


@pytest.mark.parametrize("change", ["nothing", "metrics", "complete"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=histories(), seed=st.integers(0, 1 << 32))
def test_the_store_equals_one_sql_query_in_any_order_and_any_cut(make, change, history, seed):
    rows, clock = history
    catalogs = catalogs_of(make, change)

    log = fold(make, catalogs, rows, clock, seed)

    aggregates = log.partition.aggregates()
    expected = from_sql(rows, catalogs[-1], make.arms, log.partition.clock)
    found = from_store(aggregates)
    if change == "metrics":  # what was left out before a metric came is told by position, not by the set of records
        expected = {each for each in expected if each[0] != "left out" or each[2] not in ("bought", "new")}
        found = {each for each in found if each[0] != "left out" or each[2] not in ("bought", "new")}
    assert sorted(found - expected, key=str) == sorted(expected - found, key=str)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=histories(), seeds=st.tuples(st.integers(0, 1 << 32), st.integers(0, 1 << 32)))
def test_two_orders_of_the_same_records_give_the_same_bytes(make, history, seeds):
    rows, _ = history
    catalogs = catalogs_of(make, "nothing")

    one, other = (fold(make, catalogs, rows, 2000, seed) for seed in seeds)

    assert one.bytes() == other.bytes()


@pytest.mark.parametrize("seed", range(3))
def test_a_long_history_with_a_moving_clock_equals_the_query(make, seed):
    chance = random.Random(seed)
    catalogs = catalogs_of(make, "nothing")
    rows = []
    for _ in range(12_000):
        time, unit = (
            chance.randrange(40_000),
            chance.getrandbits(64) if chance.random() < 0.1 else chance.randrange(700),
        )
        kind = chance.choice([0] * 9 + [Kind.LATE])
        if chance.random() < 0.2:
            rows.append(
                (EXPOSED | kind, chance.choice([0] * 20 + [1, 2, 3, 4, 5]), unit, time, chance.getrandbits(64), 0)
            )
        else:
            name = chance.choice([chance.getrandbits(64), 1, 2])
            rows.append((kind, chance.randrange(2), unit, time, name, (unit * 31 + time * 17 + name) % 1000 - 300))
            if chance.random() < 0.1:
                rows.append(rows[-1])
    order = sorted(rows, key=lambda row: row[3] + chance.uniform(0, HORIZON))
    log = make.Log(*catalogs)
    while order:
        now, order = order[:150], order[150:]
        ahead = [row[3] for row in order if not row[0] & Kind.LATE]
        log.send(*now, clock=min(ahead, default=40_000) + HORIZON)
        if chance.random() < 0.1:
            log.partition = Partition.load(log.partition.save())

    assert from_store(log.partition.aggregates()) == from_sql(rows, catalogs[-1], make.arms, log.partition.clock)
