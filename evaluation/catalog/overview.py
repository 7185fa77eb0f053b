"""Overview: what people ask about flags. Where each stands, how it came there, and which are stale."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

import msgspec

from evaluation.catalog.answerable import fault_of
from evaluation.catalog.consequences import differing
from evaluation.catalog.history import DocumentVersion, History, decode_spec
from evaluation.catalog.hours import moment_of
from evaluation.catalog.in_force import Catalog, FlagInForce, unlisted, winner_of
from evaluation.catalog.lifecycle import steps_between
from evaluation.catalog.needs import unmet_needs
from evaluation.catalog.ramps import is_holding
from evaluation.catalog.rules import did_you_mean
from schemas.catalog import Definition, Flag, FlagState, FlagStatus, Removal
from schemas.duration import DAY_MS
from schemas.plan import PauseReason

TO_A_LOOK = ("assignment", "aggregation", "significance")  # the stages through which it comes
TO_ONE_OF_PEOPLE = ("assignment", "identity", "aggregation", "significance")  # where a run has an identity
LONG = 100  # entries of a list of which is told what came and went, and not what stands where
NAMED = 10  # of those at most
PERMANENT = "permanent"  # a tag: this flag is meant to stand where it stands, as a kill switch is


class PlanStanding(msgspec.Struct, frozen=True, kw_only=True):
    """Where a running flag's plan stands: which of its `steps` is in force since when, and whether it is paused.

    Nobody else gets a variant while it `holds`. Times are append times (ms UTC).
    """

    step: int
    steps: int
    taken: int
    paused: int | None
    why: PauseReason | None
    holds: bool


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """Where a flag stands. Times are append times (ms UTC) of the versions that brought it there.

    `rollout` and, of each of the `segments`, `of_segments` are in force where it is running, else what it would start
    with.
    """

    key: str
    name: str | None
    owner: str
    tags: tuple[str, ...]
    status: FlagStatus | Removal
    overdue: str | None  # the planned date that has passed without the command that it asks for
    problem: str | None  # why everybody gets `off`: no engine can evaluate it, or nobody has what it needs
    version: int
    changed: int
    run: str | None
    started: int | None
    completed: int | None
    rollout: float
    segments: tuple[str, ...]
    of_segments: tuple[float, ...]
    plan: PlanStanding | None
    rolled_out: str | None
    gets: str | None  # who gets what, in words, where no run splits units
    variants: tuple[str, ...]
    control: str
    metrics: tuple[str, ...]


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One place in which two versions differ; None: there is nothing."""

    path: str
    before: Any
    after: Any


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """One version in a history: `changed` names the fields and the steps."""

    version: int
    base: int
    offset: int
    append_time: int  # ms UTC
    time: int  # ms UTC, the author's
    author: str
    reason: str
    changed: tuple[str, ...]


class Stale(msgspec.Struct, frozen=True, kw_only=True):
    """A flag that nobody may need any more, since when (ms UTC), and why."""

    key: str
    owner: str
    since: int
    reason: str


def summary(flag: FlagInForce, now: int, unmet: Sequence[str] = ()) -> Summary:
    """Where the flag stands at `now` (ms UTC); `unmet`: what it needs that nobody has (see `unmet_of`)."""
    definition, run = flag.definition, flag.runs[-1] if flag.runs else None
    rollout, *of_segments = flag.percentages
    return Summary(
        key=definition.key,
        name=definition.name,
        owner=definition.owner,
        tags=definition.tags,
        status=flag.removed or flag.status,
        overdue=overdue(flag, now),
        problem=problem_of(flag) or "; ".join(unmet) or None,
        version=flag.version,
        changed=flag.append_time,
        run=run.key if run else None,
        started=run.started if run else None,
        completed=run.completed if run else None,
        rollout=rollout,
        segments=tuple(segment.name for segment in flag.definition.segments),
        of_segments=tuple(of_segments),
        plan=plan_standing(flag),
        rolled_out=winner_of(flag.rolled_out) if flag.rolled_out and not flag.removed else None,
        gets=gets(flag),
        variants=tuple(variant.key for variant in definition.variants),
        control=flag.control,
        metrics=tuple(goal.metric for goal in definition.metrics),
    )


def summary_of(catalog: Catalog, key: str, now: int) -> Summary:
    """The same of one flag of the catalog."""
    return summary(catalog.flags[key], now, unmet_of(catalog).get(key, ()))


def plan_standing(flag: FlagInForce) -> PlanStanding | None:
    """Where the plan of a running flag stands; None: there is none, or it is not in force."""
    plan, of = flag.plan, flag.definition.plan
    if plan is None or of is None or flag.status != "running":
        return None
    progress = plan.progress
    return PlanStanding(
        step=progress.step,
        steps=len(of.steps),
        taken=plan.taken,
        paused=plan.paused,
        why=progress.paused.why if progress.paused else None,
        holds=is_holding(flag.definition, progress),
    )


