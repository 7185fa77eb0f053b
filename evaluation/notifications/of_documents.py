"""Of documents: dates that have passed, versions, and those of them that plans wrote."""

from bisect import bisect_left
from collections.abc import Iterator
from functools import partial

from evaluation.catalog.history import DocumentVersion, History
from evaluation.catalog.hours import opening
from evaluation.catalog.in_force import FlagInForce
from evaluation.catalog.logs import LogsInForce
from evaluation.catalog.overview import date_passed, told
from evaluation.notifications.circumstance import Circumstance, Wording
from evaluation.plans.acts import evidence_of
from evaluation.plans.question import OFFSETS
from schemas.catalog import Flag
from schemas.comment import Comment
from schemas.duration import DAY_MS
from schemas.notification import Occurrence
from schemas.plan import AUTHOR

OF_DOCUMENTS: tuple[Occurrence, ...] = ("date passed", "document changed", "plan step taken", "plan acted on alarm")
NEWS_MS = 7 * DAY_MS
COMMANDS = {"start": "start", "end": "complete"}  # by the date that asks for it


def of_documents(event: Occurrence, history: History, since: int, now: int) -> Iterator[Circumstance]:
    """What of the documents stands, of an event that is one of theirs; of versions those appended `since` (ms UTC).

    Older ones than a week are no news.
    """
    since = max(since, now - NEWS_MS)
    match event:
        case "date passed":
            for flag in history.newest.flags.values():
                yield from _passed(flag, now)
        case "document changed":
            for version in _versions(history, since):
                yield from _changed(history, version)
        case "plan step taken" | "plan acted on alarm":
            for version in filter(_is_by_plan, _versions(history, since)):
                yield from _by_plan(history, version, event)


def _is_by_plan(version: DocumentVersion) -> bool:
    """Whether a plan wrote it. Of another kind somebody may have signed so, when nobody was refused for it."""
    return version.document.kind == "flag" and version.document.author == AUTHOR


def _versions(history: History, since: int) -> list[DocumentVersion]:
    return history.versions[bisect_left(history.versions, since, key=lambda each: each.append_time) :]


def _passed(flag: FlagInForce, now: int) -> Iterator[Circumstance]:
    try:
        passed = date_passed(flag, now)
        moment = _acted_from(flag.definition, passed[2]) if passed else None
    except ValueError:  # a time zone that this machine does not know: where the flag stands tells it
        return
    if passed is None or moment is None or moment > now:
        return
    name, date, _ = passed
    key, kind = flag.definition.key, "experiment" if flag.definition.metrics else "flag"
    run = flag.runs[-1].key if flag.runs else None
    sentence = (
        f"The {name} date of {key}, {date}, has passed: `peekproof {kind} {COMMANDS[name]} {key}` does what it asks "
        "for; or give it another date."
    )
    say = partial(Wording, sentence, {}, run, None, flag.version)
    state = f"{run} {date}" if run else date
    subject, lasted = f"flag/{key}", now - moment
    yield Circumstance("date passed", subject, moment, say, name, state, lasted=lasted, document=flag.definition)


def _acted_from(flag: Flag, moment: int) -> int | None:
    """When a date is acted on: by a plan within its hours; None: never."""
    return moment if flag.plan is None else opening(flag.plan.hours, flag.plan.timezone, moment)


def _changed(history: History, version: DocumentVersion) -> Iterator[Circumstance]:
    document = version.document
    standing = history.newest.standing(document.kind, document.key)
    if standing is None or isinstance(standing, LogsInForce) or isinstance(standing.definition, Comment):
        return

    def say() -> Wording:
        changed = told(history, document.key)[document.version - 1].changed if document.kind == "flag" else ()
        what = f" ({', '.join(changed)})" if changed else ""
        did = "changed" if document.base else "created"
        sentence = f"{document.author} {did} {document.kind} {document.key}{what}: {_reason(version)}"
        return Wording(sentence, {}, None, None, document.version)

    subject = f"{document.kind}/{document.key}"
    state = str(document.version)
    definition = standing.definition
    yield Circumstance("document changed", subject, version.append_time, say, state, state, document=definition)


def _by_plan(history: History, version: DocumentVersion, event: Occurrence) -> Iterator[Circumstance]:
    document = version.document
    flag, evidence = history.newest.flags[document.key], evidence_of(document)
    alarms = evidence.alarms if evidence else ()
    if bool(alarms) != (event == "plan acted on alarm"):
        return

    def say() -> Wording:
        changed = ", ".join(told(history, document.key)[document.version - 1].changed)
        run = flag.runs[-1].key if flag.runs else None
        sentence = f"The plan of {document.key} has acted, {changed}: {_reason(version).partition(OFFSETS)[0]}"
        numbers = {"alarms": ", ".join(alarms)} if alarms else {}
        return Wording(sentence, numbers, run, evidence.look if evidence else None, document.version)

    subject, state = f"flag/{document.key}", str(document.version)
    yield Circumstance(event, subject, version.append_time, say, state, state, document=flag.definition)


def _reason(version: DocumentVersion) -> str:
    return version.document.reason or "no reason is given"
