"""Soak: the schedule. Workers fall one by one while all else is quiet; then faults of every kind befall everything, one
every few seconds; then there is silence, in which everything must come out right.
"""

import asyncio
import itertools
import random
import statistics
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import msgspec

from pipeline.demo.session import complete_experiments
from pipeline.stages import STAGES
from tests.end_to_end import shop
from tests.faults.deployment import Deployment
from tests.faults.faults import KINDS, SWITCHED_OFF, Fault, Scene
from tests.faults.judge import Judgement, judge
from tests.faults.lag import Lag, Recovery
from tests.live import ask, wait_for

EVERY = 5.0  # seconds between faults
QUIET_SHARE = 0.2  # of the time, in which workers fall one by one
PATIENCE = 300.0  # seconds, for what must come about by itself

FINAL = "SELECT count(DISTINCT experiment) FROM results WHERE final"
# How long (ms) before its newest word the archive had everything that is published.
ARCHIVED = """
WITH reached AS (SELECT max(clock) AS clock FROM pipeline_health WHERE stage = 'archive' GROUP BY topic, partition)
SELECT date_diff('ms', max(published), (SELECT min(clock) FROM reached)) FROM results
"""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a soak.

    `recovered_quiet`: by stage the seconds from each fall of a worker until the stage had no lag, of those that fell
    one by one; `recovered`: of the others, amid faults of every kind. `fell_by_themselves`: processes whose end was
    no doing of ours, though perhaps of the broker's absence.
    """

    seed: int
    seconds: float
    records: int
    faults: dict[str, int]
    switched_off: dict[str, str]
    fell: dict[str, int]
    fell_by_themselves: dict[str, int]
    recovered_quiet: dict[str, list[float]]
    recovered: dict[str, list[float]]
    judgement: Judgement

    @property
    def is_good(self) -> bool:
        """Whether nothing is lost, double or different."""
        return self.judgement.is_good

    @property
    def lines(self) -> list[str]:
        """As people read it; the last word last."""
        judged = self.judgement
        off = ", ".join(f"{kind} ({why})" for kind, why in self.switched_off.items())
        looks = ", ".join(f"{number:,} {outcome}" for outcome, number in judged.looks.items())
        return [
            f"{self.records:,} records in {self.seconds:.0f} s, seed {self.seed}",
            "faults: " + ", ".join(f"{kind} {number}" for kind, number in self.faults.items()),
            *([f"switched off: {off}"] if off else []),
            f"fell by our doing: {_counted(self.fell)}; by themselves: {_counted(self.fell_by_themselves)}",
            "seconds from a fall to no lag, one fall at a time: " + _medians(self.recovered_quiet),
            "amid other faults: " + _medians(self.recovered),
            f"{judged.numbers:,} numbers and {judged.cells} cells beside SQL, "
            f"{len(judged.differing)} and {len(judged.differing_cells)} differ; looks replayed: {looks}",
            *(judged.differing + judged.differing_cells)[:20],
            f"faults {sum(self.faults.values())}, lost {judged.lost}, double {judged.double}",
        ]


class Soak:
    """One soak of so many seconds of faults, drawn by a seed; `tell` is told what happens."""

    def __init__(self, directory: Path, seconds: float, rate: float, seed: int, tell: Callable[[str], None]) -> None:
        self._directory = directory
        self._seconds = seconds
        self._rate = rate
        self._seed = seed
        self._tell = tell
        self._began = 0.0
        self._faults = Counter[str]()

    def run(self) -> Outcome:
        """Everything, to the last word. Raises AssertionError where something that must come about does not."""
        with Deployment(self._directory, self._rate) as deployment:
            lag = Lag(deployment.settings)
            scene = Scene(deployment, lag, [], [])
            self._wait_for_work(scene)
            self._began = time.monotonic()
            self._say("every stage is at work")
            self._fall_one_by_one(scene)
            quiet = len(scene.recoveries)
            self._befall(scene)
            self._say("no more faults")
            seconds = time.monotonic() - self._began
            self._settle(scene)
            self._say("every run is final and archived")
            judgement = judge(deployment.settings, self._directory)
            lag.stop()
            restarts = sum((Counter({each.name: each.restarts}) for each in deployment.workers()), Counter[str]())
        assert all(worker.process.returncode == 0 for worker in deployment.workers())
        return Outcome(
            seed=self._seed,
            seconds=round(seconds, 1),
            records=judgement.records,
            faults=dict(self._faults.most_common()),
            switched_off={fault.__name__: why for fault, why in SWITCHED_OFF.items()},
            fell=dict(Counter(scene.killed)),
            fell_by_themselves=dict(restarts - Counter(scene.killed)),
            recovered_quiet=_by_stage(scene.recoveries[:quiet]),
            recovered=_by_stage(scene.recoveries[quiet:]),
            judgement=judgement,
        )

    def _fall_one_by_one(self, scene: Scene) -> None:
        """A worker of each stage in turn, each when the one before it was made good."""
        chance, until = random.Random(self._seed), self._began + QUIET_SHARE * self._seconds
        stages = itertools.cycle(STAGES)
        while time.monotonic() < until:
            worker = scene.living(chance, next(stages))
            if worker is None:
                continue
            scene.kill(worker)
            self._faults["kill"] += 1
            recovery = scene.recoveries[-1]
            assert recovery.over.wait(PATIENCE), f"{worker.name} did not recover; its log: {worker.log}"
            self._say(f"kill {worker.name}: no lag after {recovery.seconds:.1f} s")
            time.sleep(chance.uniform(1, 2))

    def _befall(self, scene: Scene) -> None:
        """Faults of every kind, as they come."""
        kinds = [kind for kind in KINDS if kind not in SWITCHED_OFF]
        drawn, chance = list[Fault](), random.Random(self._seed)
        under_way: list[Future[None]] = []
        with ThreadPoolExecutor(20) as threads:
            at = time.monotonic()
            while at < self._began + self._seconds:
                if not drawn:  # every kind comes as often as any other
                    drawn = chance.sample(kinds, len(kinds))
                number = sum(self._faults.values())
                kind = drawn.pop()
                self._faults[kind.__name__] += 1
                under_way.append(threads.submit(self._befall_by, kind, scene, random.Random(f"{self._seed}/{number}")))
                for each in [each for each in under_way if each.done()]:
                    under_way.remove(each)
                    each.result()
                at += EVERY
                time.sleep(max(0.0, at - time.monotonic()))
            for each in under_way:
                each.result()

    def _befall_by(self, kind: Fault, scene: Scene, chance: random.Random) -> None:
        began = time.monotonic()
        told = kind(scene, chance)
        lags = ", ".join(f"{stage} {scene.lag.of(stage):,}" for stage in STAGES)
        self._say(f"{kind.__name__}: {told} ({time.monotonic() - began:.1f} s); lag: {lags}")

    def _settle(self, scene: Scene) -> None:
        """The traffic ends, and everything becomes final by itself."""
        deployment = scene.deployment
        self._wait_for_work(scene)
        deployment.traffic.stop()
        snapshot = deployment.settings.snapshot
        asyncio.run(complete_experiments(deployment.settings))
        wait_for(lambda: ask(snapshot, FINAL) == len(shop.FLAGS), PATIENCE, "the final look of every experiment")
        interval = deployment.settings.archive_interval
        wait_for(lambda: (ask(snapshot, ARCHIVED) or 0) > interval, PATIENCE, "the last look in a closed file")
        wait_for(deployment.answers, PATIENCE, "an answer of the server")

    @staticmethod
    def _wait_for_work(scene: Scene) -> None:
        since = time.time()
        wait_for(lambda: all(scene.lag.has_none(stage, since) for stage in STAGES), PATIENCE, "work without lag")

    def _say(self, what: str) -> None:
        self._tell(f"[{time.monotonic() - self._began:6.1f} s] {what}")


def _by_stage(recoveries: list[Recovery]) -> dict[str, list[float]]:
    """Those that were made good before the next fall of the same stage."""
    found: dict[str, list[float]] = {stage: [] for stage in STAGES}
    for recovery in recoveries:
        if recovery.seconds is not None:
            found[recovery.stage].append(round(recovery.seconds, 2))
    return found


def _medians(recovered: dict[str, list[float]]) -> str:
    return " · ".join(
        f"{stage} {statistics.median(seconds):.1f} (median of {len(seconds)}; {min(seconds):.1f} to {max(seconds):.1f})"
        if seconds
        else f"{stage}: none"
        for stage, seconds in recovered.items()
    )


def _counted(numbers: dict[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in numbers.items()) or "none"
