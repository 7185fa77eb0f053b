"""Rules of templates: what one must satisfy beyond the types of its fields."""

from collections.abc import Iterator, Mapping

from evaluation.catalog.rules import Violation, did_you_mean
from schemas.catalog import Metric, Template


def template_violations(template: Template) -> Iterator[Violation]:
    """What is wrong with a template."""
    values = template.values
    if values.key is not None:
        yield Violation(("values", "key"), f"'{values.key}' would be the key of all that begin with it; remove it")
    if template.of == "flag" and values.metrics:
        yield Violation(("values", "metrics"), "are for an experiment; write `of: experiment`, or remove them")


def template_remarks(template: Template, metrics: Mapping[str, Metric]) -> Iterator[Violation]:
    """Metrics that a template names and that there are none of: no faults, for another is chosen then."""
    for index, goal in enumerate(template.values.metrics or ()):
        if goal.metric is not None and goal.metric not in metrics:
            text = f"'{goal.metric}' is no metric, so whoever begins with it has to choose another; "
            yield Violation(("values", "metrics", index, "metric"), text + did_you_mean(goal.metric, metrics))
