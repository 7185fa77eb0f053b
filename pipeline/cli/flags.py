"""`peekproof flag` and `peekproof experiment`: the life of flags. An experiment is a flag with metrics."""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import click
import msgspec
from rich.table import Table

from evaluation.catalog import overview
from evaluation.catalog.overview import Summary
from evaluation.plans.resuming import Resuming
from pipeline.catalog import editing
from pipeline.catalog.editing import Change, Signature, StepName, state_of
from pipeline.catalog.topic import opened, read_catalog
from pipeline.catalog.types import definition_of
from pipeline.catalog.yaml_file import document_text
from pipeline.cli.documents import author_option, json_option, line_of, yes_option
from pipeline.cli.shipped import shipped_command
from pipeline.cli.terminal import Terminal, harmless, told_utc
from pipeline.errors import PeekproofError
from pipeline.kafka.reading import newest_times
from pipeline.quantities import quantity
from pipeline.settings import Settings
from schemas.catalog import Flag, FlagState
from schemas.topics import RESULTS

key_argument = click.argument("key")
reason_option = click.option("--reason", default=None, help="Why, for the history.")
new_salt_option = click.option(
    "--new-salt", is_flag=True, help="Split the units of a plain flag anew, as an experiment's always are."
)

# Step: its line in the help.
STEPS: dict[StepName, str] = {
    "start": "Begin a run: from now on units enter.",
    "complete": "End its run: no unit enters any more; events count until the last window is settled.",
    "restart": "Begin another run; the one that is open ends.",
    "rollback": "Give 'off' to everybody; the run that is open ends.",
    "archive": "Put away what doesn't run; `restore` takes it back.",
    "restore": "Take back from the archive.",
    "delete": "Remove for ever what never ran or is archived. The log keeps its versions.",
}
BEGINNING: tuple[StepName, ...] = ("start", "restart")


@click.group()
def flag() -> None:
    """Create, start, roll out, roll back, archive and delete flags; tell their state and history."""


@click.group()
def experiment() -> None:
    """The same for experiments, which are flags with metrics."""


@click.command("list")
@json_option
@click.pass_context
def list_flags(context: click.Context, as_json: bool) -> None:
    """All of them, with their status. A date that has passed is reported: commands act by it, or a plan does."""
    history = read_catalog(Settings.read())
    of_experiments = _is_of_experiments(context)
    found = overview.summaries(history.newest, _now(), of_experiments)
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    name = "experiment" if of_experiments else "flag"
    table = Table(name, "status", "run", "rollout", "variants", "metrics", "owner", box=None, pad_edge=False)
    for each in found:
        variants, metrics = ", ".join(each.variants), ", ".join(each.metrics) or "-"
        status = ", ".join(filter(None, (_status(each), "but everybody gets 'off'" if each.problem else "")))
        table.add_row(each.key, status, each.run or "-", f"{each.rollout} %", variants, metrics, each.owner)
    if not found:
        click.echo("the catalog holds none; `peekproof apply` publishes the documents of configs/")
    else:
        Terminal(1_000).print(table)
    if history.rejected:
        are = quantity(len(history.rejected), "record of the catalog is", "records of the catalog are")
        click.echo(f"{are} ignored, the last one because:", err=True)
        click.echo(harmless(history.rejected[-1].reason), err=True)


@click.command()
@key_argument
@json_option
def show(key: str, as_json: bool) -> None:
    """Its definition and its runs."""
    history = read_catalog(Settings.read())
    state, in_force = state_of(history, key), history.newest.flags[key]
    summary = overview.summary_of(history.newest, key, _now())
    if as_json:
        click.echo(msgspec.json.encode(msgspec.structs.asdict(summary) | {"state": state}))
        return
    problem = summary.problem and f"but everybody gets 'off': {' '.join(summary.problem.splitlines())}"
    click.echo(", ".join(filter(None, (f"# version {summary.version}", _status(summary), problem))))
    for run in in_force.runs:
        until = told_utc(run.completed) if run.completed is not None else "now"
        click.echo(
            f"# {run.key}: {told_utc(run.started)} to {until}, salt {run.salt}, {len(run.allocations)} allocation(s)"
        )
    if plan := summary.plan:
        paused = f", paused {told_utc(plan.paused)} ({plan.why})" if plan.paused is not None else ""
        click.echo(f"# plan: step {plan.step} of {plan.steps} since {told_utc(plan.taken)} UTC{paused}")
        named = ("", *(f"{each.name} " for each in state.definition.segments))
        shares = zip(named, (summary.rollout, *summary.of_segments), strict=True)
        click.echo(f"# rollout: {', '.join(f'{name}{each} %' for name, each in shares)}")
    click.echo(document_text(state.definition), nl=False)


@click.command()
@key_argument
@json_option
def history(key: str, as_json: bool) -> None:
    """Every version: when, who, why, and what it changed."""
    catalog = read_catalog(Settings.read())
    state_of(catalog, key)
    told = overview.told(catalog, key)
    if as_json:
        click.echo(msgspec.json.encode(told))
        return
    table = Table("version", "appended (UTC)", "author", "reason", "what changed", box=None, pad_edge=False)
    for version in told:
        appended = told_utc(version.append_time)
        table.add_row(str(version.version), appended, version.author, version.reason, ", ".join(version.changed))
    Terminal(1_000).print(table)


