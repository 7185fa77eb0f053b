"""Question: what is asked of a run afterwards, and the plain words that command lines have for it.

    BY       country,plan                 both at once; two of them, each for itself
    WHERE    plan is pro, max             the conditions of documents; values with commas as JSON: ["a, b"]
    EVENT    page_view:count              any event as a metric: EVENT:TYPE[:PROPERTY][@WINDOW]
             purchase:sum:revenue@7d
             view > cart > buy:funnel     events in this order
             page_view:distinct:page      different values; without a property days
             visit:retention:7d           whether it was sent again in the 7 days after the first 7
             purchase:sum:revenue / page_view:count    a ratio of two

A name without a parent is a property of the user (of `by_event` one of the event), unless it is a field of the user;
`day` and `hour` are those of entries.
"""

import re
from typing import Any, Literal, get_args

import msgspec

from schemas.catalog import Condition, Metric, Step
from schemas.written import Operator, Property

DAY, HOUR = "day", "hour"  # of units' entries, UTC
MOMENTS = (DAY, HOUR)
MOST_TOGETHER = 4  # properties that are crossed
MOST_BY = 10
MOST_METRICS = 20
MOST_KEPT = 50  # slices of one breakdown
KEPT = 8

_OPERATORS = sorted(get_args(Operator), key=len, reverse=True)
_WHERE = re.compile(rf"(?P<property>.+?)\s+(?P<op>{'|'.join(_OPERATORS)})\s+(?P<values>.+)", re.DOTALL)
_EVENT = re.compile(
    r"(?P<event>.+):(?P<type>conversion|count|sum|mean|distinct|funnel|retention)(:(?P<of>[^@]+))?"
    r"(@(?P<window>none|[1-9][0-9]*(ms|s|m|h|d)))?",
    re.DOTALL,
)
_DURATION = re.compile(r"[1-9][0-9]{0,8}(ms|s|m|h|d)")
_EVENT_WORDS = (
    "write EVENT:TYPE[:PROPERTY][@WINDOW]: page_view:count, purchase:sum:revenue@7d, view > buy:funnel, "
    "visit:retention:7d, or two of them with / between"
)


class QuestionError(ValueError):
    """What was asked cannot be read; says how to write it."""


