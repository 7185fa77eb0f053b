"""Verdict: what a person should do with an experiment, and why, in one sentence that names the numbers.

It rests on settled readings and on their running intervals: what all looks so far say together. A metric without a
window never settles; its live reading stands in, and the sentence says that the guarantee is not claimed for it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from evaluation.catalog import MetricInForce
from evaluation.significance import srm
from schemas.catalog import Flag, Goal
from schemas.look import Cell, Health, Verdict

JUMPERS = 0.05  # share of units that met two variants, beyond which the assignment itself is broken
JUMPERS_SEEN_IN = 100  # units, below which the share says nothing
Effect = Literal["better", "worse", "open"]

NO_GUARANTEE = "; its metric has no window, so the guarantee of always-valid results is not claimed"


def decide(
    flag: Flag, metrics: Mapping[str, MetricInForce], cells: Iterable[Cell], health: Health, final: bool
) -> Verdict:
    """The verdict on a look. `metrics` are those in force, `final` says that nothing can change any more.

    In this order: a broken split or assignment; a treatment that wins on the primary metric and harms no guardrail; a
    treatment that harms; more patience.
    """
    if not flag.metrics:
        return Verdict("none", "The flag has no metrics: it switches, and nothing is compared.")
    reading = {key: "live" if metric.window is None else "settled" for key, metric in metrics.items()}
    deciding = [cell for cell in cells if cell.reading == reading[cell.metric]]
    goals = {goal.metric: goal for goal in flag.metrics}
    primary = [cell for cell in deciding if goals[cell.metric].role == "primary"]
    guardrails = [cell for cell in deciding if goals[cell.metric].role == "guardrail"]
    if doubt := _doubt(health, [*primary, *guardrails]):
        return Verdict("needs attention", doubt)

    harmed = [cell for cell in guardrails if is_harmed(cell, goals[cell.metric])]
    harmed_variants = {cell.variant for cell in harmed}
    winners = [
        cell for cell in primary if effect(cell, goals[cell.metric]) == "better" and cell.variant not in harmed_variants
    ]
    losers = [cell for cell in primary if effect(cell, goals[cell.metric]) == "worse"]
    if winners:
        best = max(winners, key=lambda cell: abs(cell.estimate or 0.0))
        ending = ", and no guardrail is harmed." if guardrails else "."
        return Verdict("ship", _says(best, goals, metrics) + ending)
    if harmed:
        return Verdict("roll back", f"{_says(harmed[0], goals, metrics)}: a guardrail is harmed.")
    if losers:
        return Verdict("roll back", f"{_says(losers[0], goals, metrics)}: the primary metric is harmed.")
    return Verdict("none" if final else "keep running", _undecided(primary, goals, metrics, final))


def effect(cell: Cell, goal: Goal) -> Effect:
    """Which way the running interval excludes zero, in the direction that the goal wants."""
    if cell.running_lower is None or cell.running_upper is None or cell.running_empty:
        return "open"
    if cell.running_lower <= 0.0 <= cell.running_upper:
        return "open"
    return "better" if (cell.running_lower > 0.0) == (goal.direction == "increase") else "worse"


def is_harmed(cell: Cell, goal: Goal) -> bool:
    """A guardrail is harmed when it is worse, unless the loss is sure to be within its margin."""
    if effect(cell, goal) != "worse":
        return False
    loss = cell.relative_lower if goal.direction == "increase" else _negated(cell.relative_upper)
    return goal.margin is None or loss is None or loss <= -goal.margin


def _doubt(health: Health, cells: Iterable[Cell]) -> str | None:
    """Why the numbers cannot be believed, if so."""
    units = sum(arm.units for arm in health.arms)
    p_value = health.srm_running_p_value
    if p_value is not None and p_value < srm.ALPHA:
        arm = max(health.arms, key=lambda arm: abs(arm.units - arm.expected_share * units))
        return (
            f"The split is broken: {arm.variant} has {arm.units:,} of {units:,} units where the weights promise "
            f"{arm.expected_share:.1%} (sequential test of the split, p {_p(p_value)}); find the cause first."
        )
    met = units + health.jumpers
    if met >= JUMPERS_SEEN_IN and health.jumpers > JUMPERS * met:
        return (
            f"{health.jumpers:,} of {met:,} units met two variants and were withdrawn ({health.jumpers / met:.1%}); "
            "a unit must keep its variant: see how producers identify it."
        )
    for cell in cells:
        if cell.running_empty:
            return (
                f"The effect of {cell.variant} on {cell.metric} has moved: intervals of different looks exclude each "
                "other, so no single effect explains them; see what changed meanwhile."
            )
    return None


def _says(cell: Cell, goals: Mapping[str, Goal], metrics: Mapping[str, MetricInForce]) -> str:
    verb = {"better": "improves", "worse": "harms", "open": "leaves open"}[effect(cell, goals[cell.metric])]
    sentence = f"{cell.variant} {verb} {cell.metric}: {_size(cell)}, p {_p(cell.running_p_value)}"
    return sentence + (NO_GUARANTEE if metrics[cell.metric].window is None else "")


def _undecided(
    primary: Sequence[Cell], goals: Mapping[str, Goal], metrics: Mapping[str, MetricInForce], final: bool
) -> str:
    if not any(goal.role == "primary" for goal in goals.values()):
        return "No metric is primary, so none decides; read the cells, or give one the role."
    if not primary:
        return "The primary metric's definition changed; its numbers come when every worker has taken it up."
    # The comparison that is nearest to a decision speaks for the rest.
    cell = min(primary, key=lambda cell: 1.0 if cell.running_p_value is None else cell.running_p_value)
    units = f"{cell.n:,} units of {cell.variant} and {cell.control_n:,} of {cell.control}"
    if cell.running_p_value is None:
        why = {"gated": "too few for a test", "ok": "waiting"}.get(cell.status, cell.status)
        return f"{cell.metric} has {units} so far: {why}."
    ending = "the run has ended without a decision" if final else "not decided yet"
    return f"{_says(cell, goals, metrics)}, after {units}: {ending}."


def _size(cell: Cell) -> str:
    """The lift, where its interval says the same as the running one; else the running interval."""
    lift, lower, upper = cell.relative_estimate, cell.relative_lower, cell.relative_upper
    is_open = cell.running_p_value is None or cell.running_p_value >= cell.alpha
    if lift is not None and lower is not None and upper is not None and (lower <= 0.0 <= upper) == is_open:
        return f"{lift:+.1%} [{lower:+.1%}, {upper:+.1%}]"
    if cell.estimate is None or cell.running_lower is None or cell.running_upper is None:
        return "no estimate at this look"
    return f"{cell.estimate:+.4g} [{cell.running_lower:+.4g}, {cell.running_upper:+.4g}]"


def _p(p_value: float | None) -> str:
    return "unknown" if p_value is None else "< 0.0001" if p_value < 0.0001 else f"= {p_value:.2g}"


def _negated(value: float | None) -> float | None:
    return None if value is None else -value
