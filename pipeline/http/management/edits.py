"""Edits: new versions of documents for a request, and what a request may not say."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Annotated, TypeVar

from litestar.exceptions import ClientException
from litestar.params import Parameter

from evaluation.catalog.answerable import answer_notes
from evaluation.catalog.history import DocumentVersion
from evaluation.catalog.in_force import FlagInForce
from evaluation.catalog.overview import unmet_of
from evaluation.catalog.rules import goal_remarks
from pipeline.catalog import editing
from pipeline.catalog.editing import Signature
from pipeline.errors import PeekproofError
from pipeline.http.backend import Backend
from pipeline.http.management.flag_shapes import FlagShape, flag_shape
from pipeline.http.management.life import EditRequest, publishing
from pipeline.http.management.words import LONGEST_REASON, Edit
from schemas.catalog import Definition, Kind

Item = TypeVar("Item")


def ends_of(backend: Backend, kind: Kind) -> dict[str, tuple[DocumentVersion, DocumentVersion]]:
    """The first and the newest version of every document of a kind."""
    ends: dict[str, tuple[DocumentVersion, DocumentVersion]] = {}
    for version in backend.catalog.history.versions:
        if version.document.kind == kind:
            key = version.document.key
            ends[key] = (ends[key][0] if key in ends else version, version)
    return ends


def standing_shape(backend: Backend, key: str) -> FlagShape:
    """A flag as it stands."""
    (shape,) = standing_shapes(backend, [key])
    return shape


def standing_shapes(backend: Backend, keys: Iterable[str]) -> list[FlagShape]:
    """Flags as they stand, with what is noted of each: that nobody gets it now, and what its author may not mean."""
    newest, ends, project = backend.catalog.history.newest, ends_of(backend, "flag"), project_of(backend)
    known, unmet = newest.known, unmet_of(newest)

    def notes(flag: FlagInForce) -> Iterator[str]:
        if reasons := unmet.get(flag.definition.key):
            yield f"everybody but those listed gets 'off': {'; '.join(reasons)}"
        yield from map(str, (*answer_notes(flag.definition, known), *goal_remarks(flag.definition)))

    return [flag_shape(newest.flags[key], *ends[key], project, [*notes(newest.flags[key])]) for key in keys]


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


def said_in_query(
    reason: Annotated[str | None, Parameter(min_length=1, max_length=LONGEST_REASON)] = None, yes: bool = False
) -> Edit:
    """What is said of an edit whose request has no body."""
    return Edit(reason=reason, yes=yes)


async def edit(
    request: EditRequest, backend: Backend, definitions: Sequence[Definition], said: Edit, reason: str = "edit"
) -> None:
    """Publish other versions of documents, for this reason unless one is said. Raises as `editing.edit` does."""
    signature = Signature(request.auth.name, said.reason or reason)
    async with publishing():
        await editing.edit(backend.writer, definitions, signature, said.yes)


def union(before: Iterable[str], more: Iterable[str]) -> tuple[str, ...]:
    """What was there, and what comes to it, each once."""
    return tuple(dict.fromkeys([*before, *more]))


def difference(before: Iterable[str], less: Iterable[str]) -> tuple[str, ...]:
    """What was there, but what goes."""
    gone = set(less)
    return tuple(each for each in before if each not in gone)
