"""`peekproof experiment`: the life of an experiment (or of a feature flag, which is one without metrics)."""

import asyncio
import secrets
import string
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

import click
import msgspec
import yaml
from rich.console import Console
from rich.table import Table

from evaluation.catalog import FlagInForce, History, Version, decode_spec
from evaluation.lifecycle import LifecycleError, complete, start
from evaluation.rules import did_you_mean, parse_date
from pipeline.catalog import CatalogWriter, read_catalog
from pipeline.cli.documents import author_option, json_option
from pipeline.editing import differing
from pipeline.errors import PeekproofError
from pipeline.settings import Settings
from schemas.catalog import Document, FlagState

SALT_CHARACTERS = string.ascii_letters + string.digits
Step = Callable[[FlagState, int], FlagState]

reason_option = click.option("--reason", default=None, help="Why, for the history.")


@click.group()
def experiment() -> None:
    """List, show, start and complete experiments and flags, and tell their history."""


@experiment.command("list")
@json_option
def list_experiments(as_json: bool) -> None:
    """All of them, with their status. A date that has passed is reported: dates are a plan, commands act."""
    history = read_catalog(Settings.read())
    flags = history.newest.flags
    if as_json:
        click.echo(msgspec.json.encode([_summary(key, flags[key]) for key in sorted(flags)]))
        return
    table = Table("experiment", "status", "run", "rollout", "variants", "metrics", "owner", box=None, pad_edge=False)
    for key in sorted(flags):
        flag, definition = flags[key], flags[key].definition
        status = ", ".join(filter(None, (flag.status, overdue(flag, _now()))))
        run = flag.runs[-1].key if flag.runs else "-"
        variants = ", ".join(variant.key for variant in definition.variants)
        metrics = ", ".join(goal.metric for goal in definition.metrics) or "-"
        table.add_row(key, status, run, f"{definition.rollout} %", variants, metrics, definition.owner)
    if not flags:
        click.echo("the catalog holds none; `peekproof apply` publishes the documents of configs/")
    else:
        _print(table)
    if history.rejected:
        click.echo(f"{len(history.rejected)} records of the catalog are ignored, the last one because:", err=True)
        click.echo(history.rejected[-1].reason, err=True)


@experiment.command()
@click.argument("key")
@json_option
def show(key: str, as_json: bool) -> None:
    """Its definition and its runs."""
    history = read_catalog(Settings.read())
    state, flag = _state(history, key), history.newest.flags[key]
    if as_json:
        click.echo(msgspec.json.encode(_summary(key, flag) | {"state": state}))
        return
    status = ", ".join(filter(None, (flag.status, overdue(flag, _now()))))
    click.echo(f"# version {flag.version}, {status}")
    for run in flag.runs:
        until = _date(run.completed) if run.completed is not None else "now"
        click.echo(
            f"# {run.key}: {_date(run.started)} to {until}, salt {run.salt}, {len(run.allocations)} allocation(s)"
        )
    definition = msgspec.to_builtins(state.definition)
    click.echo(yaml.safe_dump(definition, sort_keys=False, allow_unicode=True, width=120), nl=False)


@experiment.command("start")
@click.argument("key")
@reason_option
@author_option
@json_option
def start_experiment(key: str, reason: str | None, author: str, as_json: bool) -> None:
    """Begin a run: from now on units enter. Another start after `complete` makes another run with a new salt."""
    salt = "".join(secrets.choice(SALT_CHARACTERS) for _ in range(8))
    _take(lambda state, version: start(state, version, salt), key, reason or "start", author, as_json)


@experiment.command("complete")
@click.argument("key")
@reason_option
@author_option
@json_option
def complete_experiment(key: str, reason: str | None, author: str, as_json: bool) -> None:
    """End its run: no unit enters any more; events count until the last window is settled."""
    _take(complete, key, reason or "complete", author, as_json)


