"""Planning: what an author asks before the start: how many units it takes, what is usual, and who would be met."""

import time
from typing import Annotated

import msgspec
from litestar import get, post
from litestar.exceptions import ClientException, NotFoundException
from litestar.params import Parameter

from evaluation.catalog.rules import did_you_mean, flag_violations
from evaluation.catalog.sources import read_sources
from evaluation.catalog.uses import cohorts_in
from evaluation.flags.cohorts import Cohorts
from evaluation.significance.sample_size import (
    POWER,
    SampleSize,
    SmallestEffect,
    Supply,
    baseline_fault,
    sample_sizes,
    smallest_effects,
)
from pipeline.http.backend import Backend
from pipeline.http.management.bodies import FAULTS, faults
from pipeline.http.questions.readers import QUESTION_SECONDS
from pipeline.questions.baseline import MetricNumbers, metric_numbers
from pipeline.questions.matching import SegmentCounts, segment_counts
from pipeline.registry.kept import KeptSchemas
from schemas.catalog import Baseline, Flag, Segment
from schemas.duration import DAY_MS
from schemas.written import Unit

WEEKS = (1, 2, 4, 8)
MOST_WEEKS = 52  # that are asked about
MOST_DAYS = 28

Days = Annotated[int, Parameter(ge=1, le=MOST_DAYS)]


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be planned: a flag's definition, the metrics of which are applied.

    `baselines` are by metric; unsaid, the primary one's is that of the definition. `daily` are the units that meet the
    flag each day, `units` those at hand; `power` is the chance to see the effect.
    """

    definition: Flag
    baselines: dict[str, Baseline] = {}
    daily: float | None = None
    units: int | None = None
    power: float = POWER
    weeks: Annotated[tuple[int, ...], msgspec.Meta(max_length=MOST_WEEKS)] = WEEKS


PLANNED_BY = (("variants",), ("control",), ("metrics",), ("analysis",), ("segments",), ("plan",))  # fields of a flag


class SamplePlan(msgspec.Struct, frozen=True, kw_only=True):
    """Of each goal with an effect and a baseline what it takes, and what so many weeks can show.

    `unplanned` are the metrics of the other goals.
    """

    comparisons: list[SampleSize]
    weeks: list[SmallestEffect]
    unplanned: list[str]


class SegmentsAsked(msgspec.Struct, frozen=True, kw_only=True):
    """The segments, in their order, of a flag that is split by `unit`."""

    segments: tuple[Segment, ...]
    unit: Unit = "user_id"
    days: int = 7


@post("/sample-size", status_code=200)
async def plan(backend: Backend, data: Planned) -> SamplePlan:
    """How many units and days it takes, before the start; and the smallest effect that some weeks can show."""
    metrics, flag = backend.catalog.history.newest.metrics, data.definition
    if not 0.05 <= data.power <= 0.999:
        raise ClientException(f"power is {data.power:g}; it is a chance, from 0.05 to 0.999")
    for name, number in (("daily", data.daily), ("units", data.units), *(("weeks", week) for week in data.weeks)):
        if number is not None and not 0 < number < 1e12:
            raise ClientException(f"{name} is {number:g}; it is a number above 0")
    for goal in flag.metrics:
        if goal.metric not in metrics:
            hint = did_you_mean(goal.metric, metrics)
            raise ClientException(f"'{goal.metric}' is no metric of the catalog; {hint}")
    known = {key: metrics[key].definition for key in metrics}
    if wrong := [each for each in flag_violations(flag, known) if each.path[:1] in PLANNED_BY]:
        raise ClientException("\n".join(map(str, wrong)), extra={FAULTS: faults(wrong)})
    primary = next((goal.metric for goal in flag.metrics if goal.role == "primary"), None)
    baselines = {primary: flag.analysis.baseline} if primary and flag.analysis.baseline else {}
    baselines |= data.baselines
    for key, baseline in baselines.items():
        if key in metrics and (fault := baseline_fault(metrics[key].definition, baseline)):
            raise ClientException(fault)
    supply = Supply(data.daily, data.units)
    found = [*sample_sizes(flag, metrics, baselines, data.power, supply)]
    planned = {each.metric for each in found}
    return SamplePlan(
        comparisons=found,
        weeks=[*smallest_effects(flag, metrics, baselines, data.power, data.daily, data.weeks)] if data.daily else [],
        unplanned=[goal.metric for goal in flag.metrics if goal.metric not in planned],
    )


@get("/metrics/{key:str}/baseline")
async def usual(backend: Backend, key: str, unit: str = "user_id", days: Days = 7) -> MetricNumbers:
    """What units came to by a metric in the last days, as if exposed with their first event; from the archive."""
    catalog, settings = backend.catalog.history.newest, backend.settings
    if key not in catalog.metrics:
        raise NotFoundException(f"'{key}' is no metric of the catalog; {did_you_mean(key, catalog.metrics)}")
    try:
        msgspec.convert(unit, Unit)
    except msgspec.ValidationError:
        rule = "it is user_id, device_id, groups.TYPE or user_properties.NAME"
        raise ClientException(f"unit: '{unit}' is no type of unit; {rule}") from None
    metric, now = catalog.metrics[key], time.time_ns() // 1_000_000
    about = msgspec.json.encode((key, metric.document_version, metric.version, unit, days))
    archive, horizon, tolerance = settings.data / "archive", settings.horizon, settings.tolerance
    sources = read_sources(backend.catalog.history, horizon)
    bounds = days, now, horizon, tolerance, QUESTION_SECONDS
    return await backend.readers.ask(
        metric_numbers, about, archive, metric, unit, *bounds, sources, KeptSchemas(settings)
    )


@post("/segments/count", status_code=200)
async def count(backend: Backend, data: SegmentsAsked) -> SegmentCounts:
    """How many of the last days' units each segment would match, by their newest records in the archive."""
    if not 1 <= data.days <= MOST_DAYS:
        raise ClientException(f"days is {data.days}; ask for 1 to {MOST_DAYS}")
    catalog = backend.catalog.history.newest
    since = time.time_ns() // 1_000_000 - data.days * DAY_MS
    about = msgspec.json.encode((data.segments, data.unit, data.days))
    archive = backend.settings.data / "archive"
    named = {key for key in cohorts_in(data.segments) if key in catalog.cohorts}  # others may have millions of ids
    cohorts = Cohorts(catalog.cohorts[key].definition for key in sorted(named))
    sources = read_sources(backend.catalog.history, backend.settings.horizon)
    return await backend.readers.ask(
        segment_counts,
        about,
        archive,
        data.segments,
        data.unit,
        cohorts,
        since,
        QUESTION_SECONDS,
        sources,
        KeptSchemas(backend.settings),
    )
