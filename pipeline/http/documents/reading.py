"""Reading: which documents there are, and one with all that it says, in any version."""

import asyncio
from collections.abc import Iterator
from typing import Any

import msgspec
from litestar import Response, get
from litestar.exceptions import NotFoundException

from evaluation.catalog.history import DocumentVersion, History, decode_spec
from evaluation.catalog.in_force import Catalog, FlagInForce
from evaluation.catalog.rules import did_you_mean
from evaluation.catalog.uses import used_by
from pipeline.catalog.yaml_file import document_text
from pipeline.http.backend import Backend
from schemas.catalog import WRITTEN, Cohort, Definition, FlagState, WrittenKind

MARKDOWN = ("background", "decision", "learning")  # of a brief


class DocumentItem(msgspec.Struct, frozen=True, kw_only=True):
    """A document in a list: its newest version, when it was published (ms UTC), and by whom.

    `status` is a flag's, `ids` says how many a cohort has.
    """

    kind: WrittenKind
    key: str
    name: str | None
    owner: str
    tags: tuple[str, ...]
    version: int
    author: str
    time: int
    status: str | None
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
    history = backend.catalog.history
    newest = {(each.document.kind, each.document.key): each for each in history.versions}
    found = []
    for of, definition in every_definition(history.newest):
        tags = getattr(definition, "tags", ())
        words = [getattr(definition, name, None) for name in ("key", "name", "description", *MARKDOWN)]
        if (
            kind in (None, of)
            and owner in (None, definition.owner)
            and (tag is None or tag in tags)
            and (text is None or any(text.casefold() in each.casefold() for each in [*words, *tags] if each))
        ):
            found.append(
                _item(of, definition, newest[of, definition.key], status_of(history.newest, of, definition.key))
            )
    return DocumentItems(documents=found)


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
    found = _version(history, kind, key, version)
    definition = as_sent(definition_at(history, kind, found))
    text = await asyncio.to_thread(document_text, definition)
    using = used_by(history.newest, kind, key)
    return DocumentShown(
        kind=kind,
        key=key,
        version=found.document.version,
        definition=definition,
        yaml=text,
        used_by=[Named(kind=of, key=each.key, name=getattr(each, "name", None)) for of, each in using],
        author=found.document.author,
        time=found.append_time,
        reason=found.document.reason,
        status=status_of(history.newest, kind, key),
    )


def every_definition(catalog: Catalog) -> Iterator[tuple[WrittenKind, Definition]]:
    """What authors wrote, by kind and key; flags that were deleted are left out."""
    for kind in WRITTEN:
        for key, standing in sorted(catalog.of(kind).items()):
            if status_of(catalog, kind, key) != "deleted":
                yield kind, standing.definition


def status_of(catalog: Catalog, kind: WrittenKind, key: str) -> str | None:
    """Where a flag stands; None: it is none."""
    standing = catalog.standing(kind, key)
    return standing.removed or standing.status if isinstance(standing, FlagInForce) else None


def definition_at(history: History, kind: WrittenKind, version: DocumentVersion) -> Definition:
    """What a version says."""
    if kind == "flag":
        return decode_spec(version.document, FlagState).definition
    return history.at_offset(version.offset + 1).of(kind)[version.document.key].definition


def as_sent(definition: Definition) -> Definition:
    """A definition as requests have it: a cohort's ids without the file that they once stood in."""
    return msgspec.structs.replace(definition, file=None) if isinstance(definition, Cohort) else definition


def _version(history: History, kind: WrittenKind, key: str, version: int | None) -> DocumentVersion:
    versions = history.versions_of(kind, key)
    if not versions:
        way_out = did_you_mean(key, [*history.newest.of(kind)])
        raise NotFoundException(f"'{key}' is no {kind} of the catalog; {way_out}")
    if version is not None and not 1 <= version <= len(versions):
        raise NotFoundException(f"{kind} '{key}' has no version {version}; it has 1 to {len(versions)}")
    return versions[-1 if version is None else version - 1]


def _item(kind: WrittenKind, definition: Definition, newest: DocumentVersion, status: str | None) -> DocumentItem:
    return DocumentItem(
        kind=kind,
        key=definition.key,
        name=getattr(definition, "name", None),
        owner=definition.owner,
        tags=getattr(definition, "tags", ()),
        version=newest.document.version,
        author=newest.document.author,
        time=newest.append_time,
        status=status,
        ids=len(definition.ids) if isinstance(definition, Cohort) else None,
    )


ROUTES = [list_documents, show_document, show_yaml]
