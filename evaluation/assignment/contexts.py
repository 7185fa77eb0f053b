"""Contexts: what messages say at the selectors of flags, and what flags yield for them."""

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from evaluation.assignment.columns import MessageColumns
from evaluation.assignment.messages import properties
from evaluation.assignment.properties import PropertyColumn
from evaluation.assignment.slices import NO_OUTCOME, Answers, evaluate_columns
from evaluation.catalog.references import OFF
from evaluation.columns.scanning import Wanted
from evaluation.columns.texts import Texts
from evaluation.flags.cohorts import Cohorts, with_cohorts
from evaluation.flags.compiled import Answer
from evaluation.flags.engine import Flags
from evaluation.flags.paths import Path, cohort_selector, message_path, unit_path
from evaluation.flags.values import Selector, select


def context_columns(
    columns: MessageColumns, wanted: Wanted, rows: NDArray[np.int64], selectors: Iterable[Selector], cohorts: Cohorts
) -> dict[Selector, PropertyColumn]:
    """What these messages say at each selector, and the cohorts of their users, devices and groups."""

    def units(unit_type: str) -> Texts | None:
        path = unit_path(unit_type)
        return columns.texts[path].take(rows) if path in wanted.fields else None

    def said(path: Path | None) -> PropertyColumn | None:
        return properties(columns, wanted, [path], rows)[path] if path in wanted.fields else None

    found: dict[Selector, PropertyColumn] = {}
    for selector in selectors:
        column = said(message_path(selector))
        if column is not None and selector[1] == "groups" and selector[3] != "group_name":
            column = _of_group(column, said(unit_path(f"groups.{selector[2]}")), selector[4:])
        if selector[-1] == "cohort_ids":
            of_catalog = _of_cohorts(cohorts, selector, units, len(rows))
            column = of_catalog if column is None else column.joined(of_catalog, with_cohorts)
        if column is not None:
            found[selector] = column
    return found


def _of_cohorts(
    cohorts: Cohorts, selector: Selector, texts_of: Callable[[str], Texts | None], n: int
) -> PropertyColumn:
    """The cohorts that stand at the selector of n contexts; `texts_of` gives their ids by unit type."""
    codes, values = np.zeros(n, np.int64), [()]
    for key, (unit, names) in cohorts.ids.items():
        ids = texts_of(unit) if cohort_selector(unit) == selector else None
        if ids is not None:
            codes = 2 * codes + (names.codes(ids) >= 0)
            kept, codes = np.unique(codes, return_inverse=True)  # so that they stay few
            values = [(*values[code // 2], key) if code % 2 else values[code // 2] for code in kept.tolist()]
    return PropertyColumn.of_codes(codes, [value or None for value in values])


def _of_group(column: PropertyColumn, names: PropertyColumn | None, rest: Selector) -> PropertyColumn | None:
    """What stands there of the group that is named, in objects by the names of groups."""
    if names is None:
        return None
    return column.joined(names, lambda objects, name: None if name is None else select(objects, (name, *rest)))


def answers_of(  # noqa: PLR0917
    flags: Flags, key: str, columns: MessageColumns, wanted: Wanted, rows: NDArray[np.int64], cohorts: Cohorts
) -> Answers:
    """What the flag yields for these messages. The last outcome, of code -1, stands for nothing: it is `off`."""
    found = context_columns(columns, wanted, rows, flags.selectors, cohorts)
    given = evaluate_columns(flags, found, len(rows), [key]).get(key, Answers(np.full(len(rows), NO_OUTCOME), ()))
    return Answers(given.codes, (*given.outcomes, Answer(OFF, None, None, {}, "inactive")))
