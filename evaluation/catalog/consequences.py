"""Consequences: what a new version of a document does to those who meet a flag, and to what a run can conclude."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import starmap

import msgspec

from evaluation.catalog.answerable import answer_notes, units_needed
from evaluation.catalog.in_force import Catalog, FlagInForce, metrics_after, unlisted, winner_of
from evaluation.catalog.needs import FlagsByKey, allocation_in_force, unmet_needs
from evaluation.catalog.plan_consequences import of_dates, of_plan, of_removed_plan, or_by_plan
from evaluation.catalog.references import Known, is_of_cohorts
from evaluation.flags.graph import needed_for
from schemas.catalog import Allocation, Cohort, Flag, FlagState, Group, Metric, Run

OR_ALL = "; `--from start` has it count all units, by what is archived"


@dataclass(frozen=True, slots=True)
class Consequence:
    """A sentence. What is risky costs a run part of its meaning, or can't be taken back: it wants a yes."""

    text: str
    is_risky: bool = False


def differing(before: msgspec.Struct | None, after: msgspec.Struct) -> tuple[str, ...]:
    """The fields that two definitions of one thing differ in; none for a new one."""
    if before is None:
        return ()
    encode = msgspec.json.encode  # in Python 1 and true are equal
    names = [field.name for field in msgspec.structs.fields(after)]
    return tuple(name for name in names if encode(getattr(before, name)) != encode(getattr(after, name)))


def of_metric(catalog: Catalog, metric: Metric) -> Iterator[Consequence]:
    """Of another version of a metric."""
    after = metrics_after(catalog.metrics, metric)
    for key, flag in catalog.flags.items():
        if flag.status != "running":
            continue
        for name, measured in flag.runs[-1].metrics.items():
            if name in after and after[name].version != measured.version:
                yield Consequence(
                    f"{flag.runs[-1].key} of '{key}' measures '{name}' anew, on units that enter from now on{OR_ALL}",
                    is_risky=True,
                )


def of_group(catalog: Catalog, before: Group, after: Group) -> Iterator[Consequence]:
    """Of another version of a group; while flags of it run, more is refused (see references.py)."""
    if _places(before) != _places(after):
        for key, flag in catalog.flags.items():
            rolled_out = None if flag.removed else flag.rolled_out
            if rolled_out and any(each.group == after.key for each in rolled_out.groups):
                yield Consequence(
                    f"'{key}' is rolled out ({winner_of(rolled_out)}) to those whom '{after.key}' leaves it, and these "
                    "are others from now on",
                    is_risky=True,
                )


def of_cohort(catalog: Catalog, before: Cohort, after: Cohort) -> Iterator[Consequence]:
    """Of another version of a cohort: people come and go, but nobody is left where a flag asks for somebody."""
    if after.ids or not before.ids:
        return
    for key, flag in catalog.flags.items():
        allocation = allocation_in_force(flag)
        if allocation is None:
            continue
        conditions = [each for segment in allocation.segments for each in segment.conditions]
        asked = [value for each in conditions if is_of_cohorts(each.property) for value in each.values]
        if after.key in [*asked, *(value for each in allocation.inclusions.values() for value in each.cohorts)]:
            yield Consequence(f"'{key}' asks who is in '{after.key}', and nobody is any more", is_risky=True)


def of_needs(
    before: tuple[FlagsByKey, Mapping[str, Group]], after: tuple[FlagsByKey, Mapping[str, Group]]
) -> Iterator[tuple[set[str], Consequence]]:
    """Of other versions of flags and groups, for those in force of which nobody has a variant any more.

    With each come the keys of the flags and groups that it needs, and its own. `before` and `after` are the flags and
    the groups as they stand, and as they will.
    """
    flags = after[0]
    had, has = unmet_needs(*before), unmet_needs(*after)
    parents = {each: _parents(flag) for each, flag in flags.items()}
    for each, reasons in has.items():
        was = before[0].get(each)
        if was is None or allocation_in_force(was) is None or each in had:
            continue
        needed = needed_for([each], parents)
        run = f", and {flags[each].runs[-1].key} takes no more units" if flags[each].status == "running" else ""
        yield (
            needed.union(*(parents[other] for other in needed)),
            Consequence(
                f"'{each}' gives 'off' to everybody but those listed{run}: {'; '.join(reasons)}", is_risky=True
            ),
        )


