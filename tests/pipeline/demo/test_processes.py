"""Processes: a peak stays when its memory is given back and when the process is gone; shared pages are told apart."""

import subprocess
import sys

import pytest

from pipeline.demo.processes import Processes

MIB = 1 << 20
CHILD = """
import sys
import numpy
numpy.ones(64 << 17)  # 64 MiB, given back at once
print(sum(range(3_000_000)), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def children():
    started = [
        subprocess.Popen([sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(2)
    ]
    yield started
    for child in started:
        child.communicate()


def test_what_a_process_used_is_known_after_its_end(children):
    for child in children:
        child.stdout.readline()
    processes = Processes()

    processes.measure((str(child.pid), child.pid) for child in children)
    for child in children:
        child.communicate()
    processes.measure((str(child.pid), child.pid) for child in children)

    assert [usage.name for usage in processes.usage] == [str(child.pid) for child in children]
    for usage in processes.usage:
        assert usage.cpu_seconds > 0
        assert usage.peak_memory > 64 * MIB
        assert MIB < usage.shared_memory < usage.peak_memory - 64 * MIB
