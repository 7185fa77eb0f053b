"""Catalog: the documents that every stage reads. One record on `catalog` is one version of one document.

An author writes definitions (YAML files); commands start and end runs. A document's `spec` holds both, so that a
version says everything that was in force. Descriptions and patterns stand in the JSON Schema that editors read.
"""

from typing import Annotated, Any, Literal

import msgspec

from schemas import duration

# `$(?!\n)`: `$` alone lets a final line feed pass in Python.
Key = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[a-z0-9][a-z0-9_.-]{0,99}$(?!\n)",
        description="1 to 100 lower case letters, digits, '-', '_' and '.', beginning with a letter or digit",
    ),
]
Window = Annotated[
    str,
    msgspec.Meta(
        pattern=rf"^none$(?!\n)|{duration.PATTERN}",
        description="a duration, for example 500ms, 10s, 30m, 24h or 7d, or none",
    ),
]
Unit = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^(user_id|device_id|groups\.[A-Za-z0-9_ -]+|user_properties\.[A-Za-z0-9_ .-]+)$(?!\n)",
        description="what is randomised: user_id, device_id, groups.TYPE or user_properties.NAME",
    ),
]
Percentage = Annotated[int, msgspec.Meta(ge=0, le=100, description="a whole number from 0 to 100")]
Weight = Annotated[
    int,
    msgspec.Meta(ge=0, le=1_000_000, description="a whole number from 0 to 1000000: the share relative to the others"),
]
Share = Annotated[float, msgspec.Meta(gt=0, description="a number above 0; 0.02 means two per cent of control")]
Units = Annotated[int, msgspec.Meta(ge=100, description="a whole number of at least 100")]
Scale = Annotated[int, msgspec.Meta(ge=0, le=9, description="a whole number from 0 to 9: decimal places")]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=1024, description="a text of 1 to 1024 characters")]
Prose = Annotated[str, msgspec.Meta(min_length=1, description="a sentence or more")]
Date = Annotated[
    str, msgspec.Meta(description="an ISO 8601 date, or date and time (UTC unless it says otherwise): 2026-03-01")
]


class Strict(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A document's part: an unknown field is a spelling mistake."""


class Hypothesis(Strict, frozen=True, kw_only=True):
    """Why the experiment exists: the problem, the change that should solve it, the number that it should hit."""

    problem: Prose
    solution: Prose
    prediction: Prose


class Variant(Strict, frozen=True, kw_only=True):
    """One of the ways a unit can be treated. `users` and `devices` always get it, and are not counted."""

    key: Key
    weight: Weight = 1
    name: str | None = None
    description: str | None = None
    payload: Any = None  # any JSON value
    users: tuple[Text, ...] = ()
    devices: tuple[Text, ...] = ()


class Goal(Strict, frozen=True, kw_only=True):
    """What the experiment wants of one metric.

    `minimum_effect` is the smallest relative lift that matters; a guardrail's `margin` the relative loss that is
    still acceptable.
    """

    metric: Key
    role: Literal["primary", "secondary", "guardrail"] = "secondary"
    direction: Literal["increase", "decrease"] = "increase"
    minimum_effect: Share | None = None
    margin: Share | None = None


class Flag(Strict, frozen=True, kw_only=True):
    """A feature flag or, with metrics, an experiment: one YAML file in `configs/experiments/`.

    `rollout` is the percentage of units that get a variant, split by the variants' weights; the others get `off`.
    `control` is by default the variant of that name, else the first. `planned_units` is the planned sample of a pair
    of variants: it tunes the sequential test. `start` and `end` are a plan: commands act.
    """

    key: Key
    name: str | None = None
    description: str | None = None
    hypothesis: Hypothesis | None = None
    owner: Text
    tags: tuple[Text, ...] = ()
    unit: Unit = "user_id"
    variants: tuple[Variant, ...]
    control: Key | None = None
    rollout: Percentage = 100
    metrics: tuple[Goal, ...] = ()
    planned_units: Units | None = None
    start: Date | None = None
    end: Date | None = None


class Metric(Strict, frozen=True, kw_only=True):
    """How a unit's events become one number: one YAML file in `configs/metrics/`.

    `conversion`: did the unit send the event? `count`: how often? `sum`: the total of a property of the events, kept
    to `scale` decimal places. `window` is counted from the unit's entry; `none` gives a live reading only.
    """

    key: Key
    name: str | None = None
    description: str | None = None
    owner: Text
    type: Literal["conversion", "count", "sum"]
    event: Text
    property: Text | None = None  # of `event_properties`; a sum needs one, the others have none
    window: Window  # it must be said
    scale: Scale = 2


class Allocation(Strict, frozen=True, kw_only=True):
    """Who gets what: rollout and weights, in force from one version of the flag on until the next allocation.

    The order of `weights` is the variants' order, on which bucketing depends.
    """

    flag_version: int
    rollout: Percentage
    weights: dict[str, Weight]
    inclusions: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {}  # variant -> (users, devices)


class Run(Strict, frozen=True, kw_only=True):
    """One run of an experiment; a restart makes a new one with a new salt. Wire name: `experiment_key`."""

    key: Key  # exp-1, exp-2, …
    salt: Text
    started: int  # the document version that started it
    completed: int | None = None  # the document version that ended it
    allocations: tuple[Allocation, ...]


class FlagState(Strict, frozen=True, kw_only=True):
    """A flag document: its definition and what commands made of it."""

    definition: Flag
    status: Literal["draft", "running", "complete"] = "draft"
    runs: tuple[Run, ...] = ()


Kind = Literal["flag", "metric"]


class Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One version of one document, as it stands on the topic. The append time counts; `time` is the author's."""

    kind: Kind
    key: Key
    version: Annotated[int, msgspec.Meta(ge=1)]
    base: Annotated[int, msgspec.Meta(ge=0)]  # the version that it edits; 0 for a new document
    author: str
    time: int  # ms UTC
    reason: str
    spec: msgspec.Raw  # FlagState or Metric, by `kind`
