"""Filters: what the conditions of a metric's events, or of an exposure's, must satisfy beyond their types."""

from collections.abc import Iterable, Iterator

from evaluation.assignment.conditions import ConditionError, compile_condition
from evaluation.rules import OF_OURS, Path, Violation
from schemas.catalog import Condition


def filter_violations(where: Iterable[Condition], path: Path) -> Iterator[Violation]:
    """What is wrong with the conditions at `path`. An event is known by what it says itself."""
    for index, condition in enumerate(where):
        if OF_OURS.fullmatch(condition.property):
            yield Violation(
                (*path, index, "property"),
                f"an event does not say '{condition.property}'; compare a property of the event or of its user",
            )
        try:
            compile_condition(condition.op, condition.values)
        except ConditionError as error:
            yield Violation((*path, index, "values"), str(error))
