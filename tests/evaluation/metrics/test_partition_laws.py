"""Laws: order, cuts, repeats and checkpoints change nothing, and SQL queries over the raw rows give the same."""

import random
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evaluation.metrics.partition import Partition
from schemas.catalog import Breakdown, Cuped, Step
from schemas.numbers import BEYOND
from schemas.units import RowKind
from tests.oracle import Oracle, definitions, published, segments

HORIZON = 100
SPAN = 900  # event times lie in [0, SPAN)
EXPOSED = RowKind.EXPOSURE
FACTS, PRICES = 4, (0, 1)

kinds_of_exposures = st.sampled_from(
    [0] * 12 + [RowKind.LATE, RowKind.INACTIVE, RowKind.FORCED, RowKind.LATE | RowKind.FORCED]
)
kinds_of_events = st.sampled_from([0] * 12 + [RowKind.LATE, RowKind.UNUSABLE, RowKind.LATE | RowKind.UNUSABLE])
units = st.integers(0, 5).map(lambda unit: (1 << 64) - 1 - unit * 0x1234567890ABCDE)
times = st.integers(0, SPAN - 1)
names = st.sampled_from([0, 1, 2, (1 << 64) - 1, 1 << 63])
edges = st.sampled_from([window - 1 + more for window in (0, 50, 150, 200, 300) for more in (0, 1)])
values = st.one_of(
    *(st.integers(-largest, largest) for largest in (3, 500_000, 1 << 47, BEYOND)), st.sampled_from([-BEYOND, BEYOND])
)
splits = st.tuples(st.integers(0, 2), st.integers(0, 1)).map(lambda codes: codes[0] | codes[1] << 6)
exposures = st.tuples(kinds_of_exposures.map(lambda k: k | EXPOSED), st.integers(0, 5), units, times, names, splits)
events = st.tuples(kinds_of_events, st.integers(0, FACTS - 1), units, times, names, values)


@pytest.fixture(scope="module")
def oracle():
    """The queries."""
    return Oracle()


@st.composite
def histories(draw):
    """Rows (in no order yet), some of them repeats, some at the edges of others' windows, and a watermark to end with.

    A repeat may tell another value.
    """
    size = draw(st.integers(1, 40))  # said, for lists are short by themselves
    rows = draw(st.lists(st.one_of(exposures, events, events), min_size=size, max_size=size))
    for _ in range(draw(st.integers(0, 8))):
        kind, code, unit, time, name, value = draw(st.sampled_from(rows))
        time = min(SPAN - 1, max(0, time + draw(st.sampled_from([0, 0, 1, -1, 60, HORIZON, HORIZON + 1]))))
        name = draw(st.sampled_from([name, name, name ^ 1, name ^ (1 << 63)]))
        code = draw(st.sampled_from([code, draw(st.integers(0, 5 if kind & EXPOSED else FACTS - 1))]))
        if not kind & EXPOSED:
            value = draw(st.one_of(st.just(value), values))
        rows.append((kind, code, unit, time, name, value))
    shown = [row for row in rows if row[0] == EXPOSED] or rows
    for _ in range(draw(st.integers(0, 5))):
        _, _, unit, time, _, _ = draw(st.sampled_from(shown))
        time = min(SPAN - 1, max(0, time + draw(edges)))
        rows.append((0, draw(st.integers(0, FACTS - 1)), unit, time, draw(names), draw(values)))
    rows = [row if row[0] & EXPOSED or row[1] in PRICES else (*row[:5], 1) for row in rows]
    settles = [row[3] + window + HORIZON for row in shown for window in (50, 200, 300)]
    watermark = draw(
        st.one_of(st.integers(0, 3000), st.sampled_from(settles), st.sampled_from(settles).map(lambda t: t + 1))
    )
    return rows, watermark


