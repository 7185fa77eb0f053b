"""Resuming a plan: what is passed over, and what follows at once."""

from evaluation.catalog import lifecycle
from evaluation.plans.resuming import Resuming, resuming
from tests.evaluation.plans.conftest import HOUR, MONDAY, RAMP


def test_a_step_whose_time_has_come_is_told(ramping, look_of):
    stage = ramping()
    stage.do(lifecycle.pause, MONDAY)

    early, late = resuming(stage.flag, look_of(), MONDAY), resuming(stage.flag, look_of(), MONDAY + HOUR)

    assert early == Resuming()
    (told,) = late.follows
    assert told.text.startswith("the plan then does at once what it says, take step 2: step 2 of 3 (10 %); ")
    assert told.text.endswith("; look 7 of exp-1")
    assert not told.is_risky


def test_what_an_alarm_demands_wants_a_yes_unless_it_paused_the_plan(ramping, look_of, cell_of):
    harm = look_of((cell_of("fails", "red", "harmed"),))
    asked, paused = ramping(), ramping(RAMP | {"on_harm": "pause"})
    asked.do(lifecycle.pause, MONDAY)
    paused.do(lifecycle.pause, MONDAY, "harm", ("fails/red",))

    (told,) = resuming(asked.flag, harm, MONDAY).follows

    assert told.is_risky
    assert "roll it back: red harms fails" in told.text
    assert resuming(paused.flag, harm, MONDAY) == Resuming()


def test_alarms_that_only_tell_are_seen_and_a_flag_without_a_plan_has_none(ramping, staged, look_of):
    split = look_of(split=0.009)

    assert resuming(ramping(RAMP | {"on_broken_split": "tell"}).flag, split, MONDAY).seen == ("split (told)",)
    assert resuming(staged(None).start(MONDAY).flag, split, MONDAY) == Resuming()
