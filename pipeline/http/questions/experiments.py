"""Experiments: what is behind the numbers of a scorecard."""

import time

from litestar import get
from litestar.exceptions import NotFoundException

from evaluation.catalog.rules import did_you_mean
from evaluation.significance.cells import segments
from pipeline.http.backend import Backend
from pipeline.http.callers.access import OF_LINK
from pipeline.http.questions.readers import QUESTION_SECONDS
from pipeline.http.questions.runs import run_asked
from pipeline.questions.drawer import Drawer, drawer
from schemas.look import EVERYONE


@get("/experiments/{key:str}/metrics/{metric:str}/drawer", opt=OF_LINK)
async def draw(backend: Backend, key: str, metric: str, run: str | None = None, segment: str = EVERYONE) -> Drawer:
    """The units' numbers by arm, how they grow since entry, and a funnel's steps; read from the archive."""
    found, catalog = run_asked(backend, key, run), backend.catalog.history.newest
    if metric not in found.metrics:
        raise NotFoundException(f"'{metric}' is no metric of {key}/{found.key}; {did_you_mean(metric, found.metrics)}")
    there = segments(found.definition)
    if segment not in there:
        raise NotFoundException(f"'{segment}' is no segment of {key}/{found.key}; {did_you_mean(segment, there)}")
    now = time.time_ns() // 1_000_000
    about = f"{key}\0{found.key}\0{metric}\0{segment}\0{catalog.flags[key].version}".encode()
    archive = backend.settings.data / "archive"
    return await backend.readers.ask(
        drawer, about, archive, catalog.logs, found, metric, segment, now, QUESTION_SECONDS
    )
