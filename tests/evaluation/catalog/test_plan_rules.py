"""What a plan may not be: a case for each rule."""

import msgspec
import pytest

from evaluation.catalog.answerable import answer_notes
from evaluation.catalog.plan_rules import calendar_violations, hours_violations, plan_violations
from evaluation.catalog.references import Known
from schemas.catalog import Analysis, Flag, Goal, Segment, Variant
from schemas.plan import Plan, PlanStep, Then, Until
from schemas.written import Hours

STEPS = (
    PlanStep(rollout=1, lasts="1h"),
    PlanStep(rollout=10, lasts="24h", until=Until(units=5000, safe=("app_error",))),
    PlanStep(rollout=50),
)
PLAN = Plan(
    start="2026-03-02T08:00+01:00",
    steps=STEPS,
    end="2026-03-30",
    timezone="Europe/Berlin",
    hours=Hours(days=("mon", "fri"), between="22:00-06:00"),
    on_harm="roll back",
    on_broken_split="pause",
    then=Then(on_win="roll out", on_nothing="roll back"),
)
FLAG = Flag(
    key="button",
    owner="shop",
    variants=(Variant(key="control"), Variant(key="treatment")),
    segments=(Segment(name="pros", rollout=30), Segment(name="rest")),
    metrics=(Goal(metric="purchase", role="primary"), Goal(metric="app_error", role="guardrail", margin=0.3)),
    sticky=True,
    plan=PLAN,
)
RELEASE = msgspec.structs.replace(
    FLAG, metrics=(), plan=Plan(steps=(PlanStep(rollout=1, lasts="1h"), PlanStep(rollout=100)))
)


def with_plan(flag: Flag = FLAG, **fields: object) -> Flag:
    assert flag.plan is not None
    return msgspec.structs.replace(flag, plan=msgspec.structs.replace(flag.plan, **fields))


def with_steps(*steps: dict[str, object]) -> Flag:
    """Each but the last is in force for an hour, unless it says otherwise."""
    lasts = [{"lasts": "1h"}] * (len(steps) - 1) + [{}]
    return with_plan(steps=tuple(PlanStep(**(wait | step)) for wait, step in zip(lasts, steps, strict=True)))


