"""Paths: where what documents name stands, in an evaluation context (its selector) and in a message (its path).

A property's name goes to the end of what is written; a dot in it is written `\\.`.
"""

from evaluation.flags.values import Selector

Path = tuple[str, ...]  # of one or two names

OF_GROUP = {  # by what a context has of a group: the field of a message
    "group_name": "groups",
    "group_properties": "group_properties",
    "cohort_ids": "group_cohort_ids",
}


def property_selector(name: str) -> Selector:
    """Where a context has a document's property: a field of the user, user_properties.NAME, cohort, groups.TYPE.…"""
    parent, _, rest = name.partition(".")
    if parent == "groups":
        group_type, field, *of_group = rest.split(".", 2)
        field = "cohort_ids" if field == "cohort" else field
        return ("context", "groups", group_type, field, *map(unescaped, of_group))
    if parent == "cohort":
        return ("context", "user", "cohort_ids")
    return ("context", "user", parent, unescaped(rest)) if rest else ("context", "user", parent)


def escaped(name: str) -> str:
    """A property's name as it stands in a path."""
    return name.replace(".", r"\.")


def unescaped(name: str) -> str:
    """A property's name by what stands in a path; a dot that is not escaped is one too."""
    return name.replace(r"\.", ".")


def unit_selector(unit: str) -> Selector:
    """Where a context has its unit: user_id, device_id, groups.TYPE, user_properties.NAME."""
    return property_selector(f"{unit}.group_name" if unit.startswith("groups.") else unit)


def cohort_selector(unit: str) -> Selector:
    """Where a context has the cohorts to which its unit belongs."""
    return property_selector(f"{unit}.cohort" if unit.startswith("groups.") else "cohort")


def message_path(selector: Selector) -> Path:
    """Where a message carries what stands at a selector of a context.

    Of a group it is an object by the names of groups, but for the name itself.
    """
    return (OF_GROUP[selector[3]], selector[2]) if selector[1] == "groups" else selector[2:]


def unit_path(unit: str) -> Path:
    """Where a message carries its unit of a type."""
    return message_path(unit_selector(unit))


def property_path(name: str) -> Path:
    """Where a message carries what a condition or a breakdown compares: country, event_properties.NAME, …"""
    return message_path(property_selector(name))
