"""What documents may say of one another."""

import msgspec
import pytest

from evaluation.catalog.references import (
    Known,
    cohort_violations,
    dependents,
    group_violations,
    prerequisite_order,
    reference_violations,
    regrouping_violations,
)
from evaluation.catalog.remarks import remarks_of
from schemas.catalog import Cohort, Condition, Exempt, Flag, Group, GroupSlot, Membership, Segment, Step, Variant

PARENT = Flag(key="parent", owner="shop", variants=(Variant(key="a"), Variant(key="b")))
CHILD = Flag(key="child", owner="shop", variants=(Variant(key="on"),), prerequisites={"parent": ("a", "off")})
SLOTS = Group(
    key="slots",
    owner="shop",
    type="mutual-exclusion",
    slots=(GroupSlot(percentage=60), GroupSlot(percentage=40)),
)
HOLDOUT = Group(key="holdout", owner="shop", type="holdout", slots=(GroupSlot(percentage=5),))
KNOWN = Known(
    flags={"parent": PARENT, "child": CHILD},
    groups={"slots": SLOTS, "holdout": HOLDOUT},
    cohorts={
        "beta": Cohort(key="beta", owner="shop", ids=("ann",)),
        "firms": Cohort(key="firms", owner="shop", unit="groups.company"),
    },
    deployments=("web",),
)


def edited(spec: msgspec.Struct = CHILD, **fields: object) -> msgspec.Struct:
    return msgspec.structs.replace(spec, **fields)


def conditioned(prop: str, op: str, *values: str) -> Flag:
    return edited(segments=(Segment(name="s", conditions=(Condition(property=prop, op=op, values=values),)),))


def told(flag: Flag, known: Known = KNOWN) -> list[str]:
    return [str(violation) for violation in reference_violations(flag, known)]


def test_a_flag_that_names_what_exists_is_sound():
    flag = edited(
        groups=(Membership(group="slots", slots=(1, 2)), Membership(group="holdout")),
        deployments=("web",),
        variants=(Variant(key="on", cohorts=("beta",)),),
        segments=(
            conditioned("cohort", "set contains any", "beta").segments[0],
            conditioned("groups.company.cohort", "set does not contain any", "firms").segments[0],
            conditioned("user_properties.cohort", "is", "anything").segments[0],
        ),
    )

    assert not told(flag)


@pytest.mark.parametrize(
    ("flag", "violation"),
    [
        (edited(deployments=("wep",)), "deployments[0]: 'wep' is no deployment; did you mean 'web'?"),
        (
            edited(variants=(Variant(key="on", cohorts=("bet",)),)),
            "variants[0].cohorts[0]: 'bet' is no cohort; did you",
        ),
        (
            edited(variants=(Variant(key="on", cohorts=("firms",)),)),
            "variants[0].cohorts[0]: 'firms' lists ids of groups.company; here are cohorts of user_id or device_id",
        ),
        (
            conditioned("cohort", "is", "beta"),
            "segments[0].conditions[0].op: 'is' compares no cohorts; write one of: set contains any, set does not",
        ),
        (
            conditioned("groups.company.cohort", "set contains any", "beta"),
            "segments[0].conditions[0].values[0]: 'beta' lists ids of user_id; here are cohorts of groups.company",
        ),
        (
            conditioned("event_properties.price", "less", "3"),
            "segments[0].conditions[0].property: 'event_properties.price' is of an event, but a segment is of users",
        ),
        (edited(prerequisites={"parnt": ("a",)}), "prerequisites.parnt: 'parnt' is no flag; did you mean 'parent'?"),
        (edited(prerequisites={"parent": ("c",)}), "prerequisites.parent[0]: 'c' is no variant of 'parent'; known: a"),
        (edited(prerequisites={"parent": ()}), "prerequisites.parent: no variant is named; list those of 'parent'"),
        (edited(prerequisites={"child": ("on",)}), "prerequisites.child: 'child' needs itself; remove it"),
        (edited(groups=(Membership(group="slot"),)), "groups[0].group: 'slot' is no group; did you mean 'slots'?"),
        (edited(groups=(Membership(group="slots"),)), "groups[0]: no slot is named; 'slots' has 2: write slots: [1]"),
        (edited(groups=(Membership(group="slots", slots=(3,)),)), "groups[0].slots[0]: 3 is no slot of 'slots', which"),
        (
            edited(groups=(Membership(group="holdout", slots=(1,)),)),
            "groups[0].slots: 'holdout' is a holdout, which has no slots to choose; remove them",
        ),
        (
            edited(groups=(Membership(group="slots", slots=(1,)), Membership(group="slots", slots=(2,)))),
            "groups[1].group: 'slots' is named twice; name all its slots in one place",
        ),
        (edited(key="slots", prerequisites={}), "key: 'slots' is the key of a group; flags and groups share one space"),
    ],
)
def test_a_reference_that_does_not_hold_is_told_with_its_place_and_way_out(flag: Flag, violation: str):
    (found,) = told(flag)

    assert found.startswith(violation)


def test_a_cycle_of_prerequisites_is_named():
    first = edited(PARENT, prerequisites={"child": ("on",)})
    third = edited(PARENT, key="third", prerequisites={"parent": ("a",)})
    known = Known(flags={"parent": first, "child": edited(prerequisites={"third": ("a",)}), "third": third})

    (found,) = told(first, known)

    assert found == (
        "prerequisites.child: the prerequisites form a cycle: parent -> child -> third -> parent; take one of them out"
    )


