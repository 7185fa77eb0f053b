"""Intake: what Amplitude's SDKs send. 200 says that the brokers have all of it, and 4xx that nothing of it counts.

After a 503 it may count all the same: what has been handed to the client of the brokers is still delivered. So whoever
sends it again keeps `insert_id` and `time` as they were, as SDKs do; without them it counts twice.
"""

import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from litestar import Request, Response, Router, post
from litestar.exceptions import HTTPException, NotAuthorizedException, ServiceUnavailableException

from pipeline.http.backend import Backend
from pipeline.http.callers.access import shown
from pipeline.http.callers.keys import OF_DEPLOYMENTS, Key
from pipeline.http.ingest.uploads import Refusal, Upload, UploadError, read_form, read_upload, records_of
from schemas.topics import EXPOSURES

LARGEST_UPLOAD = 1_000_000  # bytes of a request, as it comes and unpacked: Amplitude's limit
LARGEST_BATCH = 20_000_000  # of one to /batch


class Taken(msgspec.Struct, kw_only=True):
    """What was taken, in Amplitude's words."""

    code: int = 200
    events_ingested: int
    payload_size_bytes: int
    server_upload_time: int  # ms UTC


TakenOrNot = Response[Taken | Refusal]
AnyRequest = Request[Any, Any, Any]


@post("/2/httpapi", status_code=200, request_max_body_size=None)
async def take_events(request: AnyRequest, backend: Backend) -> TakenOrNot:
    """Take up to 2,000 events and exposures, of at most a megabyte."""
    return await _answer(request, backend, LARGEST_UPLOAD, read_upload)


@post("/batch", status_code=200, request_max_body_size=None)
async def take_batch(request: AnyRequest, backend: Backend) -> TakenOrNot:
    """Take up to 2,000 events and exposures, of at most 20 megabytes."""
    return await _answer(request, backend, LARGEST_BATCH, read_upload)


@post("/identify", status_code=200, request_max_body_size=None)
async def identify(request: AnyRequest, backend: Backend) -> TakenOrNot:
    """Take what a form says of users, as events of the type `$identify`."""
    return await _answer(request, backend, LARGEST_UPLOAD, lambda body: read_form(body, "identification", "$identify"))


@post("/groupidentify", status_code=200, request_max_body_size=None)
async def identify_group(request: AnyRequest, backend: Backend) -> TakenOrNot:
    """Take what a form says of groups, as events of the type `$groupidentify`."""
    return await _answer(
        request, backend, LARGEST_UPLOAD, lambda body: read_form(body, "identification", "$groupidentify")
    )


intake = Router("/", route_handlers=[take_events, take_batch, identify, identify_group], tags=["events"])


async def _answer(request: AnyRequest, backend: Backend, most: int, read: Callable[[bytes], Upload]) -> TakenOrNot:
    count = 0
    events: list[msgspec.Raw] | None = None
    headers: dict[str, str] = {}
    answer: Taken | Refusal
    try:
        with _room(backend, request.scope["state"]["caller"]) as take:
            body = await _body(request, take, most)
            upload, size = read(body), len(body)
            events, count = upload.events, len(upload.events or ())
            caller = backend.access.admit(upload.api_key or shown(request.headers), OF_DEPLOYMENTS)
            records = [*records_of(upload)]
            events = None
            del body, upload  # while it waits, it holds the records alone
            if any(record.topic == EXPOSURES for record in records):
                await backend.flags.settled()  # the versions that they name
            await backend.delivery.send(records, caller.id)
        answer = Taken(events_ingested=count, payload_size_bytes=size, server_upload_time=_now())
    except UploadError as error:
        answer = error.refusal
        backend.arrivals.refused.take(answer, events)
    except NotAuthorizedException as error:
        answer = Refusal(code=401, error=f"Invalid API key: {error.detail}")  # with these words SDKs give up
        backend.arrivals.refused.take(answer, events)
    except HTTPException as error:
        answer, headers = Refusal(code=error.status_code, error=error.detail), error.headers or {}
        if answer.code == 429:
            answer.throttled_events = [*range(count)]
    return Response(answer, status_code=answer.code, headers=headers)


@contextmanager
def _room(backend: Backend, caller: Key) -> Iterator[Callable[[int], None]]:
    """Takes room for so many bytes more of one upload, until it is answered. Raises ServiceUnavailableException."""
    taken = 0

    def take(size: int) -> None:
        nonlocal taken
        if not backend.uploads.take(caller.id, size):
            raise ServiceUnavailableException("too much is sent at once; send it again", headers={"Retry-After": "1"})
        taken += size

    try:
        yield take
    finally:
        backend.uploads.give(caller.id, taken)


async def _body(request: AnyRequest, take: Callable[[int], None], most: int) -> bytes:
    """The request's body, unpacked. Raises UploadError, at the latest when it has read more than `most` bytes."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise _too_large(most)
        take(len(part))
        parts.append(part)
    body = b"".join(parts)
    match request.headers.get("content-encoding", "identity").strip().lower():
        case "identity" | "":
            return body
        case "gzip":
            unpacked = _unpacked(body, most)
            take(len(unpacked))
            return unpacked
        case other:
            refusal = Refusal(
                code=415, error=f"the content encoding '{other[:40]}' is not read; send gzip, or plain JSON"
            )
            raise UploadError(refusal)


def _unpacked(body: bytes, most: int) -> bytes:
    unpacking = zlib.decompressobj(wbits=31)  # gzip, with its header
    try:
        unpacked = unpacking.decompress(body, most + 1)
    except zlib.error as error:
        raise UploadError(Refusal(code=400, error=f"the request is no gzip: {error}")) from None
    if len(unpacked) > most:
        raise _too_large(most)
    if not unpacking.eof or unpacking.unused_data:
        raise UploadError(Refusal(code=400, error="the request is no gzip: it is cut, or goes on behind its end"))
    return unpacked


def _too_large(most: int) -> UploadError:
    error = f"the request has more than {most} bytes; send it in parts"
    return UploadError(Refusal(code=413, error=error))


def _now() -> int:
    return time.time_ns() // 1_000_000
