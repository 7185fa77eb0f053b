"""The whole pipeline on a real broker, with workers that are killed: every number of every type of metric is exact.

`python -m pytest -n 0 tests/end_to_end/test_pipeline.py --records=2000000` sends more.
"""

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest

from evaluation.lifecycle import start
from evaluation.significance.look import decode_look
from pipeline import editing
from pipeline.catalog import CatalogWriter, read_catalog
from pipeline.demo.session import complete_experiments
from pipeline.documents import read_documents
from pipeline.editing import Signature
from pipeline.reading import read_topic
from pipeline.settings import Settings
from pipeline.supervisor import Supervisor, Worker
from schemas.topics import RESULTS
from tests.conftest import deployed
from tests.end_to_end import shop
from tests.live import ask, wait_for
from tests.oracle import published

SECONDS = 40  # in which all is sent, if the machine can; else the workers lag, which is welcome
ALL_SETTLED = 1 << 60  # a clock, for the queries: of a final run everybody is settled
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
    time.sleep(0.2)
print(read)
"""


@pytest.fixture
def settings(broker: str, tmp_path: Path) -> Iterator[Settings]:
    """A deployment whose windows and horizon end within the test."""
    of_seconds = {"horizon": 5_000, "tolerance": 5_000, "archive_interval": 5_000, "checkpoint_interval": 4_000}
    with deployed(broker, tmp_path / "data", **of_seconds) as made:
        yield made


@pytest.mark.timeout(1_200)
def test_every_type_of_metric_comes_out_exact_through_killed_workers_and_can_be_replayed(
    settings: Settings, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    records = pytestconfig.getoption("--records")
    environment = os.environ | settings.environment()
    documents, sent, snapshot = shop.write_documents(tmp_path / "catalog"), tmp_path / "sent.ndjson", settings.snapshot
    asyncio.run(_begin_experiments(settings, documents))
    chance = random.Random(20261124)

    with Supervisor(settings) as supervisor, ExitStack() as at_last, ThreadPoolExecutor(1) as threads:
        wait_for(lambda: ask(snapshot, STAGES_AT_WORK) == 5, 180, "work of every stage")
        traffic = subprocess.Popen(
            [
                *(sys.executable, "-m", "pipeline.demo.traffic"),
                *("--seconds=3600", f"--events-per-second={records // SECONDS}", f"--record={sent}"),
            ],
            env=environment,
            stdout=subprocess.PIPE,
        )
        at_last.callback(traffic.kill)
        acknowledged = _acknowledged(traffic)
        reader = [sys.executable, "-c", READER, str(snapshot)]
        reading = threads.submit(subprocess.run, reader, capture_output=True, text=True, check=True)
        begun = next(number for number in acknowledged if number > records // 20)
        supervisor.workers.append(
            Worker("aggregation", 1, ["worker", "aggregation"], settings.data / "logs", environment)
        )
        joined = next(number for number in acknowledged if len(_at_work("aggregation", supervisor, snapshot)) == 2)
        records += joined - begun
        stages = ("aggregation", "assignment", "significance", "aggregation", "assignment")
        for sixth, stage in enumerate(stages, 1):
            moment = joined + chance.uniform(sixth - 0.3, sixth + 0.3) / 6 * (records - joined)
            assert any(number > moment for number in acknowledged)
            working = (_at_work(stage, supervisor, snapshot) for _ in acknowledged)
            assert any(its and _is_killed(chance.choice(its), settings) for its in working)
        assert any(number >= records for number in acknowledged)
        traffic.terminate()  # once: a second one may meet a process that has stopped listening
        assert max(acknowledged) >= records  # it has said its last
        assert traffic.wait(30) == 0
        asyncio.run(complete_experiments(settings))

        said = shop.rows_of(sent, settings)  # while the last units settle
        expected = shop.expected(said, read_catalog(settings).newest, ALL_SETTLED, settings)
        analyzed = shop.analyzed(said, documents, tmp_path)
        wait_for(lambda: ask(snapshot, FINAL) == len(shop.FLAGS), 300, "the final look of every experiment")
        assert published(asyncio.run(shop.last_words(settings))) ^ expected == set()
        cells, differing = shop.compare_cells(snapshot, expected)
        assert not differing
        assert len(cells) == 86  # 19 readings in 4 segments, and 10 of everybody
        # In files other units are settled: there the horizon is 0, and the clock ends with the last event.
        assert {cell for cell in cells if cell[3] == "live"} == analyzed
        assert reading.result().stdout.strip() == "100"
        interval = settings.archive_interval
        wait_for(lambda: ask(snapshot, ARCHIVED) > interval, 60, "the last look in a closed file of the archive")
        assert sum(worker.restarts for worker in supervisor.workers) >= len(stages)

    replayed = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "replay", "--json"], env=environment, capture_output=True, check=True
    )
    outcome = msgspec.json.decode(replayed.stdout)
    assert outcome["looks"] >= 30
    assert outcome["outcomes"] == {"same": outcome["looks"]}


def _at_work(stage: str, supervisor: Supervisor, snapshot: Path) -> list[Worker]:
    """The workers of a stage that live and hold partitions."""
    names = ask(snapshot, f"SELECT list(worker) FROM pipeline_health WHERE stage = '{stage}' AND topic IS NOT NULL")
    pids = {int(name.rpartition("/")[2]) for name in names or ()}
    alive = [worker for worker in supervisor.workers if worker.name == stage and worker.process.poll() is None]
    return [worker for worker in alive if worker.process.pid in pids]


def _is_killed(victim: Worker, settings: Settings) -> bool:
    """Kill the worker, unless it aggregates and its checkpoints reach all that is published: then it goes on."""
    victim.process.send_signal(signal.SIGSTOP)
    if victim.name == "aggregation" and not _is_published_past_the_checkpoint(victim, settings):
        victim.process.send_signal(signal.SIGCONT)
        return False
    victim.process.send_signal(signal.SIGKILL)
    return True


def _is_published_past_the_checkpoint(victim: Worker, settings: Settings) -> bool:
    """Whether a look covers more than the state from which one of the worker's partitions goes on."""
    held = f"FROM pipeline_health WHERE worker LIKE '%/{victim.process.pid}' AND topic = 'units'"
    partitions = ask(settings.snapshot, f"SELECT list(partition) {held}") or ()
    kept = {number: (settings.data / "checkpoints" / str(number)).glob("*.arrow") for number in partitions}
    reached = {number: max((int(file.stem) for file in files), default=0) for number, files in kept.items()}
    looks = [decode_look(record.value) for record in read_topic(settings, RESULTS)]
    return any(look.offsets.get(str(number), 0) > at for look in looks for number, at in reached.items())


STAGES_AT_WORK = "SELECT count(DISTINCT stage) FROM pipeline_health"
FINAL = "SELECT count(DISTINCT experiment) FROM results WHERE final"
# How long (ms) before its newest word the archive had everything that is published.
ARCHIVED = """
SELECT date_diff('ms', max(published), (SELECT min(clock) FROM pipeline_health WHERE stage = 'archive')) FROM results
"""


async def _begin_experiments(settings: Settings, documents: Path) -> None:
    """As files are analysed: every flag's key is its salt."""
    signature = Signature("tests", "the end-to-end test")
    async with CatalogWriter(settings) as writer:
        async for _ in editing.apply(writer, read_documents(documents), signature):
            pass
        for key in shop.FLAGS:
            started = start(editing.state_of(writer.history, key), 2, salt=key)
            await writer.publish(writer.next_version(started, signature.author, signature.reason))


def _acknowledged(traffic: subprocess.Popen[bytes]) -> Iterator[int]:
    """How many records the broker has acknowledged, about once a second."""
    assert traffic.stdout is not None
    for line in traffic.stdout:
        yield sum(msgspec.json.decode(line)["acknowledged"].values())
