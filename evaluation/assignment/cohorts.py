"""Cohorts: which of them a unit belongs to, by the lists of ids that their documents hold."""

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from evaluation.assignment.paths import cohort_selector
from evaluation.assignment.properties import Column
from evaluation.assignment.values import Selector
from evaluation.names import Names
from evaluation.texts import Texts
from schemas.catalog import Cohort


class Cohorts:
    """Cohorts by key. Those of users and devices are told apart by what their ids are, not where they are found."""

    def __init__(self, cohorts: Iterable[Cohort] = ()) -> None:
        self._cohorts = {cohort.key: cohort for cohort in cohorts}

    @cached_property
    def _members(self) -> dict[str, dict[str, list[str]]]:
        """By unit type and id, the cohorts that list it."""
        members: dict[str, dict[str, list[str]]] = {}
        for key, cohort in self._cohorts.items():
            of_unit = members.setdefault(cohort.unit, {})
            for each in cohort.ids:
                of_unit.setdefault(each, []).append(key)
        return members

    @cached_property
    def _names(self) -> dict[str, Names]:
        return {key: Names(tuple(dict.fromkeys(cohort.ids))) for key, cohort in self._cohorts.items()}

    def join(self, context: dict[str, Any]) -> None:
        """Add to a context the cohorts to which its user, device and groups belong."""
        if not self._cohorts:
            return
        user = context["user"]
        found = [*self._of("user_id", user.get("user_id")), *self._of("device_id", user.get("device_id"))]
        if found:
            user["cohort_ids"] = with_cohorts(user.get("cohort_ids"), found)
        for group_type, group in context.get("groups", {}).items():
            if found := self._of(f"groups.{group_type}", group["group_name"]):
                group["cohort_ids"] = with_cohorts(group.get("cohort_ids"), found)

    def _of(self, unit: str, name: Any) -> list[str]:
        return self._members.get(unit, {}).get(name, []) if isinstance(name, str) else []

    def column(self, selector: Selector, texts_of: Callable[[str], Texts | None], n: int) -> Column:
        """The cohorts that stand at the selector of n contexts; `texts_of` gives their ids by unit type."""
        codes, values = np.zeros(n, np.int64), [()]
        for key, cohort in self._cohorts.items():
            ids = texts_of(cohort.unit) if cohort_selector(cohort.unit) == selector else None
            if ids is not None:
                codes = 2 * codes + (self._names[key].codes(ids) >= 0)
                kept, codes = np.unique(codes, return_inverse=True)  # so that they stay few
                values = [(*values[code // 2], key) if code % 2 else values[code // 2] for code in kept.tolist()]
        return Column.of_codes(codes, [value or None for value in values])


def with_cohorts(own: Any, found: Sequence[str] | None) -> Any:
    """The cohorts that a context brings, and those that were found."""
    if not found:
        return own
    return [*own, *found] if isinstance(own, list | tuple) else [*found]
