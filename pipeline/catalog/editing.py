"""Editing: changes of the catalog, by files and by commands. The command line and the HTTP API call the same functions.

A change is worked out (and refused) purely, shown with its consequences, and published only if no other editor was
faster. What is risky wants a yes.
"""

import asyncio
import secrets
import string
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Literal

import msgspec

from evaluation.catalog import consequences, lifecycle
from evaluation.catalog.answerable import answer_notes, answer_violations, case_violations
from evaluation.catalog.consequences import Consequence, differing
from evaluation.catalog.history import History, edit_violations, with_decimals
from evaluation.catalog.in_force import Catalog, FlagInForce, ratios_of
from evaluation.catalog.lifecycle import LifecycleError, steps_between
from evaluation.catalog.metric_rules import CAPS, metric_violations
from evaluation.catalog.needs import unmet_needs
from evaluation.catalog.ramps import planned, unplanned
from evaluation.catalog.recounts import consequences_of, flag_after, short_of, why_not
from evaluation.catalog.references import (
    Known,
    cohort_violations,
    dependents,
    metric_order,
    prerequisite_order,
    regrouping_violations,
)
from evaluation.catalog.remarks import named_by, remarks_of
from evaluation.catalog.remembering import brief_violations
from evaluation.catalog.rules import Violation, did_you_mean
from evaluation.catalog.uses import Use, uses
from evaluation.plans.acts import Act, CompleteRun, PausePlan, RollBack, RollOut, StartFlag, TakeStep
from evaluation.plans.resuming import Resuming
from pipeline.catalog.documents import Documents
from pipeline.catalog.faults import DocumentError, Fault
from pipeline.catalog.fitting import fit_violations
from pipeline.catalog.topic import CatalogWriter, EditConflictError, next_version, size_fault
from pipeline.errors import PeekproofError
from pipeline.settings import Settings
from schemas.brief import Brief
from schemas.catalog import (
    DECIMALS,
    KIND_OF,
    Cohort,
    Definition,
    Document,
    Flag,
    FlagState,
    FlagStatus,
    Group,
    Kind,
    Metric,
    Removal,
    Spec,
    WrittenKind,
)
from schemas.comment import Comment
from schemas.logs import Logs
from schemas.plan import AUTHOR as PLAN
from schemas.plan import Evidence, Plan
from schemas.recount import Recount
from schemas.source import ForeignSource

ORDER: tuple[WrittenKind, ...] = (  # each kind behind those that it may name
    "cohort",
    "deployment",
    "notification",
    "group",
    "metric",
    "flag",
    "template",
    "brief",
    "source",
)
SALT_CHARACTERS = string.ascii_letters + string.digits

StepName = Literal[
    "start", "complete", "restart", "rollout", "rollback", "pause", "resume", "archive", "restore", "delete"
]
OFFERED: dict[StepName, tuple[FlagStatus | Removal, ...]] = {  # to a person, by where the flag stands
    "start": ("draft",),
    "rollout": ("draft", "running", "complete", "rolled out", "rolled back"),
    "rollback": ("running", "complete", "rolled out"),
    "complete": ("running",),
    "restart": ("running", "complete", "rolled out", "rolled back"),
    "pause": ("running",),  # where it has a plan
    "resume": ("running",),  # where its plan is paused
    "archive": ("draft", "complete", "rolled out", "rolled back"),
    "restore": ("archived",),
    "delete": (),
}


class RefusedError(PeekproofError):
    """An edit that must not be made: the reason and the way out, and by field, where fields are to blame."""

    def __init__(self, reason: str, violations: Sequence[Violation] = ()) -> None:
        self.violations = tuple(violations)
        super().__init__(reason)


class RiskError(PeekproofError):
    """An edit that costs something, and was made without a yes: nothing was published."""

    def __init__(self, risks: list[str]) -> None:
        self.risks = risks
        super().__init__("\n".join([*risks, "nothing was changed; to do it nevertheless, say --yes"]))


class UnfinishedError(PeekproofError):
    """An edit of several documents that something ended midway: why, and which of them stand."""


@dataclass(frozen=True, slots=True)
class Signature:
    """Who edits, and why, for the audit log. Raises RefusedError where a person would sign as a plan does."""

    author: str
    reason: str

    def __post_init__(self) -> None:
        if self.author.strip().casefold() == PLAN:
            raise RefusedError(
                f"'{self.author}' is how versions are signed that a flag's plan writes by itself; sign by another name"
            )


