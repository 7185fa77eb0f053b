"""The demo on a real broker: traffic is what it says it was, results arrive, everything is stopped."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import psutil
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient

from pipeline.demo.progress import TrafficProgress
from pipeline.demo.session import begin_experiments
from pipeline.kafka.clients import aiokafka_arguments
from pipeline.processes.template import FORKS
from pipeline.settings import Settings
from pipeline.stages import STAGES
from schemas.topics import EVENTS, EXPOSURES
from tests.conftest import PEEKPROOF
from tests.live import wait_for

SECONDS = 4


def python(*arguments: str) -> list[str]:
    return [sys.executable, "-m", *arguments]


def environment_of(broker: str, data: Path) -> dict[str, str]:
    """Where a demo runs; its server takes a free port."""
    own = {"PEEKPROOF_BOOTSTRAP_SERVERS": broker, "PEEKPROOF_DATA": str(data), "PEEKPROOF_HTTP_PORT": "0"}
    return os.environ | own


async def everything(settings: Settings) -> dict[tuple[str, int, int], tuple[int, bytes | None]]:
    """Append time and value of each record of traffic, by topic, partition and offset."""
    names = {settings.topic(topic): topic for topic in (EXPOSURES, EVENTS)}
    consumer = AIOKafkaConsumer(*names, auto_offset_reset="earliest", **aiokafka_arguments(settings))
    await consumer.start()
    try:
        ends = await consumer.end_offsets(consumer.assignment())
        found = {}
        while len(found) < sum(ends.values()):
            for records in (await consumer.getmany(timeout_ms=1_000)).values():
                for record in records:
                    found[names[record.topic], record.partition, record.offset] = (record.timestamp, record.value)
        return found
    finally:
        await consumer.stop()


def test_traffic_says_and_records_exactly_what_the_broker_has(deployment: Settings, tmp_path: Path):
    asyncio.run(begin_experiments(deployment))
    file = tmp_path / "sent.ndjson"

    command = python("pipeline.demo.traffic", f"--seconds={SECONDS}", "--events-per-second=2000", f"--record={file}")
    ended = subprocess.run(command, env=os.environ | deployment.environment(), capture_output=True, check=True)

    found = asyncio.run(everything(deployment))
    sent = [msgspec.json.decode(line) for line in file.read_bytes().splitlines()]
    assert len(found) == len(sent) == len({(line["topic"], line["partition"], line["offset"]) for line in sent})
    for line in sent:
        append_time, value = found[line["topic"], line["partition"], line["offset"]]
        assert line["append_time"] == append_time
        match line["value"]:
            case dict() as value_sent:
                assert msgspec.json.decode(value) == value_sent
            case str() as text:
                assert value == text.encode("latin-1")
            case None:
                assert value is None

    reports = [msgspec.json.decode(line, type=TrafficProgress) for line in ended.stdout.splitlines()]
    assert sum(reports[-1].acknowledged.values()) == len(sent)
    assert sum(batch.records for report in reports for batch in report.batches) == len(sent)
    assert {batch.appended for report in reports for batch in report.batches} == {at for at, _ in found.values()}


def test_traffic_without_a_running_experiment_says_what_to_do(deployment: Settings):
    command = python("pipeline.demo.traffic", "--seconds=1")
    ended = subprocess.run(
        command, env=os.environ | deployment.environment(), capture_output=True, text=True, check=False
    )

    assert ended.returncode == 1
    assert "peekproof experiment start" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_demo_ends_with_final_results_of_everything_that_was_sent(broker: str, tmp_path: Path, strangers: Path):
    elsewhere = tmp_path / "checkpoints"  # of a deployment that is none of the demo's business
    environment = environment_of(broker, tmp_path) | {"PEEKPROOF_CHECKPOINTS": str(elsewhere)}
    command = [PEEKPROOF, "demo", "--seconds=6", "--events-per-second=2000", "--json"]

    ended = subprocess.run(command, cwd=strangers, env=environment, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stderr
    told = msgspec.json.decode(ended.stdout)
    assert told["complete"]
    assert told["counted"] == told["produced"] == sum(told["produced_by_topic"].values()) > 6_000
    orders = told["produced_by_topic"][f"@{told['prefix']}.shop.orders"]
    assert told["orders"] == {"taken": orders // 2, "excluded": orders // 2, "dead letters": 0}
    assert orders > 20
    assert told["lag"] == 0
    assert told["freshness"]["missing"] == 0
    assert told["freshness"]["samples"] == 4 * told["produced"]
    assert told["duplicates"] > 0
    assert told["dead_letters"] == sum(told["dead_letters_by_reason"].values())
    assert {"dim", "black", "system", "off"} == set(told["flags"]["dark-mode"])
    assert [version["changed"][-1] for version in told["history"]["dark-mode"]] == [
        "created",
        "exp-1 is running",
        "dim is rolled out",
        "rolled back",
    ]
    for look in told["experiments"]:
        assert look["final"]
        settled = {(cell["metric"], cell["variant"]): cell for cell in look["cells"] if cell["reading"] == "settled"}
        live = {(cell["metric"], cell["variant"]): cell for cell in look["cells"] if cell["reading"] == "live"}
        assert settled.keys() == live.keys()
        for key, cell in settled.items():
            assert (cell["n"], cell["sum"]) == (live[key]["n"], live[key]["sum"])
            assert cell["n"] > 100
    names = {usage["name"] for usage in told["processes"]}
    assert names - {"template"} == {*STAGES, "server", "traffic", "demo"}
    assert ("template" in names) == FORKS
    assert Path(told["snapshot"]).is_file()
    assert not elsewhere.exists()
    wait_for(lambda: not any(psutil.pid_exists(usage["pid"]) for usage in told["processes"]), 10)
    assert not any(name.startswith(told["prefix"]) for name in asyncio.run(topic_names(broker)))

    data = {"PEEKPROOF_DATA": str(Path(told["snapshot"]).parent)}
    replay = python("pipeline.cli", "replay", "--json")
    replayed = subprocess.run(replay, env=environment | data, capture_output=True, check=True)
    outcomes = msgspec.json.decode(replayed.stdout)["outcomes"]
    assert outcomes["same"] > 4


async def topic_names(broker: str) -> list[str]:
    settings = msgspec.structs.replace(Settings.read(), bootstrap_servers=broker)
    admin = AIOKafkaAdminClient(**aiokafka_arguments(settings))
    await admin.start()
    try:
        return await admin.list_topics()
    finally:
        await admin.close()


def test_ctrl_c_stops_everything_and_the_exit_code_says_that_no_result_arrived(broker: str, tmp_path: Path):
    environment = environment_of(broker, tmp_path)
    command = python("pipeline.cli", "demo", "--seconds=600", "--events-per-second=100")
    demo = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert "workers are starting" in demo.stdout.readline()
    started = psutil.Process(demo.pid).children(recursive=True)

    demo.send_signal(signal.SIGINT)
    _, complaint = demo.communicate(timeout=60)

    assert demo.returncode == 2
    assert "ended before its results were complete" in complaint
    assert "Traceback" not in complaint
    assert len(started) >= 6
    deadline = time.monotonic() + 5
    while any(process.is_running() for process in started) and time.monotonic() < deadline:
        time.sleep(0.1)
    wait_for(lambda: not any(process.is_running() for process in started), 10)


def test_a_demo_whose_broker_ends_stops_everything_and_says_so(tmp_path: Path):
    command = python("pipeline.cli", "demo", "--seconds=600", "--events-per-second=100")
    environment = environment_of("", tmp_path)  # a broker of its own
    demo = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while "live traffic" not in demo.stdout.readline():
        assert demo.poll() is None
    started = psutil.Process(demo.pid).children(recursive=True)
    (kafka,) = [process for process in started if process.name() == "java"]

    kafka.kill()
    _, complaint = demo.communicate(timeout=150)

    assert demo.returncode == 2
    assert f"the demo's broker ended by itself; see {tmp_path}/demo/broker/broker.log" in complaint
    assert "Traceback" not in complaint
    wait_for(lambda: not any(process.is_running() for process in started), 10)
