"""Plans in the life of a flag: what steps, pauses and edits give, and that no step takes a variant from anybody."""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

import msgspec
import pytest
from amplitude_experiment import User
from amplitude_experiment.evaluation.engine import EvaluationEngine
from amplitude_experiment.util.user import user_to_evaluation_context

from evaluation.catalog.configs import flag_configs
from evaluation.catalog.history import History
from evaluation.catalog.lifecycle import (
    LifecycleError,
    apply_definition,
    complete,
    pause,
    restart,
    resume,
    roll_back,
    roll_out,
    start,
    steps_between,
    take_step,
)
from evaluation.catalog.plan_rules import plan_violations, progress_violations
from evaluation.catalog.rules import state_violations
from evaluation.flags.engine import Flags
from schemas.catalog import Condition, Document, Flag, FlagState, Segment, Variant
from schemas.plan import Evidence, Pause, Plan, PlanStep, Progress
from tests.evaluation.flags.amplitude import sorted_flags

SEGMENTS = (
    Segment(name="few", conditions=(Condition(property="country", op="is", values=("DE",)),), rollout=5),
    Segment(name="pros", conditions=(Condition(property="user_properties.plan", op="is", values=("pro",)),)),
)
STEPS = (
    PlanStep(rollout=1, lasts="1h"),
    PlanStep(rollout=10, lasts="1h", segments={"pros": 60}),
    PlanStep(rollout=50, segments={"pros": 100}),
)
VARIANTS = (Variant(key="control"), Variant(key="treatment"))
FLAG = Flag(key="button", owner="shop", variants=VARIANTS, segments=SEGMENTS, plan=Plan(steps=STEPS))
STICKY = msgspec.structs.replace(FLAG, sticky=True)
EVIDENCE = Evidence(version=3, time=7, run="exp-1", look=4)
USERS = 20_000


def running(flag: Flag = FLAG) -> FlagState:
    return start(apply_definition(None, flag, 1), 2, "s1")


def edited(state: FlagState, version: int = 9, **fields: object) -> FlagState:
    return apply_definition(state, msgspec.structs.replace(state.definition, **fields), version)


def planned(*rollouts: float, **fields: object) -> Plan:
    return Plan(steps=tuple(PlanStep(rollout=each, lasts="1h") for each in rollouts), **fields)


def given(state: FlagState) -> list[tuple[float, ...]]:
    """What each allocation of the newest run gives, and that the state is sound."""
    assert not list(state_violations(state))
    assert not list(progress_violations(state))
    allocations = state.runs[-1].allocations
    return [(each.rollout, *(segment.rollout for segment in each.segments)) for each in allocations]


def test_a_run_begins_with_step_1_and_each_step_is_the_most_that_any_part_gets_but_for_segments_that_it_names():
    assert not list(plan_violations(FLAG))

    second = take_step(running(), 3, 2, EVIDENCE)
    third = take_step(second, 4, 3)

    assert given(third) == [(1, 1, 1), (10, 5, 60), (50, 5, 100)]
    assert running().progress == Progress(step=1, taken=2)
    assert second.progress == Progress(step=2, taken=3, evidence=EVIDENCE)
    assert third.progress == Progress(step=3, taken=4, evidence=EVIDENCE)
    assert [each.flag_version for each in third.runs[-1].allocations] == [2, 3, 4]
    assert list(steps_between(second, third)) == ["step 3 of 3 is in force"]
    assert list(steps_between(apply_definition(None, FLAG, 1), running())) == [
        "exp-1 is running",
        "step 1 of 3 is in force",
    ]


@pytest.mark.parametrize(
    ("state", "number", "reason"),
    [
        (running(), 1, "step 1 does not follow in the plan of 'button', of which step 1 of 3 is in force"),
        (running(), 3, "step 3 does not follow"),
        (take_step(take_step(running(), 3, 2), 4, 3), 4, "step 4 does not follow"),
        (pause(running(), 3), 2, r"the plan of 'button' is paused \(asked\); resume it first"),
        (apply_definition(None, FLAG, 1), 2, r"'button' is not running \(draft\), and its plan not in force"),
        (complete(running(), 3), 2, r"'button' is not running \(complete\)"),
        (running(msgspec.structs.replace(FLAG, plan=None)), 2, "'button' has no plan; write one"),
    ],
)
def test_a_step_is_taken_only_where_it_follows(state: FlagState, number: int, reason: str):
    with pytest.raises(LifecycleError, match=reason):
        take_step(state, 9, number)


