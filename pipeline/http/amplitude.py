"""Amplitude: the shapes of its management API, from our documents and to them.

Names and meanings are Amplitude's; `owner`, `hypothesis`, `metrics`, `control`, `analysis` and `breakdowns`, for which
it has no fields, are ours as in the documents. An id is a key. There is one project, and every flag is evaluated both
locally and remotely. A salt is drawn at each start and cannot be chosen.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from evaluation.catalog import FlagInForce, InForce, Version, winner_of
from pipeline.documents import definition_of
from pipeline.errors import PeekproofError
from schemas.catalog import (
    Analysis,
    Breakdown,
    Condition,
    Flag,
    Goal,
    Group,
    GroupSlot,
    Hypothesis,
    Operator,
    Segment,
    Step,
    Variant,
)

MOST_AT_ONCE = 1_000  # of one page of a list

Mode = Literal["local", "remote"]


class _Answer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A part of an answer."""


class _Said(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A part of a request. What is not said stays as it is."""


class VariantShape(_Said, frozen=True, kw_only=True):
    """A variant without its weight."""

    key: str
    name: str | None = None
    description: str | None = None
    payload: Any = None


class ConditionShape(_Said, frozen=True, kw_only=True):
    """A property compared with values; `gp:NAME` is a property of the user's own."""

    prop: str
    op: Operator
    type: Literal["property"] = "property"
    values: list[str]


class SegmentShape(_Said, frozen=True, kw_only=True):
    """A part of the audience."""

    name: str
    conditions: list[ConditionShape] = []
    percentage: int = 100
    bucketing_key: str | None = None  # the flag's, or none
    rollout_weights: dict[str, int] = {}


class DependenciesShape(_Said, frozen=True, kw_only=True):
    """By flag, the variants of which a unit must have one; of all flags."""

    flags: dict[str, list[str]]
    operator: Literal["all"] = "all"


class FilterShape(_Said, frozen=True, kw_only=True, rename=None):
    """What an event's property must be."""

    subprop_key: str
    subprop_op: Operator
    subprop_type: Literal["event", "user"] = "event"
    subprop_value: list[str]
    group_type: str = "User"


class ExposureEventShape(_Said, frozen=True, kw_only=True, rename=None):
    """An event that stands in for exposures."""

    event_type: str
    filters: list[FilterShape] = []


class FlagShape(_Answer, frozen=True, kw_only=True):
    """A flag or an experiment as it stands. `state` and `decision` say together where it is in its life."""

    id: str
    project_id: str
    key: str
    name: str
    description: str
    enabled: bool
    archived: bool
    evaluation_mode: Mode
    bucketing_key: str
    bucketing_unit: str
    bucketing_salt: str | None
    variants: list[VariantShape]
    rolled_out_variant: str | None
    rollout_percentage: int
    rollout_weights: dict[str, int]
    target_segments: list[SegmentShape]
    parent_dependencies: DependenciesShape | None
    sticky_bucketing: bool
    exposure_event: ExposureEventShape | None
    state: Literal["planning", "running", "completed", "decision-made"]
    decision: Literal["rollout", "rollback"] | None
    decision_reason: str | None
    start_date: str | None
    end_date: str | None
    experiment_type: Literal["a-b-test"] | None
    tags: list[str]
    deployments: list[str]
    version: int
    created_by: str
    created_at: str
    last_modified_by: str
    last_modified_at: str
    owner: str
    hypothesis: Hypothesis | None
    metrics: list[Goal]
    control: str
    analysis: Analysis
    breakdowns: list[Breakdown]


class FlagFields(_Said, frozen=True, kw_only=True):
    """What may be said of a flag's definition."""

    name: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    evaluation_mode: Mode | UnsetType = UNSET
    bucketing_key: str | UnsetType = UNSET
    bucketing_unit: str | UnsetType = UNSET
    variants: list[VariantShape] | UnsetType = UNSET
    rollout_percentage: int | UnsetType = UNSET
    rollout_weights: dict[str, int] | UnsetType = UNSET
    target_segments: list[SegmentShape] | UnsetType = UNSET
    parent_dependencies: DependenciesShape | UnsetType | None = UNSET
    sticky_bucketing: bool | UnsetType = UNSET
    exposure_event: ExposureEventShape | UnsetType | None = UNSET
    start_date: str | UnsetType | None = UNSET
    end_date: str | UnsetType | None = UNSET
    tags: list[str] | UnsetType = UNSET
    deployments: list[str] | UnsetType = UNSET
    owner: str | UnsetType = UNSET
    hypothesis: Hypothesis | UnsetType | None = UNSET
    metrics: list[Goal] | UnsetType = UNSET
    control: str | UnsetType = UNSET
    analysis: Analysis | UnsetType = UNSET
    breakdowns: list[Breakdown] | UnsetType = UNSET
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=1024)] | None = None  # for the history
    yes: bool = False  # despite risks


