"""Monitoring: is the process there, can it answer, and what has it done. And the headers that every answer carries."""

from collections.abc import Iterator
from time import perf_counter
from typing import Any

from litestar import Request, Response, get
from litestar.types import ASGIApp, HTTPReceiveMessage, Message, Receive, Scope, Send
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from pipeline.http.backend import Backend

# No inline code, no other host, no frame around us.
SECURITY_HEADERS = [
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        b"font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]
LEFT = 499  # counted where the client has left before it was answered, as other servers count it
UNROUTED = "none"  # the route of requests that find none


class Monitor:
    """Wraps the application: counts and times its answers by route, and adds the security headers.

    Routes are templates, so that no key and no unit becomes a label.
    """

    def __init__(self, app: ASGIApp, registry: CollectorRegistry) -> None:
        self._app = app
        labels = ["method", "route", "status"]
        self._answers = Counter("peekproof_http_requests", "Answers given", labels, registry=registry)
        self._seconds = Histogram(
            "peekproof_http_request_seconds", "From the request to the end of its answer", ["route"], registry=registry
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        status, has_left, began = 0, False, perf_counter()

        async def hear() -> HTTPReceiveMessage:
            nonlocal has_left
            message = await receive()
            has_left = has_left or message["type"] == "http.disconnect"
            return message  # type: ignore[return-value]

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = LEFT if has_left else message["status"]
                message["headers"] = [*message["headers"], *SECURITY_HEADERS]
            await send(message)

        try:
            await self._app(scope, hear, answer)  # type: ignore[arg-type]
            status = status or LEFT
        finally:
            status = status or 500
            route = scope.get("path_template") or UNROUTED
            self._answers.labels(scope["method"], route, status).inc()  # type: ignore[typeddict-item]  # no websockets
            self._seconds.labels(route).observe(perf_counter() - began)


def create_registry(backend: Backend) -> CollectorRegistry:
    """The metrics of this process, of what it holds, and of the workers."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(backend.workers)
    registry.register(_Holdings(backend))
    return registry


class _Holdings(Collector):
    """What the server has read, and what it has still to write."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def collect(self) -> Iterator[Metric]:
        """The metrics, as they are now."""
        outbox = self._backend.outbox
        offset = self._backend.catalog.history.newest.offset
        yield GaugeMetricFamily("peekproof_http_catalog_offset", "Records of the catalog that were read", offset)
        yield GaugeMetricFamily("peekproof_http_posts_waiting", "Assignments and exposures to write", outbox.waiting)
        yield CounterMetricFamily("peekproof_http_posts_lost", "Those for which there was no room", outbox.lost)
        aside = CounterMetricFamily("peekproof_http_set_aside", "Records that are no message of ours", labels=["topic"])
        for topic, records in self._backend.aside.counts.items():
            aside.add_metric([topic], records)
        yield aside
        yield GaugeMetricFamily("peekproof_http_streams", "Streams that are open", self._backend.streams.open)
        connections = GaugeMetricFamily("peekproof_http_connections", "Connections that are open", labels=["of"])
        for of, number in self._backend.connections.open.items():
            connections.add_metric([of], number)
        yield connections
        ended = CounterMetricFamily("peekproof_http_connections_ended", "Those that were ended", labels=["why"])
        for why, number in self._backend.connections.ended.items():
            ended.add_metric([why], number)
        yield ended
        published = GaugeMetricFamily(
            "peekproof_look_published_seconds", "When the newest look was published", labels=["experiment", "run"]
        )
        for (experiment, run), kept in self._backend.looks.runs.items():
            published.add_metric([experiment, run], kept.published / 1_000)
        yield published


@get("/metrics", include_in_schema=False)
async def metrics(request: Request[Any, Any, Any]) -> Response[bytes]:
    """What it has done, as Prometheus reads it."""
    registry: CollectorRegistry = request.app.state.registry
    return Response(generate_latest(registry), headers={"content-type": CONTENT_TYPE_PLAIN_0_0_4})