def test_a_step_that_gives_what_stands_is_in_force_from_then_on_by_the_same_allocation():
    state = take_step(running(msgspec.structs.replace(FLAG, plan=planned(10, 10))), 3, 2)

    assert given(state) == [(10, 5, 10)]
    assert state.progress == Progress(step=2, taken=3)


@pytest.mark.parametrize(
    ("flag", "held"), [(FLAG, [(1, 1, 1)]), (STICKY, [(1, 1, 1), (0, 0, 0)])], ids=["not sticky", "sticky"]
)
def test_a_pause_holds_who_has_a_variant_where_that_is_known_and_to_resume_gives_the_step_again(
    flag: Flag, held: list[tuple[float, ...]]
):
    paused = pause(running(flag), 3, "harm", ("split", "error/treatment"), EVIDENCE)
    resumed = resume(paused, 4)
    again = resume(pause(resumed, 5, "harm", ("error/treatment", "error/other")), 6)

    assert given(paused) == held
    assert paused.progress == Progress(
        step=1,
        taken=2,
        paused=Pause(version=3, why="harm", alarms=("split", "error/treatment")),
        evidence=EVIDENCE,
    )
    assert given(resumed)[-1] == (1, 1, 1)
    assert resumed.progress == Progress(step=1, taken=2, overruled=("split", "error/treatment"), evidence=EVIDENCE)
    assert again.progress is not None
    assert again.progress.overruled == ("split", "error/treatment", "error/other")
    assert list(steps_between(running(flag), paused)) == ["the plan is paused (harm)"]
    assert list(steps_between(paused, resumed)) == ["the plan goes on"]
    with pytest.raises(LifecycleError, match=r"is paused already \(harm\)"):
        pause(paused, 4)
    with pytest.raises(LifecycleError, match="the plan of 'button' is not paused, and no alarm holds it; it is"):
        resume(resumed, 5)


def test_what_an_edit_paused_can_be_paused_for_good():
    state = pause(edited(running(STICKY), deployments=("web",)), 10)

    assert given(state)[-1] == (0, 0, 0)
    assert state.progress is not None
    assert state.progress.paused == Pause(version=10, why="asked")


@pytest.mark.parametrize("field", ["name", "description", "owner"])
def test_who_only_describes_a_flag_does_not_pause_its_plan(field: str):
    state = edited(take_step(running(), 3, 2), tags=("x",), **{field: "other"})

    assert state.progress == Progress(step=2, taken=3)
    assert given(state) == [(1, 1, 1), (10, 5, 60)]


def test_an_edit_pauses_the_plan_and_changes_no_percentage():
    before = take_step(running(), 3, 2, EVIDENCE)

    state = edited(before, variants=(Variant(key="control", weight=3), VARIANTS[1]))

    assert given(state) == [(1, 1, 1), (10, 5, 60), (10, 5, 60)]
    paused = Pause(version=9, why="edited")
    assert state.progress == Progress(step=2, taken=3, paused=paused, evidence=EVIDENCE)
    assert edited(state, version=10, sticky=True).progress == state.progress
    assert list(steps_between(before, state)) == ["the plan is paused (edited)"]
    assert take_step(resume(state, 10), 11, 3).progress == Progress(step=3, taken=11, evidence=EVIDENCE)


def test_a_hold_outlives_an_edit_and_who_keeps_a_variant_is_not_edited_meanwhile():
    paused = pause(take_step(running(STICKY), 3, 2), 4)

    state = edited(paused, variants=(Variant(key="control", weight=3), VARIANTS[1]))

    assert given(state)[-2:] == [(0, 0, 0), (0, 0, 0)]
    assert state.progress == paused.progress
    assert given(resume(state, 10))[-1] == (10, 5, 60)
    for each in (paused, pause(running(), 3)):
        with pytest.raises(LifecycleError, match="sticky of 'button' would change while its plan is paused"):
            edited(each, sticky=not each.definition.sticky)


