"""Supervisor: a worker process for every stage on this machine, and the server; what falls is started again."""

import logging
import multiprocessing
import os
import shutil
import threading
import time
import uuid
from multiprocessing.connection import wait
from pathlib import Path
from subprocess import TimeoutExpired
from types import TracebackType
from typing import IO, Self

from pipeline.owner import own
from pipeline.processes.template import STOP_SECONDS, ForkedProcess
from pipeline.settings import Settings
from pipeline.stages import STAGES

SCALED = ("assignment", "identity", "aggregation")  # stages of which several workers share the load of one machine
AGAIN_SECONDS, TRIM_SECONDS = 0.2, 5.0  # from one look to the next while a process is down, and while none is
# Seconds: before it is started again where it fell soon after a start, and of running well.
FIRST_PAUSE, LONGEST_PAUSE, STEADY = 0.5, 15.0, 30.0
LOG_BYTES = 16 << 20  # of one log, and of the one before it

log = logging.getLogger(__name__)


SERVER = "server"


class SupervisedProcess:
    """One process, of a stage or the server, and what is known of its falls. `command`: of `peekproof`."""

    def __init__(self, name: str, number: int, command: list[str], logs: Path, environment: dict[str, str]) -> None:
        self.name = name
        self.log = logs / f"{name}-{number}.log"
        self._command = command
        self.environment = environment
        self._pause = FIRST_PAUSE
        self._fell_at: float | None = None
        self.restarts = 0
        self.start()

    def start(self) -> None:
        """Start the process; what it says goes to its log."""
        self.process = ForkedProcess(self._command, self.log, self.environment)
        self._started_at = time.monotonic()

    def trim(self) -> None:
        """Begin the log anew where it is long, and keep what it held as the one before it.

        The process has it open, to append to: so what it holds is copied away, and it is cut. A line that comes between
        the two is lost; where there is no room for a copy, all of it is.
        """
        if not self.log.exists() or self.log.stat().st_size < LOG_BYTES:
            return
        before = self.log.with_suffix(".log.1")
        try:
            before.unlink(missing_ok=True)
            shutil.copyfile(self.log, before)
        except OSError as error:
            before.unlink(missing_ok=True)
            log.warning("%s is cut at %d bytes, and what it held is lost (%s)", self.log, LOG_BYTES, error.strerror)
        os.truncate(self.log, 0)

    def revive(self) -> None:
        """Start the process again if it fell: at once if it ran well, after longer and longer pauses if it keeps
        falling, or the machine cannot start it.
        """
        now = time.monotonic()
        if self.process.poll() is None:
            return
        if self._fell_at is None:
            self._fell_at = now
            if now - self._started_at > STEADY:
                self._pause = 0.0
            log.warning(
                "%s (pid %d) ended with code %d; it starts again in %.1f s; its log: %s",
                self.name,
                self.process.pid,
                self.process.returncode,
                self._pause,
                self.log,
            )
        if now - self._fell_at >= self._pause:
            self._pause = min(max(2 * self._pause, FIRST_PAUSE), LONGEST_PAUSE)
            try:
                self.start()
            except (OSError, EOFError) as error:  # no memory or process to be had, or no room for the log
                self._fell_at = now
                log.warning("%s cannot start (%s); it is tried again in %.1f s", self.name, error, self._pause)
            else:
                self._fell_at = None
                self.restarts += 1


class Supervisor:
    """Runs one worker of each stage, or `workers` of those that scale out, and the server; a context manager.

    `is_open`: the server lets everybody in who reaches this machine's loopback. Raises nothing when a process falls: it
    says so in the log and starts it again. Raises OwnerError where another supervisor works on the data directory.
    """

    def __init__(self, settings: Settings, workers: int = 1, is_open: bool = False) -> None:
        self._settings = settings
        self._serve = ["serve", "--open"] if is_open else ["serve"]
        self._counts = {stage: workers if stage in SCALED else 1 for stage in STAGES}
        self._stopping, self._stop = multiprocessing.Pipe(duplex=False)  # readable when all is to stop
        self._watch = threading.Thread(target=self._keep_alive, name="supervisor", daemon=True)
        self.workers: list[SupervisedProcess] = []
        self._lock: IO[str]

    def __enter__(self) -> Self:
        logs = self._settings.data / "logs"
        self._lock = own(logs)
        environment = os.environ | self._settings.environment()
        life = uuid.uuid4().hex
        for stage, count in self._counts.items():
            for number in range(count):
                its_own = environment | self._health_port(len(self.workers))
                # No two processes that live have one name: a new one is started when the one before it has ended.
                member = f"{life}-{stage}-{number}"
                self.workers.append(
                    SupervisedProcess(stage, number, ["worker", stage, "--member", member], logs, its_own)
                )
        self.workers.append(SupervisedProcess(SERVER, 0, self._serve, logs, environment))
        self._watch.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._lock.close()

    def processes(self) -> list[tuple[str, int]]:
        """The name and process id of every process that is there now."""
        template = [("template", pid) for worker in self.workers[-1:] if (pid := worker.process.template()) is not None]
        return [*((worker.name, worker.process.pid) for worker in self.workers), *template]

    def stop(self, patience: float = STOP_SECONDS) -> None:
        """Ask every worker to checkpoint and end, in the order data flows; kill what does not within `patience` s."""
        self._stop.close()
        self._watch.join()
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.process.terminate()
        deadline = time.monotonic() + patience
        for worker in self.workers:
            try:
                worker.process.wait(max(0.0, deadline - time.monotonic()))
            except TimeoutExpired:
                log.warning("%s (pid %d) did not end within %.0f s; killed", worker.name, worker.process.pid, patience)
                worker.process.kill()
                worker.process.wait()

    def _health_port(self, number: int) -> dict[str, str]:
        """The setting of one of several workers on this machine."""
        first = self._settings.health_port
        return {"PEEKPROOF_HEALTH_PORT": str(first + number)} if first else {}

    def _keep_alive(self) -> None:
        while True:
            running = [worker.process.sentinel for worker in self.workers if worker.process.poll() is None]
            is_whole = len(running) == len(self.workers)
            if self._stopping in wait([self._stopping, *running], TRIM_SECONDS if is_whole else AGAIN_SECONDS):
                return
            for worker in self.workers:
                worker.trim()
                worker.revive()
