"""Readers: processes that read the archive, so that no answer waits for it. None is there until somebody asks.

Each question is bounded in time, and its answer tells what was cut off; few wait at once, and the rest is refused in
plain words. Answers are kept for a while: several consoles ask the same.
"""

import asyncio
import pickle
import sys
from collections.abc import Callable
from contextlib import suppress
from hashlib import blake2b
from time import monotonic
from typing import Any, TypeVar

from litestar.exceptions import ServiceUnavailableException

from pipeline.errors import PeekproofError
from pipeline.questions.frames import LENGTH_BYTES, framed, length_of

PROCESSES = 2
MOST_WAITING = 8  # questions that are read or wait
QUESTION_SECONDS = 10.0  # that a question may read
ANSWER_SECONDS = 40.0  # in which it has then answered, though its process had to begin and to load its kernels
KEPT_SECONDS = 30.0
MOST_KEPT = 64
IDLE_SECONDS = 300.0  # after which a process ends
_COMMAND = (sys.executable, "-P", "-m", "pipeline.questions")

Answer = TypeVar("Answer")


class Readers:
    """Has functions of pipeline.questions called in other processes."""

    def __init__(self) -> None:
        self._turn = asyncio.Semaphore(PROCESSES)
        self._idle: list[_Reader] = []
        self._all: set[_Reader] = set()
        self._waiting = 0
        self._kept: dict[bytes, tuple[float, asyncio.Future[Any]]] = {}

    async def ask(self, function: Callable[..., Answer], about: bytes, *arguments: Any) -> Answer:
        """What the function answers, or answered lately `about` the same.

        Raises ServiceUnavailableException where too many ask, where it takes too long, and with whatever the archive
        cannot give.
        """
        key = blake2b(function.__name__.encode() + b"\0" + about, digest_size=16).digest()
        self._forget()
        if key not in self._kept:
            if self._waiting >= MOST_WAITING:
                why = f"{MOST_WAITING} questions to the archive are being answered, and no more at once; ask again"
                raise ServiceUnavailableException(why, headers={"Retry-After": "2"})
            self._waiting += 1
            self._kept[key] = monotonic(), asyncio.ensure_future(self._answer(function, arguments))
        return await asyncio.shield(self._kept[key][1])  # whoever leaves takes it from nobody else

    async def stop(self) -> None:
        """End the processes, whatever they do."""
        for reader in self._all:
            reader.kill()
        await asyncio.gather(*(reader.ended() for reader in self._all))

    async def _answer(self, function: Callable[..., Answer], arguments: tuple[Any, ...]) -> Answer:
        try:
            async with self._turn:
                reader = self._idle.pop() if self._idle else _Reader()
                self._all.add(reader)
                try:
                    async with asyncio.timeout(ANSWER_SECONDS):
                        answer = await reader.ask((function, arguments))
                except BaseException:
                    self._end(reader)
                    raise
                self._idle.append(reader)
                reader.rests(IDLE_SECONDS, lambda: self._end(reader))
        except (TimeoutError, EOFError, OSError):
            why = "the archive could not be read in time; ask again, or for less"
            raise ServiceUnavailableException(why, headers={"Retry-After": "10"}) from None
        finally:
            self._waiting -= 1
        if isinstance(answer, PeekproofError):
            raise ServiceUnavailableException(str(answer), headers={"Retry-After": "10"})
        return answer  # type: ignore[no-any-return]

    def _end(self, reader: "_Reader") -> None:
        reader.kill()
        with suppress(ValueError):
            self._idle.remove(reader)

    def _forget(self) -> None:
        """What is old, and what failed: that is asked again; and processes that have ended."""
        self._all = {reader for reader in self._all if not reader.is_over}
        oldest = monotonic() - KEPT_SECONDS
        for key, (time, future) in list(self._kept.items()):
            if future.done() and (time < oldest or len(self._kept) > MOST_KEPT or future.exception() is not None):
                del self._kept[key]


class _Reader:
    """One process."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._rest: asyncio.TimerHandle | None = None

    async def ask(self, question: object) -> Any:
        """Its answer. Raises EOFError or OSError where it has none."""
        if self._rest is not None:
            self._rest.cancel()
        if self._process is None:
            pipe = asyncio.subprocess.PIPE
            self._process = await asyncio.create_subprocess_exec(*_COMMAND, stdin=pipe, stdout=pipe)
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(framed(question))
        await stdin.drain()
        length = length_of(await stdout.readexactly(LENGTH_BYTES))
        return pickle.loads(await stdout.readexactly(length))

    def rests(self, seconds: float, end: Callable[[], object]) -> None:
        """Call `end` unless it is asked within so long."""
        self._rest = asyncio.get_running_loop().call_later(seconds, end)

    @property
    def is_over(self) -> bool:
        """Whether it has begun and ended."""
        return self._process is not None and self._process.returncode is not None

    async def ended(self) -> None:
        """Return when it is no more."""
        if self._process is not None:
            await self._process.wait()

    def kill(self) -> None:
        """End it, if it has begun."""
        if self._rest is not None:
            self._rest.cancel()
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()
