"""Sending: one notification to one place, once."""

from typing import Self

import msgspec

from evaluation.notifications.message import link_from, message
from pipeline.notifications.attempts import Attempt
from pipeline.notifications.people import People
from pipeline.notifications.webhooks import Webhooks
from schemas.notification import Notification, NotificationRule, Place


class Sender:
    """Sends to places of either kind, with links to the console at `base_url`: `async with Sender(url) as sender: …`"""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url
        self._webhooks = Webhooks()
        self._people = People()

    async def __aenter__(self) -> Self:
        await self._webhooks.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._people.stop()
        await self._webhooks.__aexit__()

    async def send(self, notification: Notification, rule: NotificationRule, place: Place) -> Attempt:
        """Send once, and say what became of it; nothing is raised, so no word stops those to other places."""
        try:
            return await self._send(notification, rule, place)
        except Exception as error:  # of a record that somebody else wrote, say; its words may hold a secret
            return Attempt(error=f"it cannot be sent ({type(error).__name__})")

    async def _send(self, notification: Notification, rule: NotificationRule, place: Place) -> Attempt:
        if place.webhook is not None:
            return await self._webhooks.send(linked(notification, self._base_url), place.webhook)
        if place.people is not None:
            told = message(notification, rule, self._base_url)
            return await self._people.send(told.title, told.body, place.people)
        return Attempt(error="the rule says neither `webhook` nor `people` of it", is_last=True)


def linked(notification: Notification, base_url: str) -> Notification:
    """The same with a link that leads there from anywhere."""
    return msgspec.structs.replace(notification, link=link_from(notification, base_url) or None)
