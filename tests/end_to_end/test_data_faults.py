"""Verdicts about data on a real broker: what does not come is said by looks, by the command line, and by a replay."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka import KafkaProducer

from evaluation.significance.look import decode_look
from pipeline.kafka.clients import kafka_python_arguments
from pipeline.kafka.reading import read_topic
from schemas.dead_letter import DeadLetter, to_headers
from schemas.topics import EVENTS, EXPOSURES, RESULTS
from tests.conftest import deployed
from tests.end_to_end.test_lost_logs import Deployment
from tests.live import wait_for, wait_for_catalog

MINUTE = 60_000
REFUND = "key: refund\nowner: shop\ntype: conversion\nevent: refund\nwindow: 10s\n"


@pytest.fixture
def deployment(broker: str, tmp_path: Path) -> Iterator[Deployment]:
    hours = {"units_partitions": 2, "horizon": 180 * MINUTE, "tolerance": 20_000}
    with deployed(broker, tmp_path / "data", archive_interval=1_000, **hours) as settings:
        yield Deployment(settings, tmp_path / "shop")


def test_what_does_not_come_is_told_by_looks(deployment: Deployment) -> None:
    shop = deployment.shop
    (shop.directory / "metrics" / "refund.yaml").write_text(REFUND)
    shop.rewrite("  - metric: revenue\n", "  - {metric: revenue, role: primary}\n  - metric: refund\n")
    shop.flag.write_text(f"{shop.flag.read_text()}analysis: {{patience: 1s}}\n")
    shop.apply("--yes", "--reason", "so that it is told at once")
    wait_for_catalog(deployment.settings)
    with deployment.working("archive"):
        wait_for(lambda: told(deployment) == {"no exposures"}, what="no exposures")

        _send_old(deployment, minutes=range(150, 60, -1))
        wait_for(lambda: told(deployment) == {"exposures stopped", "event stopped", "event never came"}, what="a stop")
        said = shop.call("results").stdout
        never = next(each for each in deployment.look().health.data if each.kind == "event never came")
        assert (never.metric, never.near) == ("refund", ["refunded"])
        assert ": needs attention (as of " in said
        silent = re.search(r"No exposure has come for (\d+) minutes", " ".join(said.split()))
        assert silent
        assert 60 <= int(silent[1]) <= 100  # it may be told of the first hundred units, while others are on their way

        shop.call("experiment", "complete", "button", "--reason", "it is broken", "--yes")
        shop.call("experiment", "start", "button", "--reason", "it is mended")
        wait_for_catalog(deployment.settings)
        _send_old(deployment, minutes=range(1))
        wait_for(lambda: "older run" in told(deployment), what="an older run")
        time.sleep(2)  # the archive
    assert set(shop.told("replay")["outcomes"]) <= {"same", "not yet archived"}


def told(deployment: Deployment) -> set[str]:
    """The kinds of faults that the newest look at the newest run tells."""
    found = [decode_look(record.value) for record in read_topic(deployment.settings, RESULTS)]
    newest = max(found, key=lambda each: (each.run, each.look), default=None)
    return {fault.kind for fault in newest.health.data or ()} if newest else set()


def _send_old(deployment: Deployment, minutes: range) -> None:
    """Units who met their variant so many minutes ago, as dead letters that are sent again say when they came first."""
    producer = KafkaProducer(**kafka_python_arguments(deployment.settings))
    now = time.time_ns() // 1_000_000
    for minute in minutes:
        for unit in (f"{minute}a", f"{minute}b"):
            at = now - minute * MINUTE
            who = {"user_id": unit, "time": at, "insert_id": unit}
            variant = "control" if unit[-1] == "a" else "treatment"
            exposed = {"flag_key": "button", "experiment_key": "exp-1", "variant": variant}
            bought = {"event_type": "purchase", "event_properties": {"revenue": 1.0}}
            for topic, said in ((EXPOSURES, exposed), (EVENTS, bought), (EVENTS, {"event_type": "refunded"})):
                value = json.dumps(who | said).encode()
                letter = DeadLetter(
                    reason="future", detail="", topic=topic, partition=0, offset=minute, append_time=at, value=value
                )
                producer.send(deployment.settings.topic(topic), value, headers=[*to_headers(letter)])
    producer.close()
