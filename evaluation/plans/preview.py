"""Preview: the whole plan of a flag as a timeline. What was taken, what is in force, what is to come and when."""

from typing import Literal

import msgspec

from evaluation.catalog.hours import opening
from evaluation.catalog.in_force import FlagInForce
from evaluation.catalog.ramps import in_step, percentages
from evaluation.plans.awaiting import (
    Awaited,
    PlanMoment,
    earliest,
    end_date,
    last_awaits,
    require_calendar,
    start_awaits,
    step_awaits,
)
from evaluation.plans.question import Said, ask
from schemas.catalog import FlagStatus, Removal
from schemas.look import Look
from schemas.numbers import Count, Time
from schemas.plan import OnAlarm, Pause, Then

StepState = Literal["taken", "in force", "ahead", "never"]


class PreviewedStep(msgspec.Struct, frozen=True, kw_only=True):
    """A step: the percentage of all other units and of each segment by name, and where it stands.

    One in force is so `since` a moment. One ahead awaits conditions, and comes at the `earliest` by dates, durations
    and hours alone, if all else holds in time; null: never. Times are in ms UTC.
    """

    step: int
    rollout: float
    segments: dict[str, float]
    state: StepState
    since: Time | None = None
    earliest: Time | None = None
    awaits: tuple[Awaited, ...] = ()


class PreviewedEnd(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a plan: what it awaits, when it comes at the earliest, and what is done then."""

    awaits: tuple[Awaited, ...]
    earliest: Time | None
    then: Then


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """The plan of a flag at a `time` (ms UTC) by a look, and what it says now."""

    key: str
    version: Count
    status: FlagStatus | Removal
    time: Time
    timezone: str
    run: str | None
    look: Count | None
    paused: Pause | None
    steps: tuple[PreviewedStep, ...]
    end: PreviewedEnd
    on_harm: OnAlarm
    on_broken_split: OnAlarm
    now: Said


def preview(flag: FlagInForce, look: Look | None, time: int, behind: str | None = None) -> Preview:
    """The timeline of a flag that has a plan, asked as `ask` is. Raises ValueError as `require_calendar`."""
    now = PlanMoment(flag=flag, look=look, time=time)
    plan, is_running = now.plan, flag.status == "running" and not flag.removed
    require_calendar(plan)
    steps: list[PreviewedStep] = []
    comes: int | None = None  # the step before
    for number in range(1, len(plan.steps) + 1):
        step = _step(now, number, comes)
        comes = step.since if step.state == "in force" else step.earliest
        steps.append(step)
    return Preview(
        key=flag.definition.key,
        version=flag.version,
        status=flag.removed or flag.status,
        time=time,
        timezone=plan.timezone,
        run=flag.runs[-1].key if is_running else None,
        look=look.look if look and is_running else None,
        paused=flag.plan.progress.paused if flag.plan and is_running else None,
        steps=tuple(steps),
        end=_end(now, comes),
        on_harm=plan.on_harm,
        on_broken_split=plan.on_broken_split,
        now=ask(flag, look, time, behind),
    )


def _step(now: PlanMoment, number: int, before: int | None) -> PreviewedStep:
    """A step, where the one before it came, or comes at the earliest, at `before`."""
    definition, state = now.flag.definition, _state(now.flag, number)
    rollout, *others = percentages(in_step(definition, number))
    shown = PreviewedStep(
        step=number,
        rollout=rollout,
        segments={each.name: percentage for each, percentage in zip(definition.segments, others, strict=True)},
        state=state,
        since=now.flag.plan.taken if now.flag.plan and state == "in force" else None,
    )
    if state != "ahead":
        return shown
    if number > 1 and before is None:
        return msgspec.structs.replace(shown, awaits=(Awaited(text="the step before it", holds=False),))
    awaits = start_awaits(now) if before is None else step_awaits(now, number, before)
    comes = _reached(now, awaits, max(before or 0, now.time))
    end = end_date(now)
    if end and end.since is not None and (comes is None or comes >= end.since):
        comes, awaits = None, [*awaits, Awaited(text=f"before its {end.text}", holds=False)]
    return msgspec.structs.replace(shown, awaits=tuple(awaits), earliest=comes)


def _state(flag: FlagInForce, number: int) -> StepState:
    """Where a step stands."""
    reached = flag.plan.progress.step if flag.plan else 0
    if flag.removed or flag.status not in ("draft", "running"):
        return "taken" if number <= reached else "never"
    if number < reached:
        return "taken"
    return "in force" if number == reached else "ahead"


def _end(now: PlanMoment, last: int | None) -> PreviewedEnd:
    """The end, where the last step came, or comes at the earliest, at `last`."""
    own, date = [] if last is None else last_awaits(now, last), end_date(now)
    ways = [each for each in (own, [date] if date else []) if each]
    comes = [_reached(now, way, max(last or 0, now.time) if way is own else now.time) for way in ways]
    awaits = [*own, *([msgspec.structs.replace(date, text=f"or {date.text}") if own else date] if date else [])]
    is_over = now.flag.removed or now.flag.status not in ("draft", "running")
    return PreviewedEnd(
        awaits=tuple(awaits),
        earliest=None if is_over else min((each for each in comes if each is not None), default=None),
        then=now.plan.then,
    )


def _reached(now: PlanMoment, awaits: list[Awaited], time: int) -> int | None:
    """The first moment from `time` on within hours at which dates and durations hold."""
    return opening(now.plan.hours, now.plan.timezone, max(time, earliest(awaits, time)))
