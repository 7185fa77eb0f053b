"""Catalog: the documents that every stage reads. One record on `catalog` is one version of one document.

An author writes definitions (YAML files); commands start and end runs. A document's `spec` holds both, so that a
version says everything that was in force. Descriptions and patterns stand in the JSON Schema that editors read.
"""

import builtins
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from schemas.brief import Brief
from schemas.comment import Comment
from schemas.logs import LOGS, Logs
from schemas.notification import NotificationRule
from schemas.numbers import Count, Time
from schemas.parts import part_of
from schemas.plan import Plan, Progress
from schemas.recount import Recount
from schemas.source import ForeignSource
from schemas.written import (
    Cap,
    Date,
    Deviation,
    Duration,
    Identity,
    Key,
    LowerCap,
    Nth,
    Operator,
    Percent,
    Percentage,
    Probability,
    Property,
    Prose,
    Scale,
    Share,
    Slot,
    Strict,
    Switch,
    Text,
    Unit,
    Units,
    Value,
    Weight,
    Window,
)

DECIMALS = 6  # decimal places that are kept where nobody says how many
FORMER_DECIMALS = 2  # those of stored documents that say none: versions that wrote such ones kept two

FlagStatus = Literal["draft", "running", "complete", "rolled out", "rolled back"]
Removal = Literal["archived", "deleted"]
GoalRole = Literal["primary", "secondary", "guardrail"]


class Hypothesis(Strict, frozen=True, kw_only=True):
    """Why the experiment exists: the problem, the change that should solve it, the number that it should hit."""

    problem: Prose
    solution: Prose
    prediction: Prose


class Variant(Strict, frozen=True, kw_only=True):
    """One of the ways a unit can be treated. `users`, `devices`, `cohorts` always get it, and are not counted."""

    key: Key
    weight: Weight = 1
    name: str | None = None
    description: str | None = None
    payload: Any = None  # any JSON value
    users: tuple[Text, ...] = ()
    devices: tuple[Text, ...] = ()
    cohorts: tuple[Key, ...] = ()


class Condition(Strict, frozen=True, kw_only=True):
    """A property of a user (of an event, in a metric's filter) compared with values, by Amplitude's operators.

    `(none)` among the values stands for a property that is missing. A cohort is compared by `set contains any` or
    `set does not contain any` with keys of cohorts.
    """

    property: Property
    op: Operator
    values: Annotated[tuple[Value, ...], msgspec.Meta(min_length=1)]


class Segment(Strict, frozen=True, kw_only=True):
    """A part of the audience: the units that satisfy every condition. The first segment that matches a unit decides.

    `rollout` is the percentage of them that get a variant; 0 leaves them out. `weights` by variant take the place of
    the variants' own (plain flags only).
    """

    name: Text
    conditions: tuple[Condition, ...] = ()
    rollout: Percentage = 100
    weights: dict[Key, Weight] = {}


class Membership(Strict, frozen=True, kw_only=True):
    """That a flag belongs to a group: to these slots of a mutual exclusion; a holdout has none to name."""

    group: Key
    slots: tuple[Slot, ...] = ()


class Goal(Strict, frozen=True, kw_only=True):
    """What the experiment wants of one metric.

    `minimum_effect` is the smallest relative lift that matters; of the primary metric it is the hypothesis's prediction
    as a number, with which the verdict compares the lift. A guardrail's `margin` is the relative loss that is still
    acceptable: with one, a treatment ships once it is proved to lose no more. `exact` asks for the exact test of rare
    conversions; unsaid, conversion guardrails have it on their live reading, so that harm shows within seconds.
    """

    metric: Key
    role: GoalRole = "secondary"
    direction: Literal["increase", "decrease"] = "increase"
    minimum_effect: Share | None = None
    margin: Share | None = None
    exact: Switch | None = None


class Baseline(Strict, frozen=True, kw_only=True):
    """What is expected of the primary metric without any treatment: mean per unit, and its standard deviation.

    A conversion's mean is its rate, which gives the deviation.
    """

    mean: Annotated[float, msgspec.Meta(description="a number, not 0; 0.12 for 12 % of units that convert")]
    deviation: Deviation | None = None


