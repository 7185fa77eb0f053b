"""What a plan says now: its acts, why, what it waits for and what blocks it."""

import msgspec
import pytest

from evaluation.catalog import lifecycle
from evaluation.catalog.in_force import SETTLING
from evaluation.catalog.plan_consequences import way_on
from evaluation.plans.acts import CompleteRun, PausePlan, RollBack, RollOut, StartFlag, TakeStep
from evaluation.plans.alarms import holding
from evaluation.plans.question import ask
from schemas.look import DataFault
from schemas.plan import Plan
from tests.evaluation.plans.conftest import HOUR, MONDAY, RAMP, TREATMENTS, at

DAY = 86_400_000
NUMBERS = "+10.0% [+2.0%, +20.0%], p = 0.03"


def test_a_draft_starts_at_the_date_in_its_time_zone(staged):
    flag = staged(RAMP | {"start": "2026-03-02T08:00", "timezone": "Europe/Berlin"}).flag

    before, then = ask(flag, None, MONDAY - HOUR - 1), ask(flag, None, MONDAY - HOUR)

    assert before.act is None
    assert before.reason == "step 1 of 3 (1 %) waits for: start 2026-03-02 08:00:00+01:00"
    assert before.awaits[0].since == MONDAY - HOUR
    assert then.act == StartFlag()
    assert then.reason == "step 1 of 3 (1 %); start 2026-03-02 08:00:00+01:00"


def test_without_a_date_it_starts_by_command_only(staged):
    said = ask(staged(RAMP).flag, None, MONDAY)

    assert said.act is None
    assert said.reason == "step 1 of 3 (1 %) waits for: started, on its page or by `peekproof experiment start basket`"


def test_a_plan_whose_end_has_passed_does_not_start(staged):
    plan = RAMP | {"start": "2026-03-01", "end": "2026-03-02"}

    assert ask(staged(plan).flag, None, MONDAY).blocks == ("its end 2026-03-02 00:00:00+00:00 has passed",)
    assert ask(staged(plan).flag, None, MONDAY - DAY).act == StartFlag()


def test_a_step_is_taken_once_the_one_before_has_been_in_force(ramping, look_of):
    flag = ramping().flag

    assert ask(flag, None, MONDAY + HOUR - 1).act is None
    said = ask(flag, look_of(), MONDAY + HOUR)

    assert said.act == TakeStep(2)
    assert said.reason == (
        "step 2 of 3 (10 %); step 1 in force for 1h, since 2026-03-02 08:00:00+00:00; "
        "look 7 of exp-1 at offsets 0:12 1:15"
    )


def test_a_step_waits_for_units_and_guardrails_that_are_safe(ramping, look_of, cell_of):
    flag, time = ramping(step=2).flag, MONDAY + DAY
    safe = tuple(cell_of("fails", each, "safe") for each in TREATMENTS)
    half = (cell_of("fails", "blue", "safe"), cell_of("fails", "red", "open"))
    live = tuple(cell_of("fails", each, "safe", reading="live") for each in TREATMENTS)

    said = ask(flag, look_of(half, units=4_999), time)

    assert [each.holds for each in said.awaits] == [True, False, False]
    assert "4,999 of 5,000 units" in said.reason
    assert f"fails is not proved safe yet: red {NUMBERS}" in said.reason
    assert ask(flag, look_of(live, units=5_000), time).act is None
    assert ask(flag, look_of(units=5_000), time).act is None
    assert ask(flag, None, time).act is None
    assert ask(flag, look_of(safe, units=5_000), time - 1).act is None
    said = ask(flag, look_of(safe, units=5_000), time)
    assert said.act == TakeStep(3)
    assert f"5,000 of 5,000 units; fails is proved safe: blue {NUMBERS}, red" in said.reason


def test_no_reading_without_a_guarantee_proves_safety(ramping, look_of, cell_of):
    flag = ramping({"steps": [{"rollout": 1, "until": {"safe": ["slow"]}}, {"rollout": 2}]}).flag

    def act(**fields):
        return ask(flag, look_of(tuple(cell_of("slow", each, "safe", **fields) for each in TREATMENTS)), MONDAY).act

    assert act() is None
    assert act(caveat=None) == TakeStep(2)
    assert act(caveat=None, method="bayesian") is None


