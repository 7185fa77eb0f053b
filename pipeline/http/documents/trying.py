"""Trying: what a source would make of the newest records of its topic. Nothing is published, and nothing counted."""

from typing import Annotated, Any

import msgspec
from litestar import post
from litestar.exceptions import ClientException
from msgspec import UNSET, UnsetType

from evaluation.catalog.source_rules import source_violations, topic_violations
from pipeline.catalog.trying import MOST_RECORDS, RECORDS, TriedSource, try_source
from pipeline.errors import PeekproofError
from pipeline.http.backend import Backend
from pipeline.http.callers.access import EDITING, requires
from pipeline.http.documents.bodies import Checking, read, refuse
from pipeline.http.management.life import EditRequest
from schemas.source import ForeignSource
from schemas.topics import topics


class TryingSource(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A source, as JSON or as the `yaml` of a file, and how many of the newest records to try it with."""

    definition: Any = UNSET
    yaml: str | UnsetType = UNSET
    records: Annotated[int, msgspec.Meta(ge=1, le=MOST_RECORDS)] = RECORDS


@post("/sources/try", status_code=200, guards=[requires(EDITING)])
async def try_a_source(request: EditRequest, backend: Backend, data: TryingSource) -> TriedSource:
    """Read the newest records of a source's topic, and tell what the source would make of each.

    Who may publish a source may see what its topic holds.
    """
    del request
    found = read("source", Checking(definition=data.definition, yaml=data.yaml))
    refuse(found.faults)
    source = found.definition
    assert isinstance(source, ForeignSource)
    ours = [backend.settings.topic(topic.name) for topic in topics(backend.settings.units_partitions)]
    refuse([*map(found.at, [*source_violations(source), *topic_violations(source, ours)])])
    try:
        return await try_source(backend.settings, source, backend.catalog.history.newest, data.records)
    except PeekproofError as error:
        raise ClientException(str(error)) from error


ROUTES = [try_a_source]
