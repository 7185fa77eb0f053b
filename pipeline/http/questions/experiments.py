"""Experiments: what is behind the numbers of a scorecard."""

import time

from litestar import get
from litestar.exceptions import NotFoundException

from evaluation.catalog.in_force import RunInForce
from evaluation.catalog.rules import did_you_mean
from evaluation.metrics.contribution import OTHER
from pipeline.http.backend import Backend
from pipeline.http.callers.access import OF_LINK
from pipeline.http.management.life import standing
from pipeline.http.questions.readers import QUESTION_SECONDS
from pipeline.questions.drawer import Drawer, drawer
from schemas.look import EVERYONE


@get("/experiments/{key:str}/metrics/{metric:str}/drawer", opt=OF_LINK)
async def draw(backend: Backend, key: str, metric: str, run: str | None = None, segment: str = EVERYONE) -> Drawer:
    """The units' numbers by arm, how they grow since entry, and a funnel's steps; read from the archive."""
    standing(backend, key)
    catalog = backend.catalog.history.newest
    runs = {each.key: each for each in catalog.flags[key].runs}
    if not runs:
        raise NotFoundException(f"'{key}' has never been started")
    found = runs[[*runs][-1]] if run is None else runs.get(run)
    if found is None:
        raise NotFoundException(f"'{run}' is no run of '{key}'; {did_you_mean(run or '', runs)}")
    if metric not in found.metrics:
        raise NotFoundException(f"'{metric}' is no metric of {key}/{found.key}; {did_you_mean(metric, found.metrics)}")
    segments = _segments(found)
    if segment not in segments:
        raise NotFoundException(f"'{segment}' is no segment of {key}/{found.key}; {did_you_mean(segment, segments)}")
    now = time.time_ns() // 1_000_000
    about = f"{key}\0{found.key}\0{metric}\0{segment}\0{catalog.flags[key].version}".encode()
    archive = backend.settings.data / "archive"
    return await backend.readers.ask(
        drawer, about, archive, catalog.logs, found, metric, segment, now, QUESTION_SECONDS
    )


def _segments(run: RunInForce) -> list[str]:
    of_breakdowns = [
        f"{each.property}={value}" for each in run.definition.breakdowns for value in (*each.values, OTHER)
    ]
    return [EVERYONE, *of_breakdowns]