@dataclass(frozen=True, slots=True)
class Change:
    """A new version of one document: its spec, what differs, and what follows from it."""

    kind: Kind
    key: str
    version: int
    spec: Spec
    fields: tuple[str, ...] = ()  # of the definition; none: it is new, or a command left it as it is
    steps: tuple[str, ...] = ()  # what a command did
    consequences: tuple[Consequence, ...] = ()


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What publishing a definition comes to: what is wrong with it, or its next version; neither: it stands as it is.

    `notes` tell what may not be as it was meant.
    """

    definition: Definition
    violations: tuple[Violation, ...] = ()
    notes: tuple[Violation, ...] = ()
    change: Change | None = None
    document: Document | None = None

    @property
    def is_as_it_stands(self) -> bool:
        """Whether publishing it would change nothing."""
        return not self.violations and self.change is None

    @property
    def published(self) -> Definition:
        """The definition as it would be published: of a metric it says how many decimal places are kept."""
        spec = self.change.spec if self.change else self.definition
        assert not isinstance(spec, Logs | Comment | Recount)
        return spec.definition if isinstance(spec, FlagState) else spec


async def apply(
    writer: CatalogWriter,
    documents: Documents,
    signature: Signature,
    accept_risks: bool = False,
    *,
    from_start: bool = False,
) -> AsyncIterator[Change]:
    """Publish what differs from the catalog, all checked beforehand, and give each change when it stands.

    `from_start`: runs that would count some of it from now on are counted again.
    Raises DocumentError with every step that is refused, RiskError, and what `CatalogWriter.publish` raises.
    """
    found = changes(documents, writer.history)
    if from_start:
        found += recounts(found, writer.history)
    await require_fit(writer.settings, [each.spec for each in found])
    require_yes(found, accept_risks)
    edits = [(each, writer.next_version(each.spec, signature.author, signature.reason)) for each in found]
    for change, document in edits:
        await writer.publish(document)
        yield change


def recounts(found: Sequence[Change], history: History) -> list[Change]:
    """The recounts of runs that would not count all of these changes from their start. Raises RefusedError."""
    trial = history.copy()
    for change in found:
        trial.suppose(change.spec, trial.newest.append_time)
    catalog = trial.newest
    changed = {key for change in found if change.kind == "metric" for key in metrics_read(change.key, catalog)}
    concerned = {change.key for change in found if change.kind == "flag"}
    concerned |= {key for key, flag in catalog.flags.items() if changed & {*short_of(flag)}}
    return [begun(catalog, key) for key in sorted(concerned) if short_of(catalog.flags[key])]


def metrics_read(key: str, catalog: Catalog) -> list[str]:
    """A metric, and the ratios that it is a part of."""
    return [key, *(each.key for each in ratios_of(catalog.metrics, key))]


def begun(catalog: Catalog, key: str) -> Change:
    """That a flag's newest run is counted again from its start on. Raises RefusedError."""
    flag = catalog.flags[key]
    run = flag.runs[-1].key if flag.runs else "exp-1"
    if reason := why_not(flag, run):
        raise RefusedError(reason)
    spec = Recount(key=key, run=run, state="begun")
    coming = flag_after(catalog, spec, catalog.offset).runs[-1].coming
    assert coming
    follows = tuple(map(Consequence, consequences_of(flag, coming)))
    version = catalog.version_of("recount", key) + 1
    return Change("recount", key, version, spec, steps=(f"{run} is recounted",), consequences=follows)


async def create(
    writer: CatalogWriter, definition: Definition, signature: Signature, accept_risks: bool = False
) -> Change:
    """Publish a document that is new. Raises RefusedError where its key is taken or a rule is broken; RiskError."""
    kind = KIND_OF[type(definition)]
    if conflict := conflict_of(writer.history, kind, definition.key, base=0):
        raise RefusedError(conflict)
    (change,) = await edit(writer, [definition], signature, accept_risks)
    return change


