"""Filters of metrics, the past of covariates, segments, and events that stand in for exposures, as rows."""

import json

import msgspec
import pyarrow as pa
import pytest

from evaluation.assignment.routing import assign
from evaluation.catalog.configs import flags_in_force
from evaluation.catalog.lifecycle import apply_definition, start
from schemas.catalog import Breakdown, Condition, Cuped, Flag, Goal, Metric, Step, Variant
from schemas.numbers import BEYOND
from schemas.units import SEGMENT_BITS, RowKind
from tests.evaluation.assignment.routed import ARROW, stream
from tests.evaluation.catalogs import in_force

NOW = 1_795_458_000_000
BIG = Condition(property="event_properties.price", op="greater or equal", values=("10",))
PRO = Condition(property="user_properties.plan", op="is", values=("pro", "true"))
HERE = Condition(property="country", op="is", values=("DE", "(none)"))
ACME = Condition(property="groups.org.group_name", op="is not", values=("acme",))
PAGE = Condition(property="event_properties.page", op="glob match", values=("/a+b/*.?",))
ANN = Condition(property="user_id", op="contains", values=("ann",))


def metric(key="spent", where=(), kind="sum", **fields):
    prop = "price" if kind == "sum" else None
    said = {"event": "buy", "property": prop, "window": "1d", "where": where} | fields
    return Metric(key=key, owner="shop", type=kind, **said)


def flag(*metrics, **fields):
    variants = (Variant(key="control"), Variant(key="treatment"))
    goals = tuple(Goal(metric=each) for each in metrics)
    return Flag(key="button", owner="shop", variants=variants, metrics=goals, **fields)


def bought(**fields):
    return {"event_type": "buy", "user_id": "u", "time": NOW, "insert_id": "i"} | fields


def shown(**fields):
    return {"flag_key": "button", "variant": "control", "user_id": "u", "time": NOW, "insert_id": "i"} | fields


def history_of(metrics, flag_, *, is_started=True):
    """The catalog of these documents, long in force."""
    draft = apply_definition(None, flag_, 1)
    specs = [("metric", each.key, 1, each) for each in metrics] + [("flag", flag_.key, 1, draft)]
    if is_started:
        specs.append(("flag", flag_.key, 2, start(draft, 2, "salt")))
    return in_force(specs)


@pytest.fixture
def route(records_of):
    """Routes messages of one topic under a catalog."""

    def route_(history, *messages, topic="events"):
        written = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in messages]
        rows = [(i, NOW, value, ()) for i, value in enumerate(written)]
        (assigned,) = assign(records_of(rows, topic=topic), history, 60_000, 60_000)
        return assigned

    return route_


@pytest.mark.parametrize(
    ("condition", "feeds"),
    [
        (BIG, [True, False, False, False, True]),
        (PRO, [True, True, False, True, False]),
        (HERE, [True, False, True, True, True]),
        (ACME, [False, False, True, True, True]),
        (PAGE, [True, False, False, False, False]),
        (ANN, [False, True, False, False, False]),
    ],
)
def test_an_event_feeds_the_facts_whose_conditions_it_satisfies(route, condition, feeds):
    history = history_of([metric("all", kind="count"), metric("some", (condition,), "count")], flag("all", "some"))

    assigned = route(
        history,
        bought(
            event_properties={"price": 10, "page": "/a+b/c.d"},
            user_properties={"plan": "pro"},
            country="DE",
            groups={"org": "acme"},
        ),
        bought(
            event_properties={"price": 9.99},
            user_properties={"plan": True},
            country="FR",
            user_id="ann",
            groups={"org": ["acme"]},
        ),
        bought(
            event_properties={"price": "9", "page": "/aab/c.d"},
            user_properties={"plan": "free"},
            country=None,
            groups={"org": "shop"},
        ),
        bought(event_properties={}, user_properties={"plan": ["x", "pro"]}),
        bought(event_properties={"price": 1e3}, user_properties={"plan": {"pro": 1}}),
    )

    filtered = [index for index, fact in enumerate(assigned.facts) if json.loads(fact)[3]]
    fed = assigned.offset[assigned.code == filtered[0]].tolist()
    assert [offset in fed for offset in range(5)] == feeds
    assert assigned.offset[assigned.code != filtered[0]].tolist() == [0, 1, 2, 3, 4]


