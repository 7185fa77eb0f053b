"""A server of the test's own, as a process."""

import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from pipeline.processes.template import ForkedProcess
from pipeline.settings import Settings
from tests.live import wait_for

ANSWERS = re.compile("^Peekproof answers at (http.*)\n", re.MULTILINE)


class Server(NamedTuple):
    """A running server."""

    address: str
    process: ForkedProcess


@contextmanager
def serving(settings: Settings, *arguments: str, is_open: bool = True) -> Iterator[Server]:
    """`peekproof serve` on a free port, for everybody unless it is not `is_open`; it must end well."""
    log = settings.data / "logs" / f"serve-{uuid.uuid4().hex}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    told = ["serve", "--port=0", *(["--open"] if is_open else []), *arguments]
    process = ForkedProcess(told, log, os.environ | settings.environment())
    try:
        wait_for(lambda: ANSWERS.search(log.read_text()) or process.poll() is not None, what="a server", often=0.05)
        said = ANSWERS.search(log.read_text())
        assert said, log.read_text()
        yield Server(said[1], process)
    finally:
        process.terminate()
        try:
            code = process.wait(30)
        finally:
            process.kill()
    assert code == 0, f"it ended with code {code}: {log.read_text()}"
