"""Told: notifications as the topic has them, each with what became of it at every place, the newest of them."""

import msgspec

from schemas.notification import HandedOver, Notification


class ToldNotification(msgspec.Struct, frozen=True, kw_only=True):
    """A notification, when it was published (ms UTC), and the last that is known of it at each place of its rule."""

    notification: Notification
    published: int
    deliveries: list[HandedOver]


NEWEST = 1_000


class ToldNotifications:
    """Folds `notifications` and `deliveries`, and remembers the newest; a repeat changes nothing."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[int, Notification]] = {}  # by id
        self._deliveries: dict[str, dict[str, HandedOver]] = {}  # by id and place; they may come first

    def read(self, notification: Notification, published: int) -> bool:
        """One record of `notifications`; whether it is new."""
        if notification.id in self._told:
            return False
        self._told[notification.id] = published, notification
        if len(self._told) > 2 * NEWEST:
            self._told = dict(self._sorted()[-NEWEST:])
            for identity in [*self._deliveries][: -2 * NEWEST]:
                if identity not in self._told:
                    del self._deliveries[identity]
        return notification.id in self._told

    def learn(self, outcome: HandedOver) -> None:
        """One record of `deliveries`."""
        of_places = self._deliveries.setdefault(outcome.id, {})
        known = of_places.get(outcome.place)
        if known is None or (known.outcome == "failed" and outcome.attempts >= known.attempts):
            of_places[outcome.place] = outcome

    def newest(self, limit: int, after: str | None = None) -> list[ToldNotification]:
        """So many, the newest first; those that follow after this one in that order. Raises KeyError."""
        if after is not None and after not in self._told:
            raise KeyError(after)
        ids = [identity for identity, _ in reversed(self._sorted()[-NEWEST:])]
        begin = 0 if after is None else ids.index(after) + 1 if after in ids else len(ids)
        return [self.of(identity) for identity in ids[begin : begin + limit]]

    def of(self, identity: str) -> ToldNotification:
        """One of them."""
        published, notification = self._told[identity]
        deliveries = [*self._deliveries.get(identity, {}).values()]
        return ToldNotification(notification=notification, published=published, deliveries=deliveries)

    def _sorted(self) -> list[tuple[str, tuple[int, Notification]]]:
        """By when they were published."""
        return sorted(self._told.items(), key=lambda each: each[1][0])