async def edit(
    writer: CatalogWriter,
    definitions: Sequence[Definition],
    signature: Signature,
    accept_risks: bool = False,
    bases: Mapping[Use, int] | None = None,
    *,
    from_start: bool = False,
) -> list[Change]:
    """Publish other versions of documents, or their first, in this order; those that stand as they are have none.

    All is checked beforehand, each beside those before it. `bases` are versions that were decided on, by kind and key;
    `from_start` is as in `apply`. Raises RefusedError, RiskError; EditConflictError for a base that stands no more, and
    what `CatalogWriter.publish` raises, when another editor was faster; UnfinishedError, when some stand by then.
    """
    for (kind, key), base in (bases or {}).items():
        if conflict := conflict_of(writer.history, kind, key, base):
            raise EditConflictError(conflict)
    found = await asyncio.to_thread(foresee, definitions, writer.history.copy(), signature)  # ids may be many
    if violations := [each for one in found for each in one.violations]:
        raise RefusedError("\n".join(dict.fromkeys(map(str, violations))), violations)
    edits = [(each.change, each.document) for each in found if each.change and each.document]
    if from_start:
        anew = recounts([change for change, _ in edits], writer.history)
        edits += [(each, writer.next_version(each.spec, signature.author, signature.reason)) for each in anew]
    await require_fit(writer.settings, [change.spec for change, _ in edits])
    require_yes([change for change, _ in edits], accept_risks)
    for index, (_, document) in enumerate(edits):
        try:
            await writer.publish(document)
        except PeekproofError as error:
            if index == 0:
                raise
            standing = ", ".join(f"version {each.version} of {each.kind} '{each.key}'" for each, _ in edits[:index])
            raise UnfinishedError(f"{error}\nwhat came before it stands: {standing}; edit only the rest") from error
    return [change for change, _ in edits]


async def require_fit(settings: Settings, specs: Iterable[Spec]) -> None:
    """Raises RefusedError for sources that don't fit their topics."""
    for source in specs:
        if isinstance(source, ForeignSource) and (found := await fit_violations(settings, source)):
            raise RefusedError("\n".join(f"source '{source.key}': {each}" for each in found), found)


def foresee(
    definitions: Sequence[Definition], trial: History, signature: Signature, unsound: Collection[Use] = ()
) -> list[Foreseen]:
    """What publishing them in this order comes to. `trial` is a history of one's own, which takes them in.

    `unsound` are others that come with them and can't be read.
    """
    flags = {each.key: each for each in definitions if isinstance(each, Flag)}
    found, unsound = [], {*unsound}
    for definition in definitions:
        foreseen = _foresee(definition, trial, flags, signature)
        if foreseen.violations:
            unsound.add((KIND_OF[type(definition)], definition.key))
            missing = [(of, key) for of, key in uses(definition) if not trial.newest.version_of(of, key)]
            if others := [f"{of} '{key}'" for of, key in dict.fromkeys(missing) if (of, key) in unsound]:
                told = f"names {', '.join(others)}, which cannot be published as it comes with this; mend that first"
                foreseen = replace(foreseen, violations=(Violation((), told),))
        found.append(foreseen)
    return found


def _foresee(definition: Definition, trial: History, flags: Mapping[str, Flag], signature: Signature) -> Foreseen:
    """The same of one, among the `flags` that come with it."""
    catalog = trial.newest
    taken = _refused(definition, {**catalog.known.flags, **flags}, catalog)
    if violations := [*edit_violations(definition, catalog), *taken]:
        return Foreseen(definition, tuple(dict.fromkeys(violations)))
    notes = tuple(_notes(definition, catalog))
    try:
        change = _change(definition, trial, catalog.known)
    except LifecycleError as error:
        return Foreseen(definition, (Violation(error.path, str(error)),), notes)
    if change is None:
        return Foreseen(definition, notes=notes)
    (change,) = _with_needs([change], catalog)
    document = next_version(trial, change.spec, signature.author, signature.reason)
    value, ignored = msgspec.json.encode(document), len(trial.rejected)
    trial.append(catalog.offset, catalog.append_time, value)
    fault = trial.rejected[-1].reason if len(trial.rejected) > ignored else size_fault(value)
    return Foreseen(definition, (Violation((), fault),) if fault else (), notes, change, document)


def _notes(definition: Definition, catalog: Catalog) -> Iterator[Violation]:
    metrics = {key: metric.definition for key, metric in catalog.metrics.items()}
    if isinstance(definition, Flag):
        yield from answer_notes(definition, catalog.known)
    yield from remarks_of(definition, metrics, named_by(catalog.definitions()))


