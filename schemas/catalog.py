"""Catalog: the documents that every stage reads. One record on `catalog` is one version of one document.

An author writes definitions (YAML files); commands start and end runs. A document's `spec` holds both, so that a
version says everything that was in force.
"""

from typing import Annotated, Literal

import msgspec

# A key names a document for ever; `off` is every flag's silent variant. Amplitude: lower case, kebab or snake.
Key = Annotated[
    str,
    msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9_.-]{0,99}$", description="Lower case letters, digits, '-', '_' and '.'."),
]
Duration = Annotated[
    str, msgspec.Meta(pattern=r"^[0-9]+(ms|s|m|h|d)$", description="For example 500ms, 10s, 30m, 24h or 7d.")
]
Percentage = Annotated[int, msgspec.Meta(ge=0, le=100)]
Share = Annotated[float, msgspec.Meta(gt=0)]


class Strict(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A document's part: an unknown field is a spelling mistake."""


class Hypothesis(Strict, frozen=True, kw_only=True):
    """Why the experiment exists."""

    problem: str
    solution: str
    prediction: str


class Variant(Strict, frozen=True, kw_only=True):
    """One of the ways a unit can be treated."""

    key: Key
    weight: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 1
    name: str | None = None
    description: str | None = None
    payload: object = None
    users: tuple[str, ...] = ()  # individual inclusions: these get the variant without being counted
    devices: tuple[str, ...] = ()


class Goal(Strict, frozen=True, kw_only=True):
    """What the experiment wants of one metric."""

    metric: Key
    role: Literal["primary", "secondary", "guardrail"] = "secondary"
    direction: Literal["increase", "decrease"] = "increase"
    minimum_effect: Share | None = None  # relative to control
    margin: Share | None = None  # of a guardrail: the relative loss that is still acceptable


class Flag(Strict, frozen=True, kw_only=True):
    """The definition of a feature flag or, with metrics, of an experiment: one YAML file in `configs/experiments/`."""

    key: Key
    name: str | None = None
    description: str | None = None
    hypothesis: Hypothesis | None = None
    owner: str
    tags: tuple[str, ...] = ()
    unit: Annotated[
        str, msgspec.Meta(pattern=r"^(user_id|device_id|groups\.[A-Za-z0-9_ -]+|user_properties\.[A-Za-z0-9_ .-]+)$")
    ] = "user_id"
    variants: tuple[Variant, ...]
    control: Key | None = None  # default: the variant named control, else the first
    rollout: Percentage = 100
    metrics: tuple[Goal, ...] = ()
    planned_units: Annotated[int, msgspec.Meta(ge=100)] | None = (
        None  # all units of a pair; tunes the sequential test (N*)
    )
    start: str | None = None  # dates are a plan (ISO 8601): commands act
    end: str | None = None


class Metric(Strict, frozen=True, kw_only=True):
    """How a unit's events become one number: one YAML file in `configs/metrics/`."""

    key: Key
    name: str | None = None
    description: str | None = None
    owner: str
    type: Literal["conversion", "count", "sum"]
    event: Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]
    property: str | None = None  # of `event_properties`; a sum needs one, the others have none
    window: Duration | Literal["none"]  # counted from the unit's entry; it must be said
    scale: Annotated[int, msgspec.Meta(ge=0, le=9)] = 2  # decimal places that a sum keeps


class Allocation(Strict, frozen=True, kw_only=True):
    """Who gets what: rollout and weights, in force from one version of the flag on until the next allocation."""

    flag_version: int
    rollout: Percentage
    weights: dict[str, int]
    inclusions: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {}  # variant -> (users, devices)


class Run(Strict, frozen=True, kw_only=True):
    """One run of an experiment; a restart makes a new one with a new salt. Wire name: `experiment_key`."""

    key: str  # exp-1, exp-2, …
    salt: str
    started: int  # the document version that started it
    completed: int | None = None  # the document version that ended it
    allocations: tuple[Allocation, ...]


class FlagState(Strict, frozen=True, kw_only=True):
    """A flag document: its definition and what commands made of it."""

    definition: Flag
    status: Literal["draft", "running", "complete"] = "draft"
    runs: tuple[Run, ...] = ()


class Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One version of one document, as it stands on the topic. The append time counts; `time` is the author's."""

    kind: Literal["flag", "metric"]
    key: Key
    version: Annotated[int, msgspec.Meta(ge=1)]
    base: Annotated[int, msgspec.Meta(ge=0)]  # the version that it edits; 0 for a new document
    author: str
    time: int  # ms UTC
    reason: str
    spec: msgspec.Raw  # FlagState or Metric, by `kind`