def test_a_flag_beside_a_cycle_is_not_blamed_for_it():
    one, two = (edited(PARENT, key=a, prerequisites={b: ("a",)}) for a, b in (("one", "two"), ("two", "one")))
    beside = edited(prerequisites={"one": ("a",)})

    assert not told(beside, Known(flags={"one": one, "two": two, "child": beside}))


def test_each_flag_comes_behind_those_that_it_needs():
    grandchild = edited(key="grandchild", prerequisites={"child": ("on",), "parent": ("a",)})
    flags = {"grandchild": grandchild, "child": CHILD, "parent": PARENT}

    assert prerequisite_order(flags) == ["parent", "child", "grandchild"]


def test_a_chain_of_ten_thousand_prerequisites_is_ordered_and_searched():
    flags = {
        f"f{i}": edited(key=f"f{i}", prerequisites={f"f{i + 1}": ("on",)} if i < 10_000 else {}) for i in range(10_001)
    }

    assert prerequisite_order(flags) == [f"f{i}" for i in range(10_000, -1, -1)]
    assert not told(flags["f0"], Known(flags=flags))


def test_dependents_are_those_who_need_a_flag_or_one_variant_of_it():
    assert dependents("parent", KNOWN.flags) == ["child"]
    assert dependents("parent", KNOWN.flags, "a") == ["child"]
    assert not dependents("parent", KNOWN.flags, "b")


@pytest.mark.parametrize(
    ("group", "violation"),
    [
        (
            edited(SLOTS, slots=(GroupSlot(percentage=60), GroupSlot(percentage=41))),
            "slots: the percentages sum to 101",
        ),
        (
            edited(SLOTS, exempt=Exempt(users=("ann",))),
            "exempt: is for a holdout; list units in the slot that they always belong to",
        ),
        (edited(HOLDOUT, exempt=Exempt(cohorts=("gone",))), "exempt.cohorts[0]: 'gone' is no cohort"),
        (edited(HOLDOUT, slots=SLOTS.slots), "slots: there are 2; a holdout has one: the units that it holds out"),
        (
            edited(HOLDOUT, slots=(GroupSlot(percentage=100),)),
            "slots[0].percentage: 100 is not allowed; a holdout holds",
        ),
        (edited(SLOTS, key="parent"), "key: 'parent' is the key of a flag; flags and groups share one space of names"),
        (
            edited(SLOTS, slots=(GroupSlot(percentage=1, cohorts=("x",)),)),
            "slots[0].cohorts[0]: 'x' is no cohort; known: beta, firms",
        ),
    ],
)
def test_a_group_that_cannot_be_is_told(group: Group, violation: str):
    (found,) = group_violations(group, KNOWN)

    assert str(found).startswith(violation)


def test_slots_stay_while_a_flag_of_the_group_runs_and_their_lists_may_change():
    other = edited(SLOTS, slots=(GroupSlot(percentage=50), GroupSlot(percentage=50)))
    listed = edited(SLOTS, slots=(GroupSlot(percentage=60, users=("ann",)), GroupSlot(percentage=40)))

    (found,) = regrouping_violations(SLOTS, other, ["child"])

    assert str(found).startswith("slots: would change from 60 %, 40 % to 50 %, 50 % while child runs")
    assert not list(regrouping_violations(SLOTS, other, []))
    assert not list(regrouping_violations(SLOTS, listed, ["child"]))


def test_a_cohort_lists_users_devices_or_groups_and_keeps_its_unit():
    cohort = KNOWN.cohorts["beta"]

    assert not list(cohort_violations(cohort, cohort))
    (found,) = cohort_violations(edited(cohort, unit="user_properties.plan"))
    assert "'user_properties.plan' is not allowed; the ids are of user_id, device_id or groups.TYPE" in str(found)
    (found,) = cohort_violations(edited(cohort, unit="device_id"), cohort)
    assert "would change from user_id to device_id below those who name it; make another cohort" in str(found)


def test_an_id_that_a_cohort_lists_again_counts_once_and_is_told():
    cohort = Cohort(key="beta", owner="shop", ids=("ann", "tom", "ann"))

    assert cohort.members == ("ann", "tom")
    assert [*map(str, remarks_of(cohort, {}, {}))] == ["ids: 1 of 3 ids stood there before; each counts once"]


MEASURED = Flag(
    key="measured",
    owner="shop",
    holdout="holdout",
    variants=(Variant(key="holdout", weight=5), Variant(key="on", weight=95)),
    exposure_event=Step(event="visit"),
)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({}, None),
        ({"holdout": "slots"}, "holdout: 'slots' is a mutual exclusion; name a holdout"),
        ({"holdout": "holdou"}, "holdout: 'holdou' is no group; did you mean 'holdout'?"),
        (
            {"variants": MEASURED.variants[::-1]},
            "variants: are not the arms of 'holdout'; write variants: [{ key: holdout, ",
        ),
        (
            {"variants": (Variant(key="holdout", weight=1), MEASURED.variants[1])},
            "weight: 500 }, { key: on, weight: 9500 }]",
        ),
        ({"unit": "device_id"}, "unit: 'device_id' is not what 'holdout' holds out; write user_id"),
        ({"exposure_event": None}, "nobody is exposed; say exposure_event"),
        ({"control": "on"}, "control: 'on' is no control"),
        ({"rollout": 50}, "rollout: would be ignored: 'holdout' says who is in which arm; remove it"),
    ],
)
def test_an_experiment_that_measures_a_holdout_has_its_arms(change, says):
    found = told(edited(MEASURED, **change))

    assert found == [] if says is None else len(found) == 1 and says in found[0], found
