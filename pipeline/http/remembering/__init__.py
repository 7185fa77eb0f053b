"""Remembering: briefs of experiments, and comments, over HTTP."""

from litestar import Router

from pipeline.http.callers.access import READING, requires
from pipeline.http.management.bodies import ExactRequest
from pipeline.http.remembering import briefs, comments

remembering = Router(
    "/api/1",
    route_handlers=[*briefs.ROUTES, *comments.ROUTES],
    guards=[requires(READING)],
    request_class=ExactRequest,
    tags=["remembering"],
)
