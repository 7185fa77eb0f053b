"""`peekproof plan preview`: the plan of a flag as a timeline, for people."""

import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import click
import msgspec
from rich.console import Group
from rich.text import Text

from evaluation.catalog.hours import told_time
from evaluation.catalog.in_force import FlagInForce
from evaluation.catalog.rules import did_you_mean
from evaluation.plans.acts import told_act
from evaluation.plans.awaiting import Awaited
from evaluation.plans.preview import Preview, PreviewedStep, StepState, preview
from evaluation.plans.resuming import Resuming, resuming
from pipeline.catalog.documents import read_documents
from pipeline.catalog.topic import read_catalog
from pipeline.cli.documents import faults_told, json_option
from pipeline.cli.looks import read_looks
from pipeline.cli.terminal import Terminal
from pipeline.errors import PeekproofError
from pipeline.settings import Settings
from schemas.look import Look

WIDTH = 20  # of a bar
MARKS: dict[StepState, str] = {"taken": "✓", "in force": "▶", "ahead": " ", "never": "✗"}


@click.command("preview")
@click.argument("key")
@click.option(
    "--catalog",
    "directory",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=None,
    help="Documents that are not applied yet, instead of the catalog.",
)
@json_option
def preview_command(key: str, directory: Path | None, as_json: bool) -> None:
    """What the plan of KEY would do: its steps, what they wait for, and when they come at the earliest."""
    flag = _flag_of(key, directory, as_json)
    if flag.definition.plan is None:
        raise PeekproofError(f"'{key}' has no plan; write one into its definition: `plan: {{steps: [{{rollout: 1}}]}}`")
    look = _newest_look(flag) if directory is None else None
    try:
        shown = preview(flag, look, time.time_ns() // 1_000_000)
    except ValueError as error:
        raise PeekproofError(f"the plan of '{key}' cannot be told: {error}") from None
    if as_json:
        click.echo(msgspec.json.encode(shown))
        return
    Terminal(120).print(drawn(shown))
    if Settings.read().plans == "tell":
        click.echo("acting is switched off here (PEEKPROOF_PLANS=tell): nothing of it is done")


def _flag_of(key: str, directory: Path | None, as_json: bool) -> FlagInForce:
    """As it is in force or, of documents that are not applied yet, as a draft."""
    if directory is None:
        flags = read_catalog(Settings.read()).newest.flags
        if key not in flags:
            raise PeekproofError(f"there is no flag '{key}' in the catalog; {did_you_mean(key, flags)}")
        return flags[key]
    with faults_told(as_json):
        documents = read_documents(directory)
    if key not in documents.flags:
        raise PeekproofError(f"there is no flag '{key}' in {directory}; {did_you_mean(key, documents.flags)}")
    definition = documents.flags[key].definition
    return FlagInForce(definition=definition, status="draft", version=0, append_time=0, runs=())


def resuming_now(key: str) -> Resuming:
    """What who lets the plan of a flag go on should know."""
    flag = read_catalog(Settings.read()).newest.flags.get(key)
    return resuming(flag, _newest_look(flag), time.time_ns() // 1_000_000) if flag else Resuming()


def _newest_look(flag: FlagInForce) -> Look | None:
    """The newest look at its open run, as readers take them (see schemas/look.py); None: there is none."""
    if not flag.definition.metrics or flag.status != "running":
        return None
    newest: Look | None = None
    for look, _ in read_looks(Settings.read(), {}, run=(flag.definition.key, flag.runs[-1].key)):
        newest = look
    return newest


def drawn(shown: Preview) -> Group:
    """The timeline: a line for each step, below it what it waits for."""
    where = ", ".join(filter(None, (shown.status, shown.run, f"look {shown.look}" if shown.look else None)))
    then = shown.end.then
    return Group(
        Text(f"{shown.key}: {where} (times of {shown.timezone})"),
        *_lines(shown),
        Text(f"  at the end: on a win {then.on_win}, on nothing {then.on_nothing}"),
        Text(f"  at any time: on harm {shown.on_harm}, on a broken split {shown.on_broken_split}"),
        *map(Text, _now(shown)),
    )


def _lines(shown: Preview) -> Iterator[Text]:
    shares = [_share(step) for step in shown.steps]
    width = max(map(len, shares))
    for step, share in zip(shown.steps, shares, strict=True):
        when = _when(shown, step.state, step.since, step.earliest)
        yield Text(f"{MARKS[step.state]} {step.step:>3} {_bar(step)} {share:<{width}}  {when}".rstrip())
        yield from _conditions(shown, step.awaits)
    if shown.end.awaits:
        yield Text(f"  end {' ' * (WIDTH + width + 1)}  {_when(shown, 'ahead', None, shown.end.earliest)}")
        yield from _conditions(shown, shown.end.awaits)


def _share(step: PreviewedStep) -> str:
    return f"{step.rollout:g} %" + "".join(f", {name} {each:g} %" for name, each in step.segments.items())


def _bar(step: PreviewedStep) -> str:
    full = round(WIDTH * step.rollout / 100)
    return "█" * (full or bool(step.rollout)) + "░" * (WIDTH - (full or bool(step.rollout)))


def _when(shown: Preview, state: StepState, since: int | None, comes: int | None) -> str:
    if since is not None:
        return f"in force since {told_time(since, shown.timezone)}"
    if state != "ahead":
        return "" if state == "taken" else "never taken"
    if comes is None:
        return "never"
    return f"at the earliest {told_time(comes, shown.timezone)}"


def _conditions(shown: Preview, awaits: Iterable[Awaited]) -> Iterator[Text]:
    for each in awaits:
        since = "" if each.holds or each.since is None else told_time(each.since, shown.timezone)
        later = f" (from {since})" if since and since not in each.text else ""
        yield Text(f"      {'✓' if each.holds else '·'} {each.text}{later}", style="dim")


def _now(shown: Preview) -> Iterator[str]:
    said = shown.now
    yield f"now: {told_act(said.act)}: {said.reason}" if said.act else f"now: nothing is to be done: {said.reason}"
    for alarm in said.alarms:
        if alarm.is_overruled:
            yield f"overruled: {alarm.text}"