def test_a_step_is_not_taken_before_its_date_nor_outside_of_hours(ramping):
    plan = {
        "steps": [{"rollout": 1, "for": "1h"}, {"rollout": 2, "at": "2026-03-06T16:30"}],
        "hours": {"days": ["mon", "fri"], "between": "09:00-16:00"},
    }
    flag, monday = ramping(plan, metrics=()).flag, at("2026-03-09T09:00")

    said = ask(flag, None, at("2026-03-06T16:30"))

    assert said.act is None
    assert [(each.holds, each.since) for each in said.awaits] == [
        (True, MONDAY + HOUR),
        (True, at("2026-03-06T16:30")),
        (False, monday),
    ]
    assert said.reason == "step 2 of 2 (2 %) waits for: within hours Mon, Fri 09:00-16:00 UTC"
    assert ask(flag, None, monday).act == TakeStep(2)


def test_an_overdue_step_is_taken_once_and_the_next_one_waits(ramping):
    stage = ramping({"steps": [{"rollout": rollout, "for": "1h"} for rollout in (1, 2, 3)]}, metrics=())
    late = MONDAY + 2 * DAY

    assert ask(stage.flag, None, late).act == TakeStep(2)
    stage.do(lifecycle.take_step, late, 2)

    assert ask(stage.flag, None, late).act is None
    assert ask(stage.flag, None, late + HOUR).act == TakeStep(3)


@pytest.mark.parametrize("cell", [("fails", "red", "harmed"), ("orders", "blue", "worse")])
def test_harm_rolls_back_whenever_it_shows(ramping, look_of, cell_of, cell):
    flag = ramping(RAMP | {"hours": {"between": "09:00-10:00"}}).flag

    said = ask(flag, look_of((cell_of(*cell),)), MONDAY, behind="aggregation is down")

    assert said.act == RollBack()
    assert said.reason == f"{cell[1]} harms {cell[0]}: {NUMBERS}; look 7 of exp-1 at offsets 0:12 1:15"


def test_the_exact_test_shows_harm_before_anything_settles_unless_what_settled_knows_better(ramping, look_of, cell_of):
    flag = ramping().flag
    live = cell_of("fails", "red", "harmed", reading="live", method="exact")

    assert ask(flag, look_of((live, cell_of("fails", "red", "open"))), MONDAY).act == RollBack()
    assert ask(flag, look_of((live, cell_of("fails", "red", "safe"))), MONDAY).act is None


@pytest.mark.parametrize("fields", [{"caveat": "heavy tail"}, {"method": "bayesian"}])
def test_a_reading_without_a_guarantee_only_tells_and_holds_the_next_step(ramping, look_of, cell_of, fields):
    flag = ramping().flag

    said = ask(flag, look_of((cell_of("fails", "red", "harmed", **fields),)), MONDAY + HOUR)

    assert said.act is None
    assert said.blocks[0].endswith(f"the plan only tells of it, and {way_on(flag.definition.key)}")
    assert said.alarms[0].name == "fails/red"


def test_a_broken_split_pauses_and_of_two_alarms_the_one_that_protects_most_is_heard(ramping, look_of, cell_of):
    flag, harm = ramping().flag, (cell_of("fails", "red", "harmed"),)
    gentle = ramping(RAMP | {"on_harm": "pause"}).flag

    assert ask(flag, look_of(split=0.01), MONDAY).act is None
    assert ask(flag, look_of(split=0.009), MONDAY).act == PausePlan("broken split", ("split",))
    assert ask(flag, look_of(harm, split=0.009), MONDAY).act == RollBack()
    assert ask(gentle, look_of(harm, split=0.009), MONDAY).act == PausePlan("harm", ("split", "fails/red"))


def test_alarms_that_only_tell_hold_the_next_step_until_somebody_goes_on_all_the_same(ramping, look_of):
    stage, look = ramping(RAMP | {"on_broken_split": "tell"}), look_of(split=0.009)

    said = ask(stage.flag, look, MONDAY + HOUR)
    held_by = holding(stage.flag, look)
    stage.do(lifecycle.resume, MONDAY, held_by)

    assert said.act is None
    assert said.reason.startswith("The split is broken: control has 0 of 0 units")
    assert held_by == ("split (told)",)
    assert holding(stage.flag, look) == ()
    assert ask(stage.flag, look, MONDAY + HOUR).act == TakeStep(2)


