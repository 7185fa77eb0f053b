"""What a metric's definition must satisfy, and how it is told."""

import re

import msgspec
import pytest

from evaluation.catalog.metric_rules import MAY, NEEDS, metric_violations
from schemas.catalog import Condition, Cuped, Metric, Step

PURCHASE = Metric(key="purchase", owner="shop", type="conversion", event="buy", window="7d")
REVENUE = Metric(key="revenue", owner="shop", type="sum", event="buy", property="price", window="7d")
MEAN = msgspec.structs.replace(REVENUE, key="price", type="mean")
RATIO = Metric(key="ratio", owner="shop", type="ratio", numerator="revenue", denominator="purchase", window="7d")
STEPS = (Step(event="view"), Step(event="buy", where=(Condition(property="country", op="is", values=("FR",)),)))
FUNNEL = Metric(key="funnel", owner="shop", type="funnel", steps=STEPS, window="7d")
RETENTION = Metric(
    key="back", owner="shop", type="retention", start=Step(event="join"), event="open", nth=6, window="7d"
)
PERCENTILE = msgspec.structs.replace(REVENUE, key="p90", type="percentile", percentile=90.0, of="events")
DISTINCT = msgspec.structs.replace(REVENUE, key="prices", type="distinct", cap=20.0)
METRICS = {each.key: each for each in (PURCHASE, REVENUE, MEAN, RATIO, FUNNEL, RETENTION, PERCENTILE, DISTINCT)}


def past_of(*others):
    return {"cuped": Cuped(lookback="7d", others=others)}


def test_every_type_has_a_definition_that_breaks_no_rule():
    assert {metric.type for metric in METRICS.values()} | {"count"} == NEEDS.keys() == MAY.keys()
    count = msgspec.structs.replace(PURCHASE, type="count", cap=10, log=True, cuped=Cuped(lookback="14d"))
    for metric in (count, *METRICS.values()):
        assert not list(metric_violations(metric, METRICS))


@pytest.mark.parametrize(
    ("metric", "change", "message"),
    [
        (REVENUE, {"property": None}, "type: a sum adds up a property of its event; name it with `property`"),
        (PURCHASE, {"property": "price"}, "property: would be ignored: a conversion reads no `property`"),
        (PURCHASE, {"event": None}, "type: a conversion is one event .* name it with `event`"),
        (PURCHASE, {"cap": 3.0}, "cap: would be ignored: a conversion reads no `cap`.* `type: count`"),
        (RATIO, {"denominator": None}, "type: a ratio divides one metric by another; name it with `denominator`"),
        (RATIO, {"denominator": "purchases"}, "denominator: 'purchases' is no metric; did you mean 'purchase'"),
        (RATIO, {"numerator": "ratio"}, "numerator: 'ratio' is a ratio itself"),
        (RATIO, {"numerator": "funnel", "cuped": Cuped(lookback="7d")}, "cuped: 'funnel' is a funnel, which has no"),
        (RATIO, {"event": "buy"}, "event: would be ignored: a ratio reads no `event`"),
        (FUNNEL, {"steps": STEPS[:1]}, "steps: there is one; a funnel has at least two"),
        (FUNNEL, {"steps": ()}, "type: a funnel is a number of events in an order"),
        (FUNNEL, {"cap": 2.0}, "cap: would be ignored: uniques are 0 or 1"),
        (
            FUNNEL,
            {"cuped": Cuped(lookback="7d")},
            "cuped: a funnel has no number before the entry; name other .* `with`",
        ),
        (FUNNEL, past_of("revenues"), r"cuped.with\[0\]: 'revenues' is no metric; did you mean 'revenue'"),
        (REVENUE, past_of("purchase", "revenue"), r"cuped.with\[1\]: its own past is there anyway"),
        (REVENUE, past_of("purchase", "purchase"), r"cuped.with\[1\]: 'purchase' is named twice"),
        (REVENUE, past_of("p90"), r"cuped.with\[0\]: 'p90' is a percentile, which has no number before the entry"),
        (REVENUE, past_of("funnel"), r"cuped.with\[0\]: 'funnel' is a funnel, which has no number before the entry"),
        (RETENTION, {"nth": 7}, "window: 7d is over before period 7 of 24h is"),
        (RETENTION, {"start": None}, "type: a retention begins with an event"),
        (REVENUE, {"cap": 9.9999999}, "cap: 9.9999999 has more than 6 decimal places; raise `scale` or round it"),
        (REVENUE, {"cap": 9.999, "scale": 2}, "cap: 9.999 has more than 2 decimal places; raise `scale` or round it"),
        (REVENUE, {"lower_cap": -9.999, "scale": 2}, "lower_cap: -9.999 has more than 2 decimal places"),
        (REVENUE, {"lower_cap": -1e13}, "lower_cap: -1e\\+13 caps nothing"),
        (FUNNEL, {"lower_cap": -1.0}, "lower_cap: would be ignored: a funnel reads no `lower_cap`"),
        (RETENTION, {"nth": 366, "period": "999999999d", "window": "none"}, "period: period 366 of .* the year 9999"),
        (REVENUE, {"cap": 1e308}, "cap: 1e\\+308 caps nothing"),
        (REVENUE, {"cap": 1e13}, "cap: 1e\\+13 caps nothing"),
        (msgspec.structs.replace(PURCHASE, type="count"), {"cap": 1.5}, "cap: 1.5 has more than 0 .* a whole number"),
        (REVENUE, {"cuped": Cuped(lookback="1m")}, "cuped.lookback: 1m is not allowed; .* from 1h to 90d"),
    ],
)
def test_a_broken_rule_is_named_with_its_place(metric: Metric, change: dict, message: str):
    (violation,) = metric_violations(msgspec.structs.replace(metric, **change), METRICS)

    with pytest.raises(ValueError, match=f"^{message}"):
        raise ValueError(str(violation))


def test_a_part_of_unknown_definition_is_let_pass():
    assert not list(metric_violations(RATIO, {"revenue": None, "purchase": None}))


@pytest.mark.parametrize(
    ("condition", "place", "message"),
    [
        (("cohort", "set contains any", "vips"), "property", "an event does not say 'cohort'"),
        (("groups.org.group_properties.plan", "is", "pro"), "property", "an event does not say"),
        (("event_properties.page", "regex match", "(?=x)"), "values", r"'\(\?=x\)' is no regular expression of RE2"),
    ],
)
def test_a_filter_that_no_event_can_answer_is_refused_wherever_it_stands(condition, place, message):
    name, op, value = condition
    where = (Condition(property=name, op=op, values=(value,)),)
    step = msgspec.structs.replace(STEPS[0], where=where)
    for metric, path in (
        (msgspec.structs.replace(PURCHASE, where=where), ("where", 0)),
        (msgspec.structs.replace(FUNNEL, steps=(STEPS[0], step)), ("steps", 1, "where", 0)),
        (msgspec.structs.replace(RETENTION, start=step), ("start", "where", 0)),
    ):
        (violation,) = metric_violations(metric, METRICS)
        assert violation.path == (*path, place)
        assert re.match(message, violation.message)
