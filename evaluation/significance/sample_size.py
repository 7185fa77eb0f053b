"""Sample size: how many units a comparison needs, before the run."""

from collections.abc import Iterator, Mapping, Sequence
from math import ceil, floor
from typing import NamedTuple

import msgspec

from evaluation.catalog.in_force import MetricInForce, control_of
from evaluation.catalog.ramps import at_last
from evaluation.significance.design import Design
from evaluation.significance.levels import level
from evaluation.significance.mixture import PLANNED_UNITS
from schemas.catalog import Baseline, Flag, Goal, Metric
from schemas.duration import DAY_MS
from schemas.written import MOST_UNITS

POWER = 0.8  # Amplitude's default
FEWEST_UNITS = 4.0  # of a pair, below which nothing is seen
CURVE_POINTS = 80  # of a curve of power
BEYOND = 1.5  # times the units that are needed, where it ends


class UnitsNeeded(msgspec.Struct, frozen=True):
    """Units that one test of a pair takes, those of all variants then, and days until the last window has closed.

    `power` and `minimum_effect` are what the units at hand give. Null where nobody said how many there are.
    """

    control: int
    treatment: int
    total: int
    days: float | None
    power: float | None
    minimum_effect: float | None  # null too where no effect is large enough


class SampleSize(msgspec.Struct, frozen=True, kw_only=True):
    """One comparison before its start: `effect` is the relative one to be seen; a guardrail's margin, to be ruled out.

    `fixed` is by the normal distribution: of few conversions `exact_power` is the chance that Boschloo's test sees the
    effect with so many units; null elsewhere, and of guardrails.
    `planned_units` is the N* in force, `recommended_units` the t-test's sample, at which the sequential interval should
    be narrowest; both of the pair. Days count with the `rollout`, of a plan that of its last step.
    """

    metric: str
    role: str
    treatment: str
    mean: float
    effect: float
    alpha: float
    sides: int
    target: float  # power
    planned_units: int
    recommended_units: int
    fixed: UnitsNeeded
    sequential: UnitsNeeded
    exact_power: float | None
    rollout: float


class Supply(NamedTuple):
    """What there is, where somebody said so: units that meet the flag each day, and units in all variants together."""

    daily: float | None
    units: int | None


def planned_units(
    flag: Flag, weights: Mapping[str, int], metrics: Mapping[str, MetricInForce], treatment: str
) -> int | None:
    """The planned sample of a treatment and control together: as said, else by the baseline; None: there is no plan.

    `weights` are those of the run's first allocation, so that it never changes while the run goes on.
    """
    analysis, goal = flag.analysis, next((goal for goal in flag.metrics if goal.role == "primary"), None)
    if analysis.planned_units is not None or analysis.baseline is None or goal is None:
        return analysis.planned_units
    if goal.minimum_effect is None or goal.metric not in metrics:
        return None
    if metrics[goal.metric].definition.type == "percentile":
        return None
    design = _design(flag, goal, metrics[goal.metric], analysis.baseline, _ratio(flag, weights, treatment))
    return ceil(min(design.units(goal.minimum_effect, POWER, watched=False), MOST_UNITS))


def sample_sizes(
    flag: Flag,
    metrics: Mapping[str, MetricInForce],
    baselines: Mapping[str, Baseline],
    target: float,
    supply: Supply,
) -> Iterator[SampleSize]:
    """Of each goal with an effect (a guardrail: with a margin) and a baseline, and each treatment, by the weights.

    `target` is the power.
    """
    for goal, effect, treatment, design, share in _comparisons(flag, metrics, baselines):
        needs = _Needs(flag, metrics[goal.metric], design, share, target, supply)
        fixed = needs.of(effect, watched=False)
        yield SampleSize(
            metric=goal.metric,
            role=goal.role,
            treatment=treatment,
            mean=baselines[goal.metric].mean,
            effect=-effect if design.is_loss else effect,
            alpha=level(flag, goal),
            sides=1 if _is_one_sided(flag, goal) else 2,
            target=target,
            planned_units=round(design.planned),
            recommended_units=ceil(design.units(effect, target, watched=False)),
            fixed=fixed,
            sequential=needs.of(effect, watched=True),
            exact_power=None
            if goal.role == "guardrail"
            else design.exact_power(effect, fixed.control, fixed.treatment),
            rollout=at_last(flag).rollout,
        )


class PowerCurve(msgspec.Struct, frozen=True, kw_only=True):
    """The chance that one comparison shows the effect, against units of all variants: by a t-test that is read then,
    and by the sequential test, watched until then.
    """

    metric: str
    treatment: str
    units: list[int]
    fixed: list[float]
    sequential: list[float]


def power_curves(
    flag: Flag,
    metrics: Mapping[str, MetricInForce],
    baselines: Mapping[str, Baseline],
    target: float,
) -> Iterator[PowerCurve]:
    """Of each comparison of `sample_sizes`, up to well beyond what either test takes for the power `target`."""
    for goal, effect, treatment, design, share in _comparisons(flag, metrics, baselines):
        most = max(design.units(effect, target, watched=watched) for watched in (False, True))
        pairs = [BEYOND * most * number / CURVE_POINTS for number in range(1, CURVE_POINTS + 1)]
        fixed, sequential = (
            [float(design.power(effect, units, watched=watched)) for units in pairs] for watched in (False, True)
        )
        yield PowerCurve(
            metric=goal.metric,
            treatment=treatment,
            units=[ceil(units / share) for units in pairs],
            fixed=fixed,
            sequential=sequential,
        )


