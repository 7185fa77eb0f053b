"""What a change is said to do: to those who meet a flag, and to what its run can conclude."""

import msgspec
import pytest

from evaluation.catalog.consequences import of_flag, of_metric
from evaluation.catalog.in_force import Catalog, FlagInForce, MetricInForce, RunInForce
from evaluation.catalog.lifecycle import (
    apply_definition,
    archive,
    complete,
    delete,
    restart,
    restore,
    roll_back,
    roll_out,
    start,
)
from evaluation.catalog.references import Known
from schemas.catalog import (
    Analysis,
    Flag,
    FlagState,
    Goal,
    Group,
    GroupSlot,
    Hypothesis,
    Membership,
    Metric,
    Segment,
    Variant,
)

VARIANTS = (Variant(key="control"), Variant(key="treatment"))
KNOWN = Known(
    groups={
        "slots": Group(key="slots", owner="o", type="mutual-exclusion", slots=(GroupSlot(percentage=100),)),
        "held": Group(key="held", owner="o", type="holdout", unit="groups.company", slots=(GroupSlot(percentage=5),)),
    }
)
PLAIN = Flag(key="button", owner="shop", variants=VARIANTS, rollout=50)
EXPERIMENT = msgspec.structs.replace(PLAIN, metrics=(Goal(metric="purchase"),))


def running(flag: Flag = EXPERIMENT) -> FlagState:
    return start(FlagState(definition=flag), 2, "s1")


def told(before: FlagState | None, after: FlagState) -> list[tuple[bool, str]]:
    return [(each.is_risky, each.text) for each in of_flag(before, after, KNOWN)]


def edit(flag: Flag = EXPERIMENT, **fields: object) -> list[tuple[bool, str]]:
    return told(running(flag), apply_definition(running(flag), msgspec.structs.replace(flag, **fields), 3))


@pytest.mark.parametrize(
    ("fields", "risky", "text"),
    [
        ({"variants": (Variant(key="control", weight=3), Variant(key="treatment"))}, True, "weights control 3, treat"),
        ({"variants": VARIANTS[::-1]}, True, "exp-1 goes on with weights treatment 1, control 1 instead of control 1"),
        ({"rollout": 80}, False, "exp-1 goes on with rollout 80 % instead of 50 %: nobody moves between variants"),
        ({"rollout": 20}, True, "those that get off again stay in the result, and blur it"),
        ({"segments": (Segment(name="all"),)}, True, "exp-1 goes on with other segments: those who enter from now on"),
        ({"sticky": True}, True, "exp-1 goes on with other sticky"),
        ({"variants": (Variant(key="control", users=("a",)), VARIANTS[1])}, False, "exp-1 counts no more exposures of"),
        (
            {"hypothesis": Hypothesis(problem="p", solution="s", prediction="q")},
            True,
            "the hypothesis changes while exp-",
        ),
        ({"analysis": Analysis(alpha=0.1)}, True, "exp-1 is judged anew, by another alpha"),
        (
            {"metrics": (*EXPERIMENT.metrics, Goal(metric="visits"))},
            False,
            "exp-1 measures 'visits' on units that enter",
        ),
        ({"metrics": (Goal(metric="purchase", direction="decrease"),)}, True, "judges 'purchase' by another direction"),
        ({"metrics": (Goal(metric="visits"),)}, True, "exp-1 forgets what it measured of 'purchase'"),
    ],
)
def test_an_edit_of_a_running_experiment_says_what_it_costs(fields: dict, risky: bool, text: str):
    found = edit(**fields)

    assert found[-1][0] is risky
    assert text in found[-1][1]


def test_an_edit_that_changes_nothing_of_a_run_has_no_consequence():
    assert not edit(name="Buy", owner="me", tags=("t",))
    draft = FlagState(definition=EXPERIMENT)
    assert not told(draft, apply_definition(draft, msgspec.structs.replace(EXPERIMENT, rollout=1), 2))


def test_weights_of_a_plain_flag_may_change_without_a_yes():
    ((risky, text),) = edit(PLAIN, variants=(Variant(key="control", weight=3), Variant(key="treatment")))

    assert not risky
    assert "control 3, treatment 1" in text


def test_each_step_says_what_it_does():
    draft = FlagState(definition=EXPERIMENT)
    out, ended = roll_out(running(), 3, "treatment"), complete(running(), 3)

    assert told(draft, running()) == [(False, "exp-1 begins: units enter from now on")]
    (final, off) = told(running(), ended)
    assert final == (
        False,
        "exp-1 takes no more units; its results are final when the last window of those that it has is settled",
    )
    assert off == (False, "everybody gets 'off'")
    assert told(running(), out) == [final, (False, "everybody gets 'treatment', but those listed or held out")]
    assert told(running(), roll_back(running(), 3)) == [final, off]


