"""Looks in memory: bounded, however long a run goes on."""

from collections.abc import Callable, Iterable

import pytest
from aiokafka import ConsumerRecord

from pipeline.http.results.looks import MOST_MARKS, MOST_POINTS, Looks

Record = tuple[int, int, int, bytes | None]
CELL = ("metric-0", "treatment", "live", "all")


def reading(records: Iterable[Record]) -> Looks:
    looks = Looks()
    for partition, offset, time, value in records:
        looks.read(ConsumerRecord("results", partition, offset, time, 1, None, value, None, 0, 0, ()))
    return looks


def test_a_long_history_is_thinned_evenly_and_ends_with_the_newest(looks: Callable[..., list[Record]]):
    kept = reading(looks(1, 1_999)).of("checkout")

    columns = kept.history(CELL)

    assert 128 < len(columns["look"]) <= MOST_POINTS + 1
    assert columns["look"][-1] == 1_999
    assert len({b - a for a, b in zip(columns["look"], columns["look"][1:-1], strict=False)}) == 1
    assert columns["n"] == [100 + look for look in columns["look"]]
    assert set(columns["estimate"]) == {0.1}
    assert set(columns["relative_lower"]) == {None}
    assert kept.history(("metric-9", "treatment", "live", "all")) is None


def test_a_look_before_there_are_watermarks_is_left_out_of_a_history(looks: Callable[..., list[Record]]):
    ((partition, offset, published, value),) = looks(1, 1)
    early = value.replace(b'"time":1700000000001', b'"time":0')
    alone = reading([(partition, offset, published, early)]).of("checkout").history(CELL)
    kept = reading([(partition, offset, published, early), *looks(2, 3, offset=1)]).of("checkout").history(CELL)

    assert {*map(tuple, alone.values())} == {()}
    assert kept["look"] == [2, 3]
    assert kept["n"] == [102, 103]
    assert kept["time"] == [1_700_000_000_002, 1_700_000_000_003]


def test_places_on_the_topic_are_thinned_too(looks: Callable[..., list[Record]], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pipeline.http.results.looks.MOST_MARKS", 100)
    kept = reading(looks(5, 1_000, offset=70)).of("checkout")

    assert MOST_MARKS > 100 >= len(kept.marks)
    for look in (5, 6, 517, 999):
        mark = kept.mark(look)
        assert look - 32 < mark.look <= look
        assert mark.offset == 70 + mark.look - 5
    assert kept.mark(4) is kept.mark(1_001) is None


def test_a_look_that_is_not_newer_is_ignored_and_the_newest_run_is_found(looks: Callable[..., list[Record]]):
    found = reading(
        [*looks(1, 3), *looks(7, 7, offset=3), *looks(6, 7, offset=4), *looks(1, 2, run="exp-10", offset=9)]
    )

    assert (found.of("checkout", "exp-1").head.look, found.of("checkout", "exp-1").offset) == (7, 3)
    assert found.of("checkout").head.run == "exp-10"
    assert found.of("basket") is found.of("checkout", "exp-2") is None


def test_news_are_told_once_to_each_who_asks(looks: Callable[..., list[Record]]):
    found = reading([*looks(1, 3), *looks(1, 1, run="exp-2", offset=3)])
    seen: dict[tuple[str, str], int] = {}

    assert [run.head.look for run in found.news(seen)] == [3, 1]
    assert [*found.news(seen)] == []
    assert [*found.news({}, "basket")] == []


def test_older_looks_that_are_read_later_stand_among_the_others(looks: Callable[..., list[Record]]):
    every = looks(1, 50)
    found = reading([*every[19:20], *every[39:]])
    for partition, offset, time, value in [*every[4::5], every[49]]:
        found.recall(ConsumerRecord("results", partition, offset, time, 1, None, value, None, 0, 0, ()))
    kept = found.of("checkout")

    assert kept.head.look == 50
    known = [5, 10, 15, 20, 25, 30, 35, *range(40, 51)]
    assert [(mark.look, mark.offset) for mark in kept.marks] == [(look, look - 1) for look in known]
    columns = kept.history(CELL)
    assert columns["look"] == known
    assert columns["n"] == [100 + look for look in known]
    assert kept.mark(33).look == 30
    assert kept.mark(4) is None
