"""Streams: as many as there is room for, and each is one request."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from litestar.datastructures import State
from litestar.di import Provide
from litestar.exceptions import ServiceUnavailableException, TooManyRequestsException
from litestar.testing import create_test_client

from pipeline.http.backend import Backend
from pipeline.http.callers.access import RATES, Access
from pipeline.http.callers.keys import ROLES, Keys
from pipeline.http.callers.tickets import Tickets
from pipeline.http.evaluate.amplitude import evaluation
from pipeline.http.evaluate.ofrep import ofrep
from pipeline.http.results.routes import results
from pipeline.http.sockets.streams import Streams


async def endless() -> AsyncIterator[bytes]:
    while True:
        yield b"data: still here\n\n"


def test_one_too_many_of_a_key_is_refused_until_another_ends_and_other_keys_have_theirs():
    async def try_it() -> None:
        streams = Streams(most=8)
        of_ann = [streams.of(endless(), "ann").iterator for _ in range(4)]
        for each in of_ann:
            await anext(each)

        with pytest.raises(ServiceUnavailableException, match=r"'ann' has as many .* ask now and then instead"):
            streams.of(endless(), "ann")

        assert await anext(streams.of(endless(), "bob").iterator) == b"data: still here\n\n"
        await of_ann[0].aclose()
        await of_ann[1].aclose()
        assert await anext(streams.of(endless(), "ann").iterator) == b"data: still here\n\n"

    asyncio.run(try_it())


class Changing(Backend):
    """One of which flags and looks change five times, at once, and then it is stopped. Its clock stands still."""

    def __init__(self, keys: Keys) -> None:
        self.access = Access(keys, clock=lambda: 0.0)
        self.streams, self.tickets = Streams(most=2), Tickets()
        self.flags: Any = SimpleNamespace(of=lambda *_: self.next())
        self.looks: Any = SimpleNamespace(news=lambda *_: [self.next()])
        self.is_stopping = False
        self.told = 0

    def next(self) -> Any:
        self.told += 1
        self.is_stopping = self.told == 5
        return SimpleNamespace(
            json=b"%d" % self.told, version=str(self.told), changed=self.told, newest=b"%d" % self.told
        )


@pytest.mark.parametrize(
    ("role", "path"),
    [("client", "/sdk/stream/v1/flags"), ("server", "/ofrep/v1/stream?ticket="), ("viewer", "/api/1/results/stream")],
)
def test_a_stream_is_one_request_of_its_keys_rate_however_much_it_tells(tmp_path: Path, role: Any, path: str):
    keys = Keys(tmp_path)
    _, text = keys.create(role, "ann", None if role == "viewer" else "shop")
    backend = Changing(keys)
    with create_test_client(
        [evaluation, ofrep, results],
        dependencies={"backend": Provide(lambda: backend, sync_to_thread=False)},
        state=State({"backend": backend}),
    ) as client:
        if path.endswith("="):
            path += backend.tickets.of(text)
        told = client.get(path, headers={"Authorization": f"Bearer {text}"}).text

    assert told.count("data: ") == 5
    for _ in range(RATES[role] - 1):
        backend.access.admit(text, ROLES)
    with pytest.raises(TooManyRequestsException):
        backend.access.admit(text, ROLES)
