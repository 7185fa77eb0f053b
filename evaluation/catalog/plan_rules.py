"""Rules of plans: what a flag's plan must satisfy beyond the types of its fields, and how far it can have come.

What depends on a time zone is for edits alone: readers whose zones are older must not come to another catalog.
"""

from collections.abc import Iterator

from evaluation.catalog.hours import moment_of, parse_date, zone_of
from evaluation.catalog.ramps import as_planned, in_step, is_holding, percentages
from evaluation.catalog.rules import Path, Violation, did_you_mean, percentage_violations
from schemas.catalog import Definition, Flag, FlagState
from schemas.notification import NotificationRule
from schemas.plan import Plan
from schemas.written import Hours

STEPS: Path = ("plan", "steps")


def plan_violations(flag: Flag) -> Iterator[Violation]:
    """What is wrong with a flag's plan."""
    if flag.plan is None:
        return
    yield from _beside_violations(flag)
    yield from _percentage_violations(flag, flag.plan)
    yield from _wait_violations(flag, flag.plan)
    yield from _act_violations(flag, flag.plan)
    for path, text in dates_of(flag.plan):
        if not _is_date(text):
            yield Violation(path, f"'{text}' is no ISO 8601 date; write 2026-03-01 or 2026-03-01T09:00:00+01:00")
    if flag.plan.hours:
        yield from hours_violations(flag.plan.hours, ("plan", "hours"))


def calendar_violations(definition: Definition) -> Iterator[Violation]:
    """What is wrong with the time zone of a flag's plan, or with its dates in it; or with that of a notification."""
    match definition:
        case Flag() if definition.plan is not None:
            yield from _plan_calendar_violations(definition.plan)
        case NotificationRule():
            yield from timezone_violations(definition.timezone, ("timezone",))


def timezone_violations(timezone: str, path: Path) -> Iterator[Violation]:
    """Why it is no time zone."""
    try:
        zone_of(timezone)
    except ValueError as error:
        yield Violation(path, str(error))


def hours_violations(hours: Hours, path: Path) -> Iterator[Violation]:
    """What is wrong with hours in which something may be done."""
    begin, end = hours.between.split("-")
    if begin == end:
        yield Violation(
            (*path, "between"), f"'{hours.between}' ends when it begins; say between which times, or leave it out"
        )
    for index, day in enumerate(hours.days):
        if day in hours.days[:index]:
            yield Violation((*path, "days", index), f"'{day}' is named twice; keep one")


def plan_notes(flag: Flag) -> Iterator[Violation]:
    """What of a plan is allowed, and may be another than its author thinks."""
    if flag.plan is None or flag.sticky:
        return
    for name in ("on_harm", "on_broken_split"):
        if getattr(flag.plan, name) == "pause":
            yield Violation(
                ("plan", name),
                f"a pause of '{flag.key}' takes no further step, and stops nobody: nobody can know who has a variant "
                "already where sticky is not true; say roll back, or sticky: true",
            )


def dates_of(plan: Plan) -> Iterator[tuple[Path, str]]:
    """The dates of a plan in the order in which they are to come, and where they stand."""
    if plan.start is not None:
        yield ("plan", "start"), plan.start
    for index, step in enumerate(plan.steps):
        if step.at is not None:
            yield (*STEPS, index, "at"), step.at
    if plan.end is not None:
        yield ("plan", "end"), plan.end


def progress_violations(state: FlagState) -> Iterator[Violation]:
    """What is wrong with how far a plan is said to have come: commands never make such, other writers may."""
    flag, progress = state.definition, state.progress
    if progress is not None and not state.runs:
        yield Violation(("progress",), "a flag that has never run has none")
    if state.status != "running":
        return
    if progress is None or flag.plan is None:
        if progress is not None or flag.plan is not None:
            yield Violation(("progress",), "a running flag has one if it has a plan, and else none")
        return
    run = state.runs[-1]
    if not 1 <= progress.step <= len(flag.plan.steps):
        yield Violation(
            ("progress", "step"), f"{progress.step} is no step of the plan, which has {len(flag.plan.steps)}"
        )
        return
    if progress.taken < run.started:
        yield Violation(
            ("progress", "taken"), f"{progress.taken} is before version {run.started}, which started '{run.key}'"
        )
    given, planned = run.allocations[-1], as_planned(flag, progress)
    if percentages(given) != percentages(planned):
        hold = ", on hold," if is_holding(flag, progress) else ""
        yield Violation(
            ("runs", len(state.runs) - 1, "allocations"),
            f"'{run.key}' gives {_told(percentages(given))}; step {progress.step} of the plan{hold} gives "
            f"{_told(percentages(planned))}",
        )


def _is_date(text: str) -> bool:
    try:
        return parse_date(text) is not None
    except ValueError:
        return False


def _plan_calendar_violations(plan: Plan) -> Iterator[Violation]:
    if violations := [*timezone_violations(plan.timezone, ("plan", "timezone"))]:
        yield from violations
        return
    before: tuple[int, str] | None = None
    for path, text in dates_of(plan):
        try:
            moment = moment_of(text, plan.timezone)
        except ValueError as error:
            if _is_date(text):  # else it is told by `plan_violations`
                yield Violation(path, str(error))
            continue
        if before and moment <= before[0]:
            yield Violation(path, f"'{text}' is not after '{before[1]}', which comes before it; one of them is wrong")
        before = moment, text


