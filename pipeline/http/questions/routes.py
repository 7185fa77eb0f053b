"""Routes: every question, for whoever may read."""

from litestar import Router

from pipeline.http.callers.access import READING, requires
from pipeline.http.management.bodies import ExactRequest
from pipeline.http.questions.experiments import draw
from pipeline.http.questions.exploring import asked_before, explore
from pipeline.http.questions.planning import count, plan, usual
from pipeline.http.questions.units import answer, records

questions = Router(
    "/api/1",
    route_handlers=[draw, asked_before, explore, answer, records, plan, usual, count],
    guards=[requires(READING)],
    request_class=ExactRequest,
    tags=["questions"],
)
