"""Template: a process that has loaded once what workers and the server need; each of them is forked from it.

A process that begins so is at work after a tenth of the time, and shares the template's memory. Where the system's
libraries don't bear a fork (macOS), each process loads everything by itself.
"""

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing import connection
from pathlib import Path
from subprocess import TimeoutExpired

import psutil
from setproctitle import setproctitle

STOP_SECONDS = 30.0
PRELOADED = ["pipeline.processes.loading", "pipeline.processes.loaded"]
FORKS = sys.platform == "linux"
PR_SET_PDEATHSIG = 1  # prctl(2)
CONTEXT = multiprocessing.get_context("forkserver") if sys.platform == "linux" else multiprocessing.get_context("spawn")


class ForkedProcess:
    """`peekproof ARGUMENTS` in this environment, as `subprocess.Popen` shows one; what it says is added to the log.

    It ends with us, however we end: in order, if it can within `STOP_SECONDS`. Raises OSError or EOFError where it
    cannot be started.
    """

    def __init__(self, arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        log.open("ab").close()  # what cannot be written is said here
        CONTEXT.set_forkserver_preload(PRELOADED)
        self._arguments = arguments
        self._process = CONTEXT.Process(target=_run, args=(list(arguments), log, dict(environment)), daemon=True)
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def sentinel(self) -> int:
        """What `multiprocessing.connection.wait` waits for: it is ready when the process has ended."""
        return self._process.sentinel

    def template(self) -> int | None:
        """The process that it was forked from; None where it was not, or has ended."""
        try:
            parent = psutil.Process(self.pid).ppid()
            return parent if parent != os.getpid() and psutil.Process(parent).ppid() == os.getpid() else None
        except psutil.Error:
            return None

    @property
    def returncode(self) -> int | None:
        """As `poll` finds it."""
        return self.poll()

    def poll(self) -> int | None:
        """The exit code, or less than 0: the signal that ended it; None while it lives."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, when it has ended. Raises TimeoutExpired."""
        self._process.join(timeout)
        code = self.poll()
        if code is None:
            raise TimeoutExpired(list(self._arguments), timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        """Unless it has ended."""
        with suppress(ProcessLookupError):  # the template has heard of its end, and we not yet
            if self.poll() is None:
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end in order."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


def _run(arguments: list[str], log: Path, environment: dict[str, str]) -> None:
    """What the new process does."""
    os.setsid()  # Ctrl-C reaches the supervisor, which stops the workers in order
    end_with_parent(signal.SIGKILL)  # without a template nobody hears how we end
    nothing = os.open(os.devnull, os.O_RDONLY)
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for descriptor, stands_for in ((nothing, (0,)), (output, (1, 2))):
        for standard in stands_for:
            os.dup2(descriptor, standard)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["peekproof", *arguments]
    setproctitle(" ".join(sys.argv))
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=end_with, args=(parent.sentinel,), daemon=True).start()
    from pipeline.cli import main  # noqa: PLC0415 (it imports us)

    main()


def end_with_parent(number: int) -> None:
    """Send this process a signal when the thread ends that began it; 0: no more. Nothing where processes don't fork."""
    if FORKS:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)


def end_with(parent: int, patience: float = STOP_SECONDS) -> None:
    """End this process when a descriptor does that somebody else holds; in order, if it can within `patience` s.

    Without a broker a stage waits for acknowledgements, and nobody else is left to end it.
    """
    connection.wait([parent])
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(patience)
    os.kill(os.getpid(), signal.SIGKILL)
