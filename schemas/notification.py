"""Notification: word to people. What is said, by which rule, and where it goes.

A record on `notifications` is one notification. Its key is RULE/EVENT/SUBJECT/PART, and the topic keeps the newest of
each key, by which whoever tells knows what was told already; its partition is that of the subject, so that what is said
of one experiment has an order. A record on `deliveries`, keyed by the notification's id, says what became of it at one
place.
"""

from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from schemas.numbers import Count, Time
from schemas.written import Duration, Hours, Key, Prose, Strict, Switch, Text, Timezone

Occurrence = Literal[
    "verdict changed",
    "guardrail harmed",
    "split broken",
    "no exposures",
    "metric without events",
    "exposures of an old run",
    "data missing",
    "planned sample reached",
    "plan step taken",
    "plan acted on alarm",
    "plan blocked",
    "date passed",
    "run final",
    "document changed",
    "dead letters",
    "stage down",
    "lag",
]


class EventTold(NamedTuple):
    """When an event comes about; its `for` and `above` where a rule says none, None: it takes no such setting.

    One that `settles` comes and goes, and is told once it has stood for the rule's `settle`. What is not of a flag is
    told by rules that are `about` all.
    """

    when: str
    lasts: str | None = None
    above: int | None = None
    settles: bool = False
    is_of_flag: bool = True


OCCURRENCES: dict[Occurrence, EventTold] = {
    "verdict changed": EventTold(
        "A run's decision, or that on one of several treatments, is another than was told last. A run begins with "
        "`keep running`, which is not told.",
        settles=True,
    ),
    "guardrail harmed": EventTold(
        "A guardrail is harmed, as the verdict has it; once for each run, guardrail and treatment."
    ),
    "split broken": EventTold("The arms have not the shares of units that the weights promise; once for each run."),
    "no exposures": EventTold("A run that is open counts no more exposures, though every stage works.", lasts="1h"),
    "metric without events": EventTold(
        "The numbers of a metric of an open run stand still while exposures go on, longer than chance explains.",
        lasts="1h",
    ),
    "exposures of an old run": EventTold(
        "Exposures still name a run, so long after its end; known until the run is final, once for each run.",
        lasts="10m",
    ),
    "data missing": EventTold(
        "A look tells what does not come as it should: exposures, or a metric's events, never came or stopped, or "
        "exposures name an older run. Once for each until it is mended.",
        settles=True,
    ),
    "planned sample reached": EventTold("Every treatment has, with control, the units that were planned."),
    "plan step taken": EventTold("A plan has started a flag, taken a step, or done what it says for its end."),
    "plan acted on alarm": EventTold("A plan has rolled a flag back, or paused itself, by what a look shows."),
    "plan blocked": EventTold(
        "A plan goes no further: it is paused, its time has come and not what else it waits for, nobody does what is "
        "due, or its end has come and it only tells.",
        settles=True,
    ),
    "date passed": EventTold(
        "A flag's `start` or `end`, or its plan's, has passed, and what it asks for has not been done.", settles=True
    ),
    "run final": EventTold("A run is over and settled: no look follows."),
    "document changed": EventTold("A document has another version, whoever wrote it; comments are none."),
    "dead letters": EventTold(
        "Input could not be used, more in a minute than `above`; once until ten minutes were quieter.",
        above=100,
        is_of_flag=False,
    ),
    "stage down": EventTold("Nobody works on a stage that was at work within the last day.", "1m", is_of_flag=False),
    "lag": EventTold(
        "More records than `above` wait for a stage, all the time.", lasts="5m", above=100_000, is_of_flag=False
    ),
}


class Trigger(Strict, frozen=True, kw_only=True):
    """Something that people are told of.

    `for`: how long it must have been so; `above`: dead letters in a minute, or records that wait. Unsaid, they are as
    in the table of events.
    """

    event: Occurrence
    lasts: Duration | None = msgspec.field(default=None, name="for")
    above: Annotated[int, msgspec.Meta(ge=0, description="a whole number")] | None = None


class About(Strict, frozen=True, kw_only=True):
    """Whose flags and experiments are told of: those of one of these owners, with one of these tags, or so called.

    None named: all, and what is about no flag too: dead letters, stages and their lag.
    """

    owners: tuple[Text, ...] = ()
    tags: tuple[Text, ...] = ()
    keys: tuple[Key, ...] = ()


class SecretAt(Strict, frozen=True, kw_only=True):
    """Where a secret is read by whoever sends: a variable of the environment, or a file. No document holds one."""

    env: Text | None = None
    file: Text | None = None


class Webhook(Strict, frozen=True, kw_only=True):
    """A program that hears of it by HTTP, as Standard Webhooks have it.

    Every one of the `secrets` signs: to change one, add the new one first, and remove the old one when the receiver
    knows the new one.
    """

    url: Text | SecretAt
    secrets: tuple[SecretAt, ...] = ()


class Place(Strict, frozen=True, kw_only=True):
    """Where a notification goes: to a `webhook`, or to `people` by a URL of Apprise, a secret: Slack, Teams, mail, …"""

    name: Key
    webhook: Webhook | None = None
    people: SecretAt | None = None


class NotificationRule(Strict, frozen=True, kw_only=True):
    """Who is told what: one YAML file in `configs/notifications/`.

    `when` one of these has come about, of the flags that it is `about`, each place in `to` hears of it; so do the
    console and `peekproof notifications`. What came about before the rule's newest version is not told. A state that
    comes and goes, as a verdict does, is told once it has stood for `settle`. Outside of `hours` word to places waits
    until they begin. `template` is a plain text with {names} of the notification's fields; unsaid, it is the sentence,
    the numbers and the link.
    """

    key: Key
    name: str | None = None
    description: str | None = None
    owner: Text
    tags: tuple[Text, ...] = ()
    enabled: Switch = True
    when: Annotated[tuple[Trigger, ...], msgspec.Meta(min_length=1)]
    about: About = About()
    to: tuple[Place, ...] = ()
    settle: Duration = "1m"
    timezone: Timezone = "UTC"
    hours: Hours | None = None
    template: Prose | None = None


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of word to people. `id` is the same whoever finds it, and however often.

    `numbers` are called as in looks. Whoever hands it over tries for a day after its `time`.
    """

    id: str
    rule: str
    event: Occurrence | Literal["test"]
    subject: str  # flag/KEY, another kind and key of a document, stage/NAME or topic/NAME
    part: str = ""  # of the subject: METRIC, METRIC/VARIANT, start, end, the run, …
    state: str = ""  # in which it was found: the same again is not told
    time: Time  # the brokers', when it was found
    sentence: str
    experiment: str | None = None  # a flag, too
    run: str | None = None
    look: Count | None = None
    version: Count | None = None  # of the document
    numbers: dict[str, Any] = {}
    link: str | None = None  # into the console, without its address


ToldKey = tuple[str, str, str, str]  # rule, event, subject, part


def told_key(notification: Notification) -> ToldKey:
    """Of what it is the newest word; with slashes between, the record's key."""
    return notification.rule, notification.event, notification.subject, notification.part


class HandedOver(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a notification at one place of its rule: after so many attempts, at a time (ms UTC)."""

    id: str
    rule: str
    place: str
    outcome: Literal["delivered", "failed", "given up"]
    attempts: Count
    time: Time
    error: str | None = None
