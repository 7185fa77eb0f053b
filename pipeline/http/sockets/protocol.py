"""Protocol: HTTP/1 from a socket, with bounds on what a request may gather and how long it may take to come.

Another protocol that a request offers (`Upgrade`) is not taken: the request is read as if it had offered none.
"""

import asyncio
import resource
from collections import deque
from typing import Any

import httptools

from pipeline.http.sockets.ending import Ending
from pipeline.http.sockets.head import Head

MOST_WAITING = 16  # requests on a connection, behind the one that is answered
PIECE = 16_384  # bytes that are read at once
MOST_FILES = 10_000  # that one process may open, connections among them
KEPT_FILES = 200  # for brokers, logs and the rest


class Protocol(Ending):
    """One connection. It ends where a head, or the fields behind a body, don't, or a request is not here in time."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self._came: deque[memoryview] = deque()  # what is still to be taken
        self._parts: list[bytes] = []
        # The parser calls this for every chunk, of which a piece may hold thousands.
        self.on_body = self._parts.append  # type: ignore[assignment, method-assign]
        super().__init__(*arguments, **named)
        self.requests = 0
        self._head = Head()

    @property
    def is_known(self) -> bool:
        """Whether a key was shown on it."""
        return self._all.is_known(self)

    def show(self, key: str) -> bool:
        """This key was shown on it. False: there is no room for another one of it."""
        return not self.is_open or self._all.known(self, key)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client is there."""
        super().connection_made(transport)
        self._all.opened(self)
        self._await(self.timeout_keep_alive)

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

    def _take_all(self, data: memoryview) -> None:
        for start in range(0, len(data), PIECE):
            if not self.is_open:
                self._hear_no_more(len(data) - start)
                return
            self._take(data[start : start + PIECE])

    def _take(self, piece: memoryview | bytes) -> None:
        self._head.read(len(piece))
        try:
            while True:
                try:
                    self.parser.feed_data(piece)
                    break
                except httptools.HttpParserUpgrade as offer:
                    piece = self._without_upgrade() + bytes(piece[offer.args[0] :])
            self._take_body()
            self._head.check()
        except httptools.HttpParserError:
            self.send_400_response(self._head.fault)
            return
        if self._head.is_long:
            self._all.gathers(self)

    def _without_upgrade(self) -> bytes:
        """The head that was read, without its offer; the parser, which reads nothing more after one, is another."""
        method = self.parser.get_method()
        if method == b"CONNECT":
            raise self._head.refused("There is no way through here.")
        lines = [b"%b %b HTTP/%b" % (method, self.url, self.parser.get_http_version().encode())]
        lines += [b"%b: %b" % field for field in self.headers if field[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return b"\r\n".join([*lines, b"", b""])

    def on_message_begin(self) -> None:
        """A request begins."""
        if len(self.pipeline) >= MOST_WAITING:
            raise self._head.refused(f"More than {MOST_WAITING} requests wait for the answer to another.")
        self._is_coming = True
        self._head.begin()
        self._await(self._patience.head)
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """A part of its address is here."""
        self._head.address(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of its head is here, or one that follows its body, which is not looked at."""
        self._head.field(name, value)
        if self._head.is_open:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Its head is here. Whoever answers before the body is here too, says that the connection ends."""
        if self.parser.should_upgrade():
            return
        self._head.end(self.parser.get_method())
        self.requests += 1
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
            self._head.passed_on()
            super().on_body(body)


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
