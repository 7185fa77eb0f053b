"""Recent: what was seen within a day, so that it is said once."""

from collections.abc import Callable, Hashable
from time import monotonic

SECONDS = 86_400.0
MOST = 65_536  # Amplitude's SDKs remember as many, as long


class RecentlySeen:
    """Remembers the last ones."""

    def __init__(self, most: int = MOST, clock: Callable[[], float] = monotonic) -> None:
        self._most = most
        self._clock = clock
        self._until: dict[int, float] = {}  # by hash, so that nothing is kept of whom it is about

    def is_new(self, what: Hashable) -> bool:
        """Whether it was not seen within a day; from now on it was."""
        key, now = hash(what), self._clock()
        until = self._until.pop(key, 0.0)
        is_new = until <= now
        self._until[key] = now + SECONDS if is_new else until
        if len(self._until) > self._most:
            del self._until[next(iter(self._until))]
        return is_new

    def forget(self, what: Hashable) -> None:
        """It is new again."""
        self._until.pop(hash(what), None)
