"""Group shapes: mutual exclusions and holdouts as Amplitude has them, from our documents and to them."""

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from evaluation.catalog.history import DocumentVersion
from evaluation.catalog.in_force import InForce
from pipeline.catalog.types import definition_of
from pipeline.http.management.words import (
    Edit,
    Mode,
    RequestShape,
    ResponseShape,
    bucketing,
    iso,
    unit_of,
    whole,
    written,
)
from schemas.catalog import Exempt, Flag, Group


class SlotShape(RequestShape, frozen=True, kw_only=True):
    """A share of the units, the experiments of which they meet no other's, and the units that always belong to it.

    Amplitude puts a holdout into a slot too. Here its experiments are put there: an experiment may belong to both.
    """

    percentage: int | float
    experiments: list[str] = msgspec.field(default_factory=list)
    holdouts: list[str] = msgspec.field(default_factory=list)  # none
    individuals: list[str] = msgspec.field(default_factory=list)


class GroupShape(ResponseShape, frozen=True, kw_only=True):
    """What mutual exclusions and holdouts have in common."""

    id: str
    project_id: str
    key: str
    name: str
    description: str
    evaluation_mode: Mode
    bucketing_key: str
    bucketing_unit: str
    bucketing_salt: str
    tags: list[str]
    version: int
    owner: str
    created_by: str
    created_at: str
    last_modified_by: str
    last_modified_at: str


class MutexShape(GroupShape, frozen=True, kw_only=True):
    """A mutual exclusion as it stands."""

    slots: list[SlotShape]


class HoldoutShape(GroupShape, frozen=True, kw_only=True):
    """A holdout as it stands."""

    holdout_percentage: int | float
    individual_inclusion: list[str]
    individual_exclusion: list[str]
    experiments: list[str]


class GroupFields(Edit, frozen=True, kw_only=True):
    """What may be said of a group."""

    name: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    tags: list[str] | UnsetType = UNSET
    owner: str | UnsetType = UNSET


class NewGroup(GroupFields, frozen=True, kw_only=True):
    """What may be said of a group when it is made."""

    key: str
    project_id: str | None = None
    evaluation_mode: Mode | UnsetType = UNSET
    bucketing_key: str | UnsetType = UNSET
    bucketing_unit: str | UnsetType = UNSET


class NewMutex(NewGroup, frozen=True, kw_only=True):
    """A mutual exclusion. What its slots leave of 100 % meets none of its experiments."""

    slots: list[SlotShape]


class NewHoldout(NewGroup, frozen=True, kw_only=True):
    """A holdout."""

    holdout_percentage: int | float
    individual_inclusion: list[str] = msgspec.field(default_factory=list)
    individual_exclusion: list[str] = msgspec.field(default_factory=list)
    experiments: list[str] = msgspec.field(default_factory=list)


class MutexEdit(GroupFields, frozen=True, kw_only=True):
    """A change of what a mutual exclusion is called; its slots are edited one by one."""


class SlotEdit(Edit, frozen=True, kw_only=True):
    """Which experiments and units belong to a slot."""

    experiments: list[str] | UnsetType = UNSET
    individuals: list[str] | UnsetType = UNSET


class HoldoutEdit(GroupFields, frozen=True, kw_only=True):
    """A change of a holdout; its percentage stays."""

    individual_inclusion: list[str] | UnsetType = UNSET
    individual_exclusion: list[str] | UnsetType = UNSET
    experiments: list[str] | UnsetType = UNSET


def mutex_shape(
    group: InForce[Group], members: Iterable[Flag], first: DocumentVersion, newest: DocumentVersion, project: str
) -> MutexShape:
    """What stands in the catalog."""
    of_slots = [
        [
            flag.key
            for flag in members
            if any(each.group == group.definition.key and number in each.slots for each in flag.groups)
        ]
        for number in range(1, len(group.definition.slots) + 1)
    ]
    slots = [
        SlotShape(percentage=slot.percentage, experiments=experiments, individuals=[*slot.users])
        for slot, experiments in zip(group.definition.slots, of_slots, strict=True)
    ]
    return MutexShape(slots=slots, **_group_fields(group, first, newest, project))


def holdout_shape(
    group: InForce[Group], members: Iterable[Flag], first: DocumentVersion, newest: DocumentVersion, project: str
) -> HoldoutShape:
    """What stands in the catalog."""
    (slot,) = group.definition.slots
    key = group.definition.key
    return HoldoutShape(
        holdout_percentage=slot.percentage,
        individual_inclusion=[*slot.users],
        individual_exclusion=[*(group.definition.exempt or Exempt()).users],
        experiments=[flag.key for flag in members if any(each.group == key for each in flag.groups)],
        **_group_fields(group, first, newest, project),
    )


def _group_fields(
    group: InForce[Group], first: DocumentVersion, newest: DocumentVersion, project: str
) -> dict[str, Any]:
    definition = group.definition
    bucketing_key, bucketing_unit = bucketing(definition.unit)
    return {
        "id": definition.key,
        "project_id": project,
        "key": definition.key,
        "name": definition.name or definition.key,
        "description": definition.description or "",
        "evaluation_mode": "local",
        "bucketing_key": bucketing_key,
        "bucketing_unit": bucketing_unit,
        "bucketing_salt": definition.key,
        "tags": [*definition.tags],
        "version": group.version,
        "owner": definition.owner,
        "created_by": first.document.author,
        "created_at": iso(first.append_time),
        "last_modified_by": newest.document.author,
        "last_modified_at": iso(newest.append_time),
    }


def new_group(said: NewMutex | NewHoldout, author: str) -> Group:
    """The group that is said. Raises PeekproofError with everything that is wrong with it."""
    if isinstance(said, NewMutex):
        slots = [{"percentage": whole(each.percentage), "users": each.individuals} for each in said.slots]
        exempt = None
    else:
        slots = [{"percentage": whole(said.holdout_percentage), "users": said.individual_inclusion}]
        exempt = {"users": said.individual_exclusion}
    value = {
        "key": said.key,
        "owner": author,
        "type": "mutual-exclusion" if isinstance(said, NewMutex) else "holdout",
        "unit": unit_of(said.bucketing_key or None, said.bucketing_unit or None),
        "slots": slots,
        "exempt": exempt,
    }
    return definition_of(value | _said_of_group(said), Group)


def edited_group(standing: Group, said: GroupFields) -> Group:
    """The group with what is said in the place of what was. Raises PeekproofError with what is wrong with it."""
    return definition_of(written(standing) | _said_of_group(said), Group)


def _said_of_group(said: GroupFields) -> dict[str, Any]:
    plain = {"name": said.name, "description": said.description, "tags": said.tags, "owner": said.owner}
    return {name: field for name, field in plain.items() if field is not UNSET}
