"""Cells: one row of a look for each metric, treatment and reading, computed together as columns."""

from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Any, NamedTuple

import msgspec
import numpy as np

from evaluation.catalog import MetricInForce, RunInForce, control_of
from evaluation.significance.comparison import Adjustment, Comparison, Measure, adjustment, differences
from evaluation.significance.intervals import Intervals
from evaluation.significance.judgements import judged
from evaluation.significance.moments import Arm, Floats
from evaluation.significance.procedures import Procedure, procedure
from schemas.aggregate import exact
from schemas.catalog import Allocation, Flag, Goal
from schemas.look import EVERYONE, Alternative, Caveat, Cell, Method, Reading

CellKey = tuple[str, str, Reading, str]  # metric, treatment, reading, segment
ArmKey = tuple[str, str, str, int, str]  # metric, reading, segment, allocation, variant

Number = float | None


def cell_key(cell: Cell) -> CellKey:
    """What a cell is about."""
    return cell.metric, cell.variant, cell.reading, cell.segment


def test_of(cell: Cell) -> tuple[int, Method, Alternative]:
    """What the running values belong to: they go on as long as it stays."""
    return cell.metric_version, cell.method, cell.alternative


def readings(metric: MetricInForce) -> tuple[Reading, ...]:
    """A metric with a window has both; without one nothing ever settles."""
    return ("live",) if metric.window is None else ("settled", "live")


def segments(flag: Flag) -> list[str]:
    """Everyone, and each value of each breakdown."""
    parts = [f"{each.property}={value}" for each in flag.breakdowns for value in (*each.values, "(other)")]
    return [EVERYONE, *parts]


def cells(
    run: RunInForce,
    metrics: Mapping[str, MetricInForce],
    arms: Mapping[ArmKey, Arm],
    withheld: Mapping[str, int],
    before: Mapping[CellKey, Cell],
) -> list[Cell]:
    """The cells of the run's `metrics`, in the order of its definition.

    `arms` holds exact sums, `withheld` the units per metric whose total was too large to keep, `before` the cells of
    the last published look: running values and levels go on from there, unless the metric has been redefined or is
    tested in another way since.
    """
    planned = list(_planned(run, metrics, arms, before))
    comparisons = [each.comparison for each in planned]
    found = differences(comparisons)
    said = Intervals(
        comparisons,
        [each.procedure for each in planned],
        found,
        [each.shares for each in planned],
        np.array([withheld.get(each.goal.metric, 0) > 0 for each in planned], np.bool_),
    )
    numbers: dict[str, list[Any]] = {
        name: _numbers(column)
        for name, column in {
            "estimate": found.difference,
            "standard_error": np.sqrt(np.maximum(found.variance, 0.0)),
            "lower": said.lower,
            "upper": said.upper,
            "p_value": said.p_value,
            "log_e": said.log_e,
            "relative_estimate": said.relative_estimate,
            "relative_lower": said.relative_lower,
            "relative_upper": said.relative_upper,
        }.items()
    }
    mean, control_mean, chance = map(_numbers, (found.mean, found.control_mean, said.chance))
    control = control_of(run.definition)
    is_planned = (found.n + found.control_n >= [each.procedure.planned or np.inf for each in planned]).tolist()
    made = []
    for i, each in enumerate(planned):
        treated, controlled, scale = each.comparison.treatment, each.comparison.control, each.comparison.scales[0]
        cell = Cell(
            metric=each.goal.metric,
            metric_version=metrics[each.goal.metric].version,
            variant=each.treatment,
            control=control,
            reading=each.reading,
            segment=each.segment,
            method=each.procedure.method,
            alternative=each.procedure.alternative,
            status=said.status[i],
            caveat=_caveat(metrics[each.goal.metric], each),
            n=treated.n,
            nonzero=treated.nonzero,
            sum=exact(treated.first[0]),
            sum_squares=exact(treated.second[0]),
            control_n=controlled.n,
            control_nonzero=controlled.nonzero,
            control_sum=exact(controlled.first[0]),
            control_sum_squares=exact(controlled.second[0]),
            scale=scale,
            mean=_mean(mean[i], treated, scale),
            control_mean=_mean(control_mean[i], controlled, scale),
            chance=_chance(chance[i], each.goal),
            alpha=each.procedure.alpha,
            planned_units=each.procedure.planned,
            **{name: column[i] for name, column in numbers.items()},
        )
        made.append(_running(cell, each.before, is_planned[i]))
    return judged(run.definition, metrics, made)


class _Planned(NamedTuple):
    """What one cell compares and how, with the treatment's weight within the pair in each stratum."""

    goal: Goal
    treatment: str
    reading: Reading
    segment: str
    procedure: Procedure
    comparison: Comparison
    shares: list[float]
    before: Cell | None


def _planned(
    run: RunInForce,
    metrics: Mapping[str, MetricInForce],
    arms: Mapping[ArmKey, Arm],
    before: Mapping[CellKey, Cell],
) -> Iterator[_Planned]:
    control = control_of(run.definition)
    treatments = [variant.key for variant in run.definition.variants if variant.key != control]
    goals = [goal for goal in run.definition.metrics if goal.metric in metrics]
    parts = segments(run.definition)
    for goal in goals:
        metric = metrics[goal.metric]
        tests = {
            (reading, treatment): procedure(run, metrics, goal, treatment, reading)
            for reading, treatment in product(readings(metric), treatments)
        }
        for segment, reading in product(parts, readings(metric)):
            measured = _Measured(run, metric, reading, segment, arms)
            for treatment in treatments:
                tested = tests[reading, treatment]
                known = before.get((goal.metric, treatment, reading, segment))
                if known and test_of(known) != (metric.version, tested.method, tested.alternative):
                    known = None
                if known:
                    # The level is fixed by the first look: a metric added later must not move what it promised.
                    tested = tested._replace(alpha=known.alpha)
                comparison, shares = measured.comparison(treatment, control)
                yield _Planned(goal, treatment, reading, segment, tested, comparison, shares, known)


