"""Message: a notification as a person reads it, and when it may be sent."""

from typing import NamedTuple

from schemas.notification import Notification, NotificationRule


class Message(NamedTuple):
    """A line for a list or a subject, and the text: plain, in lines."""

    title: str
    body: str


def message(notification: Notification, rule: NotificationRule | None, base_url: str) -> Message:
    """What a place is told; `base_url` is the console's, `rule` None where it is gone (no template then).

    The body is the rule's `template` with its {names} filled in, else the sentence, the numbers and the link.
    """
    raise NotImplementedError


def sendable_from(rule: NotificationRule, time: int) -> int:
    """The first moment from `time` on (both ms UTC) that lies within the rule's hours; `time` where it has none."""
    raise NotImplementedError
