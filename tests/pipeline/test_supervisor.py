"""The supervisor with real workers."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from pipeline.settings import Settings
from pipeline.supervisor import Supervisor
from tests.live import wait_for

SUPERVISE = """
import sys, time
from pipeline.settings import Settings
from pipeline.supervisor import Supervisor
with Supervisor(Settings.read()) as supervisor:
    print(*(process for _, process in supervisor.processes()), flush=True)
    time.sleep(600)
"""


def test_a_worker_that_falls_is_started_again(deployment: Settings) -> None:
    with Supervisor(deployment) as supervisor:
        victim = supervisor.workers[1]
        fallen = victim.process.pid
        victim.process.kill()
        wait_for(lambda: victim.process.pid != fallen and victim.process.poll() is None)
        assert victim.restarts == 1
        for worker in supervisor.workers:  # how they end in order is seen at the end of test_bad_input
            worker.process.kill()


def test_workers_do_not_outlive_a_supervisor_that_was_killed(deployment: Settings) -> None:
    supervisor = subprocess.Popen(
        [sys.executable, "-c", SUPERVISE],
        stdout=subprocess.PIPE,
        env=os.environ | deployment.environment(),
        cwd=Path(__file__).parents[2],
    )
    assert supervisor.stdout is not None
    workers = [int(process) for process in supervisor.stdout.readline().split()]
    assert len(workers) == 6

    supervisor.send_signal(signal.SIGKILL)
    supervisor.wait()

    wait_for(lambda: not any(psutil.pid_exists(process) for process in workers))