def test_who_goes_on_after_a_doubtful_reading_has_not_overruled_a_sure_one(ramping, look_of, cell_of):
    stage, sure = ramping(), look_of((cell_of("fails", "red", "harmed"),))
    doubtful = look_of((cell_of("fails", "red", "harmed", caveat="heavy tail"),))
    stage.do(lifecycle.resume, MONDAY, holding(stage.flag, doubtful))

    assert ask(stage.flag, doubtful, MONDAY + HOUR).act == TakeStep(2)
    assert ask(stage.flag, sure, MONDAY + HOUR).act == RollBack()


def test_another_word_on_alarms_lets_what_was_overruled_count_again(ramping, look_of, cell_of):
    stage, harm = ramping(RAMP | {"on_harm": "pause"}), look_of((cell_of("fails", "red", "harmed"),))
    stage.do(lifecycle.pause, MONDAY, "harm", ("fails/red",)).do(lifecycle.resume, MONDAY)
    for plan in ({"end": "2027-01-01"}, {"end": "2027-01-01", "on_harm": "roll back"}):
        another = msgspec.convert(RAMP | {"on_harm": "pause"} | plan, Plan)
        definition = msgspec.structs.replace(stage.state.definition, plan=another)
        stage.write(lifecycle.apply_definition(stage.state, definition, stage.version), MONDAY)
        stage.do(lifecycle.resume, MONDAY)
        act = ask(stage.flag, harm, MONDAY).act
        assert act == (RollBack() if "on_harm" in plan else None)


def test_what_acts_holds_nothing_and_is_not_overruled_unseen(ramping, look_of, cell_of):
    stage, harm = ramping(), look_of((cell_of("fails", "red", "harmed"),))

    assert holding(stage.flag, harm) == ()
    with pytest.raises(lifecycle.LifecycleError, match="is not paused, and no alarm holds it; it is at step 1"):
        stage.do(lifecycle.resume, MONDAY)


def test_a_look_that_cannot_be_believed_holds_the_next_step_and_not_the_end(ramping, look_of):
    plan = RAMP | {"end": "2026-03-03", "then": {"on_nothing": "complete"}}
    flag, look = ramping(plan).flag, look_of(decision="needs attention")

    said = ask(flag, look, MONDAY + HOUR)

    assert (said.act, said.blocks) == (None, ("So it is",))
    assert ask(flag, look, MONDAY + DAY).act == CompleteRun()


@pytest.mark.parametrize("status", ["withheld", "unusable"])
def test_a_guardrail_whose_values_are_not_known_for_any_treatment_holds_the_next_step(
    ramping, look_of, cell_of, status
):
    cells = cell_of("fails", "blue", "open"), cell_of("fails", "red", "open", status=status)
    live = cell_of("fails", "blue", "open", status=status, reading="live")

    said = ask(ramping().flag, look_of((*cells, live)), MONDAY + HOUR)

    assert said.act is None
    assert said.blocks == (f"fails says nothing of red, for its values are not known ({status})",)
    assert ask(ramping().flag, look_of((cells[0], live)), MONDAY + HOUR).act == TakeStep(2)


def test_a_broken_split_that_is_overruled_hides_no_other_doubt(ramping, look_of, cell_of):
    stage, told = ramping(RAMP | {"on_broken_split": "tell"}), {"split": 0.001, "decision": "needs attention"}
    stage.do(lifecycle.resume, MONDAY, holding(stage.flag, look_of(**told)))
    moved = cell_of("orders", "red", "open", running_empty=True)

    assert ask(stage.flag, look_of(**told), MONDAY + HOUR).act == TakeStep(2)
    (block,) = ask(stage.flag, look_of((moved,), **told), MONDAY + HOUR).blocks
    assert block.startswith("The effect of red on orders has moved: intervals of different looks exclude each other")


def test_an_edit_pauses_steps_and_a_person_alarms_too(ramping, look_of, cell_of):
    stage, harm = ramping(), look_of((cell_of("fails", "red", "harmed"),))
    edited = msgspec.structs.replace(stage.state.definition, sticky=True)
    stage.write(lifecycle.apply_definition(stage.state, edited, stage.version), MONDAY)

    assert ask(stage.flag, look_of(), MONDAY + HOUR).act is None
    assert ask(stage.flag, harm, MONDAY).act == RollBack()
    stage.do(lifecycle.pause, MONDAY)
    assert ask(stage.flag, harm, MONDAY).act is None


