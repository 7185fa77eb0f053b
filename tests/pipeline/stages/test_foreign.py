"""Foreign topics: which a worker reads, and what it says of the others."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from evaluation.catalog.history import History
from evaluation.catalog.reading import Reading, paused, readings
from pipeline.kafka.logs import ClusterTopics
from pipeline.settings import Settings
from pipeline.stages.archive import ArchiveStage
from pipeline.stages.foreign import ForeignTopics
from schemas.logs import Gap, Log, Logs
from schemas.source import FieldMap, ForeignSource

NOW = 1_764_000_000_000
HORIZON = 3_600_000
ORDERS = "@orders"


class AtWork:
    """A stage whose catalog says what the logs are."""

    name = "assignment"

    def __init__(self) -> None:
        self.history = History()

    @property
    def logs(self) -> Any:
        return self.history.newest.logs

    def note(self, log: str, *gaps: Gap) -> None:
        self.history.suppose(Logs(cluster="c", topics={ORDERS: Log(id=log)}, gaps=gaps), NOW)


@pytest.fixture
def stage() -> AtWork:
    return AtWork()


@pytest.fixture
def foreign(stage: AtWork) -> ForeignTopics:
    at_work: Any = stage
    return ForeignTopics(at_work, Settings(prefix="own"))


def found(log: str | None = "log-1") -> tuple[ClusterTopics, dict[str, str]]:
    return ClusterTopics("c", {ORDERS: log} if log else {}), {} if log else {ORDERS: "there is no such topic"}


WANTED = {ORDERS: Reading(NOW, 0, False)}


def test_a_topic_is_read_once_it_is_there_and_the_catalog_has_noted_its_log(stage: AtWork, foreign: ForeignTopics):
    assert foreign.asks(WANTED)
    assert not foreign.take_up(WANTED, *found(None))
    assert foreign.waiting == {ORDERS: "there is no such topic"}
    assert not foreign.take_up({}, *found(None))  # it is paused
    assert foreign.waiting == {}
    foreign.take_up(WANTED, *found(None))
    assert not foreign.asks(WANTED), "somebody looks now and then"

    assert not foreign.take_up(WANTED, *found())
    assert "notes in a moment" in foreign.waiting[ORDERS]
    assert foreign.asks(WANTED), "it will be but a moment"

    stage.note("log-1")
    assert foreign.take_up(WANTED, *found())
    assert (foreign.read, foreign.ids, foreign.waiting) == (WANTED, {ORDERS: "log-1"}, {})
    assert not foreign.asks(WANTED)
    assert not foreign.take_up(WANTED, *found()), "nothing has changed"


def test_one_that_is_paused_or_gone_is_left_and_taken_up_again(stage: AtWork, foreign: ForeignTopics):
    stage.note("log-1")
    foreign.take_up(WANTED, *found())

    assert foreign.asks({})
    assert foreign.take_up({}, *found())
    assert (foreign.read, foreign.waiting) == ({}, {})
    assert foreign.take_up(WANTED, *found())
    assert foreign.take_up(WANTED, *found(None))
    assert foreign.waiting == {ORDERS: "there is no such topic"}


def test_one_that_was_made_anew_is_left_alone_until_somebody_decides(stage: AtWork, foreign: ForeignTopics):
    stage.note("log-1")
    foreign.take_up(WANTED, *found())

    assert foreign.take_up(WANTED, *found("log-2"))
    assert foreign.read == {}
    assert foreign.ids == {ORDERS: "log-1"}, "of which the offsets are that are committed as it is left"
    assert "made anew" in foreign.waiting[ORDERS]
    assert "accept-gap" in foreign.waiting[ORDERS]
    stage.note("log-2")
    assert foreign.take_up(WANTED, *found("log-2"))
    assert (foreign.read, foreign.ids) == (WANTED, {ORDERS: "log-2"})


def test_one_that_lost_what_comes_next_is_left_until_the_gap_is_accepted(stage: AtWork, foreign: ForeignTopics):
    stage.note("log-1")
    foreign.take_up(WANTED, *found())

    foreign.leave((ORDERS, 2), 5, "its log begins at 9")
    assert foreign.asks(WANTED)
    assert foreign.take_up(WANTED, *found())
    assert foreign.waiting == {ORDERS: "its log begins at 9"}
    assert not foreign.asks(WANTED)
    stage.note("log-1", Gap(stage="assignment", topic=ORDERS, partition=2, begin=5, end=9, reason="-"))
    assert foreign.take_up(WANTED, *found())
    assert (foreign.read, foreign.left) == (WANTED, {})


def test_one_whose_log_is_in_doubt_is_begun_anew_once_and_one_of_ours_is_never_in_doubt(
    stage: AtWork, foreign: ForeignTopics
):
    stage.note("log-1")
    foreign.take_up(WANTED, *found())

    assert foreign.doubt(ORDERS)
    assert foreign.asks(WANTED)
    assert foreign.take_up(WANTED, *found())
    assert foreign.read == WANTED, "where its log begins and ends is seen when it is begun"
    assert not foreign.asks(WANTED)
    assert not foreign.take_up(WANTED, *found())
    assert not foreign.doubt("events")
    assert not foreign.asks(WANTED)

    foreign.doubt(ORDERS)
    assert foreign.take_up(WANTED, *found("log-2"))
    assert foreign.read == {}
    assert foreign.doubt(ORDERS), "its partitions go in a moment"
    assert not foreign.asks(WANTED)


def source(key: str, **fields: Any) -> ForeignSource:
    said = FieldMap(event_type="= buy", user_id="who")
    return ForeignSource(**{"key": key, "topic": "orders", "makes": "event", "map": said} | fields)


@pytest.mark.parametrize(
    ("fields", "since"),
    [
        ({}, NOW),
        ({"since": "now"}, NOW),
        ({"since": "beginning"}, NOW - HORIZON),
        ({"since": "2025-11-24T15:50:00Z"}, NOW - 10 * 60_000),
        ({"since": "2020-01-01"}, NOW - HORIZON),
        ({"since": "2030-01-01"}, 1_893_456_000_000),
    ],
)
def test_a_topic_is_read_from_the_moment_on_that_the_first_version_says(fields: dict[str, str], since: int):
    history = History()
    history.suppose(source("orders", **fields), NOW)
    history.suppose(source("orders", name="later", **fields), NOW + 60_000)

    assert readings(history, HORIZON) == {ORDERS: Reading(since, 0, False)}


def test_of_several_sources_of_a_topic_the_first_to_begin_counts_and_paused_ones_do_not():
    history = History()
    keyed = FieldMap(event_type="= buy", user_id=("who", "$key"))
    history.suppose(source("one", delay="2s"), NOW)
    history.suppose(source("two", since="beginning", delay="5s", map=keyed), NOW)

    assert readings(history, HORIZON) == {ORDERS: Reading(NOW - HORIZON, 5_000, True)}
    history.suppose(source("two", since="beginning", delay="5s", map=keyed, paused=True), NOW)
    assert readings(history, HORIZON) == {ORDERS: Reading(NOW, 2_000, False)}
    history.suppose(source("one", delay="2s", paused=True), NOW)
    assert readings(history, HORIZON) == {}
    assert paused(history, HORIZON) == {ORDERS: Reading(NOW - HORIZON, 5_000, True, until=NOW)}


def test_one_that_is_paused_is_archived_as_far_as_assignment_has_read_it(tmp_path: Path):
    stage = ArchiveStage(Settings(data=tmp_path, archive_interval=60_000))
    history = stage.catalog.history
    history.suppose(Logs(cluster="c", topics={ORDERS: Log(id="log-1")}), NOW)
    history.suppose(source("orders"), NOW)
    assert stage.readings() == {ORDERS: Reading(NOW, 0, False)}
    for number in range(2):
        stage.begin((ORDERS, number), 0)
        stage.reach((ORDERS, number), NOW)

    pausing = Reading(NOW, 0, False, until=NOW + 1_000)
    history.suppose(source("orders", paused=True), NOW + 1_000)

    stage.reach((ORDERS, 0), NOW + 200_000)
    assert stage.readings() == {ORDERS: pausing}
    stage.reach((ORDERS, 1), NOW + 80_000)
    assert stage.readings() == {ORDERS: pausing}, "an interval may be open in which something was read"
    stage.reach((ORDERS, 1), NOW + 82_000)
    assert stage.readings() == {}
    asyncio.run(stage.release([(ORDERS, 0), (ORDERS, 1)]))
    assert stage.readings() == {}
    history.suppose(source("orders"), NOW + 300_000)
    assert stage.readings() == {ORDERS: Reading(NOW, 0, False)}
    history.suppose(source("orders", paused=True), NOW + 400_000)
    assert stage.readings() == {ORDERS: Reading(NOW, 0, False, until=NOW + 400_000)}


def test_for_one_that_is_paused_nobody_waits(stage: AtWork, foreign: ForeignTopics):
    stage.note("log-1")

    foreign.take_up({ORDERS: Reading(NOW, 0, False, until=NOW)}, *found("log-2"))

    assert (foreign.read, foreign.waiting) == ({}, {})
