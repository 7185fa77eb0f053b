"""Looks: the newest look of every run, as the topic `results` has it."""

import asyncio

import msgspec
from aiokafka import ConsumerRecord

from schemas.look import Look


class Looks:
    """Remembers looks as they are read."""

    def __init__(self) -> None:
        self.newest: dict[tuple[str, str], Look] = {}  # by experiment and run
        self.arrived = asyncio.Event()  # set for a moment with every look, and at the end

    def read(self, record: ConsumerRecord) -> None:
        """Take one record of the topic."""
        look = msgspec.json.decode(record.value, type=Look)
        self.newest[look.experiment, look.run] = look
        pulse(self.arrived)


def pulse(event: asyncio.Event) -> None:
    """Wake everybody who waits for the event now."""
    event.set()
    event.clear()
