"""How programs end early: when the broker goes away before they are done, or somebody stops them before they began."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from pipeline.kafka.producer import create_producer
from pipeline.kernel_cache import COMPILING
from pipeline.local_kafka.broker import Broker
from pipeline.settings import Settings
from schemas.topics import RESULTS
from tests.conftest import deployed
from tests.gate import Gate
from tests.live import wait_for
from tests.pipeline.conftest import look

# The number of Kafka's request at which the broker goes away.
PRODUCE, FETCH, LIST_OFFSETS, CREATE_TOPICS, INIT_PRODUCER = 0, 1, 2, 19, 22
AWAY = {
    "topics": CREATE_TOPICS,
    "apply": PRODUCE,
    "experiment list": LIST_OFFSETS,
    "results": FETCH,
    "results --follow": FETCH,
    "worker assignment": INIT_PRODUCER,
    "serve --open --port=0": FETCH,
}
PROPERTIES = """
listeners=PLAINTEXT://127.0.0.1:{{port}},CONTROLLER://127.0.0.1:{{controller}},{listeners}
advertised.listeners=PLAINTEXT://127.0.0.1:{{port}},{advertised}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,{protocols}
"""
SENTENCE = r"Kafka at 127\.0\.0\.1:\d+ does not (let us in|do what is asked) \(.*\); .+"


class Ended(NamedTuple):
    """A program that has ended."""

    code: int
    said: str


def start(program: str, environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "pipeline.cli", *program.split()]
    with log.open("wb") as output:
        return subprocess.Popen(command, env=os.environ | environment, stdout=output, stderr=output)


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Ended]]:
    """All of them, side by side, each through a gate of its own to one broker."""
    directory = tmp_path_factory.mktemp("ending")
    gates = {program: Gate(shuts_at) for program, shuts_at in AWAY.items()}
    ports = dict(zip(gates, free_ports(len(gates)), strict=True))
    names = {program: f"GATE{number}" for number, program in enumerate(gates)}
    properties = PROPERTIES.format(
        listeners=",".join(f"{names[program]}://127.0.0.1:{port}" for program, port in ports.items()),
        advertised=",".join(f"{names[program]}://127.0.0.1:{gate.port}" for program, gate in gates.items()),
        protocols=",".join(f"{name}:PLAINTEXT" for name in names.values()),
    )
    with (
        Broker(directory / "broker", properties=properties) as broker,
        deployed(broker.bootstrap_servers, directory / "data") as settings,
        ExitStack() as stack,
    ):
        asyncio.run(publish_a_look(settings))
        running = {}
        for program, gate in gates.items():
            gate.open(ports[program])
            own = {
                "PEEKPROOF_BOOTSTRAP_SERVERS": f"127.0.0.1:{gate.port}",
                "PEEKPROOF_DATA": str(directory / names[program]),
                "PEEKPROOF_PREFIX": "other" if program == "topics" else settings.prefix,
            }
            process = start(program, settings.environment() | own, directory / f"{names[program]}.log")
            stack.callback(process.kill)
            running[program] = process
        yield {
            program: Ended(process.wait(90), (directory / f"{names[program]}.log").read_text())
            for program, process in running.items()
        }


def free_ports(number: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return ports


async def publish_a_look(settings: Settings) -> None:
    producer = create_producer(settings)
    await producer.start()
    await producer.send_and_wait(settings.topic(RESULTS), look(1), key=b"checkout/exp-1")
    await producer.stop()


@pytest.mark.parametrize("program", AWAY)
def test_a_broker_that_goes_away_is_one_sentence(ended: dict[str, Ended], program: str) -> None:
    code, said = ended[program]

    assert code == (1 if program.startswith("worker") else 2), said
    assert "Traceback" not in said
    assert len(re.findall(SENTENCE, said)) == 1, said
    if not program.startswith(("worker", "serve")):  # whose log has more than that
        assert re.fullmatch(rf"(flag .*\n|metric .*\n|cohort .*\n)*peekproof: {SENTENCE}\n", said), said
    assert ("may stand all the same" in said) == (program == "apply")


@pytest.mark.parametrize(
    ("program", "number"),
    [
        ("worker assignment", signal.SIGTERM),
        ("worker assignment", signal.SIGINT),
        ("serve --open --port=0", signal.SIGTERM),
    ],
    ids=["worker-SIGTERM", "worker-Ctrl-C", "serve-SIGTERM"],
)
def test_what_holds_nothing_yet_ends_at_once_and_well(
    deployment: Settings, program: str, number: signal.Signals, tmp_path: Path
) -> None:
    (tmp_path / "kernels").mkdir()
    environment = deployment.environment() | {"NUMBA_CACHE_DIR": str(tmp_path / "kernels")}

    process = start(program, environment, tmp_path / "log")
    # It compiles, which takes half a minute.
    wait_for(lambda: any((tmp_path / "kernels").iterdir()) or "App]: Starting" in (tmp_path / "log").read_text())
    wait_for(lambda: COMPILING in (tmp_path / "log").read_text())
    process.send_signal(number)
    began = time.monotonic()

    assert process.wait(30) == 0
    assert time.monotonic() - began < 5
    assert (tmp_path / "log").read_text().count(COMPILING) == 1
    assert "Traceback" not in (tmp_path / "log").read_text()
