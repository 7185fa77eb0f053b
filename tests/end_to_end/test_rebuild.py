"""Aggregation whose checkpoints are of no use: refused, made anew from the archive, and on from the log."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from kafka import KafkaConsumer, TopicPartition

from evaluation.metrics.packing import pack
from pipeline.errors import PeekproofError
from pipeline.kafka.clients import kafka_python_arguments
from schemas.topics import EVENTS, EXPOSURES, UNITS
from tests.conftest import deployed
from tests.end_to_end.test_lost_logs import Deployment
from tests.end_to_end.test_sources import topics
from tests.live import wait_for

COUNTED = """
SELECT (SELECT count(DISTINCT value.decode() ->> 'user_id') FROM read_parquet('{archive}/exposures/*/*.parquet')),
    (SELECT sum((value.decode() ->> '$.event_properties.revenue')::DOUBLE)
        FROM read_parquet('{archive}/events/*/*.parquet'))
    + (SELECT sum((value.decode() ->> '$.order.lines[0].price')::DOUBLE)
        FROM read_parquet('{archive}/@*/*/*.parquet'))
"""


@pytest.fixture
def deployment(broker: str, tmp_path: Path) -> Iterator[Deployment]:
    short = {"units_partitions": 2, "horizon": 20_000, "tolerance": 20_000, "checkpoint_interval": 1_000}
    appended = {"message.timestamp.type": "LogAppendTime"}
    with (
        deployed(broker, tmp_path / "data", archive_interval=1_000, **short) as settings,
        topics(settings, orders=appended) as names,
    ):
        yield Deployment(settings, tmp_path / "shop", orders=names["orders"])


def test_states_of_another_version_are_made_anew_and_counts_go_on(deployment: Deployment) -> None:
    with deployment.working("archive"):
        deployment.send(400)
        deployment.wait_for(400)
        with pytest.raises(PeekproofError, match=r"workers of aggregation are at work, 1 from .*: stop `"):
            deployment.shop.call("recover", "rebuild")
        _archived(deployment, 400)
    _spoil(deployment)
    number = deployment.look().look
    assert "was written by an earlier version: `peekproof recover rebuild`" in deployment.refused("aggregation")

    made = deployment.shop.told("recover", "rebuild")

    assert made["made_of"] == [UNITS]
    assert made["offsets"] == sum(state["offset"] for state in made["states"]) > 0
    with deployment.working("archive"):
        deployment.send(300)
        deployment.wait_for(700)
        assert deployment.look().look > number
        _archived(deployment, 700)
    replayed = deployment.shop.told("replay")
    assert set(replayed["outcomes"]) <= {"same", "not yet archived"}
    assert replayed["outcomes"]["same"] >= number

    # Now of exposures and events, up to where the log of `units` begins.
    _spoil(deployment)
    shutil.rmtree(deployment.settings.data / "archive" / UNITS)
    begins = _cut_in_half(deployment)
    made = deployment.shop.told("recover", "rebuild")
    assert made["made_of"] == [EXPOSURES, EVENTS, f"@{deployment.orders}"]
    assert [state["offset"] for state in made["states"]] == begins
    with deployment.working("archive"):
        deployment.send(200)
        deployment.wait_for(900)
        assert not deployment.look().health.gaps
        _archived(deployment, 900)


def _archived(deployment: Deployment, number: int) -> None:
    """Wait until the archive's files, asked in SQL, say the same as the newest look."""
    archive = deployment.settings.data / "archive"

    def counted() -> bool:
        try:
            return duckdb.sql(COUNTED.format(archive=archive)).fetchall() == [(number, number)]
        except duckdb.Error:  # no file yet
            return False

    wait_for(counted, 60, f"{number} units and purchases in the archive")
    assert deployment.counted() == (number, number)
    time.sleep(1.5)  # `units`, too


def _spoil(deployment: Deployment) -> None:
    """Make the checkpoints those of an earlier version, and add some that reach further."""
    for directory in (deployment.settings.data / "checkpoints").iterdir():
        files = sorted(directory.glob("*.arrow"))
        assert files
        newest = int(files[-1].stem)
        for path in (*files, *(directory / f"{newest + more:020d}.arrow" for more in (7, 9))):
            path.write_bytes(pack({}, {}))


def _cut_in_half(deployment: Deployment) -> list[int]:
    """Delete the older half of `units`; where its logs begin."""
    name = deployment.settings.topic(UNITS)
    tps = [TopicPartition(name, number) for number in range(deployment.settings.units_partitions)]
    consumer = KafkaConsumer(**kafka_python_arguments(deployment.settings))
    begins = {tp: end // 2 for tp, end in consumer.end_offsets(tps).items()}
    consumer.close()
    admin = deployment.admin()
    admin.delete_records(begins)
    admin.close()
    return [begins[tp] for tp in tps]
