"""What people are told of what they do to a flag's plan."""

import msgspec
import pytest

from evaluation.catalog.consequences import of_flag
from evaluation.catalog.lifecycle import (
    apply_definition,
    archive,
    complete,
    pause,
    restart,
    restore,
    resume,
    start,
    take_step,
)
from evaluation.catalog.references import Known
from schemas.catalog import Flag, FlagState, Goal, Segment, Variant
from schemas.plan import Plan, PlanStep, Then

PLAN = Plan(steps=(PlanStep(rollout=1, lasts="1h"), PlanStep(rollout=10, segments={"pros": 60})))
FLAG = Flag(
    key="button",
    owner="shop",
    variants=(Variant(key="control"), Variant(key="treatment")),
    segments=(Segment(name="pros"),),
    metrics=(Goal(metric="purchase"),),
    plan=PLAN,
)
STICKY = msgspec.structs.replace(FLAG, sticky=True)
NOW = 1_767_225_600_000  # 2026-01-01
GOES_ON = "no alarm acts until 'Resume' on its page, or `peekproof plan resume button`, goes on"


def running(flag: Flag = FLAG) -> FlagState:
    return start(FlagState(definition=flag), 2, "s1")


def planned(**fields: object) -> Flag:
    return msgspec.structs.replace(FLAG, plan=msgspec.structs.replace(PLAN, **fields))


def edited(state: FlagState, **fields: object) -> FlagState:
    return apply_definition(state, msgspec.structs.replace(state.definition, **fields), 9)


def told(before: FlagState | None, after: FlagState) -> list[tuple[bool, str]]:
    return [(each.is_risky, each.text) for each in of_flag(before, after, Known(), now=NOW)]


def test_a_start_says_what_the_first_step_gives():
    reach = "step 1 of 2 is in force, by which 1 % of all other units, 1 % of segment 'pros' get a variant"

    assert told(FlagState(definition=FLAG), running())[1:] == [(False, f"{reach}; nobody changes variant by a step")]
    assert told(running(), restart(running(), 3, "s2"))[-1] == (False, f"{reach}; nobody changes variant by a step")


def test_a_step_says_what_it_gives_alone():
    reach = "step 2 of 2 is in force, by which 10 % of all other units, 60 % of segment 'pros' get a variant"

    assert told(running(), take_step(running(), 3, 2)) == [(False, f"{reach}; nobody changes variant by a step")]


@pytest.mark.parametrize(
    ("flag", "says"),
    [
        (STICKY, ": everybody who has a variant keeps it, and nobody else gets one"),
        (
            FLAG,
            ", and stops nobody: 'button' is not sticky, so nobody can know who is new, and 1 % of all other units, "
            "1 % of segment 'pros' get a variant as before",
        ),
    ],
)
def test_a_pause_says_whom_it_stops_and_a_resumption_what_it_overrules(flag: Flag, says: str):
    before, paused = running(flag), pause(running(flag), 3, "harm", ("error/treatment",))

    assert told(before, paused) == [(False, f"the plan is paused at step 1 of 2{says}; {GOES_ON}")]
    assert told(paused, resume(paused, 4)) == [
        (
            False,
            "the plan goes on at step 1 of 2, by which 1 % of all other units, 1 % of segment 'pros' get a variant",
        ),
        (False, "the plan does nothing more because of error/treatment: who resumes it knows of that"),
    ]


def test_what_is_overruled_while_it_is_only_told_and_what_counts_again():
    state, as_before = running(), running()
    seen = resume(state, 3, ("error/treatment (told)",))
    overruled = resume(pause(seen, 4, "harm", ("split",)), 5)

    assert told(as_before, seen)[1:] == [
        (
            False,
            "error/treatment does not hold the next step any more, while the plan only tells of it: who resumes it "
            "knows of that",
        )
    ]
    assert told(overruled, edited(overruled, plan=planned(on_harm="roll back").plan))[1:] == [
        (False, "what was overruled counts again: error/treatment (told), split")
    ]
    assert len(told(overruled, edited(overruled, plan=planned(end="2027-01-01").plan))) == 1


