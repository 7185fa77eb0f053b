"""In force: the documents as they stand after some records of the topic, with all that follows from them.

How records make them is told in history.py.
"""

import builtins
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Generic, Literal, TypeVar

import msgspec

from evaluation.catalog.logs import LogsInForce
from evaluation.catalog.ramps import Percentages, as_planned, percentages
from evaluation.catalog.references import Known
from schemas.brief import Brief
from schemas.catalog import (
    KIND_OF,
    WRITTEN,
    Allocation,
    Breakdown,
    Cohort,
    Condition,
    Definition,
    Deployment,
    Flag,
    FlagStatus,
    Group,
    GroupSlot,
    Inclusion,
    Kind,
    Metric,
    Removal,
    Step,
    Template,
    Variant,
    WrittenKind,
)
from schemas.comment import Comment
from schemas.duration import parse_duration
from schemas.logs import LOGS
from schemas.notification import NotificationRule
from schemas.pair import Pair, loose
from schemas.plan import Progress
from schemas.recount import Recount, marked
from schemas.source import ForeignSource

WHICH = -1  # the scale of a fact that tells values apart
SETTLING = 1_000  # ms between a version's append time and the input that it applies to
PASTLESS = ("funnel", "retention", "distinct")  # types of metrics of which no total is kept of before the entry

Plain = TypeVar("Plain", Group, Cohort, Deployment, NotificationRule, Template, Brief, ForeignSource, Comment, Recount)


