"""Plans: what stands in the way of each, and since when that has been seen."""

from collections.abc import Iterator, Mapping

import msgspec

from evaluation.catalog.in_force import Catalog, FlagInForce
from evaluation.catalog.plan_consequences import way_on
from evaluation.notifications.circumstance import Circumstance, Wording
from evaluation.notifications.runs import RunSeen
from evaluation.plans.acts import told_act
from evaluation.plans.question import OFFSETS, Said, ask
from schemas.look import Look, RunKey
from schemas.plan import Plan


class PlanSeen(msgspec.Struct, frozen=True, kw_only=True):
    """Why a plan goes no further: `obstacle` in a word or three that stays the same, and in a sentence."""

    obstacle: str
    sentence: str
    since: int  # ms UTC, the brokers'


def plans_seen(
    before: Mapping[str, PlanSeen], catalog: Catalog, runs: Mapping[RunKey, RunSeen], now: int
) -> dict[str, PlanSeen]:
    """The plans that go no further now, by flag. Asked once a second or so, `before` is what was found last."""
    found = {}
    for key, flag in catalog.flags.items():
        if flag.definition.plan is None:
            continue
        seen = runs.get((key, flag.runs[-1].key)) if flag.runs else None
        if obstacle := _obstacle(flag, seen.look if seen else None, now):
            known = before.get(key)
            since = known.since if known and known.obstacle == obstacle[0] else now
            found[key] = PlanSeen(obstacle=obstacle[0], sentence=obstacle[1], since=since)
    return found


def of_plans(catalog: Catalog, plans: Mapping[str, PlanSeen], now: int) -> Iterator[Circumstance]:
    """The plans that go no further, and have not for long."""
    for key, seen in plans.items():
        flag = catalog.flags[key]
        run = flag.runs[-1].key if flag.runs else None

        def say(seen: PlanSeen = seen, run: str | None = run, version: int = flag.version) -> Wording:
            return Wording(seen.sentence, run=run, version=version)

        yield Circumstance(
            "plan blocked",
            f"flag/{key}",
            now,
            say,
            run or "",
            seen.obstacle,
            lasted=now - seen.since,
            document=flag.definition,
        )


def _obstacle(flag: FlagInForce, look: Look | None, now: int) -> tuple[str, str] | None:
    """What stands in the way of a plan, in a word or three and in a sentence; None: nothing but time.

    That looks may not tell everything is left to rules of stages.
    """
    key, plan, standing = flag.definition.key, flag.definition.plan, flag.plan
    if plan is None:
        return None
    try:
        said = ask(flag, look, now)
    except Exception as error:  # one plan must not keep people from all other word
        why = type(error).__name__
        return "cannot be asked", f"The plan of {key} goes no further, for nobody can ask what it says: {why}."
    if said.act:
        act = told_act(said.act)
        return (
            f"would {act}",
            f"The plan of {key} would {act}, and nobody has done so: {said.reason.partition(OFFSETS)[0]}.",
        )
    paused = standing.progress.paused if standing and flag.status == "running" else None
    if said.blocks:
        alarms = sorted(alarm.name for alarm in said.alarms if not alarm.is_overruled)
        kinds = [f"paused by version {paused.version}"] if paused else alarms or ["blocked"]
        way_out = f"; {way_on(key)}" if paused else ""
        return ", ".join(kinds), f"The plan of {key} goes no further: {said.reason}{way_out}."
    if standing is None or flag.status != "running":
        return None
    return _standstill(plan, standing.progress.step, said, key, bool(flag.definition.metrics))


def _standstill(plan: Plan, number: int, said: Said, key: str, has_metrics: bool) -> tuple[str, str] | None:
    """That a plan is over and does nothing then, or that the time of its next step has come, and not what it needs."""
    last, coming = plan.steps[number - 1], plan.steps[number] if number < len(plan.steps) else None
    has_end = plan.end is not None or last.lasts is not None or last.until is not None
    if said.next is None and has_end and has_metrics:
        return "at its end", f"The plan of {key} is over: {said.reason}."
    is_timed = last.lasts is not None or (coming is not None and coming.at is not None)
    if is_timed and said.next is not None and all(each.holds for each in said.awaits if each.since is not None):
        return f"step {number}", f"The plan of {key} goes no further, though its time has come: {said.reason}."
    return None
