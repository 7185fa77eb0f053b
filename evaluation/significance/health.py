"""Health: can a look be believed? Counts over all partitions, and whether the split is the promised one."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from msgspec import UNSET, UnsetType

from evaluation.catalog import RunInForce
from evaluation.significance import gates, srm
from schemas.aggregate import Aggregate, MetricHealth
from schemas.logs import Gap
from schemas.look import EVERYONE, ArmHealth, Health, Look, Loss


def health(run: RunInForce, aggregates: Sequence[Aggregate], previous: Look | None) -> Health:
    """The run's health. An arm's expected share is that of each allocation's weights, by the units it split."""
    units: dict[tuple[int, str], int] = defaultdict(int)
    for aggregate in aggregates:
        for arm in aggregate.arms:
            units[arm.allocation, arm.variant] += arm.units
    variants = [variant.key for variant in run.definition.variants]

    expected = dict.fromkeys(variants, 0.0)
    evidence = 0.0
    split = 0
    for index, allocation in enumerate(run.allocations):
        weights = {variant: allocation.weights[variant] for variant in variants if allocation.weights.get(variant)}
        counts = [units[index, variant] for variant in weights]
        split += sum(counts)
        for variant, weight in weights.items():
            expected[variant] += sum(counts) * weight / sum(weights.values())
        if len(weights) > 1:
            evidence += float(srm.log_bayes_factor(counts, list(weights.values())))
    if not split:
        newest = run.allocations[-1].weights
        expected = {variant: newest.get(variant, 0) / max(1, sum(newest.values())) for variant in variants}
        split = 1
    p_value = float(srm.p_value(evidence))
    running = previous.health.srm_running_p_value if previous else None

    def total(name: str) -> int:
        return sum(getattr(aggregate, name) for aggregate in aggregates)

    def metrics_total(name: str) -> int:
        return sum(getattr(metric, name) for aggregate in aggregates for metric in aggregate.metrics)

    return Health(
        arms=[
            ArmHealth(
                variant,
                sum(units[index, variant] for index in range(len(run.allocations))),
                expected[variant] / split,
            )
            for variant in variants
        ],
        srm_p_value=p_value,
        srm_running_p_value=p_value if running is None else min(running, p_value),
        exposures=total("exposures"),
        jumpers=total("jumpers"),
        reassigned=total("reassigned"),
        forced=total("forced"),
        inactive=total("inactive"),
        late_exposures=total("late"),
        duplicate_ids=total("duplicate_ids"),
        counted_events=metrics_total("events"),
        duplicate_events=metrics_total("duplicates"),
        late_events=metrics_total("late"),
        unusable_events=metrics_total("unusable"),
        withheld_units=metrics_total("withheld"),
        full_lookback=_full_lookback(run, aggregates),
        gaps=_gaps(aggregates) or UNSET,
        losses=_losses(run, aggregates) or UNSET,
    )


def _losses(run: RunInForce, aggregates: Sequence[Aggregate]) -> list[Loss]:
    """What metrics lose of their events' values, where that can be shown or is too much; in the run's order."""
    found = []
    of_metrics: defaultdict[str, list[MetricHealth]] = defaultdict(list)
    for aggregate in aggregates:
        for each in aggregate.metrics:
            of_metrics[each.metric].append(each)
    for key, metric in run.metrics.items():
        told = of_metrics[key]
        events, unusable = sum(each.events for each in told), sum(each.unusable for each in told)
        example = min((each.example for each in told if each.example is not None), default=None)
        rounded = min((each.rounded for each in told if each.rounded is not None), default=None)
        if example is not None or rounded is not None or gates.loses_too_much(events, unusable):
            scale = max(fact.scale for fact in metric.facts)
            found.append(Loss(key, events + unusable, unusable, scale, example, rounded))
    return found


def told_losses(health: Health) -> Iterator[str]:
    """What metrics lose of their events' values, a sentence each."""
    for loss in [] if isinstance(health.losses, UnsetType) else health.losses:
        if loss.unusable:
            example = "" if loss.example is None else f" (such as {loss.example or 'one without the property'})"
            yield (
                f"{loss.metric}: {loss.unusable:,} of {loss.events:,} events hold no number that can be used{example} "
                "and don't count"
            )
        if loss.rounded is not None:
            yield (
                f"{loss.metric}: values with more than {loss.scale} decimal places are rounded (such as "
                f"{loss.rounded}); a larger `scale` keeps more"
            )


def _gaps(aggregates: Sequence[Aggregate]) -> list[Gap]:
    """Each once: every partition tells the gaps of the sources, from the offset on that it had reached."""
    widest: dict[tuple[str, int, int, str], Gap] = {}
    for gap in (gap for aggregate in aggregates for gap in aggregate.gaps):
        place = gap.topic, gap.partition, gap.end, gap.stage
        if place not in widest or gap.begin < widest[place].begin:
            widest[place] = gap
    return sorted(widest.values(), key=lambda gap: (gap.topic, gap.partition, gap.begin, gap.end, gap.stage))


def _full_lookback(run: RunInForce, aggregates: Sequence[Aggregate]) -> float | UnsetType:
    looking = {key for key, metric in run.metrics.items() if metric.lookback is not None}
    covered = sum(
        each.n
        for aggregate in aggregates
        for each in aggregate.sums
        if each.metric in looking and (each.reading, each.segment) == ("live", EVERYONE)
    )
    told = [metric for aggregate in aggregates for metric in aggregate.metrics if metric.metric in looking]
    covered += sum(metric.withheld for metric in told)
    return sum(metric.looked_back for metric in told) / covered if covered else UNSET
