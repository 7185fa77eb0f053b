"""Deployment: a broker of its own, every stage and the server under their supervisor, and traffic for them.

Its data lies on a small file system of its own, where one can be mounted, so that it can be filled.
"""

import asyncio
import os
import random
import shutil
import signal
import subprocess
import threading
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Self, TypeVar
from urllib.request import urlopen

import msgspec

from evaluation.catalog.lifecycle import start
from pipeline.catalog import editing
from pipeline.catalog.documents import read_documents
from pipeline.catalog.editing import Signature
from pipeline.catalog.topic import CatalogWriter
from pipeline.kafka import topics
from pipeline.listening import with_free_port
from pipeline.local_kafka.broker import Broker
from pipeline.processes.supervisor import SupervisedProcess, Supervisor
from pipeline.settings import Settings
from tests.end_to_end import shop
from tests.faults.traffic import Traffic

SIGNATURE = Signature("tests", "the soak")
DISK_BYTES = 2 << 30
# Windows, the horizon, intervals and checkpoints end within seconds, so that all of it happens often.
SHORT = {"horizon": 10_000, "tolerance": 10_000, "archive_interval": 5_000, "checkpoint_interval": 4_000}

T = TypeVar("T")


class Deployment:
    """Everything that runs, in `directory`, which is emptied first; a context manager. `rate`: records a second."""

    settings: Settings
    supervisor: Supervisor
    traffic: Traffic

    def __init__(self, directory: Path, rate: float) -> None:
        self._directory = directory
        self._rate = rate
        self._ending = ExitStack()
        self.broker = Broker(directory / "broker")
        self.broker_turn = threading.Lock()  # of what ends the broker, and of what cannot do without it
        self.documents = directory / "catalog"
        self.has_own_disk = False

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._begin(stack)
            self._ending = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.close()

    def edit(self, edit: Callable[[CatalogWriter], Awaitable[T]]) -> T:
        """What an edit of the catalog comes to."""

        async def opened() -> T:
            async with CatalogWriter(self.settings) as writer:
                return await edit(writer)

        return asyncio.run(opened())

    def workers(self, name: str = "") -> list[SupervisedProcess]:
        """Those that the supervisor looks after, of one stage."""
        return [worker for worker in self.supervisor.workers if name in ("", worker.name)]

    def answers(self) -> bool:
        """Whether the server does."""
        try:
            with urlopen(f"http://127.0.0.1:{self.settings.http_port}/healthz", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def invite(self, stage: str) -> SupervisedProcess:
        """One more worker of a stage, which nobody starts again."""
        number = 100 + random.randrange(1 << 20)
        guest = SupervisedProcess(stage, number, ["worker", stage], self.settings.data / "logs", self._environment)
        self._ending.callback(_end, guest)
        return guest

    def _begin(self, stack: ExitStack) -> None:
        shutil.rmtree(self._directory, ignore_errors=True)
        data = self._directory / "data"
        data.mkdir(parents=True)
        self.has_own_disk = os.geteuid() == 0 and _mount(data)
        if self.has_own_disk:
            stack.callback(subprocess.run, ["umount", "--lazy", str(data)], check=True)
        self.broker.start()
        stack.callback(self.broker.stop)
        base = Settings(bootstrap_servers=self.broker.bootstrap_servers, prefix="soak", data=data, http_port=0)
        self.settings = with_free_port(msgspec.structs.replace(base, units_partitions=4, **SHORT))
        self._environment = os.environ | self.settings.environment()
        topics.create(self.settings)
        shop.write_documents(self.documents)
        self.edit(self._begin_experiments)
        self.supervisor = stack.enter_context(Supervisor(self.settings, workers=2))
        self.traffic = Traffic(self._rate, self._environment)
        stack.callback(self.traffic.kill)

    async def _begin_experiments(self, writer: CatalogWriter) -> None:
        """As files are analysed: every flag's key is its salt."""
        async for _ in editing.apply(writer, read_documents(self.documents), SIGNATURE):
            pass
        for key in shop.FLAGS:
            started = start(editing.state_of(writer.history, key), 2, salt=key)
            await writer.publish(writer.next_version(started, SIGNATURE.author, SIGNATURE.reason))


def _mount(directory: Path) -> bool:
    """Whether a small file system could be mounted there."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "soak", str(directory)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _end(guest: SupervisedProcess) -> None:
    guest.process.send_signal(signal.SIGKILL)
    guest.process.wait()