def conflict_of(history: History, kind: Kind, key: str, base: int) -> str | None:
    """Why an edit that rests on a version of a document is not made: another one stands. None: that one does."""
    stands = history.newest.version_of(kind, key)
    if base == stands:
        return None
    if not base:
        return f"{kind} '{key}' exists already (version {stands}); edit it, or choose another key"
    there = f"version {stands} of {kind} '{key}' stands" if stands else f"there is no {kind} '{key}'"
    return f"{there}, and not version {base} any more; look and decide anew"


async def plan(
    writer: CatalogWriter,
    key: str,
    plan: Plan | None,
    signature: Signature,
    *,
    base: int | None = None,
    accept_risks: bool = False,
) -> Change:
    """Give a flag a plan, or another one; None ends it, and leaves the percentages in force as they are.

    `base` is the version that was decided on. Raises EditConflictError, and as `edit` does.
    """
    before, version = _standing(writer, key, base)
    progress = before.progress if before.status == "running" else None
    definition = planned(before.definition, plan) if plan else unplanned(before.definition, progress)
    found = await edit(writer, [definition], signature, accept_risks)
    return found[0] if found else Change("flag", key, version - 1, before)


async def take(
    writer: CatalogWriter,
    step: StepName,
    key: str,
    signature: Signature,
    *,
    base: int | None = None,
    variant: str | None = None,
    as_experiment: bool = False,
    splits_anew: bool = False,
    resuming: Resuming | None = None,
    accept_risks: bool = False,
) -> Change:
    """Take a step in the life of a flag: `rollout` of a variant; `as_experiment`: a start without metrics is refused.

    `splits_anew`: a plain flag that starts again doesn't go on with its former salt. `resuming`: what who lets
    a plan go on should know.
    `base` is the version that was decided on. Raises RefusedError, RiskError, EditConflictError.
    """
    before, version = _standing(writer, key, base)
    needed_by, salt = dependents(key, writer.history.newest.known.flags), _fresh_salt()
    steps: dict[StepName, Callable[[], FlagState]] = {
        "start": lambda: lifecycle.start(before, version, salt, as_experiment, splits_anew),
        "complete": lambda: lifecycle.complete(before, version),
        "restart": lambda: lifecycle.restart(before, version, salt, splits_anew),
        "rollout": lambda: lifecycle.roll_out(before, version, variant or ""),
        "rollback": lambda: lifecycle.roll_back(before, version),
        "pause": lambda: lifecycle.pause(before, version),
        "resume": lambda: lifecycle.resume(before, version, resuming.seen if resuming else ()),
        "archive": lambda: lifecycle.archive(before, needed_by),
        "restore": lambda: lifecycle.restore(before),
        "delete": lambda: lifecycle.delete(before, needed_by),
    }
    if step in {"start", "restart"}:
        _refuse_unanswerable(before)
    change = _step(writer, before, version, steps[step])
    if resuming:
        change = replace(change, consequences=(*change.consequences, *resuming.follows))
    require_yes([change], accept_risks)
    await writer.publish(writer.next_version(change.spec, signature.author, signature.reason))
    return change


async def act(writer: CatalogWriter, key: str, what: Act, reason: str, evidence: Evidence) -> Change:
    """Do what a flag's plan asks for, as the version that its `evidence` names, which is signed `plan`.

    Nobody is asked for a yes: whoever wrote the plan gave it. Raises RefusedError, and EditConflictError where another
    version stands by now.
    """
    before, version = _standing(writer, key, evidence.version - 1)
    if isinstance(what, StartFlag):
        _refuse_unanswerable(before)
    change = _step(writer, before, version, lambda: _acted(before, version, what, evidence))
    await writer.publish(writer.next_version(change.spec, PLAN, reason))
    return change


def _acted(before: FlagState, version: int, act: Act, evidence: Evidence) -> FlagState:
    """The state after an act of its plan. Raises LifecycleError."""
    match act:
        case StartFlag():
            return lifecycle.start(before, version, _fresh_salt(), evidence=evidence)
        case TakeStep(step):
            return lifecycle.take_step(before, version, step, evidence)
        case PausePlan(why, alarms):
            return lifecycle.pause(before, version, why, alarms, evidence)
        case RollBack():
            return lifecycle.roll_back(before, version, evidence)
        case RollOut(variant):
            return lifecycle.roll_out(before, version, variant, evidence)
        case CompleteRun():
            return lifecycle.complete(before, version, evidence)


