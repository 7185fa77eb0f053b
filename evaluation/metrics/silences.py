"""Silences: how long it is that exposures of a run, or events of a fact, came last, and what was to be expected.

A fold over what assignment tells of append times (see schemas.units.Came), which is a set of minutes for each kind of
record: what is told twice, or in another order, changes nothing.

Theory of operation. Minutes in which something came are kept, of the eight days before the last one. From them the
summary of a silence is made, in whole minutes in which something was to be expected to begin again:

1. Of a time in which m minutes were silent, and after some of them something began again s times, the share of silent
   minutes that end a silence is about (s + 1) / (m + 1), at most 1. That is so whether much comes, or little, or in
   bursts: what one unit sends for five minutes ends one silence. `hourly` is that of the last hour in which something
   came, for sixty minutes.
2. Of each of the seven days before, as far as they are known, the same is asked of the time of day that is silent now,
   for as long a time as the silence has lasted, of a day at most. Once a week is known, `daily` is that of the same
   weekday, or the most of the last three days if that is less: it may be that less has come since. Before, it is the
   least of the days.
"""

from collections.abc import Iterable

import msgspec

from evaluation.catalog.near import near
from schemas.aggregate import Silence
from schemas.duration import MINUTE_MS
from schemas.units import Came, CameKind

HOUR, DAY = 60, 24 * 60  # minutes
KEPT = 8 * DAY  # minutes before the last one
DAYS, RECENT = 7, 3
SHORTEST = 10  # minutes: a shorter silence is told by nobody
EVER = 1  # ms UTC: before all that came
MOST_NAMES = 300  # of events; of more those that came longest ago are forgotten


class Minutes(msgspec.Struct):
    """In which minutes (since 1970) one kind of record came: the first, the last, and those kept as bits by hour."""

    first: int
    last: int
    hours: dict[int, int]

    def add(self, minute: int) -> None:
        """Something came in that minute."""
        self.first = min(self.first, minute)
        if minute > self.last:
            self.last = minute
            for hour in [hour for hour in self.hours if hour < (minute - KEPT) // HOUR]:
                del self.hours[hour]
        if minute >= self.last - KEPT:
            hour, place = divmod(minute, HOUR)
            self.hours[hour] = self.hours.get(hour, 0) | 1 << place

    def of(self, begin: int, end: int) -> int:
        """The minutes of [begin, end) as bits, the first one lowest."""
        bits, hour = 0, begin // HOUR
        for number in range(hour, -(-end // HOUR)):
            bits |= self.hours.get(number, 0) << HOUR * (number - hour)
        return bits >> begin - HOUR * hour & (1 << end - begin) - 1


def expected(bits: int, minutes: int, of: int) -> int:
    """How often something is to be expected to begin again within `of` minutes, by what came in so many: rule 1."""
    came = bits.bit_count()
    begun = (bits & ~(bits << 1)).bit_count()
    return min(of, of * (begun + 1) // (minutes - came + 1))


class SilencesState(msgspec.Struct, frozen=True):
    """What a checkpoint says of silences."""

    since: int = 0
    minutes: list[tuple[CameKind, str, int, int, dict[int, int]]] = []
    names: list[tuple[str, int]] = []


class Silences:
    """What came when. `since` is the append time (ms UTC) from which on that is known, `EVER` where of all that came.

    0: it is not told here.
    """

    def __init__(self) -> None:
        self.since = 0
        self._minutes: dict[tuple[CameKind, str], Minutes] = {}
        self._names: dict[str, int] = {}  # of events, and the last minute of each
        self._near: dict[str, list[str]] = {}

    def take(self, came: Iterable[Came], since: int) -> None:
        """What a message tells, and from when on it is known if this is the first one to tell it; 0: not known yet."""
        self.since = self.since or since
        for each in came:
            for minute in each.minutes:
                if each.what == "name":
                    self._name(each.key, minute)
                elif known := self._minutes.get((each.what, each.key)):
                    known.add(minute)
                else:
                    self._minutes[each.what, each.key] = Minutes(minute, minute, {minute // HOUR: 1 << minute % HOUR})

    def _name(self, name: str, minute: int) -> None:
        if name not in self._names:
            self._near.clear()
        self._names[name] = max(minute, self._names.get(name, 0))
        if len(self._names) > MOST_NAMES:
            del self._names[min(self._names, key=lambda each: (self._names[each], each))]

    def forget(self, what: CameKind, key: str) -> None:
        """Nobody asks any more."""
        self._minutes.pop((what, key), None)

    def of(self, what: CameKind, key: str, event: str | None, watermark: int) -> Silence | None:
        """How long it is that such records came last, if that is long; `event` is what they are called."""
        if not self.since:
            return None
        known, now = self._minutes.get((what, key)), watermark // MINUTE_MS
        if known is None:
            return Silence(key if what == "fact" else "", is_named=event in self._names, near=self._like(event))
        silent = now - known.last
        if silent < SHORTEST:
            return None
        begin = max(known.first, known.last - HOUR + 1)
        hour = known.of(begin, known.last + 1)
        length = min(silent, DAY)
        days = [
            expected(known.of(start, start + length), length, length)
            for start in (known.last + 1 - DAY * back for back in range(1, DAYS + 1))
            if start >= max(known.first, self.since // MINUTE_MS + 1)
        ]
        return Silence(
            key if what == "fact" else "",
            last=known.last * MINUTE_MS,
            hourly=min(hour.bit_count(), expected(hour, known.last + 1 - begin, HOUR)),
            daily=min(days[-1], max(days[:RECENT])) if len(days) == DAYS else min(days, default=0),
            days=len(days),
            is_named=event in self._names,
            near=self._like(event),
        )

    def _like(self, event: str | None) -> list[str]:
        if event is None:
            return []
        if event not in self._near:
            self._near[event] = near(event, self._names)
        return self._near[event]

    def state(self) -> SilencesState:
        """What a checkpoint says of it."""
        minutes = [(*name, each.first, each.last, each.hours) for name, each in self._minutes.items()]
        return SilencesState(self.since, minutes, [*self._names.items()])

    def set(self, state: SilencesState) -> None:
        """Begin with what `state()` gave."""
        self.since = state.since
        self._names = dict(state.names)
        for what, key, first, last, hours in state.minutes:
            self._minutes[what, key] = Minutes(first, last, dict(hours))
