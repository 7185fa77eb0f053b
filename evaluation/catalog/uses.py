"""Uses: which documents name which."""

from collections.abc import Iterable, Iterator
from typing import Any

from evaluation.catalog.in_force import Catalog
from evaluation.catalog.references import is_of_cohorts
from schemas.brief import Brief
from schemas.catalog import WRITTEN, Definition, Flag, Group, Metric, Segment, Template, WrittenKind
from schemas.notification import NotificationRule

Use = tuple[WrittenKind, str]  # a kind and a key


def used_by(catalog: Catalog, kind: WrittenKind, key: str) -> list[tuple[WrittenKind, Definition]]:
    """The documents that name a document, by kind and key. Flags that were deleted, or archived, are none of them."""
    found = [
        (of, standing.definition)
        for of in WRITTEN
        for standing in catalog.of(of).values()
        if not getattr(standing, "removed", None) and (kind, key) in set(uses(standing.definition))
    ]
    return sorted(found, key=lambda each: (each[0], each[1].key))


def uses(definition: Definition) -> Iterator[Use]:
    """What a document names."""
    match definition:
        case Flag():
            yield from (("metric", goal.metric) for goal in definition.metrics)
            yield from (("group", each.group) for each in definition.groups)
            yield from (("deployment", each) for each in definition.deployments)
            yield from (("flag", each) for each in definition.prerequisites)
            yield from (("cohort", each) for each in cohorts_in(definition.segments))
            yield from (("cohort", each) for variant in definition.variants for each in variant.cohorts)
        case Metric():
            yield from (("metric", each) for each in (definition.numerator, definition.denominator) if each)
        case Group():
            yield from (("cohort", each) for slot in definition.slots for each in slot.cohorts)
            yield from (("cohort", each) for each in (definition.exempt.cohorts if definition.exempt else ()))
        case Template():
            yield from _of_part(definition.values)
        case NotificationRule():
            yield from (("flag", each) for each in definition.about.keys)
        case Brief():
            yield "flag", definition.key


def _of_part(values: Any) -> Iterator[Use]:
    """What a part of a flag names: whatever of it is there."""
    yield from (("metric", goal.metric) for goal in values.metrics or () if goal.metric)
    yield from (("group", each.group) for each in values.groups or () if each.group)
    yield from (("deployment", each) for each in values.deployments or ())
    yield from (("flag", each) for each in values.prerequisites or {})
    yield from (("cohort", each) for variant in values.variants or () for each in variant.cohorts or ())
    for segment in values.segments or ():
        for condition in segment.conditions or ():
            if is_of_cohorts(condition.property or ""):
                yield from (("cohort", each) for each in condition.values or ())


def cohorts_in(segments: Iterable[Segment]) -> Iterator[str]:
    """The keys of the cohorts that the segments' conditions name."""
    for segment in segments:
        for condition in segment.conditions:
            if is_of_cohorts(condition.property):
                yield from condition.values
