"""Baseline: what units come to by a metric without any treatment, from the archived events of the last days.

A unit enters with its first event of the period, whatever that is, as if that had exposed it; its window is counted
from there. So it is a unit that was there, and not one that a flag was shown. The stage's own kernels fold it all,
under a catalog that holds one made-up experiment.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import sqrt
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from evaluation.assignment.dead_letters import DeadLetters, origins_of
from evaluation.assignment.looking import messages_of, topics_of
from evaluation.assignment.messages import Stretch, UnitRows
from evaluation.assignment.plan import event_plan
from evaluation.assignment.routing import assign
from evaluation.catalog.history import History
from evaluation.catalog.in_force import SETTLING, MetricInForce
from evaluation.catalog.lifecycle import apply_definition, start
from evaluation.catalog.sources import EVER, ReadSource
from evaluation.metrics.partition import Partition
from evaluation.metrics.unit_numbers import UnitNumbers
from evaluation.significance.moments import ArmColumns, ArmMoments
from pipeline.questions.histogram import Histogram, edges_of, histogram
from pipeline.questions.reading import TimeBound, said
from pipeline.registry.kept import KeptSchemas, schemas_of
from pipeline.stages.gathering import Gathering
from pipeline.storage.archived import offset_at, partitions, slices
from schemas.catalog import Flag, FlagState, Goal, Metric, Variant
from schemas.duration import DAY_MS, HOUR_MS
from schemas.records import Records
from schemas.source import ForeignSource
from schemas.topics import EVENTS, SourcePartition
from schemas.units import Arm, RowKind
from schemas.writer_schema import Schemas

FEWEST_SETTLED = 100  # units whose window is over, below which the others are taken too
MOST_WINDOW = 28 * DAY_MS  # that is read beyond the days in which units enter
SHORTEST = HOUR_MS  # from which units a day can be told
MOST_ROWS = 200_000  # gathered before they are folded
KEY, VARIANT = "baseline", "control"
_ARM = Arm(KEY, "exp-1", 0, VARIANT)


class MetricNumbers(msgspec.Struct, frozen=True, kw_only=True):
    """What units came to by a metric: those that entered in [`since`, `until`) (ms UTC), each with its first event.

    `daily` is how many units entered a day; null: that was less than an hour. `mean` and `deviation` are of a unit (of
    a ratio that of all units, and of a unit's influence on it); null: there are too few. `is_settled`: of units alone
    whose window is over. `edges` are those of the `distribution`. `notes` say what else a reader should know.
    """

    metric: str
    unit: str
    since: int
    until: int
    units: int
    daily: float | None
    mean: float | None
    deviation: float | None
    is_settled: bool
    edges: list[float]
    distribution: Histogram
    notes: list[str]


def metric_numbers(  # noqa: PLR0917
    directory: Path,
    metric: MetricInForce,
    unit: str,
    days: int,
    now: int,
    horizon: int,
    tolerance: int,
    seconds: float,
    sources: Sequence[ReadSource] = (),
    kept: KeptSchemas | None = None,
) -> MetricNumbers:
    """The metric's numbers of units that entered in the last days whose windows may be over; read for so long.

    `sources` are those whose events are read beside ours, by the schemas that are `kept`.
    """
    bound = TimeBound(seconds)
    since = now - days * DAY_MS - min(metric.window or 0, MOST_WINDOW)
    events = [source for source in sources if source.source.makes == "event"]
    fold = _Fold(directory, metric, unit, since, horizon, tolerance, events, kept)
    fold.read(bound)
    notes: list[str] = []
    if not fold.is_whole:
        notes.append(f"reading took more than {seconds:g} s, and was cut off: events up to {said(fold.reached)}")
    begin = max(since, fold.first or since)
    until = max(begin, min(begin + days * DAY_MS, fold.reached + 1))
    if fold.first > since + DAY_MS // 24:
        notes.append(f"the archive of events begins at {said(fold.first)}")
    numbers = fold.partition.numbers(KEY, "exp-1", metric.definition.key)
    entered = settled = np.zeros(0, np.bool_)
    if numbers is not None:
        entered = numbers.counts & (numbers.entry < until)
        over = numbers.entry + (metric.window or 0) <= fold.reached - horizon
        settled = entered & over if metric.window is not None else np.zeros_like(entered)
    is_settled = int(settled.sum()) >= FEWEST_SETTLED
    if metric.window is None:
        notes.append("the metric has no window: these are units' numbers so far, which grow with time")
    elif not is_settled:
        notes.append("too few units' windows are over: these are numbers so far, and grow until then")
    if metric.definition.type == "percentile":
        what = "how many values units have" if metric.definition.of == "events" else "totals of units"
        notes.append(f"these are {what}: nothing is planned of a percentile")
    if metric.lookback is not None:
        notes.append("these are the numbers before adjustment: with CUPED an experiment takes fewer units, or as many")
    moments = _moments(numbers, settled if is_settled else entered)
    mean, deviation = _estimate(metric, moments)
    values = _values(metric, numbers, settled if is_settled else entered)
    is_whole = len(metric.variables) == 1 and metric.variables[0].type not in ("sum", "mean")
    edges = edges_of(values, is_whole=is_whole)
    units = int(entered.sum())
    return MetricNumbers(
        metric=metric.definition.key,
        unit=unit,
        since=begin,
        until=until,
        units=units,
        daily=units * DAY_MS / (until - begin) if until - begin >= SHORTEST else None,
        mean=mean,
        deviation=deviation,
        is_settled=is_settled,
        edges=edges,
        distribution=histogram(values, edges),
        notes=notes,
    )


def _moments(numbers: UnitNumbers | None, which: NDArray[np.bool_]) -> ArmMoments:
    """Exact sums of the numbers of these units."""
    if numbers is None:
        return ArmMoments()
    columns = [column.tolist() for column in numbers.numbers[which].T]
    k = range(len(columns))
    products = [sum(x * y for x, y in zip(columns[i], columns[j], strict=True)) for i in k for j in k if i <= j]
    n = int(which.sum())
    nonzero = sum(x != 0 for x in columns[0])
    return ArmMoments(n, nonzero, tuple(map(sum, columns)), tuple(products)) if n else ArmMoments()


def _estimate(metric: MetricInForce, moments: ArmMoments) -> tuple[float | None, float | None]:
    k = len(metric.variables)
    if metric.definition.type == "percentile":
        return None, None
    if moments.n < 2 or (k > 1 and not moments.first[1]):
        return None, None
    columns = ArmColumns([moments], [tuple(10**each.places for each in metric.variables)], k)
    found = columns.ratio(0, 1) if k > 1 else columns.mean(0)
    return float(found.value()[0]), sqrt(max(0.0, float(columns.covariance(found, found)[0]) * moments.n))


def _values(metric: MetricInForce, numbers: UnitNumbers | None, which: NDArray[np.bool_]) -> NDArray[np.float64]:
    if numbers is None:
        return np.zeros(0)
    values = numbers.numbers[which] / np.array([10.0**each.places for each in metric.variables])
    if values.shape[1] == 1:
        return np.asarray(values[:, 0])
    kept = values[values[:, 1] != 0]
    return np.asarray(kept[:, 0] / kept[:, 1])


class _Fold:
    """The archived events from a time on, as exposures and events of one made-up experiment."""

    def __init__(  # noqa: PLR0917
        self,
        directory: Path,
        metric: MetricInForce,
        unit: str,
        since: int,
        horizon: int,
        tolerance: int,
        sources: Sequence[ReadSource],
        kept: KeptSchemas | None,
    ) -> None:
        self._directory, self._unit, self._since, self._sources = directory, unit, since, sources
        self._kept = kept
        self._horizon, self._tolerance = horizon, tolerance
        self._history = _history(metric, unit, sources)
        self.partition = Partition(0, horizon)
        self.first = self.reached = 0  # append times (ms UTC)
        self.is_whole = False

    def read(self, bound: TimeBound) -> None:
        """Side by side, so that all partitions are read up to about the same time."""
        topics = EVENTS, *topics_of(self._sources)
        places = [(topic, number) for topic in topics for number in partitions(self._directory, topic)]
        gathering = Gathering(partitions=1, horizon=self._horizon, expected=len(places))
        logs: dict[SourcePartition, Iterator[Records]] = {}
        times: dict[SourcePartition, int] = {}
        for place in places:
            begin = offset_at(self._directory, *place, self._since)
            logs[place] = slices(self._directory, *place, begin=begin)
            times[place] = self._since
        begun: set[SourcePartition] = set()
        ended = 0
        while logs and not bound.is_over:
            place = min(logs, key=times.__getitem__)
            records = next(logs[place], None)
            if records is None:
                del logs[place]
                ended = max(ended, times[place])
                continue
            if place not in begun:
                gathering.begin(place, records.begin)
                begun.add(place)
            self.first = min(self.first or int(records.append_time[0]), int(records.append_time[0]))
            times[place] = int(records.append_time[-1])
            schemas = schemas_of(records, self._sources, self._kept)
            for assigned in assign(records, self._history, self._horizon, self._tolerance, schemas):
                rows = UnitRows.join([UnitRows(**assigned.columns()), self._entries(records, schemas)])
                gathering.add(place, replace(assigned, **rows.columns(), arms=[_ARM], watermark=0))
            if gathering.rows >= MOST_ROWS:
                self._cut(gathering)
        self.is_whole = not logs
        self.reached = ended if self.is_whole else min(times[place] for place in logs)
        for place in places:
            if place not in begun:
                gathering.begin(place, 0)
            gathering.reach(place, self.reached, self._history.newest.offset)
        self._cut(gathering)

    def _cut(self, gathering: Gathering) -> None:
        for message in gathering.cut()[1]:
            self.partition.fold(self.partition.offset, message, self._history.at_offset)

    def _entries(self, records: Records, schemas: Schemas) -> UnitRows:
        """The first event of each unit of a slice, as an exposure."""
        nobody = DeadLetters(records)
        every = range(len(records))
        stretch = Stretch(
            records, every, records.append_time, self._horizon, self._tolerance, nobody, origins=origins_of(records)
        )
        wanted = event_plan(self._history.newest, self._horizon).wanted
        found = []
        for _, columns in messages_of(records, {EVENTS: wanted}, self._sources, schemas):
            time, late, usable = stretch.times(columns)
            hashes, carried = stretch.units(columns, [self._unit], [self._unit])
            ids, _ = stretch.ids(columns)
            rows = np.flatnonzero(usable & carried[0] & ~late & (time >= self._since))
            rows = rows[np.lexsort((ids[rows], time[rows]))]
            rows = rows[np.unique(hashes[0][rows], return_index=True)[1]]
            rows = rows[np.argsort(columns.row[rows], kind="stable")]
            n = len(rows)
            found.append(
                UnitRows(
                    offset=records.offset[columns.row[rows]],
                    kind=np.full(n, int(RowKind.EXPOSURE), np.uint8),
                    code=np.zeros(n, np.uint16),
                    unit=hashes[0][rows],
                    time=time[rows],
                    id=ids[rows],
                    value=np.zeros(n, np.int64),
                )
            )
        return UnitRows.join(found)


def _history(metric: MetricInForce, unit: str, sources: Sequence[ReadSource]) -> History:
    """A catalog in which one experiment has always been running that reads this metric, beside these sources."""
    definition = msgspec.structs.replace(metric.definition, cuped=None)
    flag = Flag(
        key=KEY,
        owner="-",
        unit=unit,
        variants=(Variant(key=VARIANT), Variant(key="treatment")),
        metrics=(Goal(metric=definition.key),),
    )
    draft = apply_definition(None, flag, 1)
    parts = dict.fromkeys([*metric.parts, definition])
    specs: list[Metric | FlagState] = [*parts, draft, start(draft, 2, "salt")]
    history = History()
    for spec in specs:
        history.suppose(spec, 0)
    for time, source in sorted(_versions(sources), key=lambda each: each[0]):
        history.suppose(source, time)
    return history


def _versions(sources: Sequence[ReadSource]) -> Iterator[tuple[int, ForeignSource]]:
    """Documents that read what these do, each with its append time (ms UTC)."""
    begun = {(each.source.key, each.begin) for each in sources}
    known: set[str] = set()
    for each in sources:
        key = each.source.key
        yield each.begin - (SETTLING if key in known else 0), msgspec.structs.replace(each.source, since="now")
        if each.end < EVER and (key, each.end) not in begun:
            yield each.end - SETTLING, msgspec.structs.replace(each.source, paused=True)
        known.add(key)