class NewFlag(FlagFields, frozen=True, kw_only=True):
    """A draft."""

    key: str
    project_id: str | None = None
    experiment_type: Literal["a-b-test"] | None = None


class FlagEdit(FlagFields, frozen=True, kw_only=True):
    """A change of the definition or, alone, a step: `enabled` starts or rolls back, `archive` puts away or restores."""

    enabled: bool | UnsetType = UNSET
    archive: bool | UnsetType = UNSET
    decision: Literal["rollout", "rollback"] | UnsetType = UNSET
    decision_reason: str | None = None
    rolled_out_variant: str | None = None


def flag_shape(flag: FlagInForce, first: Version, newest: Version, project: str) -> FlagShape:
    """What stands in the catalog; `first` and `newest` are its versions."""
    definition = flag.definition
    states: dict[str, Any] = {"draft": "planning", "running": "running", "complete": "completed"}
    decisions: dict[str, Any] = {"rolled out": "rollout", "rolled back": "rollback"}
    bucketing_key, bucketing_unit = _bucketing(definition.unit)
    prerequisites = {key: [*variants] for key, variants in definition.prerequisites.items()}
    return FlagShape(
        id=definition.key,
        project_id=project,
        key=definition.key,
        name=definition.name or definition.key,
        description=definition.description or "",
        enabled=flag.allocation is not None,
        archived=flag.removed is not None,
        evaluation_mode="local",
        bucketing_key=bucketing_key,
        bucketing_unit=bucketing_unit,
        bucketing_salt=flag.runs[-1].salt if flag.runs else None,
        variants=[variant_shape(variant) for variant in definition.variants],
        rolled_out_variant=winner_of(flag.rolled_out) if flag.rolled_out else None,
        rollout_percentage=definition.rollout,
        rollout_weights={variant.key: variant.weight for variant in definition.variants},
        target_segments=[_segment_shape(segment) for segment in definition.segments],
        parent_dependencies=DependenciesShape(flags=prerequisites) if prerequisites else None,
        sticky_bucketing=definition.sticky,
        exposure_event=_exposure_event_shape(definition.exposure_event),
        state=states.get(flag.status, "decision-made"),
        decision=decisions.get(flag.status),
        decision_reason=newest.document.reason if flag.status in decisions else None,
        start_date=definition.start,
        end_date=definition.end,
        experiment_type="a-b-test" if definition.metrics else None,
        tags=[*definition.tags],
        deployments=[*definition.deployments],
        version=flag.version,
        created_by=first.document.author,
        created_at=iso(first.append_time),
        last_modified_by=newest.document.author,
        last_modified_at=iso(newest.append_time),
        owner=definition.owner,
        hypothesis=definition.hypothesis,
        metrics=[*definition.metrics],
        control=flag.control,
        analysis=definition.analysis,
        breakdowns=[*definition.breakdowns],
    )


def variant_shape(variant: Variant) -> VariantShape:
    """A variant without its weight and its inclusions."""
    return VariantShape(key=variant.key, name=variant.name, description=variant.description, payload=variant.payload)


def new_flag(said: NewFlag, author: str, is_experiment: bool) -> Flag:
    """The definition that is said. Raises PeekproofError with everything that is wrong with it."""
    keys = ("control", "treatment") if is_experiment else ("on",)
    value: dict[str, Any] = {"key": said.key, "owner": author, "variants": [{"key": key} for key in keys]}
    value |= _flag_fields(said, {each: {"key": each} for each in keys}, "user_id")
    return definition_of(_without_nulls(value), Flag)


def edited_flag(standing: Flag, said: FlagFields) -> Flag:
    """The definition with what is said in the place of what was. Raises PeekproofError with what is wrong with it."""
    value = written(standing)
    variants = {each["key"]: each for each in value["variants"]}
    return definition_of(_without_nulls(value | _flag_fields(said, variants, standing.unit)), Flag)


