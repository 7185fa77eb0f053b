"""Changes: the versions of all documents, in the order in which they were published."""

from typing import Annotated

from litestar import get
from litestar.params import Parameter

from evaluation.catalog.history import DocumentVersion
from pipeline.http.backend import Backend
from pipeline.http.management.pages import MOST_AT_ONCE, Limit, Page
from pipeline.http.management.words import iso
from schemas.catalog import Kind


class AuditEntry(Page, frozen=True, kw_only=True):
    """A version of any document."""

    kind: Kind
    key: str
    version: int
    created_at: str
    created_by: str
    reason: str


class Changes(Page, frozen=True, kw_only=True):
    """Versions in the order in which they were published."""

    versions: list[AuditEntry]
    next_cursor: str | None = None


@get("/versions")
async def list_changes(
    backend: Backend,
    start: int | None = None,
    end: int | None = None,
    limit: Limit = MOST_AT_ONCE,
    cursor: Annotated[str | None, Parameter(pattern=r"^[0-9]{1,15}$")] = None,
) -> Changes:
    """Versions of all documents, of those published from `start` to before `end` (ms UTC)."""
    after = -1 if cursor is None else int(cursor)
    found = [
        each
        for each in backend.catalog.history.versions
        if each.offset > after and (start or 0) <= each.append_time and (end is None or each.append_time < end)
    ]
    more = str(found[limit - 1].offset) if len(found) > limit else None
    return Changes(versions=[_change(each) for each in found[:limit]], next_cursor=more)


def _change(version: DocumentVersion) -> AuditEntry:
    document = version.document
    return AuditEntry(
        kind=document.kind,
        key=document.key,
        version=document.version,
        created_at=iso(version.append_time),
        created_by=document.author,
        reason=document.reason,
    )


ROUTES = [
    list_changes,
]
