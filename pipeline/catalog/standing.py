"""Standing: how far each source is read, by what the workers of the assignment stage say of themselves."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from evaluation.catalog.in_force import Catalog
from evaluation.catalog.reading import counted_as
from schemas.health import WorkerHealth
from schemas.topics import MARK

NOBODY = "no worker of assignment works"
UNTOLD = "no worker of assignment that was heard says yet that it reads it"
State = Literal["read", "paused", "waiting", "unknown"]


class SourceStanding(msgspec.Struct, frozen=True, kw_only=True):
    """One source. `lag` is how many records of its topic are not read yet; null where nobody works who would say it.

    `taken`, `excluded` (by `where`, or without a value) and `dead` are counted since the workers started that work now.
    `why` says why it is not read, or that the numbers lack those of workers that are not heard.
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


def standings(
    catalog: Catalog, said: Sequence[WorkerHealth], before: Sequence[WorkerHealth] = ()
) -> list[SourceStanding]:
    """Every source of the catalog, by key.

    Args:
        said: by the workers of the stage that are heard, the latest last.
        before: the last words of those that are not heard any more and did not say that they end.
    """
    lacks = NOBODY if not said else _lacks(catalog, said, before)
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
        why = lacks or (None if own else UNTOLD)
        if source.definition.paused:
            state, why = "paused", None
        elif topic in waiting:
            state, why = "waiting", waiting[topic]

        def counted(*what: str, key: str = key) -> int | None:
            return sum(counts.get(counted_as(key, each), 0) for each in what) if said else None

        found.append(
            SourceStanding(
                key=key,
                topic=source.definition.topic,
                makes=source.definition.makes,
                state=state,
                why=why,
                lag=sum(own) if own else None,
                taken=counted("taken"),
                excluded=counted("excluded", "tombstones"),
                dead=counted("dead letters"),
            )
        )
    return found


def _lacks(catalog: Catalog, said: Sequence[WorkerHealth], before: Sequence[WorkerHealth]) -> str | None:
    """Of how many workers word is missing: of one that is gone others soon read all that it read."""
    read = {MARK + each.definition.topic for each in catalog.sources.values() if not each.definition.paused}
    spoken = {(each.topic, each.partition) for health in said for each in health.partitions}
    missing = [
        health.worker
        for health in before
        if any(each.topic in read and (each.topic, each.partition) not in spoken for each in health.partitions)
    ]
    if not missing:
        return None
    of = f"{len(missing)} of {len(missing) + len(said)} workers of assignment"
    return f"{of} {'is' if len(missing) == 1 else 'are'} not heard lately: the numbers lack what was counted there"
