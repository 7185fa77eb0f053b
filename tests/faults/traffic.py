"""Traffic: a process that sends what visitors say; where it has ended, another one comes, of other visitors."""

import subprocess
import sys
import threading
import time

import msgspec

from pipeline.demo.progress import TrafficProgress

PAUSE = 0.5  # seconds, before another one comes


class Traffic:
    """Sends so many records a second until it is stopped."""

    def __init__(self, rate: float, environment: dict[str, str]) -> None:
        self._rate = rate
        self._environment = environment
        self._acknowledged: list[int] = []  # by process
        self._is_over = False
        self._lock = threading.Lock()  # of a start and an end
        self._process = self._start()
        self._sending = threading.Thread(target=self._send, daemon=True)
        self._sending.start()

    @property
    def acknowledged(self) -> int:
        """Records that the broker has acknowledged, as far as that was told."""
        return sum(self._acknowledged)

    def replace(self) -> None:
        """Kill the process; another one comes."""
        self._process.kill()

    def stop(self) -> None:
        """Have everything acknowledged that was said, and end."""
        with self._lock:
            self._is_over = True
            self._process.terminate()
        self._sending.join()

    def kill(self) -> None:
        """End at once."""
        with self._lock:
            self._is_over = True
            self._process.kill()
        self._sending.join()

    def _start(self) -> "subprocess.Popen[bytes]":
        self._acknowledged.append(0)
        options = ["--seconds=1000000", f"--events-per-second={self._rate}", f"--seed={len(self._acknowledged)}"]
        command = [sys.executable, "-m", "pipeline.demo.traffic", *options]
        # What it says of a broker that is away is nobody's concern.
        return subprocess.Popen(command, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def _send(self) -> None:
        while True:
            assert self._process.stdout
            for line in self._process.stdout:
                if line.endswith(b"\n"):
                    self._acknowledged[-1] = sum(msgspec.json.decode(line, type=TrafficProgress).acknowledged.values())
            self._process.wait()
            if not self._is_over:
                time.sleep(PAUSE)
            with self._lock:
                if self._is_over:
                    return
                self._process = self._start()