class Analysis(Strict, frozen=True, kw_only=True):
    """How the experiment's numbers are judged. The defaults are Amplitude's.

    `sequential` results may be acted on whenever one looks. A `t-test` is read once, when the planned units are in.
    `bayesian` gives the chance to beat control; watching it has no guarantee.

    `alpha` is the chance of a false discovery among the primary comparisons, and among the secondary ones;
    `guardrail_alpha` that of a false alarm, and of a false proof of safety, per guardrail and treatment. `correction`
    says how several comparisons share alpha (a Bayesian reading shares nothing). `sided: one` looks for gains only,
    in the direction of each goal.

    `planned_units` is the planned sample of a treatment and control together. It tunes the sequential test and ends the
    t-test. Unsaid, it is what a fixed-horizon test with a power of 80 % needs to see the primary goal's
    `minimum_effect` over the `baseline`; without these 10,000 tune the sequential test.

    `patience` is how long a run may be without an exposure, and a metric without an event, from the start on, until
    looks say so. It changes no number.

    With `cuped` what decides is the number that leaves out what units' past explains, of metrics that have one; every
    look shows the other number beside it. `strata` is the property of a breakdown: units are compared within its
    segments, and what these explain is left out too.
    """

    method: Literal["sequential", "t-test", "bayesian"] = "sequential"
    alpha: Probability = 0.05
    guardrail_alpha: Probability = 0.05
    correction: Literal["bonferroni", "holm", "benjamini-hochberg", "none"] = "bonferroni"
    sided: Literal["two", "one"] = "two"
    cuped: Switch = False
    planned_units: Units | None = None
    baseline: Baseline | None = None
    patience: Duration = "10m"
    strata: Property | None = None

    def judges_as(self, other: "Analysis") -> bool:
        """Whether it makes the same of all numbers."""
        return self == msgspec.structs.replace(other, patience=self.patience)


class Breakdown(Strict, frozen=True, kw_only=True):
    """A property of a unit at its entry, by whose values the results are split; other values are `(other)`."""

    property: Property
    values: Annotated[tuple[Value, ...], msgspec.Meta(min_length=1, max_length=50)]


class Step(Strict, frozen=True, kw_only=True):
    """An event, of those that satisfy every condition."""

    event: Text
    where: tuple[Condition, ...] = ()