def gets(flag: FlagInForce) -> str | None:
    """Who gets what, in words; None: a run splits units."""
    if flag.removed or problem_of(flag):
        return "everybody gets 'off'"
    if flag.rolled_out is not None:
        winner = winner_of(flag.rolled_out)
        who = unlisted(lists for variant, lists in flag.rolled_out.inclusions.items() if variant != winner)
        if flag.rolled_out.groups:
            who += f"{' or' if who != 'everybody' else ' but those'} held out"
        return f"{who} gets '{winner}'"
    if flag.status == "running":
        return None
    return f"{unlisted(flag.definition.variants if flag.status == 'draft' else ())} gets 'off'"


def summaries(catalog: Catalog, now: int, experiments_only: bool = False) -> list[Summary]:
    """All flags by key, but the deleted ones."""
    flags = (flag for _, flag in sorted(catalog.flags.items()) if flag.removed != "deleted")
    unmet = unmet_of(catalog)
    return [
        summary(flag, now, unmet.get(flag.definition.key, ()))
        for flag in flags
        if flag.definition.metrics or not experiments_only
    ]


def unmet_of(catalog: Catalog) -> dict[str, list[str]]:
    """By flag that is in force, what it needs of others that nobody has."""
    return unmet_needs(catalog.flags, catalog.known.groups)


def stages_to_look(definition: Flag) -> tuple[str, ...]:
    """Through which looks at a flag's runs come, in the order data flows."""
    return TO_A_LOOK if definition.identity is None else TO_ONE_OF_PEOPLE


def without_look(flag: FlagInForce, run: str | None, working: Collection[str]) -> str:
    """Why there is no look at a run of the flag, its newest unless it is said which, and what comes next.

    `working` are the stages on which somebody works.
    """
    key, runs = flag.definition.key, [each.key for each in flag.runs]
    if not flag.definition.metrics:
        return f"'{key}' is a flag without metrics, which has no results"
    if run is not None and run not in runs:
        return f"'{key}' has no run '{run}'; {did_you_mean(run, runs)}"
    if not runs:
        return f"'{key}' has not started; a run begins by Start on its page, or by `peekproof experiment start {key}`"
    asked = run or runs[-1]
    stands = "runs" if asked == runs[-1] and flag.status == "running" and not flag.removed else "is over"
    if idle := [stage for stage in stages_to_look(flag.definition) if stage not in working]:
        return (
            f"{key}/{asked} {stands}, and has no look yet: nobody works on {', '.join(idle)}; "
            "`peekproof up` starts every stage, and `peekproof doctor` says what ended one"
        )
    return (
        f"{key}/{asked} {stands}, and has no look yet: the first one follows as soon as the stages have read its start"
    )


def overdue(flag: FlagInForce, now: int) -> str | None:
    """The planned date that has passed (`now` in ms UTC) without the command that it asks for."""
    try:
        passed = date_passed(flag, now)
    except ValueError as error:  # a time zone that this machine does not know
        name = "start" if flag.status == "draft" else "end"
        return f"{name} date {planned_dates(flag.definition)[name][0]} cannot be told: {error}"
    return passed and f"{passed[0]} date {passed[1]} has passed"


def date_passed(flag: FlagInForce, now: int) -> tuple[str, str, int] | None:
    """The same: which date, as it is written, and when it was (ms UTC). Raises ValueError for an unknown time zone."""
    name = {"draft": "start", "running": "end"}.get(flag.status)
    if name is None or flag.removed:
        return None
    date, timezone = planned_dates(flag.definition)[name]
    if date is None or (moment := moment_of(date, timezone)) > now:
        return None
    return name, date, moment


def planned_dates(flag: Flag) -> dict[str, tuple[str | None, str]]:
    """The planned `start` and `end`, and the time zone of each: of the plan, where there is one."""
    if flag.plan is None:
        return {"start": (flag.start, "UTC"), "end": (flag.end, "UTC")}
    return {"start": (flag.plan.start, flag.plan.timezone), "end": (flag.plan.end, flag.plan.timezone)}


def problem_of(flag: FlagInForce) -> str | None:
    """Why no engine can evaluate the flag, so that everybody gets `off`; None: they can, or everybody does anyway."""
    return fault_of(flag.allocation) if flag.allocation else None


def told_problem(flag: FlagInForce) -> str | None:
    """The same as a sentence."""
    key, problem = flag.definition.key, problem_of(flag)
    return problem and f"flag '{key}' gives 'off' to everybody, for no engine can evaluate it: {problem}"


def told(history: History, key: str) -> list[Told]:
    """Every version of a flag, oldest first."""
    versions = history.versions_of("flag", key)
    return [_told(before, version) for before, version in zip([None, *versions], versions, strict=False)]


