"""Planning: how many units a comparison needs, before the run and while it goes on."""

from collections.abc import Mapping
from math import ceil

from evaluation.catalog import MetricInForce, RunInForce, control_of
from evaluation.significance import power
from evaluation.significance.levels import level
from schemas.look import Cell, Health

POWER = 0.8  # Amplitude's default
MOST_DAYS = 40  # beyond which an estimate means nothing; Amplitude's bound
DAY_MS = 86_400_000


def planned_units(run: RunInForce, metrics: Mapping[str, MetricInForce], treatment: str) -> int | None:
    """The planned sample of a treatment and control together: as said, else by the baseline; None: there is no plan.

    By the weights of the run's first allocation, so that it never changes while the run goes on.
    """
    flag = run.definition
    analysis, goal = flag.analysis, next((goal for goal in flag.metrics if goal.role == "primary"), None)
    if analysis.planned_units is not None or analysis.baseline is None or goal is None:
        return analysis.planned_units
    if goal.minimum_effect is None or goal.metric not in metrics:
        return None
    weights = run.allocations[0].weights
    control, treated = weights.get(control_of(flag), 0), weights.get(treatment, 0)
    ratio = treated / control if treated and control else 1.0
    mean = analysis.baseline.mean
    effect = mean * goal.minimum_effect * (1 if goal.direction == "increase" else -1)
    if metrics[goal.metric].definition.is_conversion:
        variances = mean * (1.0 - mean), max(0.0, (mean + effect) * (1.0 - mean - effect))
    else:
        variances = ((analysis.baseline.deviation or mean) ** 2,) * 2
    alpha = level(flag, goal) * (2.0 if analysis.sided == "one" else 1.0)  # of the two-sided test that is as sharp
    units = power.fixed_units(effect, variances, ratio, alpha, POWER)
    return ceil(float(units) * (1.0 + ratio))


def days_left(cell: Cell, run: RunInForce, health: Health, time: int) -> float | None:
    """How long a comparison may still be open at the pace of entries so far, at most `MOST_DAYS`; None: nobody can say.

    A t-test takes until its planned units are in. A sequential one is expected to find the effect that it estimates
    now, with a power of 80 %. A Bayesian reading plans nothing. By the look's `time` (ms UTC), not by the wall's.
    """
    elapsed = time - run.started
    entered = sum(arm.units for arm in health.arms if arm.variant in (cell.variant, cell.control))
    units = cell.n + cell.control_n
    if run.completed is not None or elapsed <= 0 or not entered or cell.planned_units is None:
        return None
    if cell.method == "t-test":
        needed = float(cell.planned_units - units)
    elif cell.method == "sequential" and cell.estimate and cell.standard_error and cell.p_value is not None:
        if not _holds(cell, cell.estimate):
            return None
        alpha = cell.alpha if cell.alternative == "two-sided" else 2.0 * cell.alpha
        variance = cell.standard_error**2
        growth = power.sequential_growth(cell.estimate, variance, units, cell.planned_units, alpha, power=POWER)
        needed = (float(growth) - 1.0) * units
    else:
        return None
    return min(float(MOST_DAYS), max(0.0, needed) * elapsed / entered / DAY_MS)


def _holds(cell: Cell, effect: float) -> bool:
    """Whether the running interval holds the effect: else it has moved, and its size says little about what comes."""
    lower, upper = cell.running_lower, cell.running_upper
    return (lower is None or lower <= effect) and (upper is None or effect <= upper)