def of_flag(
    before: FlagState | None, after: FlagState, known: Known, unmet: Sequence[str] = (), now: int = 0
) -> Iterator[Consequence]:
    """Of a version of a flag, beside the documents that are `known`; `unmet`: what it needs that nobody has.

    `now` (ms UTC) tells which dates have passed.
    """
    yield from _of_notes(before, after, known)
    yield from starmap(Consequence, of_dates(before, after, now))
    if before is None:
        kind, key = "experiment" if after.definition.metrics else "flag", after.definition.key
        who = unlisted(after.definition.variants)
        start = f"it is started, on its page or by `peekproof {kind} start {key}`{or_by_plan(after)}"
        yield Consequence(f"it is a draft: {who} gets 'off' until {start}")
        return
    if before.status != after.status or len(before.runs) != len(after.runs):
        yield from _of_step(before, after, unmet)
    elif after.status == "running":
        if before.definition is not after.definition:
            yield from _of_edit(before, after)
        yield from starmap(Consequence, of_plan(before, after))
    else:
        yield from starmap(Consequence, of_removed_plan(before.definition, after.definition))
    if after.removed != before.removed:
        yield from _of_removal(after, unmet)


def _of_notes(before: FlagState | None, after: FlagState, known: Known) -> Iterator[Consequence]:
    """What may be another than is thought from now on; units that are needed and not the flag's own cost some."""
    had = _noted(before, known) if before else {}
    for text, is_risky in _noted(after, known).items():
        if text not in had:
            yield Consequence(text, is_risky)


def _noted(state: FlagState, known: Known) -> dict[str, bool]:
    """What is noted of what is in force, and whether it is risky. Prerequisites say themselves whom they are for."""
    if state.removed or (state.status != "running" and state.rolled_out is None):
        return {}
    in_force = state.rolled_out or state.runs[-1].allocations[-1]
    definition = msgspec.structs.replace(
        state.definition, segments=in_force.segments, groups=in_force.groups, prerequisites={}
    )
    needed = {text for _, text in units_needed(definition, known)}
    return {note.message: note.message in needed for note in answer_notes(definition, known)}


def _of_step(before: FlagState, after: FlagState, unmet: Sequence[str]) -> Iterator[Consequence]:
    has_new_run = len(after.runs) > len(before.runs)
    if before.status == "running" and before.definition.metrics:
        yield Consequence(
            f"{before.runs[-1].key} takes no more units; its results are final when the last window of those that it "
            "has is settled",
            is_risky=has_new_run,
        )
    if has_new_run:
        again = ""
        if before.runs and before.runs[-1].salt == after.runs[-1].salt:
            again = "; they are split as before"
        elif before.runs:
            again = "; units are split anew by a fresh salt, and nothing counted before belongs to it"
        enter = f"nobody enters: {'; '.join(unmet)}" if unmet else "units enter from now on"
        yield Consequence(f"{after.runs[-1].key} begins: {enter}{again}")
        yield from starmap(Consequence, of_plan(before, after))
    elif after.rolled_out is not None:
        yield Consequence(_who_gets(winner_of(after.rolled_out), unmet))
        if after.definition.metrics and not after.runs:
            yield Consequence("no run has measured that it is better", is_risky=True)
    else:
        yield Consequence("everybody gets 'off'")


def _who_gets(winner: str, unmet: Sequence[str]) -> str:
    if unmet:
        return f"nobody but those listed gets '{winner}': {'; '.join(unmet)}"
    return f"everybody gets '{winner}', but those listed or held out"


