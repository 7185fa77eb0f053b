"""Brokers that say where they are: wrongly, which is told at once with the address, or by IPv6, which works."""

import asyncio
import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from pipeline.cli import command
from pipeline.doctor import examine
from pipeline.errors import PeekproofError
from pipeline.kafka import topics
from pipeline.kafka.connection import connect
from pipeline.listening import listen
from pipeline.local_kafka.broker import Broker
from pipeline.processes.template import ForkedProcess
from pipeline.settings import Settings
from pipeline.stages import STAGES
from tests.gate import Gate
from tests.live import ask, wait_for
from tests.pipeline.http.server import serving

PROPERTIES = """
listeners=PLAINTEXT://127.0.0.1:{{port}},CONTROLLER://127.0.0.1:{{controller}},{listeners}
advertised.listeners=PLAINTEXT://127.0.0.1:{{port}},{advertised}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,NAME:PLAINTEXT,PORT:PLAINTEXT,SILENT:PLAINTEXT,GATE:PLAINTEXT,SIX:PLAINTEXT
"""
WITHOUT_IPV6 = "this machine has no IPv6: a broker that listens on ::1 was not tried"


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as held:
        return int(held.getsockname()[1])


@pytest.fixture(scope="module")
def gate() -> Gate:
    """Where the broker is by its listener GATE, until the gate is shut."""
    return Gate()


@pytest.fixture(scope="module")
def elsewhere(gate: Gate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Bootstrap servers of one broker; by each it says something else about where it is. SILENT never answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        said = {"NAME": "nowhere.invalid:9092", "PORT": "127.0.0.1:1", "SILENT": f"127.0.0.1:{silent.getsockname()[1]}"}
        said["GATE"] = f"127.0.0.1:{gate.port}"
        servers = {name: f"127.0.0.1:{free_port()}" for name in said}
        if has_ipv6():
            said["SIX"] = servers["SIX"] = f"[::1]:{free_port()}"
        properties = PROPERTIES.format(
            listeners=",".join(f"{name}://{place}" for name, place in servers.items()),
            advertised=",".join(f"{name}://{place}" for name, place in said.items()),
        )
        with Broker(tmp_path_factory.mktemp("elsewhere"), properties=properties):
            gate.open(int(servers["GATE"].rpartition(":")[2]))
            for server in servers.values():
                wait_for(lambda server=server: listens(server), 20)  # type: ignore[misc]
            yield servers


def listens(server: str) -> bool:
    host, _, port = server.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port))).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    ("listener", "place", "cause"),
    [
        ("NAME", "nowhere.invalid:9092", "gaierror: .*advertised.listeners to an address that this machine resolves"),
        ("PORT", "127.0.0.1:1", "Connect.*advertised.listeners to an address that this machine can reach"),
        ("SILENT", "127.0.0.1:.*", "no answer for 5 s"),
    ],
)
def test_a_broker_that_is_not_where_it_says_is_named(
    elsewhere: dict[str, str], listener: str, place: str, cause: str
) -> None:
    settings = Settings(bootstrap_servers=elsewhere[listener])
    began = time.monotonic()

    with pytest.raises(PeekproofError, match=rf"broker advertises itself as '{place}'.*\(.*{cause}"):
        asyncio.run(connect(settings))

    assert time.monotonic() - began < 15


@pytest.mark.parametrize(
    "arguments",
    [
        ("topics",),
        ("apply",),
        ("experiment", "list"),
        ("results",),
        ("results", "--follow"),
        ("dead-letters",),
        *(("worker", stage) for stage in STAGES),
        ("up",),
        ("serve", "--port=0", "--open"),
        ("demo",),
    ],
    ids=" ".join,
)
def test_no_command_goes_on_with_it(elsewhere: dict[str, str], arguments: tuple[str, ...], tmp_path: Path) -> None:
    settings = Settings(bootstrap_servers=elsewhere["NAME"], data=tmp_path, http_port=0)

    with pytest.raises(PeekproofError, match=r"its broker advertises itself as 'nowhere.invalid:9092'"):
        CliRunner().invoke(command, arguments, env=settings.environment(), catch_exceptions=False)


def test_the_doctor_names_the_broker_that_is_not_where_it_says(elsewhere: dict[str, str], tmp_path: Path) -> None:
    found = examine(Settings(bootstrap_servers=elsewhere["SILENT"], data=tmp_path))

    (told,) = [each.what for each in found if (each.area, each.status) == ("brokers", "wrong")]
    assert "advertises itself as '127.0.0.1:" in told
    assert [each.status for each in found if each.area == "topics"] == ["unknown"]


def test_a_program_that_runs_says_it_too(elsewhere: dict[str, str], gate: Gate, tmp_path: Path) -> None:
    settings = Settings(bootstrap_servers=elsewhere["GATE"], data=tmp_path, http_port=0, units_partitions=2)
    topics.create(settings)
    sentence = f"its broker advertises itself as '127.0.0.1:{gate.port}', which cannot be used from here"

    with ExitStack() as stack:
        programs = {"worker storage": tmp_path / "worker.log", "serve --open --port=0": tmp_path / "server.log"}
        for program, log in programs.items():
            process = ForkedProcess(program.split(), log, os.environ | settings.environment())
            stack.callback(process.kill)
        wait_for(lambda: bool(ask(settings.snapshot, "SELECT count(*) FROM pipeline_health")))
        wait_for(lambda: "Peekproof answers" in (tmp_path / "server.log").read_text())

        gate.shut()

        for log in programs.values():
            wait_for(lambda log=log: sentence in log.read_text(), seconds=20)  # type: ignore[misc]


def test_everything_works_by_ipv6(elsewhere: dict[str, str], tmp_path: Path) -> None:
    if "SIX" not in elsewhere:
        pytest.skip(WITHOUT_IPV6)
    settings = Settings.read(
        {"PEEKPROOF_BOOTSTRAP_SERVERS": elsewhere["SIX"], "PEEKPROOF_DATA": str(tmp_path), "PEEKPROOF_PREFIX": "six"}
    )
    environment = settings.environment()

    def call(*arguments: str) -> str:
        result = CliRunner().invoke(command, arguments, env=environment, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout

    call("topics")
    call("apply")
    assert "checkout-button" in call("experiment", "list")
    assert call("dead-letters", "--json") == ""
    storage = ForkedProcess(["worker", "storage"], tmp_path / "storage.log", os.environ | environment)
    beats = "SELECT count(*) FROM pipeline_health WHERE stage = 'storage'"
    wait_for(lambda: bool(ask(settings.snapshot, beats)))
    storage.terminate()
    assert storage.wait(30) == 0
    with serving(settings, "--host=::1") as server:
        assert server.address.startswith("http://[::1]:")
        assert httpx.get(f"{server.address}/readyz").text == "ok"


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6: `--host ::` was not tried")
def test_the_server_listens_everywhere_by_both() -> None:
    with listen("::", 0) as listening:
        for host in ("127.0.0.1", "::1"):
            socket.create_connection((host, listening.getsockname()[1])).close()
