"""Standing: how far each source is read, by what the workers of the assignment stage say of themselves."""

from typing import Literal

import msgspec

from evaluation.catalog.history import History
from evaluation.catalog.reading import counted_as
from pipeline.doctor.sight import Sight
from pipeline.settings import Settings
from schemas.topics import MARK

State = Literal["read", "paused", "waiting", "unknown"]


class SourceStanding(msgspec.Struct, frozen=True, kw_only=True):
    """One source. `lag` is how many records of its topic are not read yet; null where nobody works who would say it.

    `taken`, `excluded` (by `where`, or without a value) and `dead` are counted since the workers started that work now.
    `why` says why it is not read.
    """

    key: str
    topic: str
    makes: Literal["event", "exposure"] = msgspec.field(name="as")
    state: State
    why: str | None
    lag: int | None
    taken: int | None
    excluded: int | None
    dead: int | None


def standings(settings: Settings, history: History) -> list[SourceStanding]:
    """Every source of the catalog, by key. Raises PeekproofError where Kafka does not answer."""
    sources = history.newest.sources
    if not sources:
        return []
    living = Sight(settings).heard().living("assignment")
    counts: dict[str, int] = {}
    for word in living:
        for what, number in word.health.counts.items():
            counts[what] = counts.get(what, 0) + number
    lags = {
        (each.topic, each.partition): each.lag
        for word in sorted(living, key=lambda word: word.time)
        for each in word.health.partitions
    }
    waiting = {topic: why for word in living for topic, why in word.health.waiting.items()}
    found = []
    for key, source in sorted(sources.items()):
        topic = MARK + source.definition.topic
        own = [lag for (name, _), lag in lags.items() if name == topic]
        state: State = "read" if own else "unknown"
        if source.definition.paused:
            state = "paused"
        elif topic in waiting:
            state = "waiting"

        def counted(*what: str, key: str = key) -> int | None:
            return sum(counts.get(counted_as(key, each), 0) for each in what) if living else None

        found.append(
            SourceStanding(
                key=key,
                topic=source.definition.topic,
                makes=source.definition.makes,
                state=state,
                why=waiting.get(topic) if state == "waiting" else None if living else "no worker of assignment works",
                lag=sum(own) if own else None,
                taken=counted("taken"),
                excluded=counted("excluded", "tombstones"),
                dead=counted("dead letters"),
            )
        )
    return found
