"""Management: Amplitude's management API over the catalog, by the functions behind the command line."""

from litestar import Router

from pipeline.http.access import READING, requires
from pipeline.http.management import changes, deployments, flags, groups, variants

management = Router(
    "/api/1",
    route_handlers=[*flags.ROUTES, *variants.ROUTES, *deployments.ROUTES, *groups.ROUTES, *changes.ROUTES],
    guards=[requires(READING)],
    tags=["management"],
)
