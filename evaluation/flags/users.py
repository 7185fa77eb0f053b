"""Users: the evaluation context of a user, as Amplitude's engines expect it."""

from collections.abc import Mapping
from typing import Any

BITS = 64  # of a whole number that JSON's readers keep as it is
OF_GROUPS = ("groups", "group_properties", "group_cohort_ids")


def context_of(user: Mapping[str, Any]) -> dict[str, Any]:
    """`context.user` holds every field of the user but nulls and groups; `context.groups` the user's groups by type.

    Of a group type only the first name counts. A group's properties and cohorts are looked up by its type and name.
    """
    fields = {name: value for name, value in user.items() if value is not None and name not in OF_GROUPS}
    context: dict[str, Any] = {"user": fields}
    groups = {}
    for group_type, names in _object(user.get("groups")).items():
        name = id_of(names[0] if isinstance(names, list | tuple) and names else names)
        if not isinstance(name, str):
            continue
        properties = _object(_object(user.get("group_properties")).get(group_type)).get(name)
        cohorts = _object(_object(user.get("group_cohort_ids")).get(group_type)).get(name)
        group = {"group_name": name, "group_properties": properties, "cohort_ids": cohorts}
        groups[group_type] = {field: value for field, value in group.items() if value is not None}
    return context | {"groups": groups} if groups else context


def id_of(value: Any) -> Any:
    """An id, or the name of a group, as a text: of a whole number its digits. What is none stays as it is."""
    is_whole = isinstance(value, int) and not isinstance(value, bool) and value.bit_length() <= BITS
    return str(value) if is_whole else value


def _object(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}
