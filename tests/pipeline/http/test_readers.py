"""Readers: few at once, the same once, and whoever reads for ever is ended."""

import asyncio
import operator
import time

import pytest
from litestar.exceptions import ServiceUnavailableException

from pipeline.http.questions import readers
from pipeline.http.questions.readers import MOST_WAITING, Readers


def test_few_wait_at_once_and_the_same_is_asked_once() -> None:
    async def ask() -> None:
        asked = Readers()
        try:
            waiting = [
                asyncio.ensure_future(asked.ask(time.sleep, b"%d" % number, 0.3)) for number in range(MOST_WAITING)
            ]
            same = asyncio.ensure_future(asked.ask(time.sleep, b"0", 0.3))
            await asyncio.sleep(0)
            with pytest.raises(ServiceUnavailableException, match="no more at once"):
                await asked.ask(time.sleep, b"one more", 0.3)
            assert [*await asyncio.gather(same, *waiting)] == [None] * (MOST_WAITING + 1)
            assert await asked.ask(operator.add, b"1+2", 1, 2) == 3
            assert await asked.ask(operator.add, b"1+2", 5, 5) == 3  # it is kept for a while
        finally:
            await asked.stop()

    asyncio.run(ask())


def test_what_fails_or_takes_too_long_is_told_and_can_be_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask() -> None:
        asked = Readers()
        try:
            with pytest.raises(ServiceUnavailableException, match="could not be read"):
                await asked.ask(operator.truediv, b"a fault of ours", 1, 0)
            assert await asked.ask(operator.truediv, b"a fault of ours", 1, 2) == 0.5
            monkeypatch.setattr(readers, "ANSWER_SECONDS", 0.2)
            with pytest.raises(ServiceUnavailableException, match="in time"):
                await asked.ask(time.sleep, b"for ever", 60)
        finally:
            await asked.stop()

    asyncio.run(ask())
