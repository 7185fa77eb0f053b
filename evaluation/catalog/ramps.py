"""Ramps: who gets how much while a flag's plan is in force, by its steps and by its pauses."""

from collections.abc import Iterable

import msgspec

from schemas.catalog import Allocation, Flag
from schemas.plan import Plan, Progress

Percentages = tuple[float, ...]  # of all other units, and of each segment in their order
DESCRIPTIVE = ("name", "description", "hypothesis", "owner", "tags")  # fields whose edit leaves a plan going


def in_step(flag: Flag, number: int) -> Flag:
    """The definition with the percentages of a step of its plan, counted from 1."""
    step = _plan(flag).steps[number - 1]
    segments = tuple(
        msgspec.structs.replace(each, rollout=step.segments.get(each.name, min(each.rollout, step.rollout)))
        for each in flag.segments
    )
    return msgspec.structs.replace(flag, rollout=min(flag.rollout, step.rollout), segments=segments)


def as_planned(flag: Flag, progress: Progress | None) -> Flag:
    """The definition with the percentages in force: of its plan's step, of the first one where it has not begun.

    While the plan holds (see `is_holding`) they are 0.
    """
    if flag.plan is None:
        return flag
    if progress is None:
        return in_step(flag, 1)
    if is_holding(flag, progress):
        segments = tuple(msgspec.structs.replace(each, rollout=0) for each in flag.segments)
        return msgspec.structs.replace(flag, rollout=0, segments=segments)
    return in_step(flag, progress.step)


def planned(flag: Flag, plan: Plan) -> Flag:
    """The definition with a plan, in the place of its rollout and dates, which the plan says from now on."""
    return msgspec.structs.replace(flag, plan=plan, rollout=100, start=None, end=None)


def unplanned(flag: Flag, progress: Progress | None) -> Flag:
    """The definition without its plan, and with the percentages in force where it is running (else `progress` None)."""
    return msgspec.structs.replace(as_planned(flag, progress) if progress else flag, plan=None)


def is_holding(flag: Flag, progress: Progress) -> bool:
    """Whether nobody gets a variant who has none yet.

    So it is while a plan is paused by more than an edit, and the flag is sticky, so that everybody keeps theirs.
    """
    return progress.paused is not None and progress.paused.why != "edited" and flag.sticky


def at_last(flag: Flag) -> Flag:
    """The definition with the percentages of its plan's last step, or as it is."""
    return in_step(flag, len(flag.plan.steps)) if flag.plan else flag


def without_plan(flag: Flag) -> Flag:
    """The definition as its plan leaves it in the end, with no plan any more."""
    return msgspec.structs.replace(at_last(flag), plan=None)


def percentages(part: Flag | Allocation) -> Percentages:
    """What gets how much by it."""
    return part.rollout, *(each.rollout for each in part.segments)


def step_that_gives(flag: Flag, wanted: Percentages, first: int) -> int | None:
    """The step of the plan that gives just that: the `first` one, if it does; None: there is none."""
    numbers = range(1, len(_plan(flag).steps) + 1)
    tried: Iterable[int] = (*(each for each in numbers if each == first), *numbers)
    return next((each for each in tried if percentages(in_step(flag, each)) == wanted), None)


def only_describes(before: Flag, after: Flag) -> bool:
    """Whether an edit changes nothing but what people read of a flag."""
    described = {name: getattr(after, name) for name in DESCRIPTIVE}
    return msgspec.json.encode(msgspec.structs.replace(before, **described)) == msgspec.json.encode(after)


def _plan(flag: Flag) -> Plan:
    assert flag.plan is not None
    return flag.plan