@pytest.mark.parametrize(
    ("flag", "step"),
    [
        ({"plan": planned(1, 10, 40, 100)}, 3),
        ({"plan": planned(40)}, 1),
        ({"plan": planned(40, 40)}, 1),
        ({"plan": planned(1, 39)}, None),
        ({"plan": planned(40), "segments": SEGMENTS[1:]}, None),
    ],
)
def test_a_plan_that_comes_to_a_running_flag_begins_where_the_flag_stands_or_not_at_all(
    flag: dict[str, object], step: int | None
):
    plain = msgspec.structs.replace(
        FLAG, plan=None, rollout=40, segments=(SEGMENTS[0], msgspec.structs.replace(SEGMENTS[1], rollout=40))
    )

    def edit() -> FlagState:
        return edited(running(plain), rollout=100, **flag)

    if step is None:
        with pytest.raises(
            LifecycleError, match=r"no step of the plan of 'button' gives what is in force in exp-1, 40 %"
        ):
            edit()
    else:
        assert edit().progress == Progress(step=step, taken=9, paused=Pause(version=9, why="edited"))
        assert given(edit()) == [(40, 5, 40)]


def test_a_plan_that_is_edited_stays_at_the_step_whose_percentages_are_in_force_since_they_are():
    state = take_step(running(msgspec.structs.replace(FLAG, plan=planned(1, 10, 50))), 3, 2)

    more = edited(state, plan=planned(1, 5, 10, 20))
    same = edited(state, plan=planned(1, 10, 50, on_harm="pause"))

    paused = Pause(version=9, why="edited")
    assert more.progress == Progress(step=3, taken=3, paused=paused)
    assert same.progress == Progress(step=2, taken=3, paused=paused)
    assert given(more) == given(same) == given(state)
    with pytest.raises(LifecycleError, match=r"gives what is in force in exp-1, 10 %, 5 % of segment 'few', 10 % of"):
        edited(state, plan=planned(1, 50))


def test_a_plan_that_is_edited_while_it_holds_goes_on_from_the_step_where_it_was():
    state = take_step(running(msgspec.structs.replace(STICKY, plan=planned(1, 10, 50))), 3, 2)

    held = edited(pause(state, 4), plan=planned(10, 20))

    assert given(held)[-1] == (0, 0, 0)
    assert held.progress == Progress(step=1, taken=3, paused=Pause(version=4, why="asked"))
    assert given(resume(held, 10))[-1] == (10, 5, 10)


def test_without_its_plan_the_definition_says_who_gets_what():
    state = edited(take_step(running(), 3, 2), plan=None, rollout=30)

    assert state.progress is None
    assert given(state)[-1] == (30, 5, 100)


@pytest.mark.parametrize(
    "end",
    [complete, roll_back, lambda state, version, evidence: roll_out(state, version, "treatment", evidence)],
    ids=["complete", "roll back", "roll out"],
)
def test_the_end_of_a_run_is_the_end_of_its_plan_and_another_run_begins_it_anew(
    end: Callable[[FlagState, int, Evidence], FlagState],
):
    ended = end(pause(take_step(running(), 3, 2), 4, "harm", ("split",)), 5, EVIDENCE)

    again = restart(ended, 6, "s2")

    assert ended.progress is not None
    assert (ended.progress.step, ended.progress.evidence) == (2, EVIDENCE)
    assert not list(progress_violations(ended))
    assert again.progress == Progress(step=1, taken=6)
    assert given(again) == [(1, 1, 1)]
    assert (
        restart(msgspec.structs.replace(ended, definition=msgspec.structs.replace(FLAG, plan=None)), 6, "s2").progress
        is None
    )


