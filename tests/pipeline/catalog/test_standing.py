"""Standing: how far sources are read, and what is said where not every worker is heard."""

import msgspec
import pytest

from evaluation.catalog.in_force import Catalog
from pipeline.catalog.standing import NOBODY, UNTOLD, standings
from schemas.health import PartitionHealth, WorkerHealth
from schemas.source import ForeignSource
from tests.evaluation.assignment.routed import shop

ORDERS = {"key": "orders", "topic": "shop.orders", "as": "event", "map": {"event_type": "= paid", "user_id": "id"}}


@pytest.fixture
def catalog() -> Catalog:
    topic = shop()
    topic.source(msgspec.convert(ORDERS, ForeignSource))
    return topic.history.newest


def word(number: int, *partitions: int, topic: str = "@shop.orders") -> WorkerHealth:
    """What a worker says that has read ten records of each of these partitions, and counted them."""
    return WorkerHealth(
        stage="assignment",
        worker=f"host/{number}",
        started=0,
        cpu_seconds=0.0,
        peak_memory=0,
        partitions=[PartitionHealth(topic, each, 10, 5) for each in partitions],
        counts={"source orders: taken": 10 * len(partitions)},
    )


def told(catalog: Catalog, said: list[WorkerHealth], before: list[WorkerHealth]) -> tuple[str, int | None, str | None]:
    (standing,) = standings(catalog, said, before)
    return standing.state, standing.taken, standing.why


def test_of_how_many_workers_nothing_is_heard_is_said(catalog: Catalog) -> None:
    lacks = "workers of assignment {} not heard lately: the numbers lack what was counted there"

    assert told(catalog, [word(1, 0), word(2, 1)], []) == ("read", 20, None)
    assert told(catalog, [word(1, 0)], [word(2, 1)]) == ("read", 10, "1 of 2 " + lacks.format("is"))
    assert told(catalog, [word(1)], [word(2, 0), word(3, 1)]) == ("unknown", 0, "2 of 3 " + lacks.format("are"))
    assert told(catalog, [word(1)], []) == ("unknown", 0, UNTOLD)
    assert told(catalog, [], [word(1, 0)]) == ("unknown", None, NOBODY)


def test_whose_partitions_others_read_and_who_read_none_of_a_source_is_not_missed(catalog: Catalog) -> None:
    assert told(catalog, [word(1, 0, 1)], [word(2, 1), word(3, 7, topic="@ended")]) == ("read", 20, None)
