"""Porch: where those without a key wait until the loop reads what they sent, a piece in each of its rounds.

In a round it answers all who have shown a key, so none of them waits for more than one of the others.
"""

import asyncio
from collections import deque
from typing import Protocol


class Guest(Protocol):
    """Whose bytes are here."""

    def come_in(self) -> bool:
        """Have a piece of them read; whether there are more."""


class Porch:
    """Those whose bytes are here, in the order in which they came."""

    def __init__(self) -> None:
        self._waiting: deque[Guest] = deque()
        self._calling: asyncio.Handle | None = None

    def wait(self, guest: Guest) -> None:
        """Have it come in when it is its turn."""
        self._waiting.append(guest)
        if self._calling is None:
            self._calling = asyncio.get_running_loop().call_soon(self._call)

    def _call(self) -> None:
        guest = self._waiting.popleft()
        try:
            if guest.come_in():
                self._waiting.append(guest)
        finally:
            self._calling = asyncio.get_running_loop().call_soon(self._call) if self._waiting else None
