"""Checkpoints: whether every units partition has one that is whole, of this version and of our log, and its age."""

import time
from collections.abc import Iterator

from pipeline.doctor.finding import Finding, ago, command_in, several, size
from pipeline.doctor.sight import Sight
from pipeline.doctor.standing import Standing
from pipeline.errors import PeekproofError
from schemas.topics import UNITS

AREA = "checkpoints"
REBUILD = "peekproof recover rebuild"
LATE_SECONDS = 60.0


def check(sight: Sight) -> Iterator[Finding]:
    """As a worker of aggregation meets them."""
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
        f"units/{number} was folded with a horizon of {each.heading.horizon} ms, the setting says "
        f"{sight.settings.horizon} ms: set PEEKPROOF_HORIZON to the one that the installation began with"
        for number, each in standings.items()
        if each.heading and not each.refusal and each.heading.horizon != sight.settings.horizon
    ]
    if horizons:
        yield Finding(AREA, "wrong", several(horizons, "partitions"))
    aside = [file.path for each in standings.values() for file in each.kept if file.is_aside]
    if aside:
        yield Finding(
            AREA, "warning", f"set aside as damaged: {several(aside, 'files')}; delete what nobody looks into"
        )
    kept = [each.newest for each in standings.values() if each.newest]
    if not kept:
        yield Finding(AREA, "ok", f"there are none yet in {location}")
        return
    bytes_ = sum(file.size for each in standings.values() for file in each.kept)
    told = f"{len(kept)} of {len(standings)} partitions have one, {size(bytes_)} in {location}"
    unread = sum(1 for each in standings.values() if each.newest and not each.read and not each.refusal)
    if unread:
        told += f"; {unread} are too large to be read for a look"
    yield Finding(AREA, "ok", told)
    yield from _late(sight, standings)


def _late(sight: Sight, standings: dict[int, Standing]) -> Iterator[Finding]:
    """Partitions of which nothing was kept for long, though there was news."""
    try:
        logs, extents, living = sight.logs(), sight.extents(), sight.heard().living("aggregation")
    except PeekproofError:
        return  # told where it is looked at
    if not living:
        return
    longest = max(LATE_SECONDS, 6 * sight.settings.checkpoint_interval / 1_000)
    late = []
    for number, each in standings.items():
        end = extents.get((UNITS, number), (0, 0))[1] + (logs.base(UNITS, number) if logs else 0)
        if each.newest and end > each.newest.offset and (age := time.time() - each.newest.written) > longest:
            late.append(f"units/{number} has kept nothing for {ago(age)}, though records came; see its worker's log")
    if late:
        yield Finding(AREA, "warning", several(late, "partitions"))
