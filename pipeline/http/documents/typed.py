"""Typed: metrics and cohorts by routes of their own, for programs that know what they hold."""

import msgspec
from litestar import get, put

from pipeline.http.backend import Backend
from pipeline.http.callers.access import EDITING, requires
from pipeline.http.documents.bodies import Grounds, placed_at
from pipeline.http.documents.publishing import Published, publish
from pipeline.http.documents.reading import DocumentItem, Named, as_sent, items, naming, version_of
from pipeline.http.management.life import EditRequest
from schemas.catalog import Cohort, Metric


class MetricStanding(msgspec.Struct, frozen=True, kw_only=True):
    """A metric as it stands."""

    key: str
    version: int
    definition: Metric


class MetricsStanding(msgspec.Struct, frozen=True, kw_only=True):
    """Metrics by key."""

    metrics: list[MetricStanding]


class MetricShown(MetricStanding, frozen=True, kw_only=True):
    """A metric as it stands, and the documents that name it."""

    used_by: list[Named]


class CohortItems(msgspec.Struct, frozen=True, kw_only=True):
    """Cohorts by key, and how many ids each has."""

    cohorts: list[DocumentItem]


class CohortShown(msgspec.Struct, frozen=True, kw_only=True):
    """A cohort as it stands, with all of its ids, and the documents that name it."""

    key: str
    version: int
    definition: Cohort
    used_by: list[Named]


class PublishingMetric(Grounds, frozen=True, kw_only=True):
    """A metric, and why it is published."""

    definition: Metric


class PublishingCohort(Grounds, frozen=True, kw_only=True):
    """A cohort, and why it is published."""

    definition: Cohort


@get("/metrics")
async def list_metrics(backend: Backend) -> MetricsStanding:
    """Metrics."""
    metrics = sorted(backend.catalog.history.newest.metrics.items())
    return MetricsStanding(
        metrics=[
            MetricStanding(key=key, version=each.document_version, definition=each.definition) for key, each in metrics
        ]
    )


@get("/metrics/{key:str}")
async def show_metric(backend: Backend, key: str) -> MetricShown:
    """One metric."""
    history = backend.catalog.history
    version = version_of(history, "metric", key).document.version
    definition, using = history.newest.metrics[key].definition, naming(history.newest, "metric", key)
    return MetricShown(key=key, version=version, definition=definition, used_by=using)


@put("/metrics/{key:str}", guards=[requires(EDITING)])
async def put_metric(request: EditRequest, backend: Backend, key: str, data: PublishingMetric) -> Published:
    """Publish a version of a metric. 409: it is refused, or wants `yes` to its consequences."""
    return await publish(request, backend, "metric", placed_at(data.definition, key), data)


@get("/cohorts")
async def list_cohorts(backend: Backend) -> CohortItems:
    """Cohorts, without their ids."""
    return CohortItems(cohorts=items(backend, ["cohort"]))


@get("/cohorts/{key:str}")
async def show_cohort(backend: Backend, key: str) -> CohortShown:
    """One cohort."""
    history = backend.catalog.history
    version = version_of(history, "cohort", key).document.version
    definition, using = history.newest.cohorts[key].definition, naming(history.newest, "cohort", key)
    return CohortShown(key=key, version=version, definition=as_sent(definition), used_by=using)


@put("/cohorts/{key:str}", guards=[requires(EDITING)])
async def put_cohort(request: EditRequest, backend: Backend, key: str, data: PublishingCohort) -> Published:
    """Publish a version of a cohort. 409: it is refused, or wants `yes` to its consequences."""
    return await publish(request, backend, "cohort", placed_at(data.definition, key), data)


ROUTES = [list_metrics, show_metric, put_metric, list_cohorts, show_cohort, put_cohort]
