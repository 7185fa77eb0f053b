"""Door: who comes in, and when. Whoever shows a key, or is signed in, comes in at once, everybody else by turns.

So nobody without a key costs the others much, whatever he asks. A key that asks too much has turns of its own.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from time import monotonic
from typing import Any
from urllib.parse import parse_qs

from litestar.types import ASGIApp, HTTPReceiveMessage, Receive, Scope, Send

from pipeline.http.callers.access import CARRIERS, EVERYBODY, Access, password, shown
from pipeline.http.callers.front import FRONT, has_key_in_body, keys_in
from pipeline.http.callers.keys import Key
from pipeline.http.callers.origins import FOREIGN, answer, is_foreign
from pipeline.http.callers.sessions import Session
from pipeline.http.callers.tickets import PATH, Tickets
from pipeline.http.hatch import JSON, PROBES, wants_key
from pipeline.http.sockets.protocol import Protocol

TURNS = 100  # a second
MOST_TURNS = 300  # at once
OF_A_PAGE = 10  # turns that a page takes: it costs more than to say that a key is missing
OF_A_FILE = 2  # turns that one of the console's modules takes: the page has a hundred of them
MODULES = (".js", ".mjs", ".css", ".svg")
MOST_WAITING = 200  # for their turns

OF_SESSIONS = "/api/1/"  # and the console's files, which need no key: whoever is signed in does not wait for them
STRANGERS = ""  # stands for the key of those who have none
TOO_MANY = 503, "too many ask without a key"


class Door:
    """Wraps the application. `scope["state"]["caller"]` is then the key or session that a request shows, or None."""

    def __init__(self, app: ASGIApp, access: Access, tickets: Tickets) -> None:
        self._app = app
        self._access = access
        self._tickets = tickets
        self._turns: defaultdict[str, Turns] = defaultdict(Turns)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Have one request answered."""
        caller: Key | None = EVERYBODY
        if not self._access.is_open:
            caller, receive = await self._caller(scope, receive)
            if caller is None and (caller := self._session(scope)) is not None and _is_foreign(scope):
                if scope["path"].startswith(OF_SESSIONS):
                    await answer(send, 403, [JSON], b'{"error":"%b"}' % FOREIGN.encode())
                    return
                caller = None  # whoever follows a link to the console is shown it
        connection: Any = (scope.get("extensions") or {}).get("connection")
        if caller is not None and connection is not None and not connection.show(caller.id):
            await _turn_away(send, 503, "every connection is in use")
            return
        if not (self._is_free(caller) or _is_small(scope, connection)):
            turns = self._turns[caller.id if caller else STRANGERS]
            if not await turns.next(connection, _cost(scope["path"])):
                if connection is None or connection.is_open:
                    await _turn_away(send, *((429, f"'{caller.id}' asks too much") if caller else TOO_MANY))
                return
        scope.setdefault("state", {})["caller"] = caller
        with self._heard(caller, scope):
            await self._app(scope, receive, send)

    def _heard(self, caller: Key | None, scope: Scope) -> AbstractContextManager[None]:
        """Remembers the program that asks. On an open server a deployment's own name is its key."""
        headers = dict(scope["headers"])
        deployment = caller.deployment if caller else None
        if self._access.is_open:
            deployment = shown({name: headers.get(name.encode(), b"").decode("latin-1") for name in CARRIERS})
        if caller is None or deployment is None:
            return nullcontext()
        return self._access.programs.hearing(deployment, caller.id or deployment, headers)

    def _is_free(self, caller: Key | None) -> bool:
        return self._access.is_open or (caller is not None and self._access.is_within_rate(caller))

    def _session(self, scope: Scope) -> Session | None:
        """The session of which a browser shows the cookie, where one counts and no key is shown."""
        headers, path = dict(scope["headers"]), scope["path"]
        said = {name: headers.get(name.encode(), b"").decode("latin-1") for name in CARRIERS}
        if shown(said) or (wants_key(path) and not path.startswith(OF_SESSIONS)):
            return None
        return self._access.signed_in(headers.get(b"cookie", b"").decode("latin-1"))

    async def _caller(self, scope: Scope, receive: Receive) -> tuple[Key | None, Receive]:
        """The key that a request shows, and what its body is still to be read from."""
        headers, path = dict(scope["headers"]), scope["path"]
        if path == PATH:
            ticket = parse_qs(scope["query_string"]).get(b"ticket", [b""])[0].decode("latin-1")
            return self._access.find(self._tickets.find(ticket)), receive
        said = {name: headers.get(name.encode(), b"").decode("latin-1") for name in CARRIERS}
        caller = self._access.find(shown(said), password(said["authorization"]))
        if caller is not None or not has_key_in_body(path):
            return caller, receive
        messages: list[HTTPReceiveMessage] = []
        front, seen, more = b"", 0, True
        while more and caller is None and len(front) < FRONT:
            message = await receive()
            messages.append(message)  # type: ignore[arg-type]
            front += message.get("body", b"")  # type: ignore[operator]
            more = bool(message.get("more_body", False))
            if len(front) >= 2 * seen or not more:  # not after every byte
                seen = len(front)
                caller = self._access.find(*keys_in(front, path, headers.get(b"content-encoding", b"")))

        async def again() -> HTTPReceiveMessage:
            return messages.pop(0) if messages else await receive()  # type: ignore[return-value]

        return caller, again  # type: ignore[return-value]


