"""A metric and a breakdown that come late, counted from the start on a real broker, while workers are killed.

It takes three minutes, so it runs where PEEKPROOF_LONG is set. What always runs: tests/pipeline/recounting,
tests/evaluation/test_recounted_stages.py.
"""

import json
import os
import random
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb
import psutil
import pyarrow as pa
import pytest
from kafka import KafkaProducer

from evaluation.catalog.recounts import coming
from evaluation.significance.look import decode_look
from pipeline.catalog.topic import read_catalog
from pipeline.kafka.clients import kafka_python_arguments
from pipeline.kafka.reading import read_topic
from pipeline.processes.supervisor import Supervisor
from pipeline.settings import Settings
from pipeline.storage.archived import partitions, unbroken
from pipeline.storage.recounts import read_progress
from schemas.look import Look
from schemas.topics import EVENTS, EXPOSURES, RESULTS, UNITS
from tests.conftest import deployed
from tests.live import wait_for, wait_for_catalog
from tests.pipeline.shop import Shop

REVENUE = "key: revenue\nowner: shop\ntype: sum\nevent: purchase\nproperty: revenue\nwindow: none\nscale: 0\n"
BREAKDOWN = "breakdowns:\n  - property: platform\n    values: [iOS]\n"
HORIZON = 600_000  # ms: nothing is late, however slow the machine is
ORACLE = """
WITH entries AS (
    SELECT user_id, min(time) AS entry, any_value(variant) AS variant, arg_min(platform, time) AS platform
    FROM messages WHERE variant IS NOT NULL GROUP BY user_id
), units AS (
    SELECT e.variant, e.platform, e.user_id, coalesce(sum(b.revenue) FILTER (b.time >= entry), 0) AS revenue
    FROM entries e LEFT JOIN (SELECT DISTINCT * FROM messages WHERE revenue IS NOT NULL) b USING (user_id) GROUP BY ALL
)
SELECT variant, segment, count(*), sum(revenue)::BIGINT, count(*) FILTER (revenue > 0)
FROM (
    SELECT *, 'all' AS segment FROM units
    UNION ALL SELECT *, 'platform=' || if(platform = 'iOS', platform, '(other)') FROM units
)
GROUP BY ALL ORDER BY ALL
"""


@pytest.mark.skipif("PEEKPROOF_LONG" not in os.environ, reason="PEEKPROOF_LONG=1 has it run for three minutes")
@pytest.mark.timeout(900)
def test_what_comes_late_is_counted_from_the_start_as_queries_count_it(broker: str, tmp_path: Path) -> None:
    fixed = {"horizon": HORIZON, "tolerance": HORIZON, "units_partitions": 2, "recount_share": 0.01}
    with deployed(broker, tmp_path / "data", archive_interval=1_000, **fixed) as settings:
        shop = Shop(tmp_path / "documents", settings)
        (shop.directory / "metrics" / "a.yaml").write_text(
            "key: purchase\nowner: shop\ntype: conversion\nevent: purchase\nwindow: none\n"
        )
        shop.apply()
        shop.call("experiment", "start", "button")
        wait_for_catalog(settings)
        traffic = _Traffic(settings)
        with Supervisor(settings, workers=2) as supervisor:
            for _ in range(10):
                traffic.send(3_000)
            wait_for(lambda: (seen := _newest(settings)) and seen.health.arms[0].units, what="a look")

            shop.rewrite("metrics:\n", BREAKDOWN + "metrics:\n  - metric: revenue\n")
            (shop.directory / "metrics" / "b.yaml").write_text(REVENUE)
            applied = shop.apply("--from", "start").stdout
            assert "'revenue' was chosen after the start: it is exploratory, and decides nothing" in applied
            wait_for(lambda: traffic.send(10) or _is_half_way(settings), 240, "half of it")
            told: Any = shop.told("recount", "list")
            assert [(each["flag"], each["state"], each["done"] > 0) for each in told] == [("button", "begun", True)]
            before = _newest(settings)
            assert before is not None
            assert {cell.metric for cell in before.cells if cell.since is None} == {"purchase"}
            _reader().kill()
            for name in ("aggregation", "assignment", "aggregation"):
                next(each for each in supervisor.workers if each.name == name).process.kill()
            traffic.send(500)
            wait_for(lambda: traffic.send(20) or _is_complete(settings), 240, "its end")
            traffic.send(500)
            wait_for(lambda: _counted(settings) == traffic.expected(), 180, "what the queries say")
            after = _newest(settings)
            next(each for each in supervisor.workers if each.name == "aggregation").process.kill()
            traffic.send(500)
            wait_for(lambda: _counted(settings) == traffic.expected(), 180, "what they say after a fall")
            last = _newest(settings)
            assert after is not None
            assert last is not None
            wait_for(lambda: _is_archived(settings, last), 60, "the archive")

        assert (before.generation, after.generation) == (before.generation, last.generation)
        assert (before.revision, after.revision, last.revision) == (
            before.revision,
            before.revision + 1,
            after.revision,
        )
        assert {cell.metric for cell in last.cells if cell.exploratory is True and cell.segment == "all"} == {"revenue"}
        assert {cell.segment for cell in last.cells if cell.metric == "purchase" and cell.exploratory is True} == {
            "platform=iOS",
            "platform=(other)",
        }
        assert all(cell.since is None for cell in last.cells)
        replayed: Any = shop.told("replay")
        assert set(replayed["outcomes"]) <= {"same", "not yet archived"}
        assert replayed["outcomes"]["same"] >= last.look


