"""Stages as their workers speak of themselves, and what `peekproof doctor` finds, in a process of its own."""

import asyncio
import shutil

import msgspec
from litestar import Router, get

from pipeline.http.backend import Backend
from pipeline.http.callers.access import READING, requires
from pipeline.http.oncall.examination import Examined
from pipeline.http.workers import StageTold
from pipeline.stages import STAGES


class DiskTold(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes of the disk under the data directory."""

    free: int
    total: int


class StagesTold(msgspec.Struct, frozen=True, kw_only=True):
    """Every stage in the order data flows, by what workers said last, at `time` by the brokers' clock (ms UTC).

    `behind`: why looks may not tell everything that has come; null: they do. `published`: when the newest look was.
    """

    time: int
    stages: list[StageTold]
    behind: str | None
    published: int | None
    disk: DiskTold | None


@get("/stages")
async def list_stages(backend: Backend) -> StagesTold:
    """Who works on each stage, how far behind, and which partition holds the clock back."""
    workers = backend.workers
    return StagesTold(
        time=workers.now,
        stages=[workers.told(stage) for stage in STAGES],
        behind=backend.behind(),
        published=max((kept.published for kept in backend.looks.runs.values()), default=None),
        disk=await asyncio.to_thread(_disk, backend),
    )


@get("/doctor")
async def examine(backend: Backend) -> Examined:
    """What `peekproof doctor` found, at most a minute ago; where that is longer ago, this begins another look."""
    return await backend.examination.newest()


oncall = Router("/api/1", route_handlers=[list_stages, examine], guards=[requires(READING)], tags=["on call"])


def _disk(backend: Backend) -> DiskTold | None:
    try:
        usage = shutil.disk_usage(backend.settings.data)
    except OSError:
        return None
    return DiskTold(free=usage.free, total=usage.total)