class Turns:
    """So many in a second, and the newest first: who has waited for long has left, or will."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._free, self._then = float(MOST_TURNS), clock()
        self._waiting: list[tuple[asyncio.Future[bool], int]] = []
        self._calling: asyncio.TimerHandle | None = None

    async def next(self, connection: Protocol | None = None, turns: int = 1) -> bool:
        """Return when it is one's turn, which takes so many of them. False: one has left, or too many others came."""
        self._refill()
        if self._free >= 1 and not self._waiting:
            self._free -= turns
            return True
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if connection is not None:
            connection.turn = turn
        self._waiting.append((turn, turns))
        if len(self._waiting) > MOST_WAITING:
            oldest, _ = self._waiting.pop(0)
            if not oldest.done():
                oldest.set_result(False)
        if self._calling is None:
            self._call_later()
        return await turn

    def _refill(self) -> None:
        now = self._clock()
        self._free, self._then = min(float(MOST_TURNS), self._free + (now - self._then) * TURNS), now

    def _call_later(self) -> None:
        delay = max(0.0, (1 - self._free) / TURNS)
        self._calling = asyncio.get_running_loop().call_later(delay, self._call)

    def _call(self) -> None:
        """Let the newest of those who are still there go on."""
        self._calling = None
        self._refill()
        while self._waiting:
            turn, turns = self._waiting.pop()
            if not turn.done():
                turn.set_result(True)
                self._free -= turns
                break
        if self._waiting:
            self._call_later()


def _is_foreign(scope: Scope) -> bool:
    return is_foreign(scope["method"], dict(scope["headers"]))  # type: ignore[typeddict-item]  # no websockets


def _cost(path: str) -> int:
    """The turns that it takes to answer whoever shows no key."""
    if wants_key(path):
        return 1
    return OF_A_FILE if path.endswith(MODULES) else OF_A_PAGE


def _is_small(scope: Scope, connection: Protocol | None) -> bool:
    """Whether it asks for next to nothing, on a connection that has asked nothing else or that a key was shown on."""
    is_small = scope["path"] in PROBES or scope["method"] == "OPTIONS"  # type: ignore[typeddict-item]
    return is_small and (connection is None or connection.requests == 1 or connection.is_known)


async def _turn_away(send: Send, status: int, why: str) -> None:
    body = b'{"error":"%b; come again later"}' % why.encode()
    await answer(send, status, [JSON, (b"retry-after", b"10"), (b"connection", b"close")], body)
