"""Heard: the records of `arrivals`, and the frame that all who watch are sent: one a second, encoded once."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from time import monotonic

import msgspec
from aiokafka import ConsumerRecord

from evaluation.arrivals.overview import ArrivalsOverview, arriving, events_used
from evaluation.arrivals.recent import HOURS, Recent
from evaluation.catalog.in_force import Catalog
from pipeline.http.ingest.refused import RefusedSeen, RefusedUploads
from pipeline.http.results.looks import pulse
from schemas.arrivals import Arrivals
from schemas.decoding import decode
from schemas.duration import HOUR_MS

APART_SECONDS = 1.0  # from one frame to the next
IDLE_SECONDS = 5.0  # while nothing comes: minutes pass


class ArrivingTold(ArrivalsOverview, frozen=True, kw_only=True):
    """What came, at `time` (ms UTC): names with the most messages first. `hidden` names are not in the lists.

    `behind` says why it may not be all; `refused` is what this server did not take since it started.
    """

    behind: str | None
    refused: list[RefusedSeen]


class ArrivalsHeard:
    """Reads the topic `arrivals`, and tells what it says."""

    def __init__(self, catalog: Callable[[], Catalog], behind: Callable[[], str | None]) -> None:
        self.recent = Recent(lambda: {*catalog().flags, *events_used(catalog().metrics.values())})
        self.refused = RefusedUploads(self._change)
        self.arrived = asyncio.Event()  # set for a moment when there is something new, and at the end
        self._catalog = catalog
        self._behind = behind
        self._changes = 0
        self._frame, self._number, self._of, self._made = b"", 0, -1, -APART_SECONDS

    @staticmethod
    def since() -> int:
        """From when on (ms UTC) the topic is read."""
        return max(0, time.time_ns() // 1_000_000 - HOURS * HOUR_MS)

    def read(self, record: ConsumerRecord) -> None:
        """Take one record of the topic."""
        self.recent.take(decode(record.value, Arrivals))
        self._change()

    def told(self) -> ArrivingTold:
        """What came until now."""
        seen = arriving(self.recent, self._catalog(), time.time_ns() // 1_000_000)
        return ArrivingTold(**msgspec.structs.asdict(seen), behind=self._behind(), refused=self.refused.newest())

    async def next(self, seen: int) -> tuple[int, bytes]:
        """The first frame behind that of the number `seen`, and its number; whoever asks first makes it for all."""
        if self._number <= seen or monotonic() > self._made + APART_SECONDS:
            await asyncio.sleep(self._made + APART_SECONDS - monotonic())
            if self._of == self._changes:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._made + IDLE_SECONDS - monotonic()):
                        await self.arrived.wait()
            if monotonic() >= self._made + APART_SECONDS:
                self._number, self._of, self._made = self._number + 1, self._changes, monotonic()
                self._frame = msgspec.json.encode(self.told())
        return self._number, self._frame

    def _change(self) -> None:
        self._changes += 1
        pulse(self.arrived)
