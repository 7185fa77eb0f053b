"""Trying: what a source would make of the newest records of its topic. Nothing is counted, and nothing remembers it."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec

from evaluation.assignment.foreign import named_by
from evaluation.assignment.trying import Tried, absences, tried
from evaluation.catalog.in_force import Catalog
from evaluation.catalog.rules import did_you_mean
from pipeline.catalog.fitting import times_fault
from pipeline.errors import PeekproofError
from pipeline.kafka.sample import newest
from pipeline.registry.kept import KeptSchemas
from pipeline.settings import Settings
from schemas.records import Records
from schemas.source import ForeignSource
from schemas.topics import MARK

RECORDS, MOST_RECORDS = 20, 200
LONGEST_SHOWN = 4_000  # characters of what came

Outcome = Literal["made", "late", "left out", "dead"]


class TriedRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One message that a record holds, or the whole record: what came, as text, and what was made of it, as of ours.

    `place` is partition/offset, and /index in a record of many; `time` in ms UTC. `detail` says why something is left
    out, or why it is `dead`: it would be a dead letter, for that `reason`.
    """

    place: str
    time: int
    came: str | None
    key: str | None
    outcome: Outcome
    made: Any = None
    reason: str | None = None
    detail: str | None = None


class TriedSource(msgspec.Struct, frozen=True, kw_only=True):
    """What a source makes of the newest records of its topic, the newest first; `counts` by outcome.

    `has_own_times`: the topic's records carry their producers' times, for which the source needs a `delay`.
    """

    topic: str
    makes: Literal["event", "exposure"]
    records: list[TriedRecord]
    counts: dict[str, int]
    has_own_times: bool
    notes: list[str]


async def try_source(
    settings: Settings, source: ForeignSource, catalog: Catalog | None, number: int = RECORDS
) -> TriedSource:
    """Read the newest records, and say what the source, and the catalog's flags if there are, would make of them.

    Raises PeekproofError where there is no such topic, or we may not read it, or nobody tells us its schemas.
    """
    topic = MARK + source.topic
    slices = await newest(settings, topic, number)
    return await asyncio.to_thread(_tried, slices, settings, source, catalog, number)


def _tried(
    slices: list[Records], settings: Settings, source: ForeignSource, catalog: Catalog | None, number: int
) -> TriedSource:
    kept, horizon, tolerance = KeptSchemas(settings), settings.horizon, settings.tolerance
    found = [
        (records, each)
        for records in slices
        for each in tried(records, source, horizon, tolerance, kept.of(named_by(records, [source])), catalog)
    ]
    found = sorted(found, key=_newest_first)[:number]
    shown = [_record(records, each) for records, each in found]
    has_own_times = any(records.has_own_times for records in slices)
    counts = Counter(each.outcome for each in shown)
    return TriedSource(
        topic=source.topic,
        makes=source.makes,
        records=shown,
        counts={outcome: counts[outcome] for outcome in get_args(Outcome)},
        has_own_times=has_own_times,
        notes=[
            *_notes(source, catalog, has_own_times, is_empty=not slices),
            *absences(source, [each for _, each in found]),
        ],
    )


def _newest_first(found: tuple[Records, Tried]) -> tuple[int, int, int]:
    """What came at the same time stands by partitions; what one record holds stays in its order."""
    records, each = found
    return -int(records.append_time[each.row]), records.partition, -int(records.offset[each.row])


def _notes(source: ForeignSource, catalog: Catalog | None, has_own_times: bool, is_empty: bool) -> Iterator[str]:
    if catalog is None and source.makes == "exposure":
        yield "what flags say of these exposures is not known: `peekproof topics`, then `peekproof apply`"
    if is_empty:
        yield f"topic '{source.topic}' holds no record that could be tried; send one, and try again"
    elif fault := times_fault(source, has_own_times):
        yield f"delay: {fault}"


def _record(records: Records, each: Tried) -> TriedRecord:
    if each.message is not None:
        outcome: Outcome = "late" if each.is_late else "made"
    elif each.reason is not None:
        outcome = "dead"
    else:
        outcome = "left out"
    place = f"{records.partition}/{records.offset[each.row]}"
    return TriedRecord(
        place=place if each.index is None else f"{place}/{each.index}",
        time=int(records.append_time[each.row]),
        came=_text(each.value),
        key=_text(records.keys.value(each.row)) if records.keys else None,
        outcome=outcome,
        made=each.message,
        reason=each.reason,
        detail=each.detail,
    )


def _text(value: bytes | None) -> str | None:
    return None if value is None else value[:LONGEST_SHOWN].decode("utf-8", "backslashreplace")


def is_file(path: Path) -> bool:
    """Whether a file of a source is meant, and no key."""
    return path.suffix in {".yaml", ".yml"} or path.is_file()


def source_named(key: str, catalog: Catalog) -> ForeignSource:
    """The source of that key. Raises PeekproofError where there is none."""
    if key in catalog.sources:
        return catalog.sources[key].definition
    raise PeekproofError(f"there is no source '{key}'; {did_you_mean(key, catalog.sources)}")