def _standing(writer: CatalogWriter, key: str, base: int | None) -> tuple[FlagState, int]:
    """A flag's newest document, and the version that comes next. Raises where it is not the one decided on."""
    before = state_of(writer.history, key)
    if base is not None and (conflict := conflict_of(writer.history, "flag", key, base)):
        raise EditConflictError(conflict)
    return before, writer.history.newest.version_of("flag", key) + 1


def _fresh_salt() -> str:
    return "".join(secrets.choice(SALT_CHARACTERS) for _ in range(8))


def _refuse_unanswerable(state: FlagState) -> None:
    if faults := [*map(str, answer_violations(state.definition))]:
        key = state.definition.key
        raise RefusedError("\n".join([f"'{key}' cannot be evaluated; mend and apply it first", *faults]))


def _step(writer: CatalogWriter, before: FlagState, version: int, make: Callable[[], FlagState]) -> Change:
    """The version that a step makes, with all that follows from it. Raises RefusedError."""
    catalog, key = writer.history.newest, before.definition.key
    try:
        after = make()
    except LifecycleError as error:
        raise RefusedError(str(error)) from None
    flags: dict[str, FlagState | FlagInForce] = {**catalog.flags, key: after}
    unmet = unmet_needs(flags, catalog.known.groups).get(key, ())
    follows = tuple(consequences.of_flag(before, after, catalog.known, unmet, _now()))
    change = Change("flag", key, version, after, steps=tuple(steps_between(before, after)), consequences=follows)
    (change,) = _with_needs([change], catalog)
    return change


def state_of(history: History, key: str) -> FlagState:
    """A flag's newest document. Raises RefusedError where there is none."""
    state = history.state_of(key)
    if state is None:
        known = did_you_mean(key, history.newest.known.flags.keys())
        raise RefusedError(f"'{key}' is no flag of the catalog; {known} (`peekproof apply` publishes new ones)")
    return state


def changes(documents: Documents, history: History) -> list[Change]:
    """What applying the documents changes, in an order in which it can be published.

    Raises DocumentError with every step that is refused.
    """
    catalog, flags = history.newest, documents.flags
    sources = {(KIND_OF[type(each.definition)], each.definition.key): each for each in documents}
    ordered = in_order([each.definition for each in sources.values()])
    found: list[Change] = []
    faults: list[Fault] = []
    known = replace(
        catalog.known,
        flags={**catalog.known.flags, **{key: flag.definition for key, flag in flags.items()}},
        groups={**catalog.known.groups, **{key: group.definition for key, group in documents.groups.items()}},
    )
    for source in (sources[KIND_OF[type(each)], each.key] for each in ordered):
        faults += source.file.faults(_refused(source.definition, known.flags, catalog))
        try:
            change = _change(source.definition, history, known)
        except LifecycleError as error:
            faults.append(Fault(source.file.name, source.file.line(error.path), str(error)))
        else:
            found += [change] if change else []
    new_metrics = [each.definition for key, each in documents.metrics.items() if key not in catalog.metrics]
    for cycle in metric_order(new_metrics)[1]:
        source = documents.metrics[cycle[0]]
        faults.append(Fault(source.file.name, source.file.line(("cuped", "with")), _NAME_EACH_OTHER.format(*cycle)))
    if faults:
        raise DocumentError(faults)
    return _with_needs(found, catalog)


_NAME_EACH_OTHER = (
    "'{0}' and '{1}' need each other, and neither is there yet; apply '{0}' without `with` first, and then as it is"
)


def in_order(definitions: Sequence[Definition]) -> list[Definition]:
    """The definitions, each behind those that it may name."""
    parents_first = prerequisite_order({each.key: each for each in definitions if isinstance(each, Flag)})
    named_first, cycles = metric_order(each for each in definitions if isinstance(each, Metric))
    places: dict[type, dict[str, int]] = {
        Flag: {key: place for place, key in enumerate(parents_first)},
        Metric: {key: place for place, key in enumerate([*chain(*cycles), *named_first])},
    }

    def place(definition: Definition) -> tuple[int, int]:
        kind = ORDER.index(KIND_OF[type(definition)])
        return kind, places.get(type(definition), {}).get(definition.key, 0)

    return sorted(definitions, key=place)


