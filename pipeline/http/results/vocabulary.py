"""Vocabulary: by which words, signs and numbers the console tells what the other answers hold."""

from typing import Any

import msgspec
from litestar import Router, get

from evaluation.catalog.decisions import OUTCOMES
from evaluation.catalog.metric_rules import MAY, NEEDS
from evaluation.metrics.measures import MOST_EVENTS
from evaluation.sources.presets import PRESETS
from pipeline import vocabulary as words
from pipeline.catalog.editing import OFFERED, StepName
from pipeline.http.callers.access import ALWAYS, READING, requires
from pipeline.http.management.words import LONGEST_REASON
from pipeline.vocabulary import Mark, Sign
from schemas.catalog import Analysis, Flag, FlagStatus, Goal, GoalRole, Removal, Segment, Variant
from schemas.comment import LONGEST_COMMENT
from schemas.fields import Unit, fields
from schemas.look import (
    EVERYONE,
    FIXED,
    MOST_UNUSABLE,
    SPLIT_ALPHA,
    TOLD,
    UNTESTED,
    Caveat,
    Decision,
    Judgement,
    Method,
    Prediction,
    Status,
    unsaid,
)
from schemas.source import FieldMap, Preset, SourceCondition
from schemas.written import Strict


class StatusTold(msgspec.Struct, frozen=True, kw_only=True):
    """A cell's status: `unsaid` are the fields of which such a cell says nothing, whatever stands in them.

    Where it is `untested` of a settled reading, a person looks at the live one.
    """

    says: str
    unsaid: tuple[str, ...]
    is_untested: bool


class MethodTold(msgspec.Struct, frozen=True, kw_only=True):
    """How a comparison is tested; `is_fixed`: once, at the first look with the planned units."""

    says: str
    is_fixed: bool


class FieldTold(msgspec.Struct, frozen=True, kw_only=True):
    """What a field of a look is called, in which unit its numbers are, and what it means."""

    title: str
    unit: Unit
    meaning: str


class Defaults(msgspec.Struct, frozen=True, kw_only=True):
    """What holds where a document's part does not say it, by field."""

    flag: dict[str, Any]
    variant: dict[str, Any]
    segment: dict[str, Any]
    goal: dict[str, Any]
    analysis: dict[str, Any]


class PresetTold(msgspec.Struct, frozen=True, kw_only=True):
    """What a preset of sources fills in, as a document would say it."""

    map: dict[str, Any]
    where: tuple[SourceCondition, ...]


class Vocabulary(msgspec.Struct, frozen=True, kw_only=True):
    """Words, signs and numbers, by what they stand for.

    `decisions` and `states` come in the order in which they ask for a person. `steps` are offered where a flag stands
    so. `fields` are those of what looks consist of, such as `Cell.n`. A split is broken below `split_alpha`; a metric
    says nothing whose unusable events are more than `most_unusable` of an arm's; of a unit's hour a funnel or retention
    reads `most_events`. `metric_fields` are those that a type of metric reads beside what every one does, first those
    that it cannot do without.
    """

    decisions: dict[Decision, Mark]
    judgements: dict[Judgement, Mark]
    predictions: dict[Prediction, Mark]
    statuses: dict[Status, StatusTold]
    methods: dict[Method, MethodTold]
    caveats: dict[Caveat, str]
    goal_roles: dict[GoalRole, Sign]
    states: tuple[FlagStatus | Removal, ...]
    steps: dict[StepName, tuple[FlagStatus | Removal, ...]]
    fields: dict[str, FieldTold]
    defaults: Defaults
    metric_fields: dict[str, tuple[str, ...]]
    presets: dict[Preset, PresetTold]
    everyone: str  # the segment of every unit
    split_alpha: float
    most_unusable: float
    most_events: int
    longest_reason: int
    longest_comment: int
    outcomes: tuple[str, ...]  # by which briefs are searched


def _defaults(part: type[Strict]) -> dict[str, Any]:
    found = {field.name: field for field in msgspec.structs.fields(part) if not field.required}
    return {
        name: field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
        for name, field in found.items()
    }


def _said(fields: FieldMap) -> dict[str, Any]:
    return {name: value for name, value in msgspec.to_builtins(fields).items() if value is not None}


VOCABULARY = Vocabulary(
    decisions=words.DECISIONS,
    judgements=words.JUDGEMENTS,
    predictions=words.PREDICTIONS,
    statuses={
        status: StatusTold(says=says, unsaid=unsaid(status), is_untested=status in UNTESTED)
        for status, says in words.STATUSES.items()
    },
    methods={method: MethodTold(says=says, is_fixed=method in FIXED) for method, says in words.METHODS.items()},
    caveats=words.CAVEATS,
    goal_roles=words.GOAL_ROLES,
    states=words.STATES,
    steps=OFFERED,
    fields={
        f"{struct.__name__}.{field.name}": FieldTold(title=field.title, unit=field.unit, meaning=field.meaning)
        for struct in TOLD
        for field in fields(struct).values()
    },
    defaults=Defaults(
        flag=_defaults(Flag),
        variant=_defaults(Variant),
        segment=_defaults(Segment),
        goal=_defaults(Goal),
        analysis=_defaults(Analysis),
    ),
    metric_fields={kind: (*needed, *sorted(MAY[kind])) for kind, needed in NEEDS.items()},
    presets={name: PresetTold(map=_said(preset.map), where=preset.where) for name, preset in PRESETS.items()},
    everyone=EVERYONE,
    split_alpha=SPLIT_ALPHA,
    most_unusable=MOST_UNUSABLE,
    most_events=MOST_EVENTS,
    longest_reason=LONGEST_REASON,
    longest_comment=LONGEST_COMMENT,
    outcomes=OUTCOMES,
)


@get("/vocabulary", opt=ALWAYS)
async def tell() -> Vocabulary:
    """By which words, signs and numbers the other answers are told to people."""
    return VOCABULARY


vocabulary = Router("/api/1", route_handlers=[tell], guards=[requires(READING)], tags=["results"])