def fold(make, catalogs, rows, watermark, seed):
    """Fold the rows in an order of the seed's choice, cut, repeated, saved and loaded as it chooses.

    The watermark is any that the rows still to come allow: none that counts is behind it by more than the horizon. A
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
        ahead = [row[3] for row in order if not row[0] & RowKind.LATE]
        version = catalogs[0].offset if len(sent) < 2 and order else catalogs[-1].offset
        limits = [min(ahead, default=SPAN) + HORIZON]
        if version != catalogs[-1].offset:
            limits.append(min(begins))
        latest = max(latest, min(limits) - chance.choice([0, 0, 1, 30]))
        topic = chance.choice(["events", "exposures"])
        again = past[topic][-chance.choice([1, 1, 3]) :] if chance.random() < 0.5 else []  # a restart begins earlier
        begin = log.position.get(topic, 0) - len(again)
        message = log.message(again + now, watermark=latest, topic=topic, catalog=version, begin=begin)
        log.partition.fold(log.partition.offset, message, log.catalog_at)
        sent.append(message)
        past[topic] += now
        log.send(watermark=latest, topic={"events": "exposures", "exposures": "events"}[topic], catalog=version)
        if chance.random() < 0.3:  # a zombie sends what it sent before
            log.partition.fold(log.partition.offset, chance.choice(sent), log.catalog_at)
        if chance.random() < 0.3:
            log.partition.aggregates()
        if chance.random() < 0.3:
            log.partition = Partition.load(log.partition.save())
    for topic in ("events", "exposures"):
        log.send(watermark=max(watermark, latest), topic=topic)
    log.partition = Partition.load(log.partition.save())
    return log


def expected_of(oracle, rows, catalog, make, watermark):
    """The oracle's answer."""
    runs = catalog.flags["flag"].runs
    facts = make.Log(catalog).facts
    tables = definitions(runs, HORIZON)
    tables["exposures"] = [
        (
            *(*make.arms[code], unit, time, name, packed, segments(BREAKDOWNS, packed)),
            *(bool(kind & each) for each in (RowKind.LATE, RowKind.INACTIVE, RowKind.FORCED)),
        )
        for kind, code, unit, time, name, packed in rows
        if kind & EXPOSED
    ]
    tables["events"] = [
        (facts[code], unit, time, name, value, bool(kind & RowKind.LATE), bool(kind & RowKind.UNUSABLE))
        for kind, code, unit, time, name, value in rows
        if not kind & EXPOSED
    ]
    return oracle.answer(tables, watermark, HORIZON, HORIZON)


BREAKDOWNS = (
    Breakdown(property="platform", values=("ios", "android")),
    Breakdown(property="country", values=("FR",)),
)


def catalogs_of(make, change):
    """One catalog or two: metrics change and another comes, or a run completes. Facts: buy, its price, view."""
    metric = make.metric
    view, buy = Step(event="view"), Step(event="buy")
    price = metric("price", "mean", "200ms", cap=1000.0, lower_cap=-500.0)
    lookback = Cuped(lookback="280ms")
    metrics = [
        metric("bought", "conversion", "300ms", cuped=Cuped(lookback="140ms")),
        metric("buys", "count", "50ms", cap=2.0, log=True),
        metric("ever", "count", "none"),
        metric("revenue", "sum", "200ms", cuped=lookback),
        price,
        metric("logged", "sum", "200ms", cap=100.0, log=True),
        metric("funnel", "funnel", "300ms", steps=(view, buy)),
        metric("rounds", "funnel", "none", steps=(buy, view, buy), counting="totals"),
        metric("back", "retention", "200ms", start=view, nth=1, period="50ms"),
        metric("prices", "distinct", "200ms", property="price"),
        metric("days", "distinct", "none", event="view", cap=2.0),
        metric("slow", "percentile", "200ms", percentile=90.0),
        metric("slowest", "percentile", "none", percentile=99.0),
        metric("big", "percentile", "200ms", percentile=50.0, of="units"),
        metric("at_once", "retention", "none", start=buy, nth=0, period="50ms"),
    ]
    metrics.append(metric("each", "ratio", "200ms", parts=(metric("r", "sum"), metric("c")), cuped=lookback))
    views, parts = metric("views", event="view"), (metric("r", "sum"), metric("c"))
    explained = metric("explained", "sum", "200ms", cuped=lookback)
    metrics.append(replace(explained, others=((views.definition,), tuple(each.definition for each in parts))))
    steps = metric("steps", "funnel", "300ms", steps=(view, buy), cuped=lookback)
    metrics.append(replace(steps, others=((price.definition,),)))
    metrics.append(metric("part", "ratio", "none", parts=(price, metric("f", "funnel", steps=(view, buy)))))
    metrics = [replace(each, recorded=100 - 1000 - HORIZON) for each in metrics]
    others = [metric("bought", "conversion", "300ms"), metric("all", "sum", "none")]
    second = make.run("exp-2", others, started=200, allocations=1, breakdowns=BREAKDOWNS)
    first = make.run("exp-1", metrics, breakdowns=BREAKDOWNS)
    if change == "nothing":
        return [make.catalog(5, [first, second])]
    if change == "complete":
        return [make.catalog(5, [first, second]), make.catalog(6, [replace(first, completed=400), second])]
    changed = [
        *(each for each in metrics if each.definition.key not in CHANGED),
        metric("bought", "count", "150ms", version=2),
        replace(metric("revenue", "sum", "100ms", version=2, cuped=lookback), recorded=100 - 1000 - HORIZON),
        metric("funnel", "funnel", "100ms", version=2, steps=(buy, view)),
        metric("new", "sum", "none"),
        metric("prices", "distinct", "none", version=2, property="price", log=True),
        metric("slow", "percentile", "300ms", version=2, percentile=90.0),
    ]
    since = {"bought": 300, "revenue": 300, "funnel": 300, "new": 500, "slow": 300, "prices": 300}
    after = make.run("exp-1", changed, since=since, breakdowns=BREAKDOWNS)
    return [make.catalog(5, [first, second]), make.catalog(7, [after, second])]


