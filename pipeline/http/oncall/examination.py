"""Examination: what `peekproof doctor` finds, asked in a process of its own, and not more often than once a minute."""

import asyncio
import os
import sys
import time
from typing import Literal

import msgspec

from pipeline.settings import Settings

FRESH_MS = 60_000  # between two looks
FIRST_SECONDS = 5.0
PATIENCE_SECONDS = 60.0  # it takes a few; on a machine that is busy it has to be loaded first
_COMMAND = ("nice", sys.executable, "-P", "-m", "pipeline.cli", "doctor", "--json")


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that it found. `command` is what mends it, where one does."""

    area: str
    status: Literal["ok", "warning", "wrong", "unknown"]
    what: str
    command: str | None = None


class Examined(msgspec.Struct, frozen=True, kw_only=True):
    """What it found at `time` (ms UTC; null: it has not looked yet). `failure`: why there is nothing newer."""

    time: int | None
    findings: list[Found]
    is_looking: bool = False
    failure: str | None = None


class _Report(msgspec.Struct, frozen=True):
    findings: list[Found]


class Examination:
    """The newest look, and the one that is under way."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._newest = Examined(time=None, findings=[])
        self._began = 0
        self._looking: asyncio.Task[None] | None = None

    async def newest(self) -> Examined:
        """What was found last; the first look is waited for, a little."""
        if self._looking is None and _now() - self._began >= FRESH_MS:
            self._began = _now()
            self._looking = asyncio.create_task(self._look())
        if self._looking is not None and self._newest.time is None and self._newest.failure is None:
            await asyncio.wait([self._looking], timeout=FIRST_SECONDS)  # whoever leaves takes it from nobody else
        return msgspec.structs.replace(self._newest, is_looking=self._looking is not None)

    def stop(self) -> None:
        """End what is under way."""
        if self._looking is not None:
            self._looking.cancel()

    async def _look(self) -> None:
        try:
            said = await self._asked()
            self._newest = Examined(time=_now(), findings=msgspec.json.decode(said, type=_Report).findings)
        except (OSError, TimeoutError, msgspec.MsgspecError) as error:
            why = f"it could not be asked ({type(error).__name__}); `peekproof doctor` tells more where the server runs"
            self._newest = msgspec.structs.replace(self._newest, failure=why)
        finally:
            self._looking = None

    async def _asked(self) -> bytes:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *_COMMAND,
            stdout=pipe,
            stderr=asyncio.subprocess.DEVNULL,
            env=os.environ | self._settings.environment(),
        )
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                said, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
        return said


def _now() -> int:
    return time.time_ns() // 1_000_000
