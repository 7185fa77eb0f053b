"""`peekproof dead-letters`: the input that could not be used, and the way back for it."""

import base64
from typing import Any, get_args

import click
import msgspec
from rich.table import Table

from evaluation.catalog.reading import made_by
from pipeline.catalog.topic import read_catalog
from pipeline.cli.terminal import Terminal, harmless, told_utc
from pipeline.kafka.dead_letters import read_dead_letters, send_back
from pipeline.settings import Settings
from schemas.dead_letter import REASONS, DeadLetter, Reason

SHOWN = 60  # characters of a value in the table
MEANINGS = "\b\nReasons:\n" + "\n".join(f"  {reason:<20}{REASONS[reason]}" for reason in get_args(Reason))


@click.command("dead-letters", epilog=MEANINGS)
@click.option("--reason", type=click.Choice(get_args(Reason)), metavar="REASON", help="Only those with this reason.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line, with the whole value.")
@click.option("--resend", is_flag=True, help="Send them to their topics again, now that the cause is mended.")
def dead_letters(reason: str | None, as_json: bool, resend: bool) -> None:
    """List the input that could not be used, once for each source and reason.

    A dead letter that is sent again keeps its first append time, by which lateness is judged, and its origin, so that
    sending it twice counts once.
    """
    settings = Settings.read()
    dead_letters = read_dead_letters(settings, reason, _complain)
    if resend:
        number = send_back(settings, dead_letters, _complain, made_by(read_catalog(settings).newest))
        click.echo(
            msgspec.json.encode({"resent": number}) if as_json else f"sent {number} dead letters to their topics again"
        )
        return
    if as_json:
        for dead_letter in dead_letters:
            click.echo(msgspec.json.encode(_told(dead_letter)))
        return
    table = Table("reason", "origin", "appended (UTC)", "detail", "value", box=None, pad_edge=False)
    rows = 0
    for dead_letter in dead_letters:
        appended = told_utc(dead_letter.append_time)
        value = "null" if dead_letter.value is None else dead_letter.value[:SHOWN].decode("utf-8", "backslashreplace")
        table.add_row(dead_letter.reason, dead_letter.origin, appended, dead_letter.detail, value)
        rows += 1
    if rows:
        Terminal(1_000).print(table)
    else:
        click.echo("there are none" if reason is None else f"there are none with the reason '{reason}'")


def _complain(text: str) -> None:
    click.echo(harmless(text), err=True)


def _told(dead_letter: DeadLetter) -> dict[str, Any]:
    told = msgspec.to_builtins(dead_letter, builtin_types=(bytes,)) | {"origin": dead_letter.origin}
    told["headers"] = [(name, value.decode("utf-8", "backslashreplace")) for name, value in dead_letter.headers]
    if dead_letter.value is not None:
        try:
            told["value"] = dead_letter.value.decode()
        except UnicodeDecodeError:
            told |= {"value": None, "value_base64": base64.b64encode(dead_letter.value).decode()}
    return told
