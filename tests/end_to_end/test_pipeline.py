"""The whole pipeline on a real broker, with workers that are killed: every count and sum, to the last digit."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import duckdb
import msgspec
import pytest

from pipeline import topics
from pipeline.demo.session import begin_experiments, complete_experiments
from pipeline.settings import Settings
from pipeline.supervisor import Supervisor, Worker
from tests.live import ask, wait_for

RECORDS, RATE = 1_050_000, 40_000  # and how many a second, if the machine can; else the workers lag, which is welcome
ORACLE = Path(__file__).with_name("oracle.sql")
READER = """
import sys, time, duckdb
read = 0
for number in range(100):
    with duckdb.connect(sys.argv[1], read_only=True) as snapshot:
        snapshot.execute("SET enable_progress_bar = false")
        assert snapshot.execute("SELECT count(*) FROM results").fetchall()
        if number % 10 == 0:  # it opens every file of the archive
            assert snapshot.execute("SELECT count(*) FROM events").fetchall()
    read += 1
    time.sleep(0.25)
print(read)
"""


@pytest.fixture
def settings(broker: str, tmp_path: Path) -> Settings:
    """A deployment whose windows and horizon end within the test."""
    made = Settings(
        bootstrap_servers=broker,
        prefix=f"end-to-end-{random.getrandbits(32):08x}",
        data=tmp_path / "data",
        units_partitions=8,
        http_port=0,
        horizon=5_000,
        tolerance=5_000,
        archive_interval=5_000,
        checkpoint_interval=4_000,
    )
    topics.create(made)
    return made


@pytest.mark.timeout(600)
def test_a_million_events_through_killed_workers_come_out_exact_and_can_be_replayed(settings: Settings) -> None:
    environment = os.environ | settings.environment()
    sent = settings.data / "sent.ndjson"
    snapshot = settings.snapshot
    asyncio.run(begin_experiments(settings))
    chance = random.Random(20261124)

    with Supervisor(settings) as supervisor, ExitStack() as at_last:
        wait_for(lambda: ask(snapshot, STAGES_AT_WORK) == 5, 180, "work of every stage")
        traffic = subprocess.Popen(
            [
                *(sys.executable, "-m", "pipeline.demo.traffic"),
                *("--seconds=600", f"--events-per-second={RATE}", f"--record={sent}"),
            ],
            env=environment,
            stdout=subprocess.PIPE,
        )
        at_last.callback(traffic.kill)
        with ThreadPoolExecutor(1) as threads:
            reader = [sys.executable, "-c", READER, str(snapshot)]
            reading = threads.submit(subprocess.run, reader, capture_output=True, text=True, check=True)
            time.sleep(4)
            supervisor.workers.append(
                Worker("aggregation", 1, ["worker", "aggregation"], settings.data / "logs", environment)
            )
            for stage in ("aggregation", "assignment", "aggregation", "assignment"):
                time.sleep(chance.uniform(4, 8))
                victim = chance.choice([worker for worker in supervisor.workers if worker.name == stage])
                victim.process.send_signal(signal.SIGKILL)
            _stop_after(RECORDS, traffic)
            assert reading.result().stdout.strip() == "100"
        asyncio.run(complete_experiments(settings))
        wait_for(lambda: ask(snapshot, FINAL) == 4, 150, "the final look of every experiment")
        time.sleep(3 * settings.archive_interval / 1000)  # until the last looks are archived
        assert sum(worker.restarts for worker in supervisor.workers) >= 4

    wanted = duckdb.execute(
        ORACLE.read_text(),
        {"file": str(sent), "horizon": settings.horizon, "tolerance": settings.tolerance},
    ).fetchall()
    with duckdb.connect(str(snapshot), read_only=True) as published:
        for reading_of in ("settled", "live"):
            assert published.execute(CELLS, [reading_of]).fetchall() == wanted
    assert sum(1 for _ in sent.open("rb")) >= 1_000_000
    assert len(wanted) == 16

    replayed = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "replay", "--json"], env=environment, capture_output=True, check=True
    )
    outcome = msgspec.json.decode(replayed.stdout)
    assert outcome["looks"] >= 100
    assert outcome["outcomes"] == {"same": outcome["looks"]}


def _stop_after(records: int, traffic: subprocess.Popen[bytes]) -> None:
    """However fast the machine: end the traffic when the broker has acknowledged so many."""
    assert traffic.stdout is not None
    said = (msgspec.json.decode(line)["acknowledged"] for line in traffic.stdout)
    if any(sum(acknowledged.values()) >= records for acknowledged in said):
        traffic.terminate()  # once: a second one may meet a process that has stopped listening
    traffic.stdout.read()
    assert traffic.wait(30) == 0


STAGES_AT_WORK = "SELECT count(DISTINCT stage) FROM pipeline_health"
FINAL = "SELECT count(DISTINCT experiment) FROM results WHERE final"
CELLS = """
SELECT * FROM (
    SELECT experiment, variant, metric, n, nonzero, sum, sum_squares FROM results WHERE reading = $1
    UNION
    SELECT experiment, control, metric, control_n, control_nonzero, control_sum, control_sum_squares FROM results
    WHERE reading = $1
) ORDER BY ALL
"""
