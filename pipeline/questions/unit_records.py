"""Unit records: what was recorded of one unit: its exposures and events, and what it contributes to each run."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa

from evaluation.assignment.columns import MessageColumns
from evaluation.assignment.looking import messages_of, topics_of
from evaluation.assignment.routing import partition_of
from evaluation.catalog.in_force import RunInForce
from evaluation.catalog.logs import LogsInForce
from evaluation.catalog.sources import ReadSource
from evaluation.columns.hashing import text_hashes, unit_hashes
from evaluation.columns.scanning import MISSING, Type, Wanted
from evaluation.flags.paths import Path as FieldPath
from evaluation.flags.paths import unit_path
from evaluation.flags.values import read_json
from evaluation.metrics.unit_numbers import UnitNumbers
from pipeline.questions.identity_log import FirstJoin, IdentityLog, LooseRow
from pipeline.questions.reading import TimeBound, said, told_expired
from pipeline.questions.unit_log import UnitLog, of_runs
from pipeline.registry.kept import KeptSchemas, schemas_of
from pipeline.storage.archived import ArchiveGapError, backwards, partitions, slices
from schemas.duration import HOUR_MS
from schemas.pair import Pair
from schemas.records import Records
from schemas.topics import EVENTS, EXPOSURES, UNITS

MOST_RECORDS = 500
MOST_SHOWN = 4_000  # bytes of a message that are shown whole
SHARE = 0.6  # of the time, for records
JOINS_SHARE = 0.2  # and for joins


class UnitRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An exposure or an event of the unit. `place` is topic/partition/offset, and /index in a record of many.

    `message` is what its producer sent; null: it is too large to be shown. `time` is the message's, ms UTC.
    """

    topic: str
    name: str | None  # the event's type, or the flag's key
    variant: str | None
    run: str | None
    time: int
    append_time: int
    place: str
    message: Any


class MetricContribution(msgspec.Struct, frozen=True, kw_only=True):
    """What a unit came to by a metric so far: one number, of a ratio two. Empty where it does not count.

    `steps` is how many steps of a funnel it has done.
    """

    metric: str
    numbers: list[float]
    steps: int | None


class RunContribution(msgspec.Struct, frozen=True, kw_only=True):
    """What a unit is to a run: since when, in which variant. A jumper met two variants, and counts nowhere.

    `unit` is its id, or its hash where no record says that any more. `is_reassigned`: it met another variant under
    another allocation, and stays in its first.
    """

    experiment: str
    run: str
    unit: str
    variant: str
    entry: int
    is_jumper: bool
    is_reassigned: bool
    metrics: list[MetricContribution]


class LooseEventFound(msgspec.Struct, frozen=True, kw_only=True):
    """An event that names the person and no unit, what became of it, and why, unless it counts. `time` in ms UTC."""

    name: str
    time: int
    fate: Literal["counts", "waiting", "unjoined", "late"]
    why: str | None = None


class PersonRecords(msgspec.Struct, frozen=True, kw_only=True):
    """Who is behind a unit, in experiments that say so: their loose events, the newest first.

    Of an `identity` that was asked for the unit is that of the first join, at `joined` (ms UTC): its id, or its hash
    where no record says it any more. Both are null where it was never joined. Of a unit that was asked for, `identity`
    and `joined` are null, and the events those that count for it, of whomever.
    """

    unit_type: str
    identity_type: str
    identity: str | None
    unit: str | None
    joined: int | None
    events: list[LooseEventFound]


class UnitRecords(msgspec.Struct, frozen=True, kw_only=True):
    """What the archive holds of a unit, the newest records first, up to `as_of` (ms UTC; 0: nothing is archived).

    `since` is the append time from which on records were read. `notes` say what was cut off. Contributions are those
    of units that are joined with an identity too that was asked for.
    """

    as_of: int
    since: int
    records: list[UnitRecord]
    contributions: list[RunContribution]
    people: list[PersonRecords]
    notes: list[str]


