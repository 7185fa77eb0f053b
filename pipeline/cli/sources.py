"""`peekproof sources`: topics that are not ours, how far each is read; and a trial of what a source makes of one."""

import asyncio
from pathlib import Path

import click
import msgspec
from rich.table import Table

from pipeline.catalog.documents import read_source
from pipeline.catalog.standing import SourceStanding, standings
from pipeline.catalog.topic import known_catalog, read_catalog
from pipeline.catalog.trying import MOST_RECORDS, RECORDS, TriedSource, is_file, source_named, try_source
from pipeline.cli.terminal import Terminal, told_utc
from pipeline.doctor.sight import Sight
from pipeline.settings import Settings

SHOWN = 400  # characters of a value in the table


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@click.pass_context
def sources(context: click.Context, as_json: bool) -> None:
    """List the sources, how far each is read, and what became of its records since the workers started."""
    if context.invoked_subcommand is not None:
        return
    settings = Settings.read()
    catalog = read_catalog(settings).newest
    found: list[SourceStanding] = []
    if catalog.sources:
        heard = Sight(settings).heard()
        said, before = heard.living("assignment"), heard.silent("assignment")
        found = standings(catalog, [word.health for word in reversed(said)], [word.health for word in before])
    if as_json:
        for each in found:
            click.echo(msgspec.json.encode(each))
    elif found:
        Terminal(1_000).print(_table(found))
    else:
        click.echo("there are none; a file in configs/sources/ makes one, `peekproof apply` publishes it")


def _table(found: list[SourceStanding]) -> Table:
    columns = ("source", "topic", "as", "state", "behind", "taken", "excluded", "dead letters")
    table = Table(*columns, box=None, pad_edge=False)
    for each in found:
        state = each.state if each.why is None else f"{each.state}: {each.why}"
        numbers = (each.lag, each.taken, each.excluded, each.dead)
        table.add_row(each.key, each.topic, each.makes, state, *("" if n is None else f"{n:,}" for n in numbers))
    return table


@sources.command("try")
@click.argument("source", metavar="KEY|FILE")
@click.option(
    "--records",
    type=click.IntRange(1, MOST_RECORDS),
    default=RECORDS,
    show_default=True,
    help="How many of the newest records.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of a table.")
def try_(source: str, records: int, as_json: bool) -> None:
    """Read the newest records of a source's topic, and show what it makes of them, or why they are of no use.

    KEY is a source of the catalog, FILE a source's file. Nothing is counted, and nothing is published.
    """
    settings = Settings.read()
    if is_file(file := Path(source)):
        definition, catalog = read_source(file), known_catalog(settings)
    else:
        catalog = read_catalog(settings).newest
        definition = source_named(source, catalog)
    tried = asyncio.run(try_source(settings, definition, catalog, records))
    if as_json:
        click.echo(msgspec.json.encode(tried))
        return
    Terminal(1_000).print(_tried(tried))
    click.echo(", ".join(f"{number} {outcome}" for outcome, number in tried.counts.items() if number) or "no records")
    for note in tried.notes:
        click.echo(f"note: {note}", err=True)


def _tried(tried: TriedSource) -> Table:
    table = Table("record", "time (UTC)", "what came", "what was made of it", box=None, pad_edge=False, show_lines=True)
    for each in tried.records:
        came = "(no value)" if each.came is None else each.came[:SHOWN]
        made = each.detail or each.outcome
        if each.made is not None:
            made = msgspec.json.encode(each.made).decode()
        elif each.reason is not None:
            made = f"{each.reason}: {each.detail}"
        table.add_row(each.place, told_utc(each.time), came, made)
    return table
