"""What commands make of a flag's document."""

from collections.abc import Callable

import msgspec
import pytest

from evaluation.catalog.consequences import of_flag
from evaluation.catalog.in_force import winner_of
from evaluation.catalog.lifecycle import (
    LifecycleError,
    apply_definition,
    archive,
    complete,
    delete,
    restart,
    restore,
    roll_back,
    roll_out,
    start,
    steps_between,
)
from evaluation.catalog.references import Known
from evaluation.catalog.rules import state_violations
from schemas.catalog import Analysis, Condition, Flag, FlagState, Inclusion, Membership, Segment, Step, Variant

BUTTON = Flag(key="button", owner="shop", variants=(Variant(key="control"), Variant(key="treatment")))


def edited(flag: Flag = BUTTON, **fields: object) -> Flag:
    return msgspec.structs.replace(flag, **fields)


def running() -> FlagState:
    return start(apply_definition(None, BUTTON, 1), 2, "s1")


def test_a_new_definition_is_a_draft_without_runs():
    assert apply_definition(None, BUTTON, 1) == FlagState(definition=BUTTON, status="draft", runs=())


def test_an_unchanged_definition_leaves_the_state_as_it_is():
    state = running()

    assert apply_definition(state, edited(), 3) is state


def test_a_payload_that_python_calls_equal_is_still_a_change():
    with_number = edited(variants=(Variant(key="on", payload={"size": 1}),))
    with_truth = edited(variants=(Variant(key="on", payload={"size": True}),))

    state = apply_definition(FlagState(definition=with_number), with_truth, 2)

    assert state.definition.variants[0].payload == {"size": True}
    assert msgspec.json.encode(state.definition.variants[0].payload) == b'{"size":true}'


def test_start_makes_a_run_with_the_definitions_rollout_weights_and_inclusions():
    flag = edited(rollout=40, variants=(Variant(key="a", weight=3, users=("ann",)), Variant(key="b", devices=("d",))))

    state = start(FlagState(definition=flag), 2, "salt0001")

    (run,) = state.runs
    assert (state.status, run.key, run.salt, run.started, run.completed) == ("running", "exp-1", "salt0001", 2, None)
    (allocation,) = run.allocations
    assert (allocation.flag_version, allocation.rollout) == (2, 40)
    assert list(allocation.weights.items()) == [("a", 3), ("b", 1)]
    assert allocation.inclusions == {"a": Inclusion(users=("ann",)), "b": Inclusion(devices=("d",))}
    assert not list(state_violations(state))


def test_start_is_refused_while_running():
    with pytest.raises(LifecycleError, match=r"'button' is running already \(exp-1\); restart it for another run"):
        start(running(), 3, "s2")


def test_start_is_refused_without_variants():
    with pytest.raises(LifecycleError, match="'button' has no variants; add at least one"):
        start(FlagState(definition=edited(variants=())), 2, "s1")


def test_a_flag_without_metrics_starts():
    assert start(FlagState(definition=edited(metrics=())), 2, "s1").status == "running"


def test_complete_ends_the_run_and_another_start_makes_the_next_one_with_its_own_salt():
    ended = complete(running(), 3)
    again = start(ended, 4, "s2", splits_anew=True)

    assert (ended.status, ended.runs[-1].completed) == ("complete", 3)
    assert [(run.key, run.salt, run.completed) for run in again.runs] == [("exp-1", "s1", 3), ("exp-2", "s2", None)]
    assert not list(state_violations(again))


@pytest.mark.parametrize("end", [complete, roll_back, lambda state, version: roll_out(state, version, "control")])
def test_f14_a_plain_flag_that_begins_again_is_met_by_the_same_units(end: Callable[[FlagState, int], FlagState]):
    ended = end(start(FlagState(definition=edited(metrics=())), 2, "s1"), 3)

    begins = [begin(ended, 4, "s2") for begin in (restart, *([start] if ended.rolled_out is None else []))]
    anew = restart(ended, 4, "s2", splits_anew=True)

    assert {(each.runs[-1].key, each.runs[-1].salt) for each in begins} == {("exp-2", "s1")}
    assert (anew.runs[-1].key, anew.runs[-1].salt) == ("exp-2", "s2")
    assert "they are split as before" in next(of_flag(ended, begins[0], Known())).text
    assert "split anew by a fresh salt" in next(of_flag(ended, anew, Known())).text
    assert not list(state_violations(begins[0]))