class CarriedUnit(msgspec.Struct, frozen=True):
    """A unit by the fields of messages that carry it (`user_id`, `device_id`, `groups.TYPE`), and by unit types."""

    ids: dict[FieldPath, str]
    units: dict[str, str]

    @property
    def hashes(self) -> dict[tuple[str, int], str]:
        """The units by type and hash."""
        return {(each, _hash_of(each, text)): text for each, text in self.units.items()}


def unit_records(  # noqa: PLR0917
    directory: Path,
    asked: CarriedUnit,
    runs: Sequence[RunInForce],
    logs: LogsInForce | None,
    units_partitions: int,
    since: int,
    seconds: float,
    sources: Sequence[ReadSource] = (),
    kept: KeptSchemas | None = None,
) -> UnitRecords:
    """What was recorded of a unit from a time on, and its contribution to these runs since their start.

    `sources` are those that read their topics beside ours, by the schemas that are `kept`.
    """
    notes: list[str] = []
    bound = TimeBound(seconds)
    joined = _Joining(directory, asked, units_partitions, sources, kept)
    people = joined.people(_in_order(run.pair for run in runs), TimeBound(JOINS_SHARE * seconds))
    if joined.cut_off:
        notes.append(f"reading took more than {JOINS_SHARE * seconds:g} s, and was cut off: there may be earlier joins")
    found = _records(directory, asked.ids, since, TimeBound(SHARE * seconds), sources, kept)
    reached = found.since
    if reached > since:
        notes.append(f"reading took more than {SHARE * seconds:g} s, and was cut off: records since {said(reached)}")
    if found.all > MOST_RECORDS:
        notes.append(f"of {found.all:,} records the newest {MOST_RECORDS} are shown")
    notes += told_expired(directory, (EXPOSURES, EVENTS, *topics_of(sources)), since)
    newest = max((each.append_time for each in found.records), default=-1)
    contributions: list[RunContribution] = []
    for (unit_type, unit), text in (asked.hashes | joined.units).items():
        own = [run for run in runs if run.definition.unit == unit_type]
        if not own:
            continue
        number = _home(unit, units_partitions)
        log = UnitLog(directory, number, of_runs(own, logs), min(run.started for run in own), unit)
        if number in partitions(directory, UNITS):
            log.fold(bound)
        if bound.is_over and not log.is_whole:
            notes.append(
                f"reading took more than {seconds:g} s, and was cut off: contributions by {unit_type} are those of "
                f"{said(log.reached)}"
            )
        elif log.reached <= newest:
            notes.append(
                f"contributions by {unit_type} are those of {said(log.reached)}: what came since is not in them yet"
            )
        contributions += [each for run in own if (each := _contribution(log, run, text)) is not None]
        if (unit_type, unit) in asked.hashes:
            people += [_of_unit(pair, text, log) for pair in _in_order(run.pair for run in own)]
    return UnitRecords(
        as_of=found.as_of,
        since=max(since, reached),
        records=found.records,
        contributions=contributions,
        people=people,
        notes=notes,
    )


