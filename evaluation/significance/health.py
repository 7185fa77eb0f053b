"""Health: can a look be believed? Counts over all partitions, and whether the split is the promised one."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import UNSET, UnsetType

from evaluation.catalog.in_force import Fact, RunInForce, control_of
from evaluation.significance import gates, srm
from schemas.aggregate import Aggregate, ArmPart, MetricHealth, Part
from schemas.logs import Gap
from schemas.look import EVERYONE, ArmHealth, ArmLoss, Health, Look, Loss


def health(run: RunInForce, aggregates: Sequence[Aggregate], previous: Look | None) -> Health:
    """The run's health. An arm's expected share is that of each allocation's weights, by the units it split."""
    units: dict[tuple[int, str], int] = defaultdict(int)
    for aggregate in aggregates:
        for arm in aggregate.arms:
            units[arm.allocation, arm.variant] += arm.units
    p_value, expected = _split(run, units)
    running = previous.health.srm_running_p_value if previous else None

    def total(name: str) -> int:
        return sum(getattr(aggregate, name) for aggregate in aggregates)

    def metrics_total(name: str) -> int:
        return sum(getattr(metric, name) for aggregate in aggregates for metric in aggregate.metrics)

    def people(name: str) -> int | UnsetType:
        told = [each.people for each in aggregates if not isinstance(each.people, UnsetType)]
        return sum(getattr(each, name) for each in told) if told else UNSET

    return Health(
        arms=[
            ArmHealth(
                variant,
                sum(units[index, variant] for index in range(len(run.allocations))),
                share,
            )
            for variant, share in expected.items()
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
        crowded_units=metrics_total("crowded") or UNSET,
        counted_events=metrics_total("events"),
        duplicate_events=metrics_total("duplicates"),
        late_events=metrics_total("late"),
        unusable_events=metrics_total("unusable"),
        withheld_units=metrics_total("withheld"),
        unjoined_events=people("unjoined"),
        waiting_events=people("waiting"),
        moved_events=people("moved"),
        crossed_people=people("crossed"),
        full_lookback=_full_lookback(run, aggregates),
        gaps=_gaps(aggregates) or UNSET,
        losses=_losses(run, aggregates) or UNSET,
    )


def _split(run: RunInForce, units: Mapping[tuple[int, str], int]) -> tuple[float, dict[str, float]]:
    """Whether the units of each allocation and variant are split as promised: a p-value; and each variant's share."""
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
    return float(srm.p_value(evidence)), {variant: units / split for variant, units in expected.items()}


def _losses(run: RunInForce, aggregates: Sequence[Aggregate]) -> list[Loss]:
    """What metrics lose of their events' values, where that can be shown or is too much; in the run's order."""
    found = []
    of_metrics: defaultdict[str, list[MetricHealth]] = defaultdict(list)
    for aggregate in aggregates:
        for each in aggregate.metrics:
            of_metrics[each.metric].append(each)
    for key, metric in run.metrics.items():
        told = of_metrics[key]
        for index, variable in enumerate(metric.variables):
            parts = [part for part in (_part(each, index) for each in told) if part]
            loss = _loss(run, key, variable.facts[0], parts)
            if loss.example is not None or loss.rounded is not None or is_too_much(loss):
                found.append(loss)
    return found


def _part(told: MetricHealth, index: int) -> Part | None:
    """A metric's part, as one partition tells it; earlier versions told the whole metric without its arms."""
    parts = told.parts or [Part([ArmPart(0, "", told.events, told.unusable)], told.example, told.rounded)]
    return parts[index] if index < len(parts) else None


def _loss(run: RunInForce, key: str, fact: Fact, parts: Sequence[Part]) -> Loss:
    """What all partitions together lose of a metric's part."""
    events: Counter[tuple[int, str]] = Counter()
    unusable: Counter[tuple[int, str]] = Counter()
    for arm in (arm for part in parts for arm in part.arms):
        events[arm.allocation, arm.variant] += arm.events
        unusable[arm.allocation, arm.variant] += arm.unusable
    variants = [variant.key for variant in run.definition.variants]
    control = control_of(run.definition)
    variants.sort(key=lambda variant: variant != control)
    arms = []
    for variant in variants:
        its = [arm for arm in events if arm[1] == variant]
        lost = sum(unusable[arm] for arm in its)
        arms.append(ArmLoss(variant, sum(events[arm] for arm in its) + lost, lost))
    is_told_by_arm = bool(events) and all(variant for _, variant in events)
    # Units are independent of each other; events are not, of which one unit may lose many. By allocation: where weights
    # change, so may what is lost, for all arms alike.
    is_uneven = (
        is_told_by_arm
        and parts[0].of == "units"
        and any(
            gates.lose_unevenly([events[index, each] for each in weights], [unusable[index, each] for each in weights])
            for index, weights in enumerate(allocation.weights for allocation in run.allocations)
        )
    )
    return Loss(
        metric=key,
        events=events.total() + unusable.total(),
        unusable=unusable.total(),
        scale=max(0, fact.scale),
        example=min((part.example for part in parts if part.example is not None), default=None),
        rounded=min((part.rounded for part in parts if part.rounded is not None), default=None),
        property=fact.property if is_told_by_arm and fact.property else UNSET,
        arms=arms if is_told_by_arm else UNSET,
        of=parts[0].of if parts else "events",
        is_uneven=is_uneven,
    )


def is_too_much(loss: Loss) -> bool:
    """Whether so much is lost, of all events or of an arm's, or so unevenly, that the metric says nothing."""
    whole = [(loss.events, loss.unusable), *((arm.events, arm.unusable) for arm in loss.arms or ())]
    return loss.is_uneven or any(gates.loses_too_much(events - unusable, unusable) for events, unusable in whole)


def worst(losses: Iterable[Loss]) -> dict[str, Loss]:
    """Of each metric that says nothing what shows it best."""
    found: dict[str, Loss] = {}
    for loss in filter(is_too_much, losses):
        if loss.metric not in found or loss.share > found[loss.metric].share:
            found[loss.metric] = loss
    return found


def no_number(loss: Loss) -> str:
    """What is wrong with those that are unusable."""
    if loss.of == "units":
        return "have no value"
    return f"hold no number that can be used{f' as {loss.property}' if loss.property else ''}"


def told_losses(health: Health) -> Iterator[str]:
    """What metrics lose of their events' values, a sentence each."""
    for loss in [] if isinstance(health.losses, UnsetType) else health.losses:
        if loss.unusable:
            example = "" if loss.example is None else f" (such as {loss.example or 'one without the property'})"
            by_arm = ", ".join(f"{arm.variant} {arm.unusable:,} of {arm.events:,}" for arm in loss.arms or ())
            yield (
                f"{loss.metric}: {loss.unusable:,} of {loss.events:,} {loss.of} {no_number(loss)}{example} "
                f"and don't count{by_arm and f': {by_arm}'}"
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
