"""Publishing: new versions of documents, by the functions behind `peekproof apply`."""

import asyncio

import msgspec
from litestar import put

from pipeline.catalog import editing
from pipeline.catalog.editing import Change, Signature
from pipeline.http.backend import Backend
from pipeline.http.callers.access import ADMINISTERING, EDITING, require, requires
from pipeline.http.documents.bodies import Publishing, read, sound
from pipeline.http.management.life import EditRequest, publishing
from schemas.catalog import WrittenKind

ADMINISTERED: tuple[WrittenKind, ...] = ("deployment", "notification")  # what keys are of, and what sends word out


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """The version that stands; without consequences where the catalog held it as it is."""

    kind: WrittenKind
    key: str
    version: int
    consequences: list[str]


@put("/documents/{kind:str}/{key:str}", guards=[requires(EDITING)])
async def put_document(
    request: EditRequest, backend: Backend, kind: WrittenKind, key: str, data: Publishing
) -> Published:
    """Publish a version of a document, the first where `base` is 0. 409: it is refused, or wants `yes`."""
    require_role(request, kind)
    definition = sound(await asyncio.to_thread(read, kind, data, key))
    signature = Signature(request.auth.name, data.reason)
    async with publishing():
        changes = await editing.edit(backend.writer, [definition], signature, data.yes, {(kind, key): data.base})
    return published(kind, key, data.base, changes)


def require_role(request: EditRequest, kind: WrittenKind) -> None:
    """Raises PermissionDeniedException for who may edit, but not documents of this kind."""
    if kind in ADMINISTERED:
        require(request.auth, ADMINISTERING)


def published(kind: WrittenKind, key: str, base: int, changes: list[Change]) -> Published:
    """What became of a document: its change is among these, or it stands as it is."""
    change = next((each for each in changes if (each.kind, each.key) == (kind, key)), None)
    if change is None:
        return Published(kind=kind, key=key, version=base, consequences=[])
    return Published(
        kind=kind, key=key, version=change.version, consequences=[each.text for each in change.consequences]
    )


ROUTES = [put_document]
