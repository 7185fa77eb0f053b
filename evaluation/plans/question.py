"""Question: what does the plan of a flag say now?

In this order: what protects comes first, at any time, unless somebody paused the plan or an alarm did. Nothing else is
done while it is paused, by an edit too, outside of its
hours, or while looks may not tell everything. After its end it does what `then` says; before, it takes one step.
"""

from collections.abc import Iterator, Sequence

import msgspec

from evaluation.catalog.in_force import FlagInForce, PlanInForce, control_of
from evaluation.catalog.plan_consequences import way_on
from evaluation.plans.acts import Act, CompleteRun, PausePlan, RollBack, RollOut, StartFlag, TakeStep
from evaluation.plans.alarms import Alarm, alarms_of, deciding, redefined
from evaluation.plans.awaiting import (
    Awaited,
    PlanMoment,
    end_date,
    have_come,
    last_awaits,
    require_calendar,
    start_awaits,
    step_awaits,
    within_hours,
)
from evaluation.significance.verdict import doubt_beside_split, says_split, size_of
from schemas.look import UNKNOWN, Look
from schemas.plan import Plan

OFFSETS = " at offsets "  # in reasons, behind the look: for whoever asks the log again


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan says: the `act` to take now, if any, and the `reason`, for the act or for its absence.

    `awaits` are the conditions of what comes `next`, `blocks` says what else stands in its way, and `alarms` are those
    that the look shows.
    """

    act: Act | None = None
    reason: str
    next: str | None = None
    awaits: tuple[Awaited, ...] = ()
    blocks: tuple[str, ...] = ()
    alarms: tuple[Alarm, ...] = ()


def ask(flag: FlagInForce, look: Look | None, time: int, behind: str | None = None) -> Said:
    """What the plan says at a time (the brokers', in ms UTC) by the newest look at the flag's open run.

    `behind` is why looks may not tell everything now, if so.
    """
    plan = flag.definition.plan
    if plan is None:
        return Said(reason="it has no plan")
    if flag.removed or flag.status not in ("draft", "running"):
        return Said(reason=f"its plan is over: the flag is {flag.removed or flag.status}")
    now = PlanMoment(flag=flag, look=_of_open_run(flag, look), time=time)
    behindhand = [f"looks may not tell everything now: {behind}"] if behind and flag.definition.metrics else []
    if flag.status == "draft":
        return _fault(plan) or _start(now, behindhand)
    if flag.plan is None:
        return Said(reason="its plan is not in force")
    alarms = alarms_of(flag, now.look) if now.look else []
    behindhand += [
        f"{metric} measures something else since the newest look; another one follows"
        for metric in (redefined(flag, now.look) if now.look else ())
    ]
    paused = _paused(flag.plan)
    protects = _protects(alarms, now.look) if flag.plan.progress.heeds_alarms else None
    said = protects or _fault(plan) or _goes_on(now, flag.plan, paused + behindhand, alarms)
    return msgspec.structs.replace(said, alarms=tuple(alarms))


def acted_on(said: Said) -> tuple[str, ...]:
    """The alarms by which a plan acts now; none: it does not, or by something else."""
    if not isinstance(said.act, RollBack | PausePlan):
        return ()
    return tuple(each.name for each in said.alarms if each.act != "tell" and not each.is_overruled)


def told_step(plan: Plan, number: int) -> str:
    """A step as reasons name it."""
    step = plan.steps[number - 1]
    segments = "".join(f", {name} {percentage:g} %" for name, percentage in step.segments.items())
    return f"step {number} of {len(plan.steps)} ({step.rollout:g} %{segments})"


def _of_open_run(flag: FlagInForce, look: Look | None) -> Look | None:
    """The look, if it is one at the open run."""
    if look is None or flag.status != "running" or look.experiment != flag.definition.key:
        return None
    return look if look.run == flag.runs[-1].key else None


def _paused(standing: PlanInForce) -> list[str]:
    """That the plan is paused, and why, if it is."""
    paused = standing.progress.paused
    if paused is None:
        return []
    alarms = f": {', '.join(paused.alarms)}" if paused.alarms else ""
    return [f"the plan is paused ({paused.why}{alarms}) since version {paused.version}"]


def _fault(plan: Plan) -> Said | None:
    """Why nobody can know here when the plan's dates and hours are, if so."""
    try:
        require_calendar(plan)
    except ValueError as error:
        return Said(reason=str(error), blocks=(str(error),))
    return None


def _protects(alarms: Sequence[Alarm], look: Look | None) -> Said | None:
    """What alarms demand; of several, what protects most."""
    acting = [each for each in alarms if each.act != "tell" and not each.is_overruled]
    if not acting:
        return None
    act: Act = RollBack()
    if not any(each.act == "roll back" for each in acting):
        is_harm = any(each.why == "harm" for each in acting)
        act = PausePlan("harm" if is_harm else "broken split", tuple(each.name for each in acting))
    return Said(act=act, reason=_reason([each.text for each in acting], look))


def _start(now: PlanMoment, blocks: list[str]) -> Said:
    end = end_date(now)
    if end and end.holds:
        blocks = [*blocks, f"its {end.text} has passed"]
    return _said(StartFlag(), told_step(now.plan, 1), start_awaits(now), blocks, None)


def _goes_on(now: PlanMoment, standing: PlanInForce, blocks: list[str], alarms: Sequence[Alarm]) -> Said:
    """Of a flag that is running, and whose alarms demand nothing."""
    number, end = standing.progress.step + 1, end_date(now)
    last = last_awaits(now, standing.taken) if number > len(now.plan.steps) else []
    if end and end.holds:
        return _then(now, [end], blocks)
    if last and have_come(last):
        return _then(now, last, blocks)
    if number > len(now.plan.steps):
        ways = [*last, *([_or(end) if last else end] if end else [])]
        return _said(None, "its end" if ways else None, ways, blocks, now.look)
    for alarm in alarms:
        if not alarm.is_overruled:
            way_out = way_on(now.flag.definition.key)
            told = f"; the plan only tells of it, and {way_out}" if alarm.act == "tell" else ""
            blocks = [*blocks, f"{alarm.text}{told}"]
    blocks = [*blocks, *_doubts(now)]
    awaits = step_awaits(now, number, standing.taken)
    return _said(TakeStep(number), told_step(now.plan, number), awaits, blocks, now.look)


def _doubts(now: PlanMoment) -> Iterator[str]:
    """Why the look cannot tell whether the next step does harm; that the split is broken is an alarm of its own."""
    look = now.look
    if look is None:
        return
    cells = deciding(now.flag, look)
    if says_split(look.health) is None:
        doubt = look.verdict.reason if look.verdict.decision == "needs attention" else None
    else:
        doubt = doubt_beside_split(look.health, cells)
    if doubt:
        yield doubt.removesuffix(".")
    aside = {goal.metric for goal in now.flag.definition.metrics if goal.role == "secondary"}
    for fault in look.health.data or ():
        if fault.metric not in aside and fault.says[1:] not in (doubt or ""):
            yield fault.says
    guardrails = {goal.metric for goal in now.flag.definition.metrics if goal.role == "guardrail"}
    for cell in cells:
        if cell.metric in guardrails and cell.status in UNKNOWN:
            yield f"{cell.metric} says nothing of {cell.variant}, for its values are not known ({cell.status})"


def _or(end: Awaited) -> Awaited:
    return msgspec.structs.replace(end, text=f"or {end.text}")


def _then(now: PlanMoment, ended: Sequence[Awaited], blocks: Sequence[str]) -> Said:
    """What is to be done after the end, by whether a treatment has won."""
    then, flag, winner = now.plan.then, now.flag, _winner(now)
    found = f"{winner} has won" if winner else "nothing has won"
    if now.look:
        found = f"{found}: {now.look.verdict.reason.removesuffix('.')}"
    texts = [f"the plan has come to its end ({', '.join(each.text for each in ended)})", found]
    if flag.definition.metrics and now.look is None and (then.on_win, then.on_nothing) != ("tell", "tell"):
        blocks = [*blocks, f"{flag.runs[-1].key} has no look yet, which would say whether a treatment has won"]
    act: Act | None = None
    match then.on_win if winner else then.on_nothing:
        case "roll out":
            act = RollOut(winner or "")
        case "roll back":
            act = RollBack()
        case "complete":
            act = CompleteRun()
    if act is None and not blocks:
        return Said(reason=_reason([*texts, "the plan only tells of it"], now.look))
    hours = within_hours(now, now.time)
    said = _said(act, "what follows its end", [*ended, *([hours] if hours else [])], blocks, now.look)
    return msgspec.structs.replace(said, reason=_reason(texts, now.look)) if said.act else said


def _winner(now: PlanMoment) -> str | None:
    """The treatment that ships by the verdict; of several, the one with the largest lift of the primary metric."""
    look, definition = now.look, now.flag.definition
    if look is None or look.verdict.decision != "ship":
        return None
    shipping = [each.variant for each in look.verdict.arms or () if each.decision == "ship"]
    if not shipping:  # there is one
        shipping = [each.key for each in definition.variants if each.key != control_of(definition)]
    primary = [goal.metric for goal in definition.metrics if goal.role == "primary"]
    lifts = {each.variant: size_of(each) for each in deciding(now.flag, look) if each.metric in primary}
    return max(shipping, key=lambda variant: lifts.get(variant, 0.0), default=None)


def _said(
    act: Act | None, coming: str | None, awaits: Sequence[Awaited], blocks: Sequence[str], look: Look | None
) -> Said:
    """The act, if its conditions hold and nothing blocks it."""
    lacking = [each.text for each in awaits if not each.holds]
    if act and not lacking and not blocks:
        reason = _reason([f"{coming}", *(each.text for each in awaits)], look)
        return Said(act=act, reason=reason, next=coming, awaits=tuple(awaits))
    waits = [f"{coming} waits for: {', '.join(lacking)}"] if lacking else []
    reason = "; ".join([*blocks, *waits]) or "its last step is in force, and it says no end"
    return Said(reason=reason, next=coming, awaits=tuple(awaits), blocks=tuple(blocks))


def _reason(texts: Sequence[str], look: Look | None) -> str:
    """What an act rests on, with the look and how far it covers the log."""
    if look is None:
        return "; ".join(texts)
    offsets = " ".join(f"{partition}:{offset}" for partition, offset in look.offsets.items())
    return "; ".join([*texts, f"look {look.look} of {look.run}{OFFSETS}{offsets}"])