class Fact(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an event contributes: 1, or a property's value quantised to `scale` decimal places. Metrics share facts.
    With the scale `WHICH` it is the value's hash.

    Only events count that satisfy every condition. It is told of that `generation` of a run: 0, of all first ones.
    """

    event: str
    property: str | None
    scale: int
    where: tuple[Condition, ...] = ()
    generation: int = 0

    @builtins.property
    def key(self) -> str:
        """The fact's name in the header of `units` messages: a JSON array, behind the mark of its generation."""
        said = self.event, self.property, self.scale, self.where
        return marked(msgspec.json.encode(said).decode(), self.generation)


class Variable(msgspec.Struct, frozen=True):
    """One number of a unit, before it is capped and logged: what a metric adds up, or one side of a ratio.

    Of a percentile of events' values it is how many there are. `facts` are those of a funnel's steps, of a retention's
    start and return, else one. `cap` and `lower_cap` are in units of 10^-places of the facts' scale.
    `places` are the decimal places of the number that is added up.
    """

    type: Literal["conversion", "count", "sum", "mean", "funnel", "retention", "values", "distinct"]
    facts: tuple[Fact, ...]
    places: int
    cap: int | None = None
    log: bool = False
    totals: bool = False  # of a funnel: how many times over
    begins: int = 0  # of a retention: ms from the start on to the period, and to its end
    ends: int = 0
    lower_cap: int | None = None


@dataclass(frozen=True, slots=True)
class MetricInForce:
    """A metric's definition and when it was appended (ms UTC).

    `parts` are the numerator and the denominator of a ratio, as they stand; `others` the metrics whose past explains a
    part of it, a ratio by its two parts. `version` counts what it measured: another description, owner or name is
    none, another part of a ratio is one. `recorded` is the append time from which on events before an entry are kept
    for it.
    """

    definition: Metric
    version: int
    append_time: int
    parts: tuple[Metric, ...] = ()
    document_version: int = 1
    recorded: int = 0
    others: tuple[tuple[Metric, ...], ...] = ()

    @property
    def measures(self) -> tuple[object, ...]:
        """All that its numbers depend on."""
        return self.variables, self.window, self.lookback, self.definition.percentile, self.others_variables

    @property
    def variables(self) -> tuple[Variable, ...]:
        """What it adds up: one number per unit, of a ratio numerator and denominator."""
        return tuple(_variable(part) for part in self.parts or (self.definition,))

    @property
    def facts(self) -> tuple[Fact, ...]:
        """What it reads of events, each once."""
        return tuple(dict.fromkeys(fact for variable in self.variables for fact in variable.facts))

    @property
    def others_variables(self) -> tuple[tuple[Variable, ...], ...]:
        """The variables of each metric whose past explains a part of it beside its own."""
        if self.definition.cuped is None:
            return ()
        return tuple(tuple(map(_variable, parts)) for parts in self.others)

    @property
    def has_own_past(self) -> bool:
        """Whether its own past explains a part of it: an order, and what differs, has none."""
        return self.lookback is not None and not any(each.type in PASTLESS for each in self.variables)

    @property
    def covariates(self) -> tuple[tuple[Variable, ...], ...]:
        """What explains a part of it, each one number before the entry, of a ratio two: its own past first."""
        return (*((self.variables,) if self.has_own_past else ()), *self.others_variables)

    @property
    def past_facts(self) -> tuple[Fact, ...]:
        """What it reads of events before an entry, each once."""
        its = (fact for variables in self.covariates for variable in variables for fact in variable.facts)
        return tuple(dict.fromkeys(its))

    @property
    def window(self) -> int | None:
        """Milliseconds from a unit's entry within which its events count; None: without end."""
        return None if self.definition.window == "none" else parse_duration(self.definition.window)

    @property
    def lookback(self) -> int | None:
        """Milliseconds before a unit's entry that its covariates cover; None: it has none."""
        return parse_duration(self.definition.cuped.lookback) if self.definition.cuped else None


def _variable(metric: Metric) -> Variable:
    match metric.type:
        case "funnel":
            facts = tuple(Fact(step.event, None, 0, step.where) for step in metric.steps)
        case "retention":
            steps = (metric.start, Step(event=metric.event or "", where=metric.where))
            facts = tuple(Fact(step.event, None, 0, step.where) for step in steps if step)
        case _:
            scale = 0 if metric.property is None else WHICH if metric.type == "distinct" else metric.decimals
            facts = (Fact(metric.event or "", metric.property, scale, metric.where),)
    scale = max(0, facts[0].scale)
    type_: Any = metric.type  # a ratio has parts
    if metric.type == "percentile":
        type_ = "values" if metric.of == "events" else "sum"
    period = parse_duration(metric.period)
    is_retention = metric.type == "retention"
    return Variable(
        type=type_,
        facts=facts,
        places=metric.decimals if metric.log else 0 if type_ == "values" else scale,
        cap=None if metric.cap is None else _scaled(metric.cap, scale),
        lower_cap=None if metric.lower_cap is None else _scaled(metric.lower_cap, scale),
        log=metric.log,
        totals=metric.counting == "totals",
        begins=metric.nth * period if is_retention else 0,
        ends=(metric.nth + 1) * period if is_retention else 0,
    )


def _scaled(cap: float, scale: int) -> int:
    return round(Decimal(repr(cap)).scaleb(scale))


@dataclass(frozen=True, slots=True)
class InForce(Generic[Plain]):
    """A definition, the version of its document and when it was appended (ms UTC)."""

    definition: Plain
    version: int
    append_time: int


@dataclass(frozen=True, slots=True)
class RunInForce:
    """A run with what its flag's document and its metrics say of it.

    `started` and `completed` are append times (ms UTC) of the versions that started and ended it. `since` gives, by
    metric key, the time from which on the metric covers entries: in mid-run all of their events are routed only
    `SETTLING` after the version that added or changed it. A metric that came with the start covers all entries.
    `definition` and `metrics` are those in force and, once the run is complete, stay those in force when it was
    completed: later edits are for later runs. Its breakdowns are those that it counts by; the flag's document may list
    others, for which it must be recounted.

    A run that is recounted has another generation `coming`, which takes its place when it has caught up; `generation`
    is the catalog offset that began it, 0 the first one. `exploratory` are its metrics and breakdowns (by property)
    that were chosen after the start and yet cover it all: each with the version of the flag that had planned it before,
    0 where none had.
    """

    flag: str
    key: str
    salt: str
    allocations: tuple[Allocation, ...]
    started: int
    completed: int | None
    since: dict[str, int]
    definition: Flag
    metrics: dict[str, MetricInForce]
    generation: int = 0
    coming: "RunInForce | None" = None
    exploratory: dict[str, int] = field(default_factory=dict)

    @property
    def generations(self) -> "tuple[RunInForce, ...]":
        """The one that is in force, and the one that is to come."""
        return (self,) if self.coming is None else (self, self.coming)

    @property
    def told(self) -> str:
        """Its key as it is told on `units`."""
        return marked(self.key, self.generation)

    @property
    def pair(self) -> Pair | None:
        """Of what types its units and the people behind them are; None: nobody is."""
        identity = self.definition.identity
        return None if identity is None else Pair(self.definition.unit, identity)

    @property
    def facts(self) -> dict[str, Fact]:
        """What it reads of events by the keys in messages, those of loose events too."""
        its = {fact.key: fact for metric in self.metrics.values() for fact in metric.facts}
        return its if self.pair is None else its | {loose(key, self.pair): fact for key, fact in its.items()}


@dataclass(frozen=True, slots=True)
class PlanInForce:
    """How far a flag's plan has come since the newest start; it goes on while the flag is running.

    `taken` and `paused` are append times (ms UTC) of the versions that took the step in force and paused the plan.
    """

    progress: Progress
    taken: int
    paused: int | None


@dataclass(frozen=True, slots=True)
class FlagInForce:
    """A flag's document and its runs; `runs[-1]` is the newest."""

    definition: Flag
    status: FlagStatus
    version: int
    append_time: int
    runs: tuple[RunInForce, ...]
    rolled_out: Allocation | None = None
    removed: Removal | None = None
    plan: PlanInForce | None = None
    # What was ever listed, and by which version of the document first: metrics as they measured, and breakdowns.
    listed: dict[tuple[str, int] | Breakdown, int] = field(default_factory=dict)

    @property
    def allocation(self) -> Allocation | None:
        """Who gets what now: by the open run, or by the roll-out; None: everybody gets `off`."""
        if self.removed:
            return None
        return self.runs[-1].allocations[-1] if self.status == "running" else self.rolled_out

    @property
    def percentages(self) -> Percentages:
        """What all other units and each segment get now, or where it is not running, once it starts."""
        if self.status == "running":
            return percentages(self.runs[-1].allocations[-1])
        return percentages(as_planned(self.definition, None))

    @property
    def control(self) -> str:
        """The variant that the others are compared with."""
        return control_of(self.definition)


def control_of(definition: Flag) -> str:
    """The variant that the others are compared with: as defined, else the one named control, else the first."""
    keys = [variant.key for variant in definition.variants]
    return definition.control or ("control" if "control" in keys else keys[0])


def winner_of(rolled_out: Allocation) -> str:
    """The variant that everybody gets."""
    return next(variant for variant, weight in rolled_out.weights.items() if weight)


def is_listing(part: Variant | Inclusion | GroupSlot) -> bool:
    """Whether it lists somebody."""
    return bool(part.users or part.devices or part.cohorts)


def unlisted(lists: Iterable[Variant | Inclusion]) -> str:
    """Everybody whom none of the lists gives a variant, in words."""
    return "everybody" + " but those listed" * any(map(is_listing, lists))


@dataclass(frozen=True, slots=True, eq=False)
class Catalog:
    """The documents in force after every record of the topic before `offset`. Each is equal to itself alone."""

    offset: int = 0
    append_time: int = 0
    flags: dict[str, FlagInForce] = field(default_factory=dict)
    metrics: dict[str, MetricInForce] = field(default_factory=dict)
    groups: dict[str, InForce[Group]] = field(default_factory=dict)
    cohorts: dict[str, InForce[Cohort]] = field(default_factory=dict)
    deployments: dict[str, InForce[Deployment]] = field(default_factory=dict)
    notifications: dict[str, InForce[NotificationRule]] = field(default_factory=dict)
    templates: dict[str, InForce[Template]] = field(default_factory=dict)
    briefs: dict[str, InForce[Brief]] = field(default_factory=dict)
    sources: dict[str, InForce[ForeignSource]] = field(default_factory=dict)
    comments: dict[str, InForce[Comment]] = field(default_factory=dict)  # by flag the newest: comments_of tells all
    recounts: dict[str, InForce[Recount]] = field(default_factory=dict)  # by flag
    logs: LogsInForce | None = None

    def of(self, kind: WrittenKind) -> Mapping[str, FlagInForce | MetricInForce | InForce[Any]]:
        """The documents of a kind, by key."""
        documents: dict[WrittenKind, Mapping[str, FlagInForce | MetricInForce | InForce[Any]]] = {
            "flag": self.flags,
            "metric": self.metrics,
            "group": self.groups,
            "cohort": self.cohorts,
            "deployment": self.deployments,
            "notification": self.notifications,
            "template": self.templates,
            "brief": self.briefs,
            "source": self.sources,
        }
        return documents[kind]

    def standing(self, kind: Kind, key: str) -> FlagInForce | MetricInForce | InForce[Any] | LogsInForce | None:
        """The document of a kind and key, if there is one."""
        if kind == "logs":
            return self.logs if key == LOGS else None
        if kind == "comment":
            return self.comments.get(key)
        if kind == "recount":
            return self.recounts.get(key)
        return self.of(kind).get(key)

    def definitions(self) -> Iterator[Definition]:
        """What authors wrote of every document."""
        for kind in WRITTEN:
            for standing in self.of(kind).values():
                yield standing.definition

    def version_of(self, kind: Kind, key: str) -> int:
        """The version of a document that stands; 0: there is none."""
        standing = self.standing(kind, key)
        if isinstance(standing, MetricInForce):
            return standing.document_version
        return standing.version if standing else 0

    def beside(self, definition: Definition) -> list[str]:
        """The keys that share a space of names with a definition's; a flag that was deleted has none any more."""
        if isinstance(definition, Flag | Group):
            return [*(key for key, flag in self.flags.items() if flag.removed != "deleted"), *self.groups]
        return [*self.of(KIND_OF[type(definition)])]

    @property
    def known(self) -> Known:
        """What a document may name."""
        return Known(
            flags={key: flag.definition for key, flag in self.flags.items() if not flag.removed},
            groups={key: group.definition for key, group in self.groups.items()},
            cohorts={key: cohort.definition for key, cohort in self.cohorts.items()},
            deployments=self.deployments.keys(),
        )

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """The pairs of all runs, over or not: who was joined once may be asked for by the next one."""
        found = {run.pair for flag in self.flags.values() for run in flag.runs if run.pair}
        return tuple(sorted(found, key=lambda pair: (pair.unit, pair.identity)))

    def running_in(self, group: str) -> list[str]:
        """The flags that run and belong to a group, or measure it."""
        return [
            key
            for key, flag in self.flags.items()
            if flag.status == "running"
            and group in {flag.definition.holdout, *(each.group for each in flag.definition.groups)}
        ]


def ratios_of(metrics: Mapping[str, MetricInForce], key: str) -> list[Metric]:
    """The ratios that a metric is a part of."""
    every = (metric.definition for metric in metrics.values())
    return [each for each in every if key in (each.numerator, each.denominator)]


def readers_of(metrics: Mapping[str, MetricInForce], key: str) -> list[Metric]:
    """The metrics whose numbers depend on a metric: its ratios, and those that its past, or a ratio's, explains."""
    ratios = ratios_of(metrics, key)
    read = {key, *(each.key for each in ratios)}
    looking = [each.definition for each in metrics.values() if each.definition.cuped]
    explained = [each for each in looking if each.cuped and read & {*each.cuped.others}]
    return [*ratios, *(each for each in explained if each not in ratios)]


def metrics_after(
    metrics: Mapping[str, MetricInForce], metric: Metric, append_time: int = 0
) -> dict[str, MetricInForce]:
    """What a version of one metric changes: itself, and what depends on it."""
    definitions = {key: each.definition for key, each in metrics.items()} | {metric.key: metric}

    def parts_of(each: Metric) -> tuple[Metric, ...]:
        return tuple(definitions[key] for key in (each.numerator, each.denominator) if key in definitions)

    changed = {}
    for each in (metric, *(other for other in readers_of(metrics, metric.key) if other.key != metric.key)):
        standing = metrics.get(each.key)
        others = [definitions[key] for key in (each.cuped.others if each.cuped else ()) if key in definitions]
        after = MetricInForce(
            definition=each,
            version=1,
            append_time=append_time,
            parts=parts_of(each),
            recorded=append_time,
            others=tuple(parts_of(other) or (other,) for other in others),
        )
        if standing:
            is_another = standing.measures != after.measures
            reads_on = (standing.past_facts, standing.lookback) == (after.past_facts, after.lookback)
            after = replace(
                after,
                version=standing.version + is_another,
                document_version=standing.document_version + (each is metric),
                recorded=standing.recorded if reads_on else append_time,
            )
        changed[each.key] = after
    return changed
