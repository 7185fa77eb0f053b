"""A server of the test's own, as a process."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from pipeline.settings import Settings


class Server(NamedTuple):
    """A running server."""

    address: str
    process: subprocess.Popen[str]


@contextmanager
def serving(settings: Settings, *arguments: str, is_open: bool = True) -> Iterator[Server]:
    """`peekproof serve` on a free port, for everybody unless it is not `is_open`; it must end well."""
    command = [sys.executable, "-m", "pipeline.cli", "serve", "--port=0", *(["--open"] if is_open else []), *arguments]
    process = subprocess.Popen(command, env=os.environ | settings.environment(), stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert said.startswith("Peekproof answers at http"), said
        yield Server(said.split()[-1], process)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(30)
        finally:
            process.kill()
    assert code == 0