class _Joining:
    """Finds the units that identities were joined with first. `units` are these, with what they are called."""

    def __init__(
        self,
        directory: Path,
        asked: CarriedUnit,
        units_partitions: int,
        sources: Sequence[ReadSource],
        kept: KeptSchemas | None,
    ) -> None:
        self._directory, self._asked, self._partitions = directory, asked, units_partitions
        self._sources, self._kept = sources, kept
        self.units: dict[tuple[str, int], str] = {}
        self.cut_off = False

    def people(self, pairs: Iterable[Pair], bound: TimeBound) -> list[PersonRecords]:
        """What became of the loose events of the identities that were asked for."""
        found = []
        for identity_type, its in groupby(pairs, lambda pair: pair.identity):
            text = self._asked.units.get(identity_type)
            if text is None:
                continue
            identity = _hash_of(identity_type, text)
            log = IdentityLog(self._directory, _home(identity, self._partitions), identity)
            log.fold(bound)
            self.cut_off |= not log.is_whole
            found += [self._person(pair, text, log) for pair in its]
        return found

    def _person(self, pair: Pair, text: str, log: IdentityLog) -> PersonRecords:
        first = log.joins.get(pair)
        unit = None
        if first:
            unit = self.units[pair.unit, first.unit] = self._text_of(pair.unit, first) or f"{first.unit:016x}"
        return PersonRecords(
            unit_type=pair.unit,
            identity_type=pair.identity,
            identity=text,
            unit=unit,
            joined=first.time if first else None,
            events=_newest(_fate(each, first, log) for each in log.loose(pair)),
        )

    def _text_of(self, unit_type: str, join: FirstJoin) -> str | None:
        """The unit's id as the record of the join says it."""
        path = unit_path(unit_type)
        fields = {path[:1]: Type.OBJECT, path: Type.FIRST} if len(path) > 1 else {path: Type.TEXT}
        wanted = dict.fromkeys((EXPOSURES, EVENTS), Wanted(fields | {("time",): Type.INTEGER}, None))
        (topic, number), at = join.source, join.offset
        with suppress(ArchiveGapError):
            for records in slices(self._directory, topic, number, begin=at, end=at + 1):
                schemas = schemas_of(records, self._sources, self._kept)
                for _, columns in messages_of(records, wanted, self._sources, schemas):
                    for i in np.flatnonzero(unit_hashes(unit_type, columns.texts[path]) == np.uint64(join.unit)):
                        return columns.texts[path][int(i)]
        return None


def _in_order(pairs: Iterable[Pair | None]) -> list[Pair]:
    """Each once, by identities."""
    return sorted({pair for pair in pairs if pair}, key=lambda pair: (pair.identity, pair.unit))


def _hash_of(unit_type: str, text: str) -> int:
    return int(unit_hashes(unit_type, pa.array([text], pa.large_string()))[0])


def _home(unit: int, units_partitions: int) -> int:
    return int(partition_of(np.array([unit], np.uint64), units_partitions)[0])


def _fate(event: LooseRow, first: FirstJoin | None, log: IdentityLog) -> LooseEventFound:
    """By the rule that the stage follows: see evaluation/identity/identities.py."""
    horizon = log.horizon / HOUR_MS
    if event.is_late:
        why = f"it was appended more than {horizon:g} h after its time"
        return LooseEventFound(name=event.name, time=event.time, fate="late", why=why)
    until = event.time + log.horizon
    if first and first.time <= until:
        return LooseEventFound(name=event.name, time=event.time, fate="counts")
    if log.clock - log.horizon <= until:
        why = f"a join of a time up to {said(until)} may still come"
        return LooseEventFound(name=event.name, time=event.time, fate="waiting", why=why)
    why = f"the first join came more than {horizon:g} h later" if first else "nothing joined them with a unit"
    return LooseEventFound(name=event.name, time=event.time, fate="unjoined", why=why)


def _of_unit(pair: Pair, text: str, log: UnitLog) -> PersonRecords:
    events = [LooseEventFound(name=e.name, time=e.time, fate="counts") for e in log.loose(pair)]
    return PersonRecords(
        unit_type=pair.unit, identity_type=pair.identity, identity=None, unit=text, joined=None, events=_newest(events)
    )


def _newest(events: Iterable[LooseEventFound]) -> list[LooseEventFound]:
    return sorted(events, key=lambda each: -each.time)[:MOST_RECORDS]


class _Found(NamedTuple):
    """The newest records of `all`, from which append time on all were read, and the newest that is archived."""

    records: list[UnitRecord]
    all: int
    since: int
    as_of: int


