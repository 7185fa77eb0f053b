"""Cohorts: which of them a unit belongs to, by the lists of ids that their documents hold."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

from evaluation.columns.names import Names
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
            for each in cohort.members:
                of_unit.setdefault(each, []).append(key)
        return members

    @cached_property
    def ids(self) -> dict[str, tuple[str, Names]]:
        """By key, the type of the cohort's units and their ids."""
        return {key: (cohort.unit, Names(cohort.members)) for key, cohort in self._cohorts.items()}

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


def with_cohorts(own: Any, found: Sequence[str] | None) -> Any:
    """The cohorts that a context brings, and those that were found."""
    if not found:
        return own
    return [*own, *found] if isinstance(own, list | tuple) else [*found]
