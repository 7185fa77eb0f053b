"""The supervisor with real workers on a real broker."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from pipeline.settings import Settings
from pipeline.supervisor import Supervisor

SUPERVISE = """
import sys, time
from pipeline.settings import Settings
from pipeline.supervisor import Supervisor
with Supervisor(Settings.read()) as supervisor:
    print(*(process for _, process in supervisor.processes()), flush=True)
    time.sleep(600)
"""


def test_a_worker_that_falls_is_started_again_and_all_end_in_order(deployment: Settings) -> None:
    with Supervisor(deployment) as supervisor:
        _wait_for(lambda: all("Worker ready" in worker.log.read_text() for worker in supervisor.workers))
        victim = supervisor.workers[1]
        fallen = victim.process.pid
        victim.process.kill()
        _wait_for(lambda: victim.process.pid != fallen and victim.process.poll() is None)
        _wait_for(lambda: victim.log.read_text().count("Worker ready") == 2)

    assert [worker.process.returncode for worker in supervisor.workers] == [0] * 5
    assert (deployment.data / "peekproof.duckdb").exists()


def test_workers_do_not_outlive_a_supervisor_that_was_killed(deployment: Settings) -> None:
    supervisor = subprocess.Popen(
        [sys.executable, "-c", SUPERVISE],
        stdout=subprocess.PIPE,
        env=os.environ | deployment.environment(),
        cwd=Path(__file__).parents[2],
    )
    assert supervisor.stdout is not None
    workers = [int(process) for process in supervisor.stdout.readline().split()]
    assert len(workers) == 5

    supervisor.send_signal(signal.SIGKILL)
    supervisor.wait()

    _wait_for(lambda: not any(psutil.pid_exists(process) for process in workers))


def _wait_for(condition: Callable[[], bool], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)
