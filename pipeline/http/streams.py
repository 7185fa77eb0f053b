"""Streams: answers that go on. So many at once that connections are left for those who ask."""

from collections.abc import AsyncIterator

from litestar.exceptions import ServiceUnavailableException
from litestar.response import Stream


class Streams:
    """Those that are open."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.open = 0

    def of(self, events: AsyncIterator[bytes]) -> Stream:
        """An answer of server-sent events. Raises ServiceUnavailableException where there are as many as can be."""
        if self.open >= self._most:
            raise ServiceUnavailableException(
                f"{self._most} streams are open, and no more can be; ask now and then instead",
                headers={"Retry-After": "60"},
            )
        return Stream(self._counted(events), media_type="text/event-stream", headers={"cache-control": "no-store"})

    async def _counted(self, events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        self.open += 1
        try:
            async for event in events:
                yield event
        finally:
            self.open -= 1
