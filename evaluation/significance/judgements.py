"""Judgements: what the cells of a look mean, by the goals: better or worse than control, safe or harmed, or still open.

They rest on the running values alone, and on the readings that can bear it: settled ones; live ones of a metric without
a window; and the live reading of an exact test, which may show a guardrail's harm but not that it is safe, because
what comes late could still harm.
"""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from evaluation.catalog import MetricInForce
from evaluation.significance import multiplicity
from evaluation.significance.levels import family_size
from schemas.catalog import Analysis, Flag, Goal
from schemas.look import EVERYONE, Cell, Judgement

Number = float | None


def decides(cell: Cell, metric: MetricInForce) -> bool:
    """Whether a verdict rests on the cell: it is of all units and, where units settle, of the settled ones."""
    return cell.segment == EVERYONE and cell.reading == ("live" if metric.window is None else "settled")


def judged(flag: Flag, metrics: Mapping[str, MetricInForce], cells: Sequence[Cell]) -> list[Cell]:
    """The cells with their adjusted p-values and judgements."""
    goals = {goal.metric: goal for goal in flag.metrics}
    adjusted: dict[int, Number] = {}
    for role in ("primary", "secondary", "guardrail"):
        places = [
            place
            for place, cell in enumerate(cells)
            if goals[cell.metric].role == role and decides(cell, metrics[cell.metric])
        ]
        adjusted |= _adjusted(flag, role, {place: cells[place] for place in places})
    made = []
    for place, cell in enumerate(cells):
        goal = goals[cell.metric]
        judgement: Judgement | None = None
        if decides(cell, metrics[cell.metric]):
            judgement = _judgement(cell, adjusted[place], goal, flag.analysis)
        elif goal.role == "guardrail" and cell.method == "exact" and cell.segment == EVERYONE:
            judgement = "harmed" if _guarded(cell, goal) == "harmed" else "open"
        made.append(msgspec.structs.replace(cell, adjusted_p_value=adjusted.get(place), judgement=judgement))
    return made


def _adjusted(flag: Flag, role: str, family: Mapping[int, Cell]) -> dict[int, Number]:
    """Running p-values corrected within the family; a comparison without one counts in it all the same."""
    p_values = {place: cell.running_p_value for place, cell in family.items() if cell.running_p_value is not None}
    adjusted: dict[int, Number] = dict.fromkeys(family)
    correction = flag.analysis.correction
    if role == "guardrail" or correction == "none" or not p_values:
        return adjusted | p_values
    if correction == "bonferroni":
        # By the level that the cell's first look fixed: a metric that was added later has not moved it.
        return adjusted | {
            place: min(1.0, p * flag.analysis.alpha / family[place].alpha) for place, p in p_values.items()
        }
    adjust = multiplicity.holm if correction == "holm" else multiplicity.benjamini_hochberg
    unknown = [1.0] * (family_size(flag, role) - len(p_values))
    found = adjust(np.array([*p_values.values(), *unknown]))[: len(p_values)]
    return adjusted | dict(zip(p_values, found.tolist(), strict=True))


def _judgement(cell: Cell, adjusted: Number, goal: Goal, analysis: Analysis) -> Judgement:
    if cell.running_empty:
        return "open"
    if goal.role == "guardrail":
        return _guarded(cell, goal)
    if cell.method == "bayesian":
        is_found = cell.chance is not None and min(cell.chance, 1.0 - cell.chance) <= analysis.alpha / 2.0
        is_gain = cell.chance is not None and cell.chance > 0.5
    else:
        is_found = adjusted is not None and adjusted < analysis.alpha
        is_gain = (side(cell) > 0) == (goal.direction == "increase")
    return "open" if not is_found else "better" if is_gain else "worse"


def _guarded(cell: Cell, goal: Goal) -> Judgement:
    """Safe: a loss beyond the margin is excluded (without a margin: any). Harmed: no loss is excluded."""
    worst, best = towards_goal(cell.running_relative_lower, cell.running_relative_upper, goal)
    absolute_worst, absolute_best = towards_goal(cell.running_lower, cell.running_upper, goal)
    if (absolute_worst is not None and absolute_worst > 0.0) or (worst is not None and worst > -(goal.margin or 0.0)):
        return "safe"
    if (absolute_best is not None and absolute_best < 0.0) or (best is not None and best < 0.0):
        return "harmed"
    return "open"


def towards_goal(lower: Number, upper: Number, goal: Goal) -> tuple[Number, Number]:
    """The interval with gains positive: its worst and its best end."""
    if goal.direction == "increase":
        return lower, upper
    return None if upper is None else -upper, None if lower is None else -lower


def side(cell: Cell) -> int:
    """On which side of zero the effect is: 1 above, -1 below; by the interval where it excludes zero."""
    for lower, upper in (
        (cell.running_lower, cell.running_upper),
        (cell.running_relative_lower, cell.running_relative_upper),
    ):
        if lower is not None and lower > 0.0:
            return 1
        if upper is not None and upper < 0.0:
            return -1
    estimate = cell.relative_estimate if cell.estimate is None else cell.estimate
    return 0 if estimate is None else 1 if estimate > 0.0 else -1
