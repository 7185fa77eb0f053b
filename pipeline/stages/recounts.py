"""Recounts: the process that tells the past of runs which are counted again, as the archive's worker keeps it.

There is one at a time, and only while there is something to tell. It begins when everything that was appended before
the boundary is in files.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from time import monotonic

from evaluation.catalog.history import History
from evaluation.catalog.in_force import SETTLING, RunInForce
from evaluation.catalog.recounts import coming
from pipeline.settings import Settings
from pipeline.storage.recounts import forget_progress, read_progress
from schemas.recount import RecountHealth

PAUSE_SECONDS = 10.0  # before what failed is tried again
STOP_SECONDS = 5.0
LONGEST = 500  # characters of why


class RecountsReader:
    """`is_archived` says whether all that was appended before a time (ms UTC) is in files."""

    def __init__(self, settings: Settings, is_archived: Callable[[int], bool]) -> None:
        self._settings = settings
        self._is_archived = is_archived
        self._log = settings.data / "logs" / "recount.log"
        self._logged = 0  # bytes of it that former processes wrote
        self._process: subprocess.Popen[bytes] | None = None
        self._generation = 0
        self._coming: dict[int, RunInForce] = {}
        self._why: dict[int, str] = {}
        self._next_try = 0.0

    def tend(self, history: History) -> None:
        """Start the process where it is due, and note how it ended."""
        found = coming(history.newest)
        if found.keys() != self._coming.keys():
            self._coming = found
            forget_progress(self._settings.data, {*found})
            self._why = {number: why for number, why in self._why.items() if number in found}
        if self._process is not None:
            if self._generation not in found and self._process.poll() is None:
                self._process.terminate()
            if self._process.poll() is None:
                return
            self._ended(self._process)
            self._process = None
        if found and monotonic() >= self._next_try:
            self._start(history, min(found))

    def _start(self, history: History, generation: int) -> None:
        boundary = history.at_offset(generation + 1).append_time + SETTLING
        if not self._is_archived(boundary):
            self._why[generation] = "for the archive, until it holds what came before"
            return
        self._why.pop(generation, None)
        self._generation = generation
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            self._logged = log.tell()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "pipeline.recounting", str(generation)],
                env=os.environ | self._settings.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _ended(self, process: subprocess.Popen[bytes]) -> None:
        self._next_try = monotonic() + (PAUSE_SECONDS if process.returncode else 0.0)
        if process.returncode:
            said = self._log.read_bytes()[self._logged :].decode("utf-8", "replace").splitlines()
            last = said[-1] if said else f"its process ended with code {process.returncode}"
            self._why[self._generation] = f"it is tried again: {last}"[:LONGEST]

    def health(self) -> list[RecountHealth]:
        """How far each is."""
        told = []
        for number, run in sorted(self._coming.items()):
            known = read_progress(self._settings.data, number)
            told.append(
                RecountHealth(
                    flag=run.flag,
                    run=run.key,
                    generation=number,
                    done=known.done if known else 0,
                    size=known.size if known else 0,
                    records_per_second=known.records_per_second if known and number == self._generation else 0,
                    waiting=self._why.get(number) or (None if number == min(self._coming) else "for another one"),
                )
            )
        return told

    def stop(self) -> None:
        """End the process: the next worker's goes on where it was."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
