"""Flag shapes: flags and experiments as Amplitude's management API has them, from our documents and to them.

`owner`, `hypothesis`, `metrics`, `control`, `analysis`, `breakdowns` and `plan`, for which it has no fields, are ours
as in the documents. A salt is drawn at each start and cannot be chosen. Percentages are those in force, or those that
a start gives: where a plan says them, an edit may say them as they are, and no other.
"""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from evaluation.catalog.history import DocumentVersion
from evaluation.catalog.in_force import FlagInForce, winner_of
from evaluation.catalog.overview import planned_dates
from evaluation.flags.paths import escaped, unescaped
from pipeline.catalog.types import definition_of
from pipeline.errors import PeekproofError
from pipeline.http.management.words import (
    Edit,
    Mode,
    RequestShape,
    ResponseShape,
    bucketing,
    iso,
    property_of,
    property_shape,
    unit_of,
    whole,
    written,
)
from schemas.catalog import Analysis, Breakdown, Condition, Flag, Goal, Hypothesis, Segment, Step, Variant
from schemas.plan import Plan
from schemas.written import Operator


class VariantShape(RequestShape, frozen=True, kw_only=True):
    """A variant without its weight."""

    key: str
    name: str | None = None
    description: str | None = None
    payload: Any = None


class ConditionShape(RequestShape, frozen=True, kw_only=True):
    """A property compared with values; `gp:NAME` is a property of the user's own."""

    prop: str
    op: Operator
    type: Literal["property"] = "property"
    values: list[str]


class SegmentShape(RequestShape, frozen=True, kw_only=True):
    """A part of the audience."""

    name: str
    conditions: list[ConditionShape] = msgspec.field(default_factory=list)
    percentage: int | float = 100
    bucketing_key: str | None = None  # the flag's, or none
    rollout_weights: dict[str, int] = msgspec.field(default_factory=dict)


class DependenciesShape(RequestShape, frozen=True, kw_only=True):
    """By flag, the variants of which a unit must have one; of all flags."""

    flags: dict[str, list[str]]
    operator: Literal["all"] = "all"


class FilterShape(RequestShape, frozen=True, kw_only=True, rename=None):
    """What an event's property must be."""

    subprop_key: str
    subprop_op: Operator
    subprop_type: Literal["event", "user"] = "event"
    subprop_value: list[str]
    group_type: str = "User"


class ExposureEventShape(RequestShape, frozen=True, kw_only=True, rename=None):
    """An event that stands in for exposures."""

    event_type: str
    filters: list[FilterShape] = msgspec.field(default_factory=list)


class FlagShape(ResponseShape, frozen=True, kw_only=True):
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
    rollout_percentage: int | float
    rollout_weights: dict[str, int]
    target_segments: list[SegmentShape]
    parent_dependencies: DependenciesShape | None
    sticky_bucketing: bool
    exposure_event: ExposureEventShape | None
    identity: str | None
    state: Literal["planning", "running", "completed", "decision-made"]
    decision: Literal["rollout", "rollback"] | None
    decision_reason: str | None
    start_date: str | None
    end_date: str | None
    plan: Plan | None
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
    notes: list[str]  # that nobody gets it now, and what may be another than its author thinks


class FlagFields(Edit, frozen=True, kw_only=True):
    """What may be said of a flag's definition."""

    name: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    evaluation_mode: Mode | UnsetType = UNSET
    bucketing_key: str | UnsetType = UNSET
    bucketing_unit: str | UnsetType = UNSET
    variants: list[VariantShape] | UnsetType = UNSET
    rollout_percentage: int | float | UnsetType = UNSET
    rollout_weights: dict[str, int] | UnsetType = UNSET
    target_segments: list[SegmentShape] | UnsetType = UNSET
    parent_dependencies: DependenciesShape | UnsetType | None = UNSET
    sticky_bucketing: bool | UnsetType = UNSET
    exposure_event: ExposureEventShape | UnsetType | None = UNSET
    identity: str | UnsetType | None = UNSET
    start_date: str | UnsetType | None = UNSET
    end_date: str | UnsetType | None = UNSET
    plan: Plan | UnsetType | None = UNSET
    tags: list[str] | UnsetType = UNSET
    deployments: list[str] | UnsetType = UNSET
    owner: str | UnsetType = UNSET
    hypothesis: Hypothesis | UnsetType | None = UNSET
    metrics: list[Goal] | UnsetType = UNSET
    control: str | UnsetType = UNSET
    analysis: Analysis | UnsetType = UNSET
    breakdowns: list[Breakdown] | UnsetType = UNSET


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


