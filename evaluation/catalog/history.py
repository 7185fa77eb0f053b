"""History: the catalog as a fold over the records of its topic, and as of any append time.

A record counts if it is a valid document and its `base` is the version that stands; others are ignored and reported, so
two editors cannot overwrite each other unnoticed. A version applies to input appended at least `SETTLING` after it: by
append time, not by arrival, so that every reader agrees.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from operator import is_
from sys import intern
from typing import Any, TypeVar

import msgspec

from evaluation.catalog.answerable import answer_violations
from evaluation.catalog.in_force import (
    SETTLING,
    Catalog,
    FlagInForce,
    InForce,
    MetricInForce,
    PlanInForce,
    RunInForce,
    metrics_after,
    readers_of,
)
from evaluation.catalog.logs import logs_after
from evaluation.catalog.metric_rules import metric_violations
from evaluation.catalog.notification_rules import notification_violations
from evaluation.catalog.plan_rules import calendar_violations, plan_violations, progress_violations
from evaluation.catalog.recounts import flag_after, listed_after, reading
from evaluation.catalog.references import (
    cohort_violations,
    dependents,
    group_violations,
    reference_violations,
    regrouping_violations,
)
from evaluation.catalog.remembering import comment_violations
from evaluation.catalog.rules import Violation, flag_violations, state_violations
from evaluation.catalog.source_rules import source_violations
from evaluation.catalog.template_rules import template_violations
from schemas.brief import Brief
from schemas.catalog import (
    FORMER_DECIMALS,
    KINDS,
    Cohort,
    Definition,
    Deployment,
    Document,
    Flag,
    FlagState,
    Group,
    Kind,
    Metric,
    Run,
    Spec,
    Template,
)
from schemas.comment import Comment
from schemas.logs import Logs
from schemas.notification import NotificationRule
from schemas.plan import Progress
from schemas.recount import Recount
from schemas.source import REGISTERED, ForeignSource

OneSpec = TypeVar(
    "OneSpec",
    Metric,
    FlagState,
    Group,
    Cohort,
    Deployment,
    NotificationRule,
    Template,
    Brief,
    ForeignSource,
    Comment,
    Recount,
    Logs,
)
PLAIN: dict[str, tuple[str, Any]] = {  # kinds without a life of their own: where the catalog has them, and what
    "group": ("groups", Group),
    "cohort": ("cohorts", Cohort),
    "deployment": ("deployments", Deployment),
    "notification": ("notifications", NotificationRule),
    "template": ("templates", Template),
    "brief": ("briefs", Brief),
    "source": ("sources", ForeignSource),
    "comment": ("comments", Comment),
}
KEPT: tuple[Kind, ...] = ("flag", "comment")  # kinds of which a history keeps what every version says
Simple = TypeVar("Simple", Metric, Group, Cohort, Deployment, NotificationRule, Template, Brief, ForeignSource, Comment)


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record of the topic that is no version of any document, and why."""

    offset: int
    reason: str


@dataclass(frozen=True, slots=True)
class DocumentVersion:
    """A record of the topic that counted; what it says is kept of flags, which commands edit, and of comments."""

    offset: int
    append_time: int  # ms UTC
    document: Document


class History:
    """The catalog as of any append time: every state that the topic's records made."""

    def __init__(self) -> None:
        self.states = [Catalog()]
        self.versions: list[DocumentVersion] = []
        self.rejected: list[Rejected] = []
        self.first_sources: dict[str, InForce[ForeignSource]] = {}  # the first version of each
        self.registered: list[ForeignSource] = []  # every version of those whose records only a schema explains
        self._applies_from = [0]

    @property
    def newest(self) -> Catalog:
        """The state after the last record that was read."""
        return self.states[-1]

    def append(self, offset: int, append_time: int, value: bytes | None) -> None:
        """Read one more record of the topic."""
        catalog, found = after(self.newest, offset, append_time, value)
        self.states.append(catalog)
        self._applies_from.append(max(self._applies_from[-1], append_time + SETTLING))
        if isinstance(found, Rejected):
            self.rejected.append(found)
        else:
            if found.kind == "source":
                source = catalog.sources[found.key]
                self.first_sources.setdefault(found.key, source)
                if source.definition.format in REGISTERED:
                    self.registered.append(source.definition)
            document = found if found.kind in KEPT else msgspec.structs.replace(found, spec=msgspec.Raw())
            self.versions.append(DocumentVersion(offset, append_time, document))

    def next_version(self, spec: Spec, author: str, reason: str, time: int) -> Document:
        """The document that puts `spec` in the place of what stands, or begins with it; `time` in ms UTC."""
        kind, key = KINDS[type(spec)], (spec.definition if isinstance(spec, FlagState) else spec).key
        base = self.newest.version_of(kind, key)
        return Document(
            kind=kind,
            key=key,
            version=base + 1,
            base=base,
            author=author,
            time=time,
            reason=reason,
            spec=msgspec.Raw(msgspec.json.encode(spec)),
        )

    def suppose(self, spec: Spec, append_time: int) -> None:
        """Go on as if the next version of a document had been published then (ms UTC), whoever asks.

        Raises ValueError where readers would ignore it.
        """
        document = self.next_version(spec, "-", "-", 0)
        self.append(self.newest.offset, append_time, msgspec.json.encode(document))
        if self.rejected:
            why = self.rejected[-1].reason
            raise ValueError(f"version {document.version} of '{document.key}' is no document: {why}")

    def copy(self) -> "History":
        """The same as far as it goes; each goes on by itself."""
        other = History()
        other.states, other.versions = [*self.states], [*self.versions]
        other.rejected, other._applies_from = [*self.rejected], [*self._applies_from]
        other.first_sources, other.registered = {**self.first_sources}, [*self.registered]
        return other

    def changed(self, change: Callable[[Catalog], Catalog]) -> "History":
        """The same, each state as `change` makes it: it keeps the offset."""
        other = self.copy()
        other.states = [*map(change, self.states)]
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

    def versions_of(self, kind: Kind, key: str) -> list[DocumentVersion]:
        """Every version of one document, oldest first."""
        return [each for each in self.versions if (each.document.kind, each.document.key) == (kind, key)]

    def state_of(self, flag: str) -> FlagState | None:
        """A flag's newest document: what commands edit."""
        versions = self.versions_of("flag", flag)
        return decode_spec(versions[-1].document, FlagState) if versions else None


