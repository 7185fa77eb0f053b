"""Partitions that are added to the sources while everything works: read soon, and nothing of them late or lost."""

import json
import threading
import time
from pathlib import Path
from typing import Any

from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient, NewPartitions

from pipeline.kafka.clients import kafka_python_arguments
from pipeline.processes.supervisor import Supervisor
from pipeline.settings import Settings
from schemas.topics import EVENTS, EXPOSURES
from tests.conftest import deployed
from tests.live import ask, wait_for, wait_for_catalog
from tests.pipeline.shop import Shop

REVENUE = "key: buys\nowner: shop\ntype: sum\nevent: buy\nproperty: price\nwindow: none\n"
BEFORE, AFTER = 8, 10  # partitions
HORIZON = 20_000  # ms
AGO = 18_000  # ms before it is sent that something happened: late, where a clock runs ahead of what is yet to be read
SOON = 20  # seconds; 10 on a machine that has nothing else to do


class Traffic:
    """Units that meet a variant and buy, to every partition that there is."""

    def __init__(self, settings: Settings) -> None:
        self.units = 0
        self.partitions = BEFORE
        self.stopped = 0  # when, in ms UTC
        self._settings = settings
        self._producer = KafkaProducer(**kafka_python_arguments(settings), linger_ms=20)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._flow)
        self._thread.start()

    def grow(self) -> None:
        """Add partitions, and send to them at once."""
        admin = KafkaAdminClient(**kafka_python_arguments(self._settings))
        topics = [self._settings.topic(topic) for topic in (EXPOSURES, EVENTS)]
        admin.create_partitions({topic: NewPartitions(AFTER) for topic in topics})
        admin.close()
        fresh = KafkaProducer(**kafka_python_arguments(self._settings) | {"metadata_max_age_ms": 500})
        wait_for(lambda: all(len(fresh.partitions_for(topic) or ()) == AFTER for topic in topics))
        self._producer, before = fresh, self._producer
        self.partitions = AFTER
        before.flush()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()
        self._producer.flush()
        self.stopped = time.time_ns() // 1_000_000

    def _flow(self) -> None:
        while not self._stopping.wait(0.1):
            partitions, producer = self.partitions, self._producer
            for partition in range(partitions):
                now = time.time_ns() // 1_000_000 - (AGO if partition >= BEFORE else 0)
                variant, user = ("control", "treatment")[self.units % 2], f"u{self.units}"
                said = {"flag_key": "button", "experiment_key": "exp-1", "variant": variant}
                self._send(producer, EXPOSURES, partition, **said, user_id=user, time=now)
                price = {"price": 1.5}
                self._send(
                    producer, EVENTS, partition, event_type="buy", user_id=user, time=now + 1, event_properties=price
                )
                self.units += 1

    def _send(self, producer: KafkaProducer, topic: str, partition: int, **message: Any) -> None:
        producer.send(self._settings.topic(topic), json.dumps(message).encode(), partition=partition)


def test_partitions_that_are_added_are_read_and_nothing_of_them_is_late(broker: str, tmp_path: Path) -> None:
    with deployed(broker, tmp_path / "data", horizon=HORIZON, tolerance=HORIZON) as settings:
        shop = Shop(tmp_path / "documents", settings)
        (shop.directory / "metrics" / "buys.yaml").write_text(REVENUE)
        shop.rewrite("  - metric: purchase\n", "  - metric: buys\n")
        shop.apply()
        shop.call("experiment", "start", "button")
        wait_for_catalog(settings)

        with Supervisor(settings, workers=2):
            traffic = Traffic(settings)
            try:
                units = "SELECT sum(units) FROM variants"
                wait_for(lambda: (ask(settings.snapshot, units) or 0) > 0)
                traffic.grow()
                read = (
                    "SELECT count(DISTINCT (topic, partition)) FROM pipeline_health WHERE stage = '{}' "
                    f"AND topic IN ('{EXPOSURES}', '{EVENTS}') AND partition >= {BEFORE} AND position > 0"
                )
                both = 2 * (AFTER - BEFORE)
                grown = time.monotonic()
                wait_for(lambda: ask(settings.snapshot, read.format("assignment")) == both, seconds=SOON)
                print(f"read after {time.monotonic() - grown:.1f} s")
                wait_for(lambda: ask(settings.snapshot, read.format("archive")) == both)
            finally:
                traffic.stop()
            wait_for(lambda: ask(settings.snapshot, units) == traffic.units)
            total = "SELECT sum((sum + control_sum) / 10**scale) FROM results WHERE reading = 'live'"
            wait_for(lambda: ask(settings.snapshot, total) == traffic.units * 1.5)
            late = "SELECT sum(late_events + late_exposures + inactive) FROM experiments"
            assert ask(settings.snapshot, late) == 0
            reached = "SELECT epoch_ms(min(clock)) FROM pipeline_health WHERE stage = 'aggregation'"
            wait_for(lambda: ask(settings.snapshot, reached) > traffic.stopped, what="the watermark")
