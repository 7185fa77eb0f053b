"""Serving: what an answer over HTTP costs, beside the same server that answers next to nothing.

Figures are per CPU-second of the server's process, so that a busy client does not count. 20 flags, of which half have
a segment; remote users, each another one. `tracked` users are all new: each costs some 15 assignments besides. `batch`
counts events, 100 in each upload. The kinds take turns, so that what else the machine does concerns all of them.
`change` is the time from an edit to its arrival on the stream of an SDK.

`stranger` rows tell of a second server, which wants keys: what SDKs with one wait for an answer while a caller without
one sends a megabyte a second of whatever it likes, beside their wait while it sends the same to another process. Both
take turns of a second. A second is one that the server has: in which it waits for a CPU, its time stands still, and
nobody asks it anything; waits are told in such seconds, by a client that goes before every other process where it may
(root on Linux). So what else the machine does is in neither. The first request of a connection shows the key, waits
among the strangers until then, and isn't counted.
`of alone` is the ratio of the 99th percentiles, `CPU` what the stranger costs the server, in seconds a second.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx
import psutil
from msgspec.structs import replace

from pipeline.catalog import editing
from pipeline.catalog.editing import Signature
from pipeline.catalog.topic import CatalogWriter
from pipeline.http.callers.keys import Keys
from pipeline.kafka import topics
from pipeline.listening import HOME, address, with_free_port
from pipeline.local_kafka.broker import Broker
from pipeline.settings import Settings
from schemas.catalog import Condition, Flag, Segment, Variant
from tests.benchmarks.stranger import KINDS, calling, clock_of, until

FLAGS = 20
CONNECTIONS = 8
ROUNDS = 8
REQUESTS = 500  # of each kind in a round
UPLOADS = 50  # in a round
EVENTS = 100  # of one upload
EDITS = 10
TURNS = 5  # beside a stranger of each kind, a second each, and as many without
PACED = 200  # requests with a key in such a second
SETTLING_SECONDS = 1.0  # for a stranger to use up what it may ask at once
REST_SECONDS = 0.4  # after a load: what is written besides is the load's
PAUSE_SECONDS = 0.2  # between edits: what follows at once is told along with the next one
BENCH = Signature("bench", "a measurement")
Request = tuple[str, dict[str, str], bytes]  # path, headers, body
Ask = Callable[[int], Request]


@dataclass
class Load:
    """What requests of one kind took."""

    cpu: float = 0.0  # seconds of the server
    seconds: list[float] = field(default_factory=list)  # of each request


def measure() -> dict[str, dict[str, float]]:
    """Answers (of `batch`, events) per CPU-second, and latencies in ms, of each kind of request."""
    with tempfile.TemporaryDirectory() as directory, Broker(Path(directory) / "broker") as broker:
        base = Settings(bootstrap_servers=broker.bootstrap_servers, data=Path(directory) / "data", http_port=0)
        settings = with_free_port(base)
        topics.create(settings)
        asyncio.run(_publish(settings))
        command = [sys.executable, "-m", "pipeline.cli", "serve", "--open"]
        ready = address(HOME, settings.http_port) + "/healthz"
        with _running(command, settings.environment(), ready) as process:
            loads = asyncio.run(_loads(process, settings.http_port))
            took = asyncio.run(_changes(settings))
        _, key = Keys(settings.data).create("server", "bench", "bench")
        with _running(command[:-1], settings.environment(), ready) as process:
            beside = _beside_strangers(process, settings.http_port, key)
    empty = loads["empty"]
    measured = {}
    for name, load in loads.items():
        rate = len(load.seconds) / load.cpu
        if name == "batch":
            measured[name] = {"events_per_cpu_second": EVENTS * rate}
        else:
            of_empty = rate * empty.cpu / len(empty.seconds)
            measured[name] = {"answers_per_cpu_second": rate, "of_empty": of_empty}
        measured[name] |= _percentiles(load.seconds)
    return measured | {"change": _percentiles(took)} | beside


def show(measured: dict[str, dict[str, float]]) -> str:
    """A table of the figures, with ratios to the empty answer."""
    lines = [f"{'':22}{'per CPU s':>11}{'of empty':>10}{'p50 ms':>9}{'p99 ms':>9}{'of alone':>10}{'CPU':>7}"]
    for name, figures in measured.items():
        rate = figures.get("answers_per_cpu_second", figures.get("events_per_cpu_second"))
        speed = f"{rate:11,.0f}" if rate else " " * 11
        ratio = f"{figures['of_empty']:9.2f}x" if "of_empty" in figures else " " * 10
        line = f"{name:22}{speed}{ratio}{figures['p50_ms']:9.2f}{figures['p99_ms']:9.2f}"
        if "of_alone" in figures:
            line += f"{figures['of_alone']:9.2f}x{figures['cpu']:7.3f}"
        lines.append(line)
    return "\n".join(lines)


def _percentiles(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    return {"p50_ms": 1_000 * ordered[len(ordered) // 2], "p99_ms": 1_000 * ordered[len(ordered) * 99 // 100]}


def _user(number: int) -> bytes:
    user = {"user_id": f"user-{number}", "country": "AT", "user_properties": {"plan": "pro" if number % 2 else "free"}}
    return json.dumps(user).encode()


def _upload(number: int) -> bytes:
    events = [
        {
            "event_type": "purchase",
            "user_id": f"user-{number}",
            "time": 1_800_000_000_000 + number,
            "insert_id": f"{number}-{each}",
            "event_properties": {"revenue": 12.5, "items": 3},
        }
        for each in range(EVENTS)
    ]
    return json.dumps({"api_key": "any", "events": events}).encode()


def _context(number: int) -> bytes:
    plan = "pro" if number % 2 else "free"
    return json.dumps({"context": {"targetingKey": f"user-{number}", "country": "AT", "plan": plan}}).encode()


NO_TRACK = {"X-Amp-Exp-Track": "no-track"}
ALL = "/ofrep/v1/evaluate/flags"
OURS: dict[str, Ask] = {
    "empty": lambda _: ("/healthz", {}, b""),
    "evaluation": lambda number: ("/sdk/v2/vardata", NO_TRACK, _user(number)),
    "tracked": lambda number: ("/sdk/v2/vardata", {}, _user(number)),
    "ofrep": lambda number: (ALL, NO_TRACK, _context(number)),
    "batch": lambda number: ("/batch", {}, _upload(number)),
}


async def _publish(settings: Settings) -> None:
    pro = (Condition(property="user_properties.plan", op="is", values=("pro",)),)
    async with CatalogWriter(settings) as writer:
        for number in range(FLAGS):
            flag = Flag(
                key=f"flag-{number}",
                owner="bench",
                variants=(Variant(key="control"), Variant(key="treatment", payload={"number": number})),
                segments=(Segment(name="Pro", conditions=pro, rollout=50),) if number % 2 else (),
                rollout=80,
            )
            await editing.create(writer, flag, BENCH)
            await editing.take(writer, "start", flag.key, BENCH)


async def _loads(process: psutil.Process, port: int) -> dict[str, Load]:
    """What the kinds took, by turns."""
    loads = {name: Load() for name in OURS}
    for ask in OURS.values():
        await _ask(port, ask, iter(range(-50, 0)), [])  # warm
    for turn in range(ROUNDS):
        for name, ask in OURS.items():
            number = UPLOADS if name == "batch" else REQUESTS
            numbers = iter(range(turn * number, (turn + 1) * number))
            before = process.cpu_times()
            await asyncio.gather(*(_ask(port, ask, numbers, loads[name].seconds) for _ in range(CONNECTIONS)))
            await asyncio.sleep(REST_SECONDS)
            after = process.cpu_times()
            loads[name].cpu += after.user + after.system - before.user - before.system
    return loads


async def _ask(port: int, ask: Ask, numbers: Iterator[int], took: list[float]) -> None:
    """Send requests over one connection, each after the answer to the one before."""
    reader, writer = await asyncio.open_connection(HOME, port)
    for number in numbers:
        began = time.perf_counter()
        await _one(reader, writer, port, ask(number))
        took.append(time.perf_counter() - began)
    writer.close()


async def _one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int, request: Request) -> None:
    """Send a request, and read its answer."""
    path, headers, body = request
    lines = [f"{'POST' if body else 'GET'} {path} HTTP/1.1", f"host: {HOME}:{port}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines += [f"content-length: {len(body)}", "content-type: application/json"] if body else []
    writer.write("\r\n".join([*lines, "", ""]).encode() + body)
    head = await reader.readuntil(b"\r\n\r\n")
    if b" 200 " not in head[:16]:
        raise RuntimeError(head.decode())
    await _read_body(reader, head)


async def _read_body(reader: asyncio.StreamReader, head: bytes) -> None:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            await reader.readexactly(int(line.split(b":")[1]))
            return
    while size := int(await reader.readline(), 16):  # chunks
        await reader.readexactly(size + 2)
    await reader.readline()


def _beside_strangers(process: psutil.Process, port: int, key: str) -> dict[str, dict[str, float]]:
    """What whoever has a key waits while somebody without one sends, of each kind, and of all of them."""
    beside = {f"stranger: {kind}": Load() for kind in KINDS}
    alone = {name: Load() for name in beside}
    cpu, clock = _cpu_of(process.pid), clock_of(process.pid)
    with calling("sink") as elsewhere:
        asyncio.run(_paced(port, key, clock, []))  # warm
        for turn in range(TURNS):
            for kind, name in zip(KINDS, beside, strict=True):
                places = [(port, beside[name]), (elsewhere, alone[name])]
                for place, load in places if turn % 2 else reversed(places):
                    with calling(kind, place, process.pid):
                        asyncio.run(until(clock, clock() + SETTLING_SECONDS))
                        before = cpu()
                        with _first():
                            asyncio.run(_paced(port, key, clock, load.seconds))
                        load.cpu += cpu() - before
    for loads in (beside, alone):
        used = sum(load.cpu for load in loads.values()) / len(loads)
        loads["stranger: of any kind"] = Load(used, [each for load in loads.values() for each in load.seconds])
    measured = {}
    for name, load in beside.items():
        waits, of_alone = _percentiles(load.seconds), _percentiles(alone[name].seconds)
        ratio, used = waits["p99_ms"] / of_alone["p99_ms"], (load.cpu - alone[name].cpu) / TURNS
        measured[name] = waits | {"of_alone": ratio, "cpu": used}
    return measured


def _cpu_of(pid: int) -> Callable[[], float]:
    """The seconds that a process has run."""
    return partial(time.clock_gettime, (~pid << 3) | 2) if sys.platform == "linux" else time.perf_counter


@contextmanager
def _first() -> Iterator[None]:
    """Nobody who waits for a CPU gets it before this process."""
    if sys.platform != "linux":
        yield
        return
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


async def _paced(port: int, key: str, clock: Callable[[], float], took: list[float]) -> None:
    """For a second, requests with a key at a pace, over a few connections."""
    headers = NO_TRACK | {"authorization": f"Bearer {key}"}

    async def ask(first: int) -> None:
        reader, writer = await asyncio.open_connection(HOME, port)
        await _one(reader, writer, port, ("/sdk/v2/vardata", headers, _user(first)))
        for number in range(first, PACED, CONNECTIONS):
            await until(clock, began + number / PACED)
            asked = clock()
            await _one(reader, writer, port, ("/sdk/v2/vardata", headers, _user(number)))
            took.append(clock() - asked)
        writer.close()

    began = clock()
    await asyncio.gather(*(ask(first) for first in range(CONNECTIONS)))


async def _changes(settings: Settings) -> list[float]:
    """From an edit to its arrival on the stream, in seconds."""
    took = []
    async with CatalogWriter(settings) as writer, httpx.AsyncClient(timeout=30) as client:
        url = address(HOME, settings.http_port) + "/sdk/stream/v1/flags"
        async with client.stream("GET", url) as stream:
            told = (line async for line in stream.aiter_lines() if line.startswith("data: ["))
            await anext(told)
            for number in range(EDITS):
                await asyncio.sleep(PAUSE_SECONDS)
                flag = writer.history.newest.flags["flag-0"].definition
                began = time.perf_counter()
                await editing.edit(writer, [replace(flag, description=f"edit {number}")], BENCH, accept_risks=True)
                await anext(told)
                took.append(time.perf_counter() - began)
    return took


@contextmanager
def _running(command: list[str], environment: dict[str, str], ready: str) -> Iterator[psutil.Process]:
    process = subprocess.Popen(command, env=os.environ | environment, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                if httpx.get(ready).status_code == 200:
                    break
            except httpx.TransportError:
                if time.monotonic() > deadline or process.poll() is not None:
                    raise
            time.sleep(0.1)
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(30)