def test_overruled_alarms_do_nothing(ramping, look_of, cell_of):
    stage, harm = ramping(RAMP | {"on_harm": "pause"}), (cell_of("fails", "red", "harmed"),)
    act = ask(stage.flag, look_of(harm), MONDAY).act
    stage.do(lifecycle.pause, MONDAY, act.why, act.alarms)
    paused = ask(stage.flag, look_of(harm, split=0.001), MONDAY + HOUR)
    stage.do(lifecycle.resume, MONDAY)

    assert paused.act is None
    assert paused.reason.startswith("the plan is paused (harm: fails/red) since version 3; ")
    assert ask(stage.flag, look_of(harm), MONDAY + HOUR).act == TakeStep(2)
    assert ask(stage.flag, look_of((*harm, cell_of("fails", "blue", "harmed"))), MONDAY).act == PausePlan(
        "harm", ("fails/blue",)
    )


def test_whoever_is_behind_holds_growth_of_flags_with_metrics(ramping, look_of):
    flag, plain = ramping().flag, ramping({"steps": RAMP["steps"][::2]}, metrics=()).flag

    assert ask(flag, look_of(), MONDAY + HOUR, behind="nobody works on aggregation").reason == (
        "looks may not tell everything now: nobody works on aggregation"
    )
    assert ask(plain, None, MONDAY + HOUR, behind="nobody works on aggregation").act == TakeStep(2)


def test_a_look_at_a_former_run_says_nothing(ramping, look_of, cell_of):
    stage = ramping()
    stage.do(lifecycle.restart, MONDAY, "t")

    assert ask(stage.flag, look_of((cell_of("fails", "red", "harmed"),)), MONDAY).act is None


@pytest.mark.parametrize(
    ("ships", "then", "act"),
    [
        (("red",), {"on_win": "roll out"}, RollOut("red")),
        (("blue", "red"), {"on_win": "roll out"}, RollOut("red")),
        (("red",), {"on_win": "complete"}, CompleteRun()),
        (("red",), {"on_nothing": "roll back"}, None),
        ((), {"on_nothing": "roll back"}, RollBack()),
        ((), {"on_nothing": "complete"}, CompleteRun()),
        ((), {"on_win": "roll out"}, None),
    ],
)
def test_after_the_end_the_newest_look_decides(ramping, look_of, cell_of, *, ships, then, act):
    flag = ramping(RAMP | {"end": "2026-03-03", "then": then}).flag
    lifts = {"blue": 0.05, "red": 0.2}
    look = look_of(
        tuple(cell_of("orders", each, "better", relative_estimate=lifts[each]) for each in TREATMENTS), ships=ships
    )

    said = ask(flag, look, at("2026-03-03"))

    assert said.act == act
    found = f"{'red' if ships else 'nothing'} has won: So it is"
    assert said.reason.startswith(f"the plan has come to its end (end 2026-03-03 00:00:00+00:00); {found}; ")
    assert ask(flag, look, at("2026-03-03"), behind="a stage is down").act is None


def test_what_the_last_step_says_ends_the_plan(ramping, look_of):
    plan = {"steps": [{"rollout": 50, "for": "1h"}], "then": {"on_nothing": "complete"}, "end": "2026-04-01"}
    flag = ramping(plan).flag

    said = ask(flag, look_of(), MONDAY + HOUR - 1)

    assert said.act is None
    assert said.reason.endswith("since 2026-03-02 08:00:00+00:00, or end 2026-04-01 00:00:00+00:00")
    assert ask(flag, look_of(), MONDAY + HOUR).act == CompleteRun()
    assert ask(flag, None, MONDAY + HOUR).blocks == (
        "exp-1 has no look yet, which would say whether a treatment has won",
    )


def test_a_last_step_without_an_end_stays(ramping):
    said = ask(ramping(RAMP, step=3).flag, None, MONDAY + 100 * DAY)

    assert (said.act, said.next, said.reason) == (None, None, "its last step is in force, and it says no end")


def test_nothing_is_said_where_nothing_is_planned_or_left_to_do(staged, ramping):
    ended = ramping().do(lifecycle.complete, MONDAY).flag
    archived = staged(RAMP | {"start": "2026-03-01"})
    archived.write(lifecycle.archive(archived.state, ()), MONDAY)

    assert ask(staged(None).flag, None, MONDAY).reason == "it has no plan"
    assert ask(ended, None, MONDAY).reason == "its plan is over: the flag is complete"
    assert ask(archived.flag, None, MONDAY).reason == "its plan is over: the flag is archived"


