"""Work: who works on each stage, how many records wait, and how much input could not be used, minute by minute."""

from collections.abc import Mapping

import msgspec

from schemas.duration import MINUTE_MS
from schemas.health import FRESH_MS, WorkerHealth

REMEMBERED = 12 * 60  # minutes
FORGOTTEN_MS = 24 * 60 * MINUTE_MS  # a worker of which nothing was heard so long was taken out of service
UNKNOWN = 0  # when trouble began that was there already when somebody began to watch
QUIET_MS = 10 * MINUTE_MS  # trouble that comes again sooner is the same

Minutes = Mapping[int, int]  # by minute (ms UTC of its beginning) a number


class Spoken(msgspec.Struct, frozen=True):
    """What a worker said last, and when (ms UTC, the brokers')."""

    time: int
    health: WorkerHealth


class Work:
    """The workers' health as it comes, and dead letters; all times are the brokers' (ms UTC).

    `watched` is since when: a stage that was silent before may be about to start, as the caller was. What of the last
    minutes is read before is known all the same.
    """

    def __init__(self, watched: int) -> None:
        self.watched = watched
        self.now = watched
        self.newest: dict[str, Spoken] = {}  # by stage and worker
        self.dead_letters: dict[int, int] = {}  # by minute
        self.lags: dict[str, dict[int, int]] = {}  # by stage: of each minute the fewest records that waited

    def hear(self, time: int, health: WorkerHealth) -> None:
        """One record of `health`, with its append time."""
        self.now = max(self.now, time)
        if health.name not in self.newest or time >= self.newest[health.name].time:
            self.newest[health.name] = Spoken(time, health)
        if not health.ended:
            minute, waiting = time - time % MINUTE_MS, self.waiting(health.stage, time)
            if minute not in self.lags.get(health.stage, ()):
                self._forget()
            minutes = self.lags.setdefault(health.stage, {})
            minutes[minute] = min(waiting, minutes.get(minute, waiting))

    def count_dead_letters(self, time: int, number: int) -> None:
        """So many records more stand on `dead-letters`, appended about that time: by its offsets, unread."""
        minute = time - time % MINUTE_MS
        self.dead_letters[minute] = self.dead_letters.get(minute, 0) + number

    @property
    def stages(self) -> list[str]:
        """Those that were at work within the last day."""
        return sorted({word.health.stage for word in self.newest.values() if self.now - word.time < FORGOTTEN_MS})

    def of(self, stage: str) -> list[Spoken]:
        """The newest words of a stage's workers, the latest last."""
        words = [word for word in self.newest.values() if word.health.stage == stage]
        return sorted(words, key=lambda word: (word.time, word.health.worker))

    def living(self, stage: str, now: int | None = None) -> list[Spoken]:
        """Of those who speak now."""
        since = (self.now if now is None else now) - FRESH_MS
        return [word for word in self.of(stage) if word.time > since and not word.health.ended]

    def waiting(self, stage: str, now: int | None = None) -> int:
        """Records that wait for those who work on a stage, by whoever spoke of each partition last."""
        words = self.living(stage, now)
        newest = {(each.topic, each.partition): each.lag for word in words for each in word.health.partitions}
        return sum(newest.values())

    def keeps_up(self, stage: str, most: int) -> bool:
        """Whether somebody works on a stage now, and did in the last two minutes that are over, with so little waiting.

        What waited before that has been read since, and what follows from it has been said.
        """
        minute, minutes = self.now - self.now % MINUTE_MS, self.lags.get(stage, {})
        lately = (minute - MINUTE_MS, minute - 2 * MINUTE_MS)
        was_well = all(each in minutes and minutes[each] <= most for each in lately)
        return was_well and bool(self.living(stage)) and self.waiting(stage) <= most

    def _forget(self) -> None:
        """What is too old to matter."""
        first = self.now - REMEMBERED * MINUTE_MS
        self.lags = {stage: _since(minutes, first) for stage, minutes in self.lags.items()}
        self.dead_letters = _since(self.dead_letters, first)
        self.newest = {name: word for name, word in self.newest.items() if self.now - word.time < FORGOTTEN_MS}


def trouble(minutes: Minutes, above: int) -> int | None:
    """When the trouble began in which a number was last above the limit (ms UTC), `UNKNOWN` included; None: it was not.

    Trouble goes on as long as no ten minutes pass between two minutes above.
    """
    loud = sorted(minute for minute, number in minutes.items() if number > above)
    began = None
    for last, minute in zip([None, *loud], loud, strict=False):
        if last is None or minute - last > QUIET_MS:
            began = minute
    return UNKNOWN if began is not None and began - QUIET_MS < min(minutes) else began


def above_for(minutes: Minutes, above: int, now: int) -> int:
    """How long a number has been above the limit all the time: ms, of whole minutes up to the last that is over."""
    minute = now - now % MINUTE_MS - MINUTE_MS
    lasted = 0
    while minutes.get(minute, above) > above:
        lasted += MINUTE_MS
        minute -= MINUTE_MS
    return lasted


def _since(minutes: Minutes, first: int) -> dict[int, int]:
    return {minute: number for minute, number in minutes.items() if minute >= first}
