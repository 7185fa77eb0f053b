"""Whether a worker goes on, as it tells whoever would start another in its place."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from pipeline.errors import PeekproofError
from pipeline.settings import Settings
from pipeline.stages.liveness import SLOW_SECONDS, STALLED_SECONDS, Liveness, answer
from tests.live import wait_for

NOWHERE = Settings(bootstrap_servers="127.0.0.1:1")
EVENTS = ("events", 3)
# A worker that is stalled after three seconds; its loop hangs as soon as there is a file.
HUNG = """
import sys, time
from pathlib import Path
from pipeline import stages
from pipeline.settings import Settings
from pipeline.stages import liveness, worker
from pipeline.stages.storage import StorageStage

class Hanging(StorageStage):
    async def tick(self):
        if Path(sys.argv[1]).exists():
            time.sleep(600)
        await super().tick()

liveness.STALLED_SECONDS = 3
stages.STAGES["hanging"] = "__main__:Hanging"
worker.run_worker("hanging", Settings.read())
"""


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_it_is_ready_with_the_first_heartbeat_and_alive_before(clock: Clock) -> None:
    liveness = Liveness(NOWHERE, clock)
    assert liveness.health() == (True, "ok")
    assert liveness.readiness() == (False, "the catalog is being read, or the group has given no partitions yet")

    liveness.ended("heartbeat")

    assert liveness.readiness() == (True, "ok")


def test_a_round_that_does_not_end_is_told(clock: Clock) -> None:
    liveness = Liveness(NOWHERE, clock)
    liveness.ended("heartbeat")
    liveness.ended("tick")
    clock.now += STALLED_SECONDS
    liveness.ended("tick")
    assert liveness.health() == (True, "ok")

    clock.now += 1

    assert liveness.health() == liveness.readiness() == (False, "no heartbeat has ended for 61 s")


def test_a_partition_that_has_more_and_stands_still_is_told(clock: Clock) -> None:
    liveness = Liveness(NOWHERE, clock)

    def beat(position: int, end: int) -> str:
        liveness.reached({EVENTS: (position, end), ("exposures", 0): (5, 5)})
        liveness.ended("heartbeat")
        return liveness.health()[1]

    assert beat(10, 20) == "ok"
    clock.now += STALLED_SECONDS
    assert beat(11, 20) == "ok"
    clock.now += STALLED_SECONDS
    assert beat(11, 30) == "ok"
    clock.now += 1
    assert beat(11, 30) == "events/3 holds more, but stands at offset 11 for 61 s"
    assert beat(30, 30) == "ok"  # taken to its end, however long that stands
    clock.now += 10 * STALLED_SECONDS
    assert beat(30, 30) == "ok"
    liveness.reached({})
    assert liveness.health() == (True, "ok")


def test_while_kafka_is_away_it_waits_and_is_given_time_afterwards(
    broker: str, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    liveness = Liveness(NOWHERE, clock)
    liveness.ended("heartbeat")
    clock.now += STALLED_SECONDS + SLOW_SECONDS

    liveness.look()
    liveness.look()

    is_alive, why = liveness.health()
    assert is_alive
    assert "Kafka at 127.0.0.1:1 does not let us in" in why
    assert liveness.readiness() == (False, why)
    assert [record.getMessage() for record in caplog.records] == [f"{why}; this worker waits"]

    liveness._settings = Settings(bootstrap_servers=broker)
    liveness.look()
    assert liveness.health() == (True, "ok")
    clock.now += STALLED_SECONDS + 1
    liveness.look()
    assert liveness.health()[0] is False


def test_a_port_that_is_taken_is_an_error_that_names_the_setting() -> None:
    with (
        socket.create_server(("", 0)) as held,
        pytest.raises(PeekproofError, match="choose another by PEEKPROOF_HEALTH_PORT"),
    ):
        answer(Liveness(NOWHERE), held.getsockname()[1])


@contextmanager
def running(settings: Settings, hangs_with: Path) -> Iterator[str]:
    """A worker, and where it tells how it is."""
    command = [sys.executable, "-c", HUNG, str(hangs_with)]
    environment = os.environ | settings.environment() | {"PEEKPROOF_HEALTH_PORT": "0"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        try:
            yield worker.stdout.readline().split()[7].removesuffix("/healthz")
        finally:
            worker.kill()


def test_a_worker_tells_that_it_is_ready_and_that_its_loop_hangs(deployment: Settings, tmp_path: Path) -> None:
    with running(deployment, tmp_path / "hang") as address:
        assert httpx.get(f"{address}/healthz").status_code == 200
        assert httpx.get(f"{address}/elsewhere").status_code == 404
        wait_for(lambda: httpx.get(f"{address}/readyz").status_code == 200)
        assert httpx.head(f"{address}/healthz").status_code == 200

        (tmp_path / "hang").touch()

        wait_for(lambda: httpx.get(f"{address}/healthz").status_code == 503, seconds=30)
        told = httpx.get(f"{address}/readyz")
        assert told.status_code == 503
        assert " has ended for " in told.text
