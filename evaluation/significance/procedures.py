"""Procedures: how each cell is tested, by the experiment's settings and the metric's goal."""

from collections.abc import Mapping
from typing import NamedTuple

from evaluation.catalog import MetricInForce, RunInForce
from evaluation.significance import mixture
from evaluation.significance.levels import level
from evaluation.significance.planning import planned_units
from schemas.catalog import Goal
from schemas.look import Alternative, Method, Reading


class Procedure(NamedTuple):
    """One cell's test at level `alpha`. `planned` is the pair's planned sample; None: a t-test without a plan."""

    method: Method
    alternative: Alternative
    is_conversion: bool
    is_guardrail: bool
    alpha: float
    planned: int | None


def procedure(
    run: RunInForce, metrics: Mapping[str, MetricInForce], goal: Goal, treatment: str, reading: Reading
) -> Procedure:
    """The test of one metric, treatment and reading. A guardrail is tested for harm, one-sided."""
    analysis = run.definition.analysis
    is_guardrail = goal.role == "guardrail"
    gain: Alternative = "greater" if goal.direction == "increase" else "less"
    harm: Alternative = "less" if goal.direction == "increase" else "greater"
    planned = planned_units(run.definition, run.allocations[0].weights, metrics, treatment)
    return Procedure(
        method="exact" if is_exact(goal, metrics[goal.metric], reading) else analysis.method,
        alternative=harm if is_guardrail else gain if analysis.sided == "one" else "two-sided",
        is_conversion=metrics[goal.metric].definition.is_conversion,
        is_guardrail=is_guardrail,
        alpha=level(run.definition, goal),
        planned=planned if analysis.method == "t-test" else planned or mixture.PLANNED_UNITS,
    )


def is_exact(goal: Goal, metric: MetricInForce, reading: Reading) -> bool:
    """Conversion guardrails have the exact test on their live reading; other conversions where the goal says so."""
    if not metric.definition.is_conversion:
        return False
    return goal.role == "guardrail" and reading == "live" if goal.exact is None else goal.exact