def flag_shape(
    flag: FlagInForce, first: DocumentVersion, newest: DocumentVersion, project: str, notes: list[str]
) -> FlagShape:
    """What stands in the catalog, and what is noted of it; `first` and `newest` are its versions."""
    definition, planned = flag.definition, planned_dates(flag.definition)
    rollout, *of_segments = flag.percentages
    states: dict[str, Any] = {"draft": "planning", "running": "running", "complete": "completed"}
    decisions: dict[str, Any] = {"rolled out": "rollout", "rolled back": "rollback"}
    bucketing_key, bucketing_unit = bucketing(definition.unit)
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
        rollout_percentage=rollout,
        rollout_weights={variant.key: variant.weight for variant in definition.variants},
        target_segments=[*map(_segment_shape, definition.segments, of_segments)],
        parent_dependencies=DependenciesShape(flags=prerequisites) if prerequisites else None,
        sticky_bucketing=definition.sticky,
        exposure_event=_exposure_event_shape(definition.exposure_event),
        identity=definition.identity,
        state=states.get(flag.status, "decision-made"),
        decision=decisions.get(flag.status),
        decision_reason=newest.document.reason if flag.status in decisions else None,
        start_date=planned["start"][0],
        end_date=planned["end"][0],
        plan=definition.plan,
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
        notes=notes,
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


def edited_flag(flag: FlagInForce, said: FlagFields) -> Flag:
    """The definition with what is said in the place of what was. Raises PeekproofError with what is wrong with it."""
    standing = flag.definition
    value = written(standing)
    variants = {each["key"]: each for each in value["variants"]}
    if standing.plan and said.plan is not None:
        said = _beside_plan(flag, said)
    return definition_of(_without_nulls(value | _flag_fields(said, variants, standing.unit)), Flag)


def _beside_plan(flag: FlagInForce, said: FlagFields) -> FlagFields:
    """The same without what the plan says. Raises PeekproofError where that is not as it stands."""
    planned = planned_dates(flag.definition)
    rollout, *of_segments = flag.percentages
    for name, field, stands in (
        ("rolloutPercentage", said.rollout_percentage, rollout),
        ("startDate", said.start_date, planned["start"][0]),
        ("endDate", said.end_date, planned["end"][0]),
    ):
        if field not in (UNSET, stands):
            raise PeekproofError(
                f"{name}: {field} is said, and the plan of '{flag.definition.key}' says {stands}; edit the plan, or "
                "take it away by plan: null"
            )
    said = msgspec.structs.replace(said, rollout_percentage=UNSET, start_date=UNSET, end_date=UNSET)
    if said.target_segments is UNSET:
        return said
    segments = zip(flag.definition.segments, of_segments, strict=True)
    own = {(segment.name, percentage): segment.rollout for segment, percentage in segments}
    kept = [
        msgspec.structs.replace(each, percentage=own.get((each.name, each.percentage), each.percentage))
        for each in said.target_segments
    ]
    return msgspec.structs.replace(said, target_segments=kept)


def _flag_fields(said: FlagFields, variants: Mapping[str, dict[str, Any]], unit: str) -> dict[str, Any]:
    """The fields of a document that something is said of."""
    plain = {
        "name": said.name,
        "description": said.description,
        "rollout": said.rollout_percentage if said.rollout_percentage is UNSET else whole(said.rollout_percentage),
        "sticky": said.sticky_bucketing,
        "start": said.start_date,
        "end": said.end_date,
        "plan": said.plan,
        "tags": said.tags,
        "deployments": said.deployments,
        "owner": said.owner,
        "hypothesis": said.hypothesis,
        "metrics": said.metrics,
        "control": said.control,
        "analysis": said.analysis,
        "breakdowns": said.breakdowns,
        "identity": said.identity,
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


def _segment(said: SegmentShape, unit: str) -> dict[str, Any]:
    if said.bucketing_key is not None and unit_of(said.bucketing_key, None) != unit:
        raise PeekproofError(
            f"targetSegments: '{said.name}' buckets by '{said.bucketing_key}', and the flag by '{unit}'; all segments "
            "bucket by the flag's unit: leave it out"
        )
    conditions = [
        {"property": property_of(each.prop), "op": each.op, "values": each.values} for each in said.conditions
    ]
    segment = {"name": said.name, "conditions": conditions, "rollout": whole(said.percentage)}
    return segment | {"weights": said.rollout_weights}


def _segment_shape(segment: Segment, percentage: float) -> SegmentShape:
    return SegmentShape(
        name=segment.name,
        conditions=[
            ConditionShape(prop=property_shape(each.property), op=each.op, values=[*each.values])
            for each in segment.conditions
        ],
        percentage=percentage,
        rollout_weights=segment.weights,
    )


def _exposure_event(said: ExposureEventShape) -> dict[str, Any]:
    def path(each: FilterShape) -> str:
        is_of_event = each.subprop_type == "event"
        return f"event_properties.{escaped(each.subprop_key)}" if is_of_event else property_of(each.subprop_key)

    where = [{"property": path(each), "op": each.subprop_op, "values": each.subprop_value} for each in said.filters]
    return {"event": said.event_type, "where": where}


def _exposure_event_shape(step: Step | None) -> ExposureEventShape | None:
    def shape(each: Condition) -> FilterShape:
        kind, _, name = each.property.partition(".")
        is_of_event = kind == "event_properties"
        return FilterShape(
            subprop_key=unescaped(name) if is_of_event else property_shape(each.property),
            subprop_op=each.op,
            subprop_type="event" if is_of_event else "user",
            subprop_value=[*each.values],
        )

    return ExposureEventShape(event_type=step.event, filters=[*map(shape, step.where)]) if step else None
