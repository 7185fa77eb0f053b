"""Checkpoints: whether every partition of units, and of identities, has one that is whole, of this version and of our
log, and its age."""

import time
from collections.abc import Iterator

from pipeline.doctor.finding import Finding, ago, command_in, several, size
from pipeline.doctor.sight import Sight
from pipeline.doctor.standing import Standing
from pipeline.errors import PeekproofError
from pipeline.kafka.logs import FOLDS
from schemas.topics import IDENTITIES, UNITS, SourcePartition

AREA = "checkpoints"
REBUILD = "peekproof recover rebuild"
LATE_SECONDS = 60.0


def check(sight: Sight) -> Iterator[Finding]:
    """As workers of aggregation and identity meet them."""
    standings, location = sight.standings(), sight.settings.checkpoint_location
    for each in standings.values():
        for damaged in each.damaged:
            stands_in = (
                f"the one that reaches offset {each.newest.offset} stands in" if each.newest else "none stands in"
            )
            yield Finding(
                AREA, "warning" if each.newest else "wrong", f"{damaged}; {stands_in}", None if each.newest else REBUILD
            )
    refusals = [each.refusal for each in standings.values() if each.refusal]
    if refusals:
        yield Finding(AREA, "wrong", several(refusals, "partitions"), command_in(refusals[0]))
    horizons = [
        f"{topic}/{number} was folded with a horizon of {each.heading.horizon} ms, the setting says "
        f"{sight.settings.horizon} ms: set PEEKPROOF_HORIZON to the one that the installation began with"
        for (topic, number), each in standings.items()
        if each.heading and not each.refusal and each.heading.horizon != sight.settings.horizon
    ]
    if horizons:
        yield Finding(AREA, "wrong", several(horizons, "partitions"))
    aside = [file.path for each in standings.values() for file in each.kept if file.is_aside]
    if aside:
        yield Finding(
            AREA, "warning", f"set aside as damaged: {several(aside, 'files')}; delete what nobody looks into"
        )
    if not any(each.newest for each in standings.values()):
        yield Finding(AREA, "ok", f"there are none yet in {location}")
        return
    bytes_ = sum(file.size for each in standings.values() for file in each.kept)
    told = f"{_having(standings)} have one, {size(bytes_)} in {location}"
    unread = sum(1 for each in standings.values() if each.newest and not each.read and not each.refusal)
    if unread:
        told += f"; {unread} are too large to be read for a look"
    yield Finding(AREA, "ok", told)
    yield from _late(sight, standings)


def _having(standings: dict[SourcePartition, Standing]) -> str:
    """How many partitions have one; of identities only where some have."""
    told = []
    for topic in (UNITS, IDENTITIES):
        its = [each for (name, _), each in standings.items() if name == topic]
        kept = sum(1 for each in its if each.newest)
        if kept or topic == UNITS:
            told.append(f"{kept} of {len(its)} partitions of {topic}")
    return " and ".join(told)


def _late(sight: Sight, standings: dict[SourcePartition, Standing]) -> Iterator[Finding]:
    """Partitions of which nothing was kept for long, though there was news."""
    try:
        logs, extents, heard = sight.logs(), sight.extents(), sight.heard()
    except PeekproofError:
        return  # told where it is looked at
    longest = max(LATE_SECONDS, 6 * sight.settings.checkpoint_interval / 1_000)
    late = []
    for (topic, number), each in standings.items():
        if each.newest is None or not heard.living(FOLDS[topic]):
            continue
        end = extents.get((topic, number), (0, 0))[1] + (logs.base(topic, number) if logs else 0)
        if end > each.newest.offset and (age := time.time() - each.newest.written) > longest:
            late.append(f"{topic}/{number} has kept nothing for {ago(age)}, though records came; see its worker's log")
    if late:
        yield Finding(AREA, "warning", several(late, "partitions"))
