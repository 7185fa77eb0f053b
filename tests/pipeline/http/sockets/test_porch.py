"""Where strangers wait: a round of the loop reads one piece of one of them, and all of those who have shown a key."""

import asyncio
from typing import Any

import uvloop
from uvicorn import Config
from uvicorn.server import ServerState

from pipeline.http.sockets.connections import Connections
from pipeline.http.sockets.porch import Porch
from pipeline.http.sockets.protocol import Protocol

STRANGERS = 10


class Guest:
    """Has so many pieces, and writes down who came in when."""

    def __init__(self, name: str, pieces: int, came: list[tuple[str, int]], rounds: list[None]) -> None:
        self._name, self._pieces, self._came, self._rounds = name, pieces, came, rounds

    def come_in(self) -> bool:
        self._came.append((self._name, len(self._rounds)))
        self._pieces -= 1
        return self._pieces > 0


def test_one_piece_of_one_of_them_is_read_in_a_round_by_turns():
    came: list[tuple[str, int]] = []
    rounds: list[None] = []

    async def wait() -> None:
        porch = Porch()
        for name, pieces in (("a", 3), ("b", 1), ("c", 2)):
            porch.wait(Guest(name, pieces, came, rounds))
        for _ in range(10):
            rounds.append(None)
            await asyncio.sleep(0)

    asyncio.run(wait())

    assert [name for name, _ in came] == ["a", "b", "c", "a", "c", "a"]
    assert [when for _, when in came] == list(range(came[0][1], came[0][1] + 6))


def test_whoever_has_shown_a_key_waits_for_one_stranger_at_most():
    answered: list[str] = []

    async def app(scope: Any, _: Any, send: Any) -> None:
        if scope["path"] == "/known":
            scope["extensions"]["connection"].show("key")
        answered.append(scope["path"])
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def ask() -> None:
        config, connections = Config(app, log_config=None), Connections(most=100)
        server = await asyncio.get_running_loop().create_server(
            lambda: Protocol(config, ServerState(), {}, connections=connections), "127.0.0.1", 0
        )
        address = server.sockets[0].getsockname()
        async with server, asyncio.timeout(5):
            strangers = [await asyncio.open_connection(*address) for _ in range(STRANGERS)]
            reader, writer = await asyncio.open_connection(*address)
            for _ in range(2):  # at first it has shown none
                answered.clear()
                for _, stranger in strangers:
                    stranger.write(b"GET /stranger HTTP/1.1\r\n\r\n")
                writer.write(b"GET /known HTTP/1.1\r\n\r\n")
                for hearing in (*(hearing for hearing, _ in strangers), reader):
                    await hearing.readuntil(b"\r\n\r\n")
            for _, each in [*strangers, (reader, writer)]:
                each.close()

    asyncio.run(ask())

    assert answered.index("/known") <= 1


def test_whoever_asks_and_ends_its_side_at_once_is_answered():
    async def app(_: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def ask(said: bytes) -> bytes:
        config, connections = Config(app, log_config=None), Connections(most=100)
        server = await asyncio.get_running_loop().create_server(
            lambda: Protocol(config, ServerState(), {}, connections=connections), "127.0.0.1", 0
        )
        async with server, asyncio.timeout(5):
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(said)
            writer.write_eof()
            heard = await reader.read()
            writer.close()
        return heard

    for loop in (asyncio.new_event_loop, uvloop.new_event_loop):
        with asyncio.Runner(loop_factory=loop) as runner:
            for said, answers in (
                (b"GET /a HTTP/1.1\r\n\r\n", 1),
                (b"POST /a HTTP/1.1\r\ncontent-length: 600000\r\n\r\n" + b" " * 600_000, 1),
                (b"POST /a HTTP/1.1\r\ncontent-length: 9\r\n\r\n1234", 0),  # the rest will never come
                (b"", 0),
            ):
                assert runner.run(ask(said)).count(b"HTTP/1.1 204") == answers
