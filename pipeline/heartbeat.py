"""Heartbeat: a worker says once a second how it is, and learns from the broker what time it is."""

import os
import resource
import socket
import sys
import time

import msgspec
from aiokafka import AIOKafkaProducer

from pipeline.settings import Settings
from schemas.health import PartitionHealth, WorkerHealth
from schemas.topics import HEALTH

INTERVAL = 1.0  # seconds


class Heartbeat:
    """Sends one worker's health; the append time of its record is the broker's clock."""

    def __init__(self, settings: Settings, stage: str, producer: AIOKafkaProducer) -> None:
        self._topic = settings.topic(HEALTH)
        self._stage = stage
        self._producer = producer
        self._worker = f"{socket.gethostname()}/{os.getpid()}"
        self._started = time.time_ns() // 1_000_000

    async def beat(self, partitions: list[PartitionHealth], counts: dict[str, int]) -> int:
        """Send the health; returns the broker's time (ms UTC) of a moment after this call began."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        health = WorkerHealth(
            stage=self._stage,
            worker=self._worker,
            started=self._started,
            cpu_seconds=round(usage.ru_utime + usage.ru_stime, 3),
            peak_memory=usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
            partitions=partitions,
            counts=counts,
        )
        key = f"{self._stage}/{self._worker}".encode()
        sent = await self._producer.send_and_wait(self._topic, msgspec.json.encode(health), key=key)
        return int(sent.timestamp)
