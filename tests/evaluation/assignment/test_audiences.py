"""Audiences in the stage: an exposure that asks is answered by what it says of its user and groups, as a user is."""

import json
from itertools import product

import msgspec
import pytest

from evaluation.assignment.routing import assign
from evaluation.catalog.configs import flags_in_force
from evaluation.catalog.lifecycle import apply_definition, start
from schemas.catalog import Cohort, Condition, Flag, Group, GroupSlot, Membership, Segment, Step, Variant
from schemas.units import RowKind
from tests.evaluation.catalogs import in_force

NOW = 1_795_458_000_000
COHORTS = [
    Cohort(key="beta", owner="shop", ids=("ann", "bob")),
    Cohort(key="kiosks", owner="shop", unit="device_id", ids=("kiosk",)),
    Cohort(key="large", owner="shop", unit="groups.org", ids=("acme",)),
]
SLOTS = Group(
    key="slots",
    owner="shop",
    type="mutual-exclusion",
    slots=(GroupSlot(percentage=50, cohorts=("kiosks",)), GroupSlot(percentage=50)),
)


def segment(prop, op, *values, **fields):
    return Segment(name=prop, conditions=(Condition(property=prop, op=op, values=values),), **fields)


def flag(key="button", *segments, **fields):
    defaults = {"owner": "shop", "variants": (Variant(key="control"), Variant(key="treatment")), "rollout": 0}
    return Flag(key=key, segments=segments, **defaults | fields)


FLAGS = [
    flag("by-country", segment("country", "is", "AT", "CH"), segment("user_properties.plan", "is not", "(none)")),
    flag("by-version", segment("version", "version less", "2.0", rollout=0), rollout=50),
    flag("by-cohort", segment("cohort", "set contains any", "beta", "kiosks")),
    flag("by-group", segment("groups.org.group_name", "glob match", "ac*")),
    flag("by-seats", segment("groups.org.group_properties.seats", "greater", "10")),
    flag("by-group-cohort", segment("groups.org.cohort", "set does not contain any", "large")),
    flag("by-org", segment("groups.org.group_properties.plan", "is", "pro"), unit="groups.org", rollout=50),
    flag("included", variants=(Variant(key="control"), Variant(key="treatment", users=("eve",), cohorts=("beta",)))),
    flag("below", prerequisites={"by-country": ("treatment",)}, rollout=100),
    flag("by-team", unit="groups.team", rollout=50),
    flag("below-team", prerequisites={"by-team": ("control", "treatment")}, rollout=100),
    flag("slotted", groups=(Membership(group="slots", slots=(1,)),), rollout=100),
]
PEOPLE = [{"user_id": name} for name in ("ann", "carl", "eve")] + [{"user_id": "dan", "device_id": "kiosk"}]
SAYS = [
    {},
    {"country": "AT", "version": "1.9.9", "user_properties": {"plan": "pro"}},
    {"country": "DE", "version": "2.0.1", "user_properties": {"plan": None}, "cohort_ids": ["beta"]},
    {"country": 7, "version": None, "user_properties": {"plan": ["a"]}, "cohort_ids": "beta"},
]
GROUPS = [
    {},
    {"groups": {"org": "acme"}},
    {"groups": {"org": ["shop", "acme"]}, "group_cohort_ids": {"org": {"shop": ["large"], "acme": []}}},
    {
        "groups": {"org": ["acme"]},
        "group_properties": {"org": {"acme": {"seats": 11, "plan": "pro"}, "shop": {"seats": 5}}},
    },
    {"groups": {"org": "shop"}, "group_properties": {"org": {"acme": {"seats": 11}, "shop": {"seats": "9"}}}},
    {"groups": {"org": []}, "group_properties": {"org": {"acme": {"seats": 11}}}, "group_cohort_ids": {"org": 5}},
    {"groups": {"team": "red"}, "group_properties": {"org": 7}},
    {"groups": {"team": "blue"}},
    {"groups": {"team": "green"}},
]
USERS = [one | other | third for one, other, third in product(PEOPLE, SAYS, GROUPS)]


def running(flags):
    """The catalog in which these flags run, long in force."""
    specs = [("cohort", cohort.key, 1, cohort) for cohort in COHORTS] + [("group", "slots", 1, SLOTS)]
    for each in flags:
        draft = apply_definition(None, each, 1)
        specs += [("flag", each.key, 1, draft), ("flag", each.key, 2, start(draft, 2, f"salt of {each.key}"))]
    return in_force(specs)


@pytest.fixture(scope="module")
def history():
    return running(FLAGS)


@pytest.fixture
def route(records_of, history):
    """Routes exposures, or events."""

    def route_(*messages, topic="exposures", catalog=None):
        rows = [(i, NOW, json.dumps(message).encode(), ()) for i, message in enumerate(messages)]
        (assigned,) = assign(records_of(rows, topic=topic), catalog or history, 60_000, 60_000)
        return assigned

    return route_


def has_unit(user, key):
    """Whether the user has the unit by which the flag buckets."""
    parent, _, group_type = next(each.unit for each in FLAGS if each.key == key).partition(".")
    return parent != "groups" or bool(user.get("groups", {}).get(group_type))


@pytest.mark.parametrize("key", [each.key for each in FLAGS])
def test_an_exposure_that_asks_is_answered_as_its_user_would_be(route, history, key):
    assigned = route(*({"flag_key": key, **user} for user in USERS))

    flags = flags_in_force(history.newest)
    expected = [flags.evaluate(user)[key] for user in USERS if has_unit(user, key)]
    assert [(each.variant, each.reason) for each in assigned.answers] == [(each.key, each.reason) for each in expected]
    assert len({each.key for each in expected}) > 1


@pytest.mark.parametrize("key", [each.key for each in FLAGS])
def test_an_event_that_stands_in_for_exposures_meets_what_its_user_would_get(route, key):
    by_event = [
        msgspec.structs.replace(each, exposure_event=Step(event="view")) if each.key == key else each for each in FLAGS
    ]
    catalog = running(by_event)

    assigned = route(*({"event_type": "view", **user} for user in USERS), topic="events", catalog=catalog)

    flags = flags_in_force(catalog.newest)
    answers = {i: flags.evaluate(user)[key] for i, user in enumerate(USERS) if has_unit(user, key)}
    met = [
        (assigned.arms[code].variant, bool(kind & RowKind.FORCED))
        for code, kind in zip(assigned.code, assigned.kind, strict=True)
    ]
    assert dict(zip(assigned.offset.tolist(), met, strict=True)) == {
        i: (each.key, each.reason == "inclusion") for i, each in answers.items() if each.key != "off"
    }
    assert met


def test_who_is_forced_by_a_cohort_that_the_message_names_is_never_counted(route):
    said = {"flag_key": "included", "experiment_key": "exp-1", "variant": "treatment"}

    assigned = route(
        {**said, "user_id": "carl"},
        {**said, "user_id": "carl", "cohort_ids": ["beta"]},
        {**said, "user_id": "eve"},
        {**said, "user_id": "bob"},
    )

    assert [bool(kind & RowKind.FORCED) for kind in assigned.kind.tolist()] == [False, True, True, True]
