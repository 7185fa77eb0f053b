"""Programs: which libraries asked and sent with each key, as far as this server saw since its start."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import msgspec

MOST_LIBRARIES = 10  # of a key; the one that was heard of the longest ago gives way
MOST_KEYS = 1_000
LONGEST_NAME = 80  # characters
UNNAMED = "a program that does not name itself"


class Program(msgspec.Struct, kw_only=True):
    """What asks with a key, by the name that its library gives itself. `open`: answers that go on, such as streams."""

    deployment: str
    key: str
    library: str
    since: int  # ms UTC
    last: int  # ms UTC
    requests: int = 0
    open: int = 0


class Programs:
    """Who was heard of, by key."""

    def __init__(self, clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> None:
        self.since = clock()  # ms UTC; nothing is known of before
        self._clock = clock
        self._heard: dict[str, dict[str, Program]] = {}  # by key and library; in both the newest stand last

    @contextmanager
    def hearing(self, deployment: str, key: str, headers: Mapping[bytes, bytes]) -> Iterator[None]:
        """A request with this key is answered meanwhile."""
        libraries = self._heard[key] = self._heard.pop(key, {})
        library = library_in(headers)
        program = libraries.pop(library, None) or Program(
            deployment=deployment, key=key, library=library, since=self._clock(), last=0
        )
        libraries[library] = program
        for heard, most in ((libraries, MOST_LIBRARIES), (self._heard, MOST_KEYS)):
            if len(heard) > most:
                del heard[next(iter(heard))]  # type: ignore[attr-defined]
        program.last = self._clock()
        program.requests += 1
        program.open += 1
        try:
            yield
        finally:
            program.open -= 1
            program.last = self._clock()

    def of(self, deployment: str) -> list[Program]:
        """Those that ask with a key of a deployment, the newest first."""
        heard = (each for libraries in self._heard.values() for each in libraries.values())
        return sorted(
            (each for each in heard if each.deployment == deployment), key=lambda each: each.last, reverse=True
        )

    def last(self, deployment: str) -> int | None:
        """When a key of the deployment was used last (ms UTC); None: not since this server started."""
        return max((each.last for each in self.of(deployment)), default=None)

    def last_of(self, key: str) -> int | None:
        """The same of one key."""
        return max((each.last for each in self._heard.get(key, {}).values()), default=None)


def library_in(headers: Mapping[bytes, bytes]) -> str:
    """What a request says of the library that makes it; one that says nothing is called so."""
    said = headers.get(b"x-amp-exp-library") or headers.get(b"user-agent") or b""
    name = "".join(filter(str.isprintable, said.decode("latin-1")))[:LONGEST_NAME].strip()
    return name or UNNAMED
