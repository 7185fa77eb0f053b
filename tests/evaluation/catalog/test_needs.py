"""What a flag needs of others, and that it is known where nobody has it: evaluated by the engine, and by the rule."""

from typing import Any

import msgspec
import pytest

from evaluation.catalog.configs import flags_in_force
from evaluation.catalog.consequences import Consequence, of_cohort, of_group, of_needs
from evaluation.catalog.in_force import Catalog, FlagInForce, InForce, RunInForce
from evaluation.catalog.lifecycle import apply_definition, archive, complete, roll_back, roll_out, start
from evaluation.catalog.needs import unmet_needs
from schemas.catalog import Cohort, Condition, Flag, FlagState, Group, GroupSlot, Membership, Segment, Variant

PEOPLE = [{"user_id": f"user-{number}", "country": "AT" if number % 2 else "CH"} for number in range(200)]
IN_AUSTRIA = (Condition(property="country", op="is", values=("AT",)),)
BASE = Flag(key="base", owner="shop", variants=(Variant(key="on"), Variant(key="half", weight=0)))
KID = Flag(key="kid", owner="shop", variants=(Variant(key="on"),), prerequisites={"base": ("on",)})


def flag(key: str = "base", **fields: object) -> Flag:
    return Flag(**{"key": key, "owner": "shop", "variants": BASE.variants} | fields)


def running(definition: Flag) -> FlagState:
    return start(FlagState(definition=definition), 2, "salt")


def in_force(state: FlagState) -> FlagInForce:
    runs = tuple(
        RunInForce(state.definition.key, run.key, run.salt, run.allocations, 0, run.completed, {}, state.definition, {})
        for run in state.runs
    )
    return FlagInForce(state.definition, state.status, 3, 0, runs, state.rolled_out, state.removed)


def variants_met(states: list[FlagState], groups: list[Group], key: str) -> set[str]:
    catalog = Catalog(
        flags={state.definition.key: in_force(state) for state in states},
        groups={group.key: InForce(group, 1, 0) for group in groups},
    )
    flags = flags_in_force(catalog)
    return {answer.key for user in PEOPLE if (answer := flags.evaluate(user).get(key))}


def told_of(key: str, before: Any, after: Any) -> list[Consequence]:
    """What follows for those that need the flag or group."""
    return [each for keys, each in of_needs(before, after) if key in keys]


@pytest.mark.parametrize(
    ("base", "needed", "is_unmet"),
    [
        (running(flag()), ("on",), False),
        (running(flag()), ("half",), True),
        (running(flag()), ("half", "on"), False),
        (running(flag()), ("off",), True),
        (running(flag(rollout=50)), ("off",), False),
        (running(flag(rollout=0)), ("on",), True),
        (running(flag(rollout=0, segments=(Segment(name="AT", conditions=IN_AUSTRIA),))), ("on",), False),
        (running(flag(segments=(Segment(name="AT", conditions=IN_AUSTRIA, rollout=0),))), ("off",), False),
        (running(flag(rollout=0, segments=(Segment(name="all", weights={"half": 1}),))), ("half",), False),
        (running(flag(rollout=0, segments=(Segment(name="all", weights={"half": 1}),))), ("on",), True),
        (running(flag(rollout=0, variants=(Variant(key="on", users=("user-7",)),))), ("on",), False),
        (FlagState(definition=flag()), ("on",), True),
        (FlagState(definition=flag(variants=(Variant(key="on", users=("user-7",)),))), ("on",), False),
        (complete(running(flag()), 3), ("on",), True),
        (complete(running(flag()), 3), ("off",), False),
        (complete(running(flag(variants=(Variant(key="on", users=("user-7",)),))), 3), ("on",), True),
        (roll_back(running(flag()), 3), ("on",), True),
        (roll_out(running(flag()), 3, "half"), ("on",), True),
        (roll_out(running(flag()), 3, "half"), ("half",), False),
        (roll_out(running(flag()), 3, "half"), ("off",), True),
        (archive(complete(running(flag()), 3), ()), ("on",), True),
    ],
)
def test_a_need_that_nobody_meets_is_known_and_only_that(base: FlagState, needed: tuple[str, ...], is_unmet: bool):
    kid = running(flag("kid", variants=(Variant(key="on"),), prerequisites={"base": needed}))

    unmet = unmet_needs({"base": base, "kid": kid}, {})

    assert (variants_met([base, kid], [], "kid") == {"off"}) is is_unmet
    assert list(unmet) == (["kid"] if is_unmet else [])


