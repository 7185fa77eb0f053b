"""Hooks: what a consumer asks of its app when partitions come and go."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

import faust
from faust.types import TP

from pipeline.kafka.columnar.turn import Turn


class LogExtent(NamedTuple):
    """What there is of a partition: its log's offsets [begin, end), and what the group committed and said with it."""

    begin: int
    end: int
    committed: int | None
    said: str


class Hooks(faust.App):
    """An app of which the consumer knows this much.

    For each partition of a columnar topic that the group gives to this worker: `start_position(tp, log)` chooses the
    offset to begin at (None: the group's committed offset, else the beginning), which the log must hold; `begin(tp,
    offset)` says that the next slice begins there, also where a partition was held before; `let_go` comes before
    partitions go to another worker. All of these hold `turn`: one at a time.

    A fetch waits until there are `fetch_min_bytes`, or `fetch_wait_ms` have passed: a slice of few records costs nearly
    as much as one of many. Where a log doesn't hold what comes next, `lost(tp)` says whether the app asks for another
    rebalance: until then nothing is fetched of the partition; else the worker ends. `commit_says(topic)` stands beside
    every offset that is committed; if not `keeps_offsets`, none is, and brokers forget the group when its workers are
    gone.
    """

    turn: Turn
    keeps_offsets = True
    fetch_min_bytes = 1
    fetch_wait_ms = 500
    start_position: Callable[[TP, LogExtent], Awaitable[int | None]] | None = None
    begin: Callable[[TP, int], None] | None = None
    lost: Callable[[TP], bool] = staticmethod(lambda _: False)
    commit_says: Callable[[str], str] = staticmethod(lambda _: "")

    async def let_go(self, tps: set[TP]) -> None:
        """Release partitions, when the slice that is being worked on is done."""
        raise NotImplementedError