@click.command()
@key_argument
@click.argument("old", type=click.IntRange(min=1), required=False)
@click.argument("new", type=click.IntRange(min=1), required=False)
@json_option
def diff(key: str, old: int | None, new: int | None, as_json: bool) -> None:
    """What differs between version OLD (default: the last but one) and NEW (default: the last)."""
    catalog = read_catalog(Settings.read())
    state_of(catalog, key)
    try:
        found = overview.differences(catalog, key, old, new)
    except ValueError as error:
        raise PeekproofError(str(error)) from None
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    for each in found:
        click.echo(f"{each.path}: {_value(each.before)} -> {_value(each.after)}")
    if not found:
        click.echo("they are the same")


@click.command()
@key_argument
@click.option("--owner", required=True, help="Who answers for it.")
@click.option("--name", default=None, help="Its name for people.")
@click.option("--unit", default="user_id", show_default=True, help="What is randomised.")
@click.option(
    "--rollout", type=float, default=100.0, show_default="100", help="Percentage of units that get a variant: 0.5."
)
@click.option("--variant", "variants", multiple=True, help="A variant; repeat it. Default: on, or control, treatment.")
@click.option("--metric", "metrics", multiple=True, help="A metric; repeat it. The first one decides.")
@reason_option
@author_option
@json_option
@click.pass_context
def create(
    context: click.Context,
    /,
    *,
    key: str,
    variants: tuple[str, ...],
    metrics: tuple[str, ...],
    reason: str | None,
    author: str,
    as_json: bool,
    **fields: Any,
) -> None:
    """Publish a draft without a file. `show` prints it as a file that `apply` knows."""
    keys = variants or (("control", "treatment") if _is_of_experiments(context) else ("on",))
    goals = [{"metric": metric, "role": "secondary" if index else "primary"} for index, metric in enumerate(metrics)]
    value = {name: field for name, field in fields.items() if field is not None} | {"key": key, "metrics": goals}
    if value["rollout"].is_integer():
        value["rollout"] = int(value["rollout"])
    definition = definition_of(value | {"variants": [{"key": variant} for variant in keys]}, Flag)

    async def publish() -> Change:
        async with opened(Settings.read()) as writer:
            return await editing.create(writer, definition, Signature(author, reason or "create"))

    _tell(asyncio.run(publish()), as_json)


@flag.command()
@click.option("--days", default=30, show_default=True, help="For how long nothing has moved.")
@json_option
def stale(days: int, as_json: bool) -> None:
    """Flags that stand at 100 % or 0 %, are off, or have no traffic, for so long; not those tagged `permanent`."""
    settings = Settings.read()
    found = overview.stale(read_catalog(settings).newest, newest_times(settings, RESULTS), _now(), days)
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    table = Table("flag", "owner", "since (UTC)", "why", box=None, pad_edge=False)
    for each in found:
        table.add_row(each.key, each.owner, told_utc(each.since), each.reason)
    if found:
        Terminal(1_000).print(table)
    else:
        click.echo(f"none has stood still for {days} days")


def step_command(
    name: StepName, line: str, resuming: Callable[[str], Resuming | None] = lambda _: None
) -> click.Command:
    """A command that takes a step with a flag; `resuming` tells by its key what follows where its plan goes on."""

    @click.command(name, help=line)
    @key_argument
    @reason_option
    @author_option
    @yes_option
    @json_option
    @click.pass_context
    def command(context: click.Context, /, **options: Any) -> None:
        _take(name, context, resuming=resuming(options["key"]), **options)

    return new_salt_option(command) if name in BEGINNING else command


@click.command()
@key_argument
@click.argument("variant")
@reason_option
@author_option
@yes_option
@json_option
@click.pass_context
def rollout(context: click.Context, /, **options: Any) -> None:
    """Give VARIANT to everybody; the run that is open ends."""
    _take("rollout", context, **options)


def _take(
    step: StepName,
    context: click.Context,
    /,
    *,
    key: str,
    variant: str | None = None,
    new_salt: bool = False,
    resuming: Resuming | None = None,
    reason: str | None,
    author: str,
    yes: bool,
    as_json: bool,
) -> None:
    signature, as_experiment = Signature(author, reason or step), _is_of_experiments(context)

    async def publish() -> Change:
        async with opened(Settings.read()) as writer:
            return await editing.take(
                writer,
                step,
                key,
                signature,
                variant=variant,
                as_experiment=as_experiment,
                splits_anew=new_salt,
                resuming=resuming,
                accept_risks=yes,
            )

    _tell(asyncio.run(publish()), as_json)


for group in (flag, experiment):
    for each in (list_flags, show, history, diff, create, rollout, *(step_command(*step) for step in STEPS.items())):
        group.add_command(each)
experiment.add_command(shipped_command)


def _tell(change: Change, as_json: bool) -> None:
    state = change.spec
    assert isinstance(state, FlagState)
    run = state.runs[-1] if state.runs else None
    if as_json:
        told = {
            "key": change.key,
            "version": change.version,
            "status": state.removed or state.status,
            "run": run.key if run else None,
            "salt": run.salt if run else None,
            "consequences": [each.text for each in change.consequences],
        }
        click.echo(msgspec.json.encode(told))
    else:
        click.echo(line_of(change))


def _is_of_experiments(context: click.Context) -> bool:
    return context.parent is not None and context.parent.command is experiment


def _status(of: Summary) -> str:
    status = of.status if of.rolled_out is None else f"{of.status} ({of.rolled_out})"
    if of.plan:
        paused = f", plan paused ({of.plan.why})" if of.plan.why else ""
        status += f", step {of.plan.step} of {of.plan.steps}{paused}"
    return ", ".join(filter(None, (status, of.overdue)))


def _value(value: object) -> str:
    return "-" if value is None else json.dumps(value, ensure_ascii=False)


def _now() -> int:
    return time.time_ns() // 1_000_000