def test_what_a_flag_cannot_give_those_behind_it_lack_too():
    ended, kid = complete(running(BASE), 3), running(KID)
    grandchild = running(flag("grandchild", prerequisites={"kid": ("on",)}))
    states = {"grandchild": grandchild, "kid": kid, "base": ended}

    unmet = unmet_needs(states, {})

    assert unmet["kid"] == ["it needs on of 'base', which gives 'off' to everybody (complete)"]
    assert unmet["grandchild"] == ["it needs on of 'kid', which gives 'off' to everybody (running)"]
    before = {**states, "base": running(BASE)}
    told = told_of("base", (before, {}), (states, {}))
    assert all(each.is_risky for each in told)
    assert [each.text.split(" gives")[0] for each in told] == ["'kid'", "'grandchild'"]
    assert "exp-1 takes no more units: it needs on of 'base'" in told[0].text
    assert not told_of("other", (before, {}), (states, {}))


def test_an_edit_of_what_others_need_takes_it_away_as_its_end_does():
    before = {"base": running(BASE), "kid": running(KID)}
    for fields in ({"rollout": 0}, {"variants": (Variant(key="on", weight=0), Variant(key="half"))}):
        edited = apply_definition(before["base"], flag(**fields), 3)
        assert told_of("base", (before, {}), ({**before, "base": edited}, {}))
    draft = {**before, "kid": FlagState(definition=KID)}
    ended = complete(before["base"], 3)
    assert not told_of("base", (draft, {}), ({**draft, "base": ended}, {}))


def test_a_group_that_has_no_room_for_a_flag_is_a_need_that_nobody_meets():
    def slots(*percentages: float) -> Group:
        parts = tuple(GroupSlot(percentage=each) for each in percentages)
        return Group(key="slots", owner="shop", type="mutual-exclusion", slots=parts)

    kid = running(flag("kid", groups=(Membership(group="slots", slots=(2,)),)))
    for group, is_unmet in ((slots(50, 50), False), (slots(100), True), (slots(100, 0), True)):
        assert (variants_met([kid], [group], "kid") <= {"off"}) is is_unmet
        assert bool(unmet_needs({"kid": kid}, {"slots": group})) is is_unmet
    told = told_of("slots", ({"kid": kid}, {"slots": slots(50, 50)}), ({"kid": kid}, {"slots": slots(100)}))
    assert "it is in slot 2 of 'slots', where no unit is" in told[0].text


def test_a_holdout_is_not_changed_below_what_is_rolled_out_without_a_word():
    holdout = Group(key="held", owner="shop", type="holdout", slots=(GroupSlot(percentage=5),))
    more = Group(key="held", owner="shop", type="holdout", slots=(GroupSlot(percentage=50),))
    member = flag("kid", groups=(Membership(group="held"),))
    catalog = Catalog(flags={"kid": in_force(roll_out(running(member), 3, "on"))})

    (told,) = of_group(catalog, holdout, more)

    assert told.is_risky
    assert "'kid' is rolled out (on)" in told.text
    assert not [*of_group(catalog, holdout, holdout)]


@pytest.mark.parametrize("prop", ["cohort", "groups.org.cohort", "user_properties.cohort"])
def test_a_cohort_that_flags_ask_for_is_not_emptied_without_a_word(prop: str):
    asks = Segment(name="s", conditions=(Condition(property=prop, op="set contains any", values=("testers",)),))
    listing = Variant(key="on", cohorts=("testers",))
    flags = {"asks": running(flag("asks", segments=(asks,))), "lists": running(flag("lists", variants=(listing,)))}
    flags |= {"ended": complete(running(flag("ended", variants=(listing,))), 3), "other": running(flag("other"))}
    catalog = Catalog(flags={key: in_force(state) for key, state in flags.items()})
    some = Cohort(key="testers", owner="shop", ids=("ann",))

    told = [*of_cohort(catalog, some, msgspec.structs.replace(some, ids=()))]

    expected = ["'lists'"] if prop.startswith("user") else ["'asks'", "'lists'"]
    assert [each.text.split()[0] for each in told] == expected
    assert all(each.is_risky for each in told)
    assert not [*of_cohort(catalog, some, msgspec.structs.replace(some, ids=("tom",)))]
