"""Serving: the server's process, from its port to its end."""

import asyncio
import gc
import signal
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import uvicorn
import uvloop

from pipeline.errors import PeekproofError
from pipeline.http.app import create_app
from pipeline.http.backend import Backend
from pipeline.http.callers.access import LOOPBACK, Access
from pipeline.http.callers.keys import Keys
from pipeline.http.sockets.ending import PATIENT
from pipeline.http.sockets.protocol import Protocol
from pipeline.kafka.connection import tell_when_away
from pipeline.kernel_cache import spare_linalg, tell_when_slow
from pipeline.listening import address, listen, tls
from pipeline.settings import Settings

WATCH_SECONDS = 1.0
TICK_SECONDS = 0.25
IDLE_SECONDS = 90  # of a connection: SDKs that ask twice a minute keep theirs, and take its end for a failure
GRACE_SECONDS = 10  # for answers that are under way; streams end at once


class _Loop(uvloop.Loop):
    """Bounds how long a client may take to agree on TLS, for until then nothing else counts it."""

    async def create_server(self, *arguments: Any, **named: Any) -> asyncio.Server:
        """As any loop."""
        if named.get("ssl") is not None:
            named["ssl_handshake_timeout"] = PATIENT.head
        return await super().create_server(*arguments, **named)  # type: ignore[return-value]  # uvloop's is as good


class _Server(uvicorn.Server):
    """Leaves signals to us: uvicorn would raise SIGTERM again when it has stopped. It ticks seldom."""

    async def main_loop(self) -> None:
        """As uvicorn's, which looks ten times a second whether it is to end, and tells the second for dates."""
        while not await self.on_tick(0):
            await asyncio.sleep(TICK_SECONDS)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def serve(settings: Settings, host: str, port: int, is_open: bool, ready: Callable[[str], None]) -> None:
    """Answer until SIGTERM or SIGINT; `ready` is told the address, once it does. Port 0: a free one.

    `is_open` lets everybody in, on loopback only. Raises PeekproofError for an address that cannot be had, for one
    beyond loopback while there are no keys, and where the cluster or its topics don't fit.
    """
    spare_linalg()
    tell_when_slow()
    keys = Keys(settings.data)
    if host not in LOOPBACK and is_open:
        raise PeekproofError(
            f"whoever reaches '{host}' could change every flag; listen on 127.0.0.1, or without --open"
        )
    if host not in LOOPBACK and not keys.exist:
        raise PeekproofError(
            f"nobody who reaches '{host}' could do anything: there are no keys yet; create one with "
            "`peekproof key create admin`, or listen on 127.0.0.1"
        )
    access, certificate = Access(keys, is_open), tls(settings)
    listening = listen(host, port)
    with listening, asyncio.Runner(loop_factory=_Loop) as runner:
        runner.run(_serve(Backend(settings, access), host, listening, certificate, ready))


async def _serve(
    backend: Backend,
    host: str,
    listening: socket.socket,
    certificate: ssl.SSLContext | None,
    ready: Callable[[str], None],
) -> None:
    async with backend:
        server = _Server(
            uvicorn.Config(
                create_app(backend),
                http=partial(Protocol, connections=backend.connections),  # type: ignore[arg-type]
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=IDLE_SECONDS,
                timeout_graceful_shutdown=GRACE_SECONDS,
                ssl_context_factory=None if certificate is None else lambda *_: certificate,
            )
        )

        def stop() -> None:
            backend.stop()
            server.should_exit = True

        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop)
        watching = asyncio.create_task(_watch(backend, server))
        telling = asyncio.create_task(tell_when_away(backend.settings))
        gc.collect()
        gc.freeze()  # what is here now stays: nobody shall wait, a tenth of a second, while it is searched for garbage
        ready(address(host, listening.getsockname()[1], is_secure=certificate is not None))
        await server.serve(sockets=[listening])
        if watching.done():
            await watching
        watching.cancel()
        telling.cancel()


async def _watch(backend: Backend, server: uvicorn.Server) -> None:
    """End a server that can no longer read or write, so that another is started. Raises PeekproofError."""
    while backend.is_stopping or backend.fault is None:
        await asyncio.sleep(WATCH_SECONDS)
    fault = backend.fault
    backend.stop()
    server.should_exit = True
    raise PeekproofError(f"the server cannot go on: {fault}; start it again")
