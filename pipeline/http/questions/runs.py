"""Runs: which one a question is about."""

from litestar.exceptions import NotFoundException

from evaluation.catalog.in_force import RunInForce
from evaluation.catalog.rules import did_you_mean
from pipeline.http.backend import Backend
from pipeline.http.management.life import standing


def run_asked(backend: Backend, key: str, run: str | None) -> RunInForce:
    """The run of that name, or the newest one. Raises NotFoundException where there is none."""
    standing(backend, key)
    runs = {each.key: each for each in backend.catalog.history.newest.flags[key].runs}
    if not runs:
        raise NotFoundException(f"'{key}' has never been started")
    if run is not None and run not in runs:
        raise NotFoundException(f"'{run}' is no run of '{key}'; {did_you_mean(run, runs)}")
    return runs[[*runs][-1] if run is None else run]
