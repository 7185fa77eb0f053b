"""Checklist: what there is of an experiment before it starts, and in its first hour."""

import time

import msgspec
from litestar import get

from evaluation.launch.checklist import Checklist, KeysHeard, KeyUse, checklist
from pipeline.http.backend import Backend
from pipeline.http.management.life import standing
from schemas.look import Look


@get("/experiments/{key:str}/checklist")
async def show_checklist(backend: Backend, key: str) -> Checklist:
    """Whether everything is there that the experiment needs to say something, and what to do where it is not."""
    standing(backend, key)
    catalog = backend.catalog.history.newest
    flag, programs = catalog.flags[key], backend.access.programs
    kept = backend.looks.of(key, flag.runs[-1].key) if flag.runs else None
    look = msgspec.json.decode(kept.newest, type=Look) if kept else None
    uses = [
        KeyUse(deployment, each.last, each.library)
        for deployment in catalog.deployments
        for each in programs.of(deployment)
    ]
    now = time.time_ns() // 1_000_000
    return checklist(flag, catalog, backend.arrivals.recent, KeysHeard(programs.since, uses), look, now=now)
