"""Processes: the CPU time and the peak memory of everything that the demo runs, also of what has ended since."""

from collections.abc import Iterable
from pathlib import Path

import msgspec
import psutil


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """One process. Memory in bytes.

    `peak_memory`: the kernel's own mark on Linux, elsewhere the most that was seen. A page of a library that several
    processes map stands in the mark of each; `shared_memory` is what of them others account for, since each of n
    processes takes an nth of it (the kernel's Pss). So peaks less shared memory add up to what all need together.
    """

    name: str
    pid: int
    cpu_seconds: float
    peak_memory: int
    shared_memory: int  # 0 where the system can't tell


class Processes:
    """Measures the processes that it is told of; the last measure of each stays."""

    def __init__(self) -> None:
        self._usage: dict[int, Usage] = {}

    def measure(self, named: Iterable[tuple[str, int]]) -> None:
        """Measure these (name, process id)."""
        for name, pid in named:
            try:
                process = psutil.Process(pid)
                times, memory = process.cpu_times(), process.memory_full_info()
                peak = max(_peak(pid, memory.rss), self._usage[pid].peak_memory if pid in self._usage else 0)
            except (psutil.Error, FileNotFoundError):
                continue
            self._usage[pid] = Usage(
                name=name,
                pid=pid,
                cpu_seconds=round(times.user + times.system, 2),
                peak_memory=peak,
                shared_memory=memory.rss - getattr(memory, "pss", memory.rss),
            )

    @property
    def usage(self) -> list[Usage]:
        """All processes, in the order they were first measured."""
        return list(self._usage.values())


def _peak(pid: int, resident: int) -> int:
    status = Path(f"/proc/{pid}/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resident
