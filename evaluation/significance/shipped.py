"""Shipped: what a holdout's flags brought one by one, to stand beside what the holdout shows of them together.

While an experiment measures a holdout, other experiments of the group end and are rolled out. Each has found a lift of
its own, on its own units, by its last look; added up they are what everybody who is not held out should have gained.
Experiments are taken as independent, so the distances of the interval's ends are added up as squares. What ships was
chosen for what it showed, so the sum tends to promise more than the holdout shows.
"""

from collections.abc import Callable, Mapping, Sequence
from math import sqrt

import msgspec

from evaluation.catalog.decisions import Decided
from evaluation.catalog.in_force import Catalog, RunInForce
from evaluation.significance.verdict import says_numbers
from schemas.look import EVERYONE, Cell, Look
from schemas.numbers import Time

NewestLook = Callable[[str, str], Look | None]  # of a flag's run


class Lift(msgspec.Struct, frozen=True):
    """A relative effect with its interval by all looks so far. Null: there is no number, or the end is open."""

    estimate: float | None
    lower: float | None
    upper: float | None


class ShippedChange(msgspec.Struct, frozen=True, kw_only=True):
    """A roll-out: of a flag's variant, when (ms UTC), and the lift that its run found; null: it did not measure it."""

    flag: str
    run: str | None
    variant: str
    time: Time
    lift: Lift | None


class ShippedMetric(msgspec.Struct, frozen=True, kw_only=True):
    """One metric: what was shipped, its sum (null: nothing that shipped measured it), and what the holdout shows."""

    metric: str
    changes: list[ShippedChange]
    total: Lift | None
    measured: Lift | None
    says: str


def shipped(
    catalog: Catalog, decisions: Mapping[str, Sequence[Decided]], key: str, look_of: NewestLook
) -> list[ShippedMetric]:
    """By each metric of the experiment `key`, which measures a holdout, in the time of its newest run.

    A flag counts that is in the group, and whose last decision by the run's end was a roll-out in the run's time, of
    another variant than control. Empty before a run.
    """
    flag = catalog.flags[key]
    if not flag.runs or not flag.definition.holdout:
        return []
    run = flag.runs[-1]
    changes = [
        (other, decided)
        for other in catalog.flags.values()
        if any(each.group == flag.definition.holdout for each in other.definition.groups)
        if (decided := _last(decisions.get(other.definition.key, ()), run)) and decided.step == "rollout"
        if decided.variant not in {None, other.control}
    ]
    own = look_of(key, run.key)
    found = []
    for goal in flag.definition.metrics:
        told = [
            ShippedChange(
                flag=other.definition.key,
                run=decided.run,
                variant=decided.variant or "",
                time=decided.time,
                lift=_lift(
                    look_of(other.definition.key, decided.run) if decided.run else None, goal.metric, decided.variant
                ),
            )
            for other, decided in sorted(changes, key=lambda each: each[1].time)
        ]
        total = added([each.lift for each in told if each.lift])
        cell = _cell(own, goal.metric, None)
        measured = _of(cell) if cell else None
        says = _sentence(goal.metric, len(told), total, cell)
        found.append(ShippedMetric(metric=goal.metric, changes=told, total=total, measured=measured, says=says))
    return found


def added(lifts: Sequence[Lift]) -> Lift | None:
    """The sum of independent lifts; null where there is none, or an end of one is open."""
    estimates = [each.estimate for each in lifts]
    if not estimates or None in estimates:
        return None
    total = sum(each for each in estimates if each is not None)

    def distance(ends: Sequence[float | None]) -> float | None:
        pairs = list(zip(estimates, ends, strict=True))
        if any(end is None for _, end in pairs):
            return None
        return sqrt(sum((estimate - end) ** 2 for estimate, end in pairs if estimate is not None and end is not None))

    below, above = distance([each.lower for each in lifts]), distance([each.upper for each in lifts])
    return Lift(total, None if below is None else total - below, None if above is None else total + above)


def _last(decisions: Sequence[Decided], run: RunInForce) -> Decided | None:
    """The last one in the run's time; who archives a flag leaves what everybody has."""
    until = run.completed
    its = [each for each in decisions if run.started <= each.time and (until is None or each.time <= until)]
    return next((each for each in reversed(its) if each.step != "archive"), None)


def _cell(look: Look | None, metric: str, variant: str | None) -> Cell | None:
    """The one on which a verdict would rest, else the live one; of the first treatment where no variant is named."""
    its = [
        cell
        for cell in (look.cells if look else ())
        if cell.metric == metric and cell.segment == EVERYONE and variant in {None, cell.variant}
    ]
    settled = [cell for cell in its if cell.reading == "settled" and cell.relative_estimate is not None]
    return next(iter(settled or its), None)


def _lift(look: Look | None, metric: str, variant: str | None) -> Lift | None:
    cell = _cell(look, metric, variant)
    return _of(cell) if cell and cell.relative_estimate is not None else None


def _of(cell: Cell) -> Lift:
    return Lift(cell.relative_estimate, cell.running_relative_lower, cell.running_relative_upper)


def _sentence(metric: str, changes: int, total: Lift | None, cell: Cell | None) -> str:
    shows = f"everybody else beside those held out: {says_numbers(cell)}" if cell else "the holdout has no numbers yet"
    if not changes:
        return f"{metric}: nothing has shipped since the start; {shows}"
    if total is None or total.estimate is None:
        return f"{metric}: {changes} shipped, of which nothing can be added up; {shows}"
    ends = [None if end is None else f"{end:+.1%}" for end in (total.lower, total.upper)]
    interval = f" [{ends[0] or 'open'}, {ends[1] or 'open'}]"
    return f"{metric}: {changes} shipped, together {total.estimate:+.1%}{interval} by their own looks; {shows}"
