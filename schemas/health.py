"""Health: what a worker says of itself once a second, or every three where nothing comes, on `health`. By its append
time it is also the broker's clock.

A worker that ends says so in a last record: one that was killed does not.
"""

from typing import Annotated

import msgspec

from schemas.fields import says
from schemas.numbers import Count, Small, Time
from schemas.recount import RecountHealth

FRESH_MS = 10_000  # a worker speaks every few seconds, later where it is busy; beyond that it does not work now


class PartitionHealth(msgspec.Struct, frozen=True):
    """One input partition: the position reached, the records behind it, and the watermark (ms UTC, 0 unknown)."""

    topic: Annotated[str, says("topic", "none", "The topic, without the prefix.")]
    partition: Annotated[Small, says("partition", "none", "The partition of the topic.")]
    position: Annotated[Count, says("position", "none", "The offset that is read next.")]
    lag: Annotated[Count, says("lag", "none", "Records that lie behind the position and are not read yet.")]
    watermark: Annotated[
        Time, says("watermark", "ms UTC", "How far time has come in the partition; 0 where that is not known.")
    ] = msgspec.field(default=0, name="clock")


class WorkerHealth(msgspec.Struct, frozen=True, kw_only=True):
    """`counts` are totals since the worker started, for watching: exact numbers stand in the results.

    `waiting`: topics of sources that it is to read and does not, and why.

    `ended`: this is its last word; `error` then says what ended it, null where it was asked to end.
    """

    stage: Annotated[str, says("stage", "none", "The stage that the worker is of.")]
    worker: Annotated[str, says("worker", "none", "Its machine and process, as host/pid.")]
    started: Annotated[Time, says("start", "ms UTC", "When it started.")]
    cpu_seconds: Annotated[float, says("CPU", "none", "Seconds of CPU that it has taken since.")]
    peak_memory: Annotated[Count, says("memory", "none", "The most bytes of memory that it has held at once.")]
    partitions: Annotated[
        list[PartitionHealth], says("partitions", "none", "The partitions that it reads, and how far it is in each.")
    ] = []
    counts: Annotated[dict[str, Count], says("counts", "none", "What it has counted since it started, by name.")] = {}
    waiting: Annotated[
        dict[str, str],
        says("sources that wait", "none", "Topics of sources that it is to read and does not, and why; with `@`."),
    ] = {}
    recounts: Annotated[
        list[RecountHealth], says("recounts", "none", "Of the archive's worker: runs that are counted again.")
    ] = []
    ended: Annotated[bool, says("end", "none", "Whether this is its last word.")] = False
    error: Annotated[
        str | None, says("error", "none", "Of a last word, what ended it; null where it was asked to end.")
    ] = None

    @property
    def name(self) -> str:
        """The worker's name among all: a process may have had another stage before. It is the record's key."""
        return f"{self.stage}/{self.worker}"
