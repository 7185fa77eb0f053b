"""Cells: one row of a look for each metric, treatment and reading, computed together as columns."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from evaluation.catalog import MetricInForce, RunInForce, control_of
from evaluation.significance import gates, mixture
from evaluation.significance.comparison import Comparison, Differences, Measure, differences
from evaluation.significance.moments import Arm, Floats
from evaluation.significance.relative import fieller
from schemas.aggregate import exact
from schemas.catalog import Flag
from schemas.look import Cell, Reading, Status

ALPHA = 0.05

CellKey = tuple[str, str, Reading]  # metric, treatment, reading
ArmKey = tuple[str, str, int, str]  # metric, reading, allocation, variant

Number = float | None


def cell_key(cell: Cell) -> CellKey:
    """What a cell is about."""
    return cell.metric, cell.variant, cell.reading


def readings(metric: MetricInForce) -> tuple[Reading, ...]:
    """A metric with a window has both; without one nothing ever settles."""
    return ("live",) if metric.window is None else ("settled", "live")


def shared_alphas(flag: Flag) -> dict[str, float]:
    """Each metric's error probability per comparison, divided as Amplitude divides it (Bonferroni).

    Of the primary metric over the treatments, of the secondary metrics over treatments times secondary metrics;
    guardrails have their own, undivided: there the error is not to see a harm.
    """
    treatments = max(1, len(flag.variants) - 1)
    secondary = sum(goal.role == "secondary" for goal in flag.metrics)
    divisor = {"primary": treatments, "secondary": treatments * secondary, "guardrail": 1}
    return {goal.metric: ALPHA / divisor[goal.role] for goal in flag.metrics}


def cells(
    run: RunInForce,
    metrics: Mapping[str, MetricInForce],
    arms: Mapping[ArmKey, Arm],
    withheld: Mapping[str, int],
    before: Mapping[CellKey, Cell],
) -> list[Cell]:
    """The cells of the run's `metrics`, in the order of its definition.

    `arms` holds exact sums, `withheld` the units per metric whose total was too large to keep, `before` the cells of
    the last published look: running values and levels go on from there, unless the metric has been redefined since.
    """
    flag = run.definition
    control = control_of(flag)
    treatments = [variant.key for variant in flag.variants if variant.key != control]
    keys: list[CellKey] = []
    comparisons: list[Comparison] = []
    for goal in flag.metrics:
        if metric := metrics.get(goal.metric):
            its = list(product([goal.metric], treatments, readings(metric)))
            keys += its
            comparisons += _comparisons(run, metric, its, control, arms)
    known = [_same_definition(before.get(key), metrics[key[0]].version) for key in keys]
    # The level of an interval is fixed by its first look: a metric added later must not move what was promised before.
    shared = shared_alphas(flag)
    alpha = [cell.alpha if cell else shared[key[0]] for cell, key in zip(known, keys, strict=True)]
    found = differences(comparisons)
    is_withheld = np.array([withheld.get(key[0], 0) > 0 for key in keys], np.bool_)
    columns = _Columns(
        comparisons, found, np.array(alpha), flag.analysis.planned_units or mixture.PLANNED_UNITS, is_withheld
    )

    made = []
    for i, (name, treatment, reading) in enumerate(keys):
        comparison, cell = comparisons[i], known[i]
        treated, controlled = comparison.treatment, comparison.control
        running_lower = _narrowed(max, cell.running_lower if cell else None, columns.lower[i])
        running_upper = _narrowed(min, cell.running_upper if cell else None, columns.upper[i])
        made.append(
            Cell(
                metric=name,
                metric_version=metrics[name].version,
                variant=treatment,
                control=control,
                reading=reading,
                status=columns.status[i],
                n=treated.n,
                nonzero=treated.nonzero,
                sum=exact(treated.first[0]),
                sum_squares=exact(treated.second[0]),
                control_n=controlled.n,
                control_nonzero=controlled.nonzero,
                control_sum=exact(controlled.first[0]),
                control_sum_squares=exact(controlled.second[0]),
                scale=comparison.scales[0],
                mean=_mean(columns.mean[i], treated, comparison.scales[0]),
                control_mean=_mean(columns.control_mean[i], controlled, comparison.scales[0]),
                estimate=columns.estimate[i],
                standard_error=columns.standard_error[i],
                lower=columns.lower[i],
                upper=columns.upper[i],
                p_value=columns.p_value[i],
                log_e=columns.log_e[i],
                running_lower=running_lower,
                running_upper=running_upper,
                running_p_value=_narrowed(min, cell.running_p_value if cell else None, columns.p_value[i]),
                running_empty=running_lower is not None and running_upper is not None and running_lower > running_upper,
                relative_estimate=columns.relative_estimate[i],
                relative_lower=columns.relative_lower[i],
                relative_upper=columns.relative_upper[i],
                alpha=alpha[i],
            )
        )
    return made


class _Columns:
    """What the cells hold beyond their sums: lists, with None where there is no number."""

    def __init__(
        self,
        comparisons: Sequence[Comparison],
        found: Differences,
        alpha: Floats,
        planned: int,
        is_withheld: NDArray[np.bool_],
    ) -> None:
        is_conversion = np.array([comparison.measure == "conversion" for comparison in comparisons], np.bool_)
        has_data = np.array([min(c.treatment.n, c.control.n) > 0 for c in comparisons], np.bool_)
        is_open = gates.is_open(found.n, found.control_n, found.nonzero, found.control_nonzero, is_conversion)
        has_variance = found.variance > 0.0
        self.status: list[Status] = np.select(
            [~has_data, is_withheld, ~is_open, ~has_variance],
            np.array(["no data", "withheld", "gated", "zero variance"], dtype=object)[:, None],
            "ok",
        ).tolist()
        judged = np.array([status == "ok" for status in self.status], np.bool_)

        variance, units = (np.where(judged, each, np.nan) for each in (found.variance, found.units))
        said = mixture.evidence(found.difference, variance, mixture.mixing_ratio(units, planned, alpha), alpha)
        # Relative to |m_c|, so that a lift has the difference's sign.
        size, sign = np.abs(found.baseline), np.sign(found.baseline)
        relative = fieller(
            found.difference,
            variance,
            size,
            found.baseline_variance,
            said.multiplier,
            covariance=sign * found.covariance,
        )

        self.mean = _numbers(found.mean)
        self.control_mean = _numbers(found.control_mean)
        self.estimate = _numbers(found.difference)
        self.standard_error = _numbers(np.sqrt(np.maximum(found.variance, 0.0)))
        self.lower, self.upper = _numbers(said.lower), _numbers(said.upper)
        self.p_value, self.log_e = _numbers(said.p_value), _numbers(said.log_e)
        self.relative_estimate = _numbers(found.difference / np.where(size > 0.0, size, np.nan))
        self.relative_lower, self.relative_upper = (_numbers(end) for end in relative)


def _comparisons(
    run: RunInForce, metric: MetricInForce, keys: Iterable[CellKey], control: str, arms: Mapping[ArmKey, Arm]
) -> Iterator[Comparison]:
    nobody = Arm(0, 0, (0,), (0,))
    measure: Measure = "conversion" if metric.definition.type == "conversion" else "mean"
    for name, treatment, reading in keys:
        strata = []
        treated = controlled = nobody
        for index, allocation in enumerate(run.allocations):
            its = arms.get((name, reading, index, treatment), nobody)
            controls = arms.get((name, reading, index, control), nobody)
            treated, controlled = (its, controls) if index == 0 else (treated + its, controlled + controls)
            if allocation.weights.get(treatment, 0) > 0 and allocation.weights.get(control, 0) > 0:
                strata.append((its, controls))
        yield Comparison(treated, controlled, strata, (metric.variables[0].places,), measure)


def _same_definition(cell: Cell | None, version: int) -> Cell | None:
    return cell if cell and cell.metric_version == version else None


def _narrowed(choose: Callable[[float, float], float], before: Number, now: Number) -> Number:
    if before is None or now is None:
        return now if before is None else before
    return choose(before, now)


def _mean(combined: Number, arm: Arm, scale: int) -> Number:
    """Over allocations where a comparison is possible, else of the arm by itself."""
    if combined is None and arm.n:
        return arm.first[0] / (arm.n * 10**scale)
    return combined


def _numbers(values: Floats) -> list[Number]:
    return [value if is_finite else None for value, is_finite in zip(values.tolist(), np.isfinite(values), strict=True)]
