"""Schema: how a topic says that it is read as columns."""

from collections.abc import Awaitable, Callable
from typing import Any

import faust
from faust.types import AppT, EventT, Message

from schemas.records import Records


class RecordsSchema(faust.Schema[None, Records]):
    """A topic with this schema delivers `Records` as its events; every other topic delivers record by record."""

    def compile(self, app: AppT, **_: Any) -> Callable[..., Awaitable[EventT[Any]]]:
        """The function that makes an event of a message. The message's value is `Records` already."""

        async def decode(message: Message, *, propagate: bool = False) -> EventT[Any]:
            del propagate
            return app.create_event(None, message.value, None, message)

        return decode
