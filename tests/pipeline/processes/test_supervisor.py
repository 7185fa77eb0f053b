"""The supervisor with real workers."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from pipeline.owner import OwnerError
from pipeline.processes import supervisor as supervisor_module
from pipeline.processes.supervisor import FIRST_PAUSE, SCALED, SupervisedProcess, Supervisor
from pipeline.processes.template import FORKS
from pipeline.settings import Settings
from pipeline.stages import STAGES
from tests.conftest import PEEKPROOF
from tests.live import ask, wait_for

SUPERVISE = """
import sys, time
from pipeline.settings import Settings
from pipeline.processes.supervisor import Supervisor
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
        with pytest.raises(OwnerError, match=f"logs belongs to process {os.getpid()} on .*, and has one owner"):
            Supervisor(deployment).__enter__()
        for worker in supervisor.workers:  # how they end in order is seen at the end of test_bad_records
            worker.process.kill()


def test_a_worker_that_cannot_be_started_is_tried_again(tmp_path: Path) -> None:
    worker = SupervisedProcess("any", 0, ["no such command"], tmp_path, dict(os.environ))
    worker.process.wait()
    log, worker.log = worker.log, tmp_path  # a directory cannot be opened to write

    worker.revive()
    time.sleep(FIRST_PAUSE)
    worker.revive()
    assert worker.restarts == 0

    worker.log = log
    time.sleep(2 * FIRST_PAUSE)
    worker.revive()
    assert worker.restarts == 1
    worker.process.wait()


def test_workers_of_one_machine_have_a_health_port_each(tmp_path: Path) -> None:
    settings = Settings(bootstrap_servers="127.0.0.1:1", data=tmp_path, health_port=8081)

    with Supervisor(settings, workers=2) as supervisor:
        ports = [worker.environment.get("PEEKPROOF_HEALTH_PORT") for worker in supervisor.workers]
        supervisor.stop(patience=0)

    several = range(8081, 8081 + len(STAGES) + len(SCALED))
    assert ports == [*map(str, several), "8081"]  # of which the server makes no use


def test_a_long_log_is_begun_anew_and_the_one_before_it_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_module, "LOG_BYTES", 1_000)
    worker = SupervisedProcess("any", 0, ["no such command"], tmp_path, dict(os.environ))
    worker.process.wait()
    with worker.log.open("ab") as output:  # as the process has it
        for number in range(3):
            worker.log.write_bytes(b"")
            output.write(b"%d" % number * 1_000)
            output.flush()
            worker.trim()
            worker.trim()
            assert worker.log.read_bytes() == b""
            assert (tmp_path / "any-0.log.1").read_bytes() == b"%d" % number * 1_000
        output.write(b"goes on")

    monkeypatch.setattr("shutil.copyfile", _no_room)
    worker.log.write_bytes(b"x" * 1_000)
    worker.trim()

    assert sorted(path.name for path in tmp_path.iterdir()) == ["any-0.log"]
    assert worker.log.read_bytes() == b""


def _no_room(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_workers_do_not_outlive_a_supervisor_that_was_killed(deployment: Settings) -> None:
    supervisor = subprocess.Popen(
        [sys.executable, "-c", SUPERVISE],
        stdout=subprocess.PIPE,
        env=os.environ | deployment.environment(),
        cwd=Path(__file__).parents[3],
    )
    assert supervisor.stdout is not None
    workers = [int(process) for process in supervisor.stdout.readline().split()]
    assert len(workers) == len(STAGES) + 1 + FORKS

    supervisor.send_signal(signal.SIGKILL)
    supervisor.wait()

    wait_for(lambda: not any(psutil.pid_exists(process) for process in workers))


def test_modules_of_the_working_directory_are_none_of_ours(deployment: Settings, strangers: Path) -> None:
    environment = os.environ | deployment.environment()
    stages = "SELECT count(DISTINCT stage) FROM pipeline_health"

    with subprocess.Popen([PEEKPROOF, "up"], env=environment, cwd=strangers, stdout=subprocess.DEVNULL) as up:
        try:
            wait_for(lambda: ask(deployment.snapshot, stages) == len(STAGES))
            wait_for(lambda: "Peekproof answers" in (deployment.data / "logs" / "server-0.log").read_text())
        finally:
            up.terminate()
    assert up.returncode == 0


def test_a_worker_that_cannot_end_in_order_does_not_outlive_its_supervisor_either() -> None:
    parent, ours = os.pipe()
    busy = (
        "import signal, threading; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        f"from pipeline.processes.template import end_with; end_with({parent}, 0.5)"
    )
    worker = subprocess.Popen([sys.executable, "-c", busy], pass_fds=[parent], cwd=Path(__file__).parents[3])

    os.close(ours)

    assert worker.wait(60) == -signal.SIGKILL
    os.close(parent)


@pytest.mark.skipif(not FORKS, reason="every process is started by itself here")
def test_a_template_that_still_compiles_does_not_outlive_who_waits_for_it(tmp_path: Path) -> None:
    log = tmp_path / "log"
    begin = (
        "from pathlib import Path; from pipeline.processes.template import ForkedProcess; "
        f"ForkedProcess([], Path({str(log)!r}), {{}})"
    )
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", begin], env=environment, stderr=subprocess.PIPE) as waiting:
        assert waiting.stderr is not None
        assert b"compiling kernels" in waiting.stderr.readline()
        begun = psutil.Process(waiting.pid).children()
        waiting.kill()

    assert begun
    wait_for(lambda: not any(each.is_running() for each in begun), 10, "the end of the template", often=0.05)


@pytest.mark.skipif(not FORKS, reason="every process is started by itself here")
def test_workers_end_with_their_template_and_begin_again_from_a_new_one(deployment: Settings) -> None:
    with Supervisor(deployment) as supervisor:
        fallen = dict(supervisor.processes())
        psutil.Process(fallen["template"]).kill()

        wait_for(lambda: not any(psutil.pid_exists(process) for process in fallen.values()), what="their end")
        wait_for(lambda: all(worker.restarts and worker.process.poll() is None for worker in supervisor.workers))
        supervisor.stop(patience=0)