@pytest.mark.parametrize(
    "flag", [FLAG, RELEASE, with_plan(then=Then(), end=None), msgspec.structs.replace(FLAG, plan=None)]
)
def test_a_plan_that_can_be_kept_is_sound(flag: Flag):
    assert not [*plan_violations(flag), *calendar_violations(flag)]


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        (msgspec.structs.replace(FLAG, rollout=10), "rollout: 10 would be ignored: the steps of the plan say"),
        (msgspec.structs.replace(FLAG, start="2026-03-01"), "start: '2026-03-01' stands beside a plan"),
        (msgspec.structs.replace(FLAG, end="2026-03-01"), "end: '2026-03-01' stands beside a plan"),
        (with_steps({"rollout": 10}, {"rollout": 9}), "plan.steps[1]: gives 9 % after 10 %"),
        (
            with_steps({"rollout": 10, "segments": {"rest": 11}}, {"rollout": 10.5}),
            "plan.steps[1]: gives 10.5 % of segment 'rest' after 11 %",
        ),
        (
            with_steps({"rollout": 10, "segments": {"pros": 31}}, {"rollout": 50}),
            "plan.steps[1]: gives 30 % of segment 'pros' after 31 %",
        ),
        (with_steps({"rollout": 0.125}), "plan.steps[0].rollout: 0.125 is not allowed; the smallest step is 0.01"),
        (
            with_steps({"rollout": 1, "segments": {"pros": 2.0}}),
            "plan.steps[0].segments.pros: 2.0 is not allowed; write 2",
        ),
        (
            with_steps({"rollout": 1, "segments": {"prso": 2}}),
            "plan.steps[0].segments.prso: 'prso' is no segment of 'button'; did you mean 'pros'?",
        ),
        (
            with_steps({"rollout": 1, "at": "2026-03-03"}, {"rollout": 2}),
            "plan.steps[0].at: '2026-03-03' would be ignored: the first step begins at the plan's start",
        ),
        (
            with_steps({"rollout": 1, "lasts": None}, {"rollout": 2}),
            "plan.steps[0]: is over as soon as it begins: say for how long",
        ),
        (with_steps({"rollout": 1, "until": Until()}), "plan.steps[0].until: says nothing; name units, or guardrails"),
        (
            with_steps({"rollout": 1, "until": Until(safe=("app_error", "app_error"))}),
            "plan.steps[0].until.safe[1]: 'app_error' is named twice",
        ),
        (
            with_steps({"rollout": 1, "until": Until(safe=("purchase",))}),
            "plan.steps[0].until.safe[0]: 'purchase' is no guardrail of 'button' with a margin, and would never be",
        ),
        (
            msgspec.structs.replace(FLAG, metrics=(FLAG.metrics[0], Goal(metric="app_error", role="guardrail"))),
            "plan.steps[1].until.safe[0]: 'app_error' is no guardrail of 'button' with a margin, and would never be "
            "proved safe; there are none",
        ),
        (with_plan(start="soon"), "plan.start: 'soon' is no ISO 8601 date; write 2026-03-01"),
        (with_plan(end="31.3.2026"), "plan.end: '31.3.2026' is no ISO 8601 date"),
        (
            with_steps({"rollout": 1, "at": None}, {"rollout": 2, "at": "x"}),
            "plan.steps[1].at: 'x' is no ISO 8601 date",
        ),
        (with_plan(timezone="Europe/Bärlin"), "plan.timezone: 'Europe/Bärlin' is no time zone; write its IANA name"),
        (with_plan(start="0001-01-01"), "plan.start: '0001-01-01' is beyond the calendar"),
        (
            with_plan(end="2026-03-02"),
            "plan.end: '2026-03-02' is not after '2026-03-02T08:00+01:00', which comes before",
        ),
        (
            with_steps({"rollout": 1}, {"rollout": 2, "at": "2026-03-20"}, {"rollout": 3, "at": "2026-03-20T00:00"}),
            "plan.steps[2].at: '2026-03-20T00:00' is not after '2026-03-20'",
        ),
        (
            with_steps({"rollout": 1}, {"rollout": 2, "at": "2026-03-30T00:00+02:00"}),
            "plan.end: '2026-03-30' is not after '2026-03-30T00:00+02:00'",
        ),
        (with_plan(hours=Hours(between="09:00-09:00")), "plan.hours.between: '09:00-09:00' ends when it begins"),
        (with_plan(hours=Hours(days=("mon", "mon"))), "plan.hours.days[1]: 'mon' is named twice; keep one"),
        (
            msgspec.structs.replace(FLAG, analysis=Analysis(method="bayesian")),
            "plan.on_harm: 'roll back' by Bayesian readings, watched all the time, would come from chance alone",
        ),
        (
            msgspec.structs.replace(
                FLAG,
                metrics=FLAG.metrics[:1],
                analysis=Analysis(sided="one"),
                plan=Plan(steps=STEPS[:1], on_harm="pause"),
            ),
            "plan.on_harm: 'pause' would never be done: a primary metric that is tested for gains alone is never worse",
        ),
        (
            msgspec.structs.replace(FLAG, metrics=(Goal(metric="x"),), plan=Plan(steps=STEPS[:1], on_harm="pause")),
            "plan.on_harm: 'pause' would never be done: 'button' has neither a guardrail nor a primary metric",
        ),
        (with_plan(RELEASE, on_harm="roll back"), "plan.on_harm: 'roll back' would never be done"),
        (with_plan(RELEASE, on_broken_split="pause"), "plan.on_broken_split: 'pause' would never be done"),
        (
            with_plan(RELEASE, steps=(PlanStep(rollout=1, until=Until(units=5)),)),
            "plan.steps[0].until.units: 5 never come: units are counted of experiments",
        ),
        (
            with_plan(RELEASE, end="2026-03-30", then=Then(on_win="complete")),
            "plan.then.on_win: 'complete' would never be done: 'button' has no primary metric to win by",
        ),
        (with_plan(end=None), "plan.then: would never be done: the plan has no end"),
    ],
)
def test_a_plan_that_cannot_be_kept_is_refused_with_its_place(flag: Flag, said: str):
    violations = [*plan_violations(flag), *calendar_violations(flag)]

    assert [str(each)[: len(said)] for each in violations] == [said]


@pytest.mark.parametrize("last", [{"lasts": "1h"}, {"until": Until(units=1)}])
def test_a_plan_ends_too_once_what_its_last_step_says_is_met(last: dict[str, object]):
    assert not list(plan_violations(with_plan(end=None, steps=(PlanStep(rollout=1, **last),))))


def test_a_zone_that_only_other_machines_know_makes_no_document_another_for_readers():
    assert not list(plan_violations(with_plan(timezone="Mars/Olympus")))


def test_hours_over_midnight_are_some():
    assert not list(hours_violations(Hours(between="23:00-00:00"), ("hours",)))


def test_it_is_noted_that_a_pause_of_what_is_not_sticky_stops_nobody():
    flag = msgspec.structs.replace(with_plan(on_harm="pause"), sticky=False)

    assert [str(each).split(" takes")[0] for each in answer_notes(flag, Known())] == [
        "segments[1]: 'rest' is never reached: 'pros' comes before it and has no conditions",
        "plan.on_harm: a pause of 'button'",
        "plan.on_broken_split: a pause of 'button'",
    ]
    assert len(list(answer_notes(msgspec.structs.replace(flag, sticky=True), Known()))) == 1