def after(catalog: Catalog, offset: int, append_time: int, value: bytes | None) -> tuple[Catalog, Document | Rejected]:
    """The catalog after one more record, and the document that it held, or why it was ignored."""
    unchanged = replace(catalog, offset=offset + 1, append_time=append_time)
    try:
        document = decode_document(value)
        return _with(document, catalog, unchanged), document
    except (msgspec.MsgspecError, ValueError, ArithmeticError) as error:
        return unchanged, Rejected(offset, str(error))


def _with(document: Document, catalog: Catalog, unchanged: Catalog) -> Catalog:
    stands = catalog.version_of(document.kind, document.key)
    if document.base != stands or document.version != document.base + 1:
        raise ValueError(
            f"version {document.version} of {document.kind} '{document.key}' edits version {document.base}, "
            f"but version {stands} stands; read it again and apply the change to that one"
        )
    append_time = unchanged.append_time
    match document.kind:
        case "metric":
            changed = metrics_after(catalog.metrics, _sound(document, Metric, catalog), append_time)
            flags = {key: _with_metrics(flag, changed) for key, flag in catalog.flags.items()}
            return replace(unchanged, metrics=catalog.metrics | changed, flags=flags)
        case "flag":
            flag = _flag_after(document, _state(document, catalog), append_time, catalog)
            return replace(unchanged, flags={**catalog.flags, document.key: flag})
        case "recount":
            recount = decode_spec(document, Recount)
            _require(document, recount.key, ())
            flag = flag_after(catalog, recount, unchanged.offset - 1)
            said = InForce(recount, document.version, append_time)
            return replace(
                unchanged,
                flags={**catalog.flags, document.key: flag},
                recounts={**catalog.recounts, document.key: said},
            )
        case "logs":
            logs = decode_spec(document, Logs)
            _require(document, logs.key, ())
            return replace(unchanged, logs=logs_after(catalog.logs, logs, append_time))
        case plain:
            name, kind = PLAIN[plain]
            definition: Any = _sound(document, kind, catalog)
            if isinstance(definition, Cohort):
                # What every state holds of 100,000 ids are pointers: versions share the texts.
                definition = msgspec.structs.replace(definition, ids=tuple(map(intern, definition.ids)))
            held = getattr(catalog, name) | {document.key: InForce(definition, document.version, append_time)}
            others: dict[str, Any] = {name: held}
            return replace(unchanged, **others)


def edit_violations(definition: Definition, catalog: Catalog) -> list[Violation]:
    """What is wrong with an edit of a document: what its readers would refuse, and what engines cannot answer."""
    return [*violations_of(definition, catalog), *answer_violations(definition), *calendar_violations(definition)]


def violations_of(definition: Definition | Comment, catalog: Catalog) -> list[Violation]:  # noqa: PLR0911 (by kind)
    """Why readers would ignore another version of a document, or its first one.

    What stood is not judged anew: a rule that came later is for edits (see answerable.py).
    """
    match definition:
        case Flag():
            metrics = {key: metric.definition for key, metric in catalog.metrics.items()}
            return [
                *flag_violations(definition, metrics),
                *plan_violations(definition),
                *reference_violations(definition, catalog.known),
            ]
        case Metric():
            metrics = {key: metric.definition for key, metric in catalog.metrics.items()} | {definition.key: definition}
            concerned = (definition, *readers_of(catalog.metrics, definition.key))
            return [violation for each in concerned for violation in metric_violations(each, metrics)]
        case Group():
            before, running = catalog.groups.get(definition.key), catalog.running_in(definition.key)
            changes = regrouping_violations(before.definition, definition, running) if before else ()
            return [*group_violations(definition, catalog.known), *changes]
        case Cohort():
            former = catalog.cohorts.get(definition.key)
            return list(cohort_violations(definition, former.definition if former else None))
        case Deployment() | Brief():
            return []
        case NotificationRule():
            return list(notification_violations(definition))
        case Template():
            return list(template_violations(definition))
        case ForeignSource():
            standing = catalog.sources.get(definition.key)
            return list(source_violations(definition, standing.definition if standing else None))
        case Comment():
            return list(comment_violations(definition, catalog.flags))