def _with_needs(found: list[Change], catalog: Catalog) -> list[Change]:
    """The changes, all of them together, with what they do to flags that need what they change; each is told once."""
    if not any(change.kind in {"flag", "group"} for change in found):
        return found
    flags: dict[str, FlagState | FlagInForce] = {**catalog.flags}
    flags |= {change.key: change.spec for change in found if isinstance(change.spec, FlagState)}
    groups = {change.key: change.spec for change in found if isinstance(change.spec, Group)}
    before = catalog.flags, catalog.known.groups
    after = flags, {**catalog.known.groups, **groups}
    more: list[list[Consequence]] = [[] for _ in found]
    for keys, consequence in consequences.of_needs(before, after):
        first = next((at for at, each in enumerate(found) if each.kind in {"flag", "group"} and each.key in keys), None)
        if first is not None:
            more[first].append(consequence)
    return [replace(change, consequences=(*change.consequences, *its)) for change, its in zip(found, more, strict=True)]


def _refused(definition: Definition, flags: Mapping[str, Flag], catalog: Catalog) -> Iterator[Violation]:
    """What a definition takes away from others, among them the `flags` as they will be."""
    yield from case_violations(definition.key, catalog.beside(definition))
    match definition:
        case Group() if before := catalog.groups.get(definition.key):
            yield from regrouping_violations(before.definition, definition, catalog.running_in(definition.key))
        case Brief():
            yield from brief_violations(definition, {*flags, *catalog.flags})
        case Cohort() if former := catalog.cohorts.get(definition.key):
            yield from cohort_violations(definition, former.definition)
        case Flag() if standing := catalog.flags.get(definition.key):
            has = {variant.key for variant in definition.variants}
            for variant in standing.definition.variants:
                if variant.key not in has and (needed_by := dependents(definition.key, flags, variant.key)):
                    yield Violation(
                        ("variants",),
                        f"'{variant.key}' is no longer there, but {', '.join(needed_by)} needs it; take it out of the "
                        "prerequisites, or keep the variant",
                    )


def _change(definition: Definition, history: History, known: Known) -> Change | None:
    """What another version of a document would change beside those that are `known`; None: nothing.

    Raises LifecycleError.
    """
    catalog, key = history.newest, definition.key
    if isinstance(definition, Flag):
        version = catalog.version_of("flag", key) + 1
        before = history.state_of(key)
        after = lifecycle.apply_definition(before, definition, version)
        if after is before:
            return None
        fields = differing(before.definition if before else None, definition)
        follows = tuple(consequences.of_flag(before, after, known, now=_now()))
        return Change("flag", key, version, after, fields, consequences=follows)
    kind = KIND_OF[type(definition)]
    standing = catalog.standing(kind, key)
    if isinstance(definition, Metric):
        definition = _stated(definition, catalog)
    fields = differing(standing.definition if standing else None, definition)
    if isinstance(definition, Cohort):  # its file is where its author has the ids, and says nothing of them
        fields = tuple(name for name in fields if name != "file")
    if standing and not fields:
        return None
    effects: Iterable[Consequence] = ()
    match definition:
        case Metric():
            effects = consequences.of_metric(catalog, definition)
        case Group() if former := catalog.groups.get(key):
            effects = consequences.of_group(catalog, former.definition, definition)
        case Cohort() if had := catalog.cohorts.get(key):
            effects = consequences.of_cohort(catalog, had.definition, definition)
    return Change(kind, key, catalog.version_of(kind, key) + 1, definition, fields, consequences=tuple(effects))


def _stated(metric: Metric, catalog: Catalog) -> Metric:
    """The metric with its decimal places written down. Where nobody says them, it keeps those that it had."""
    standing = catalog.metrics.get(metric.key)
    kept = with_decimals(metric, standing.definition.decimals) if standing else metric
    has_room = not any(violation.path[0] in CAPS for violation in metric_violations(kept, {}))
    return with_decimals(kept if has_room else metric, DECIMALS)


def _now() -> int:
    return time.time_ns() // 1_000_000


def require_yes(found: list[Change], accept_risks: bool) -> None:
    """Raises RiskError where one of them costs something, and nobody has said yes to it."""
    risks = [f"{change.key}: {each.text}" for change in found for each in change.consequences if each.is_risky]
    if risks and not accept_risks:
        raise RiskError(risks)
