"""HTTP from a socket: what never ends is cut off, and what is merely large or slow is not."""

import asyncio
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from pipeline.http.protocol import MOST_HEAD_BYTES, Protocol

CHUNKED = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"


async def count(scope: Any, receive: Any, send: Any) -> None:
    """Answer how many bytes the body has, after a while where the path is `/slow`."""
    size, more = 0, True
    while more:
        message = await receive()
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
    await asyncio.sleep(0.5 * (scope["path"] == "/slow"))
    text = b"%d" % size
    headers = [(b"content-length", b"%d" % len(text)), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": text})


class Client(asyncio.Protocol):
    """Hears what comes, until the connection ends."""

    def __init__(self) -> None:
        self.heard = b""
        self.end = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self.heard += data

    def connection_lost(self, _: Exception | None) -> None:
        self.end.set_result(None)


async def say(first: bytes, then: bytes = b"", pause: float = 0.0, patience: float = 60) -> tuple[bytes, int]:
    """What a server says until it ends the connection, and the bytes that it let come; `then` is said again and again.

    It waits `patience` seconds for a request.
    """
    config = uvicorn.Config(count, log_config=None, timeout_keep_alive=patience)  # type: ignore[arg-type]
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Protocol(config, ServerState(), {}), "127.0.0.1", 0)
    transport, client = await loop.create_connection(Client, *server.sockets[0].getsockname())
    async with server, asyncio.timeout(5):
        transport.write(first)
        said = len(first)
        while then and not client.end.done() and said < 5 * MOST_HEAD_BYTES:
            transport.write(then)
            said += len(then)
            await asyncio.sleep(pause)
        await client.end
    return client.heard, said


@pytest.mark.parametrize(
    ("begin", "part"),
    [
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: ", b"a"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"a:b\r\n"),
        (b"GET /", b"a"),
        (CHUNKED + b"0\r\n", b"a:b\r\n"),
        (CHUNKED + b"1\r\na\r\n0\r\n", b"a:b\r\n"),
        (CHUNKED + b"1;", b"a"),
    ],
    ids=["a header", "headers", "an address", "trailers", "trailers of a body", "a chunk's extension"],
)
def test_what_does_not_end_is_cut_off(begin: bytes, part: bytes):
    heard, said = asyncio.run(say(begin, part * 1_000, pause=0.001))

    assert heard.startswith(b"HTTP/1.1 400 ")
    assert said > MOST_HEAD_BYTES


@pytest.mark.parametrize("chunk", [7, 100_000, 2_000_000])
def test_a_body_is_taken_whatever_its_chunks_are(chunk: int):
    chunks = 2_000_000 // chunk
    body = (b"%x\r\n%b\r\n" % (chunk, b"a" * chunk)) * chunks

    heard, _ = asyncio.run(say(CHUNKED + body + b"0\r\nX-Sum: 1\r\n\r\n"))

    assert heard.endswith(b"\r\n%d" % (chunk * chunks))


@pytest.mark.parametrize(
    ("begin", "drop"),
    [
        (b"", b""),
        (b"GET / HTTP/1.1\r\nHost:", b" "),
        (CHUNKED + b"fff\r\n", b"a"),
        (CHUNKED + b"0\r\n", b"a:b\r\n"),
    ],
    ids=["nothing", "a head", "a body", "trailers"],
)
def test_a_connection_that_brings_no_whole_request_in_time_ends(begin: bytes, drop: bytes):
    heard, said = asyncio.run(say(begin, drop, pause=0.02, patience=0.2))

    assert heard == b""
    assert said < 1_000


def test_an_answer_may_take_longer_than_a_request():
    heard, _ = asyncio.run(say(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n", patience=0.1))

    assert heard.endswith(b"\r\n0")
