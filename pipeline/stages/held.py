"""Held: slices of partitions that wait for somebody outside, while the worker goes on with the others."""

import logging
from collections import deque
from collections.abc import Awaitable, Callable

from faust.types import TP

from pipeline.kafka.columnar.app import App
from pipeline.registry.protocol import RegistryError
from schemas.records import Records

AGAIN_SECONDS = 1.0  # after which it is tried again

_log = logging.getLogger(__name__)


class HeldSlices:
    """What was fetched of partitions whose next slice cannot be taken yet, and `why` not. Nothing more is fetched."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._slices: dict[TP, deque[Records]] = {}
        self.why: dict[TP, str] = {}

    def takes(self, tp: TP, records: Records) -> bool:
        """Whether a slice can be taken; else it waits behind those that came before it."""
        if tp in self._slices:
            self._slices[tp].append(records)
        return tp not in self._slices

    def hold(self, tp: TP, records: Records, why: RegistryError) -> None:
        """A slice could not be taken."""
        _log.warning("%s/%s waits: %s", tp.topic, tp.partition, why)
        self._slices[tp] = deque([records])
        self._wait(tp, why)

    async def take(self, take: Callable[[TP, Records], Awaitable[None]]) -> None:
        """Try again, in order."""
        for tp, slices in list(self._slices.items()):
            try:
                while slices:
                    await take(tp, slices[0])
                    slices.popleft()
            except RegistryError as error:
                self._wait(tp, error)
            else:
                _log.info("%s/%s goes on", tp.topic, tp.partition)
                self.forget(tp)
                self._app.go_on(tp)

    def forget(self, tp: TP) -> None:
        """The partition goes, or goes on."""
        self._slices.pop(tp, None)
        self.why.pop(tp, None)

    def _wait(self, tp: TP, why: RegistryError) -> None:
        self.why[tp] = str(why)
        self._app.hold(tp)