def _flag_fields(said: FlagFields, variants: Mapping[str, dict[str, Any]], unit: str) -> dict[str, Any]:
    """The fields of a document that something is said of."""
    plain = {
        "name": said.name,
        "description": said.description,
        "rollout": said.rollout_percentage,
        "sticky": said.sticky_bucketing,
        "start": said.start_date,
        "end": said.end_date,
        "tags": said.tags,
        "deployments": said.deployments,
        "owner": said.owner,
        "hypothesis": said.hypothesis,
        "metrics": said.metrics,
        "control": said.control,
        "analysis": said.analysis,
        "breakdowns": said.breakdowns,
    }
    fields = {name: written(field) for name, field in plain.items() if field is not UNSET}
    if said.bucketing_key is not UNSET or said.bucketing_unit is not UNSET:
        fields["unit"] = unit = unit_of(said.bucketing_key or None, said.bucketing_unit or None)
    if said.variants is not UNSET:  # a variant that stays keeps its weight and its inclusions
        variants = {each.key: variants.get(each.key, {}) | written(each) for each in said.variants}
    if said.rollout_weights is not UNSET:
        for key in said.rollout_weights.keys() - variants.keys():
            raise PeekproofError(f"rolloutWeights.{key}: '{key}' is no variant; the variants are {', '.join(variants)}")
        variants = {key: each | {"weight": said.rollout_weights.get(key, 0)} for key, each in variants.items()}
    if said.variants is not UNSET or said.rollout_weights is not UNSET:
        fields["variants"] = [_without_nulls(each) for each in variants.values()]
    if said.target_segments is not UNSET:
        fields["segments"] = [_segment(segment, unit) for segment in said.target_segments]
    if said.parent_dependencies is not UNSET:
        fields["prerequisites"] = said.parent_dependencies.flags if said.parent_dependencies else {}
    if said.exposure_event is not UNSET:
        fields["exposure_event"] = _exposure_event(said.exposure_event) if said.exposure_event else None
    return fields


def _without_nulls(value: dict[str, Any]) -> dict[str, Any]:
    return {name: field for name, field in value.items() if field is not None}


def unit_of(bucketing_key: str | None, bucketing_unit: str | None) -> str:
    """Our name of what is randomised; Amplitude's own id of a person, which nobody else has, is its user_id."""
    if bucketing_unit not in (None, "User"):
        return f"groups.{bucketing_unit}"
    if bucketing_key in (None, "amplitude_id"):
        return "user_id"
    return property_of(bucketing_key)


def _bucketing(unit: str) -> tuple[str, str]:
    """Amplitude's names of what is randomised: the key and the unit."""
    if unit.startswith("groups."):
        return "group_name", unit.removeprefix("groups.")
    return property_shape(unit), "User"


def property_of(prop: str) -> str:
    """Our path of a property by Amplitude's name."""
    return f"user_properties.{prop.removeprefix('gp:')}" if prop.startswith("gp:") else prop


def property_shape(path: str) -> str:
    """Amplitude's name of a property by our path; ours where it has none."""
    return f"gp:{path.removeprefix('user_properties.')}" if path.startswith("user_properties.") else path


def _segment(said: SegmentShape, unit: str) -> dict[str, Any]:
    if said.bucketing_key is not None and unit_of(said.bucketing_key, None) != unit:
        raise PeekproofError(
            f"targetSegments: '{said.name}' buckets by '{said.bucketing_key}', and the flag by '{unit}'; all segments "
            "bucket by the flag's unit: leave it out"
        )
    conditions = [
        {"property": property_of(each.prop), "op": each.op, "values": each.values} for each in said.conditions
    ]
    segment = {"name": said.name, "conditions": conditions, "rollout": said.percentage}
    return segment | {"weights": said.rollout_weights}


def _segment_shape(segment: Segment) -> SegmentShape:
    return SegmentShape(
        name=segment.name,
        conditions=[
            ConditionShape(prop=property_shape(each.property), op=each.op, values=[*each.values])
            for each in segment.conditions
        ],
        percentage=segment.rollout,
        rollout_weights=segment.weights,
    )


def _exposure_event(said: ExposureEventShape) -> dict[str, Any]:
    def path(each: FilterShape) -> str:
        return f"event_properties.{each.subprop_key}" if each.subprop_type == "event" else property_of(each.subprop_key)

    where = [{"property": path(each), "op": each.subprop_op, "values": each.subprop_value} for each in said.filters]
    return {"event": said.event_type, "where": where}


def _exposure_event_shape(step: Step | None) -> ExposureEventShape | None:
    def shape(each: Condition) -> FilterShape:
        kind, _, name = each.property.partition(".")
        is_of_event = kind == "event_properties"
        return FilterShape(
            subprop_key=name if is_of_event else property_shape(each.property),
            subprop_op=each.op,
            subprop_type="event" if is_of_event else "user",
            subprop_value=[*each.values],
        )

    return ExposureEventShape(event_type=step.event, filters=[*map(shape, step.where)]) if step else None


