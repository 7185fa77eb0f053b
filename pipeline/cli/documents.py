"""`peekproof validate`, `apply` and `schema`: documents as files."""

import asyncio
import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import msgspec

from pipeline import editing
from pipeline.catalog import opened
from pipeline.documents import DocumentError, Documents, read_documents
from pipeline.editing import Change, Signature
from pipeline.settings import Settings
from schemas.json_schema import DOCUMENTS, json_schema

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
    with _faults_told(as_json):
        documents = read_documents(directory)
    if as_json:
        click.echo(msgspec.json.encode(_counts(documents) | {"faults": []}))
    else:
        click.echo(f"{_counted(documents)} in {directory}: no faults")


@click.command()
@directory_argument
@click.option("--reason", default="apply", show_default=True, help="Why, for the history.")
@author_option
@yes_option
@json_option
def apply(directory: Path, reason: str, author: str, yes: bool, as_json: bool) -> None:
    """Publish the documents of DIRECTORY (default: configs) that differ from the catalog, all checked beforehand.

    Runs neither start nor end by it: `peekproof experiment start` and `complete` do that. What no file describes stays
    as it is. What costs a run part of its meaning is told, and wants --yes.
    """
    with _faults_told(as_json):
        documents = read_documents(directory)
        applied = asyncio.run(_apply(documents, Signature(author, reason), yes, as_json))
    if as_json:
        click.echo(msgspec.json.encode([_as_json(change) for change in applied]))
    elif not applied:
        click.echo(f"{_counted(documents)}: the catalog holds them as they are")


async def _apply(documents: Documents, signature: Signature, yes: bool, as_json: bool) -> list[Change]:
    applied = []
    async with opened(Settings.read()) as writer:
        async for change in editing.apply(writer, documents, signature, yes):
            applied.append(change)
            if not as_json:
                click.echo(line_of(change))
    return applied


@click.command()
@click.argument("directory", type=click.Path(path_type=Path), default=Path("configs/schemas"))
def schema(directory: Path) -> None:
    """Write the JSON Schema of documents, with which editors complete and check them, to DIRECTORY."""
    directory.mkdir(parents=True, exist_ok=True)
    for document in DOCUMENTS:
        (directory / f"{document}.json").write_text(json_schema(document), encoding="utf-8")
        click.echo(directory / f"{document}.json")


@contextmanager
def _faults_told(as_json: bool) -> Iterator[None]:
    """Tells faults one per line, as compilers do, so that editors find the place; then exit code 2."""
    try:
        yield
    except DocumentError as error:
        if as_json:
            faults = [{"file": fault.file, "line": fault.line, "message": fault.message} for fault in error.faults]
            click.echo(msgspec.json.encode({"faults": faults}))
        else:
            count = f"{len(error.faults)} fault{'s' if len(error.faults) > 1 else ''}"
            click.echo(f"{error}\n{count}; nothing was published", err=True)
        raise click.exceptions.Exit(2) from None


def _counted(documents: Documents) -> str:
    return ", ".join(f"{count} {name}" for name, count in _counts(documents).items() if count)


def _counts(documents: Documents) -> dict[str, int]:
    experiments = sum(bool(flag.definition.metrics) for flag in documents.flags.values())
    return {
        "metrics": len(documents.metrics),
        "experiments": experiments,
        "flags": len(documents.flags) - experiments,
        "groups": len(documents.groups),
        "cohorts": len(documents.cohorts),
        "deployments": len(documents.deployments),
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
