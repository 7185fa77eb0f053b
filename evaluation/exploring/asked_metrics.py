"""Asked metrics: those of a question, by the catalog, by documents and in words, and their slices by events."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import msgspec

from evaluation.catalog.in_force import Catalog, MetricInForce, RunInForce
from evaluation.catalog.metric_rules import metric_violations
from evaluation.catalog.rules import did_you_mean
from evaluation.exploring.exploration import AskedMetric
from evaluation.exploring.question import ExploreQuestion, QuestionError, metrics_of
from evaluation.metrics.contribution import OTHER
from schemas.catalog import Condition, Metric

OF_EVENTS = "event_properties."  # how conditions begin that choose events


def asked_metrics(question: ExploreQuestion, catalog: Catalog, run: RunInForce) -> list[AskedMetric]:
    """The metrics that were asked for, with the conditions on their events.

    Raises QuestionError for what is no metric.
    """
    standing = {**catalog.metrics, **run.metrics}  # those of the run as it reads them
    definitions = {key: each.definition for key, each in standing.items()}
    found: list[AskedMetric] = []
    asked: list[str | Metric] = [*question.metrics]
    if not asked and not question.any_event and not question.split:
        goals = run.definition.metrics
        asked = [next((goal.metric for goal in goals if goal.role == "primary"), goals[0].metric)] if goals else []
    for each in asked:
        if isinstance(each, Metric):
            found.append(AskedMetric(each.key, _in_force([each], definitions)))
        elif each in standing:
            found.append(AskedMetric(each, standing[each]))
        else:
            raise QuestionError(f"'{each}' is no metric of the catalog; {did_you_mean(each, standing)}")
    words = [each.strip() for each in question.any_event]
    found += [AskedMetric(each, _in_force(metrics_of(each), definitions)) for each in words]
    if not found and not question.split:
        raise QuestionError("no metric was asked for, and the experiment has none; name one")
    for name in (each.name for each in found if each.metric.definition.percentile is not None):
        raise QuestionError(f"'{name}' is a percentile, and those cannot be explored: slices add up what units came to")
    where = tuple(each for each in question.where if each.property.startswith(OF_EVENTS))
    return [each._replace(metric=_of_events(_unadjusted(each.metric), where)) for each in found]


def event_slices(
    asked: Sequence[AskedMetric], name: str, values: Sequence[str], *, has_others: bool
) -> list[AskedMetric]:
    """Each metric by the values of a property of its events, and by all others together, where there are any."""
    sliced = []
    for each in asked:
        if each.of_event:
            continue
        for value in values:
            condition = Condition(property=name, op="is", values=(value,))
            sliced.append(AskedMetric(each.name, _of_events(each.metric, (condition,)), (name, value)))
        others = Condition(property=name, op="is not", values=tuple(values))
        if has_others:
            sliced.append(AskedMetric(each.name, _of_events(each.metric, (others,)), (name, OTHER)))
    return sliced


def _in_force(metrics: Sequence[Metric], definitions: Mapping[str, Metric]) -> MetricInForce:
    """The last of the metrics; the others may be its parts."""
    known = {**definitions, **{each.key: each for each in metrics}}
    for each in metrics:
        if wrong := [*metric_violations(each, known)]:
            raise QuestionError(f"metric '{each.name or each.key}': {'; '.join(map(str, wrong))}")
    asked = metrics[-1]
    parts = tuple(known[key] for key in (asked.numerator, asked.denominator) if key in known)
    return MetricInForce(definition=asked, version=1, append_time=0, parts=parts)


def _unadjusted(metric: MetricInForce) -> MetricInForce:
    return replace(metric, definition=msgspec.structs.replace(metric.definition, cuped=None))


def _of_events(metric: MetricInForce, where: tuple[Condition, ...]) -> MetricInForce:
    """The metric of those events alone."""
    if not where:
        return metric
    return replace(
        metric,
        definition=_filtered(metric.definition, where),
        parts=tuple(_filtered(each, where) for each in metric.parts),
    )


def _filtered(metric: Metric, where: tuple[Condition, ...]) -> Metric:
    steps = tuple(msgspec.structs.replace(each, where=(*each.where, *where)) for each in metric.steps)
    start = metric.start and msgspec.structs.replace(metric.start, where=(*metric.start.where, *where))
    return msgspec.structs.replace(metric, where=(*metric.where, *where), steps=steps, start=start)


def with_keys(found: Sequence[AskedMetric]) -> Iterator[AskedMetric]:
    """Each with a key that no other one has."""
    taken: set[str] = set()
    for each in found:
        key = each.metric.definition.key
        number = 1
        while key in taken:
            number += 1
            key = f"{each.metric.definition.key}~{number}"
        taken.add(key)
        yield each._replace(
            metric=replace(each.metric, definition=msgspec.structs.replace(each.metric.definition, key=key))
        )
