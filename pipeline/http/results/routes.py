"""Results: the looks that were published, and where every flag stands, for people and programs."""

import asyncio
import csv
import io
import time
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, Router, get
from litestar.exceptions import NotFoundException, ServiceUnavailableException
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import Parameter
from litestar.response import Stream

from evaluation.catalog import overview
from evaluation.catalog.decisions import Decided
from evaluation.catalog.overview import Summary
from evaluation.significance.shipped import ShippedMetric, shipped
from pipeline.http.backend import Backend
from pipeline.http.callers.access import OF_LINK, READING, requires
from pipeline.http.callers.keys import Key
from pipeline.http.callers.shares import Share, without_people
from pipeline.http.management.life import standing
from pipeline.http.results.decisions import DecisionTold
from pipeline.http.results.looks import Columns, Remembered
from pipeline.storage.tables import CELL
from schemas.catalog import FlagState, Metric
from schemas.look import EVERYONE, Health, Look, Verdict

READING_SECONDS = 5.0  # that a look of the past may take
QUIET_SECONDS = 15.0  # after which a stream says that it is still there
HISTORY = ResponseSpec(Columns, generate_examples=False, description=HTTPStatus.OK.description)

ReadRequest = Request[Any, Key, Any]  # whose key may read


class Glance(msgspec.Struct, frozen=True, kw_only=True):
    """A look without its cells. `published` is when it was appended (ms UTC), `time` how far its data go."""

    run: str
    look: int
    time: int
    published: int
    units: int
    health: Health
    verdict: Verdict
    final: bool


class Listed(Summary, frozen=True, kw_only=True):
    """Where a flag stands, and what its newest look says; null: there is none, and `awaited` says why.

    `decided` is the last decision that was made of it since its newest run began, if one was.
    """

    look: Glance | None
    awaited: str | None
    decided: Decided | None


class Shown(Listed, frozen=True, kw_only=True):
    """The same, with everything that its document says, the definitions of its metrics, and all decisions so far.

    Of a metric among the `conversions` the mean is the share of units that converted. Decisions are oldest first.
    """

    state: FlagState
    metrics: dict[str, Metric]  # type: ignore[assignment]
    conversions: tuple[str, ...]
    decisions: list[DecisionTold]


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """Every flag that is not deleted, at `time` by this server's clock (ms UTC)."""

    time: int
    flags: list[Listed]


@get("/overview")
async def list_all(backend: Backend) -> Overview:
    """Tell of every flag and experiment where it stands."""
    now = _now()
    flags = overview.summaries(backend.catalog.history.newest, now)
    return Overview(time=now, flags=[_listed(backend, flag) for flag in flags])


@get("/overview/{key:str}", opt=OF_LINK)
async def show(request: ReadRequest, backend: Backend, key: str) -> Shown:
    """Tell everything of one flag or experiment but its results."""
    return await shown_of(backend, key, request.auth)


@get("/experiments/{key:str}/results", opt=OF_LINK)
async def newest(backend: Backend, key: str, run: str | None = None) -> Response[Look]:
    """The newest look of a run, byte for byte as it was published; of the newest run, unless it is said which."""
    return _json(_remembered(backend, key, run).newest)


@get("/experiments/{key:str}/results/looks/{number:int}", opt=OF_LINK)
async def numbered(
    request: ReadRequest, backend: Backend, key: str, number: int, run: str | None = None
) -> Response[Look]:
    """Any look of a run."""
    return _json(await _look(request, backend, key, run, number))


@get("/experiments/{key:str}/results/history", responses={200: HISTORY}, opt=OF_LINK)
async def history(  # noqa: PLR0917 (they come by name)
    backend: Backend, key: str, metric: str, variant: str, reading: str, segment: str = EVERYONE, run: str | None = None
) -> dict[str, list[Any]]:
    """One cell over the looks of a run, a few hundred of them at most, evenly apart."""
    kept = _remembered(backend, key, run)
    columns = kept.history((metric, variant, reading, segment))
    if columns is None:
        raise NotFoundException(
            f"{key}/{kept.head.run} has no cell of metric '{metric}', variant '{variant}', reading '{reading}' and "
            f"segment '{segment}'; its looks tell which there are"
        )
    return columns


@get("/experiments/{key:str}/shipped")
async def shipped_while_measured(backend: Backend, key: str) -> list[ShippedMetric]:
    """What was shipped while the experiment measured a holdout, by metric, beside what the holdout shows."""
    if standing(backend, key).definition.holdout is None:
        raise NotFoundException(f"'{key}' measures no holdout; an experiment that does says `holdout`")
    catalog = backend.catalog.history.newest

    def look_of(flag: str, run: str) -> Look | None:
        kept = backend.looks.of(flag, run)
        return None if kept is None else msgspec.json.decode(kept.newest, type=Look)

    decided = {name: backend.decisions.of(name) for name in catalog.flags}
    return shipped(catalog, decided, key, look_of)


