"""Turn: one thing at a time, and nothing more after an error."""

import asyncio
from types import TracebackType

from pipeline.kafka.columnar.errors import TransportError


class BrokenTurnError(TransportError):
    """Somebody failed in a turn before; what they left half-done must not be worked on, nor saved."""


class Turn(asyncio.Lock):
    """A lock that is given to nobody any more once an error left its block. (A cancellation is no error.)"""

    broken: Exception | None = None

    async def acquire(self) -> bool:  # type: ignore[override]
        """Wait for the turn. Raises BrokenTurnError if it is broken."""
        await super().acquire()
        if self.broken:
            self.release()
            raise BrokenTurnError(
                f"an error in this worker has left its work half-done; it stops without going on: {self.broken}"
            ) from self.broken
        return True

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.broken is None and isinstance(error, Exception):
            self.broken = error
        self.release()
