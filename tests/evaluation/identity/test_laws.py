"""Laws: order, cuts, repeats, falls and the number of partitions change nothing; SQL that knows all joins agrees."""

from dataclasses import replace
from itertools import product
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evaluation.identity import identities
from schemas.catalog import Cuped, Flag, Goal, Metric, Step, Variant
from tests.evaluation.assignment.routed import Topic
from tests.evaluation.identity.people import SOURCES, Stages, a_random, hash_of, wander
from tests.oracle import Oracle, definitions, published

HORIZON = 60_000
VIEW, BUY = Step(event="view"), Step(event="buy")
PAIR = "device_id~user_id"
DEVICES = ("d-1", "d-2", "d-3", "d-4")
EDGES = (0, *(horizons * HORIZON + by for horizons in (-1, 1) for by in (-1, 0, 1)))  # of what concerns another message
RUNS = ("visitors", "devices", "accounts")


def metric(key, kind, window, **fields):
    """A metric of purchases, unless it says otherwise."""
    if kind not in ("funnel", "ratio"):
        fields.setdefault("event", "buy")
    if kind in ("sum", "mean"):
        fields["property"] = "price"
    return Metric(key=key, owner="x", type=kind, window=window, **fields)


METRICS = [
    metric("bought", "conversion", "3m", cuped=Cuped(lookback="14h")),
    metric("buys", "count", "30s", cap=2.0, log=True),
    metric("ever", "count", "none"),
    metric("spent", "sum", "2m", cuped=Cuped(lookback="14h")),
    metric("price", "mean", "2m", cap=40.0, lower_cap=-1.0),
    metric("funnel", "funnel", "3m", steps=(VIEW, BUY)),
    metric("rounds", "funnel", "none", steps=(BUY, VIEW, BUY), counting="totals"),
    metric("back", "retention", "2m", start=VIEW, event="buy", nth=1, period="10s"),
    metric("each", "ratio", "2m", numerator="spent", denominator="ever", cuped=Cuped(lookback="7h")),
]


def flag(key, unit, identity=None):
    """An experiment that reads every metric."""
    goals = tuple(Goal(metric=each.key) for each in METRICS)
    variants = (Variant(key="a"), Variant(key="b"))
    return Flag(key=key, owner="x", unit=unit, identity=identity, variants=variants, metrics=goals)


@pytest.fixture(scope="module")
def topic():
    """Visitors with people behind them; the same without; and one of accounts."""
    found = Topic()
    for each in METRICS:
        found.metric(each)
    return found.run(
        flag("visitors", "device_id", "user_id"), flag("devices", "device_id"), flag("accounts", "user_id")
    )


@pytest.fixture(scope="module")
def oracle():
    """The queries."""
    return Oracle()


def messages(chance, begin, number):
    """Source, append time and message: people come and go on devices, log in before and after, buy here and there.

    Again and again somebody is new, whose first join may arrive after others.
    """
    now, sent = begin, []
    for step in range(number):
        now += chance.choice([*[0, 1, 500, 5_000, 20_000] * 8, 1_200_000])
        time = now + chance.choice([0, 0, -1, -5_000, -30_000, 1 - HORIZON, -HORIZON, -HORIZON - 1, 100])
        edges = [now - HORIZON, *(each["time"] + edge for _, _, each in sent[-40:] for edge in EDGES)]
        if chance.random() < 0.4:
            time = chance.choice([each for each in edges if now - HORIZON <= each <= now])
        device, user = chance.choice(DEVICES), f"u-{step // 10 + chance.randrange(2)}"
        who = chance.choice(
            [{"device_id": device}] * 2 + [{"user_id": user}] * 4 + [{"device_id": device, "user_id": user}] * 2
        )
        message = who | {"time": time}
        if chance.random() < 0.7:
            message["insert_id"] = chance.choice("xy")
        if chance.random() < 0.25:
            variant = chance.choice("aaab") if chance.random() < 0.3 else "ab"[DEVICES.index(device) % 2]
            message |= {"flag_key": chance.choice(RUNS), "variant": variant}
            sent.append((SOURCES[0], now, message))
            continue
        message["event_type"] = chance.choice(["buy", "buy", "view", "login"])
        if chance.random() < 0.9:
            message["event_properties"] = {"price": chance.choice([1.5, 20, -3, 1e13])}
        sent.append((chance.choice(SOURCES[1:]), now, message))
        if chance.random() < 0.1:
            again = message | {"event_properties": {"price": chance.choice([1.5, 7])}}
            sent.append((chance.choice(SOURCES[1:]), now, again))
    return sent, now


