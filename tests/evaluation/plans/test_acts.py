"""Acts: which of them a version made."""

import msgspec

from evaluation.catalog import lifecycle
from evaluation.plans.acts import PausePlan, TakeStep, act_of
from tests.evaluation.plans.conftest import MONDAY


def test_an_alarm_pauses_a_plan_whose_steps_an_edit_has_paused(ramping):
    stage = ramping()
    edited = msgspec.structs.replace(stage.state.definition, sticky=True)
    stage.write(lifecycle.apply_definition(stage.state, edited, stage.version), MONDAY)
    before = stage.state
    stage.do(lifecycle.pause, MONDAY, "harm", ("fails/red",))

    assert act_of(before, stage.state) == PausePlan("harm", ("fails/red",))


def test_a_step_is_told_from_what_a_person_does(ramping):
    stage = ramping()
    first = stage.state
    stage.do(lifecycle.take_step, MONDAY, 2)
    second = stage.state
    stage.do(lifecycle.pause, MONDAY)

    assert act_of(first, second) == TakeStep(2)
    assert act_of(second, stage.state) is None
