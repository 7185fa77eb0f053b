"""Refused: what SDKs sent to this server and it did not take, of which therefore no topic tells."""

import time
from collections.abc import Callable

import msgspec

from pipeline.http.ingest.uploads import Refusal

MOST_REFUSED = 50  # that are kept, the newest
LONGEST_ERROR = 500  # characters
LARGEST_SHOWN = 2_000  # bytes of an event


class RefusedSeen(msgspec.Struct, frozen=True, kw_only=True):
    """Requests that were refused with the same words since the server started.

    `events` that were in them, none where one could not be read; `value` is the first event to blame.
    """

    code: int
    error: str
    requests: int
    events: int
    last: int  # ms UTC
    value: str | None


class RefusedUploads:
    """Counts refusals by their words."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._seen: dict[tuple[int, str], RefusedSeen] = {}

    def take(self, refusal: Refusal, events: list[msgspec.Raw] | None = None) -> None:
        """One more, and its events where they could be read."""
        key = refusal.code, refusal.error[:LONGEST_ERROR]
        before = self._seen.pop(key, None)
        self._seen[key] = RefusedSeen(
            code=key[0],
            error=key[1],
            requests=1 + (before.requests if before else 0),
            events=len(events or ()) + (before.events if before else 0),
            last=time.time_ns() // 1_000_000,
            value=_to_blame(refusal, events or []),
        )
        if len(self._seen) > MOST_REFUSED:
            del self._seen[next(iter(self._seen))]
        self._changed()

    def newest(self) -> list[RefusedSeen]:
        """The newest first."""
        return [*reversed(self._seen.values())]


def _to_blame(refusal: Refusal, events: list[msgspec.Raw]) -> str | None:
    by_field = (
        refusal.events_with_missing_fields | refusal.events_with_invalid_fields | refusal.events_with_invalid_id_lengths
    )
    index = min((min(indices) for indices in by_field.values() if indices), default=None)
    if index is None or index >= len(events):
        return None
    return bytes(events[index])[:LARGEST_SHOWN].decode("utf-8", "replace")