CHANGED = ("bought", "revenue", "funnel", "new", "slow", "prices")


@pytest.mark.parametrize("change", ["nothing", "metrics", "complete"])
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=histories(), seed=st.integers(0, 1 << 32))
def test_the_store_equals_the_queries_in_any_order_and_any_cut(make, oracle, change, history, seed):
    rows, watermark = history
    catalogs = catalogs_of(make, change)

    log = fold(make, catalogs, rows, watermark, seed)

    found = published(log.partition.aggregates())
    expected = expected_of(oracle, rows, catalogs[-1], make, log.partition.watermark)
    assert sorted(found - expected, key=str) == sorted(expected - found, key=str)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=histories(), seeds=st.tuples(st.integers(0, 1 << 32), st.integers(0, 1 << 32)))
def test_two_orders_of_the_same_records_give_the_same_bytes(make, history, seeds):
    rows, _ = history
    catalogs = catalogs_of(make, "nothing")

    one, other = (fold(make, catalogs, rows, 2000, seed) for seed in seeds)

    assert one.bytes() == other.bytes()


@pytest.mark.parametrize("seed", range(3))
def test_a_long_history_with_a_moving_watermark_equals_the_queries(make, oracle, seed):
    chance = random.Random(seed)
    catalogs = catalogs_of(make, "nothing")
    rows = []
    for _ in range(12_000):
        time, unit = (
            chance.randrange(40_000),
            chance.getrandbits(64) if chance.random() < 0.1 else chance.randrange(700),
        )
        kind = chance.choice([0] * 9 + [RowKind.LATE])
        if chance.random() < 0.2:
            rows.append(
                (EXPOSED | kind, chance.choice([0] * 20 + [1, 2, 3, 4, 5]), unit, time, chance.getrandbits(64), 0)
            )
        else:
            name = chance.choice([chance.getrandbits(64), 1, 2])
            value = (unit * 31 + time * 17 + name) % 1000 - 300
            rows.append((kind, chance.randrange(FACTS), unit, time, name, value))
            if chance.random() < 0.1:
                rows.append(rows[-1])
    order = sorted(rows, key=lambda row: row[3] + chance.uniform(0, HORIZON))
    log = make.Log(*catalogs)
    while order:
        now, order = order[:150], order[150:]
        ahead = [row[3] for row in order if not row[0] & RowKind.LATE]
        log.send(*now, watermark=min(ahead, default=40_000) + HORIZON)
        if chance.random() < 0.1:
            log.partition = Partition.load(log.partition.save())

    found = published(log.partition.aggregates())
    assert found == expected_of(oracle, rows, catalogs[-1], make, log.partition.watermark)


BUSY = 3_600_000  # ms; around this full hour units have more events than are read


@pytest.mark.parametrize("seed", range(2))
def test_of_an_hour_the_first_events_of_a_unit_are_read(make, oracle, seed):
    view, buy = Step(event="view"), Step(event="buy")
    metrics = [
        make.metric("funnel", "funnel", "2h", steps=(view, buy)),
        make.metric("rounds", "funnel", "none", steps=(buy, view), counting="totals"),
        make.metric("back", "retention", "2h", start=buy, nth=0, period="450ms"),
    ]
    catalogs = [make.catalog(5, [make.run("exp-1", metrics, breakdowns=BREAKDOWNS)])]
    facts = [fact.startswith('["view"') for fact in make.Log(*catalogs).facts]
    views, buys = facts.index(True), facts.index(False)
    chance = random.Random(seed)
    rows = [
        (EXPOSED, arm, unit, BUSY + moment, chance.getrandbits(64), 0)
        for unit, arm in ((1, 0), (2, 1), (3, 0), (4, 1))
        for moment in (-390, chance.randrange(-300, 300))
    ]
    rows += [
        (0, chance.choice([views, views, buys]), 1, BUSY + chance.randrange(-400, 400), chance.getrandbits(64), 1)
        for _ in range(1400)
    ]
    for unit, before in ((2, 498), (3, 499), (4, 500)):  # of unit 4 the purchase is no longer read
        rows += [(0, views, unit, BUSY - 390 + chance.randrange(300), number, 1) for number in range(before)]
        rows += [(0, buys, unit, BUSY - 1, 0, 1)]

    log = fold(make, catalogs, rows, BUSY + 400, seed)

    found = published(log.partition.aggregates())
    assert found == expected_of(oracle, rows, catalogs[-1], make, log.partition.watermark)
    assert log.sums("funnel")[0, "b"][:2] == (2, 1)