def _of_removal(after: FlagState, unmet: Sequence[str]) -> Iterator[Consequence]:
    if after.removed == "deleted":
        yield Consequence("this is for ever, and the key stays taken; the log keeps its versions", is_risky=True)
    elif after.rolled_out is not None:
        winner = winner_of(after.rolled_out)
        if after.removed:
            yield Consequence(f"everybody who gets '{winner}' gets 'off'", is_risky=True)
        else:
            yield Consequence(_who_gets(winner, unmet) if unmet else f"everybody gets '{winner}' again")


def _of_edit(before: FlagState, after: FlagState) -> Iterator[Consequence]:
    run, is_experiment = after.runs[-1], bool(after.definition.metrics)
    if len(run.allocations) > len(before.runs[-1].allocations):
        for text, is_risky in _of_allocation(run, before.runs[-1].allocations[-1], run.allocations[-1]):
            yield Consequence(text, is_risky and is_experiment)
    if is_experiment:
        yield from _of_judgement(before.definition, after.definition, run.key)


def _of_allocation(run: Run, before: Allocation, after: Allocation) -> Iterator[tuple[str, bool]]:
    """What each difference does, and whether it costs an experiment something."""
    changed = [name for name in differing(before, after) if name not in ("flag_version", "rollout", "weights")]
    if list(before.weights.items()) != list(after.weights.items()):
        yield (
            f"{run.key} goes on with weights {_shares(after)} instead of {_shares(before)}: many units get another "
            "variant than before. For the analysis they stay in the one that they met first, which blurs the "
            "difference; the result combines what was found under each of the weights",
            True,
        )
    if before.rollout != after.rollout:
        lost = "; those that get off again stay in the result, and blur it" if after.rollout < before.rollout else ""
        yield (
            f"{run.key} goes on with rollout {after.rollout} % instead of {before.rollout} %: "
            f"nobody moves between variants{lost}",
            after.rollout < before.rollout,
        )
    if "inclusions" in changed:
        yield f"{run.key} counts no more exposures of those who are listed now", False
    if others := [name for name in changed if name != "inclusions"]:
        yield (
            f"{run.key} goes on with other {', '.join(others)}: those who enter from now on are another audience, and "
            "the result is of the mixture",
            True,
        )


def _of_judgement(before: Flag, after: Flag, run: str) -> Iterator[Consequence]:
    if before.hypothesis != after.hypothesis:
        yield Consequence(
            f"the hypothesis changes while {run} runs: what is predicted after looking is no prediction", is_risky=True
        )
    if fields := tuple(name for name in differing(before.analysis, after.analysis) if name != "patience"):
        yield Consequence(
            f"{run} is judged anew, by another {', '.join(fields)}: running values start again at the next look, "
            "and alpha no longer bounds the false discoveries of the whole run",
            is_risky=True,
        )
    had = {goal.metric: goal for goal in before.metrics}
    for goal in after.metrics:
        if goal.metric not in had:
            yield Consequence(f"{run} measures '{goal.metric}' on units that enter from now on{OR_ALL}")
        elif fields := differing(had[goal.metric], goal):
            yield Consequence(
                f"{run} judges '{goal.metric}' by another {', '.join(fields)} from the next look on; a goal that "
                "was chosen after looking at its numbers proves nothing by them",
                is_risky=True,
            )
    if before.breakdowns != after.breakdowns:
        yield Consequence(
            f"{run} goes on with the breakdowns that it has: what its units were is known from their exposures only; "
            "`--from start` has it counted again by what is archived of them"
        )
    for metric in had:
        if metric not in [goal.metric for goal in after.metrics]:
            yield Consequence(f"{run} forgets what it measured of '{metric}'", is_risky=True)


def _places(group: Group) -> tuple[object, ...]:
    return group.type, group.unit, [slot.percentage for slot in group.slots]


def _parents(flag: FlagState | FlagInForce) -> list[str]:
    """The flags and groups that it needs, as it is in force."""
    allocation = allocation_in_force(flag)
    return [*allocation.prerequisites, *(each.group for each in allocation.groups)] if allocation else []


def _shares(allocation: Allocation) -> str:
    return ", ".join(f"{variant} {weight}" for variant, weight in allocation.weights.items())