def test_a_time_zone_that_is_not_known_here_holds_all_but_alarms(ramping, look_of, cell_of):
    flag = ramping(RAMP | {"timezone": "Mars/Olympus"}).flag

    beyond = ramping(RAMP | {"end": "0001-01-01", "timezone": "Asia/Tokyo"}).flag

    assert "'Mars/Olympus' is no time zone" in ask(flag, None, MONDAY + HOUR).reason
    assert "'0001-01-01' is beyond the calendar" in ask(beyond, None, MONDAY + HOUR).reason
    assert ask(flag, look_of((cell_of("fails", "red", "harmed"),)), MONDAY).act == RollBack()


def test_the_answer_is_json(ramping, look_of):
    said = ask(ramping().flag, look_of(split=0.001), MONDAY)

    assert msgspec.json.decode(msgspec.json.encode(said))["act"] == {
        "type": "pause",
        "why": "broken split",
        "alarms": ["split"],
    }


def test_a_look_says_nothing_of_a_metric_that_measures_something_else_since(ramping, look_of, cell_of):
    stage = ramping(step=2)
    proved = look_of(tuple(cell_of("fails", each, "safe") for each in TREATMENTS), units=5_000)
    harmed = look_of((cell_of("fails", "red", "harmed"),))
    assert ask(stage.flag, proved, MONDAY + DAY).act == TakeStep(3)

    stage.redefine("fails", MONDAY)

    said = ask(stage.flag, proved, MONDAY + DAY)
    assert said.act is None
    assert said.blocks == ("fails measures something else since the newest look; another one follows",)
    assert ask(stage.flag, harmed, MONDAY).alarms == ()
    anew = [cell_of("fails", each, "safe", metric_version=2) for each in TREATMENTS]
    assert ask(stage.flag, look_of(tuple(anew), units=5_000), MONDAY + DAY).act == TakeStep(3)


def test_a_look_without_arms_breaks_no_split(ramping, look_of):
    look = look_of(split=1e-9)
    empty = msgspec.structs.replace(look, health=msgspec.structs.replace(look.health, arms=[]))

    assert ask(ramping().flag, empty, MONDAY).alarms == ()


@pytest.mark.parametrize(
    "more", [{"until": {"units": 5_000}}, {"for": "1s"}, {"at": "2026-03-01"}], ids=["until", "for", "at"]
)
def test_one_look_takes_no_two_steps(ramping, look_of, more):
    first = {} if "at" in more else more
    stage = ramping({"steps": [{"rollout": 1, **first}, {"rollout": 10, **more}, {"rollout": 50, **more}]})
    look = look_of(units=5_000, time=MONDAY + SETTLING)
    assert ask(stage.flag, None, MONDAY + HOUR).act is None
    assert ask(stage.flag, look, MONDAY + HOUR).act == TakeStep(2)
    stage.do(lifecycle.take_step, MONDAY + HOUR, 2)

    said = ask(stage.flag, look, MONDAY + 2 * HOUR)

    assert said.reason == "step 3 of 3 (50 %) waits for: a look since step 2"
    assert ask(stage.flag, look_of(units=5_000, time=MONDAY + HOUR + SETTLING - 1), MONDAY + 2 * HOUR).act is None
    assert ask(stage.flag, look_of(units=5_000, time=MONDAY + HOUR + SETTLING), MONDAY + 2 * HOUR).act == TakeStep(3)


def test_only_what_somebody_meets_waits_for_a_look(ramping):
    steps = [{"rollout": rollout, "for": "1h"} for rollout in (0, 10, 50)]
    stage, plain = ramping({"steps": steps}), ramping({"steps": steps}, step=2, metrics=())

    assert ask(stage.flag, None, MONDAY + HOUR).act == TakeStep(2)
    stage.do(lifecycle.take_step, MONDAY + HOUR, 2)

    assert ask(stage.flag, None, MONDAY + DAY).reason == "step 3 of 3 (50 %) waits for: a look since step 2"
    assert ask(plain.flag, None, MONDAY + DAY).act == TakeStep(3)


def test_what_does_not_come_holds_the_next_step(ramping, look_of):
    look = look_of()
    fault = DataFault(kind="event never came", says="no 'e' has come, so fails counts none", metric="fails")
    look = msgspec.structs.replace(look, health=msgspec.structs.replace(look.health, data=[fault]))

    said = ask(ramping().flag, look, MONDAY + HOUR)

    assert (said.act, said.blocks) == (None, (fault.says,))
