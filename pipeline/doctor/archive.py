"""Archive: whether the files of each log follow one another, where they begin, and how far behind the log they are."""

from collections.abc import Iterator

from pipeline.doctor.finding import Finding, ago, several
from pipeline.doctor.sight import Sight
from pipeline.errors import PeekproofError
from pipeline.quantities import quantity
from pipeline.storage.archived import ArchiveFile, ArchiveGapError
from schemas.topics import SourcePartition

AREA = "archive"
LATE_MS = 60_000  # beyond some intervals


def check(sight: Sight) -> Iterator[Finding]:
    """The files, then what the log says of them."""
    directory = sight.settings.data / "archive"
    if not directory.is_dir():
        yield Finding(AREA, "ok", f"there is none in {directory}; the stage `archive` makes it where it runs")
        return
    ends: dict[SourcePartition, ArchiveFile] = {}
    broken, begun = [], []
    files = 0
    for (topic, number), links in sight.archived().items():
        if isinstance(links, ArchiveGapError):
            broken.append(str(links))
        elif links:
            files += len(links)
            ends[topic, number] = links[-1]
            if links[0].begin > 0:
                begun.append(f"{topic}/{number} begins at offset {links[0].begin}: what was before is not archived")
    if broken:
        yield Finding(AREA, "wrong", several(broken, "partitions"), "peekproof restore")
    if begun:
        yield Finding(AREA, "warning", several(begun, "partitions"))
    if not broken:
        yield Finding(
            AREA,
            "ok",
            f"{quantity(files, 'file')} of {quantity(len(ends), 'partition')} follow one another in {directory}",
        )
    yield from _behind(sight, ends)


def _behind(sight: Sight, ends: dict[SourcePartition, ArchiveFile]) -> Iterator[Finding]:
    try:
        logs, extents, now = sight.logs(), sight.extents(), sight.heard().now
    except PeekproofError:
        return  # told where it is looked at
    late, records = [], 0
    for source, last in ends.items():
        topic, number = source
        end = extents.get(source, (0, 0))[1] + (logs.base(topic, number) if logs else 0)
        behind = now - last.interval - 4 * sight.settings.archive_interval
        if end > last.end:
            records += end - last.end
            if behind > LATE_MS:
                waits = quantity(end - last.end, "record waits", "records wait")
                late.append(f"{topic}/{number} is archived up to {ago(behind / 1_000)} ago, {waits}")
    if late:
        yield Finding(AREA, "warning", several(late, "partitions"), sight.starts("archive"))
    elif records:
        are = quantity(records, "record of the logs is", "records of the logs are")
        yield Finding(AREA, "ok", f"{are} not archived yet")
