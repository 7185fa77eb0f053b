"""`peekproof notifications`: what people were told of, and where it was delivered; and a test of a rule's places."""

import asyncio
import sys
import time
from typing import TYPE_CHECKING

import click
import msgspec
from rich.table import Table

from evaluation.notifications.telling import trial
from pipeline.catalog.topic import read_catalog
from pipeline.cli.terminal import Terminal, harmless, told_utc
from pipeline.errors import PeekproofError
from pipeline.kafka.reading import read_topic
from pipeline.kafka.set_aside import SetAside
from pipeline.listening import base_url
from pipeline.notifications.told import NEWEST, ToldNotification, ToldNotifications
from pipeline.settings import Settings
from schemas.decoding import decode
from schemas.notification import HandedOver, Notification, NotificationRule, Place
from schemas.topics import DELIVERIES, NOTIFICATIONS

if TYPE_CHECKING:
    from pipeline.notifications.attempts import Attempt

SHOWN = 50  # in the table


@click.group(invoke_without_command=True)
@click.option("--follow", is_flag=True, help="Go on with every one that is published, until interrupted.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@click.pass_context
def notifications(context: click.Context, follow: bool, as_json: bool) -> None:
    """List the newest notifications, the last one last, with where each was delivered."""
    if context.invoked_subcommand is not None:
        return
    settings = Settings.read()
    aside = SetAside(tell=lambda text: click.echo(harmless(text), err=True))
    told = ToldNotifications()
    for record in read_topic(settings, DELIVERIES):
        with aside.unless_ours(DELIVERIES, record.partition, record.offset):
            told.learn(decode(record.value, HandedOver))
    is_followed = False

    def caught_up() -> None:
        nonlocal is_followed
        is_followed = True
        _list(told.newest(NEWEST if as_json else SHOWN)[::-1], as_json)

    try:
        for record in read_topic(settings, NOTIFICATIONS, follow, caught_up):
            with aside.unless_ours(NOTIFICATIONS, record.partition, record.offset):
                notification = decode(record.value, Notification)
                if told.read(notification, record.timestamp) and is_followed:
                    _say(told.of(notification.id), as_json)
    except KeyboardInterrupt:
        pass


@notifications.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per place.")
def test(name: str, as_json: bool) -> None:
    """Send a test to each place of the rule NAME, once, from this machine; exit code 1 where one did not take it.

    Secrets are read here, as the rule names them: run it where the stage runs, with its environment.
    """
    settings = Settings.read()
    rules = read_catalog(settings).newest.notifications
    if name not in rules:
        known = ", ".join(sorted(rules)) or "none: `peekproof apply` publishes them"
        raise PeekproofError(f"there is no rule of notifications '{name}'; there are {known}")
    rule = rules[name].definition
    attempts = asyncio.run(_try(settings, rule))
    table = Table("place", "outcome", box=None, pad_edge=False)
    for place, attempt in zip(rule.to, attempts, strict=True):
        outcome = "delivered" if attempt.error is None else "failed"
        if as_json:
            click.echo(
                msgspec.json.encode({"rule": name, "place": place.name, "outcome": outcome, "error": attempt.error})
            )
        table.add_row(place.name, outcome if attempt.error is None else f"failed: {attempt.error}")
    if not rule.to and not as_json:
        click.echo(f"rule '{name}' sends to no place; the console's bell and this command show what it tells")
    elif not as_json:
        Terminal(200).print(table)
    if any(attempt.error for attempt in attempts):
        sys.exit(1)


async def _try(settings: Settings, rule: NotificationRule) -> "list[Attempt]":
    from pipeline.notifications.sending import Sender  # noqa: PLC0415 (slow to import)

    said = trial(rule, time.time_ns() // 1_000_000)
    async with Sender(base_url(settings)) as sender:

        async def send(place: Place) -> "Attempt":
            return await sender.send(said, rule, place)

        return await asyncio.gather(*map(send, rule.to))


def _list(told: list[ToldNotification], as_json: bool) -> None:
    if as_json:
        for each in told:
            _say(each, as_json)
        return
    table = Table("published (UTC)", "about", "event", "sentence", "delivered", box=None, pad_edge=False)
    for each in told:
        said = each.notification
        table.add_row(told_utc(each.published), said.subject, said.event, said.sentence, _delivered(each))
    if told:
        Terminal(200).print(table)
    else:
        click.echo("there are none yet; a document in configs/notifications/ says what is told")


def _say(told: ToldNotification, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(told))
    else:
        said = told.notification
        click.echo(harmless(f"{told_utc(told.published)} {said.subject}: {said.event}: {said.sentence}"))


def _delivered(told: ToldNotification) -> str:
    """Where it was delivered, and why elsewhere it was not."""
    places = []
    for each in sorted(told.deliveries, key=lambda each: each.place):
        if each.outcome == "delivered":
            places.append(each.place)
        else:
            places.append(f"{each.place} ({each.outcome} after {each.attempts}: {each.error})")
    return ", ".join(places)
