"""Ending: how a connection ends: late, refused, or when its client has heard the last word."""

import asyncio
from typing import Any, NamedTuple

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from pipeline.http.sockets.connections import Connections

MOST_UNHEARD = 20_000_000  # bytes that may still be sent to whoever has said the last word
LATE = "The request was not here in time; send it again."


class Patience(NamedTuple):
    """How many seconds a client has."""

    head: float = 10.0  # from a request's first byte to the end of its head
    body: float = 60.0  # from there to its last byte
    hearing: float = 10.0  # to hear that it is refused while it still sends


PATIENT = Patience()


class Ending(HttpToolsProtocol):
    """A connection that ends where nothing comes for `timeout_keep_alive` seconds, or a request is not here in time."""

    def __init__(self, *arguments: Any, connections: Connections, patience: Patience = PATIENT, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._all = connections
        self._patience = patience
        self.turn: asyncio.Future[bool] | None = None  # for which its request waits
        self._deadline: asyncio.TimerHandle | None = None
        self._is_coming = False  # a request has begun, and is not all here
        self._is_heard = False  # the last word is said, and what still comes is not read
        self._unheard = 0
        self._keeps_alive = False  # whether the connection may outlive the answer to the request that comes
        self._answering: RequestResponseCycle | None = None

    @property
    def is_open(self) -> bool:
        """Whether an answer would be heard."""
        return not (self._is_heard or self.transport.is_closing())

    def connection_lost(self, exc: Exception | None) -> None:
        """It has left."""
        self._await(None)
        self._all.closed(self)
        self._ask_no_more()
        super().connection_lost(exc)
        # What refers to this connection, and to which it refers, nothing but a search for garbage would free.
        self.pipeline.clear()
        self.scope = self.cycle = self._answering = None  # type: ignore[assignment]

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def shutdown(self) -> None:
        """The server ends."""
        self._keeps_alive = False
        super().shutdown()

    def end(self) -> None:
        """Close the connection at once."""
        self.transport.abort()

    def finish(self) -> None:
        """Close it when the client has heard the last word: while it still sends, closing would take that away."""
        if not self._is_coming:
            self.transport.close()
        elif not self._is_heard:
            self._is_heard = True
            self.flow.resume_reading()
            if self.transport.can_write_eof():  # TLS can't
                self.transport.write_eof()
            self._await(self._patience.hearing)

    def send_400_response(self, msg: str) -> None:
        """Refuse what came."""
        self._refuse(msg)

    def _refuse(self, why: str, status: bytes = b"400 Bad Request") -> None:
        """Say so, unless the client would take it for another answer, and end."""
        self._all.ended["late" if why == LATE else "no request"] += 1
        waits_alone = not self.pipeline and (
            self.cycle is None
            or self.cycle.response_complete
            or (self.cycle.more_body and not self.cycle.response_started)
        )
        if waits_alone and not self.transport.is_closing():
            said = why.encode()
            lines = (b"HTTP/1.1 " + status, b"content-type: text/plain; charset=utf-8", b"connection: close")
            self.transport.write(b"\r\n".join((*lines, b"content-length: %d" % len(said), b"", said)))
        self._ask_no_more()
        self._is_coming = True
        self.finish()

    def _ask_no_more(self) -> None:
        """Tell whoever answers that nobody listens."""
        if self.turn is not None and not self.turn.done():
            self.turn.set_result(False)
        for cycle in (self.cycle, self._answering):  # the newest, and the one whose turn it is
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()

    def _await(self, seconds: float | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None if seconds is None else self.loop.call_later(seconds, self._is_late)

    def _is_late(self) -> None:
        if self._is_coming and not self._is_heard:
            self._refuse(LATE, b"408 Request Timeout")
        else:
            self.end()

    def _hear_no_more(self, size: int) -> None:
        self._unheard += size
        if self._unheard > MOST_UNHEARD:
            self.end()
