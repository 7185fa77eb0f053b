"""Bell: the newest notifications, and word of each that comes."""

import asyncio
from collections import deque

from aiokafka import ConsumerRecord

from pipeline.http.results.looks import pulse
from pipeline.notifications.told import NEWEST, ToldNotification, ToldNotifications
from schemas.decoding import decode
from schemas.notification import HandedOver, Notification


class Bell:
    """Reads `notifications` and `deliveries`. `rung`: how many have come."""

    def __init__(self) -> None:
        self.told = ToldNotifications()
        self.rung = 0
        self.arrived = asyncio.Event()  # set for a moment with every one that is new, and at the end
        self._newest: deque[str] = deque(maxlen=NEWEST)  # ids, as they came

    def read(self, record: ConsumerRecord) -> None:
        """Take one record of `notifications`."""
        notification = decode(record.value, Notification)
        if self.told.read(notification, record.timestamp):
            self._newest.append(notification.id)
            self.rung += 1
            pulse(self.arrived)

    def learn(self, record: ConsumerRecord) -> None:
        """Take one record of `deliveries`."""
        self.told.learn(decode(record.value, HandedOver))

    def since(self, rung: int) -> list[ToldNotification]:
        """Those that came after so many."""
        missed = min(self.rung - rung, len(self._newest))
        return [self.told.of(identity) for identity in [*self._newest][len(self._newest) - missed :]]
