"""Streams: answers that go on. So many at once that connections are left for those who ask."""

from collections.abc import AsyncIterator

from litestar.exceptions import ServiceUnavailableException
from litestar.response import Stream

from pipeline.http.sockets.room import Room


class Streams:
    """Those that are open."""

    def __init__(self, most: int) -> None:
        self._room = Room(most)

    @property
    def open(self) -> int:
        """How many there are."""
        return self._room.taken

    def of(self, events: AsyncIterator[bytes], holder: str) -> Stream:
        """An answer of server-sent events. Raises ServiceUnavailableException where the holder has its share."""
        if not self._room.has(holder):
            raise ServiceUnavailableException(
                f"'{holder}' has as many streams open as can be; ask now and then instead",
                headers={"Retry-After": "60"},
            )
        counted = self._counted(events, holder)
        return Stream(counted, media_type="text/event-stream", headers={"cache-control": "no-store"})

    async def _counted(self, events: AsyncIterator[bytes], holder: str) -> AsyncIterator[bytes]:
        if not self._room.take(holder):  # others have begun since it was asked for
            return
        try:
            async for event in events:
                yield event
        finally:
            self._room.give(holder)