def test_a_restart_of_a_running_experiment_is_risky_and_of_a_plain_flag_is_not():
    for flag, is_risky in ((EXPERIMENT, True), (PLAIN, False)):
        found = told(running(flag), restart(running(flag), 3, "s2"))

        assert any(risky for risky, _ in found) is is_risky
        split = "units are split anew by a fresh salt" if flag is EXPERIMENT else "they are split as before"
        assert f"exp-2 begins: units enter from now on; {split}" in found[-1][1]


def test_a_roll_out_that_no_run_has_measured_is_risky():
    draft = FlagState(definition=EXPERIMENT)

    assert told(draft, roll_out(draft, 2, "control"))[-1] == (True, "no run has measured that it is better")


def test_removal_is_risky_where_somebody_loses_a_variant_or_for_ever():
    draft, out, ended = FlagState(definition=PLAIN), roll_out(running(), 3, "control"), complete(running(), 3)

    assert told(out, archive(out, ())) == [(True, "everybody who gets 'control' gets 'off'")]
    assert told(archive(out, ()), restore(archive(out, ()))) == [(False, "everybody gets 'control' again")]
    assert not told(ended, archive(ended, ()))
    ((risky, text),) = told(draft, delete(draft, ()))
    assert risky
    assert "for ever" in text


@pytest.mark.parametrize(
    ("fields", "anew"),
    [
        ({"description": "who buys", "owner": "ann", "name": "Buyers"}, []),
        ({"scale": 5}, []),  # of sums only
        ({"window": "8d"}, ["purchase"]),
        ({"event": "order"}, ["purchase", "rate"]),
    ],
)
def test_another_version_of_a_metric_is_risky_where_it_measures_something_else(fields, anew):
    purchase = Metric(key="purchase", owner="shop", type="conversion", event="buy", window="7d")
    rate = Metric(key="rate", owner="shop", type="ratio", numerator="purchase", denominator="purchase", window="7d")
    metrics = {"purchase": MetricInForce(purchase, 1, 0), "rate": MetricInForce(rate, 1, 0, (purchase, purchase))}
    run = RunInForce("button", "exp-1", "s", (), 0, None, dict.fromkeys(metrics, 0), EXPERIMENT, metrics)
    catalog = Catalog(flags={"button": FlagInForce(EXPERIMENT, "running", 1, 0, (run,))}, metrics=metrics)

    told = [*of_metric(catalog, msgspec.structs.replace(purchase, **fields))]

    assert [each.text.split("'")[3] for each in told] == anew
    assert all(each.is_risky for each in told)


def test_f07_a_group_that_decides_by_another_unit_wants_a_yes_when_it_comes_into_force():
    slots, held = Membership(group="slots", slots=(1,)), Membership(group="held")
    flag = msgspec.structs.replace(PLAIN, unit="device_id", groups=(slots,))
    by_slots = (
        True,
        "'slots' decides by user_id, and 'button' is bucketed by device_id: whoever has no user_id gets 'off'",
    )
    by_company = (True, by_slots[1].replace("slots", "held").replace("user_id", "groups.company"))
    draft = FlagState(definition=flag)

    assert by_slots not in told(None, draft)
    assert by_slots in told(draft, running(flag))
    assert by_slots in edit(msgspec.structs.replace(flag, groups=()), groups=(slots,))
    assert not [each for each in edit(flag, rollout=80) if each[0]]
    assert by_company in edit(flag, groups=(slots, held))
    assert by_company in told(
        draft, roll_out(FlagState(definition=msgspec.structs.replace(flag, groups=(slots, held))), 2, "control")
    )
    assert by_slots not in told(running(flag), roll_out(running(flag), 3, "control")), "mutual exclusion ends"
    by_user = msgspec.structs.replace(PLAIN, groups=(slots,))
    assert not [each for each in told(FlagState(definition=by_user), running(by_user)) if each[0]]


def test_f19_a_new_flag_is_said_to_serve_nobody_yet():
    for flag, kind in ((PLAIN, "flag"), (EXPERIMENT, "experiment")):
        start = f"it is started, on its page or by `peekproof {kind} start button`"
        text = f"it is a draft: everybody gets 'off' until {start}"
        assert told(None, FlagState(definition=flag)) == [(False, text)]
    listing = msgspec.structs.replace(PLAIN, variants=(Variant(key="on", users=("ann",)),))
    ((_, said),) = told(None, FlagState(definition=listing))
    assert said.startswith("it is a draft: everybody but those listed gets 'off' until")


def test_f18_a_segment_that_is_never_reached_is_told_when_it_comes_into_force():
    twice = (Segment(name="all"), Segment(name="none"))
    text = "'none' is never reached: 'all' comes before it and has no conditions"
    draft = FlagState(definition=msgspec.structs.replace(PLAIN, segments=twice))

    assert (False, text) in told(draft, running(draft.definition))
    assert (False, text) in edit(PLAIN, segments=twice)
    assert (False, text) not in edit(draft.definition, rollout=80)
