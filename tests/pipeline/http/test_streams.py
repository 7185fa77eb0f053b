"""Streams: as many as there is room for."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from litestar.exceptions import ServiceUnavailableException

from pipeline.http.streams import Streams


async def endless() -> AsyncIterator[bytes]:
    while True:
        yield b"data: still here\n\n"


def test_one_too_many_is_refused_until_another_ends():
    async def try_it() -> None:
        streams = Streams(most=1)
        first = streams.of(endless()).iterator
        await anext(first)

        with pytest.raises(ServiceUnavailableException, match="ask now and then instead"):
            streams.of(endless())

        await first.aclose()
        assert await anext(streams.of(endless()).iterator) == b"data: still here\n\n"

    asyncio.run(try_it())