def test_an_edit_says_that_the_plan_is_paused_once_and_beside_what_it_does_to_the_run():
    way_out = "'Resume' on its page, or `peekproof plan resume button`, goes on; alarms act all the same"
    pauses = (False, f"the plan is paused at step 1 of 2, as the flag is edited: no step is taken until {way_out}")

    assert told(running(), edited(running(), variants=(Variant(key="control", weight=3), FLAG.variants[1])))[1:] == [
        pauses
    ]
    assert told(running(), edited(running(), plan=planned(on_harm="tell", end="2027-01-01").plan)) == [pauses]
    assert told(running(), edited(running(), name="Button")) == []
    again = edited(pause(running(), 3), variants=(Variant(key="control", weight=3), FLAG.variants[1]))
    assert len(told(pause(running(), 3), again)) == 2


def test_a_plan_that_is_taken_away_wants_a_yes():
    found = told(running(), edited(running(), plan=None))

    assert (False, "exp-1 goes on with rollout 100 % instead of 1 %: nobody moves between variants") in found
    assert found[-1] == (True, "its plan is gone: no step is taken any more, and no alarm acts")


def test_a_plan_that_is_taken_from_what_does_not_run_wants_a_yes_where_a_start_would_give_all():
    gone = "its plan is gone: without it, a start gives 100 % of all other units, 100 % of segment 'pros' a variant at "
    whole = msgspec.structs.replace(FLAG, segments=())
    draft, over = FlagState(definition=FLAG), complete(running(), 3)

    for state in (draft, over):
        assert told(state, edited(state, plan=None)) == [(True, f"{gone}once")]
        assert told(state, edited(state, plan=None, rollout=5)) == []
        assert told(state, edited(state, plan=planned(on_harm="pause").plan)) == []
    ((_, text),) = told(FlagState(definition=whole), edited(FlagState(definition=whole), plan=None))
    assert text.endswith("a start gives 100 % of all units a variant at once")
    unplanned = FlagState(definition=edited(draft, plan=None).definition)
    assert told(unplanned, edited(unplanned, name="B")) == []


def test_a_start_that_has_passed_wants_a_yes_for_the_plan_starts_at_once():
    draft, late = (
        FlagState(definition=planned(start="2027-01-01")),
        planned(start="2025-12-31T08:00", timezone="Asia/Tokyo"),
    )
    at_once = (True, "its plan starts it at once, for its start, 2025-12-31T08:00, has passed")

    assert told(None, draft)[-1][1].endswith(
        "`peekproof experiment start button`, or until 2027-01-01, when its plan starts it"
    )
    assert told(None, FlagState(definition=late))[0] == at_once
    assert told(draft, apply_definition(draft, late, 2)) == [at_once]
    assert (
        told(
            FlagState(definition=late),
            apply_definition(FlagState(definition=late), msgspec.structs.replace(late, name="B"), 2),
        )
        == []
    )
    put_away = archive(FlagState(definition=late), ())
    assert told(put_away, restore(put_away)) == [at_once]


def test_an_end_that_has_passed_wants_a_yes_where_the_plan_acts_by_it():
    flag = planned(end="2025-12-31", then=Then(on_nothing="roll back"))
    acts = (
        True,
        "its plan does at once what it says for its end, 2025-12-31, which has passed: roll back where it has not won",
    )

    assert told(FlagState(definition=flag), running(flag))[0] == acts
    assert told(running(flag), take_step(running(flag), 3, 2))[0] != acts
    paused = edited(running(flag), sticky=True)
    assert acts not in told(running(flag), paused)
    assert told(paused, resume(paused, 10))[0] == acts
    only_told = planned(end="2025-12-31")
    assert not any(is_risky for is_risky, _ in told(FlagState(definition=only_told), running(only_told)))
