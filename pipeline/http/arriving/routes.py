"""Routes: what comes, what could not be used, and each message of a unit as it comes."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Annotated, Literal

import msgspec
from litestar import Router, get, post
from litestar.exceptions import NotFoundException
from litestar.params import Parameter
from litestar.response import Stream

from evaluation.arrivals.overview import FlagArriving, flag_arriving
from evaluation.arrivals.properties import PropertySeen, properties_of
from evaluation.arrivals.recent import HOURS
from evaluation.catalog.reading import made_by
from pipeline.http.arriving.checklist import show_checklist
from pipeline.http.arriving.heard import ArrivingTold
from pipeline.http.backend import Backend
from pipeline.http.callers.access import EDITING, OF_LINK, READING, requires
from pipeline.http.callers.keys import Key
from pipeline.http.management.bodies import ExactRequest
from pipeline.http.management.life import EditRequest
from pipeline.http.questions.readers import QUESTION_SECONDS
from pipeline.http.results.routes import QUIET_SECONDS, ReadRequest
from pipeline.kafka.dead_letters import send_back_since
from schemas.arrivals import ArrivedSample
from schemas.dead_letter import Reason
from schemas.duration import HOUR_MS

TAIL_SECONDS = 0.5  # from one telling of a tail to the next


class MessagesSeen(msgspec.Struct, frozen=True, kw_only=True):
    """Samples of one name, the newest first, and the fields that they have.

    Of `samples` only `read` were whole, so that their fields are known.
    """

    topic: str
    name: str
    samples: list[ArrivedSample]
    read: int
    properties: list[PropertySeen]


class SendingBack(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which dead letters are to be sent to their topics again: those of a reason."""

    reason: Reason


class SentAgain(msgspec.Struct, frozen=True, kw_only=True):
    """How many dead letters of the last `hours` were sent again, each once, and what is to be told of others."""

    number: int
    hours: int
    told: list[str]


@get("/arriving")
async def show_arriving(backend: Backend) -> ArrivingTold:
    """What came in the last hour by minute, and in the last two days by hour."""
    return backend.arrivals.told()


@get("/arriving/stream")
async def follow_arriving(request: ReadRequest, backend: Backend) -> Stream:
    """The same as server-sent events of the type `arriving`, about once a second while something comes."""
    return backend.streams.of(_frames(backend, request.auth), request.auth.id)


@get("/arriving/flags/{key:str}", opt=OF_LINK)
async def show_flag(backend: Backend, key: str) -> FlagArriving:
    """Exposures of a flag within the last hour, and the share that each variant really has of them."""
    return flag_arriving(backend.arrivals.recent, backend.catalog.history.newest, key, _now())


@get("/arriving/messages")
async def show_messages(backend: Backend, name: str, topic: Literal["events", "exposures"] = "events") -> MessagesSeen:
    """Samples of the messages of a name, and their properties with the kinds of their values."""
    kept = backend.arrivals.recent.samples.get((topic, name))
    if not kept:
        raise NotFoundException(f"no message of {topic} named '{name}' came in the last {HOURS} hours")
    samples = [*reversed(kept)]
    read, properties = properties_of(kept)
    return MessagesSeen(topic=topic, name=name, samples=samples, read=read, properties=properties)


@get("/arriving/tail")
async def follow_tail(
    request: ReadRequest,
    backend: Backend,
    unit: Annotated[str | None, Parameter(description="A user_id, a device_id, or a group's name.")] = None,
) -> Stream:
    """Exposures and events as they come, as server-sent events of the type `messages`; those of one unit, or of all."""
    return backend.streams.of(_messages(backend, request.auth, unit), request.auth.id)


@post("/arriving/dead-letters/send", status_code=200, guards=[requires(EDITING)])
async def send_again(request: EditRequest, backend: Backend, data: SendingBack) -> SentAgain:
    """Send dead letters to their topics again, now that the cause is mended. Sending one twice counts once."""
    now = _now()
    about = f"{data.reason}\0{now}\0{request.auth.id}".encode()
    since = now - HOURS * HOUR_MS
    makes = made_by(backend.catalog.history.newest)
    sent = await backend.readers.ask(
        send_back_since, about, backend.settings, data.reason, since, QUESTION_SECONDS, makes
    )
    return SentAgain(number=sent.number, hours=HOURS, told=sent.told)


arriving = Router(
    "/api/1",
    route_handlers=[show_arriving, follow_arriving, show_flag, show_messages, follow_tail, send_again, show_checklist],
    guards=[requires(READING)],
    request_class=ExactRequest,
    tags=["arriving"],
)


async def _frames(backend: Backend, key: Key) -> AsyncIterator[bytes]:
    number = 0
    yield b": what comes follows\n\n"
    while not backend.is_stopping and backend.access.holds(key):
        number, frame = await backend.arrivals.next(number)
        yield b"event: arriving\ndata: " + frame + b"\n\n"


async def _messages(backend: Backend, key: Key, unit: str | None) -> AsyncIterator[bytes]:
    yield b": messages follow\n\n"
    async with backend.tail.watch(unit) as watched:
        yield b": it is being read\n\n"
        while not backend.is_stopping and backend.access.holds(key) and not backend.tail.failure:
            try:
                async with asyncio.timeout(QUIET_SECONDS):
                    await watched.arrived.wait()
            except TimeoutError:
                yield b": still here\n\n"
                continue
            yield b"event: messages\ndata: " + msgspec.json.encode(watched.take()) + b"\n\n"
            await asyncio.sleep(TAIL_SECONDS)


def _now() -> int:
    return time.time_ns() // 1_000_000
