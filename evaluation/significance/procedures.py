"""Procedures: how each cell is tested, by the experiment's settings and the metric's goal."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evaluation.catalog.in_force import MetricInForce, RunInForce
from evaluation.significance import mixture
from evaluation.significance.adjusting import deciding
from evaluation.significance.levels import level
from evaluation.significance.sample_size import planned_units
from schemas.catalog import Analysis, Goal
from schemas.look import Alternative, Method, Reading


class Procedure(NamedTuple):
    """One cell's test at level `alpha`. `planned` is the pair's planned sample; None: a t-test without a plan."""

    method: Method
    alternative: Alternative
    is_conversion: bool
    is_guardrail: bool
    is_increase: bool  # what the goal wants
    alpha: float
    planned: int | None


class Procedures:
    """Many of them, as columns."""

    def __init__(self, procedures: Sequence[Procedure]) -> None:
        self.method = np.array([each.method for each in procedures], dtype=object)
        self.alpha = np.array([each.alpha for each in procedures], np.float64)
        self.is_one_sided = np.array([each.alternative != "two-sided" for each in procedures], np.bool_)
        self.sign = np.array([-1.0 if each.alternative == "less" else 1.0 for each in procedures])
        self.is_conversion = np.array([each.is_conversion for each in procedures], np.bool_)
        self.is_guardrail = np.array([each.is_guardrail for each in procedures], np.bool_)
        self.is_increase = np.array([each.is_increase for each in procedures], np.bool_)
        self.planned = np.array([each.planned or np.nan for each in procedures], np.float64)

    @property
    def has_both(self) -> NDArray[np.bool_]:
        """Whether both ends are said."""
        return ~self.is_one_sided | self.is_guardrail


def procedures_of(
    run: RunInForce, metrics: Mapping[str, MetricInForce], treatments: Sequence[str]
) -> Callable[[Goal, Reading], list[Procedure]]:
    """How one metric and reading is tested for each treatment. A guardrail is tested for harm, one-sided."""
    flag, analysis = run.definition, run.definition.analysis
    weights = run.allocations[0].weights
    planned = [planned_units(flag, weights, run.metrics, treatment) for treatment in treatments]
    if analysis.method != "t-test":
        planned = [units or mixture.PLANNED_UNITS for units in planned]
    levels = {role: level(flag, goal) for role, goal in {goal.role: goal for goal in flag.metrics}.items()}

    def procedures(goal: Goal, reading: Reading) -> list[Procedure]:
        is_guardrail = goal.role == "guardrail"
        gain: Alternative = "greater" if goal.direction == "increase" else "less"
        harm: Alternative = "less" if goal.direction == "increase" else "greater"
        first = Procedure(
            method=_method(analysis, goal, metrics[goal.metric], reading),
            alternative=harm if is_guardrail else gain if analysis.sided == "one" else "two-sided",
            is_conversion=metrics[goal.metric].definition.is_conversion,
            is_guardrail=is_guardrail,
            is_increase=goal.direction == "increase",
            alpha=levels[goal.role],
            planned=next(iter(planned), None),
        )
        return [first if units == first.planned else first._replace(planned=units) for units in planned]

    return procedures


def _method(analysis: Analysis, goal: Goal, metric: MetricInForce, reading: Reading) -> Method:
    if is_exact(goal, metric, reading):
        return "exact"
    return method_of(analysis, metric, any(deciding(analysis, metric)))


def method_of(analysis: Analysis, metric: MetricInForce, is_adjusted: bool) -> Method:
    """How a metric is tested that no exact test is asked of: where something is left out, as any mean."""
    if analysis.method == "t-test" and metric.definition.is_conversion and not is_adjusted:
        return "boschloo"
    return analysis.method


def is_exact(goal: Goal, metric: MetricInForce, reading: Reading) -> bool:
    """Conversion guardrails have the exact test on their live reading; other conversions where the goal says so."""
    if not metric.definition.is_conversion:
        return False
    return goal.role == "guardrail" and reading == "live" if goal.exact is None else goal.exact
