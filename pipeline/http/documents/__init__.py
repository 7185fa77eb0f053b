"""Documents: everything that authors write, read, checked and published as `peekproof apply` does it with files."""

from litestar import Router

from pipeline.http.callers.access import READING, requires
from pipeline.http.documents import checking, importing, publishing, reading, standing, trying, typed
from pipeline.http.documents.bodies import DefinitionRequest

documents = Router(
    "/api/1",
    route_handlers=[
        *reading.ROUTES,
        *checking.ROUTES,
        *publishing.ROUTES,
        *importing.ROUTES,
        *standing.ROUTES,
        *trying.ROUTES,
        *typed.ROUTES,
    ],
    guards=[requires(READING)],
    request_class=DefinitionRequest,
    tags=["documents"],
)