def _records(  # noqa: PLR0917
    directory: Path,
    ids: Mapping[FieldPath, str],
    since: int,
    bound: TimeBound,
    sources: Sequence[ReadSource],
    kept: KeptSchemas | None,
) -> _Found:
    wanted = {
        topic: Wanted(
            _FIELDS[topic]
            | dict.fromkeys([path[:1] for path in ids if len(path) > 1], Type.OBJECT)
            | {path: Type.FIRST if len(path) > 1 else Type.TEXT for path in ids},
            None,
        )
        for topic in (EXPOSURES, EVENTS)
    }
    hashes = {path: text_hashes(pa.array([text], pa.large_string()))[0] for path, text in ids.items()}
    found: list[UnitRecord] = []
    count = newest = 0
    for records in backwards(directory, (EXPOSURES, EVENTS, *topics_of(sources)), since):
        last = int(records.append_time.max())
        newest = max(newest, last)
        if bound.is_over:
            return _Found(found, count, last, newest)
        schemas = schemas_of(records, sources, kept)
        for _, columns in messages_of(records, wanted, sources, schemas):
            rows = [np.flatnonzero(text_hashes(columns.texts[path]) == its) for path, its in hashes.items()]
            its_own = np.unique(np.concatenate(rows)).tolist()
            count += len(its_own)
            found += [_record(records, columns, i) for i in its_own]
            found = sorted(found, key=lambda each: -each.time)[:MOST_RECORDS]  # a unit may have any number
    return _Found(found, count, since, newest)


_FIELDS: dict[str, dict[FieldPath, Type]] = {
    EVENTS: {("event_type",): Type.TEXT, ("time",): Type.INTEGER},
    EXPOSURES: {
        ("flag_key",): Type.TEXT,
        ("variant",): Type.TEXT,
        ("experiment_key",): Type.TEXT,
        ("time",): Type.INTEGER,
    },
}


def _record(records: Records, columns: MessageColumns, i: int) -> UnitRecord:
    row, index = int(columns.row[i]), columns.index_of(i)
    appended = int(records.append_time[row])
    time = int(columns.integers["time",][i])
    place = f"{records.topic}/{records.partition}/{records.offset[row]}"
    value = columns.readable(i) or b""

    def text(name: str) -> str | None:
        return columns.texts[name,][i] if (name,) in columns.texts else None

    return UnitRecord(
        topic=records.topic,
        name=text("event_type") or text("flag_key"),
        variant=text("variant"),
        run=text("experiment_key"),
        time=appended if time == MISSING else time,
        append_time=appended,
        place=place if index is None else f"{place}/{index}",
        message=read_json(value) if len(value) <= MOST_SHOWN else None,
    )


def _contribution(log: UnitLog, run: RunInForce, text: str) -> RunContribution | None:
    """None: the unit has not entered the run."""
    if log.partition is None:
        return None
    by_metric = {key: log.partition.numbers(run.flag, run.key, key) for key in run.metrics}
    its = {key: numbers for key, numbers in by_metric.items() if numbers is not None and len(numbers.unit)}
    if not its:
        return None
    head = next(iter(its.values()))
    return RunContribution(
        experiment=run.flag,
        run=run.key,
        unit=text,
        variant=head.arms[int(head.arm[0])][1],
        entry=int(head.entry[0]),
        is_jumper=bool(head.is_jumper[0]),
        is_reassigned=bool(head.is_reassigned[0]),
        metrics=[_of_metric(run, key, numbers) for key, numbers in its.items()],
    )


def _of_metric(run: RunInForce, key: str, its: UnitNumbers) -> MetricContribution:
    variables = run.metrics[key].variables
    numbers = [int(x) / 10**each.places for x, each in zip(its.numbers[0], variables, strict=True)]
    return MetricContribution(
        metric=key,
        numbers=numbers if its.counts[0] else [],
        steps=int(its.steps[0]) if variables[0].type == "funnel" and its.counts[0] else None,
    )
