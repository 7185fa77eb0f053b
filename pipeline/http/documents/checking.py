"""Checking: what publishing a definition would come to. Nothing is published."""

import asyncio
from typing import Any

import msgspec
from litestar import get, post

from evaluation.catalog.history import History
from evaluation.catalog.overview import Difference, differences_of
from pipeline.catalog import editing
from pipeline.catalog.editing import Foreseen, Signature
from pipeline.http.backend import Backend
from pipeline.http.documents.bodies import Checking, FaultAt, Read, read, yaml_of
from pipeline.http.documents.reading import DocumentShown, as_sent, shown
from pipeline.http.management.life import EditRequest
from schemas.catalog import WrittenKind


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What publishing would come to; with `faults` it is refused.

    `consequences` follow from it, of which the `risks` want a `yes`; `notes` are worth a word. `differences` are from
    the version that stands, `version`; 0: there is none. `definition` and `yaml` are null where faults leave none.
    """

    faults: list[FaultAt]
    notes: list[str]
    consequences: list[str]
    risks: list[str]
    differences: list[Difference]
    yaml: str | None
    definition: Any
    version: int


@post("/documents/{kind:str}/check", status_code=200)
async def check_document(request: EditRequest, backend: Backend, kind: WrittenKind, data: Checking) -> Checked:
    """Tell what publishing a definition would change, what follows from it, and what is wrong with it."""
    signature = Signature(request.auth.name, "check")
    return await asyncio.to_thread(_checked, backend.catalog.history.copy(), kind, data, signature)


@get("/documents/{kind:str}/check", include_in_schema=False)
async def show_check(backend: Backend, kind: WrittenKind, version: int | None = None) -> DocumentShown:
    """The document whose key is `check`."""
    return await shown(backend, kind, "check", version)


def _checked(history: History, kind: WrittenKind, data: Checking, signature: Signature) -> Checked:
    found = read(kind, data)
    if found.definition is None:
        return unread(found)
    (foreseen,) = editing.foresee([found.definition], history.copy(), signature)
    return checked(kind, found, foreseen, history, data.base)


def unread(found: Read) -> Checked:
    """What is told where faults leave no definition."""
    return Checked(
        faults=[*found.faults],
        notes=[],
        consequences=[],
        risks=[],
        differences=[],
        yaml=None,
        definition=None,
        version=0,
    )


def checked(kind: WrittenKind, found: Read, foreseen: Foreseen, history: History, base: int | None) -> Checked:
    """What is foreseen of a definition, beside the history in which it is to be published."""
    key = foreseen.definition.key
    standing = history.newest.of(kind).get(key)
    before = as_sent(standing.definition) if standing else None
    definition = before if before and foreseen.is_as_it_stands else as_sent(foreseen.published)
    conflict = None if base is None else editing.conflict_of(history, kind, key, base)
    follows = foreseen.change.consequences if foreseen.change else ()
    return Checked(
        faults=[*map(found.at, foreseen.violations), *([FaultAt(path="", error=conflict)] if conflict else [])],
        notes=[*map(str, foreseen.notes)],
        consequences=[each.text for each in follows],
        risks=[each.text for each in follows if each.is_risky],
        differences=differences_of(before, definition),
        yaml=yaml_of(definition),
        definition=definition,
        version=history.newest.version_of(kind, key),
    )


ROUTES = [check_document, show_check]
