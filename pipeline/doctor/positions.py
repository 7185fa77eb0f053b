"""Positions: where each stage would go on, were it started now, and what its start would refuse."""

from collections.abc import Callable
from typing import NamedTuple

from pipeline.doctor.sight import Sight
from pipeline.kafka.logs import LogError, LogPlace, is_committed_here, require_belonging, require_held, require_known
from pipeline.stages import stage_class
from pipeline.storage.archived import ArchiveGapError
from schemas.topics import HEALTH, SourcePartition


class Start(NamedTuple):
    """What a start of a stage would meet: records that wait for it, and its refusals, the like ones together."""

    waiting: int
    refusals: dict[str, list[str]]
    unread: list[str]  # partitions without an offset of the group, whose log has lost its beginning


def start(sight: Sight, stage: str) -> Start:
    """As `Worker.start_position` decides."""
    logs, settings = sight.logs(), sight.settings
    try:
        known = _known(sight, stage)
    except LogError as error:
        return Start(0, {stage: [str(error)]}, [])
    met = Start(0, {}, [])
    for source, (begin, end) in sorted(sight.extents().items()):
        topic, partition = source
        if topic not in stage_class(stage).topics:
            continue
        base = logs.base(topic, partition) if logs else 0
        try:
            position = known(source, begin + base)
            if position is None:
                kept, said = sight.committed().get(source, (None, ""))
                is_ours = is_committed_here(settings, logs, sight.found(), topic, said)
                if kept is None and begin > 0:
                    met.unread.append(f"{settings.topic(topic)}/{partition}")
                position = begin + base if kept is None or not is_ours else kept + base
            if logs and (gap := logs.gap_at(stage, topic, partition, position)):
                position = gap.end
            require_held(settings, stage, LogPlace(topic, partition, position, begin + base, end + base))
        except LogError as error:
            met.refusals.setdefault(topic, []).append(str(error))
            continue
        met = met._replace(waiting=met.waiting + end + base - position)
    return met


def _known(sight: Sight, stage: str) -> Callable[[SourcePartition, int], int | None]:
    """As the stage's own `start_position`, by what is read here."""
    match stage:
        case "assignment":
            sight.committed()
            return lambda _, __: None
        case "aggregation" | "identity":
            standings = sight.standings()

            def checkpointed(source: SourcePartition, _: int) -> int:
                standing = standings.get(source)
                if standing is None or standing.newest is None:
                    return 0
                if standing.read:
                    require_known(sight.settings, sight.logs(), sight.found(), standing.read, source[0])
                return standing.newest.offset

            return checkpointed
        case "storage":
            stored = sight.stored()
            require_belonging(sight.settings, sight.settings.data / "store", sight.logs(), sight.found())

            def flushed(source: SourcePartition, earliest: int) -> int:
                known = stored.get(source, earliest)
                return max(known, earliest) if source[0] == HEALTH else known

            return flushed
        case "archive":
            archived = sight.archived()
            require_belonging(sight.settings, sight.settings.data / "archive", sight.logs(), sight.found())

            def filed(source: SourcePartition, earliest: int) -> int:
                files = archived.get(source)
                if isinstance(files, ArchiveGapError):
                    raise files
                return files[-1].end if files else earliest

            return filed
        case _:
            return lambda _, earliest: earliest
