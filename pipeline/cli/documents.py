"""`peekproof validate`, `apply` and `schema`: documents as files."""

import asyncio
import getpass
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path

import click
import msgspec

from evaluation.catalog.in_force import Catalog
from pipeline.catalog import editing
from pipeline.catalog.documents import Documents, read_documents
from pipeline.catalog.editing import Change, RiskError, Signature
from pipeline.catalog.faults import DocumentError, Fault
from pipeline.catalog.fitting import setting_violations, unread
from pipeline.catalog.topic import opened, read_catalog
from pipeline.quantities import quantity
from pipeline.settings import Settings
from schemas.json_schema import DOCUMENTS, json_schema
from schemas.source import ForeignSource

directory_argument = click.argument("directory", type=click.Path(path_type=Path), default=Path("configs"))
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document instead of lines.")


def author() -> str:
    """Who runs this process, for the audit log."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without a user database
        return "unknown"


author_option = click.option("--author", default=author, show_default="you", help="Who changes it, for the history.")

yes_option = click.option("--yes", is_flag=True, help="Do it although it is risky.")


@click.command()
@directory_argument
@json_option
def validate(directory: Path, as_json: bool) -> None:
    """Check the documents of DIRECTORY (default: configs) without publishing anything."""
    with faults_told(as_json):
        documents = _read(directory)
    if as_json:
        click.echo(msgspec.json.encode(_counts(documents) | {"faults": [], "notes": [*map(_place, documents.notes)]}))
    else:
        _tell_notes(documents.notes)
        click.echo(f"{_counted(documents)} in {directory}: no faults")


@click.command()
@directory_argument
@click.option("--reason", default="apply", show_default=True, help="Why, for the history.")
@author_option
@yes_option
@click.option("--dry-run", is_flag=True, help="Tell what would change, and what follows from it; publish nothing.")
@click.option(
    "--from",
    "since",
    type=click.Choice(["now", "start"]),
    default="now",
    show_default=True,
    help="From when on experiments count what they did not count before.",
)
@json_option
def apply(*, directory: Path, reason: str, author: str, yes: bool, dry_run: bool, since: str, as_json: bool) -> None:
    """Publish the documents of DIRECTORY (default: configs) that differ from the catalog, all checked beforehand.

    Runs neither start nor end by it: `peekproof experiment start` and `complete` do that. What no file describes stays
    as it is, and is named. What costs a run part of its meaning is told, and wants --yes.

    What a running experiment did not count before, it counts of units that enter from now on. With `--from start` it is
    counted again from its start, by what is archived, and so is one that is complete: see `peekproof recount`.
    """
    with faults_told(as_json):
        documents = _read(directory)
        _tell_notes(documents.notes)
        if dry_run:
            applied = _foreseen(documents, since == "start", as_json)
        else:
            applied = asyncio.run(_apply(documents, Signature(author, reason), yes, since == "start", as_json))
    if as_json:
        click.echo(msgspec.json.encode([_as_json(change) for change in applied]))
    elif not applied:
        click.echo(f"{_counted(documents)}: the catalog holds them as they are")


def _read(directory: Path) -> Documents:
    """The documents. Raises DocumentError for what is wrong with them, or with a source by this place's settings."""
    documents = read_documents(directory)
    if not documents.sources:
        return documents  # nothing of the others depends on settings
    settings, sources = Settings.read(), documents.sources.values()
    faults = [each.file.faults(setting_violations(settings, each.definition)) for each in sources]
    if any(faults):
        raise DocumentError([*chain(*faults)], list(documents.notes))
    return documents


def _foreseen(documents: Documents, from_start: bool, as_json: bool) -> list[Change]:
    """What applying them would change now."""
    settings = Settings.read()
    history = read_catalog(settings)
    found = editing.changes(documents, history)
    if from_start:
        found += editing.recounts(found, history)
    asyncio.run(editing.require_fit(settings, [change.spec for change in found]))
    if found and not as_json:
        click.echo("nothing is published; this would be:", err=True)
        for change in found:
            click.echo(line_of(change))
        asyncio.run(_tell_unread(settings, found))
        with suppress(RiskError):
            editing.require_yes(found, accept_risks=False)
            return found
        click.echo("it wants --yes", err=True)
    return found


async def _tell_unread(settings: Settings, applied: Iterable[Change]) -> None:
    """Name the topics of sources that cannot be read yet."""
    sources = [change.spec for change in applied if isinstance(change.spec, ForeignSource)]
    for key, why in (await unread(settings, sources)).items():
        click.echo(f"source {key} waits for its topic: {why}", err=True)


