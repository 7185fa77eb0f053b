"""HTTP from a socket: what never ends is cut off, what is merely large is not, and no request is made of another's."""

import asyncio
import re
import shutil
import subprocess
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from pipeline.http.sockets.connections import Connections
from pipeline.http.sockets.ending import Patience
from pipeline.http.sockets.head import MOST_FIELDS, MOST_HEAD_BYTES
from pipeline.http.sockets.protocol import MOST_WAITING, Protocol

HOST = b"Host: localhost\r\n"
POST = b"POST / HTTP/1.1\r\n" + HOST
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n"
INNER = b"GET /inner HTTP/1.1\r\n" + HOST + b"\r\n"  # what a body must not become
QUICK = Patience(head=0.2, body=0.2, hearing=0.2)


async def count(scope: Any, receive: Any, send: Any) -> None:
    """Answer method, path and the size of the body; after a while where the path is `/slow`, and `/early` before it."""
    size, more = 0, scope["path"] != "/early"
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size, more = size + len(message["body"]), message["more_body"]
    await asyncio.sleep(0.5 * (scope["path"] == "/slow"))
    text = f"{scope['method']} {scope['path']} {size};".encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(text))]})
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


async def listening(idle: float, patience: Patience) -> asyncio.Server:
    config = uvicorn.Config(count, log_config=None, timeout_keep_alive=idle)  # type: ignore[arg-type]
    connections = Connections(most=100)

    def create() -> Protocol:
        return Protocol(config, ServerState(), {}, connections=connections, patience=patience)

    return await asyncio.get_running_loop().create_server(create, "127.0.0.1", 0)


def say(
    first: bytes, then: bytes = b"", pause: float = 0.0, idle: float = 0.3, patience: Patience = QUICK
) -> tuple[bytes, int]:
    """What a server says until it ends the connection, and the bytes that it let come; `then` is said again and again.

    It waits `idle` seconds for a request.
    """

    async def talk() -> tuple[bytes, int]:
        server = await listening(idle, patience)
        transport, client = await asyncio.get_running_loop().create_connection(Client, *server.sockets[0].getsockname())
        async with server, asyncio.timeout(5):
            transport.write(first)
            said = len(first)
            while then and not client.end.done() and said < 5 * MOST_HEAD_BYTES:
                transport.write(then)
                said += len(then)
                await asyncio.sleep(pause)
            await client.end
        return client.heard, said

    return asyncio.run(talk())


def answers(*said: bytes, patience: Patience = QUICK) -> list[bytes]:
    """What of each request was understood, or the status of a refusal."""
    heard, _ = say(b"".join(said), patience=patience)
    return [text or status for status, text in re.findall(rb"HTTP/1.1 (?!200)(\d+)|(?<=\n)(\w+ \S+ \d+);", heard)]


@pytest.mark.parametrize(
    ("begin", "part", "most"),
    [
        (b"GET / HTTP/1.1\r\nX-Long: ", b"a", MOST_HEAD_BYTES),
        (b"GET / HTTP/1.1\r\n", b"a:b\r\n", 0),
        (b"GET /", b"a", MOST_HEAD_BYTES),
        (CHUNKED + b"0\r\n", b"a:b\r\n", 0),
        (CHUNKED + b"1\r\na\r\n0\r\n", b"a:b\r\n", 0),
        (CHUNKED + b"1;", b"a", MOST_HEAD_BYTES),
    ],
    ids=["a header", "headers", "an address", "trailers", "trailers of a body", "a chunk's extension"],
)
def test_what_does_not_end_is_cut_off(begin: bytes, part: bytes, most: int):
    heard, said = say(begin, part * 1_000, pause=0.001, patience=Patience())

    assert heard.startswith(b"HTTP/1.1 400 ")
    assert said > most


def test_a_head_is_bounded_to_the_byte_and_to_the_field():
    def of_bytes(size: int) -> bytes:
        head = b"GET / HTTP/1.1\r\nX: \r\n\r\n"
        return head.replace(b"X: ", b"X: " + b"a" * (size - len(head)))

    def of_fields(number: int) -> bytes:
        return b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * number + b"\r\n"

    assert answers(of_bytes(MOST_HEAD_BYTES)) == answers(of_fields(MOST_FIELDS)) == [b"GET / 0"]
    assert answers(of_bytes(MOST_HEAD_BYTES + 1)) == answers(of_fields(MOST_FIELDS + 1)) == [b"400"]
    assert answers(of_bytes(50_000), of_bytes(MOST_HEAD_BYTES)) == [b"GET / 0"] * 2


def test_so_many_requests_may_wait_behind_another():
    slow = INNER.replace(b"inner", b"slow")

    assert len(answers(slow, INNER * MOST_WAITING)) == 1 + MOST_WAITING
    assert answers(slow, INNER * (MOST_WAITING + 1)) == []


