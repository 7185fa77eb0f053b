"""Needs: what a flag wants of other flags and of groups before anybody gets a variant of it, and where nobody can."""

from collections.abc import Iterator, Mapping

from evaluation.catalog.answerable import fault_of
from evaluation.catalog.in_force import FlagInForce, is_listing
from evaluation.catalog.references import OFF, prerequisite_order
from schemas.catalog import Allocation, FlagState, Group, Membership

FlagsByKey = Mapping[str, FlagState | FlagInForce]


def unmet_needs(flags: FlagsByKey, groups: Mapping[str, Group]) -> dict[str, list[str]]:
    """By flag that is in force, what it needs that nobody has, so that everybody but those listed gets `off`."""
    in_force = filter(None, map(allocation_in_force, flags.values()))
    if not any(each.prerequisites or each.groups for each in in_force):
        return {}
    found: dict[str, list[str]] = {}
    given: dict[str, set[str]] = {}
    for key in prerequisite_order({key: flag.definition for key, flag in flags.items()}):
        allocation = allocation_in_force(flags[key])
        if allocation is not None and (unmet := [*_unmet(allocation, flags, groups, given)]):
            found[key] = unmet
        given[key] = _given(flags[key], allocation, is_unmet=key in found)
    return found


def allocation_in_force(flag: FlagState | FlagInForce) -> Allocation | None:
    """Who gets what now: by the open run, or by the roll-out; None: everybody gets `off`."""
    if flag.removed:
        return None
    return flag.runs[-1].allocations[-1] if flag.status == "running" else flag.rolled_out


def _unmet(
    allocation: Allocation, flags: FlagsByKey, groups: Mapping[str, Group], given: Mapping[str, set[str]]
) -> Iterator[str]:
    for parent, variants in allocation.prerequisites.items():
        gives = given.get(parent, {OFF})
        if not gives.intersection(variants):
            what = "'off' to everybody" if gives == {OFF} else f"{' and '.join(sorted(gives))} only"
            status = f" ({flags[parent].removed or flags[parent].status})" if parent in flags else ""
            yield f"it needs {' or '.join(variants)} of '{parent}', which gives {what}{status}"
    for membership in allocation.groups:
        if membership.group in groups and not _has_units(membership, groups[membership.group]):
            named = f"slot {' or '.join(map(str, membership.slots))}" if membership.slots else "no slot"
            yield f"it is in {named} of '{membership.group}', where no unit is"


def _given(flag: FlagState | FlagInForce, allocation: Allocation | None, is_unmet: bool) -> set[str]:
    """What some unit may get."""
    if allocation is None:
        is_draft = flag.status == "draft" and not flag.removed
        return {OFF, *(each.key for each in flag.definition.variants if is_draft and is_listing(each))}
    if fault_of(allocation):
        return {OFF}
    listed = {variant for variant, each in allocation.inclusions.items() if is_listing(each)}
    if is_unmet:
        return {OFF, *listed}
    if allocation.sticky:
        return {OFF, *listed, *allocation.weights}
    parts = [(each.rollout, each.weights or allocation.weights) for each in allocation.segments]
    parts.append((allocation.rollout, allocation.weights))
    split = {variant for rollout, weights in parts if rollout for variant, weight in weights.items() if weight}
    is_for_all = not (allocation.groups or allocation.prerequisites) and all(
        rollout == 100 and sum(map(bool, weights.values())) == 1 for rollout, weights in parts
    )
    return split | listed | (set() if is_for_all else {OFF})


def _has_units(membership: Membership, group: Group) -> bool:
    if group.type == "holdout":
        return True
    slots = [group.slots[slot - 1] for slot in membership.slots if slot <= len(group.slots)]
    return any(each.percentage or is_listing(each) for each in slots)
