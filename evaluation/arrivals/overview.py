"""Overview: what comes, beside what the catalog counts: who sends which names, and which events never came."""

from collections import Counter
from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec

from evaluation.arrivals.recent import MINUTES, Recent, Series, SeriesKey
from evaluation.catalog.configs import OTHERS
from evaluation.catalog.in_force import Catalog, MetricInForce
from evaluation.catalog.near import near
from evaluation.catalog.references import OFF
from schemas.dead_letter import REASONS
from schemas.duration import MINUTE_MS

MOST_SHOWN = 300  # names of each topic


class Sighting(msgspec.Struct, frozen=True, kw_only=True):
    """How many came. `minutes` of the last hour and `hours` of the last two days, the oldest first, the last not over.

    `rate` is messages a second since the last full minute began; `last` when the newest was appended (ms UTC).
    """

    rate: float
    hour: int
    minutes: list[int]
    hours: list[int]
    last: int


class CameOf(msgspec.Struct, frozen=True, kw_only=True):
    """How many of the last hour's messages say something; null: that they do not say it."""

    name: str | None
    hour: int
    last: int


class EventSeen(Sighting, frozen=True, kw_only=True):
    """Events of a name, the libraries that sent them, and the metrics that count them."""

    name: str
    libraries: list[CameOf]
    metrics: list[str]


class FlagSeen(Sighting, frozen=True, kw_only=True):
    """Exposures that name a flag, by what else they say. `runs` and `variants` as they were sent.

    `status` is the flag's; null: there is no such flag. `newest_run` is the run that it has now.
    """

    flag: str
    status: str | None
    newest_run: str | None
    has_metrics: bool
    variants: list[CameOf]
    runs: list[CameOf]
    libraries: list[CameOf]


class DeadLettersSeen(Sighting, frozen=True, kw_only=True):
    """What could not be used for a reason, and the last of it."""

    topic: str
    reason: str
    meaning: str
    detail: str
    origin: str
    value: str
    is_cut: bool


class MoreSeen(msgspec.Struct, frozen=True, kw_only=True):
    """What was not kept apart within the last hour, as too many names came: at most so many, and their messages."""

    topic: str
    kinds: int
    hour: int


class NeverCame(msgspec.Struct, frozen=True, kw_only=True):
    """An event that a metric counts and that did not come in the last days; names near to it that did."""

    metric: str
    event: str
    flags: list[str]  # that run with the metric
    near: list[str]


class ArrivalsOverview(msgspec.Struct, frozen=True, kw_only=True):
    """What came, at `time` (ms UTC): names with the most messages first. `hidden` names are not in the lists."""

    time: int
    events: list[EventSeen]
    flags: list[FlagSeen]
    dead_letters: list[DeadLettersSeen]
    more: list[MoreSeen]
    never_came: list[NeverCame]
    hidden: int


class SegmentArriving(msgspec.Struct, frozen=True, kw_only=True):
    """Exposures that say a segment, and the share that each variant has of them."""

    exposures: int
    shares: dict[str, float]


class FlagArriving(msgspec.Struct, frozen=True, kw_only=True):
    """Exposures of a flag within the last hour: the share that each variant really has of those of the newest run.

    `exposures` are those that name the newest run or none, and a variant other than `off`. `segments` are those that
    the flag has now, in their order, and all other units at last; `unsaid` is how many exposures say no segment.
    """

    time: int
    exposures: int
    shares: dict[str, float]
    segments: dict[str, SegmentArriving]
    unsaid: int
    seen: FlagSeen | None


def arriving(recent: Recent, catalog: Catalog, now: int) -> ArrivalsOverview:
    """What came until now (ms UTC), by the catalog in force."""
    grouped = _Grouped(recent, now)
    used = events_used(catalog.metrics.values())
    for flag in catalog.flags.values():
        step = flag.definition.exposure_event
        if step is not None:
            used.setdefault(step.event, [])
    events = [
        EventSeen(
            **_came(series, now), name=name, libraries=grouped.libraries("events", name), metrics=used.get(name, [])
        )
        for (name,), series in recent.of("event")
    ]
    flags = [seen for key in grouped.flags if (seen := grouped.flag(key, catalog))]
    dead_letters = [
        DeadLettersSeen(
            **_came(series, now),
            topic=topic,
            reason=reason,
            meaning=REASONS.get(reason, ""),  # type: ignore[call-overload]
            **{name: getattr(newest, name) for name in ("detail", "origin", "value", "is_cut")},
        )
        for (topic, reason), series in recent.of("dead letter")
        if (newest := recent.dead_letters.get((topic, reason)))
    ]
    more = [
        MoreSeen(topic=topic, kinds=_hour(recent.series["kinds", topic], now), hour=hour)
        for (topic,), series in recent.of("more")
        if (hour := _hour(series, now))
    ]
    events, flags = _most(events), _most(flags)
    return ArrivalsOverview(
        time=now,
        events=events[:MOST_SHOWN],
        flags=flags[:MOST_SHOWN],
        dead_letters=sorted((each for each in dead_letters if any(each.hours)), key=lambda each: -each.last),
        more=more,
        never_came=never_came(catalog, events_here(recent, now)),
        hidden=max(0, len(events) - MOST_SHOWN) + max(0, len(flags) - MOST_SHOWN),
    )


