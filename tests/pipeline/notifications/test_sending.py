"""Sending: whatever one notification or place is like, it ends no other."""

import asyncio

from pipeline.notifications.attempts import Attempt
from pipeline.notifications.sending import Sender
from schemas.notification import Notification, Place, SecretAt, Webhook
from tests.pipeline.notifications.words import rule, word


def send(notification: Notification, place: Place, **more: str) -> Attempt:
    async def sent() -> Attempt:
        async with Sender("https://console.example") as sender:
            return await sender.send(notification, rule(place, **more), place)

    return asyncio.run(sent())


def test_a_file_of_no_possible_name_holds_up_its_place_alone() -> None:
    hook = Webhook(url="https://example.org", secrets=(SecretAt(file="a\0b"),))

    attempts = [
        send(word("first"), Place(name="hook", webhook=hook)),
        send(word("first"), Place(name="chat", people=SecretAt(file="a\0b"))),
    ]

    for attempt in attempts:
        assert attempt.error == "the name of its file holds a null byte, as none does; write the path of one"


def test_word_that_cannot_be_put_into_a_message_is_told_as_that() -> None:
    place = Place(name="chat", people=SecretAt(env="CHAT"))

    assert send(word("first"), place, template="{nobody}") == Attempt(error="it cannot be sent (KeyError)")
