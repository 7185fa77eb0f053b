"""What commands make of a flag's document."""

import msgspec
import pytest

from evaluation.lifecycle import LifecycleError, apply_definition, complete, start
from evaluation.rules import state_violations
from schemas.catalog import Analysis, Flag, FlagState, Inclusion, Variant

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
    again = start(ended, 4, "s2")

    assert (ended.status, ended.runs[-1].completed) == ("complete", 3)
    assert [(run.key, run.salt, run.completed) for run in again.runs] == [("exp-1", "s1", 3), ("exp-2", "s2", None)]
    assert not list(state_violations(again))


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