@pytest.mark.parametrize("state", [FlagState(definition=BUTTON), complete(running(), 3)], ids=["draft", "complete"])
def test_complete_is_refused_unless_running(state: FlagState):
    with pytest.raises(LifecycleError, match=f"'button' is not running \\({state.status}\\)"):
        complete(state, 4)


@pytest.mark.parametrize(
    ("change", "allocated"),
    [
        ({"rollout": 20}, True),
        ({"variants": (Variant(key="control", weight=9), Variant(key="treatment"))}, True),
        ({"variants": (Variant(key="control", users=("ann",)), Variant(key="treatment"))}, True),
        ({"variants": (Variant(key="treatment"), Variant(key="control"))}, True),  # bucketing follows the order
        ({"variants": (Variant(key="control", payload=1), Variant(key="treatment"))}, False),
        ({"description": "the buy button"}, False),
    ],
)
def test_a_running_flag_gets_another_allocation_only_when_who_gets_what_changes(change: dict, allocated: bool):
    state = apply_definition(running(), edited(**change), 3)

    (run,) = state.runs
    assert [each.flag_version for each in run.allocations] == ([2, 3] if allocated else [2])
    assert state.definition == edited(**change)
    assert not list(state_violations(state))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"unit": "device_id"}, "unit of 'button' would change from user_id to device_id while exp-1 runs"),
        ({"variants": (*BUTTON.variants, Variant(key="third"))}, "variants of 'button' would change"),
        ({"variants": BUTTON.variants[:1]}, "variants of 'button' would change"),
        ({"control": "treatment"}, "control of 'button' would change from control to treatment"),
        ({"exposure_event": Step(event="checkout")}, "exposure_event of 'button' would change from exposures to {"),
        ({"identity": "device_id"}, "identity of 'button' would change from none to device_id"),
        ({"analysis": Analysis(planned_units=500)}, "analysis of 'button' would change from no plan to 500 planned"),
    ],
)
def test_what_the_numbers_of_a_run_mean_cannot_change_while_it_runs(change: dict, reason: str):
    with pytest.raises(LifecycleError, match=reason) as refused:
        apply_definition(running(), edited(**change), 3)
    assert refused.value.path == tuple(change)

    for state in (FlagState(definition=BUTTON), complete(running(), 3)):
        assert apply_definition(state, edited(**change), 4).definition == edited(**change)


def test_a_completed_run_keeps_its_allocations_when_the_definition_changes():
    ended = complete(running(), 3)

    assert apply_definition(ended, edited(rollout=1), 4).runs == ended.runs


GERMANS = Segment(name="Germans", conditions=(Condition(property="country", op="is", values=("DE",)),), rollout=50)
DRAFT = FlagState(definition=BUTTON)


@pytest.mark.parametrize(
    "change",
    [
        {"segments": (GERMANS,)},
        {"rollout": 50},
        {"variants": (Variant(key="control", weight=3), Variant(key="treatment"))},
        {"variants": (Variant(key="treatment"), Variant(key="control"))},
        {"variants": (Variant(key="control", cohorts=("beta",)), Variant(key="treatment"))},
        {"prerequisites": {"parent": ("on",)}},
        {"groups": (Membership(group="slots", slots=(1,)),)},
        {"sticky": True},
    ],
    ids=["segments", "rollout", "weights", "order", "inclusions", "prerequisites", "groups", "sticky"],
)
def test_a_change_of_who_gets_what_begins_another_allocation(change: dict):
    state = apply_definition(running(), edited(**change), 3)

    first, second = state.runs[0].allocations
    assert (first, second.flag_version) == (running().runs[0].allocations[0], 3)
    assert {"segments": second.segments, "rollout": second.rollout, "sticky": second.sticky}.items() >= {
        name: value for name, value in change.items() if name in ("segments", "rollout", "sticky")
    }.items()
    assert apply_definition(state, edited(**change, name="Named"), 4).runs == state.runs
    assert not list(state_violations(state))


