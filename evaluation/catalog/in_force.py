"""Catalog: the documents in force, as a fold over the records of the topic, and as of any append time.

A record counts if it is a valid document and its `base` is the version that stands; others are ignored and reported, so
two editors cannot overwrite each other unnoticed. A version applies to input appended at least `SETTLING` after it: by
append time, not by arrival, so that every reader agrees.
"""

import builtins
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from operator import is_
from sys import intern
from typing import Any, Generic, Literal, TypeVar

import msgspec

from evaluation.catalog.answerable import answer_violations
from evaluation.catalog.logs import LogsInForce, logs_after
from evaluation.catalog.metric_rules import metric_violations
from evaluation.catalog.references import (
    Known,
    cohort_violations,
    dependents,
    group_violations,
    reference_violations,
    regrouping_violations,
)
from evaluation.catalog.rules import Violation, flag_violations, state_violations
from schemas.catalog import (
    FORMER_DECIMALS,
    Allocation,
    Cohort,
    Condition,
    Definition,
    Deployment,
    Document,
    Flag,
    FlagState,
    FlagStatus,
    Group,
    GroupSlot,
    Inclusion,
    Kind,
    Metric,
    Removal,
    Step,
    Variant,
)
from schemas.duration import parse_duration
from schemas.logs import LOGS, Logs

SETTLING = 1_000  # ms between a version's append time and the input that it applies to

Spec = TypeVar("Spec", Metric, FlagState, Group, Cohort, Deployment, Logs)
Plain = TypeVar("Plain", Group, Cohort, Deployment)
Simple = TypeVar("Simple", Metric, Group, Cohort, Deployment)


class Fact(msgspec.Struct, frozen=True):
    """What an event contributes: 1, or a property's value quantised to `scale` decimal places. Metrics share facts.

    Only events count that satisfy every condition.
    """

    event: str
    property: str | None
    scale: int
    where: tuple[Condition, ...] = ()

    @builtins.property
    def key(self) -> str:
        """The fact's name in the header of `units` messages: a JSON array."""
        return msgspec.json.encode(msgspec.structs.astuple(self)).decode()


