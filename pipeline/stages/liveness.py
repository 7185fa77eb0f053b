"""Liveness: whether a worker goes on, for whoever would start another in its place: `/healthz` and `/readyz`.

It is alive while its rounds end, of which each second's heartbeat waits for Kafka, and while what its partitions hold
is taken. It is ready once it has read the catalog and taken its partitions. While Kafka itself is away, a worker waits
for it, as another would: it is alive, but not ready. Threads answer and watch, so that a loop that hangs is told too.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic
from typing import Any

from pipeline.errors import PeekproofError
from pipeline.kafka.connection import connect
from pipeline.listening import everywhere, listen
from pipeline.settings import Settings

STALLED_SECONDS = 60.0  # longer than a large state takes to be saved or brought back
SLOW_SECONDS = 5.0  # without the end of a round, after which it is asked whether Kafka is there
LOOK_SECONDS = 2.0
READ_SECONDS = 5.0  # for a request to come

Partition = tuple[str, int]  # topic, partition

_log = logging.getLogger(__name__)


class Liveness:
    """What one worker has done of late, and what is said of it.

    The worker tells `ended` of each round, and `reached` how far it is; `watch` begins to ask Kafka when it is slow.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._rounds: Mapping[str, float] = {}  # when each ended last
        self._places: Mapping[
            Partition, tuple[int, float]
        ] = {}  # where each partition that has more stands, since when
        self._away: str | None = None  # why Kafka does not let us in, if it doesn't
        self._excused = 0.0  # when it last did not

    def ended(self, what: str) -> None:
        """A round has ended; the next one follows within seconds."""
        self._rounds = {**self._rounds, what: self._clock()}

    def reached(self, places: Mapping[Partition, tuple[int, int]]) -> None:
        """The position and the end of every partition that is held."""
        now, before = self._clock(), self._places
        standing = {place: position for place, (position, end) in places.items() if position < end}
        self._places = {
            place: (position, before[place][1] if place in before and before[place][0] == position else now)
            for place, position in standing.items()
        }

    def stall(self) -> str | None:
        """What does not go on, though Kafka is there; None: everything does."""
        since = self._clock() - STALLED_SECONDS
        if self._away is not None or self._excused > since:
            return None
        for what, ended in self._rounds.items():
            if ended < since:
                return f"no {what} has ended for {self._clock() - ended:.0f} s"
        for (topic, partition), (position, when) in self._places.items():
            if when < since:
                waited = self._clock() - when
                return f"{topic}/{partition} holds more, but stands at offset {position} for {waited:.0f} s"
        return None

    def health(self) -> tuple[bool, str]:
        """Whether it is alive, and why not, or what it waits for."""
        stall = self.stall()
        return stall is None, stall or self._away or "ok"

    def readiness(self) -> tuple[bool, str]:
        """Whether it works on its partitions, and why not."""
        if not self._rounds:
            return False, "the catalog is being read, or the group has given no partitions yet"
        is_alive, why = self.health()
        return is_alive and self._away is None, why

    def look(self) -> None:
        """Ask Kafka whether it is there, if a round takes long, and say so where it isn't."""
        if min(self._rounds.values(), default=self._clock()) > self._clock() - SLOW_SECONDS:
            self._away = None
            return
        try:
            asyncio.run(connect(self._settings))
        except PeekproofError as error:
            if str(error) != self._away:
                _log.warning("%s; this worker waits", error)
            self._away, self._excused = str(error), self._clock()
        else:
            self._away = None

    def watch(self) -> None:
        """Look every so often for as long as the process lives."""

        def look() -> None:
            while True:
                threading.Event().wait(LOOK_SECONDS)
                self.look()

        threading.Thread(target=look, name="liveness", daemon=True).start()


def answer(liveness: Liveness, port: int) -> int:
    """Answer at a port of this machine, for as long as the process lives; the port. Raises PeekproofError."""
    told = {"/healthz": liveness.health, "/readyz": liveness.readiness}

    class Handler(BaseHTTPRequestHandler):
        timeout = READ_SECONDS

        def do_GET(self) -> None:
            if self.path in told:
                is_well, why = told[self.path]()
                self._say(HTTPStatus.OK if is_well else HTTPStatus.SERVICE_UNAVAILABLE, why)
            else:
                self._say(HTTPStatus.NOT_FOUND, f"there are {' and '.join(told)}")

        do_HEAD = do_GET  # noqa: N815

        def _say(self, status: HTTPStatus, what: str) -> None:
            body = f"{what}\n".encode()
            self.send_response(status)
            self.send_header("content-type", "text/plain; charset=utf-8")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Nothing: it is asked every few seconds."""

    server = ThreadingHTTPServer(("", 0), Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = listen(everywhere(), port, "PEEKPROOF_HEALTH_PORT")
    threading.Thread(target=server.serve_forever, name="healthz", daemon=True).start()
    return int(server.socket.getsockname()[1])
