"""Health: what a worker says of itself once a second, on `health`. By its append time it is also the broker's clock."""

import msgspec


class PartitionHealth(msgspec.Struct, frozen=True):
    """One input partition: the position reached, the records behind it, and the clock (ms UTC, 0 unknown)."""

    topic: str
    partition: int
    position: int
    lag: int
    clock: int = 0


class WorkerHealth(msgspec.Struct, frozen=True, kw_only=True):
    """`counts` are totals since the worker started, for watching: exact numbers stand in the results."""

    stage: str
    worker: str  # host/pid
    started: int  # ms UTC
    cpu_seconds: float
    peak_memory: int  # bytes
    partitions: list[PartitionHealth] = []
    counts: dict[str, int] = {}