@pytest.mark.parametrize("chunk", [7, 100_000, 2_000_000])
def test_a_body_is_taken_whatever_its_chunks_are(chunk: int):
    body = (b"%x\r\n%b\r\n" % (chunk, b"a" * chunk)) * (2_000_000 // chunk)

    found = answers(CHUNKED, body, b"0\r\nX-Sum: 1\r\n\r\n", patience=Patience())

    assert found == [b"POST / %d" % (2_000_000 // chunk * chunk)]


@pytest.mark.parametrize(
    ("begin", "drop", "status"),
    [
        (b"", b"", b""),
        (b"", b"\r\n", b""),
        (INNER, b"\r\n", b"200"),
        (b"GET / HTTP/1.1\r\nHost:", b" ", b"408"),
        (POST + b"Content-Length: 1000000\r\n\r\n", b"a", b"408"),
        (CHUNKED + b"fff\r\n", b"a", b"408"),
        (CHUNKED + b"0\r\n", b"a:b\r\n", b"408"),
    ],
    ids=["nothing", "empty lines", "lines behind a request", "a head", "a body", "a chunk", "trailers"],
)
def test_a_connection_that_brings_no_whole_request_in_time_ends(begin: bytes, drop: bytes, status: bytes):
    heard, said = say(begin, drop, pause=0.02)

    assert heard[9:12] == status
    assert said < 1_000


def test_an_answer_may_take_longer_than_a_request():
    assert answers(INNER.replace(b"inner", b"slow")) == [b"GET /slow 0"]


@pytest.mark.parametrize("head", [b"Content-Length: 4000000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n3d0900\r\n"])
def test_whoever_is_answered_while_it_still_sends_hears_the_answer_and_that_it_is_the_last(head: bytes):
    heard, _ = say(POST.replace(b"/ ", b"/early ") + head, b"a" * 65_536, pause=0.001, patience=Patience(hearing=0.5))

    assert heard.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close" in heard
    assert heard.endswith(b"POST /early 0;")


OF_WEBSOCKETS = b"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
OF_MANY = b"Connection: upgrade\r\nUpgrade: tls, h2c\r\n"


@pytest.mark.parametrize("offer", [OFFER, OF_WEBSOCKETS, OFFER.lower(), OF_MANY])
@pytest.mark.parametrize("pause", [False, True], ids=["at once", "in parts"])
def test_an_offer_of_another_protocol_is_ignored_and_its_body_stays_one(offer: bytes, pause: bool):
    sized = POST + offer + b"Content-Length: %d\r\n\r\n" % len(INNER)
    chunked = POST + offer + b"Transfer-Encoding: chunked\r\n\r\n"
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(INNER), INNER)
    said = sized + INNER + chunked + body + b"GET /last HTTP/1.1\r\n" + offer + b"\r\n" + INNER

    async def talk() -> bytes:
        server = await listening(0.3, QUICK)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            for part in [sized, INNER, chunked, body, said[len(sized + INNER + chunked + body) :]] if pause else [said]:
                writer.write(part)
                await asyncio.sleep(0.02 * pause)
            return await reader.read()

    heard = asyncio.run(talk())

    assert re.findall(rb"\w+ /\w* \d+;", heard) == [b"POST / 40;", b"POST / 40;", b"GET /last 0;", b"GET /inner 0;"]


@pytest.mark.parametrize(
    "said",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        b"Content-Length: 3\r\nContent-Length: 40\r\n\r\nabc",
        b"Content-Length: 3, 40\r\n\r\nabc",
        b"Content-Length: +3\r\n\r\nabc",
        b"Content-Length : 3\r\n\r\nabc",
        b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
        b"X: a\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n",
    ],
)
@pytest.mark.parametrize("offer", [b"", OFFER], ids=["alone", "with an offer"])
def test_where_it_is_unclear_how_long_a_body_is_nothing_is_made_of_what_follows(said: bytes, offer: bytes):
    assert answers(POST + offer + said, INNER) == [b"400"]


def test_no_way_leads_through_and_what_is_behind_the_last_request_is_none():
    assert answers(b"CONNECT elsewhere:1 HTTP/1.1\r\n" + HOST + b"\r\n", INNER) == [b"400"]
    assert answers(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") == [b"400"]
    assert answers(INNER.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), INNER) == [b"GET /inner 0"]
    assert answers(CHUNKED.replace(b"1.1", b"1.0") + b"0\r\n\r\n", INNER) == [b"POST / 0"]
    assert answers(INNER.replace(b"inner", b"slow"), b"nonsense\r\n\r\n") == []


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_curl_that_offers_http_2_is_answered():
    async def ask() -> bytes:
        server = await listening(5, Patience())
        host, port = server.sockets[0].getsockname()
        command = ("curl", "--silent", "--http2", "--max-time", "5", "--data", "a" * 100_000, f"http://{host}:{port}/")
        async with server:
            curl = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
            return (await curl.communicate())[0]

    assert asyncio.run(ask()) == b"POST / 100000;"