def _comparisons(
    flag: Flag, metrics: Mapping[str, MetricInForce], baselines: Mapping[str, Baseline]
) -> Iterator[tuple[Goal, float, str, Design, float]]:
    """Each goal with an effect and a baseline, and each treatment: its design, and the pair's share of all units."""
    weights = {variant.key: variant.weight for variant in flag.variants}
    control = control_of(flag)
    for goal in flag.metrics:
        effect = goal.margin if goal.role == "guardrail" else goal.minimum_effect
        if effect is None or goal.metric not in baselines:
            continue
        for treatment, weight in weights.items():
            if treatment == control or not weight or not weights[control]:
                continue
            planned = planned_units(flag, weights, metrics, treatment) or PLANNED_UNITS
            ratio = _ratio(flag, weights, treatment)
            design = _design(flag, goal, metrics[goal.metric], baselines[goal.metric], ratio, planned=planned)
            yield goal, effect, treatment, design, (weight + weights[control]) / sum(weights.values())


class SmallestEffect(msgspec.Struct, frozen=True, kw_only=True):
    """The smallest effects that one comparison shows in so many weeks, by a single t-test and watched all the time.

    Of the `units` of all variants whose window is over by then; null: no effect is large enough, or there are none.
    """

    metric: str
    treatment: str
    weeks: int
    units: int
    fixed: float | None
    sequential: float | None


def smallest_effects(  # noqa: PLR0917
    flag: Flag,
    metrics: Mapping[str, MetricInForce],
    baselines: Mapping[str, Baseline],
    target: float,
    daily: float,
    weeks: Sequence[int],
) -> Iterator[SmallestEffect]:
    """Of each goal with a baseline and each treatment, at `daily` units that meet the flag."""
    weights = {variant.key: variant.weight for variant in flag.variants}
    control = control_of(flag)
    for goal in flag.metrics:
        for treatment, weight in weights.items():
            if goal.metric not in baselines or treatment == control or not weight or not weights[control]:
                continue
            metric, baseline = metrics[goal.metric], baselines[goal.metric]
            planned = planned_units(flag, weights, metrics, treatment) or PLANNED_UNITS
            design = _design(flag, goal, metric, baseline, _ratio(flag, weights, treatment), planned=planned)
            share = (weight + weights[control]) / sum(weights.values())
            for number in weeks:
                days = 7.0 * number - (metric.window or 0) / DAY_MS
                units = floor(daily * at_last(flag).rollout / 100.0 * max(0.0, days))
                pair = units * share
                fixed, sequential = (
                    design.effect(pair, target, watched=watched) if pair > FEWEST_UNITS else None
                    for watched in (False, True)
                )
                yield SmallestEffect(
                    metric=goal.metric,
                    treatment=treatment,
                    weeks=number,
                    units=units,
                    fixed=fixed,
                    sequential=sequential,
                )


def baseline_fault(metric: Metric, baseline: Baseline) -> str | None:
    """Why a baseline cannot be one of the metric; None: it can."""
    mean, deviation = baseline.mean, baseline.deviation
    if metric.is_conversion and not 0 < mean < 1:
        return f"{mean:g} is no baseline of '{metric.key}', a rate: write 0.12 or 12%"
    if mean == 0:
        return f"0 is no baseline of '{metric.key}': effects are relative to it"
    if metric.type == "percentile":
        return f"'{metric.key}' is a percentile: how many units it takes is not planned by a mean and a deviation"
    if deviation is not None and deviation <= 0:
        return f"{deviation:g} is no deviation of '{metric.key}': a standard deviation is above 0"
    if not metric.is_conversion and deviation is None:
        return f"'{metric.key}' is no conversion: give its standard deviation too"
    return None


class _Needs(NamedTuple):
    """What one comparison needs; `share` is the pair's, of all units."""

    flag: Flag
    metric: MetricInForce
    design: Design
    share: float
    target: float
    supply: Supply

    def of(self, effect: float, *, watched: bool) -> UnitsNeeded:
        pair = ceil(self.design.units(effect, self.target, watched=watched))
        treated = ceil(pair * self.design.ratio / (1.0 + self.design.ratio))
        total = ceil(pair / self.share)
        daily, units = self.supply
        entering = daily and daily * at_last(self.flag).rollout / 100.0
        at_hand = units and units * self.share
        return UnitsNeeded(
            control=pair - treated,
            treatment=treated,
            total=total,
            days=total / entering + (self.metric.window or 0) / DAY_MS if entering else None,
            power=float(self.design.power(effect, at_hand, watched=watched)) if at_hand else None,
            minimum_effect=self.design.effect(at_hand, self.target, watched=watched) if at_hand else None,
        )


def _design(
    flag: Flag, goal: Goal, metric: MetricInForce, baseline: Baseline, ratio: float, *, planned: float = PLANNED_UNITS
) -> Design:
    """A guardrail's effect is a harm."""
    is_conversion = metric.definition.is_conversion
    return Design(
        mean=baseline.mean,
        deviation=None if is_conversion else baseline.deviation or abs(baseline.mean),
        is_loss=(goal.direction == "decrease") != (goal.role == "guardrail"),
        ratio=ratio,
        alpha=level(flag, goal) * (2.0 if _is_one_sided(flag, goal) else 1.0),
        planned=planned,
    )


def _is_one_sided(flag: Flag, goal: Goal) -> bool:
    return goal.role == "guardrail" or flag.analysis.sided == "one"


def _ratio(flag: Flag, weights: Mapping[str, int], treatment: str) -> float:
    """Treated units per unit of control; 1 where one of the two gets none."""
    control, treated = weights.get(control_of(flag), 0), weights.get(treatment, 0)
    return treated / control if treated and control else 1.0
