"""Heartbeat: a worker says how it is, and learns the time from the broker: once a second, or every three where nothing
comes. At its end it says why.
"""

import asyncio
import os
import resource
import socket
import sys
import time
from contextlib import suppress

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from pipeline.errors import PeekproofError
from pipeline.kafka.connection import explain
from pipeline.kafka.producer import producing
from pipeline.settings import Settings
from schemas.health import PartitionHealth, WorkerHealth
from schemas.recount import RecountHealth
from schemas.topics import HEALTH

INTERVAL, QUIET_INTERVAL = 1.0, 3.0  # seconds
PATIENCE = 3.0  # seconds for the last word: brokers that are away don't hear it
LONGEST = 2_000  # characters of an error


class Heartbeat:
    """Sends one worker's health; the append time of its record is the broker's clock."""

    def __init__(self, settings: Settings, stage: str) -> None:
        self._settings = settings
        self._topic = settings.topic(HEALTH)
        self._stage = stage
        self._worker = f"{socket.gethostname()}/{os.getpid()}"
        self._key = f"{stage}/{self._worker}".encode()
        self._started = time.time_ns() // 1_000_000

    async def beat(
        self,
        producer: AIOKafkaProducer,
        partitions: list[PartitionHealth],
        counts: dict[str, int],
        waiting: dict[str, str],
        recounts: list[RecountHealth],
    ) -> int:
        """Send the health; returns the broker's time (ms UTC) of a moment after this call began."""
        told = {"partitions": partitions, "counts": counts, "waiting": waiting, "recounts": recounts}
        health = msgspec.structs.replace(self._health(), **told)
        sent = await producer.send_and_wait(self._topic, msgspec.json.encode(health), key=self._key)
        return int(sent.timestamp)

    async def end(self, error: BaseException | None = None) -> None:
        """Say that the worker ends, and what ended it. Raises nothing: what is wrong is told already."""
        text = (explain(self._settings, error) or f"{type(error).__name__}: {error}") if error else ""
        told = "; ".join(text.splitlines())[:LONGEST] or None
        health = msgspec.structs.replace(self._health(), ended=True, error=told)
        sending = asyncio.create_task(self._send(msgspec.json.encode(health)))
        await asyncio.wait({sending}, timeout=PATIENCE)
        sending.cancel()

    async def _send(self, value: bytes) -> None:
        """By a producer of its own: the worker's may be what failed, or not be there yet."""
        with suppress(KafkaError, OSError, PeekproofError):
            async with producing(self._settings) as producer:
                await producer.send_and_wait(self._topic, value, key=self._key)

    def _health(self) -> WorkerHealth:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return WorkerHealth(
            stage=self._stage,
            worker=self._worker,
            started=self._started,
            cpu_seconds=round(usage.ru_utime + usage.ru_stime, 3),
            peak_memory=usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        )
