"""`peekproof recount`: have a run counted again from its start, by what is archived; how far that is."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import click
import msgspec
from rich.table import Table

from pipeline.catalog import recounting
from pipeline.catalog.editing import Change, Signature
from pipeline.catalog.recounting import RecountTold, recounts_told
from pipeline.catalog.topic import CatalogWriter, opened, read_catalog
from pipeline.cli.documents import author_option, json_option, line_of
from pipeline.cli.terminal import Terminal, told_utc
from pipeline.doctor.sight import Sight
from pipeline.settings import Settings

FOLLOW_SECONDS = 2.0


@click.group()
def recount() -> None:
    """Count an experiment again from its start, by what its documents say now and what is archived.

    `peekproof apply --from start` does that with what it changes. The run goes on as it is until the other count has
    caught up; then one look changes everything. What was chosen after the start is exploratory, and decides nothing. A
    complete run keeps what it had; what its document adds comes beside that.
    """


@recount.command()
@click.argument("key")
@click.option("--reason", default="recount", show_default=True, help="Why, for the history.")
@author_option
@json_option
def start(*, key: str, reason: str, author: str, as_json: bool) -> None:
    """Have the newest run of the experiment KEY counted again."""
    _do(lambda writer: recounting.begin(writer, key, Signature(author, reason)), as_json)


@recount.command()
@click.argument("key")
@click.option("--reason", default="stop", show_default=True, help="Why, for the history.")
@author_option
@json_option
def stop(*, key: str, reason: str, author: str, as_json: bool) -> None:
    """Give a recount of KEY up: the run goes on as it was."""
    _do(lambda writer: recounting.stop(writer, key, Signature(author, reason)), as_json)


def _do(step: Callable[[CatalogWriter], Awaitable[Change]], as_json: bool) -> None:
    async def publish() -> Change:
        async with opened(Settings.read()) as writer:
            return await step(writer)

    change = asyncio.run(publish())
    told = {"key": change.key, "version": change.version, "consequences": [each.text for each in change.consequences]}
    click.echo(msgspec.json.encode(told) if as_json else line_of(change))


@recount.command("list")
@json_option
def list_(as_json: bool) -> None:
    """Every recount: what has become of it, and how far it is."""
    found = _read()
    if as_json:
        click.echo(msgspec.json.encode(found))
    elif found:
        Terminal(1_000).print(_table(found))
    else:
        click.echo("there are none; `peekproof recount start KEY` begins one")


@recount.command()
@click.argument("key")
@json_option
def follow(key: str, as_json: bool) -> None:
    """Tell how far a recount of KEY is, until it has come to its end; exit code 1 where that is no good one."""
    last = None
    while True:
        found = next((each for each in _read() if each.flag == key), None)
        if found is None:
            raise click.ClickException(f"'{key}' was never recounted; `peekproof recount start {key}` begins it")
        if found != last:
            click.echo(msgspec.json.encode(found) if as_json else f"{found.run} of '{key}': {_state(found)}")
        if found.state != "begun":
            raise SystemExit(0 if found.state == "complete" else 1)
        last = found
        time.sleep(FOLLOW_SECONDS)


def _read() -> list[RecountTold]:
    settings = Settings.read()
    catalog = read_catalog(settings).newest
    words = Sight(settings).heard().living("archive") if catalog.recounts else []
    return recounts_told(catalog, [word.health for word in words])


def _table(found: list[RecountTold]) -> Table:
    table = Table("experiment", "run", "since (UTC)", "state", box=None, pad_edge=False)
    for each in found:
        table.add_row(each.flag, each.run, told_utc(each.time), _state(each))
    return table


def _state(told: RecountTold) -> str:
    if told.state == "complete":
        return "complete: looks are of all units since the start"
    if told.state == "stopped":
        return "stopped" if told.why is None else f"stopped: {told.why}"
    share = f"{told.done:,} of {told.size:,} records" if told.size else "begun"
    if told.waiting:
        return f"{share}; it waits {told.waiting}"
    left = "" if told.seconds_left is None else f", about {told.seconds_left:,.0f} s to go"
    return f"{share}{left}"
