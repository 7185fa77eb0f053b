"""`peekproof recover accept-gap`: shows what the logs no longer hold, and goes on behind it."""

import asyncio
import sys

import click
import msgspec
from rich.table import Table

from pipeline.catalog.topic import opened
from pipeline.cli.documents import author_option
from pipeline.cli.terminal import Terminal, told_utc
from pipeline.errors import PeekproofError
from pipeline.recovery.gaps import Missing, accept, missing
from pipeline.settings import Settings


@click.command("accept-gap")
@click.option("--yes", is_flag=True, help="Accept it: the stages go on behind it.")
@click.option("--reason", default=None, help="Why; it stands in the health and the verdict of every run concerned.")
@author_option
@click.option("--json", "as_json", is_flag=True, help="What is missing, as one JSON document.")
def accept_gap(yes: bool, reason: str | None, author: str, as_json: bool) -> None:
    """Show what stages still need and the logs no longer hold; with --yes and a reason, go on behind it.

    Exit code 1 while something is missing and not accepted.
    """
    if yes and not reason:
        raise PeekproofError("say why with --reason: it stands in the verdict of every run that lacks these records")
    settings = Settings.read()
    lost = asyncio.run(_run(settings, author, reason if yes else None))
    if as_json:
        gaps = lost.gaps if lost else []
        told = {"made_anew": lost.made_anew if lost else [], "missing": gaps, "accepted": bool(lost and yes)}
        click.echo(msgspec.json.encode(told))
    else:
        _show(lost, is_accepted=yes)
    if lost and not yes:
        sys.exit(1)


async def _run(settings: Settings, author: str, reason: str | None) -> Missing | None:
    async with opened(settings) as writer:
        lost = await asyncio.to_thread(missing, settings, writer.history.newest.logs)
        if lost and reason:
            await accept(settings, writer, lost, author, reason)
        return lost


def _show(lost: Missing | None, *, is_accepted: bool) -> None:
    if lost is None:
        click.echo("nothing is missing: every log holds what its stages need next")
        return
    for topic in lost.made_anew:
        click.echo(f"topic {topic} was made anew; what nobody had read of its former log is lost")
    if lost.gaps:
        table = Table("stage", "log", "offsets", "number", "appended (UTC)", box=None, pad_edge=False)
        for gap in lost.gaps:
            times = f"{_time(gap.since)} to {_time(gap.until)}"
            number = "unknown" if gap.unknown else f"{gap.end - gap.begin:,}"
            table.add_row(gap.stage, f"{gap.topic}/{gap.partition}", f"{gap.begin:,} to {gap.end:,}", number, times)
        Terminal(1_000).print(table)
    if is_accepted:
        click.echo("accepted: stages that are started now go on behind it, and every run concerned says so")
    else:
        click.echo(
            "Where the archive holds it, `peekproof recover rebuild` loses less. To go on without: "
            '`peekproof recover accept-gap --yes --reason "…"`'
        )


def _time(time: int | None) -> str:
    return "?" if time is None else told_utc(time)
