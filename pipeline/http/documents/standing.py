"""Standing: how far each source is read."""

import msgspec
from litestar import get

from pipeline.catalog.standing import SourceStanding, standings
from pipeline.http.backend import Backend


class SourcesTold(msgspec.Struct, frozen=True, kw_only=True):
    """Every source, by key."""

    sources: list[SourceStanding]


@get("/sources")
async def list_sources(backend: Backend) -> SourcesTold:
    """How far each source is read, what became of its records since the workers started, or why it is not read."""
    workers = backend.workers
    said, before = workers.said_of("assignment"), workers.silent_of("assignment")
    return SourcesTold(sources=standings(backend.catalog.history.newest, said, before))


ROUTES = [list_sources]