def differences(history: History, key: str, old: int | None = None, new: int | None = None) -> list[Difference]:
    """Where two versions of a flag differ: by default the last but one and the last; version 0 is empty.

    Raises ValueError for a version that is not there.
    """
    states: dict[int, dict[str, Any]] = {0: {}} | {
        each.document.version: _plain(decode_spec(each.document, FlagState))
        for each in history.versions_of("flag", key)
    }
    last = len(states) - 1
    pair = (last - 1 if old is None else old, last if new is None else new)
    for version in pair:
        if version not in states:
            raise ValueError(f"'{key}' has no version {version}; it has 1 to {last}")
    return list(_differences("", *(states[version] for version in pair)))


def differences_of(before: Definition | None, after: Definition) -> list[Difference]:
    """Where two definitions of one document differ; None: there is none before."""
    return list(_differences("", *({} if each is None else _fields(each) for each in (before, after))))


def stale(catalog: Catalog, seen: Mapping[bytes, int], now: int, days: int) -> list[Stale]:
    """The flags that have stood still for so many days, or whose traffic has ended as long ago.

    `seen` gives, by the key of `results`, when a run's newest look was published (ms UTC): looks are made while there
    is news.
    A flag with the tag `permanent` is none of them.
    """
    found = []
    for key, flag in sorted(catalog.flags.items()):
        if flag.removed or PERMANENT in flag.definition.tags:
            continue
        since, reason = _still(flag, seen)
        if reason and now - since >= days * DAY_MS:
            found.append(Stale(key=key, owner=flag.definition.owner, since=since, reason=reason))
    return found


def _still(flag: FlagInForce, seen: Mapping[bytes, int]) -> tuple[int, str]:
    """Since when nothing moves, and why; no reason: something does."""
    definition = flag.definition
    if flag.rolled_out is not None:
        return flag.append_time, gets(flag) or ""
    if flag.status != "running":
        return flag.append_time, f"{gets(flag)} ({flag.status})"
    shares, plan = {*flag.percentages}, plan_standing(flag)
    if (plan and plan.why) or shares == {0}:
        return flag.append_time, f"its plan is paused ({plan.why})" if plan and plan.why else "stands at 0 %"
    if not definition.metrics and shares == {100}:
        return flag.append_time, "stands at 100 %"
    run = flag.runs[-1]
    last = seen.get(f"{run.flag}/{run.key}".encode(), 0)
    if definition.metrics or last:  # a plain flag may be evaluated without anybody saying so
        return max(run.started, last), "no traffic"
    return 0, ""


def _told(before: DocumentVersion | None, version: DocumentVersion) -> Told:
    document = version.document
    state = decode_spec(document, FlagState)
    standing = decode_spec(before.document, FlagState) if before else None
    changed = [*differing(standing.definition, state.definition)] if standing else ["created"]
    return Told(
        version=document.version,
        base=document.base,
        offset=version.offset,
        append_time=version.append_time,
        time=document.time,
        author=document.author,
        reason=document.reason,
        changed=(*changed, *steps_between(standing, state)),
    )


def _plain(state: FlagState) -> dict[str, Any]:
    fields = _fields(state.definition) | {"status": state.status}
    if state.rolled_out is not None:
        fields["rolled_out"] = winner_of(state.rolled_out)
    return fields | ({"removed": state.removed} if state.removed else {})


def _counted(values: list[Any] | None, others: list[Any] | None, verb: str) -> str | None:
    """A long list in words: how much it holds, and what of it the other one has not."""
    if values is None:
        return None
    has = {msgspec.json.encode(each) for each in others or ()}
    alone = [each for each in values if msgspec.json.encode(each) not in has]
    named = ", ".join(each if isinstance(each, str) else msgspec.json.encode(each).decode() for each in alone[:NAMED])
    more = f" and {len(alone) - NAMED:,} more" if len(alone) > NAMED else ""
    return f"{len(values):,} entries, of which {len(alone):,} {verb}{': ' if alone else ''}{named}{more}"


def _fields(definition: Definition) -> dict[str, Any]:
    return msgspec.json.decode(msgspec.json.encode(definition), type=dict[str, Any])


def _differences(path: str, before: Any, after: Any) -> Iterator[Difference]:
    match before, after:
        case dict(), dict():
            for name in dict.fromkeys([*before, *after]):
                yield from _differences(f"{path}.{name}" if path else name, before.get(name), after.get(name))
        case ((list() | None), (list() | None)) if max(len(before or ()), len(after or ())) > LONG:
            if before != after:
                yield Difference(path=path, before=_counted(before, after, "go"), after=_counted(after, before, "come"))
        case list(), list():
            for index, (old, new) in enumerate(zip_longest(before, after)):
                yield from _differences(f"{path}[{index}]", old, new)
        case _:
            if msgspec.json.encode(before) != msgspec.json.encode(after):
                yield Difference(path=path, before=before, after=after)