def decode_document(value: bytes | None) -> Document:
    """The document that a record of the topic holds. Raises ValueError or msgspec's errors."""
    if not value:
        raise ValueError("the record is empty; a document is never deleted, its next version says so")
    try:
        return msgspec.json.decode(value, type=Document)
    except RecursionError:
        raise ValueError("the record is nested too deeply") from None


def decode_spec(document: Document, kind: type[OneSpec]) -> OneSpec:
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


def _state(document: Document, catalog: Catalog) -> FlagState:
    state = decode_spec(document, FlagState)
    definition, standing = state.definition, catalog.flags.get(document.key)
    # A step that leaves the definition as it is must never fail because of another document: it may be the way out.
    is_new = standing is None or standing.definition != definition or (standing.removed and not state.removed)
    _require(document, definition.key, violations_of(definition, catalog) if is_new else ())
    _require(document, definition.key, state_violations(state))
    _require(document, definition.key, progress_violations(state))
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
        read = {key: reading(metric, run) for key, metric in changed.items() if key in run.since}
        coming = run.coming and touched(run.coming)
        if not read or run.completed is not None:
            return run if coming is run.coming else replace(run, coming=coming)
        anew = [metric for key, metric in read.items() if metric.version != run.metrics[key].version]
        since = {metric.definition.key: max(metric.append_time + SETTLING, run.started) for metric in anew}
        return replace(run, since=run.since | since, metrics=run.metrics | read, coming=coming)

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
        for name in ("exposure_event", "identity"):
            if known and getattr(known.definition, name) != getattr(state.definition, name):
                raise ValueError(f"flag '{document.key}' changes its {name} while '{run.key}' is open; complete it")
        runs.append(_run_after(document.key, run, known, state.definition, append_time, catalog.metrics))
    return FlagInForce(
        definition=state.definition,
        status=state.status,
        version=document.version,
        append_time=append_time,
        runs=tuple(runs),
        rolled_out=state.rolled_out,
        removed=state.removed,
        plan=_plan_after(document, state.progress, append_time, standing.plan if standing else None),
        listed=listed_after(standing.listed if standing else {}, state.definition, catalog.metrics, document.version),
    )


def _run_after(  # noqa: PLR0917
    flag: str,
    run: Run,
    known: RunInForce | None,
    definition: Flag,
    append_time: int,
    metrics: Mapping[str, MetricInForce],
) -> RunInForce:
    """An open run after a version of its flag, which `known` was before. It goes on with the breakdowns that it has."""
    since, from_now = (known.since, append_time + SETTLING) if known else ({}, append_time)
    goals = [goal.metric for goal in definition.metrics]
    coming = known and known.coming
    return RunInForce(
        flag=flag,
        key=run.key,
        salt=run.salt,
        allocations=run.allocations,
        started=known.started if known else append_time,
        completed=None if run.completed is None else append_time,
        since={metric: since.get(metric, from_now) for metric in goals},
        definition=definition
        if known is None
        else msgspec.structs.replace(definition, breakdowns=known.definition.breakdowns),
        metrics={metric: reading(metrics[metric], known) for metric in goals},
        generation=known.generation if known else 0,
        coming=coming and _run_after(flag, run, coming, definition, append_time, metrics),
        exploratory=known.exploratory if known else {},
    )


def _plan_after(
    document: Document, progress: Progress | None, append_time: int, before: PlanInForce | None
) -> PlanInForce | None:
    """How far the plan has come, and since when. Raises ValueError where it would have been otherwise before."""
    if progress is None:
        return None
    former = before.progress if before else None
    if progress.evidence and not (former and progress.evidence == former.evidence):
        _when(document, progress.evidence.version, append_time)
    taken = _when(document, progress.taken, append_time, (former.taken, before.taken) if former and before else None)
    if progress.paused is None:
        return PlanInForce(progress, taken, None)
    had = (former.paused.version, before.paused) if former and former.paused and before else None
    return PlanInForce(progress, taken, _when(document, progress.paused.version, append_time, had))


def _when(document: Document, version: int, append_time: int, had: tuple[int, int | None] | None = None) -> int:
    """When a version did what it is said to have done: this one, or the one that was said to have `had` done it."""
    if version == document.version:
        return append_time
    if had and version == had[0] and had[1] is not None:
        return had[1]
    raise ValueError(
        f"flag '{document.key}' rewrites how its plan came so far, by what version {version} is said to have done; say "
        f"what version {document.version} does, and keep the rest"
    )
