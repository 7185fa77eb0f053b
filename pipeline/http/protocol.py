"""Protocol: HTTP from a socket, with bounds on what a request may gather and how long it may take to come."""

import asyncio
import resource

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEAD_BYTES = 200_000  # a user in a header, in base64, is the largest part of it
MOST_FILES = 10_000  # that one process may open, connections among them
KEPT_FILES = 200  # for brokers, logs and the rest


class Protocol(HttpToolsProtocol):
    """Ends a connection on which headers, or the fields behind a body, don't end: the parser would gather them all.

    And one that for `timeout_keep_alive` seconds brings no request, or only a part of one.
    """

    _gathered = 0  # bytes read since a request began, or since its body's newest; not those read along with these
    _patience: asyncio.TimerHandle

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client is there."""
        super().connection_made(transport)
        self._await_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """It has left."""
        self._patience.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        self._gathered += len(data)
        super().data_received(data)
        if self._gathered > MOST_HEAD_BYTES:
            self.send_400_response(f"The head of the request has more than {MOST_HEAD_BYTES} bytes.")

    def on_message_begin(self) -> None:
        """A request begins."""
        self._gathered = 0
        self._patience.cancel()
        self._await_request()
        super().on_message_begin()

    def on_body(self, body: bytes) -> None:
        """A part of its body is here."""
        self._gathered = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """All of it is here."""
        self._patience.cancel()
        super().on_message_complete()

    def _await_request(self) -> None:
        self._patience = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)


def most_connections() -> int:
    """How many may be open at once, of as many files as this process may be allowed to open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    return files - KEPT_FILES