def flag_arriving(recent: Recent, catalog: Catalog, key: str, now: int) -> FlagArriving:
    """What of a flag came within the last hour."""
    grouped = _Grouped(recent, now)
    seen = grouped.flag(key, catalog)
    newest = seen.newest_run if seen else None
    counts, unsaid = Counter[str](), 0
    flag = catalog.flags.get(key)
    names = [*(each.name for each in flag.definition.segments), OTHERS] if flag else []
    by_segment = {name: Counter[str]() for name in names}
    for (variant, run, segment), series in recent.of("exposure", key):
        if variant not in {"", OFF} and run in {"", newest}:
            number = _hour(series, now)
            counts[variant] += number
            if segment in by_segment:
                by_segment[segment][variant] += number
            unsaid += 0 if segment else number
    return FlagArriving(
        time=now,
        exposures=counts.total(),
        shares=_shares(counts),
        segments={
            name: SegmentArriving(exposures=each.total(), shares=_shares(each)) for name, each in by_segment.items()
        },
        unsaid=unsaid,
        seen=seen,
    )


def _shares(counts: Counter[str]) -> dict[str, float]:
    number = counts.total()
    return {variant: count / number for variant, count in sorted(counts.items()) if number}


def events_used(metrics: Iterable[MetricInForce]) -> dict[str, list[str]]:
    """The metrics that count each event."""
    used: dict[str, list[str]] = {}
    for metric in metrics:
        for event in dict.fromkeys(fact.event for fact in metric.facts):
            used.setdefault(event, []).append(metric.definition.key)
    return used


def events_here(recent: Recent, now: int) -> set[str]:
    """The names of events that came in the last days."""
    return {name for (name,), series in recent.of("event") if any(series.by_hour(now))}


def never_came(catalog: Catalog, here: Iterable[str]) -> list[NeverCame]:
    """The events that metrics count and that are not `here`; first those of flags that run."""
    names = set(here)
    running: dict[str, list[str]] = {}
    for key, flag in catalog.flags.items():
        for goal in flag.definition.metrics if flag.status == "running" else ():
            running.setdefault(goal.metric, []).append(key)
    found = [
        NeverCame(metric=metric, event=event, flags=running.get(metric, []), near=near(event, names))
        for event, metrics in events_used(catalog.metrics.values()).items()
        if event not in names
        for metric in metrics
    ]
    return sorted(found, key=lambda each: (not each.flags, each.metric, each.event))


class _Grouped:
    """Series by the name that they belong to."""

    def __init__(self, recent: Recent, now: int) -> None:
        self._now = now
        self.flags: dict[str, list[tuple[SeriesKey, Series]]] = {}
        for (flag, *rest), series in recent.of("exposure"):
            self.flags.setdefault(flag, []).append((tuple(rest), series))
        self._libraries: dict[tuple[str, str], list[tuple[str, Series]]] = {}
        for (topic, name, library), series in recent.of("library"):
            self._libraries.setdefault((topic, name), []).append((library, series))

    def libraries(self, topic: str, name: str) -> list[CameOf]:
        """Who sent the messages of a name."""
        return self._said(self._libraries.get((topic, name), []))

    def flag(self, key: str, catalog: Catalog) -> FlagSeen | None:
        """What came of a flag, if anything did."""
        said = self.flags.get(key)
        if said is None:
            return None
        whole = Series()
        for _, series in said:
            for minute, number in series.minutes.items():
                whole.minutes[minute] = whole.minutes.get(minute, 0) + number
            for hour, number in series.hours.items():
                whole.hours[hour] = whole.hours.get(hour, 0) + number
            whole.last = max(whole.last, series.last)
        flag = catalog.flags.get(key)
        return FlagSeen(
            **_came(whole, self._now),
            flag=key,
            status=(flag.removed or flag.status) if flag else None,
            newest_run=flag.runs[-1].key if flag and flag.runs else None,
            has_metrics=bool(flag and flag.definition.metrics),
            variants=self._said((variant, series) for (variant, *_), series in said),
            runs=self._said((run, series) for (_, run, _), series in said),
            libraries=self.libraries("exposures", key),
        )

    def _said(self, series: Iterable[tuple[str, Series]]) -> list[CameOf]:
        hours: dict[str, int] = {}
        last: dict[str, int] = {}
        for name, each in series:
            hours[name] = hours.get(name, 0) + _hour(each, self._now)
            last[name] = max(last.get(name, 0), each.last)
        found = [CameOf(name=name or None, hour=number, last=last[name]) for name, number in hours.items()]
        return sorted(found, key=lambda each: (-each.hour, -each.last))


def _came(series: Series, now: int) -> dict[str, Any]:
    minutes = series.by_minute(now)
    since = MINUTE_MS + now % MINUTE_MS
    return {
        "rate": round((minutes[-1] + minutes[-2]) * 1_000 / since, 3),
        "hour": sum(minutes),
        "minutes": minutes,
        "hours": series.by_hour(now),
        "last": series.last,
    }


def _hour(series: Series, now: int) -> int:
    oldest = now - now % MINUTE_MS - MINUTE_MS * (MINUTES - 1)
    return sum(number for minute, number in series.minutes.items() if minute >= oldest)


_Seen = TypeVar("_Seen", bound=Sighting)


def _most(seen: list[_Seen]) -> list[_Seen]:
    return sorted((each for each in seen if any(each.hours)), key=lambda each: (-each.hour, -each.last))
