"""Recounts: an experiment counted again from its start; how far that is."""

from typing import Annotated

import msgspec
from litestar import delete, get, post
from litestar.exceptions import NotFoundException
from litestar.params import Parameter

from evaluation.catalog.recounts import short_of
from pipeline.catalog import recounting
from pipeline.catalog.editing import Signature
from pipeline.catalog.recounting import RecountTold, recounts_told
from pipeline.http.backend import Backend
from pipeline.http.callers.access import EDITING, OF_LINK, requires
from pipeline.http.management.bodies import DocumentRequest
from pipeline.http.management.life import EditRequest, of_each, publishing, standing
from pipeline.http.management.plans import Reason
from pipeline.http.management.words import LONGEST_REASON


class Recounting(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a run is counted again."""

    reason: Reason


class RecountShown(msgspec.Struct, frozen=True, kw_only=True):
    """What of the document the open run does not count from its start, and the newest recount; null: there was none."""

    short_of: list[str]
    recount: RecountTold | None


@get(of_each("recount"), opt=OF_LINK)
async def show_recount(backend: Backend, key: str) -> RecountShown:
    """Tell what a run does not count from its start, and how far a recount is."""
    standing(backend, key)
    return _shown(backend, key)


@post(of_each("recount"), status_code=200, guards=[requires(EDITING)], request_class=DocumentRequest)
async def begin_recount(request: EditRequest, backend: Backend, key: str, data: Recounting) -> RecountShown:
    """Have the newest run counted again from its start, by what its documents say now. 409: it cannot be."""
    standing(backend, key)
    async with publishing():
        await recounting.begin(backend.writer, key, Signature(request.auth.name, data.reason))
    return _shown(backend, key)


@delete(of_each("recount"), status_code=200, guards=[requires(EDITING)])
async def stop_recount(
    request: EditRequest,
    backend: Backend,
    key: str,
    reason: Annotated[str, Parameter(min_length=1, max_length=LONGEST_REASON)],
) -> RecountShown:
    """Give a recount up: the run goes on as it was. 404: there is none."""
    standing(backend, key)
    told = _shown(backend, key).recount
    if told is None or told.state != "begun":
        raise NotFoundException(f"no run of '{key}' is being recounted")
    async with publishing():
        await recounting.stop(backend.writer, key, Signature(request.auth.name, reason))
    return _shown(backend, key)


def _shown(backend: Backend, key: str) -> RecountShown:
    catalog = backend.writer.history.newest
    told = recounts_told(catalog, backend.workers.said_of("archive"))
    flag = catalog.flags[key]
    return RecountShown(short_of=short_of(flag), recount=next((each for each in told if each.flag == key), None))


ROUTES = [show_recount, begin_recount, stop_recount]