class Variable(msgspec.Struct, frozen=True):
    """One number of a unit, before it is capped and logged: what a metric adds up, or one side of a ratio.

    `facts` are those of a funnel's steps, of a retention's start and return, else one. `cap` and `lower_cap` are in
    units of 10^-places of the facts' scale. `places` are the decimal places of the number that is added up.
    """

    type: Literal["conversion", "count", "sum", "mean", "funnel", "retention"]
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

    `parts` are the numerator and the denominator of a ratio, as they stand. `version` counts what it measured: another
    description, owner or name is none, another part of a ratio is one. `recorded` is the append time from which on
    events before an entry are kept for it.
    """

    definition: Metric
    version: int
    append_time: int
    parts: tuple[Metric, ...] = ()
    document_version: int = 1
    recorded: int = 0

    @property
    def measures(self) -> tuple[object, ...]:
        """All that its numbers depend on."""
        return self.variables, self.window, self.lookback

    @property
    def variables(self) -> tuple[Variable, ...]:
        """What it adds up: one number per unit, of a ratio numerator and denominator."""
        return tuple(_variable(part) for part in self.parts or (self.definition,))

    @property
    def facts(self) -> tuple[Fact, ...]:
        """What it reads of events, each once."""
        return tuple(dict.fromkeys(fact for variable in self.variables for fact in variable.facts))

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
            scale = metric.decimals if metric.property else 0
            facts = (Fact(metric.event or "", metric.property, scale, metric.where),)
    scale = facts[0].scale
    period = parse_duration(metric.period)
    is_retention = metric.type == "retention"
    return Variable(
        type=metric.type,  # type: ignore[arg-type]  # a ratio has parts
        facts=facts,
        places=metric.decimals if metric.log else scale,
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
    completed: later edits are for later runs.
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

    @property
    def allocation(self) -> Allocation | None:
        """Who gets what now: by the open run, or by the roll-out; None: everybody gets `off`."""
        if self.removed:
            return None
        return self.runs[-1].allocations[-1] if self.status == "running" else self.rolled_out

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


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record of the topic that is no version of any document, and why."""

    offset: int
    reason: str


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
    logs: LogsInForce | None = None

    def standing(self, kind: Kind, key: str) -> FlagInForce | MetricInForce | InForce[Any] | LogsInForce | None:
        """The document of a kind and key, if there is one."""
        documents: dict[Kind, Mapping[str, FlagInForce | MetricInForce | InForce[Any] | LogsInForce]] = {
            "flag": self.flags,
            "metric": self.metrics,
            "group": self.groups,
            "cohort": self.cohorts,
            "deployment": self.deployments,
            "logs": {LOGS: self.logs} if self.logs else {},
        }
        return documents[kind].get(key)

    def version_of(self, kind: Kind, key: str) -> int:
        """The version of a document that stands; 0: there is none."""
        standing = self.standing(kind, key)
        if isinstance(standing, MetricInForce):
            return standing.document_version
        return standing.version if standing else 0

    def beside(self, definition: Definition) -> list[str]:
        """The keys that share a space of names with a definition's; a flag that was deleted has none any more."""
        match definition:
            case Flag() | Group():
                return [*(key for key, flag in self.flags.items() if flag.removed != "deleted"), *self.groups]
            case Metric():
                return [*self.metrics]
            case Cohort():
                return [*self.cohorts]
            case Deployment():
                return [*self.deployments]

    @property
    def known(self) -> Known:
        """What a document may name."""
        return Known(
            flags={key: flag.definition for key, flag in self.flags.items() if not flag.removed},
            groups={key: group.definition for key, group in self.groups.items()},
            cohorts={key: cohort.definition for key, cohort in self.cohorts.items()},
            deployments=self.deployments.keys(),
        )

    def running_in(self, group: str) -> list[str]:
        """The flags that run and belong to a group."""
        return [
            key
            for key, flag in self.flags.items()
            if flag.status == "running" and any(each.group == group for each in flag.definition.groups)
        ]

    def after(self, offset: int, append_time: int, value: bytes | None) -> tuple["Catalog", Document | Rejected]:
        """The catalog after one more record, and what the record holds, or why it was ignored."""
        unchanged = replace(self, offset=offset + 1, append_time=append_time)
        try:
            document = decode_document(value)
            return self._with(unchanged, document), document
        except (msgspec.MsgspecError, ValueError, ArithmeticError) as error:
            return unchanged, Rejected(offset, str(error))

    def _with(self, unchanged: "Catalog", document: Document) -> "Catalog":
        stands = self.version_of(document.kind, document.key)
        if document.base != stands or document.version != document.base + 1:
            raise ValueError(
                f"version {document.version} of {document.kind} '{document.key}' edits version {document.base}, "
                f"but version {stands} stands; read it again and apply the change to that one"
            )
        append_time = unchanged.append_time
        match document.kind:
            case "metric":
                changed = metrics_after(self.metrics, _sound(document, Metric, self), append_time)
                flags = {key: _with_metrics(flag, changed) for key, flag in self.flags.items()}
                return replace(unchanged, metrics=self.metrics | changed, flags=flags)
            case "flag":
                flag = _flag_after(document, _state(document, self), append_time, self)
                return replace(unchanged, flags={**self.flags, document.key: flag})
            case "group":
                group = InForce(_sound(document, Group, self), document.version, append_time)
                return replace(unchanged, groups={**self.groups, document.key: group})
            case "cohort":
                definition = _sound(document, Cohort, self)
                # What every state holds of 100,000 ids are pointers: versions share the texts.
                definition = msgspec.structs.replace(definition, ids=tuple(map(intern, definition.ids)))
                cohort = InForce(definition, document.version, append_time)
                return replace(unchanged, cohorts={**self.cohorts, document.key: cohort})
            case "deployment":
                deployment = InForce(_sound(document, Deployment, self), document.version, append_time)
                return replace(unchanged, deployments={**self.deployments, document.key: deployment})
            case "logs":
                logs = decode_spec(document, Logs)
                _require(document, logs.key, ())
                return replace(unchanged, logs=logs_after(self.logs, logs, append_time))


def edit_violations(definition: Definition, catalog: Catalog) -> list[Violation]:
    """What is wrong with an edit of a document: what its readers would refuse, and what engines cannot answer."""
    return [*violations_of(definition, catalog), *answer_violations(definition)]


