"""Gathering: what the units partitions are told of the sources' clocks, when partitions are added to the sources."""

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from evaluation.catalog.in_force import Catalog
from evaluation.metrics.partition import Partition
from pipeline.stages.gathering import Gathering
from schemas.units import decode_units
from tests.pipeline.slices import records

HORIZON = 100
OLD, OTHER, NEW = ("events", 0), ("events", 1), ("events", 2)


class Worker:
    """An assignment worker that reads its sources to their ends."""

    def __init__(self, *sources: tuple[str, int]) -> None:
        self.gathering = Gathering(1, HORIZON, expected=2)
        for source in sources:
            self.gathering.begin(source, 0)
        self.sources = sources

    def say(self, time: int, sources: int, until: int) -> bytes:
        """It has read everything, and counted so many sources, of which there were no others until then."""
        self.gathering.count(sources, until)
        for source in self.sources:
            self.gathering.reach(source, time, catalog=0)
        _, (message,) = self.gathering.cut()
        return message


def test_a_clock_does_not_pass_the_moment_until_which_every_source_was_counted():
    worker = Worker(OLD, OTHER)

    _, header = decode_units(worker.say(900, sources=2, until=500))

    assert [source.watermark for source in header.sources] == [500, 500]
    assert worker.gathering.watermark(OLD) == 500


def test_the_clock_waits_for_a_source_that_any_worker_has_counted():
    """One worker, without sources, has not heard of the third yet when the others are told of it."""
    partition, offset = Partition(0, HORIZON), iter(range(100))

    def fold(message: bytes) -> int:
        partition.fold(next(offset), message, lambda _: Catalog())
        return partition.watermark

    one, other, idle = Worker(OLD), Worker(OTHER), Worker()
    assert fold(one.say(500, sources=2, until=490)) == 0
    assert fold(other.say(500, sources=2, until=480)) == 480

    # at 520 the third source comes into being, and a record stands there at once
    assert fold(one.say(900, sources=3, until=700)) == 480
    assert fold(other.say(900, sources=3, until=700)) == 480
    assert fold(idle.say(900, sources=2, until=510)) == 480
    partition = Partition.load(partition.save())
    assert fold(idle.say(900, sources=2, until=515)) == 480

    third = Worker(NEW)
    third.gathering.count(3, 700)
    assert fold(third.gathering.cut()[1][0]) == 480
    assert fold(third.say(950, sources=3, until=940)) == 700


def test_rows_of_a_source_that_was_added_keep_their_own_times():
    worker = Worker(NEW)

    batch, header = decode_units(worker.say(700, sources=3, until=690))

    assert batch.num_rows == 0
    assert (header.expected, header.until) == (3, 690)
    assert np.all([source.begin == source.end == 0 for source in header.sources])


TIMES = st.integers(0, 1_000)


@given(
    st.integers(0, 50),
    st.lists(st.tuples(st.lists(TIMES, max_size=4), st.booleans()), max_size=8),
    st.lists(st.integers(1, 1_000), min_size=8, max_size=8),
)
def test_no_record_with_its_producer_s_time_is_taken_as_of_before_what_was_told_nor_as_of_a_time_to_come(
    delay: int, slices: list[tuple[list[int], bool]], clocks: list[int]
):
    """`slices` are the times of the records that come, and whether the partition was then read to its end."""
    gathering, offset, told = Gathering(1, HORIZON, {"@orders": 1}), 0, 0
    source = ("@orders", 0)
    gathering.begin(source, 0)
    gathering.wait({"@orders": delay})
    for (times, is_at_end), now in zip(slices, sorted(clocks), strict=False):
        gathering.count({"@orders": 1}, now)
        came = with_times(records("@orders", 0, offset, [b"{}"] * len(times)), times)
        offset += len(times)

        taken = gathering.timed(source, came, now)

        assert np.all(taken.append_time >= min(told, now))
        assert np.all(taken.append_time <= now)
        on_time = (came.append_time >= told) & (came.append_time <= now)
        assert np.array_equal(taken.append_time[on_time], came.append_time[on_time])
        if len(times):
            gathering._watermark[source] = max(gathering._watermark[source], int(taken.append_time.max()))
        if is_at_end:
            gathering.reach(source, now, catalog=0)
        _, header = decode_units(gathering.cut()[1][0])
        assert header.sources[0].watermark <= max(now - delay, 0)
        told = max(told, header.sources[0].watermark)


def with_times(slice_: Any, times: list[int]) -> Any:
    """The records with these times."""
    return replace(slice_, append_time=np.array(times, np.int64), has_own_times=True)
