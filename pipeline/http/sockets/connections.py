"""Connections: those that are open, by whose they are. Where there is no room, who holds the most gives one up.

Whoever has not shown a key is a stranger. Strangers have a quarter of the places, keys the rest, so that neither takes
the other's.
"""

from collections import Counter, defaultdict
from typing import Literal, Protocol

from pipeline.http.sockets.porch import Porch

MOST_LONG_HEADS = 100  # that are on their way at once

Why = Literal["no room", "late", "no request"]


class Connection(Protocol):
    """What can be ended."""

    def end(self) -> None:
        """Close it at once."""


class Connections:
    """At most `most` of them."""

    def __init__(self, most: int) -> None:
        self._most_strangers = most // 4
        self._most_known = most - self._most_strangers
        self._strangers: dict[Connection, None] = {}  # the oldest first
        self._holders: dict[Connection, str] = {}  # the key that each of the others showed
        self._held: Counter[str] = Counter()
        self._quiet: defaultdict[str, dict[Connection, None]] = defaultdict(dict)  # by key, the longest first
        self._long_heads: dict[Connection, None] = {}
        self.ended: Counter[Why] = Counter()  # by us
        self.porch = Porch()

    @property
    def open(self) -> dict[str, int]:
        """How many there are, by whose they are."""
        return {"strangers": len(self._strangers), "keys": len(self._holders)}

    def opened(self, connection: Connection) -> None:
        """A stranger has come. If it is one too many, the one that has been here the longest goes."""
        self._strangers[connection] = None
        if len(self._strangers) > self._most_strangers:
            self._end(next(iter(self._strangers)))

    def closed(self, connection: Connection) -> None:
        """It is no more."""
        self._strangers.pop(connection, None)
        self._long_heads.pop(connection, None)
        if (holder := self._holders.pop(connection, None)) is not None:
            self._quiet[holder].pop(connection, None)
            self._held[holder] -= 1
            if not self._held[holder]:
                del self._held[holder], self._quiet[holder]

    def known(self, connection: Connection, holder: str) -> bool:
        """It has shown this key. False: there is no room, and none of the key that holds the most is quiet."""
        if self._holders.get(connection) != holder:
            if connection not in self._holders and len(self._holders) >= self._most_known:
                largest = max(self._held, key=self._held.__getitem__)
                if not self._quiet[largest]:
                    return False
                self._end(next(iter(self._quiet[largest])))
            self.closed(connection)
            self._holders[connection] = holder
            self._held[holder] += 1
        self._quiet[holder].pop(connection, None)
        return True

    def is_known(self, connection: Connection) -> bool:
        """Whether it has shown a key."""
        return connection in self._holders

    def answered(self, connection: Connection) -> None:
        """It asks nothing now."""
        if (holder := self._holders.get(connection)) is not None:
            self._quiet[holder][connection] = None

    def gathers(self, connection: Connection) -> None:
        """The head of its request is long already. If it is one too many, the one that takes the longest goes."""
        self._long_heads[connection] = None
        if len(self._long_heads) > MOST_LONG_HEADS:
            self._end(next(iter(self._long_heads)))

    def gathered(self, connection: Connection) -> None:
        """The head is here."""
        self._long_heads.pop(connection, None)

    def _end(self, connection: Connection) -> None:
        self.ended["no room"] += 1
        self.closed(connection)
        connection.end()
