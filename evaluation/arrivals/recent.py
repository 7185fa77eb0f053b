"""Recent: what came in the last hour by minute and in the last days by hour, folded from the records of `arrivals`."""

from collections import deque
from collections.abc import Callable, Collection, Iterator

from schemas.arrivals import Arrivals, ArrivedSample, DeadLettersArrived
from schemas.duration import HOUR_MS, MINUTE_MS

MINUTES, HOURS = 60, 48  # that are known apart
MOST_SERIES = 4_000  # names, and what else is counted apart; the rarest are forgotten beyond it
MOST_PARTS = 1_000  # records of which a newer version may come
MOST_KEPT = 20  # samples of one name

SeriesKey = tuple[str, ...]  # what is counted, and what it says; "" stands for what is not said


class Series:
    """How many came over time, and when the last did (ms UTC)."""

    def __init__(self) -> None:
        self.minutes: dict[int, int] = {}
        self.hours: dict[int, int] = {}
        self.last = 0

    def add(self, minute: int, number: int, last: int) -> None:
        """So many more came within a minute (ms UTC)."""
        hour = minute - minute % HOUR_MS
        self.minutes[minute] = self.minutes.get(minute, 0) + number
        self.hours[hour] = self.hours.get(hour, 0) + number
        self.last = max(self.last, last)
        if len(self.minutes) > 2 * MINUTES:
            self.minutes = {each: self.minutes[each] for each in sorted(self.minutes)[-MINUTES:]}
        if len(self.hours) > 2 * HOURS:
            self.hours = {each: self.hours[each] for each in sorted(self.hours)[-HOURS:]}

    def by_minute(self, now: int) -> list[int]:
        """Of the last hour, the oldest first; the last minute is not over."""
        newest = now - now % MINUTE_MS
        return [self.minutes.get(newest - MINUTE_MS * ago, 0) for ago in reversed(range(MINUTES))]

    def by_hour(self, now: int) -> list[int]:
        """Of the last days, the oldest first; the last hour is not over."""
        newest = now - now % HOUR_MS
        return [self.hours.get(newest - HOUR_MS * ago, 0) for ago in reversed(range(HOURS))]


class Recent:
    """Takes records in the order of the topic, and keeps what they say within bounds.

    Series are those of `("event", name)`, `("exposure", flag, variant, run, segment)`,
    `("library", topic, name, library)`, `("dead letter", topic, reason)`, and of what was not kept apart
    `("more", topic)` and its `("kinds", topic)`.
    """

    def __init__(self, known: Callable[[], Collection[str]] = tuple) -> None:
        """`known`: the names that stay however seldom they come."""
        self._known = known
        self.series: dict[SeriesKey, Series] = {}
        self.samples: dict[tuple[str, str], deque[ArrivedSample]] = {}  # by topic and name, the newest last
        self.dead_letters: dict[tuple[str, str], DeadLettersArrived] = {}  # the newest by topic and reason
        self.taken = 0  # records
        self._parts: dict[str, dict[SeriesKey, int]] = {}

    def take(self, arrivals: Arrivals) -> None:
        """Take one record: of a part that was told before, what it says more."""
        self.taken += 1
        before = self._parts.pop(arrivals.key, {})
        counts: dict[SeriesKey, int] = {}
        for key, number, last in _counted(arrivals):
            counts[key] = counts.get(key, 0) + number
            self._of(key).last = max(self._of(key).last, last)
        for key in before.keys() | counts.keys():
            number = counts.get(key, 0) - before.get(key, 0)
            if number:
                self._of(key).add(arrivals.minute, number, 0)
        self._parts[arrivals.key] = counts
        if len(self._parts) > MOST_PARTS:
            del self._parts[next(iter(self._parts))]
        for sample in arrivals.samples:
            kept = self.samples.setdefault((sample.topic, sample.name), deque(maxlen=MOST_KEPT))
            if sample not in kept:
                kept.append(sample)
        for each in arrivals.dead_letters:
            known = self.dead_letters.get((each.topic, each.reason))
            if known is None or known.last <= each.last:
                self.dead_letters[each.topic, each.reason] = each
        if len(self.series) > 2 * MOST_SERIES:
            self._forget()

    def of(self, *begin: str) -> Iterator[tuple[SeriesKey, Series]]:
        """The series of which the key begins so, and what follows in it."""
        n = len(begin)
        return ((key[n:], series) for key, series in self.series.items() if key[:n] == begin)

    def _of(self, key: SeriesKey) -> Series:
        series = self.series.get(key)
        if series is None:
            series = self.series[key] = Series()
        return series

    def _forget(self) -> None:
        known = self._known()

        def rarity(each: tuple[SeriesKey, Series]) -> tuple[bool, int, int]:
            key, series = each
            name = key[2] if key[0] == "library" else key[1]
            return name not in known, -sum(series.hours.values()), -series.last

        rarest_last = sorted(self.series.items(), key=rarity)
        self.series = dict(rarest_last[:MOST_SERIES])
        names = {(key[1], key[2]) for key in self.series if key[0] == "library"}
        self.samples = {name: kept for name, kept in self.samples.items() if name in names}


def _counted(arrivals: Arrivals) -> Iterator[tuple[SeriesKey, int, int]]:
    for event in arrivals.events:
        yield ("event", event.name), event.count, event.last
        yield ("library", "events", event.name, event.library or ""), event.count, event.last
    for each in arrivals.exposures:
        said = each.variant or "", each.run or "", each.segment or ""
        yield ("exposure", each.flag, *said), each.count, each.last
        yield ("library", "exposures", each.flag, each.library or ""), each.count, each.last
    for dead_letter in arrivals.dead_letters:
        yield ("dead letter", dead_letter.topic, dead_letter.reason), dead_letter.count, dead_letter.last
    for rest in arrivals.more:
        yield ("more", rest.topic), rest.count, 0
        yield ("kinds", rest.topic), rest.kinds, 0
