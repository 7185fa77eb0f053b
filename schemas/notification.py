"""Notification: word to people. What is said, by which rule, and where it goes.

A record on `notifications` is one notification, keyed by what it is about, so that those of one experiment have an
order; a record on `deliveries` says what became of one of them at one place.
"""

from typing import Annotated, Any, Literal

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
    "planned sample reached",
    "plan step taken",
    "plan blocked",
    "date passed",
    "run final",
    "document changed",
    "dead letters",
    "stage down",
    "lag",
    "test",
]


class Trigger(Strict, frozen=True, kw_only=True):
    """What is told. `for`: how long it must have been so; `above`: dead letters in a minute, or records that wait."""

    event: Occurrence
    lasts: Duration | None = msgspec.field(default=None, name="for")
    above: Annotated[int, msgspec.Meta(ge=0, description="a whole number")] | None = None


class About(Strict, frozen=True, kw_only=True):
    """Whose flags and experiments are told of: those of one of these owners, with one of these tags, or so called.

    None named: all.
    """

    owners: tuple[Text, ...] = ()
    tags: tuple[Text, ...] = ()
    keys: tuple[Key, ...] = ()


class Secret(Strict, frozen=True, kw_only=True):
    """Where a secret is read by whoever sends: a variable of the environment, or a file. No document holds one."""

    env: Text | None = None
    file: Text | None = None


class Webhook(Strict, frozen=True, kw_only=True):
    """A program that hears of it by HTTP, as Standard Webhooks have it.

    Every one of the `secrets` signs: to change one, add the new one first, and remove the old one when the receiver
    knows the new one.
    """

    url: Text | Secret
    secrets: tuple[Secret, ...] = ()


class Place(Strict, frozen=True, kw_only=True):
    """Where a notification goes: to a `webhook`, or to `people` by a URL of Apprise, a secret: Slack, Teams, mail, …"""

    name: Key
    webhook: Webhook | None = None
    people: Secret | None = None


class NotificationRule(Strict, frozen=True, kw_only=True):
    """Who is told what: one YAML file in `configs/notifications/`.

    `when` one of these has come about, of the flags that it is `about`, each place in `to` hears of it; so do the
    console and `peekproof notifications`. A state that comes and goes, as a verdict does, is told once it has stood for
    `settle`. Outside of `hours` word waits until they begin. `template` is a plain text with {names} of the
    notification's fields; unsaid, it is the sentence, the numbers and the link.
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
    """One piece of word to people. `id` is the same whoever finds it, and however often."""

    id: str
    rule: str
    event: Occurrence
    subject: str  # flag/KEY, stage/NAME or topic/NAME
    time: Time  # the brokers', when it was found
    sentence: str
    experiment: str | None = None  # a flag, too
    run: str | None = None
    look: Count | None = None
    version: Count | None = None  # of the flag's document
    numbers: dict[str, Any] = {}
    link: str | None = None


class HandedOver(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a notification at one place of its rule: after so many attempts, at a time (ms UTC)."""

    id: str
    rule: str
    place: str
    outcome: Literal["delivered", "failed", "given up"]
    attempts: Count
    time: Time
    error: str | None = None
