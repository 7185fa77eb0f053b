"""Publishing: new versions of documents, by the functions behind `peekproof apply`."""

import asyncio

import msgspec
from litestar import put

from pipeline.catalog import editing
from pipeline.catalog.editing import Change, Signature
from pipeline.http.backend import Backend
from pipeline.http.callers.access import ADMINISTERING, EDITING, require, requires
from pipeline.http.documents.bodies import Grounds, Publishing, read, sound
from pipeline.http.management.life import EditRequest, publishing
from schemas.catalog import Definition, WrittenKind

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
    return await publish(request, backend, kind, definition, data)


@put("/documents/{kind:str}/check", guards=[requires(EDITING)], include_in_schema=False)
async def put_check(request: EditRequest, backend: Backend, kind: WrittenKind, data: Publishing) -> Published:
    """The same of a document whose key is `check`."""
    return await put_document.fn(request, backend, kind, "check", data)


async def publish(
    request: EditRequest, backend: Backend, kind: WrittenKind, definition: Definition, data: Grounds
) -> Published:
    """Publish a definition. Raises as `editing.edit` does."""
    signature, bases = Signature(request.auth.name, data.reason), {(kind, definition.key): data.base}
    async with publishing():
        changes = await editing.edit(
            backend.writer, [definition], signature, data.yes, bases, from_start=data.from_start
        )
    return published(backend, kind, definition.key, changes)


def require_role(request: EditRequest, kind: WrittenKind) -> None:
    """Raises PermissionDeniedException for who may edit, but not documents of this kind."""
    if kind in ADMINISTERED:
        require(request.auth, ADMINISTERING)


def published(backend: Backend, kind: WrittenKind, key: str, changes: list[Change]) -> Published:
    """What became of a document: its change is among these, or it stands as it is; and recounts that it asked for."""
    change = next((each for each in changes if (each.kind, each.key) == (kind, key)), None)
    stands = change.version if change else backend.catalog.history.newest.version_of(kind, key)
    its = [change] if change else []
    if change and kind in {"flag", "metric"}:
        its += [each for each in changes if each.kind == "recount" and (kind == "metric" or each.key == key)]
    follows = [each.text for one in its for each in one.consequences]
    return Published(kind=kind, key=key, version=stands, consequences=follows)


ROUTES = [put_document, put_check]
