"""Work: who works on each stage, how many records wait, and how much input could not be used, minute by minute."""

import msgspec

from schemas.health import WorkerHealth

MINUTE_MS = 60_000
REMEMBERED = 24 * 60  # minutes
FRESH_MS = 10_000  # a worker speaks once a second, later where it is busy


class Spoken(msgspec.Struct, frozen=True):
    """What a worker said last, and when (ms UTC, the brokers')."""

    time: int
    health: WorkerHealth


class Work:
    """The workers' health as it comes, and dead letters; all times are the brokers' (ms UTC).

    `watched` is since when: what was not heard before may have been said.
    """

    def __init__(self, watched: int) -> None:
        self.watched = watched
        self.now = watched
        self.newest: dict[str, Spoken] = {}  # by stage and worker
        self.dead_letters: dict[int, int] = {}  # by minute: ms UTC of its beginning
        self.lags: dict[str, dict[int, int]] = {}  # by stage: of each minute the fewest records that waited

    def hear(self, time: int, health: WorkerHealth) -> None:
        """One record of `health`; those of the last minutes before `watched` may come first."""
        raise NotImplementedError

    def count_dead_letters(self, time: int, number: int) -> None:
        """So many records more stand on `dead-letters`, appended about that time: by its offsets, unread."""
        raise NotImplementedError

    def living(self, stage: str) -> list[Spoken]:
        """The newest words of those who work on a stage now."""
        raise NotImplementedError