def test_a_restart_ends_the_open_run_and_begins_another_with_its_own_salt():
    state = restart(running(), 3, "s2", splits_anew=True)

    first, second = state.runs
    assert (first.completed, second.key, second.started, second.completed, second.salt) == (3, "exp-2", 3, None, "s2")
    assert state.status == "running"
    assert list(steps_between(running(), state)) == ["exp-1 is complete", "exp-2 is running"]
    assert not list(state_violations(state))


@pytest.mark.parametrize(
    "state",
    [complete(running(), 3), roll_back(running(), 3), roll_out(running(), 3, "control")],
    ids=["complete", "rolled back", "rolled out"],
)
def test_a_restart_begins_another_run_of_what_has_ended(state: FlagState):
    again = restart(state, 4, "s2")

    assert [run.completed for run in again.runs] == [3, None]
    assert (again.status, again.rolled_out) == ("running", None)
    assert not list(state_violations(again))


def test_a_flag_that_never_ran_is_started_not_restarted():
    with pytest.raises(LifecycleError, match="'button' has never run; start it"):
        restart(DRAFT, 2, "s1")


def test_a_roll_out_gives_one_variant_to_everybody_and_ends_the_run():
    flag = edited(
        rollout=10,
        segments=(GERMANS,),
        sticky=True,
        groups=(Membership(group="slots", slots=(1,)), Membership(group="h")),
    )
    before = start(FlagState(definition=flag), 2, "s1")

    state = roll_out(before, 3, "treatment")

    assert (state.status, state.runs[0].completed) == ("rolled out", 3)
    assert state.definition == flag, "a file that is applied again must not undo it"
    given = state.rolled_out
    assert (given.rollout, given.weights, given.segments, given.sticky) == (
        100,
        {"control": 0, "treatment": 100},
        (),
        False,
    )
    assert [each.group for each in given.groups] == ["h"], "who is held out stays held out"
    assert list(steps_between(before, state)) == ["exp-1 is complete", "treatment is rolled out"]
    assert not list(state_violations(state))


def test_a_roll_out_may_be_taken_anew_and_from_a_draft():
    assert winner_of(roll_out(roll_out(running(), 3, "control"), 4, "treatment").rolled_out) == "treatment"
    assert roll_out(DRAFT, 2, "control").status == "rolled out"


def test_what_is_rolled_out_follows_the_definition_but_keeps_its_variant():
    state = roll_out(running(), 3, "treatment")
    listed = edited(rollout=5, variants=(Variant(key="control", users=("ann",)), Variant(key="treatment")))

    after = apply_definition(state, listed, 4)

    assert (after.rolled_out.flag_version, after.rolled_out.rollout) == (4, 100)
    assert after.rolled_out.inclusions == {"control": Inclusion(users=("ann",))}
    with pytest.raises(LifecycleError, match="'treatment' is rolled out; roll it back first, or keep the variant"):
        apply_definition(state, edited(variants=(Variant(key="control"),)), 4)


def test_a_roll_out_of_what_is_no_variant_or_is_out_already_is_refused():
    with pytest.raises(LifecycleError, match="'treatmnt' is no variant of 'button'; did you mean 'treatment'"):
        roll_out(running(), 3, "treatmnt")
    with pytest.raises(LifecycleError, match="'button' gives 'control' to everybody already"):
        roll_out(roll_out(running(), 3, "control"), 4, "control")