def said(sent, names, runs):
    """The tables of what was sent, by what records say alone."""
    tables = {"exposures": [], "own": [], "loose": [], "joins": [], "met": []}
    facts = {fact.key: fact for run in runs for each in run.metrics.values() for fact in each.facts}
    for (_, now, message), name in zip(sent, names, strict=True):
        time = message["time"]
        late = now - time > HORIZON
        hashes = {kind: hash_of(kind, message[kind]) for kind in ("device_id", "user_id") if kind in message}
        flag_key = message.get("flag_key")
        unit = hashes.get("user_id" if flag_key == "accounts" else "device_id")
        if flag_key and unit is None:
            continue
        if len(hashes) == 2 and not late:
            tables["joins"].append((PAIR, hashes["user_id"], hashes["device_id"], time))
        if flag_key:
            tables["exposures"].append(
                (f"{flag_key}/exp-1", 0, message["variant"], unit, time, name, 0, ["all"], late, False, False)
            )
            if len(hashes) == 2 and not late and flag_key == "visitors":
                tables["met"].append((hashes["user_id"], message["variant"], unit))
            continue
        price = message.get("event_properties", {}).get("price")
        for key, fact in facts.items():
            if fact.event != message["event_type"]:
                continue
            value = 1 if fact.property is None else 0 if price is None else min(round(price * 10**fact.scale), 1 << 62)
            rest = (time, name, value, late, fact.property is not None and price is None)
            tables["own"] += [(key, each, *rest) for each in hashes.values()]
            if "device_id" not in hashes:
                tables["loose"].append((PAIR, hashes["user_id"], key, *rest))
    return tables


def expected(oracle, tables, runs, clocks):
    """What the queries say of the runs, each group by its clock."""
    found = set()
    events = oracle.joined(tables, HORIZON, PAIR)
    for names, clock in clocks.items():
        defined = definitions([run for run in runs if run.key.split("/")[0] in names], HORIZON)
        shown = [row for row in tables["exposures"] if row[0].split("/")[0] in names]
        found |= oracle.answer(defined | {"exposures": shown, "events": events}, clock, HORIZON, HORIZON)
    return found


@pytest.mark.parametrize("partitions", [1, 3])
@settings(max_examples=8, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 1 << 32), number=st.sampled_from([5, 60, 200]))
def test_the_stages_equal_the_queries_in_any_order_and_any_cut(topic, oracle, partitions, seed, number):
    chance = a_random(seed)
    with patch.object(identities, "MOST_ROWS", chance.choice([2, identities.MOST_ROWS])):
        _equal(topic, oracle, partitions, chance, number)


def _equal(topic, oracle, partitions, chance, number):
    stages = Stages(topic.history, HORIZON, partitions)
    sent, now = messages(chance, topic.time + 1_000_000, number)

    names = []
    for source, time, message in sent:
        names.append(stages.append(source, time, message))
        for _ in range(chance.choice([0, 0, 1, 4])):
            wander(stages, chance, time)
    now += chance.choice([0, HORIZON, 3 * HORIZON + 1, 10 * HORIZON])
    stages.finish(now)

    aggregates = [each for name in RUNS for each in stages.aggregates(name)]
    found = published([msgspec.structs.replace(each, run=f"{each.flag}/{each.run}") for each in aggregates])
    runs = [
        replace(run, key=f"{flag_key}/{run.key}")
        for flag_key in RUNS
        for run in topic.history.newest.flags[flag_key].runs
    ]
    tables = said(sent, names, runs)
    joined = {each._sources.joined for each in stages.partitions}
    clocks = {("devices", "accounts"): now, ("visitors",): min(joined)}
    wanted = expected(oracle, tables, runs, clocks)
    assert sorted(found - wanted, key=str) == sorted(wanted - found, key=str)
    assert len(joined) == 1
    assert_people(stages, tables)


def assert_people(stages, tables):
    """Health counts those whom no join reached, and those who met two variants through two units."""
    (told,) = [each.people for each in stages.aggregates() if each.people]
    firsts = {}
    for _, identity, _, time in sorted(tables["joins"], key=lambda row: row[3]):
        firsts.setdefault(identity, time)
    alone = [row for row in tables["loose"] if not row[6] and firsts.get(row[1], 1 << 62) > row[3] + HORIZON]
    assert told.unjoined + told.waiting == len(alone)
    crossed = 0
    for identity in {row[0] for row in tables["met"]}:
        its = [row for row in tables["met"] if row[0] == identity]
        crossed += any(a[1] != b[1] and a[2] != b[2] for a, b in product(its, its))
    assert told.crossed == crossed
