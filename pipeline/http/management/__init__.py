"""Management: Amplitude's management API over the catalog, by the functions behind the command line."""

from litestar import Router
from litestar.di import Provide

from pipeline.http.callers.access import READING, requires
from pipeline.http.management import changes, deployments, flags, groups, keys, plans, recounts, schemas, variants
from pipeline.http.management.bodies import ExactRequest
from pipeline.http.management.edits import said_in_query

management = Router(
    "/api/1",
    route_handlers=[
        *flags.ROUTES,
        *variants.ROUTES,
        *plans.ROUTES,
        *recounts.ROUTES,
        *deployments.ROUTES,
        *keys.ROUTES,
        *groups.ROUTES,
        *changes.ROUTES,
        *schemas.ROUTES,
    ],
    dependencies={"said": Provide(said_in_query, sync_to_thread=False)},
    guards=[requires(READING)],
    request_class=ExactRequest,
    tags=["management"],
)