class Flag(Strict, frozen=True, kw_only=True):
    """A feature flag or, with metrics, an experiment: one YAML file in `configs/flags/` or `configs/experiments/`.

    `segments` come first; `rollout` is the percentage of all other units that get a variant, split by the variants'
    weights. Who gets no variant gets `off`. `prerequisites` name, by flag, the variants (`off` is one) of which a unit
    must have one; `sticky` keeps a unit in the variant that it had before; `deployments` are those that serve the flag
    (none named: all). `control` is by default the variant of that name, else the first. `exposure_event` stands in
    for exposures: a unit that sends it has met the variant that the flag gives it then. With an `identity` events that
    name it alone count for the unit with which it was first told. `start` and `end` are dates that are told once they
    have passed; a `plan` acts. With a `holdout` it is measured: its two variants are `holdout`, the units that the
    group of that key holds out, and `on`, all others, who enter by the `exposure_event`.
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
    segments: tuple[Segment, ...] = ()
    prerequisites: dict[Key, tuple[Key, ...]] = {}
    groups: tuple[Membership, ...] = ()
    sticky: Switch = False
    deployments: tuple[Key, ...] = ()
    metrics: tuple[Goal, ...] = ()
    exposure_event: Step | None = None
    identity: Identity | None = None
    breakdowns: Annotated[tuple[Breakdown, ...], msgspec.Meta(max_length=10)] = ()
    analysis: Analysis = Analysis()
    start: Date | None = None
    end: Date | None = None
    plan: Plan | None = None
    holdout: Key | None = None


class Cuped(Strict, frozen=True, kw_only=True):
    """What a unit did before its entry explains part of what it does afterwards.

    The covariate is the metric's own number over the `lookback` before the entry, in whole buckets of a fourteenth of
    it; so are those of other metrics, `with` their keys. A funnel, retention or distinct has none of its own, but
    may have theirs. Events are kept for it from the moment on in which the metric is applied, of every unit.
    """

    lookback: Duration
    others: Annotated[tuple[Key, ...], msgspec.Meta(max_length=4)] = msgspec.field(name="with", default=())


class Metric(Strict, frozen=True, kw_only=True):
    """How a unit's events become one number: one YAML file in `configs/metrics/`.

    `conversion`: did the unit send the `event`? `count`: how often? `sum`: the total of a `property` of the event.
    `mean`: the property's average over the unit's events. `ratio`: the total of a `numerator` over all units by that of
    a `denominator`, both keys of metrics, of which it takes what they count and their caps. `funnel`: did the unit send
    the events of the `steps` in this order (`uniques`), or how many times over (`totals`)? `retention`: did it send the
    `event` in the `nth` period after its first `start`: from nth * period on until before (nth + 1) * period?
    `distinct`: how many different values of a `property` do its events have; without one, on how many days (UTC) are
    they? `percentile`: the value up to which so many percent of the values of a `property` lie, of all `events` or of
    the totals of `units`.

    A unit without such events counts as zero. Of the events only those count that satisfy every condition of `where`.
    `window` is counted from the unit's entry; `none` gives a live reading only; a ratio has its own, whatever its parts
    have. Of each event's number `scale` decimal places are kept (6 unless it is said; a metric that was applied before
    keeps those that it had), rounded half to even, and as many of a mean. A unit's total reaches 4 * 10^12 at 6 decimal
    places; it counts for at most `cap` and at least `lower_cap`, and `log` then takes ln(1 + x) of it, 0 where 1 + x is
    not positive.
    """

    key: Key
    name: str | None = None
    description: str | None = None
    owner: Text
    type: Literal["conversion", "count", "sum", "mean", "ratio", "funnel", "retention", "percentile", "distinct"]
    event: Text | None = None
    property: Text | None = None  # of `event_properties`
    where: tuple[Condition, ...] = ()
    numerator: Key | None = None
    denominator: Key | None = None
    steps: Annotated[tuple[Step, ...], msgspec.Meta(max_length=20)] = ()
    counting: Literal["uniques", "totals"] = "uniques"
    start: Step | None = None
    nth: Nth = 1
    period: Duration = "24h"
    window: Window  # it must be said
    scale: Scale | None = None
    cap: Cap | None = None
    lower_cap: LowerCap | None = None
    log: Switch = False
    cuped: Cuped | None = None
    percentile: Percent | None = None
    of: Literal["events", "units"] = "events"

    @builtins.property
    def is_conversion(self) -> bool:
        """Whether a unit's number is 0 or 1."""
        return self.type in ("conversion", "retention") or (self.type == "funnel" and self.counting == "uniques")

    @builtins.property
    def decimals(self) -> int:
        """Decimal places that are kept of its numbers."""
        return DECIMALS if self.scale is None else self.scale

    @builtins.property
    def keeps_decimals(self) -> bool:
        """Whether its numbers depend on how many are kept."""
        return (self.property is not None and self.type != "distinct") or self.log


class GroupSlot(Strict, frozen=True, kw_only=True):
    """A share of the units. Those listed always belong to it; the first slot that lists a unit wins."""

    percentage: Percentage
    users: tuple[Text, ...] = ()
    devices: tuple[Text, ...] = ()
    cohorts: tuple[Key, ...] = ()


class Exempt(Strict, frozen=True, kw_only=True):
    """Units that a holdout never holds out, unless its slot lists them."""

    users: tuple[Text, ...] = ()
    devices: tuple[Text, ...] = ()
    cohorts: tuple[Key, ...] = ()


class Group(Strict, frozen=True, kw_only=True):
    """Flags that share units by a plan: one YAML file in `configs/groups/`. Flags name the groups that they belong to.

    `mutual-exclusion`: a unit is in one slot at most (what the slots leave of 100 % is in none) and meets the flags of
    that slot only. `holdout`: the units of its one slot meet none of the group's flags.
    """

    key: Key
    name: str | None = None
    description: str | None = None
    owner: Text
    tags: tuple[Text, ...] = ()
    type: Literal["mutual-exclusion", "holdout"]
    unit: Unit = "user_id"
    slots: Annotated[tuple[GroupSlot, ...], msgspec.Meta(min_length=1, max_length=20)]
    exempt: Exempt | None = None  # of a holdout


class Cohort(Strict, frozen=True, kw_only=True):
    """A list of units that segments and inclusions name: one YAML file in `configs/cohorts/`.

    `file` stands beside it, or elsewhere below the documents' directory, and holds one id per line, a table (`.csv`,
    `.tsv`) with a column that is called as the unit or `id`, or a JSON array of texts; what is published are the `ids`.
    """

    key: Key
    name: str | None = None
    description: str | None = None
    owner: Text
    tags: tuple[Text, ...] = ()
    unit: Unit = "user_id"  # what the ids are
    file: Text | None = None
    ids: Annotated[tuple[Text, ...], msgspec.Meta(max_length=100_000)] = ()  # one record holds them all

    @property
    def members(self) -> tuple[str, ...]:
        """The ids, each once."""
        return tuple(dict.fromkeys(self.ids))


