"""Protocol: HTTP/1 from a socket, with bounds on what a request may gather and how long it may take to come.

Another protocol that a request offers (`Upgrade`) is not taken: the request is read as if it had offered none.
"""

import asyncio
import resource
from collections import deque
from typing import Any, NamedTuple

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from pipeline.http.sockets.connections import Connections

MOST_HEAD_BYTES = 200_000  # a user in a header, in base64, is the largest part of it
MOST_FIELDS = 100  # of a head, or behind a body: as many as other servers take
LONG_HEAD_BYTES = 16_000  # few are longer, and of those few are on their way at once
MOST_WAITING = 16  # requests on a connection, behind the one that is answered
PIECE = 16_384  # bytes that are read at once
MOST_UNHEARD = 20_000_000  # bytes that it may send meanwhile
MOST_FILES = 10_000  # that one process may open, connections among them
KEPT_FILES = 200  # for brokers, logs and the rest

INVALID = "Invalid HTTP request received."
LATE = "The request was not here in time; send it again."


class Patience(NamedTuple):
    """How many seconds a client has."""

    head: float = 10.0  # from a request's first byte to the end of its head
    body: float = 60.0  # from there to its last byte
    hearing: float = 10.0  # to hear that it is refused while it still sends


PATIENT = Patience()


