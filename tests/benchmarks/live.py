"""Live: what a deployment costs while it is alive, without traffic and with some, and how fresh its looks are.

The processes of `peekproof up` with the demo's five experiments, settings as they come, and a broker beside them; the
demo's visitors are sent by a process of their own. What is counted begins when every stage is at work: after a minute
without traffic, and after ten seconds of each rate. `%` is CPU time of one core; memory is each process's own share of
what it holds (Pss). What is written is the growth of the logs of Kafka's topics, as producers compress them.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psutil

from evaluation.catalog.in_force import FlagInForce
from pipeline.demo import shop
from pipeline.demo.progress import TrafficProgress
from pipeline.demo.session import EXAMPLES, begin_experiments
from pipeline.demo.watch import DemoWatch
from pipeline.kafka import topics
from pipeline.kafka.reading import read_topic
from pipeline.listening import with_free_port
from pipeline.local_kafka.broker import Broker
from pipeline.processes.supervisor import Supervisor
from pipeline.settings import Settings
from pipeline.stages import STAGES
from pipeline.storage.archived import chain, partitions
from schemas.topics import HEALTH, RESULTS, SOURCES

RATES = (0, 1_000, 20_000)  # records a second
SECONDS = 40.0  # that are counted
QUIET_SECONDS, WARM_SECONDS, START_SECONDS = 75.0, 10.0, 180.0
BROKER, TRAFFIC, WRITTEN = "broker", "traffic", "written"
Figures = dict[str, float]


def measure() -> dict[str, dict[str, Figures]]:
    """By records a second, and by process: percent of a core, and Pss in MB; of `all` freshness in s, and what came."""
    with tempfile.TemporaryDirectory() as directory, Broker(Path(directory) / "broker") as broker:
        settings = Settings(data=Path(directory), bootstrap_servers=broker.bootstrap_servers, prefix="bench")
        settings = with_free_port(settings)
        (settings.data / "logs").mkdir()
        topics.create(settings)
        shop.open_shop(settings)
        flags = asyncio.run(begin_experiments(settings, shop.documents_of(settings, EXAMPLES)))
        with Supervisor(settings, is_open=True) as supervisor:
            _wait_until_ready(settings)
            return {f"{rate}": _measured(settings, supervisor, broker, flags, rate) for rate in RATES}


def show(measured: dict[str, dict[str, Figures]]) -> str:
    """A table of the figures."""
    names = [name for name in measured[f"{RATES[0]}"] if name != WRITTEN]
    lines = [f"{'records/s':16}" + "".join(f"{int(rate):>11,}" for rate in measured)]
    for name in [*names, TRAFFIC]:
        cells = [each.get(name) for each in measured.values()]
        lines.append(f"{name + ' %':16}" + "".join(f"{cell['percent']:11.2f}" if cell else " " * 11 for cell in cells))
    ours = [each["all"] for each in measured.values()]
    lines.append(f"{'sent/s':16}" + "".join(f"{each['sent']:11,.0f}" for each in ours))
    lines.append(f"{'memory MB':16}" + "".join(f"{each['memory']:11.0f}" for each in ours))
    archived = "".join(f"{each['archived']:11.0f}" if "archived" in each else " " * 11 for each in ours)
    lines.append(f"{'archive B/record':16}{archived}")
    for place in sorted({name for each in measured.values() for name in each[WRITTEN]}):
        cells = [each[WRITTEN].get(place, 0.0) / 1_000 for each in measured.values()]
        if max(cells) >= 0.1:
            lines.append(f"{place:11} KB/s" + "".join(f"{each:11.1f}" for each in cells))
    lines += [
        f"{what + ' s':16}" + "".join(f"{each[what]:11.2f}" if what in each else " " * 11 for each in ours)
        for what in ("p50", "p99")
    ]
    return "\n".join(lines)


def _measured(
    settings: Settings, supervisor: Supervisor, broker: Broker, flags: dict[str, FlagInForce], rate: int
) -> dict[str, Figures]:
    print(f"  {rate:,} records a second …", file=sys.stderr, flush=True)
    watch = DemoWatch(flags, shop.topic_of(settings))
    began = time.time_ns() // 1_000_000
    with _traffic(settings, rate, watch) as sending:
        time.sleep(WARM_SECONDS if rate else QUIET_SECONDS)
        processes = dict(supervisor.processes()) | {BROKER: broker.pid or 0} | sending
        before = {name: _cpu(pid) for name, pid in processes.items()}
        sent, held = watch.produced, _held(settings)
        time.sleep(SECONDS)
        sent, grown = watch.produced - sent, _held(settings)
        found = {
            name: {"percent": 100 * (_cpu(pid) - before[name]) / SECONDS, "memory": _memory(pid)}
            for name, pid in processes.items()
        }
    ours = [each for name, each in found.items() if name not in {BROKER, TRAFFIC}]
    found["all"] = {what: sum(each[what] for each in ours) for what in ("percent", "memory")}
    found["all"]["sent"] = sent / SECONDS
    if archived := _archived(settings):
        found["all"]["archived"] = archived
    found[WRITTEN] = {place: (size - held.get(place, 0)) / SECONDS for place, size in grown.items()}
    if rate:
        time.sleep(WARM_SECONDS)  # until looks have it
        for record in read_topic(settings, RESULTS):
            if record.timestamp >= began:
                watch.take_look(record)
        fresh = watch.freshness()
        assert fresh is not None
        found["all"] |= {name: getattr(fresh, name) for name in ("p50", "p99")}
    return found


@contextmanager
def _traffic(settings: Settings, rate: int, watch: DemoWatch) -> Iterator[dict[str, int]]:
    """The process that sends so many records a second, by its name."""
    if not rate:
        yield {}
        return
    command = [sys.executable, "-m", "pipeline.demo.traffic"]
    command += [f"--seconds={WARM_SECONDS + SECONDS + WARM_SECONDS}", f"--events-per-second={rate}"]
    environment = os.environ | settings.environment()
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:

        def read() -> None:
            for line in process.stdout or ():
                watch.take_progress(msgspec.json.decode(line, type=TrafficProgress))

        reading = threading.Thread(target=read)
        reading.start()
        yield {TRAFFIC: process.pid}
        reading.join()


def _held(settings: Settings) -> Counter[str]:
    """Bytes of each topic's log."""
    held: Counter[str] = Counter()
    for path in (settings.data / BROKER).rglob(f"{settings.prefix}.*/*.log"):
        held[path.parent.name.removeprefix(f"{settings.prefix}.").rpartition("-")[0]] += path.stat().st_size
    return held


def _archived(settings: Settings) -> float | None:
    """Bytes in the archive for each exposure and event, with what the stages made of them; None: there are none yet."""
    directory = settings.data / "archive"
    files = {
        topic.name: [
            file for number in partitions(directory, topic.name) for file in chain(directory, topic.name, number)
        ]
        for topic in directory.iterdir()
        if topic.is_dir()
    }
    records = sum(file.end - file.begin for topic in SOURCES for file in files.get(topic, ()))
    return sum(file.path.stat().st_size for some in files.values() for file in some) / records if records else None


def _wait_until_ready(settings: Settings) -> None:
    watch, deadline = DemoWatch({}), time.monotonic() + START_SECONDS
    while not watch.ready >= STAGES.keys():
        assert time.monotonic() < deadline, f"only {', '.join(watch.ready)} after {START_SECONDS:g} s"
        time.sleep(1)
        for record in read_topic(settings, HEALTH):
            watch.take_health(record)


def _cpu(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def _memory(pid: int) -> float:
    memory = psutil.Process(pid).memory_full_info()
    return getattr(memory, "pss", memory.rss) / 1e6