def violations_of(definition: Definition, catalog: Catalog) -> list[Violation]:
    """Why readers would ignore another version of a document, or its first one.

    What stood is not judged anew: a rule that came later is for edits (see answerable.py).
    """
    match definition:
        case Flag():
            metrics = {key: metric.definition for key, metric in catalog.metrics.items()}
            return [*flag_violations(definition, metrics), *reference_violations(definition, catalog.known)]
        case Metric():
            metrics = {key: metric.definition for key, metric in catalog.metrics.items()} | {definition.key: definition}
            concerned = (definition, *_ratios_of(catalog.metrics, definition.key))
            return [violation for each in concerned for violation in metric_violations(each, metrics)]
        case Group():
            before, running = catalog.groups.get(definition.key), catalog.running_in(definition.key)
            changes = regrouping_violations(before.definition, definition, running) if before else ()
            return [*group_violations(definition, catalog.known), *changes]
        case Cohort():
            former = catalog.cohorts.get(definition.key)
            return list(cohort_violations(definition, former.definition if former else None))
        case Deployment():
            return []


def decode_document(value: bytes | None) -> Document:
    """The document that a record of the topic holds. Raises ValueError or msgspec's errors."""
    if not value:
        raise ValueError("the record is empty; a document is never deleted, its next version says so")
    try:
        return msgspec.json.decode(value, type=Document)
    except RecursionError:
        raise ValueError("the record is nested too deeply") from None


def decode_spec(document: Document, kind: type[Spec]) -> Spec:
    """What the document holds. Raises ValueError or msgspec's errors."""
    try:
        return msgspec.json.decode(document.spec, type=kind)
    except (RecursionError, msgspec.MsgspecError) as error:
        raise ValueError(f"spec of {document.kind} '{document.key}': {error}") from None


def _sound(document: Document, kind: type[Simple], catalog: Catalog) -> Simple:
    definition = decode_spec(document, kind)
    if isinstance(definition, Metric):
        definition = with_decimals(definition, FORMER_DECIMALS)  # type: ignore[assignment]
    _require(document, definition.key, violations_of(definition, catalog))
    return definition


def with_decimals(metric: Metric, decimals: int) -> Metric:
    """The metric with so many decimal places, where it says none and its numbers depend on them."""
    if metric.scale is not None or not metric.keeps_decimals:
        return metric
    return msgspec.structs.replace(metric, scale=decimals)


def _ratios_of(metrics: Mapping[str, MetricInForce], key: str) -> list[Metric]:
    every = (metric.definition for metric in metrics.values())
    return [each for each in every if key in (each.numerator, each.denominator)]


def metrics_after(
    metrics: Mapping[str, MetricInForce], metric: Metric, append_time: int = 0
) -> dict[str, MetricInForce]:
    """What a version of one metric changes: itself, and the ratios that it is a part of."""
    definitions = {key: each.definition for key, each in metrics.items()} | {metric.key: metric}
    changed = {}
    for each in (metric, *_ratios_of(metrics, metric.key)):
        standing = metrics.get(each.key)
        after = MetricInForce(
            definition=each,
            version=1,
            append_time=append_time,
            parts=tuple(definitions[key] for key in (each.numerator, each.denominator) if key in definitions),
            recorded=append_time,
        )
        if standing:
            is_another = standing.measures != after.measures
            reads_on = (standing.facts, standing.lookback) == (after.facts, after.lookback)
            after = replace(
                after,
                version=standing.version + is_another,
                document_version=standing.document_version + (each is metric),
                recorded=standing.recorded if reads_on else append_time,
            )
        changed[each.key] = after
    return changed


def _state(document: Document, catalog: Catalog) -> FlagState:
    state = decode_spec(document, FlagState)
    definition, standing = state.definition, catalog.flags.get(document.key)
    # A step that leaves the definition as it is must never fail because of another document: it may be the way out.
    is_new = standing is None or standing.definition != definition or (standing.removed and not state.removed)
    _require(document, definition.key, violations_of(definition, catalog) if is_new else ())
    _require(document, definition.key, state_violations(state))
    if state.removed and (needed_by := dependents(document.key, catalog.known.flags)):
        raise ValueError(f"flag '{document.key}' is {state.removed}, but {', '.join(needed_by)} needs it")
    return state


def _require(document: Document, key: str, violations: Iterable[Violation]) -> None:
    name = f"{document.kind} '{document.key}'"
    if key != document.key:
        raise ValueError(f"{name} holds the spec of '{key}'; a document and its spec have one key")
    for violation in violations:
        raise ValueError(f"{name}: {violation}")


def _with_metrics(flag: FlagInForce, changed: Mapping[str, MetricInForce]) -> FlagInForce:
    """What measures something else is another column of every open run that reads it, from now on."""

    def touched(run: RunInForce) -> RunInForce:
        read = {key: metric for key, metric in changed.items() if key in run.since}
        if not read or run.completed is not None:
            return run
        anew = [metric for key, metric in read.items() if metric.version != run.metrics[key].version]
        since = {metric.definition.key: max(metric.append_time + SETTLING, run.started) for metric in anew}
        return replace(run, since=run.since | since, metrics=run.metrics | read)

    runs = tuple(map(touched, flag.runs))
    return flag if all(map(is_, runs, flag.runs)) else replace(flag, runs=runs)