@experiment.command()
@click.argument("key")
@json_option
def history(key: str, as_json: bool) -> None:
    """Every version: when, who, why, and what it changed."""
    catalog = read_catalog(Settings.read())
    _state(catalog, key)
    versions = catalog.versions_of("flag", key)
    told = [_told(versions[index - 1] if index else None, version) for index, version in enumerate(versions)]
    if as_json:
        click.echo(msgspec.json.encode(told))
        return
    table = Table("version", "appended (UTC)", "author", "reason", "what changed", box=None, pad_edge=False)
    for version in told:
        appended = _date(version.append_time)
        table.add_row(str(version.version), appended, version.author, version.reason, ", ".join(version.changed))
    _print(table)


def overdue(flag: FlagInForce, now: int) -> str | None:
    """The planned date that has passed (`now` in ms UTC) without the command that it asks for."""
    definition = flag.definition
    name, date = {"draft": ("start", definition.start), "running": ("end", definition.end)}.get(flag.status, ("", None))
    if date is None or parse_date(date).timestamp() * 1_000 > now:
        return None
    return f"{name} date {date} has passed"


def _take(step: Step, key: str, reason: str, author: str, as_json: bool) -> None:
    document, state = asyncio.run(_publish(Settings.read(), step, key, reason, author))
    run = state.runs[-1]
    if as_json:
        told = {"key": key, "version": document.version, "status": state.status, "run": run.key, "salt": run.salt}
        click.echo(msgspec.json.encode(told))
    else:
        click.echo(f"{key}: version {document.version}, {run.key} is {state.status}")


async def _publish(settings: Settings, step: Step, key: str, reason: str, author: str) -> tuple[Document, FlagState]:
    async with CatalogWriter(settings) as writer:
        standing = _state(writer.history, key)
        version = writer.history.newest.flags[key].version + 1
        try:
            state = step(standing, version)
        except LifecycleError as error:
            raise PeekproofError(str(error)) from None
        document = writer.next_version(state, author, reason)
        await writer.publish(document)
        return document, state


def _state(history: History, key: str) -> FlagState:
    state = history.state_of(key)
    if state is None:
        known = did_you_mean(key, history.newest.flags.keys())
        raise PeekproofError(f"'{key}' is no experiment of the catalog; {known} (`peekproof apply` publishes new ones)")
    return state


def _summary(key: str, flag: FlagInForce) -> dict[str, object]:
    definition, run = flag.definition, flag.runs[-1] if flag.runs else None
    return {
        "key": key,
        "name": definition.name,
        "owner": definition.owner,
        "status": flag.status,
        "overdue": overdue(flag, _now()),
        "version": flag.version,
        "run": run.key if run else None,
        "started": run.started if run else None,
        "completed": run.completed if run else None,
        "rollout": definition.rollout,
        "variants": [variant.key for variant in definition.variants],
        "control": flag.control,
        "metrics": [goal.metric for goal in definition.metrics],
    }


class _Told(msgspec.Struct, frozen=True, kw_only=True):
    """One version in a history: `changed` names the fields and the steps."""

    version: int
    base: int
    offset: int
    append_time: int  # ms UTC
    time: int  # ms UTC, the author's
    author: str
    reason: str
    changed: list[str]


def _told(before: Version | None, version: Version) -> _Told:
    document = version.document
    state = decode_spec(document, FlagState)
    standing = decode_spec(before.document, FlagState) if before else None
    changed = list(differing(standing.definition, state.definition)) if standing else ["created"]
    if state.runs and state.status != (standing.status if standing else "draft"):
        changed.append(f"{state.runs[-1].key} is {state.status}")
    return _Told(
        version=document.version,
        base=document.base,
        offset=version.offset,
        append_time=version.append_time,
        time=document.time,
        author=document.author,
        reason=document.reason,
        changed=changed,
    )


def _print(table: Table) -> None:
    Console(width=None if sys.stdout.isatty() else 1_000).print(table)


def _now() -> int:
    return time.time_ns() // 1_000_000


def _date(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%S")
