"""Notifications over HTTP: the newest, with where each was delivered, and each as it comes."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
from litestar import Router, get
from litestar.exceptions import NotFoundException
from litestar.response import Stream

from pipeline.http.backend import Backend
from pipeline.http.callers.access import READING, requires
from pipeline.http.callers.keys import Key
from pipeline.http.management.pages import Limit
from pipeline.http.results.routes import QUIET_SECONDS, ReadRequest
from pipeline.notifications.told import NEWEST, ToldNotification


class NotificationsTold(msgspec.Struct, frozen=True, kw_only=True):
    """Notifications, the newest first."""

    notifications: list[ToldNotification]


@get("/notifications")
async def list_notifications(backend: Backend, limit: Limit = 50, after: str | None = None) -> NotificationsTold:
    """The newest notifications first; with `after`, an id, those that come behind it in that order."""
    try:
        return NotificationsTold(notifications=backend.bell.told.newest(limit, after))
    except KeyError:
        raise NotFoundException(f"there is no notification '{after}' among the newest {NEWEST:,}") from None


@get("/notifications/stream")
async def ring(request: ReadRequest, backend: Backend) -> Stream:
    """Each notification that comes from now on, as server-sent events of the type `notification`."""
    return backend.streams.of(_events(backend, request.auth), request.auth.id)


notifications = Router(
    "/api/1", route_handlers=[list_notifications, ring], guards=[requires(READING)], tags=["notifications"]
)


async def _events(backend: Backend, key: Key) -> AsyncIterator[bytes]:
    bell = backend.bell
    rung = bell.rung
    yield b": notifications follow\n\n"
    while not backend.is_stopping and backend.access.holds(key):
        fresh, rung = bell.since(rung), bell.rung
        for told in fresh:
            yield b"event: notification\ndata: " + msgspec.json.encode(told) + b"\n\n"
        if rung != bell.rung:
            continue  # others have come while these were sent
        try:
            async with asyncio.timeout(QUIET_SECONDS):
                await bell.arrived.wait()
        except TimeoutError:
            yield b": still here\n\n"
