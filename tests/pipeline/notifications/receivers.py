"""Receivers on loopback: a webhook's, a chat's and a mail server, which keep what came and answer as they are told."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from aiosmtpd.controller import Controller


class Came(NamedTuple):
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def told(self) -> Any:
        return json.loads(self.body)


class Receiver:
    """An HTTP server. It answers each request with the next of `answers` (status, headers), and then with 200.

    `down`: it is not there until `up`; its port stays the same.
    """

    def __init__(self) -> None:
        self.came: list[Came] = []
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.silence = 0.0  # seconds before an answer
        self.port = 0
        self._news = threading.Condition()
        self.up()

    def up(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                with receiver._news:
                    receiver.came.append(Came(self.path, headers, body))
                    status, more = receiver.answers.pop(0) if receiver.answers else (200, {})
                    receiver._news.notify_all()
                threading.Event().wait(receiver.silence)
                self.send_response(status)
                for name, value in more.items():
                    self.send_header(name, value)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def down(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def url(self, path: str = "/hook", kind: str = "http") -> str:
        return f"{kind}://127.0.0.1:{self.port}{path}"

    def wait(self, number: int, seconds: float = 20.0) -> list[Came]:
        """The requests, once there are so many."""
        with self._news:
            assert self._news.wait_for(lambda: len(self.came) >= number, seconds), f"{len(self.came)} of {number} came"
            return [*self.came]


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()
    try:
        yield receiver
    finally:
        receiver.down()


class Mailbox:
    """What a mail server was given."""

    def __init__(self) -> None:
        self.came: list[Any] = []

    async def handle_DATA(self, _: Any, __: Any, envelope: Any) -> str:  # noqa: N802
        self.came.append(envelope)
        return "250 OK"


@contextmanager
def mail() -> Iterator[tuple[Mailbox, int]]:
    """A mail server, and its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    mailbox = Mailbox()
    controller = Controller(mailbox, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield mailbox, port
    finally:
        controller.stop()