class _Traffic:
    """Units that meet variants and buy, some of it told twice; `expected` is what the queries say of all of it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._dice = random.Random(21)
        self._said: list[dict[str, Any]] = []
        self._units = 0
        self._time = 0  # of the last message: each has another, so that every entry is one
        self._producer = KafkaProducer(**kafka_python_arguments(settings))

    def send(self, number: int) -> None:
        messages = [self._message() for _ in range(number)]
        messages += self._dice.choices(self._said or messages, k=number // 20)
        self._said += messages
        for message in messages:
            said = {name: value for name, value in message.items() if value is not None}
            if "variant" in said:
                self._producer.send(self._settings.topic(EXPOSURES), json.dumps(said | {"flag_key": "button"}).encode())
            else:
                said["event_properties"] = {"revenue": said.pop("revenue")}
                self._producer.send(
                    self._settings.topic(EVENTS), json.dumps(said | {"event_type": "purchase"}).encode()
                )
        self._producer.flush()

    def _message(self) -> dict[str, Any]:
        fields: dict[str, Any] = dict.fromkeys(("variant", "platform", "revenue"))
        self._time = max(self._time + 1, time.time_ns() // 1_000_000)
        fields |= {"insert_id": f"i{self._dice.random()}", "time": self._time}
        if self._units < 10 or self._dice.random() < 0.3:
            self._units += 1
            arm = "control" if self._units % 2 else "treatment"
            platform = self._dice.choice(["iOS", "web"])
            return fields | {"user_id": f"user-{self._units}", "variant": arm, "platform": platform}
        user = self._dice.randrange(1, self._units + 1)
        if self._dice.random() < 0.1:  # it is exposed again, as another platform
            arm = "control" if user % 2 else "treatment"
            return fields | {"user_id": f"user-{user}", "variant": arm, "platform": "Android"}
        return fields | {"user_id": f"user-{user}", "revenue": self._dice.randrange(1, 90)}

    def expected(self) -> list[tuple[Any, ...]]:
        return duckdb.from_arrow(pa.Table.from_pylist(self._said)).query("messages", ORACLE).fetchall()


def _newest(settings: Settings) -> Look | None:
    found = [decode_look(record.value) for record in read_topic(settings, RESULTS)]
    return max(found, key=lambda each: each.look, default=None)


def _counted(settings: Settings) -> list[tuple[Any, ...]]:
    """Variant, segment, units, revenue and buyers."""
    look = _newest(settings)
    if look is None:
        return []
    cells = {(cell.metric, cell.segment): cell for cell in look.cells}
    rows = []
    for (metric, segment), spent in cells.items():
        if metric == "revenue" and (bought := cells.get(("purchase", segment))):
            rows.append(("control", segment, spent.control_n, int(spent.control_sum), bought.control_nonzero))
            rows.append(("treatment", segment, spent.n, int(spent.sum), bought.nonzero))
    return sorted(rows)


def _is_half_way(settings: Settings) -> bool:
    found = [read_progress(settings.data, generation) for generation in coming(read_catalog(settings).newest)]
    return any(each and 0 < each.done < each.size for each in found)


def _is_complete(settings: Settings) -> bool:
    return read_catalog(settings).newest.recounts["button"].definition.state == "complete"


def _reader() -> psutil.Process:
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if "pipeline.recounting" in process.cmdline() and process.ppid() != 1:
                return process
    raise AssertionError("nobody reads")


def _is_archived(settings: Settings, look: Look) -> bool:
    archive = settings.data / "archive"
    ends = {number: unbroken(archive, UNITS, number)[-1].end for number in partitions(archive, UNITS)}
    results = sum(unbroken(archive, RESULTS, number)[-1].end for number in partitions(archive, RESULTS))
    return all(ends[int(number)] >= offset for number, offset in look.offsets.items()) and results >= look.look
