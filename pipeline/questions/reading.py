"""Reading: how long a question may read, and what came of it that its reader should know."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

from pipeline.storage.archived import expired, partitions
from schemas.duration import HOUR_MS


class TimeBound:
    """So many seconds from now on; `is_over` says whether they have passed."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._ends = monotonic() + seconds

    @property
    def is_over(self) -> bool:
        """Whether it is time to answer with what was read."""
        return monotonic() >= self._ends


def said(time: int) -> str:
    """A time (ms UTC) for people; 0, of what was not begun, is before all of them."""
    return "the beginning" if time == 0 else datetime.fromtimestamp(time / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def told_expired(directory: Path, topics: Iterable[str], since: int) -> Iterator[str]:
    """Sentences: of which topics something is not archived any more that was appended since then (ms UTC)."""
    for topic in topics:
        cuts = [cut for number in partitions(directory, topic) if (cut := expired(directory, topic, number))]
        if any(cut.time >= since for cut in cuts):
            yield f"of `{topic}` what was appended up to {max(cuts, key=lambda cut: cut.time).until} has expired"


def pieces_of(time: int) -> int:
    """A step of time (ms) so that a stretch has at most 14 of them."""
    steps = (60_000, 300_000, 900_000, HOUR_MS, 3 * HOUR_MS, 6 * HOUR_MS, 12 * HOUR_MS, 24 * HOUR_MS, 48 * HOUR_MS)
    return next((step for step in steps if time <= 14 * step), 7 * 24 * HOUR_MS)
