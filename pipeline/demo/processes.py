"""Processes: the CPU time and the peak memory of everything that the demo runs, also of what has ended since."""

from collections.abc import Iterable
from pathlib import Path

import msgspec
import psutil


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """One process. `peak_memory` in bytes: the kernel's own mark on Linux, elsewhere the most that was seen."""

    name: str
    pid: int
    cpu_seconds: float
    peak_memory: int


class Processes:
    """Measures the processes that it is told of; the last measure of each stays."""

    def __init__(self) -> None:
        self._usage: dict[int, Usage] = {}

    def measure(self, named: Iterable[tuple[str, int]]) -> None:
        """Measure these (name, process id)."""
        for name, pid in named:
            try:
                process = psutil.Process(pid)
                times = process.cpu_times()
                peak = max(_peak(process), self._usage[pid].peak_memory if pid in self._usage else 0)
            except (psutil.NoSuchProcess, psutil.ZombieProcess, FileNotFoundError):
                continue
            self._usage[pid] = Usage(
                name=name, pid=pid, cpu_seconds=round(times.user + times.system, 2), peak_memory=peak
            )

    @property
    def usage(self) -> list[Usage]:
        """All processes, in the order they were first measured."""
        return list(self._usage.values())


def _peak(process: psutil.Process) -> int:
    status = Path(f"/proc/{process.pid}/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return int(process.memory_info().rss)
