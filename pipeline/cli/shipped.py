"""`peekproof experiment shipped`: what was shipped while an experiment measured a holdout, beside what that shows."""

import click
import msgspec
from rich.text import Text

from evaluation.catalog.decisions import Decisions
from evaluation.catalog.rules import did_you_mean
from evaluation.significance.shipped import Lift, ShippedMetric, shipped
from pipeline.catalog.topic import read_catalog
from pipeline.cli.looks import read_looks
from pipeline.cli.terminal import Fitted, Terminal, TerminalColumn, told_utc
from pipeline.errors import PeekproofError
from pipeline.settings import Settings
from schemas.look import Look, RunKey


@click.command("shipped")
@click.argument("key")
@click.option("--json", "as_json", is_flag=True, help="One JSON array, a metric each.")
def shipped_command(key: str, as_json: bool) -> None:
    """What shipped while KEY measured a holdout: each lift, their sum, and what the holdout shows."""
    settings = Settings.read()
    history = read_catalog(settings)
    flags = history.newest.flags
    if key not in flags:
        raise PeekproofError(f"'{key}' is no experiment; {did_you_mean(key, flags)}")
    if flags[key].definition.holdout is None:
        raise PeekproofError(f"'{key}' measures no holdout; an experiment that does says `holdout`")
    newest: dict[RunKey, Look] = {(look.experiment, look.run): look for look, _ in read_looks(settings, {})}
    decisions = Decisions()
    decisions.read(history)
    found = shipped(history.newest, decisions.of, key, lambda flag, run: newest.get((flag, run)))
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    console = Terminal(200)
    if not found:
        console.print(Text(f"'{key}' has not been started"))
    for each in found:
        console.print(Text(each.says))
        if each.changes:
            console.print(Fitted(_columns(each)))


def _columns(told: ShippedMetric) -> list[TerminalColumn]:
    return [
        TerminalColumn("flag", 0, [each.flag for each in told.changes]),
        TerminalColumn("variant", 1, [each.variant for each in told.changes]),
        TerminalColumn("shipped", 2, [told_utc(each.time) for each in told.changes]),
        TerminalColumn("lift", 0, [_lift(each.lift) for each in told.changes], "right"),
    ]


def _lift(lift: Lift | None) -> str:
    if lift is None or lift.estimate is None:
        return "not measured"
    ends = ["open" if end is None else f"{end:+.1%}" for end in (lift.lower, lift.upper)]
    return f"{lift.estimate:+.1%} [{', '.join(ends)}]"
