"""Consequences of plans: what a version of a flag does to how it is rolled out by itself.

Each is a sentence, and whether it is risky, as in consequences.py.
"""

from collections.abc import Iterator

from evaluation.catalog.hours import moment_of
from evaluation.catalog.ramps import in_step, is_holding, percentages
from schemas.catalog import Flag, FlagState
from schemas.plan import ONLY_TOLD, Plan, Progress

Sentence = tuple[str, bool]


def or_by_plan(draft: FlagState) -> str:
    """What else than a command starts it."""
    plan = draft.definition.plan
    return f", or until {plan.start}, when its plan starts it" if plan and plan.start else ""


def of_dates(before: FlagState | None, after: FlagState, now: int) -> Iterator[Sentence]:
    """Of dates that have passed (`now` in ms UTC), by which a plan acts at once."""
    plan = after.definition.plan
    if plan is None:
        return
    if _starts(after, now) and not (before and _starts(before, now)):
        yield f"its plan starts it at once, for its start, {plan.start}, has passed", True
    if (said := _ends(after, now)) and not (before and _ends(before, now)):
        yield f"its plan does at once what it says for its end, {plan.end}, which has passed: {said}", True


def way_on(key: str) -> str:
    """How a plan that is paused, or held, goes on."""
    return f"'Resume' on its page, or `peekproof plan resume {key}`, goes on"


def of_plan(before: FlagState, after: FlagState) -> Iterator[Sentence]:
    """Of steps, pauses, edits and the end of the plan of a running flag."""
    flag, progress, was = after.definition, after.progress, before.progress
    if flag.plan is None or progress is None:
        if before.status == "running" and before.definition.plan is not None:
            yield "its plan is gone: no step is taken any more, and no alarm acts", True
        return
    step = f"step {progress.step} of {len(flag.plan.steps)}"
    if progress.paused and (was is None or progress.paused != was.paused):
        yield _of_pause(after, progress, step), False
    elif progress.paused and was and before.definition is not after.definition:
        yield f"the plan stays paused at {step}; {way_on(flag.key)}", False
    elif was is None or was.taken != progress.taken:
        yield f"{step} is in force, by which {_reach(after, progress)}; nobody changes variant by a step", False
    elif progress.paused is None and (was.paused or was.overruled != progress.overruled):
        yield f"the plan goes on at {step}, by which {_reach(after, progress)}", False
        overruled = [each for each in progress.overruled if each not in was.overruled]
        if alarms := [each for each in overruled if not each.endswith(ONLY_TOLD)]:
            yield f"the plan does nothing more because of {', '.join(alarms)}: who resumes it knows of that", False
        if told := [each.removesuffix(ONLY_TOLD) for each in overruled if each.endswith(ONLY_TOLD)]:
            holds = f"{', '.join(told)} does not hold the next step any more, while the plan only tells of it"
            yield f"{holds}: who resumes it knows of that", False
    if was and (forgotten := [each for each in was.overruled if each not in progress.overruled]):
        yield f"what was overruled counts again: {', '.join(forgotten)}", False


def of_removed_plan(before: Flag, after: Flag) -> Iterator[Sentence]:
    """Of a flag that does not run, and loses its plan; unless its definition says in the place of that who gets one."""
    if before.plan is not None and after.plan is None and after.rollout == 100:
        yield f"its plan is gone: without it, a start gives {_shares(after)} a variant at once", True


def _of_pause(after: FlagState, progress: Progress, step: str) -> str:
    key = after.definition.key
    assert progress.paused is not None
    says, until = f"the plan is paused at {step}", f"until {way_on(key)}"
    if progress.paused.why == "edited":
        return f"{says}, as the flag is edited: no step is taken {until}; alarms act all the same"
    if is_holding(after.definition, progress):
        says += ": everybody who has a variant keeps it, and nobody else gets one"
    else:
        says += (
            f", and stops nobody: '{key}' is not sticky, so nobody can know who is new, and {_reach(after, progress)} "
            "as before"
        )
    return f"{says}; no alarm acts {until}"


def _reach(state: FlagState, progress: Progress) -> str:
    return f"{_shares(in_step(state.definition, progress.step))} get a variant"


def _shares(flag: Flag) -> str:
    """Of whom so many get a variant."""
    rollout, *of_segments = percentages(flag)
    segments = "".join(
        f", {percentage} % of segment '{segment.name}'"
        for percentage, segment in zip(of_segments, flag.segments, strict=True)
    )
    return f"{rollout} % of all {'other ' if segments else ''}units{segments}"


def _starts(state: FlagState, now: int) -> bool:
    """Whether its plan starts it now."""
    plan = state.definition.plan
    return state.status == "draft" and not state.removed and plan is not None and _has_passed(plan.start, plan, now)


def _ends(state: FlagState, now: int) -> str:
    """What its plan does now, for its end; empty: nothing."""
    plan, progress = state.definition.plan, state.progress
    if state.status != "running" or plan is None or progress is None or progress.paused:
        return ""
    if not _has_passed(plan.end, plan, now):
        return ""
    then = {"where it has won": plan.then.on_win, "where it has not won": plan.then.on_nothing}
    return ", ".join(f"{what} {when}" for when, what in then.items() if what != "tell")


def _has_passed(date: str | None, plan: Plan, now: int) -> bool:
    try:
        return date is not None and moment_of(date, plan.timezone) <= now
    except ValueError:  # a time zone that this machine does not know: nothing is done by it here
        return False
