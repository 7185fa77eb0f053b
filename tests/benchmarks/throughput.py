"""Throughput: what an event costs from fetch to acknowledged output, beside what others make of the same records.

All read the same records from the same broker, one after the other: clean JSON of the example shop, repeated and
delayed as in the demo. Ours is the CPU time of two processes, assignment and aggregation, with everything switched on
(duplicates, lateness, first exposure, windows, exact sums, checkpoints), less what the same two processes take until
they are ready on empty topics. The peers, timed from their first record on, keep a dictionary and promise nothing.
Ratios within one run count; machines are noisy. Our wall time has the start in it, and ends when aggregation says,
once a second, that it has taken everything. What another shape than ours costs is told beside it (see shapes.py).
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import msgspec
import psutil
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from pipeline.demo.session import HORIZON_MS, begin_experiments
from pipeline.demo.traffic import Traffic
from pipeline.demo.visitors import Shares, Visitors
from pipeline.errors import PeekproofError
from pipeline.kafka import topics
from pipeline.kafka.clients import aiokafka_arguments
from pipeline.kafka.producer import create_producer
from pipeline.kafka.reading import read_topic
from pipeline.local_kafka.broker import Broker
from pipeline.settings import Settings
from pipeline.stages.kernels import compile_kernels
from schemas.decoding import decode
from schemas.health import WorkerHealth
from schemas.topics import EVENTS, EXPOSURES, HEALTH, UNITS
from schemas.topics import topics as all_topics
from tests.benchmarks import shapes
from tests.benchmarks.environments import PEERS, python_of
from tests.live import wait_for_catalog

RIVALS = {  # their files, and environments
    "handwritten": "throughput",
    "stock_faust": "throughput",
    "quix": "throughput_quix",
    "bytewax_flow": "throughput_bytewax",
}
STAGES = {"assignment": (EXPOSURES, EVENTS), "aggregation": (UNITS,)}
RATE = 20_000  # records a second of the visitors' own time
FEWER = 100_000  # records that stock Faust takes of them: a share, for patience
LONGEST = 900.0  # seconds that one of them may take


def measure(records: int) -> dict[str, dict[str, float]]:
    """CPU and wall seconds of each, and records per CPU-second."""
    pythons = {name: python_of(environment) for name, environment in RIVALS.items()}
    compile_kernels()  # else the stages would, on the empty topics
    with tempfile.TemporaryDirectory() as directory, Broker(Path(directory) / "broker") as broker:
        base = Settings(bootstrap_servers=broker.bootstrap_servers, data=Path(directory) / "data")
        empty = msgspec.structs.replace(base, prefix="empty", data=Path(directory) / "empty")
        full = msgspec.structs.replace(base, prefix="full", data=Path(directory) / "full")
        for settings in (empty, full):
            topics.create(settings)
            flags = asyncio.run(begin_experiments(settings))
        wait_for_catalog(full)
        counted = asyncio.run(_load(full, flags, records))
        measured = {}
        start, _ = _run_stages(empty)
        cpu, wall = _run_stages(full)
        measured["peekproof"] = _figures(counted, cpu - start, wall)
        arguments = [broker.bootstrap_servers, full.topic(EXPOSURES), full.topic(EVENTS)]
        answers = {}
        for name, python in pythons.items():
            print(f"  {name} …", file=sys.stderr, flush=True)
            number = min(counted, FEWER) if name == "stock_faust" else counted
            command = [python, PEERS / f"{name}.py", *arguments, str(number)]
            ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=LONGEST)
            figures = json.loads(next(line for line in ran.stdout.splitlines() if line.startswith("{")))
            measured[name] = _figures(figures["records"], figures["cpu_seconds"], figures["wall_seconds"])
            if number == counted:
                answers[name] = figures["answers"]
    assert all(each == answers["handwritten"] for each in answers.values()), f"the answers differ: {answers}"
    return measured | {"shapes": shapes.measure()}


def show(measured: dict[str, dict[str, float]]) -> str:
    """A table of the figures, with ratios to ours."""
    ours = measured["peekproof"]["records_per_cpu_second"]
    lines = [f"{'':14}{'CPU s':>9}{'wall s':>9}{'us CPU/record':>15}{'records/CPU s':>15}{'ours is':>10}"]
    for name, figures in measured.items():
        if name == "shapes":
            lines.append(shapes.show(figures))
            continue
        ratio = ours / figures["records_per_cpu_second"]
        lines.append(
            f"{name:14}{figures['cpu_seconds']:9.2f}{figures['wall_seconds']:9.2f}"
            f"{1e6 / figures['records_per_cpu_second']:15.2f}{figures['records_per_cpu_second']:15,.0f}{ratio:9.2f}x"
        )
    return "\n".join(lines)


def _figures(records: int, cpu: float, wall: float) -> dict[str, float]:
    return {"records": records, "cpu_seconds": cpu, "wall_seconds": wall, "records_per_cpu_second": records / cpu}


async def _load(settings: Settings, flags: dict[str, object], records: int) -> int:
    """Produce about so many records; how many."""
    seconds = records / RATE
    start = time.time_ns() // 1_000_000 - round(seconds * 1000)
    visitors = Visitors(
        flags,  # type: ignore[arg-type]
        seed=1,
        start=start,
        records_per_second=RATE,
        horizon_ms=HORIZON_MS,  # what comes again or late does so within the visitors' time
        shares=Shares(unusable=0, late=0),
    )
    producer = create_producer(settings)
    await producer.start()
    traffic = Traffic(settings, producer, None)
    for second in range(round(seconds)):
        print(f"\r  loading {min(records, (second + 1) * RATE):,} records", end="", file=sys.stderr, flush=True)
        for chunk in visitors.until(start + 1000 * (second + 1)):
            await traffic.send(chunk)
        await traffic.flush()
    print(file=sys.stderr)
    await producer.stop()
    return sum(traffic.progress().acknowledged.values())


def _run_stages(settings: Settings) -> tuple[float, float]:
    """CPU seconds of both stages until all is taken, acknowledged and committed, and wall seconds until it is taken.

    Raises PeekproofError when a stage ends before, TimeoutError when they take too long.
    """
    began = time.time()
    logs = settings.data / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    workers = {}
    for stage in STAGES:
        with (logs / f"{stage}.log").open("wb") as log:
            command = [sys.executable, "-m", "pipeline.cli", "worker", stage]
            environment = os.environ | settings.environment()
            workers[stage] = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        asyncio.run(asyncio.wait_for(_until_taken(settings, workers), LONGEST))
        cpu = 0.0
        for worker in workers.values():
            used = psutil.Process(worker.pid).cpu_times()
            cpu += used.user + used.system
        return cpu, _taken(settings) - began
    finally:
        for worker in workers.values():
            worker.terminate()
        for worker in workers.values():
            worker.wait(60)


async def _until_taken(settings: Settings, workers: dict[str, subprocess.Popen[bytes]]) -> None:
    """Until both groups have committed the ends of their topics, and a heartbeat's messages of `units` as well."""
    admin = AIOKafkaAdminClient(**aiokafka_arguments(settings))
    asking = AIOKafkaConsumer(**aiokafka_arguments(settings))
    await admin.start()
    await asking.start()
    partitions = {topic.name: topic.partitions for topic in all_topics(settings.units_partitions)}
    try:
        for stage, names in STAGES.items():
            tps = [TopicPartition(settings.topic(name), number) for name in names for number in range(partitions[name])]
            ends = await asking.end_offsets(tps)
            while stage == "aggregation" and not all(ends.values()):
                await _pause(settings, workers)
                ends = await asking.end_offsets(tps)
            while True:
                committed = {}
                with suppress(KafkaError):  # the group is being made
                    committed = await admin.list_consumer_group_offsets(settings.group(stage))
                if all(tp in committed and committed[tp].offset >= end for tp, end in ends.items() if end):
                    break
                await _pause(settings, workers)
    finally:
        await asking.stop()
        await admin.close()


def _taken(settings: Settings) -> float:
    """When aggregation first said that it has taken what it has taken by now (s of the same clock)."""
    found = [(record.timestamp, decode(record.value, WorkerHealth)) for record in read_topic(settings, HEALTH)]
    said = [
        (when, {(each.topic, each.partition): each.position for each in health.partitions})
        for when, health in found
        if health.stage == "aggregation"
    ]
    _, positions = said[-1]
    return min(when for when, each in said if each == positions) / 1_000


async def _pause(settings: Settings, workers: dict[str, subprocess.Popen[bytes]]) -> None:
    """Before one looks again, if there is something to wait for."""
    for stage, worker in workers.items():
        if worker.poll() is not None:
            said = (settings.data / "logs" / f"{stage}.log").read_text()[-2_000:]
            raise PeekproofError(f"the {stage} worker ended with code {worker.returncode}: …{said}")
    await asyncio.sleep(0.1)