def _beside_violations(flag: Flag) -> Iterator[Violation]:
    if flag.rollout != 100:
        yield Violation(
            ("rollout",),
            f"{flag.rollout} would be ignored: the steps of the plan say how many get a variant; remove it",
        )
    for name in ("start", "end"):
        if (date := getattr(flag, name)) is not None:
            yield Violation(
                (name,), f"'{date}' stands beside a plan, which has its own; write it as {name} of the plan"
            )


def _percentage_violations(flag: Flag, plan: Plan) -> Iterator[Violation]:
    names = [segment.name for segment in flag.segments]
    for index, step in enumerate(plan.steps):
        yield from percentage_violations(step.rollout, (*STEPS, index, "rollout"))
        for name, percentage in step.segments.items():
            path = (*STEPS, index, "segments", name)
            yield from percentage_violations(percentage, path)
            if name not in names:
                yield Violation(path, f"'{name}' is no segment of '{flag.key}'; {did_you_mean(name, names)}")
        if index == 0:
            continue
        had, has = percentages(in_step(flag, index)), percentages(in_step(flag, index + 1))
        whose_are = ["", *(f"of segment '{name}' " for name in names)]
        for whose, before, after in zip(whose_are, had, has, strict=True):
            if after < before:
                yield Violation(
                    (*STEPS, index),
                    f"gives {after} % {whose}after {before} %, and who loses a variant by a step would be counted in "
                    "it all the same; percentages never fall",
                )
                break  # the others may fall by the same number


def _wait_violations(flag: Flag, plan: Plan) -> Iterator[Violation]:
    if plan.steps[0].at is not None:
        yield Violation(
            (*STEPS, 0, "at"), f"'{plan.steps[0].at}' would be ignored: the first step begins at the plan's start"
        )
    margins = [goal.metric for goal in flag.metrics if goal.role == "guardrail" and goal.margin is not None]
    for index, step in enumerate(plan.steps):
        path: Path = (*STEPS, index)
        is_last = index == len(plan.steps) - 1
        if not is_last and step.lasts is None and step.until is None and plan.steps[index + 1].at is None:
            yield Violation(
                path, "is over as soon as it begins: say for how long, until what, or at which date the next begins"
            )
        if step.until is None:
            continue
        if step.until.units is None and not step.until.safe:
            yield Violation((*path, "until"), "says nothing; name units, or guardrails that are to be safe")
        if step.until.units is not None and not flag.metrics:
            yield Violation(
                (*path, "until", "units"),
                f"{step.until.units} never come: units are counted of experiments, and '{flag.key}' has no metrics",
            )
        for place, metric in enumerate(step.until.safe):
            at = (*path, "until", "safe", place)
            if metric in step.until.safe[:place]:
                yield Violation(at, f"'{metric}' is named twice; keep one")
            elif metric not in margins:
                yield Violation(
                    at,
                    f"'{metric}' is no guardrail of '{flag.key}' with a margin, and would never be proved safe; "
                    f"{did_you_mean(metric, margins)}",
                )


def _act_violations(flag: Flag, plan: Plan) -> Iterator[Violation]:
    primary = any(goal.role == "primary" for goal in flag.metrics)
    guardrails = any(goal.role == "guardrail" for goal in flag.metrics)
    if plan.on_harm != "tell":
        path, would = ("plan", "on_harm"), f"'{plan.on_harm}' would never be done"
        if not (guardrails or primary):
            yield Violation(path, f"{would}: '{flag.key}' has neither a guardrail nor a primary metric; remove it")
        elif flag.analysis.method == "bayesian":
            yield Violation(
                path,
                f"'{plan.on_harm}' by Bayesian readings, watched all the time, would come from chance alone far too "
                "often; say tell, or analysis: {method: sequential}",
            )
        elif not guardrails and flag.analysis.sided == "one":
            yield Violation(path, f"{would}: a primary metric that is tested for gains alone is never worse; remove it")
    if plan.on_broken_split != "tell" and not flag.metrics:
        yield Violation(
            ("plan", "on_broken_split"),
            f"'{plan.on_broken_split}' would never be done: nobody counts the units of '{flag.key}', which has no "
            "metrics; remove it",
        )
    if plan.then.on_win != "tell" and not primary:
        yield Violation(
            ("plan", "then", "on_win"),
            f"'{plan.then.on_win}' would never be done: '{flag.key}' has no primary metric to win by; remove it",
        )
    last = plan.steps[-1]
    acts = plan.then.on_win != "tell" or plan.then.on_nothing != "tell"
    if acts and plan.end is None and last.lasts is None and last.until is None:
        yield Violation(
            ("plan", "then"),
            "would never be done: the plan has no end; give it an end, or its last step a for or an until",
        )


def _told(given: tuple[float, ...]) -> str:
    return ", ".join(f"{percentage} %" for percentage in given)
