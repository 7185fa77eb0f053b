"""Reading: which documents there are, and one with all that it says, in any version."""

import asyncio
from collections.abc import Iterable
from typing import Any, Literal, TypeVar

import msgspec
from litestar import Response, get
from litestar.exceptions import NotFoundException

from evaluation.catalog.history import DocumentVersion, History, decode_spec
from evaluation.catalog.in_force import Catalog, FlagInForce
from evaluation.catalog.rules import did_you_mean
from evaluation.catalog.uses import used_by
from pipeline.http.backend import Backend
from pipeline.http.documents.bodies import yaml_of
from schemas.brief import Brief
from schemas.catalog import WRITTEN, Cohort, Definition, Flag, FlagState, Template, WrittenKind

MARKDOWN = ("background", "decision", "learning")  # of a brief


Sent = TypeVar("Sent", bound=Definition)


class DocumentItem(msgspec.Struct, frozen=True, kw_only=True):
    """A document in a list: its newest version, when it was published (ms UTC), and by whom.

    `status` is a flag's; `of` tells whether it, or a template, is for an experiment; `ids` says how many a cohort has,
    each once.
    """

    kind: WrittenKind
    key: str
    name: str | None
    owner: str | None
    tags: tuple[str, ...]
    version: int
    author: str
    time: int
    status: str | None
    of: Literal["experiment", "flag"] | None
    ids: int | None


class DocumentItems(msgspec.Struct, frozen=True, kw_only=True):
    """Documents by kind and key; flags that were deleted are none of them."""

    documents: list[DocumentItem]


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """A document that names another."""

    kind: WrittenKind
    key: str
    name: str | None


class DocumentShown(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a document: what it says, as JSON and as a file, who wrote it, when (ms UTC) and why.

    `used_by` are the documents that name it now.
    """

    kind: WrittenKind
    key: str
    version: int
    definition: Any
    yaml: str
    used_by: list[Named]
    author: str
    time: int
    reason: str
    status: str | None


@get("/documents")
async def list_documents(
    backend: Backend,
    kind: WrittenKind | None = None,
    text: str | None = None,
    tag: str | None = None,
    owner: str | None = None,
) -> DocumentItems:
    """Documents of a kind, of an owner, with a tag, or with a text in their names, descriptions, tags or briefs."""
    found = items(backend, WRITTEN if kind is None else [kind], text)
    return DocumentItems(
        documents=[each for each in found if owner in (None, each.owner) and (tag is None or tag in each.tags)]
    )


def items(backend: Backend, kinds: Iterable[WrittenKind], text: str | None = None) -> list[DocumentItem]:
    """The documents of some kinds, by key; flags that were deleted are left out."""
    history = backend.catalog.history
    newest = {(each.document.kind, each.document.key): each for each in history.versions}
    return [
        _item(kind, each.definition, newest[kind, key], status)
        for kind in kinds
        for key, each in sorted(history.newest.of(kind).items())
        if (status := status_of(history.newest, kind, key)) != "deleted"
        and (text is None or _says(each.definition, text.casefold()))
    ]


@get("/documents/{kind:str}/{key:str}")
async def show_document(backend: Backend, kind: WrittenKind, key: str, version: int | None = None) -> DocumentShown:
    """A document as it stands, or as it stood in a version."""
    return await shown(backend, kind, key, version)


@get("/documents/{kind:str}/{key:str}/yaml", media_type="application/yaml")
async def show_yaml(backend: Backend, kind: WrittenKind, key: str, version: int | None = None) -> Response[str]:
    """The same as the text of a file."""
    found = await shown(backend, kind, key, version)
    return Response(found.yaml, media_type="application/yaml; charset=utf-8")


async def shown(backend: Backend, kind: WrittenKind, key: str, version: int | None = None) -> DocumentShown:
    """A version of a document. Raises NotFoundException."""
    history = backend.catalog.history
    found = version_of(history, kind, key, version)
    definition = as_sent(definition_at(history, kind, found))
    return DocumentShown(
        kind=kind,
        key=key,
        version=found.document.version,
        definition=definition,
        yaml=await asyncio.to_thread(yaml_of, definition),  # ids may be many
        used_by=naming(history.newest, kind, key),
        author=found.document.author,
        time=found.append_time,
        reason=found.document.reason,
        status=status_of(history.newest, kind, key),
    )


def naming(catalog: Catalog, kind: WrittenKind, key: str) -> list[Named]:
    """The documents that name a document."""
    return [Named(kind=of, key=each.key, name=name_of(each)) for of, each in used_by(catalog, kind, key)]


def name_of(definition: Definition) -> str | None:
    """What people call it; a brief has no name of its own."""
    return None if isinstance(definition, Brief) else definition.name


def status_of(catalog: Catalog, kind: WrittenKind, key: str) -> str | None:
    """Where a flag stands; None: it is none."""
    standing = catalog.standing(kind, key)
    return standing.removed or standing.status if isinstance(standing, FlagInForce) else None


def definition_at(history: History, kind: WrittenKind, version: DocumentVersion) -> Definition:
    """What a version says."""
    if kind == "flag":
        return decode_spec(version.document, FlagState).definition
    return history.at_offset(version.offset + 1).of(kind)[version.document.key].definition


def as_sent(definition: Sent) -> Sent:
    """A definition as requests have it: a cohort's ids without the file that they once stood in."""
    return msgspec.structs.replace(definition, file=None) if isinstance(definition, Cohort) else definition


def version_of(history: History, kind: WrittenKind, key: str, version: int | None = None) -> DocumentVersion:
    """A version of a document, the newest unless it is said which. Raises NotFoundException."""
    versions = history.versions_of(kind, key)
    if not versions:
        way_out = did_you_mean(key, [*history.newest.of(kind)])
        raise NotFoundException(f"'{key}' is no {kind} of the catalog; {way_out}")
    if version is not None and not 1 <= version <= len(versions):
        raise NotFoundException(f"{kind} '{key}' has no version {version}; it has 1 to {len(versions)}")
    return versions[-1 if version is None else version - 1]


def _says(definition: Definition, text: str) -> bool:
    names = ("key", "name", "description", *MARKDOWN)
    words = [*(getattr(definition, name, None) for name in names), *getattr(definition, "tags", ())]
    return any(text in each.casefold() for each in words if each)


def _item(kind: WrittenKind, definition: Definition, newest: DocumentVersion, status: str | None) -> DocumentItem:
    return DocumentItem(
        kind=kind,
        key=definition.key,
        name=name_of(definition),
        owner=definition.owner,
        tags=getattr(definition, "tags", ()),
        version=newest.document.version,
        author=newest.document.author,
        time=newest.append_time,
        status=status,
        of=_of(definition),
        ids=len(definition.members) if isinstance(definition, Cohort) else None,
    )


def _of(definition: Definition) -> Literal["experiment", "flag"] | None:
    match definition:
        case Flag():
            return "experiment" if definition.metrics else "flag"
        case Template():
            return definition.of
    return None


ROUTES = [list_documents, show_document, show_yaml]
