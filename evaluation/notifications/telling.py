"""Telling: which notifications are due: what stands now, by each rule, and was not told yet.

Whoever asks again, after a restart or beside another, finds the same with the same ids. An id follows from rule, event,
subject, part and state, and from the id of what was told of them before: a verdict that becomes the same again later is
another piece of word.
"""

from collections.abc import Iterator, Mapping
from hashlib import blake2b

import msgspec

from evaluation.catalog.history import History
from evaluation.notifications.circumstance import Circumstance, link_to
from evaluation.notifications.of_documents import OF_DOCUMENTS, of_documents
from evaluation.notifications.of_runs import of_runs, watched
from evaluation.notifications.of_work import of_work
from evaluation.notifications.plans import PlanSeen, of_plans
from evaluation.notifications.runs import RunSeen
from evaluation.notifications.work import QUIET_MS, UNKNOWN, Work
from schemas.catalog import Definition, Flag
from schemas.duration import DAY_MS, parse_duration
from schemas.look import RunKey
from schemas.notification import OCCURRENCES, About, Notification, NotificationRule, Occurrence, ToldKey, Trigger


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known now, at the time `work.now`.

    The caller has read `results` and `health` to an end of within seconds, and reads catalog and `told` to theirs
    before it publishes. `runs` are folded from `results` by `seen`, `plans` from one question to the next by
    `plans_seen`.
    """

    history: History
    runs: Mapping[RunKey, RunSeen]
    work: Work
    plans: Mapping[str, PlanSeen] = {}


def due(situation: Situation, told: Mapping[ToldKey, Notification]) -> list[Notification]:
    """What is to be told now; `told` is the newest on `notifications` by `told_key`.

    In the order in which it is to be published. Once those stand in `told`, the same situation gives none.
    """
    rules = [rule for _, rule in sorted(situation.history.newest.notifications.items()) if rule.definition.enabled]
    if not rules:
        return []
    standing = _Standing(situation, since=min(rule.append_time for rule in rules))
    return [
        notification
        for rule in rules
        for trigger in rule.definition.when
        for circumstance in standing.of(trigger, since=rule.append_time, wait=_wait(rule.definition, trigger))
        if (notification := _told_by(rule.definition, circumstance, told, situation.work.now))
    ]


def trial(rule: NotificationRule, now: int) -> Notification:
    """Word that the rule's places can be reached: what `peekproof notifications test` sends."""
    subject = f"notification/{rule.key}"
    sentence = f"This is a test of the rule {rule.key}, sent by hand: nothing has come about."
    identity = _id(rule.key, "test", subject, "", "", str(now))
    return Notification(
        id=identity, rule=rule.key, event="test", subject=subject, time=now, sentence=sentence, link="#/"
    )


def is_about(about: About, document: Definition | None) -> bool:
    """Whether a rule that is `about` those tells of a document; None: of what is none."""
    if about == About():
        return True
    if document is None:
        return False
    tags: tuple[str, ...] = getattr(document, "tags", ())
    return document.key in about.keys or document.owner in about.owners or not {*tags}.isdisjoint(about.tags)


class _Standing:
    """The circumstances of a situation, each found once for all rules."""

    def __init__(self, situation: Situation, since: int) -> None:
        self._situation, self._since = situation, since
        self._runs = watched(situation.history.newest, situation.runs)
        self._found: dict[tuple[Occurrence, int], list[Circumstance]] = {}

    def of(self, trigger: Trigger, since: int, wait: int) -> Iterator[Circumstance]:
        """What stands of a trigger's event, was so `since` then (ms UTC), and has lasted so long (ms)."""
        above = _or(trigger.above, OCCURRENCES[trigger.event].above) or 0
        if (trigger.event, above) not in self._found:
            self._found[trigger.event, above] = [*self._find(trigger.event, above)]
        found = self._found[trigger.event, above]
        return (each for each in found if each.lasted >= wait and each.at >= since)

    def _find(self, event: Occurrence, above: int) -> Iterator[Circumstance]:
        history, work = self._situation.history, self._situation.work
        if event == "plan blocked":
            yield from of_plans(history.newest, self._situation.plans, work.now)
        elif event in OF_DOCUMENTS:
            yield from of_documents(event, history, self._since, work.now)
        elif OCCURRENCES[event].is_of_flag:
            yield from of_runs(event, self._runs, work)
        else:
            yield from of_work(event, above, work)


def _told_by(
    rule: NotificationRule, circumstance: Circumstance, told: Mapping[ToldKey, Notification], now: int
) -> Notification | None:
    """The notification of a circumstance, where the rule has not told it yet."""
    last = told.get((rule.key, circumstance.event, circumstance.subject, circumstance.part))
    if not _is_news(circumstance, last, now) or not is_about(rule.about, circumstance.document):
        return None
    said = circumstance.say()
    flag = circumstance.document if isinstance(circumstance.document, Flag) else None
    identity = (rule.key, circumstance.event, circumstance.subject, circumstance.part, circumstance.state)
    return Notification(
        id=_id(*identity, last.id if last else ""),
        rule=rule.key,
        event=circumstance.event,
        subject=circumstance.subject,
        part=circumstance.part,
        state=circumstance.state,
        time=now,
        sentence=said.sentence,
        experiment=flag.key if flag else None,
        run=said.run,
        look=said.look,
        version=said.version,
        numbers={**said.numbers},
        link=link_to(flag, said.run, said.look) if flag else None,
    )


def _wait(rule: NotificationRule, trigger: Trigger) -> int:
    """How long (ms) it must have stood."""
    event = OCCURRENCES[trigger.event]
    lasts = trigger.lasts or event.lasts or (rule.settle if event.settles else None)
    return parse_duration(lasts) if lasts else 0


def _is_news(circumstance: Circumstance, last: Notification | None, now: int) -> bool:
    """Whether it is another state than was told last, or new trouble."""
    if last is None:
        return not circumstance.is_first
    if circumstance.began == UNKNOWN:
        return last.time < now - DAY_MS
    if circumstance.began is not None:
        return last.time < circumstance.began - QUIET_MS
    return last.state != circumstance.state and (circumstance.document is not None or now >= last.time + QUIET_MS)


def _or(number: int | None, otherwise: int | None) -> int | None:
    return otherwise if number is None else number


def _id(*parts: str) -> str:
    return blake2b(msgspec.json.encode(parts), digest_size=16).hexdigest()