@pytest.mark.parametrize("before", [running(), roll_out(running(), 3, "control")], ids=["running", "rolled out"])
def test_a_roll_back_takes_everything_from_everybody(before: FlagState):
    state = roll_back(before, 4)

    assert (state.status, state.rolled_out) == ("rolled back", None)
    assert state.runs[0].completed is not None
    assert "rolled back" in list(steps_between(before, state))
    assert not list(state_violations(state))


def test_nothing_can_be_rolled_back_that_gives_nobody_anything():
    for state in (DRAFT, roll_back(running(), 3)):
        with pytest.raises(LifecycleError, match="everybody gets 'off' already; nothing is left to do"):
            roll_back(state, 4)
    listing = (Variant(key="control", users=("ann",)), Variant(key="treatment"))
    draft = FlagState(definition=edited(variants=listing))
    with pytest.raises(LifecycleError, match="everybody but those listed gets 'off' already; to take it from"):
        roll_back(draft, 2)


def test_what_is_rolled_out_is_restarted_not_started():
    with pytest.raises(LifecycleError, match="'button' gives 'control' to everybody; restart it to split units again"):
        start(roll_out(running(), 3, "control"), 4, "s2")


def test_a_start_as_an_experiment_wants_metrics():
    with pytest.raises(LifecycleError, match="'button' has no metrics, so nothing could be concluded") as refused:
        start(DRAFT, 2, "s1", as_experiment=True)

    assert refused.value.path == ("metrics",)


def test_an_archived_flag_comes_back_as_it_was():
    state = roll_out(running(), 3, "control")

    away = archive(state, needed_by=())

    assert (away.removed, list(steps_between(state, away))) == ("archived", ["archived"])
    assert restore(away) == state
    assert list(steps_between(away, state)) == ["restored"]


def test_a_running_flag_and_one_that_others_need_are_not_archived():
    with pytest.raises(LifecycleError, match=r"'button' is running \(exp-1\); complete it, roll it out or back first"):
        archive(running(), needed_by=())
    with pytest.raises(
        LifecycleError, match="'button' is needed by a, b, whose units would all get 'off'; take it out"
    ):
        archive(complete(running(), 3), needed_by=("b", "a"))


def test_only_what_never_ran_or_is_archived_is_deleted():
    ended = complete(running(), 3)

    assert delete(DRAFT, needed_by=()).removed == "deleted"
    assert delete(archive(ended, needed_by=()), needed_by=()).runs == ended.runs
    for state in (ended, running(), roll_out(DRAFT, 2, "control")):
        with pytest.raises(LifecycleError, match=r"'button' has been in use .*; archive it first"):
            delete(state, needed_by=())
    with pytest.raises(LifecycleError, match="'button' is needed by child"):
        delete(DRAFT, needed_by=("child",))


@pytest.mark.parametrize("removed", ["archived", "deleted"])
def test_no_step_moves_what_was_removed(removed: str):
    state = msgspec.structs.replace(complete(running(), 3), removed=removed)

    for step in (
        lambda: start(state, 4, "s2"),
        lambda: restart(state, 4, "s2"),
        lambda: roll_out(state, 4, "control"),
        lambda: roll_back(state, 4),
        lambda: archive(state, needed_by=()),
        lambda: apply_definition(state, edited(name="Other"), 4),
    ):
        with pytest.raises(LifecycleError, match="restore it first" if removed == "archived" else "another key"):
            step()


def test_only_the_archive_is_restored_and_deletion_is_for_ever():
    deleted = delete(DRAFT, needed_by=())

    with pytest.raises(LifecycleError, match="'button' is not archived; there is nothing to restore"):
        restore(DRAFT)
    with pytest.raises(LifecycleError, match="'button' was deleted for ever; there is nothing to restore"):
        restore(deleted)
    with pytest.raises(LifecycleError, match="'button' was deleted already"):
        delete(deleted, needed_by=())
    with pytest.raises(LifecycleError, match="'button' was deleted for ever; remove the file, or choose another key"):
        apply_definition(deleted, BUTTON, 3)