class Protocol(HttpToolsProtocol):
    """One connection. It ends where a head, or the fields behind a body, don't, for the parser would gather them all.

    And where nothing comes for `timeout_keep_alive` seconds, or a request that has begun is not here in time.
    """

    def __init__(self, *arguments: Any, connections: Connections, patience: Patience = PATIENT, **named: Any) -> None:
        self._came: deque[memoryview] = deque()  # what is still to be taken
        self._parts: list[bytes] = []
        # The parser calls this for every chunk, of which a piece may hold thousands.
        self.on_body = self._parts.append  # type: ignore[assignment, method-assign]
        super().__init__(*arguments, **named)
        self._patience = patience
        self.requests = 0
        self.turn: asyncio.Future[bool] | None = None  # for which its request waits
        self._all = connections
        self._deadline: asyncio.TimerHandle | None = None
        self._is_coming = False  # a request has begun, and is not all here
        self._is_head = False
        self._is_heard = False  # the last word is said, and what still comes is not read
        self._head = self._fields = 0  # bytes and fields of the head, as far as they are read
        self._gathered = 0  # bytes read since a request began, or since its body's newest; not the piece they came in
        self._unheard = 0
        self._keeps_alive = False  # whether the connection may outlive the answer to the request that comes
        self._fault = INVALID
        self._answering: RequestResponseCycle | None = None

    @property
    def is_known(self) -> bool:
        """Whether a key was shown on it."""
        return self._all.is_known(self)

    def show(self, key: str) -> bool:
        """This key was shown on it. False: there is no room for another one of it."""
        return not self.is_open or self._all.known(self, key)

    @property
    def is_open(self) -> bool:
        """Whether an answer would be heard."""
        return not (self._is_heard or self.transport.is_closing())

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client is there."""
        super().connection_made(transport)
        self._all.opened(self)
        self._await(self.timeout_keep_alive)

    def connection_lost(self, exc: Exception | None) -> None:
        """It has left."""
        self._await(None)
        self._all.closed(self)
        self._ask_no_more()
        super().connection_lost(exc)
        # What refers to this connection, and to which it refers, nothing but a search for garbage would free.
        self.pipeline.clear()
        self.scope = self.cycle = self._answering = None  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """Take what came: at once where a key was shown, else when it is its turn, and until then nothing more."""
        self._unset_keepalive_if_required()
        if not self.is_open:
            self._hear_no_more(len(data))
        elif self.is_known and not self._came:
            self._take_all(memoryview(data))
        else:
            if not self._came:
                self._all.porch.wait(self)
            self._came.append(memoryview(data))
            self.transport.pause_reading()

    def come_in(self) -> bool:
        """Take a piece of what came; whether there is more."""
        if not self.is_open:
            self._hear_no_more(sum(map(len, self._came)))
            self._came.clear()
        elif self.is_known:
            while self._came:
                self._take_all(self._came.popleft())
        else:
            data = self._came.popleft()
            if len(data) > PIECE:
                self._came.appendleft(data[PIECE:])
            self._take(data[:PIECE])
        if self._came:
            return True
        # Later, so that whoever ends its side at once is answered first, where the answer takes no waiting.
        self.loop.call_soon(self._read_on)
        return False

    def _read_on(self) -> None:
        if not (self._came or self.flow.read_paused or self.transport.is_closing()):
            self.transport.resume_reading()

    def _hear_no_more(self, size: int) -> None:
        self._unheard += size
        if self._unheard > MOST_UNHEARD:
            self.end()

    def _take_all(self, data: memoryview) -> None:
        for start in range(0, len(data), PIECE):
            if not self.is_open:
                self._hear_no_more(len(data) - start)
                return
            self._take(data[start : start + PIECE])

    def _take(self, piece: memoryview | bytes) -> None:
        self._gathered += len(piece)
        try:
            while True:
                try:
                    self.parser.feed_data(piece)
                    break
                except httptools.HttpParserUpgrade as offer:
                    piece = self._without_upgrade() + bytes(piece[offer.args[0] :])
            self._take_body()
            if self._gathered > MOST_HEAD_BYTES:
                raise self._refused(f"The head of the request has more than {MOST_HEAD_BYTES} bytes.")
        except httptools.HttpParserError:
            self.send_400_response(self._fault)
            return
        if self._is_head and max(self._head, self._gathered) > LONG_HEAD_BYTES:
            self._all.gathers(self)

    def _without_upgrade(self) -> bytes:
        """The head that was read, without its offer; the parser, which reads nothing more after one, is another."""
        method = self.parser.get_method()
        if method == b"CONNECT":
            raise self._refused("There is no way through here.")
        lines = [b"%b %b HTTP/%b" % (method, self.url, self.parser.get_http_version().encode())]
        lines += [b"%b: %b" % field for field in self.headers if field[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return b"\r\n".join([*lines, b"", b""])

    def on_message_begin(self) -> None:
        """A request begins."""
        if len(self.pipeline) >= MOST_WAITING:
            raise self._refused(f"More than {MOST_WAITING} requests wait for the answer to another.")
        self._is_coming = self._is_head = True
        self._head = self._fields = self._gathered = 0
        self._await(self._patience.head)
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """A part of its address is here."""
        self._head += len(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of its head is here, or one that follows its body, which is not looked at."""
        self._head += len(name) + len(value) + len(": \r\n")
        self._fields += 1
        if self._fields > MOST_FIELDS:
            raise self._refused(f"The request has more than {MOST_FIELDS} header fields.")
        if self._is_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Its head is here. Whoever answers before the body is here too, says that the connection ends."""
        if self.parser.should_upgrade():
            return
        self._head += len(self.parser.get_method()) + len("  HTTP/1.1\r\n\r\n")
        if self._head > MOST_HEAD_BYTES:
            raise self._refused(f"The head of the request has more than {MOST_HEAD_BYTES} bytes.")
        self.requests += 1
        self._is_head = False
        self._fields = 0
        self._all.gathered(self)
        self._await(self._patience.body)
        super().on_headers_complete()
        self.scope["extensions"] = {"connection": self}  # type: ignore[typeddict-item, dict-item]
        self.cycle.transport = _Outgoing(self)  # type: ignore[assignment]
        self._keeps_alive, self.cycle.keep_alive = self.cycle.keep_alive, False

    def on_message_complete(self) -> None:
        """All of it is here."""
        if self.parser.should_upgrade():
            return
        self._take_body()
        self._is_coming = False
        self._await(None)
        if not self.cycle.response_started:
            self.cycle.keep_alive = self._keeps_alive
        super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """An answer is given."""
        if self._is_heard:
            self.server_state.total_requests += 1
            return
        super().on_response_complete()
        self._unset_keepalive_if_required()  # `_await` bounds it
        if self.cycle is not None and self.cycle.response_complete:
            self._all.answered(self)
            if not self._is_coming:
                self._await(self.timeout_keep_alive)

    def _take_body(self) -> None:
        """What has come of a body goes to whoever reads it."""
        if self._parts:
            body = b"".join(self._parts)
            self._parts.clear()
            self._gathered = 0
            super().on_body(body)

    def shutdown(self) -> None:
        """The server ends."""
        self._keeps_alive = False
        super().shutdown()

    def send_400_response(self, msg: str) -> None:
        """Refuse what came."""
        self._refuse(msg)

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

    def _refused(self, why: str) -> httptools.HttpParserError:
        self._fault = why
        return httptools.HttpParserError(why)

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


class _Outgoing:
    """What an answer is written to."""

    def __init__(self, connection: Protocol) -> None:
        self._connection = connection
        self.close = connection.finish

    def write(self, data: bytes) -> None:
        """Say more, unless the last word is said."""
        if not self.is_closing():
            self._connection.transport.write(data)

    def is_closing(self) -> bool:
        """Whether nothing more can be said."""
        return not self._connection.is_open


def most_connections() -> int:
    """How many may be open at once, of as many files as this process may be allowed to open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    return files - KEPT_FILES