def test_only_what_satisfies_a_filter_can_be_unusable_or_too_large(route):
    spent = metric(where=(PRO,))
    free, pro = {"plan": "free"}, {"plan": "pro"}

    assigned = route(
        history_of([spent], flag("spent")),
        bought(user_properties=free),
        bought(user_properties=free, event_properties={"price": 1e30}),
        bought(user_properties=pro),
        bought(user_properties=pro, event_properties={"price": 1e30}),
        bought(user_properties=pro, event_properties={"price": 12.5}),
    )

    assert list(zip(assigned.offset.tolist(), assigned.kind.tolist(), assigned.value.tolist(), strict=True)) == [
        (2, RowKind.UNUSABLE, 0),
        (3, 0, BEYOND),
        (4, 0, 1_250),
    ]
    assert assigned.rejects == []


def test_a_property_is_filtered_and_added_up_at_once(route):
    assigned = route(
        history_of([metric(where=(BIG,))], flag("spent")),
        *(bought(event_properties={"price": price}) for price in (9.5, 10.5, "11 EUR", None)),
    )

    assert list(zip(assigned.offset.tolist(), assigned.kind.tolist(), assigned.value.tolist(), strict=True)) == [
        (1, 0, 1_050),
        (2, RowKind.UNUSABLE, 0),
    ]


def test_every_step_of_a_funnel_is_a_fact_with_its_own_conditions(route):
    steps = (Step(event="view"), Step(event="buy", where=(BIG,)))
    funnel = Metric(key="funnel", owner="shop", type="funnel", steps=steps, window="1d")

    assigned = route(
        history_of([funnel], flag("funnel")),
        bought(event_type="view"),
        bought(event_properties={"price": 1}),
        bought(event_properties={"price": 20}),
    )

    facts = [json.loads(assigned.facts[code])[0] for code in assigned.code.tolist()]
    assert list(zip(assigned.offset.tolist(), facts, strict=True)) == [(0, "view"), (2, "buy")]


def test_events_of_a_metric_with_a_lookback_are_routed_before_any_run(route):
    past, other = metric("past", kind="count", cuped=Cuped(lookback="7d")), metric("other", kind="count", event="view")
    draft = history_of([past, other], flag("past", "other", unit="device_id"), is_started=False)

    assigned = route(draft, bought(device_id="d"), bought(device_id="d", event_type="view"))

    assert assigned.offset.tolist() == [0]
    assert [json.loads(fact)[0] for fact in assigned.facts] == ["buy"]


def test_an_exposure_carries_the_segments_of_its_unit(route):
    breakdowns = (
        Breakdown(property="platform", values=("iOS", "Android")),
        Breakdown(property="user_properties.seats", values=("5", "(none)", "true")),
        Breakdown(property="groups.org.group_name", values=("acme",)),
    )
    history = history_of([metric()], flag("spent", breakdowns=breakdowns))

    assigned = route(
        history,
        shown(platform="Android", user_properties={"seats": 5}, groups={"org": ["acme", "x"]}),
        shown(platform="web", user_properties={"seats": True}),
        shown(platform="iOS"),
        shown(variant=None, platform="iOS", user_properties={"seats": [5]}),
        topic="exposures",
    )

    mask = (1 << SEGMENT_BITS) - 1
    segments = [[value >> (SEGMENT_BITS * place) & mask for place in range(3)] for value in assigned.value.tolist()]
    assert segments == [[2, 1, 1], [0, 3, 0], [1, 2, 0], [1, 0, 0]]


