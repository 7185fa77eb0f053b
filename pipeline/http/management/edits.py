"""Edits: new versions of documents for a request, and what a request may not say."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from litestar.exceptions import ClientException

from evaluation.catalog import Version
from pipeline import editing
from pipeline.editing import Signature
from pipeline.errors import PeekproofError
from pipeline.http.backend import Backend
from pipeline.http.life import EditRequest, publishing
from pipeline.http.management.flag_shapes import FlagShape, flag_shape
from schemas.catalog import Definition, Kind

Item = TypeVar("Item")


def ends_of(backend: Backend, kind: Kind) -> dict[str, tuple[Version, Version]]:
    """The first and the newest version of every document of a kind."""
    ends: dict[str, tuple[Version, Version]] = {}
    for version in backend.catalog.history.versions:
        if version.document.kind == kind:
            key = version.document.key
            ends[key] = (ends[key][0] if key in ends else version, version)
    return ends


def standing_shape(backend: Backend, key: str) -> FlagShape:
    """A flag as it stands."""
    flag = backend.catalog.history.newest.flags[key]
    return flag_shape(flag, *ends_of(backend, "flag")[key], project_of(backend))


def project_of(backend: Backend) -> str:
    """The id of the one project."""
    return backend.settings.prefix or "default"


def require_project(backend: Backend, said: str | None) -> None:
    """Raises ClientException where a request means another project."""
    if said not in (None, project_of(backend)):
        raise ClientException(f"projectId: there is one project here, '{project_of(backend)}'; leave it out")


def sound(make: Callable[[], Item]) -> Item:
    """What is made of a request. Raises ClientException with what is wrong with it."""
    try:
        return make()
    except PeekproofError as error:
        raise ClientException(str(error)) from None


async def edit(
    request: EditRequest, backend: Backend, definitions: Sequence[Definition], reason: str, accept_risks: bool = False
) -> None:
    """Publish other versions of documents, by the name of the request's key. Raises as `editing.edit` does."""
    async with publishing():
        await editing.edit(backend.writer, definitions, Signature(request.auth.name, reason), accept_risks)


def union(before: Iterable[str], more: Iterable[str]) -> tuple[str, ...]:
    """What was there, and what comes to it, each once."""
    return tuple(dict.fromkeys([*before, *more]))


def difference(before: Iterable[str], less: Iterable[str]) -> tuple[str, ...]:
    """What was there, but what goes."""
    gone = set(less)
    return tuple(each for each in before if each not in gone)