async def _apply(
    documents: Documents, signature: Signature, yes: bool, from_start: bool, as_json: bool
) -> list[Change]:
    applied: list[Change] = []
    settings = Settings.read()
    async with opened(settings) as writer:
        async for change in editing.apply(writer, documents, signature, yes, from_start=from_start):
            applied.append(change)
            if not as_json:
                click.echo(line_of(change))
        _tell_without_file(documents, writer.history.newest)
    await _tell_unread(settings, applied)
    return applied


def _tell_without_file(documents: Documents, catalog: Catalog) -> None:
    """Name what stands in the catalog and has no file: a file that was removed takes nothing away."""
    flags = {key for key, flag in catalog.flags.items() if not flag.removed}
    kinds = (
        ("flag", flags - documents.flags.keys()),
        ("metric", catalog.metrics.keys() - documents.metrics.keys()),
        ("group", catalog.groups.keys() - documents.groups.keys()),
        ("cohort", catalog.cohorts.keys() - documents.cohorts.keys()),
        ("deployment", catalog.deployments.keys() - documents.deployments.keys()),
        ("notification", catalog.notifications.keys() - documents.notifications.keys()),
        ("template", catalog.templates.keys() - documents.templates.keys()),
        ("brief", catalog.briefs.keys() - documents.briefs.keys()),
        ("source", catalog.sources.keys() - documents.sources.keys()),
    )
    told = ", ".join(f"{kind} {key}" for kind, keys in kinds for key in sorted(keys))
    if told:
        click.echo(f"in the catalog, without a file here, as before: {told}", err=True)
    if flags - documents.flags.keys():
        click.echo(
            "  `peekproof flag show KEY` prints a flag's file, `peekproof flag archive KEY` puts a flag away", err=True
        )
    if any(not catalog.sources[key].definition.paused for key in catalog.sources.keys() - documents.sources.keys()):
        click.echo("  a source without a file is read as before; applied once with `paused: true` it is not", err=True)


def _tell_notes(notes: Iterable[Fault]) -> None:
    for note in notes:
        click.echo(f"{note.file}:{note.line}: note: {note.told}", err=True)


@click.command()
@click.argument("directory", type=click.Path(path_type=Path), default=Path("configs/schemas"))
def schema(directory: Path) -> None:
    """Write the JSON Schema of documents, with which editors complete and check them, to DIRECTORY."""
    directory.mkdir(parents=True, exist_ok=True)
    for document in DOCUMENTS:
        (directory / f"{document}.json").write_text(json_schema(document), encoding="utf-8")
        click.echo(directory / f"{document}.json")


@contextmanager
def faults_told(as_json: bool) -> Iterator[None]:
    """Tells faults one per line, as compilers do, so that editors find the place, then notes; then exit code 2."""
    try:
        yield
    except DocumentError as error:
        if as_json:
            told = {"faults": [*map(_place, error.faults)], "notes": [*map(_place, error.notes)]}
            click.echo(msgspec.json.encode(told))
        else:
            count = f"{len(error.faults)} fault{'s' if len(error.faults) > 1 else ''}"
            click.echo(str(error), err=True)
            _tell_notes(error.notes)
            click.echo(f"{count}; nothing was published", err=True)
        raise click.exceptions.Exit(2) from None


def _place(fault: Fault) -> dict[str, object]:
    return {"file": fault.file, "line": fault.line, "message": fault.told}


def _counted(documents: Documents) -> str:
    return ", ".join(quantity(count, name.removesuffix("s")) for name, count in _counts(documents).items() if count)


def _counts(documents: Documents) -> dict[str, int]:
    experiments = sum(bool(flag.definition.metrics) for flag in documents.flags.values())
    return {
        "metrics": len(documents.metrics),
        "experiments": experiments,
        "flags": len(documents.flags) - experiments,
        "groups": len(documents.groups),
        "cohorts": len(documents.cohorts),
        "deployments": len(documents.deployments),
        "notifications": len(documents.notifications),
        "templates": len(documents.templates),
        "briefs": len(documents.briefs),
        "sources": len(documents.sources),
    }


def line_of(change: Change) -> str:
    """A change and what follows from it, for people."""
    what = f"changed {', '.join(change.fields)}" if change.fields else ", ".join(change.steps) or "new"
    told = [each.text for each in change.consequences]
    return "\n  ".join([f"{change.kind} {change.key}: version {change.version}, {what}", *told])


def _as_json(change: Change) -> dict[str, object]:
    return {
        "kind": change.kind,
        "key": change.key,
        "version": change.version,
        "fields": change.fields,
        "consequences": [each.text for each in change.consequences],
    }