@pytest.mark.parametrize("name", ["App\\Price", 'a "price"', "tab\there", "\0", " ", "é"])
def test_whatever_a_property_is_called_it_is_read(route, records_of, name):
    """Also where one message of the slice is read on its own, and in Arrow."""
    dear = Condition(property=f"event_properties.{name}", op="greater", values=("5",))
    pro = Condition(property=f"user_properties.{name}", op="is", values=("pro",))
    breakdowns = (Breakdown(property=f"user_properties.{name}", values=("pro",)),)
    history = history_of([metric(property=name, where=(dear, pro))], flag("spent", breakdowns=breakdowns))
    pros = {"user_properties": {name: "pro"}}
    buys = [bought(event_properties={name: price}, **pros) for price in (7, 5, 9.5)]
    columns = {key: pa.array([each[key] for each in buys]) for key in buys[0]}

    in_json = route(history, *buys)
    odd = [json.dumps(each).replace("event_type", "\\u0065vent_type").encode() for each in buys]
    by_itself = route(history, *odd, "no object")
    row = (0, NOW, stream(**columns), ARROW)
    (in_arrow,) = assign(records_of([row], topic="events"), history, 60_000, 60_000)
    seen = json.dumps(shown(**pros)).encode()
    exposed = route(history, seen, seen.replace(b"flag_key", rb"\u0066lag_key"), topic="exposures")

    assert in_json.value.tolist() == by_itself.value.tolist() == in_arrow.value.tolist() == [700, 950]
    assert [each.reason for each in by_itself.rejects] == ["wrong type"]
    assert exposed.value.tolist() == [1, 1]


CHECKOUT = Step(event="checkout", where=(PRO,))


def entered(**fields):
    return bought(event_type="checkout", user_properties={"plan": "pro"}) | fields


def test_an_event_stands_in_for_the_exposure_and_the_flag_says_which_variant(route):
    by_event = flag(
        "views",
        rollout=60,
        exposure_event=CHECKOUT,
        breakdowns=(Breakdown(property="platform", values=("iOS",)),),
    )
    history = history_of([metric("views", kind="count", event="checkout")], by_event)
    users = [f"u-{number}" for number in range(300)]

    assigned = route(history, *(entered(user_id=user, platform="iOS") for user in users))

    flags = flags_in_force(history.newest)
    choices = {number: flags.evaluate({"user_id": user})["button"].key for number, user in enumerate(users)}
    expected = {number: variant for number, variant in choices.items() if variant != "off"}
    rows = assigned.kind & RowKind.EXPOSURE != 0
    said = zip(assigned.offset[rows].tolist(), assigned.code[rows].tolist(), strict=True)
    assert {offset: assigned.arms[code].variant for offset, code in said} == expected
    assert 100 < len(expected) < 250
    assert set(assigned.value[rows].tolist()) == {1}
    assert assigned.offset[~rows].tolist() == list(range(300))  # the same events feed the metric


def test_only_events_that_satisfy_the_conditions_enter_and_those_of_inclusions_are_forced(route):
    variants = (Variant(key="control", users=("tester",)), Variant(key="treatment"))
    history = history_of([], msgspec.structs.replace(flag(), variants=variants, exposure_event=CHECKOUT))

    assigned = route(
        history,
        entered(user_properties={"plan": "free"}),
        entered(user_id=None, device_id="d"),
        entered(user_id="tester"),
        entered(),
        entered(time=NOW - 60_001, insert_id=None),
        entered(event_type="other"),
    )

    assert list(zip(assigned.offset.tolist(), assigned.kind.tolist(), strict=True)) == [
        (2, RowKind.EXPOSURE | RowKind.FORCED),
        (3, RowKind.EXPOSURE),
        (4, RowKind.EXPOSURE | RowKind.LATE | RowKind.OWN_ID),
    ]
    assert assigned.arms[assigned.code[0]].variant == "control"


def test_exposures_are_answered_but_no_entries_where_an_event_stands_in_for_them(route):
    history = history_of([], flag(exposure_event=CHECKOUT))

    assigned = route(history, shown(), {**shown(), "variant": None}, topic="exposures")

    assert not len(assigned.offset)
    assert [answer.variant for answer in assigned.answers] == [
        flags_in_force(history.newest).evaluate({"user_id": "u"})["button"].key
    ]
    assert assigned.counts["replaced"] == 2
