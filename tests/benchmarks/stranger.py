"""Stranger: a caller without a key, who sends whatever it likes, a megabyte a second on the wire."""

import asyncio
import gzip
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import repeat

HOME = "127.0.0.1"
BYTES_A_SECOND = 1_000_000
CONNECTIONS = 20
SEGMENT, HANDSHAKE = 54, 340  # bytes on the wire around what is sent, and to open and close a connection
ONES = gzip.compress(b'{"api_key":"any","events":[' + b"1," * 9_900_000 + b"1]}")
LAST = b"connection: close\r\n\r\n"
WRONG = b"authorization: Bearer client-nobody\r\n"


def _post(path: bytes, fields: bytes, body: bytes) -> bytes:
    return b"POST %b HTTP/1.1\r\n%bcontent-length: %d\r\n\r\n%b" % (path, fields, len(body), body)


def _one(text: bytes) -> Callable[[], Iterator[bytes]]:
    return lambda: repeat(text)


def _begun(begin: bytes, part: bytes) -> Callable[[], Iterator[bytes]]:
    """What goes on and on."""

    def said() -> Iterator[bytes]:
        yield begin
        yield from repeat(part)

    return said


# What is sent on a connection until it ends, or for ever.
KINDS: dict[str, Callable[[], Iterator[bytes]]] = {
    "bombs": _one(_post(b"/batch", b"content-encoding: gzip\r\n", ONES)),
    "bodies": _begun(b"POST /batch HTTP/1.1\r\ncontent-length: 20000000\r\n\r\n", b" " * 16_384),
    "chunks": _begun(b"POST /batch HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n", b"1\r\n \r\n" * 1_000),
    "fields": _begun(b"GET / HTTP/1.1\r\n", b"a:b\r\n" * 1_000),
    "drops": _begun(b"GET / HTTP/1.1\r\na: ", b"b"),
    "wrong keys": _one(_post(b"/sdk/v2/vardata", WRONG, b'{"user_id":"user-1"}')),
    "pages": _one(b"".join(b"GET %b HTTP/1.1\r\n\r\n" % path for path in (b"/", b"/openapi.json", b"/metrics"))),
    "tiny": _one(b"GET / HTTP/1.1\r\n\r\n" * 10),
    "nonsense": _one(b"nonsense\r\n\r\n"),
    "calls": lambda: iter([b"GET /healthz HTTP/1.1\r\n" + LAST]),
}


@contextmanager
def calling(kind: str, port: int = 0, pid: int = 0) -> Iterator[int]:
    """A process of such a caller, once it calls; `sink`: of one that takes whatever comes, and says nothing.

    Gives the port that it calls, or takes. A second is one of the process `pid` (see `clock_of`).
    """
    command = [sys.executable, "-m", "tests.benchmarks.stranger", kind, str(port), str(pid)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


def clock_of(pid: int) -> Callable[[], float]:
    """Seconds in which a process runs, or has nothing to do: in which it waits for a CPU, its time stands still."""
    try:
        waited = os.open(f"/proc/{pid}/schedstat", os.O_RDONLY)
    except OSError:  # not on Linux
        return time.perf_counter
    return lambda: time.perf_counter() - int(os.pread(waited, 100, 0).split()[1]) / 1e9


async def until(clock: Callable[[], float], due: float) -> None:
    """Return when the clock says so."""
    while (rest := due - clock()) > 0:
        await asyncio.sleep(rest)


async def _calls(port: int, said: Callable[[], Iterator[bytes]], clock: Callable[[], float]) -> None:
    began, sent = clock(), 0

    async def call() -> None:
        nonlocal sent
        while True:
            sent += HANDSHAKE
            with suppress(OSError):
                reader, writer = await asyncio.open_connection(HOME, port)
                hearing = asyncio.create_task(_hear(reader))
                for part in said():
                    sent += len(part) + SEGMENT * (1 + len(part) // 1_448)
                    await until(clock, began + sent / BYTES_A_SECOND)
                    if hearing.done():
                        break
                    writer.write(part)
                    await writer.drain()
                await hearing  # whoever closes first keeps the port for a minute: not this one
                writer.close()
            await until(clock, began + sent / BYTES_A_SECOND)

    print(port, flush=True)
    await asyncio.gather(*(call() for _ in range(CONNECTIONS)))


async def _hear(reader: asyncio.StreamReader) -> None:
    with suppress(OSError):
        while await reader.read(65_536):
            pass


async def _take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while (said := await reader.read(65_536)) and not said.endswith(LAST):
            pass
    writer.close()


async def _sink() -> None:
    server = await asyncio.start_server(_take, HOME, 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    what, of_port, of_pid = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    asyncio.run(_sink() if what == "sink" else _calls(of_port, KINDS[what], clock_of(of_pid)))
