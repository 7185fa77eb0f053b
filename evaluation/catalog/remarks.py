"""Remarks: what of a document is allowed, and may not be as its author meant it."""

from collections.abc import Collection, Iterable, Iterator, Mapping

from evaluation.catalog.metric_rules import remarks
from evaluation.catalog.notification_rules import about_remarks
from evaluation.catalog.rules import Violation, goal_remarks
from evaluation.catalog.template_rules import template_remarks
from schemas.catalog import Cohort, Definition, Flag, Metric, Template
from schemas.notification import NotificationRule

Named = Mapping[str, Collection[str]]


def remarks_of(definition: Definition, metrics: Mapping[str, Metric], named: Named) -> Iterator[Violation]:
    """Of a definition, beside the metrics that there are and what documents are called by (see `named_by`)."""
    match definition:
        case Metric():
            for remark in remarks(definition, metrics):
                yield Violation(("window",), remark)
        case Flag():
            yield from goal_remarks(definition)
        case Cohort() if again := len(definition.ids) - len(definition.members):
            told = f"{again} of {len(definition.ids)} ids stood there before; each counts once"
            yield Violation(("ids",), told)
        case Template():
            yield from template_remarks(definition, metrics)
        case NotificationRule():
            yield from about_remarks(definition.about, named)


def named_by(documents: Iterable[Definition]) -> Named:
    """By what documents are called, a rule of notifications says which it is about: `keys`, `owners` and `tags`."""
    every = [each for each in documents if not isinstance(each, NotificationRule)]
    return {
        "keys": {each.key for each in every},
        "owners": {each.owner for each in every if each.owner},
        "tags": {tag for each in every for tag in getattr(each, "tags", ())},
    }
