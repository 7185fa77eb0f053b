"""Awaiting: the conditions of a plan, in words, and how they stand."""

from collections.abc import Iterator, Sequence

import msgspec

from evaluation.catalog.hours import moment_of, opening, told_hours, told_time, zone_of
from evaluation.catalog.in_force import SETTLING, FlagInForce, control_of
from evaluation.catalog.plan_rules import dates_of
from evaluation.catalog.ramps import in_step, percentages
from evaluation.plans.alarms import deciding, is_sure
from evaluation.significance.verdict import says_numbers
from schemas.duration import parse_duration
from schemas.look import Cell, Look
from schemas.numbers import LATEST, Time
from schemas.plan import Plan, PlanStep


class Awaited(msgspec.Struct, frozen=True, kw_only=True):
    """A condition: in words, and whether it holds. Dates, durations and hours hold `since` a moment (ms UTC)."""

    text: str
    holds: bool
    since: Time | None = None


class PlanMoment(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan's conditions are measured by: the flag, the newest look at its open run, and the brokers' time."""

    flag: FlagInForce
    look: Look | None
    time: Time

    @property
    def plan(self) -> Plan:
        """The plan of the flag, which has one."""
        assert self.flag.definition.plan is not None
        return self.flag.definition.plan


def require_calendar(plan: Plan) -> None:
    """Raises ValueError where nobody can know here when the plan's dates and hours are.

    What stands on the log was right where it was written; time zones may be others here.
    """
    zone_of(plan.timezone)
    for _, text in dates_of(plan):
        moment_of(text, plan.timezone)


def start_awaits(now: PlanMoment) -> list[Awaited]:
    """What the first step waits for."""
    kind = "experiment" if now.flag.definition.metrics else "flag"
    if now.plan.start is None:
        started = Awaited(
            text=f"started, on its page or by `peekproof {kind} start {now.flag.definition.key}`", holds=False
        )
    else:
        started = _date("start", now.plan.start, now)
    return _within_hours([started], now)


def step_awaits(now: PlanMoment, number: int, taken: int) -> list[Awaited]:
    """What a step from the second one on waits for, where the one before it came into force at `taken`.

    Of a flag with metrics this is a look since, too: else overdue steps would follow one another, and nobody would know
    what any of them does.
    """
    before, step = now.plan.steps[number - 2 : number]
    definition = now.flag.definition
    found = [*_own(now, before, number - 1, taken)]
    gives = any(percentages(in_step(definition, number - 1)))  # else there is nobody to look at
    if definition.metrics and (gives or before.until is not None):
        found += _look_since(now, number - 1, taken)
    if step.at is not None:
        found.append(_date("at", step.at, now))
    return _within_hours(found, now)


def last_awaits(now: PlanMoment, taken: int) -> list[Awaited]:
    """What the last step says that ends the plan, where it came into force at `taken`."""
    last, number = now.plan.steps[-1], len(now.plan.steps)
    return [*_own(now, last, number, taken), *(_look_since(now, number, taken) if last.until else ())]


def end_date(now: PlanMoment) -> Awaited | None:
    """The date that ends the plan, if it says one."""
    return None if now.plan.end is None else _date("end", now.plan.end, now)


def have_come(awaited: Sequence[Awaited]) -> bool:
    """Whether all of them hold."""
    return all(each.holds for each in awaited)


def earliest(awaited: Sequence[Awaited], time: int) -> int:
    """The first moment at which dates, durations and hours hold, if all else does."""
    return max((each.since for each in awaited if each.since is not None), default=time)


def within_hours(now: PlanMoment, time: int) -> Awaited | None:
    """That a moment from `time` on is within the plan's hours; None: it has none."""
    if now.plan.hours is None:
        return None
    since = opening(now.plan.hours, now.plan.timezone, time)
    text = f"within hours {told_hours(now.plan.hours, now.plan.timezone)}"
    return Awaited(text=text, holds=since is not None and since <= now.time, since=since)


def _within_hours(found: list[Awaited], now: PlanMoment) -> list[Awaited]:
    hours = within_hours(now, max(now.time, earliest(found, now.time)))
    return [*found, *([hours] if hours else [])]


def _own(now: PlanMoment, step: PlanStep, number: int, taken: int) -> Iterator[Awaited]:
    """What a step itself says must be so before it is over."""
    if step.lasts is not None:
        since = taken + parse_duration(step.lasts)
        is_in_force = now.flag.status == "running" and taken <= now.time
        when = f", since {told_time(taken, now.plan.timezone)}" if is_in_force else ""
        text = f"step {number} in force for {step.lasts}{when}"
        yield Awaited(text=text, holds=since <= now.time, since=_told(since))
    if step.until is None:
        return
    if step.until.units is not None:
        units = sum(arm.units for arm in now.look.health.arms) if now.look else 0
        yield Awaited(text=f"{units:,} of {step.until.units:,} units", holds=units >= step.until.units)
    for metric in step.until.safe:
        yield _safe(now, metric)


def _look_since(now: PlanMoment, number: int, taken: int) -> Iterator[Awaited]:
    """A look that covers what the step has done, where there is none yet."""
    if now.look is None or now.look.time < taken + SETTLING:
        yield Awaited(text=f"a look since step {number}", holds=False)


def _safe(now: PlanMoment, metric: str) -> Awaited:
    definition = now.flag.definition
    cells = {each.variant: each for each in deciding(now.flag, now.look) if each.metric == metric} if now.look else {}
    treatments = [each.key for each in definition.variants if each.key != control_of(definition)]
    unproved = [each for each in treatments if each not in cells or not _is_proved(cells[each])]
    if not unproved:
        proved = ", ".join(f"{each} {says_numbers(cells[each])}" for each in treatments)
        return Awaited(text=f"{metric} is proved safe: {proved}", holds=True)
    lacks = ", ".join(f"{each} {_numbers(cells.get(each))}" for each in unproved)
    return Awaited(text=f"{metric} is not proved safe yet: {lacks}", holds=False)


def _numbers(cell: Cell | None) -> str:
    return says_numbers(cell) if cell else "has no numbers yet"


def _is_proved(cell: Cell) -> bool:
    return cell.judgement == "safe" and is_sure(cell)


def _date(name: str, text: str, now: PlanMoment) -> Awaited:
    since = moment_of(text, now.plan.timezone)
    return Awaited(text=f"{name} {told_time(since, now.plan.timezone)}", holds=since <= now.time, since=_told(since))


def _told(time: int) -> int:
    """The moment, or the nearest one that messages can tell."""
    return min(max(0, time), LATEST)
