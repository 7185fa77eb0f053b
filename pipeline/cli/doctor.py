"""`peekproof doctor`: one look at everything that an operator asks."""

import logging
import sys
from collections import Counter

import click
import msgspec
from rich.table import Table
from rich.text import Text

from pipeline.cli.documents import json_option
from pipeline.cli.terminal import Terminal, harmless
from pipeline.doctor import WORST, Finding, examine, worst
from pipeline.settings import Settings

STYLES = {"ok": "green", "warning": "yellow", "wrong": "bold red", "unknown": "magenta"}


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """Look at the installation: brokers, topics, stages, checkpoints, disk and the rest; say what mends what is wrong.

    Changes nothing. Exit code 0: all is well, whatever it warns of; 1: something is wrong, or could not be seen.
    """
    for client in ("kafka", "aiokafka"):
        logging.getLogger(client).setLevel(logging.CRITICAL)  # what they try; findings say what came of it
    findings = examine(Settings.read())
    status = worst(findings)
    if as_json:
        click.echo(msgspec.json.encode({"status": status, "findings": findings}))
    else:
        Terminal(200).print(_table(findings))
        counts = Counter(finding.status for finding in findings)
        told = [f"{counts[each]} {each}" for each in WORST if counts[each] and each != "ok"]
        click.echo(", ".join(told) if told else "all is well")
    if status in {"wrong", "unknown"}:
        sys.exit(1)


def _table(findings: list[Finding]) -> Table:
    table = Table.grid(padding=(0, 2))
    area = ""
    for finding, after in zip(findings, [*findings[1:], None], strict=True):
        what = Text(harmless(finding.what))
        if finding.command and not (after and after.command == finding.command):  # of several it is told once
            what.append(f"\n→ {harmless(finding.command)}", style="bold")
        told = finding.area if finding.area != area else ""
        table.add_row(told, Text(finding.status, style=STYLES[finding.status]), what)
        area = finding.area
    return table