class Deployment(Strict, frozen=True, kw_only=True):
    """A place that flags are served to: one YAML file in `configs/deployments/`. Anybody may see a client's key."""

    key: Key
    name: str | None = None
    description: str | None = None
    owner: Text
    tags: tuple[Text, ...] = ()
    type: Literal["client", "server"]


if TYPE_CHECKING:
    FlagPart = Any
else:
    FlagPart = part_of(Flag)


class Template(Strict, frozen=True, kw_only=True):
    """What flags and experiments of a sort have in common: one YAML file in `configs/templates/`.

    `values` are any fields of a flag's document, and parts of them: whoever begins a flag or an experiment from the
    template has them before him, and fills in what is missing. What was begun so stays as it is when the template
    changes.
    """

    key: Key
    name: str | None = None
    description: str | None = None
    owner: Text
    tags: tuple[Text, ...] = ()
    of: Literal["experiment", "flag"]
    values: FlagPart


class Inclusion(Strict, frozen=True, kw_only=True):
    """Who always gets a variant."""

    users: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    cohorts: tuple[str, ...] = ()


class Allocation(Strict, frozen=True, kw_only=True):
    """Who gets what, in force from one version of the flag on until the next allocation.

    The order of `weights` is the variants' order, on which bucketing depends.
    """

    flag_version: int
    rollout: Percentage
    weights: dict[str, Weight]
    inclusions: dict[str, Inclusion] = {}  # by variant
    segments: tuple[Segment, ...] = ()
    prerequisites: dict[str, tuple[str, ...]] = {}
    groups: tuple[Membership, ...] = ()
    sticky: Switch = False


class Run(Strict, frozen=True, kw_only=True):
    """One run of an experiment; a restart makes a new one with a new salt. Wire name: `experiment_key`."""

    key: Key  # exp-1, exp-2, …
    salt: Text
    started: int  # the document version that started it
    completed: int | None = None  # the document version that ended it
    allocations: tuple[Allocation, ...]


class FlagState(Strict, frozen=True, kw_only=True):
    """A flag document: its definition and what commands made of it.

    Only a running flag has an open run, only one that is rolled out an allocation beside its runs: of the one variant
    that everybody gets. `removed` leaves the rest as it was: an archived flag may come back, a deleted one may not.
    """

    definition: Flag
    status: FlagStatus = "draft"
    runs: tuple[Run, ...] = ()
    rolled_out: Allocation | None = None
    removed: Removal | None = None
    progress: Progress | None = None  # of its plan, since the newest start


Definition = (
    Flag | Metric | Group | Cohort | Deployment | NotificationRule | Template | Brief | ForeignSource
)  # what authors write
Spec = (
    FlagState
    | Metric
    | Group
    | Cohort
    | Deployment
    | NotificationRule
    | Template
    | Brief
    | ForeignSource
    | Comment
    | Recount
    | Logs
)  # what a version holds
WrittenKind = Literal["flag", "metric", "group", "cohort", "deployment", "notification", "template", "brief", "source"]
Kind = WrittenKind | Literal["comment", "recount", "logs"]
WRITTEN: dict[WrittenKind, type[Definition]] = {  # what an author writes of a kind
    "flag": Flag,
    "metric": Metric,
    "group": Group,
    "cohort": Cohort,
    "deployment": Deployment,
    "notification": NotificationRule,
    "template": Template,
    "brief": Brief,
    "source": ForeignSource,
}
KIND_OF: dict[type[Definition], WrittenKind] = {of: kind for kind, of in WRITTEN.items()}
KINDS: dict[type[Spec], Kind] = {
    FlagState: "flag",
    Metric: "metric",
    Group: "group",
    Cohort: "cohort",
    Deployment: "deployment",
    NotificationRule: "notification",
    Template: "template",
    Brief: "brief",
    ForeignSource: "source",
    Comment: "comment",
    Recount: "recount",
    Logs: LOGS,
}


class Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One version of one document, as it stands on the topic. The append time counts; `time` is the author's."""

    kind: Kind
    key: Key
    version: Annotated[int, msgspec.Meta(ge=1, le=(1 << 63) - 1)]
    base: Count  # the version that it edits; 0 for a new document
    author: str
    time: Time
    reason: str
    spec: msgspec.Raw  # a Spec, by `kind`