def test_what_starts_by_its_plan_says_what_that_rests_on():
    state = start(apply_definition(None, FLAG, 1), 2, "s1", evidence=EVIDENCE)

    assert state.progress == Progress(step=1, taken=2, evidence=EVIDENCE)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"progress": None}, "progress"),
        ({"progress": Progress(step=4, taken=2)}, "progress.step"),
        ({"progress": Progress(step=0, taken=2)}, "progress.step"),
        ({"progress": Progress(step=1, taken=1)}, "progress.taken"),
        ({"progress": Progress(step=2, taken=2)}, "runs[0].allocations"),
        ({"definition": msgspec.structs.replace(FLAG, plan=None)}, "progress"),
        ({"status": "draft", "runs": ()}, "progress"),
    ],
)
def test_another_writer_cannot_say_that_a_plan_stands_where_it_does_not(change: dict[str, object], path: str):
    (violation,) = progress_violations(msgspec.structs.replace(running(), **change))

    assert str(violation).startswith(f"{path}: ")


def test_with_an_official_sdk_nobody_ever_loses_or_changes_a_variant_by_a_step():
    """20,000 users through steps with fractions, two treatments and a segment of its own percentages."""
    variants = (Variant(key="control", weight=2), Variant(key="one", weight=1), Variant(key="other", weight=3))
    rollouts = ((0.57, 1), (10, 10.01), (49.99, 50), (100, 100))
    steps = tuple(PlanStep(rollout=all_, segments={"pros": pros}, lasts="1h") for all_, pros in rollouts)
    flag = Flag(
        key="button", owner="shop", variants=variants, segments=SEGMENTS[1:], sticky=True, plan=Plan(steps=steps)
    )
    assert not list(plan_violations(flag))
    had: dict[str, str] = {}
    log = Log()
    log.publish(apply_definition(None, flag, 1))
    log.publish(start(log.state, 2, "s1"))

    for number, (rollout, pros) in enumerate(rollouts, 1):
        if number > 1:
            log.publish(take_step(log.state, log.version + 1, number))
        has = log.chosen(range(USERS))

        assert {user: has[user] for user in had} == had
        share = len(has) / USERS
        assert share == pytest.approx((0.75 * rollout + 0.25 * pros) / 100, abs=0.012)
        had = has
    assert len(had) == USERS

    log.publish(pause(log.state, log.version + 1))
    kept = {user: had[user] for user in map(name_of, range(0, 2_000, 2))}
    assert log.chosen(range(2_000), kept) == kept


def name_of(index: int) -> str:
    """A user."""
    return f"user-{index}"


class Log:
    """The catalog of one flag, and Amplitude's engine on what SDKs are served."""

    def __init__(self) -> None:
        self.history = History()
        self.version = 0

    @property
    def state(self) -> FlagState:
        state = self.history.state_of("button")
        assert state is not None
        return state

    def publish(self, state: FlagState) -> None:
        self.version += 1
        document = Document(
            kind="flag",
            key="button",
            version=self.version,
            base=self.version - 1,
            author="plan",
            time=0,
            reason="-",
            spec=msgspec.Raw(msgspec.json.encode(state)),
        )
        self.history.append(self.version, self.version * 1_000, msgspec.json.encode(document))
        assert not self.history.rejected

    def chosen(self, users: Iterable[int], kept: Mapping[str, str] = MappingProxyType({})) -> dict[str, str]:
        """Each user's variant, by both engines, of those who have one; `kept` are those that SDKs remember."""
        configs = flag_configs(self.history.newest)
        theirs = sorted_flags(msgspec.json.decode(msgspec.json.encode(configs)))
        ours, engine, found = Flags(configs), EvaluationEngine(), {}
        for index in users:
            user = name_of(index)
            properties = {"plan": "pro"} if index % 4 == 0 else {}
            if user in kept:
                properties["[Experiment] button"] = kept[user]
            context = user_to_evaluation_context(User(user_id=user, user_properties=properties))
            variant = engine.evaluate(context, theirs)["button"].key
            assert ours.evaluate_context(context)["button"].key == variant
            if variant != "off":
                found[user] = variant
        return found