@get("/experiments/{key:str}/results.csv", media_type="text/csv", opt=OF_LINK)
async def table(
    request: ReadRequest,
    backend: Backend,
    key: str,
    run: str | None = None,
    number: Annotated[int | None, Parameter(query="look")] = None,
) -> str:
    """The cells of a look of a run, one a line, named as in DuckDB; of the newest look, unless it is said which."""
    kept = _remembered(backend, key, run)
    value = kept.newest if number is None else await _look(request, backend, key, run, number)
    look = msgspec.json.decode(value, type=Look)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["experiment", "run", "look", "time", *CELL])
    for cell in look.cells:
        told = cell.told()
        found = (getattr(told, field) for field in CELL.values())
        values = [None if value is msgspec.UNSET else value for value in found]
        writer.writerow([look.experiment, look.run, look.look, look.time or None, *values])
    return text.getvalue()


@get("/results/stream", opt=OF_LINK)
async def follow(request: ReadRequest, backend: Backend, experiment: str | None = None) -> Stream:
    """The newest look of each run, at once and whenever there is another, as server-sent events of the type `look`."""
    if experiment is not None:
        standing(backend, experiment)
    return backend.streams.of(_events(backend, request.auth, experiment), request.auth.id)


results = Router(
    "/api/1",
    route_handlers=[list_all, show, newest, numbered, history, shipped_while_measured, table, follow],
    guards=[requires(READING)],
    tags=["results"],
)


async def shown_of(backend: Backend, key: str, reader: Key) -> Shown:
    """Everything of one flag but its results; a link shows nobody's ids. Raises NotFoundException.

    `reader` waits for a turn to read looks.
    """
    state, known = standing(backend, key), backend.catalog.history.newest.metrics
    metrics = {goal.metric: known[goal.metric].definition for goal in state.definition.metrics}
    listed = _listed(backend, overview.summary_of(backend.catalog.history.newest, key, _now()))
    more = {
        "state": without_people(state) if isinstance(reader, Share) else state,
        "metrics": metrics,
        "conversions": tuple(name for name, metric in metrics.items() if metric.is_conversion),
        "decisions": await backend.decisions.told(key, reader.id),
    }
    return Shown(**msgspec.structs.asdict(listed) | more)


async def _events(backend: Backend, key: Key, experiment: str | None) -> AsyncIterator[bytes]:
    seen: dict[tuple[str, str], int] = {}
    yield b": looks follow\n\n"
    while not backend.is_stopping and backend.access.holds(key):
        fresh = [*backend.looks.news(seen, experiment)]
        for run in fresh:
            yield b"event: look\ndata: " + run.newest + b"\n\n"
        if fresh:
            continue  # others may have come while these were sent
        try:
            async with asyncio.timeout(QUIET_SECONDS):
                await backend.looks.arrived.wait()
        except TimeoutError:
            yield b": still here\n\n"


async def _look(request: ReadRequest, backend: Backend, key: str, run: str | None, number: int) -> bytes:
    kept = _remembered(backend, key, run)
    try:
        async with asyncio.timeout(READING_SECONDS):
            value = await backend.past.look(kept, number, request.auth.id)
    except TimeoutError:
        why = (
            f"look {number} could not be read within {READING_SECONDS:.0f} s: others came first, or the brokers "
            "do not answer; ask again"
        )
        raise ServiceUnavailableException(why, headers={"Retry-After": "1"}) from None
    if value is None:
        raise NotFoundException(
            f"look {number} of {key}/{kept.head.run} is not there (the newest is {kept.head.look}): the topic keeps "
            "those of a week, and the archive here does not have it"
        )
    return value


def _remembered(backend: Backend, key: str, run: str | None) -> Remembered:
    kept = backend.looks.of(key, run)
    if kept is None:
        standing(backend, key)
        flag = backend.catalog.history.newest.flags[key]
        raise NotFoundException(overview.without_look(flag, run, backend.workers.stages))
    return kept


def _listed(backend: Backend, flag: Summary) -> Listed:
    kept = backend.looks.of(flag.key, flag.run) if flag.run else None
    awaited = None
    if kept is None and flag.metrics:
        in_force = backend.catalog.history.newest.flags[flag.key]
        awaited = overview.without_look(in_force, flag.run, backend.workers.stages)
    return Listed(
        **msgspec.structs.asdict(flag),
        look=_glance(kept) if kept else None,
        awaited=awaited,
        decided=backend.decisions.last(backend.catalog.history.newest.flags[flag.key]),
    )


class _Seen(msgspec.Struct):
    health: Health
    verdict: Verdict
    final: bool


def _glance(kept: Remembered) -> Glance:
    seen, head = msgspec.json.decode(kept.newest, type=_Seen), kept.head
    return Glance(
        run=head.run,
        look=head.look,
        time=head.time,
        published=kept.published,
        units=sum(arm.units for arm in seen.health.arms),
        health=seen.health,
        verdict=seen.verdict,
        final=seen.final,
    )


def _json(value: bytes) -> Response[Any]:
    return Response(value, media_type="application/json")


def _now() -> int:
    return time.time_ns() // 1_000_000