class SlotShape(_Said, frozen=True, kw_only=True):
    """A share of the units, the experiments of which they meet no other's, and the units that always belong to it."""

    percentage: int
    experiments: list[str] = []
    individuals: list[str] = []


class MutexShape(_Answer, frozen=True, kw_only=True):
    """A mutual exclusion as it stands."""

    id: str
    project_id: str
    key: str
    name: str
    description: str
    evaluation_mode: Mode
    bucketing_key: str
    bucketing_unit: str
    bucketing_salt: str
    slots: list[SlotShape]
    tags: list[str]
    version: int
    owner: str
    created_by: str
    created_at: str
    last_modified_by: str
    last_modified_at: str


class HoldoutShape(_Answer, frozen=True, kw_only=True):
    """A holdout as it stands."""

    id: str
    project_id: str
    key: str
    name: str
    description: str
    evaluation_mode: Mode
    bucketing_key: str
    bucketing_unit: str
    bucketing_salt: str
    holdout_percentage: int
    individual_inclusion: list[str]
    experiments: list[str]
    tags: list[str]
    version: int
    owner: str
    created_by: str
    created_at: str
    last_modified_by: str
    last_modified_at: str


class GroupFields(_Said, frozen=True, kw_only=True):
    """What may be said of a group."""

    name: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    tags: list[str] | UnsetType = UNSET
    owner: str | UnsetType = UNSET
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=1024)] | None = None
    yes: bool = False


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

    holdout_percentage: int
    individual_inclusion: list[str] = []
    experiments: list[str] = []


class MutexEdit(GroupFields, frozen=True, kw_only=True):
    """A change of what a mutual exclusion is called; its slots are edited one by one."""


class SlotEdit(_Said, frozen=True, kw_only=True):
    """Which experiments and units belong to a slot."""

    experiments: list[str] | UnsetType = UNSET
    individuals: list[str] | UnsetType = UNSET
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=1024)] | None = None
    yes: bool = False


class HoldoutEdit(GroupFields, frozen=True, kw_only=True):
    """A change of a holdout; its percentage stays."""

    individual_inclusion: list[str] | UnsetType = UNSET
    experiments: list[str] | UnsetType = UNSET


def mutex_shape(
    group: InForce[Group], members: Iterable[Flag], first: Version, newest: Version, project: str
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
    group: InForce[Group], members: Iterable[Flag], first: Version, newest: Version, project: str
) -> HoldoutShape:
    """What stands in the catalog."""
    (slot,) = group.definition.slots
    key = group.definition.key
    return HoldoutShape(
        holdout_percentage=slot.percentage,
        individual_inclusion=[*slot.users],
        experiments=[flag.key for flag in members if any(each.group == key for each in flag.groups)],
        **_group_fields(group, first, newest, project),
    )


def _group_fields(group: InForce[Group], first: Version, newest: Version, project: str) -> dict[str, Any]:
    definition = group.definition
    bucketing_key, bucketing_unit = _bucketing(definition.unit)
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
        slots = [{"percentage": each.percentage, "users": each.individuals} for each in said.slots]
    else:
        slots = [{"percentage": said.holdout_percentage, "users": said.individual_inclusion}]
    value = {
        "key": said.key,
        "owner": author,
        "type": "mutual-exclusion" if isinstance(said, NewMutex) else "holdout",
        "unit": unit_of(said.bucketing_key or None, said.bucketing_unit or None),
        "slots": slots,
    }
    return definition_of(value | _said_of_group(said), Group)


def edited_group(standing: Group, said: GroupFields, slots: Iterable[GroupSlot] | None = None) -> Group:
    """The group with what is said in the place of what was. Raises PeekproofError with what is wrong with it."""
    value = written(standing) | _said_of_group(said)
    if slots is not None:
        value["slots"] = written([*slots])
    return definition_of(value, Group)


def _said_of_group(said: GroupFields) -> dict[str, Any]:
    plain = {"name": said.name, "description": said.description, "tags": said.tags, "owner": said.owner}
    return {name: field for name, field in plain.items() if field is not UNSET}


def written(part: Any) -> Any:
    """A document, or a part of it, as plain values: what `definition_of` reads."""
    return msgspec.json.decode(msgspec.json.encode(part))


def iso(milliseconds: int) -> str:
    """A time (ms UTC) as ISO 8601."""
    return datetime.fromtimestamp(milliseconds / 1_000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