class ExploreQuestion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is asked of a run.

    `metrics` are keys of the catalog's or definitions; `any_event` more of them, in words (`page_view:count`); of none
    it is the run's primary one. `by` are breakdowns, each of one property of units at their entry or several that are
    crossed (`day` and `hour` are those of the entry); `by_event` are properties of events, by whose values metrics are
    split. Of each the `most` largest slices are kept, the rest is `(other)`. Conditions of `where` that begin with
    `event_properties.` choose events, the others units, by what they were at their entry; `conditions` are more of
    them, in words (`plan is pro`). `since` (ms UTC): units that entered from then on; `until`: the run as it stood.
    `split` asks which slice explains a broken split, of the properties of `by`, or of all that exposures tell.
    `reading` is by default the one that decides.
    """

    metrics: tuple[str | Metric, ...] = ()
    any_event: tuple[str, ...] = ()
    by: tuple[tuple[str, ...], ...] = ()
    by_event: tuple[str, ...] = ()
    where: tuple[Condition, ...] = ()
    conditions: tuple[str, ...] = ()
    since: int | None = None
    until: int | None = None
    reading: Literal["deciding", "live"] = "deciding"
    most: int = KEPT
    split: bool = False

    def checked(self) -> "ExploreQuestion":
        """The same with whole names. Raises QuestionError where it cannot be asked."""
        by = tuple(tuple(map(property_of, together)) for together in self.by)
        by_event = tuple(map(event_property_of, self.by_event))
        asked = [*self.where, *map(condition_of, self.conditions)]
        where = tuple(msgspec.structs.replace(each, property=_property(each.property)) for each in asked)
        if not 1 <= self.most <= MOST_KEPT:
            raise QuestionError(f"most is {self.most}; ask for 1 to {MOST_KEPT} slices")
        if len(by) + len(by_event) > MOST_BY or any(not 1 <= len(each) <= MOST_TOGETHER for each in by):
            raise QuestionError(f"ask for at most {MOST_BY} breakdowns, each of 1 to {MOST_TOGETHER} properties")
        if len(self.metrics) + len(self.any_event) > MOST_METRICS:
            raise QuestionError(f"ask for at most {MOST_METRICS} metrics at once")
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise QuestionError(f"since ({self.since}) is not before until ({self.until}); both are ms since 1970")
        return msgspec.structs.replace(self, by=by, by_event=by_event, where=where, conditions=())


def by_of(text: str) -> tuple[str, ...]:
    """The properties of a breakdown in words: `country,plan`."""
    return tuple(each.strip() for each in text.split(","))


def property_of(name: str) -> str:
    """A property of units by what people call it. Raises QuestionError."""
    if name in MOMENTS:
        return name
    found = _property(name)
    if found.startswith("event_properties."):
        raise QuestionError(f"'{name}' is of an event, and units are split by what they are; ask for it as `by_event`")
    return found


def event_property_of(name: str) -> str:
    """A property of events by what people call it: its own, unless it is a field of the user. Raises QuestionError."""
    return _property(name, "event_properties")


def _property(name: str, parent: str = "user_properties") -> str:
    for each in (name, f"{parent}.{name}"):
        try:
            return msgspec.convert(each, Property)
        except msgspec.ValidationError:
            continue
    raise QuestionError(f"'{name}' is no property; write country, plan, user_properties.NAME or event_properties.NAME")


def condition_of(text: str) -> Condition:
    """A condition in words: `plan is pro, max`. Raises QuestionError."""
    found = _WHERE.fullmatch(text.strip())
    if not found:
        raise QuestionError(f"'{text}' is no condition; write PROPERTY OPERATOR VALUE, …: plan is pro, max")
    said = found["values"].strip()
    values = tuple(each.strip() for each in said.split(","))
    if said.startswith("["):
        try:
            values = msgspec.json.decode(said, type=tuple[str, ...])
        except msgspec.MsgspecError as error:
            raise QuestionError(f"'{text}': {error}; write the values as JSON: [\"a, b\"]") from None
    return Condition(property=_property(found["property"].strip()), op=found["op"], values=values)  # type: ignore[arg-type]


def metrics_of(text: str) -> tuple[Metric, ...]:
    """An event as a metric, in words; of a ratio its two parts and then it. Raises QuestionError."""
    whole = text.strip()
    for at in [match.start() for match in re.finditer("/", whole)]:
        parts = whole[:at].strip(), whole[at + 1 :].strip()
        if all(map(_EVENT.fullmatch, parts)):
            numerator, denominator = map(_metric, parts)
            ratio = Metric(
                key=_key(whole),
                name=whole,
                owner="-",
                type="ratio",
                numerator=numerator.key,
                denominator=denominator.key,
                window=denominator.window,
            )
            return (*dict.fromkeys((numerator, denominator)), ratio)
    return (_metric(whole),)


def _metric(text: str) -> Metric:
    found = _EVENT.fullmatch(text)
    if not found:
        raise QuestionError(f"'{text}' is no metric; {_EVENT_WORDS}")
    kind, of, event = found["type"], found["of"], found["event"].strip()
    common: dict[str, Any] = {
        "key": _key(text),
        "name": text,
        "owner": "-",
        "type": kind,
        "window": found["window"] or "none",
    }
    if kind == "funnel":
        steps = tuple(Step(event=each.strip()) for each in event.split(">"))
        return Metric(**common, steps=steps)
    if kind == "retention":
        if of and not _DURATION.fullmatch(of):
            raise QuestionError(f"'{text}': '{of}' is no period; write visit:retention:7d")
        return Metric(**common, event=event, start=Step(event=event), period=of or "24h")
    if kind != "distinct" and (of is None) == (kind in ("sum", "mean")):
        wants = "wants a property: purchase:sum:revenue" if of is None else "has no property: page_view:count"
        raise QuestionError(f"'{text}': {kind} {wants}")
    return Metric(**common, event=event, property=of)


def _key(text: str) -> str:
    """A key as documents have them."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip("-._")[:100] or "metric"
