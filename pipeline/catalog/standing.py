"""Standing: how far each source is read, by what the workers of the assignment stage say of themselves."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from evaluation.catalog.in_force import Catalog
from evaluation.catalog.reading import counted_as
from schemas.health import WorkerHealth
from schemas.topics import MARK

NOBODY = "no worker of assignment works"
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


def standings(catalog: Catalog, said: Sequence[WorkerHealth]) -> list[SourceStanding]:
    """Every source of the catalog, by key; `said` by the workers of the stage that work now, the latest last."""
    counts: dict[str, int] = {}
    for health in said:
        for what, number in health.counts.items():
            counts[what] = counts.get(what, 0) + number
    lags = {(each.topic, each.partition): each.lag for health in said for each in health.partitions}
    waiting = {topic: why for health in said for topic, why in health.waiting.items()}
    found = []
    for key, source in sorted(catalog.sources.items()):
        topic = MARK + source.definition.topic
        own = [lag for (name, _), lag in lags.items() if name == topic]
        state: State = "read" if own else "unknown"
        if source.definition.paused:
            state = "paused"
        elif topic in waiting:
            state = "waiting"

        def counted(*what: str, key: str = key) -> int | None:
            return sum(counts.get(counted_as(key, each), 0) for each in what) if said else None

        found.append(
            SourceStanding(
                key=key,
                topic=source.definition.topic,
                makes=source.definition.makes,
                state=state,
                why=waiting.get(topic) if state == "waiting" else NOBODY if state == "unknown" and not said else None,
                lag=sum(own) if own else None,
                taken=counted("taken"),
                excluded=counted("excluded", "tombstones"),
                dead=counted("dead letters"),
            )
        )
    return found
