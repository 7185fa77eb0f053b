"""Health: what a worker says of itself once a second, on `health`. By its append time it is also the broker's clock.

A worker that ends says so in a last record: one that was killed does not.
"""

import msgspec

from schemas.numbers import Count, Small, Time


class PartitionHealth(msgspec.Struct, frozen=True):
    """One input partition: the position reached, the records behind it, and the watermark (ms UTC, 0 unknown)."""

    topic: str
    partition: Small
    position: Count
    lag: Count
    watermark: Time = msgspec.field(default=0, name="clock")


class WorkerHealth(msgspec.Struct, frozen=True, kw_only=True):
    """`counts` are totals since the worker started, for watching: exact numbers stand in the results.

    `ended`: this is its last word; `error` then says what ended it, null where it was asked to end.
    """

    stage: str
    worker: str  # host/pid
    started: Time
    cpu_seconds: float
    peak_memory: Count  # bytes
    partitions: list[PartitionHealth] = []
    counts: dict[str, Count] = {}
    ended: bool = False
    error: str | None = None