class _Measured:
    """The arms of one metric, reading and segment, and how they are compared."""

    def __init__(
        self, run: RunInForce, metric: MetricInForce, reading: Reading, segment: str, arms: Mapping[ArmKey, Arm]
    ) -> None:
        covariates = 2 if metric.lookback is not None else 1
        values = len(metric.variables) * covariates
        self._scales = tuple(variable.places for variable in metric.variables) * covariates
        self._nobody = Arm(0, 0, (0,) * values, (0,) * (values * (values + 1) // 2))
        self._allocations = run.allocations
        self._arms = {
            (index, variant.key): arms.get((metric.definition.key, reading, segment, index, variant.key), self._nobody)
            for index in range(len(run.allocations))
            for variant in run.definition.variants
        }
        self._measure: Measure = (
            "ratio" if metric.parts else "conversion" if metric.definition.is_conversion else "mean"
        )
        self._adjustment = Adjustment()
        # As Amplitude: parts of the units are compared as they are.
        if run.definition.analysis.cuped and metric.lookback is not None and segment == EVERYONE:
            self._measure = "adjusted ratio" if metric.parts else "adjusted mean"
            everyone = [self._total(variant.key) for variant in run.definition.variants]
            self._adjustment = adjustment(everyone, self._measure, self._scales)

    def comparison(self, treatment: str, control: str) -> tuple[Comparison, list[float]]:
        """The pair, and the treatment's weight within it in each stratum."""
        strata, shares = [], []
        for index, allocation in enumerate(self._allocations):
            if share := _share(allocation, treatment, control):
                strata.append((self._arms[index, treatment], self._arms[index, control]))
                shares.append(share)
        pair = self._total(treatment), self._total(control)
        return Comparison(*pair, strata, self._scales, self._measure, self._adjustment), shares

    def _total(self, variant: str) -> Arm:
        return sum((self._arms[index, variant] for index in range(len(self._allocations))), self._nobody)


def _share(allocation: Allocation, treatment: str, control: str) -> float | None:
    """The treatment's weight within the pair; None where one of the two has none."""
    weights = allocation.weights.get(treatment, 0), allocation.weights.get(control, 0)
    return weights[0] / sum(weights) if all(weights) else None


def _caveat(metric: MetricInForce, planned: _Planned) -> Caveat | None:
    if planned.procedure.method == "exact":
        return None
    if planned.reading == "live":
        return "open windows"
    is_uncapped = any(each.type in ("sum", "mean") and each.cap is None and not each.log for each in metric.variables)
    return "heavy tail" if is_uncapped and any(share != 0.5 for share in planned.shares) else None


def _running(cell: Cell, before: Cell | None, is_planned: bool) -> Cell:
    """What judgements rest on: all looks together; of a t-test the first look with the planned units; else this one."""

    def replaced(lower: Number, upper: Number, p_value: Number, relative: tuple[Number, Number]) -> Cell:
        return msgspec.structs.replace(
            cell,
            running_lower=lower,
            running_upper=upper,
            running_p_value=p_value,
            running_empty=_is_empty(lower, upper) or (cell.method == "exact" and _is_empty(*relative)),
            running_relative_lower=relative[0],
            running_relative_upper=relative[1],
        )

    now = cell.lower, cell.upper, cell.p_value, (cell.relative_lower, cell.relative_upper)
    if before is None or cell.method == "bayesian" or (cell.method == "t-test" and before.running_p_value is None):
        return cell if cell.method == "t-test" and not is_planned else replaced(*now)
    was = before.running_lower, before.running_upper, before.running_p_value
    was_relative = before.running_relative_lower, before.running_relative_upper
    if cell.method == "t-test":
        return replaced(*was, was_relative)
    return replaced(
        _narrowed(max, was[0], cell.lower),
        _narrowed(min, was[1], cell.upper),
        _narrowed(min, was[2], cell.p_value),
        (_narrowed(max, was_relative[0], cell.relative_lower), _narrowed(min, was_relative[1], cell.relative_upper)),
    )


def _narrowed(choose: Callable[[float, float], float], before: Number, now: Number) -> Number:
    if before is None or now is None:
        return now if before is None else before
    return choose(before, now)


def _is_empty(lower: Number, upper: Number) -> bool:
    return lower is not None and upper is not None and lower > upper


def _chance(greater: Number, goal: Goal) -> Number:
    return greater if greater is None or goal.direction == "increase" else 1.0 - greater


def _mean(combined: Number, arm: Arm, scale: int) -> Number:
    """Over allocations where a comparison is possible, else of the arm by itself."""
    if combined is None and arm.n:
        return arm.first[0] / (arm.n * 10**scale)
    return combined


def _numbers(values: Floats) -> list[Number]:
    return [value if is_finite else None for value, is_finite in zip(values.tolist(), np.isfinite(values), strict=True)]