def _flag_after(document: Document, state: FlagState, append_time: int, catalog: Catalog) -> FlagInForce:
    standing = catalog.flags.get(document.key)
    if standing and standing.removed == "deleted":
        raise ValueError(f"flag '{document.key}' was deleted for ever in version {standing.version}")
    before = {run.key: run for run in standing.runs} if standing else {}
    now_there = {run.key for run in state.runs}
    if lost := [key for key in before if key not in now_there]:
        raise ValueError(f"flag '{document.key}' loses its run '{lost[0]}'; runs are kept for ever")
    runs = []
    for run in state.runs:
        known = before.get(run.key)
        if known and (
            known.salt != run.salt
            or known.allocations != run.allocations[: len(known.allocations)]
            or (known.completed is not None and run.completed is None)
        ):
            raise ValueError(f"flag '{document.key}' rewrites the past of its run '{run.key}'; start another run")
        if known and known.completed is not None:
            runs.append(known)
            continue
        for name in ("breakdowns", "exposure_event"):
            if known and getattr(known.definition, name) != getattr(state.definition, name):
                raise ValueError(f"flag '{document.key}' changes its {name} while '{run.key}' is open; complete it")
        since, from_now = (known.since, append_time + SETTLING) if known else ({}, append_time)
        goals = [goal.metric for goal in state.definition.metrics]
        runs.append(
            RunInForce(
                flag=document.key,
                key=run.key,
                salt=run.salt,
                allocations=run.allocations,
                started=known.started if known else append_time,
                completed=None if run.completed is None else append_time,
                since={metric: since.get(metric, from_now) for metric in goals},
                definition=state.definition,
                metrics={metric: catalog.metrics[metric] for metric in goals},
            )
        )
    return FlagInForce(
        state.definition, state.status, document.version, append_time, tuple(runs), state.rolled_out, state.removed
    )


@dataclass(frozen=True, slots=True)
class Version:
    """A record of the topic that counted; what it says is kept of flags only, which commands edit."""

    offset: int
    append_time: int  # ms UTC
    document: Document


class History:
    """The catalog as of any append time: every state that the topic's records made."""

    def __init__(self) -> None:
        self.states = [Catalog()]
        self.versions: list[Version] = []
        self.rejected: list[Rejected] = []
        self._applies_from = [0]

    @property
    def newest(self) -> Catalog:
        """The state after the last record that was read."""
        return self.states[-1]

    def append(self, offset: int, append_time: int, value: bytes | None) -> None:
        """Read one more record of the topic."""
        catalog, found = self.newest.after(offset, append_time, value)
        self.states.append(catalog)
        self._applies_from.append(max(self._applies_from[-1], append_time + SETTLING))
        if isinstance(found, Rejected):
            self.rejected.append(found)
        else:
            if found.kind != "flag":
                found = msgspec.structs.replace(found, spec=msgspec.Raw())
            self.versions.append(Version(offset, append_time, found))

    def copy(self) -> "History":
        """The same as far as it goes; each goes on by itself."""
        other = History()
        other.states, other.versions = [*self.states], [*self.versions]
        other.rejected, other._applies_from = [*self.rejected], [*self._applies_from]
        return other

    def index_at(self, append_time: int) -> int:
        """Which state applies to input appended at that time (ms UTC)."""
        return max(0, bisect_right(self._applies_from, append_time) - 1)

    @property
    def boundaries(self) -> list[int]:
        """Append times (ms UTC, ascending) from which on each state applies."""
        return self._applies_from

    def at_offset(self, offset: int) -> Catalog:
        """The state after every record before `offset` of the topic."""
        index = bisect_right(self.states, offset, key=lambda state: state.offset) - 1
        return self.states[index]

    def versions_of(self, kind: Kind, key: str) -> list[Version]:
        """Every version of one document, oldest first."""
        return [each for each in self.versions if (each.document.kind, each.document.key) == (kind, key)]

    def state_of(self, flag: str) -> FlagState | None:
        """A flag's newest document: what commands edit."""
        versions = self.versions_of("flag", flag)
        return decode_spec(versions[-1].document, FlagState) if versions else None
