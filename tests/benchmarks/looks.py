"""Looks: what a look costs, beside gbstats and tea-tasting on the same comparisons.

Ours is a whole look, from the aggregate of one units partition to verdict and cells, running values included; the same
as bytes to be published; and the arithmetic of evidence and lift alone. The peers are called once for each comparison,
from ready sums to a result, and gbstats must agree with our p-values. Ratios within one run count; machines are noisy.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.catalog.in_force import MetricInForce, RunInForce
from evaluation.significance import mixture
from evaluation.significance.look import encode_look, look
from evaluation.significance.relative import fieller
from schemas.aggregate import Aggregate, ArmCount, Sums
from schemas.catalog import Allocation, Analysis, Flag, Goal, Metric, Variant
from schemas.look import Cell
from schemas.numbers import exact
from tests.benchmarks.environments import PEERS, python_of

SIZES = (10, 1_000, 100_000)  # comparisons
FEWER = 1_000  # of which the peers take at most so many, for patience
TREATMENTS = 5
READINGS = ("settled", "live")
BESIDE = ("look_gbstats", "look_tea_tasting")
Sums3 = tuple[int, int, int]
VARIANTS = ["control", *(f"treatment-{number}" for number in range(1, TREATMENTS + 1))]


def measure() -> dict[str, dict[str, dict[str, float]]]:
    """CPU and wall seconds per comparison of each, by the number of comparisons."""
    measured: dict[str, dict[str, dict[str, float]]] = {}
    for size in SIZES:
        print(f"  a look of {size:,} comparisons …", file=sys.stderr, flush=True)
        run = _run(size)
        arms = _arms(run)
        aggregate = _aggregate(arms)
        first = look(run, [aggregate], None)
        columns = _columns(first.cells)
        work = {
            "look": lambda run=run, aggregate=aggregate, first=first: look(run, [aggregate], first),
            "look and encode": lambda run=run, aggregate=aggregate, first=first: encode_look(
                look(run, [aggregate], first)
            ),
            "kernel alone": lambda columns=columns: _kernel(*columns),
        }
        some = first.cells[:FEWER]
        cases = [[arms[cell.metric, cell.reading, variant] for variant in ("control", cell.variant)] for cell in some]
        measured[f"{size:,}"] = {name: _timed(each, size) for name, each in work.items()} | {
            name: _peer(name, cases, some) for name in BESIDE
        }
    return measured


def show(measured: dict[str, dict[str, dict[str, float]]]) -> str:
    """A table of the figures, with ratios to our whole look."""
    lines = [f"{'comparisons':>12} {'':16}{'us CPU each':>13}{'us wall each':>14}{'of a look':>10}"]
    for size, figures in measured.items():
        for name, its in figures.items():
            cpu, wall = its["cpu_seconds"], its["wall_seconds"]
            ratio = cpu / figures["look"]["cpu_seconds"]
            lines.append(f"{size:>12} {name.removeprefix('look_'):16}{1e6 * cpu:13.2f}{1e6 * wall:14.2f}{ratio:9.2f}x")
    return "\n".join(lines)


def _timed(work: Callable[[], object], size: int) -> dict[str, float]:
    repeats = max(1, 5_000 // size)
    started = time.process_time(), time.monotonic()
    for _ in range(repeats):
        work()
    cpu, wall = time.process_time() - started[0], time.monotonic() - started[1]
    return {"cpu_seconds": cpu / repeats / size, "wall_seconds": wall / repeats / size}


def _peer(name: str, cases: list[list[Sums3]], cells: list[Cell]) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "cases.json"
        path.write_text(json.dumps(cases))
        command = [python_of(name), PEERS / f"{name}.py", path, str(cells[0].alpha)]
        ran = subprocess.run(command, capture_output=True, text=True, check=True)
    figures = json.loads(ran.stdout)
    if name == "look_gbstats":
        np.testing.assert_allclose([cell.p_value for cell in cells], figures["p_values"], rtol=1e-6)
    return {unit: figures[unit] / len(cases) for unit in ("cpu_seconds", "wall_seconds")}


def _run(size: int) -> RunInForce:
    """A run with so many comparisons: counts, five treatments and both readings."""
    keys = [f"metric-{number}" for number in range(size // (TREATMENTS * len(READINGS)))]
    metrics = {
        key: MetricInForce(Metric(key=key, owner="x", type="count", event=key, window="1d"), 1, 0) for key in keys
    }
    return RunInForce(
        flag="flag",
        key="run",
        salt="salt",
        allocations=(Allocation(flag_version=1, rollout=100, weights=dict.fromkeys(VARIANTS, 1)),),
        started=0,
        completed=None,
        since=dict.fromkeys(keys, 0),
        definition=Flag(
            key="flag",
            owner="x",
            variants=tuple(Variant(key=key) for key in VARIANTS),
            metrics=tuple(Goal(metric=key, role="primary") for key in keys),
            analysis=Analysis(correction="none"),
        ),
        metrics=metrics,
    )


def _arms(run: RunInForce) -> dict[tuple[str, str, str], Sums3]:
    """Units, sum and sum of squares by metric, reading and variant: the same each time."""
    keys = list(product(run.metrics, READINGS, VARIANTS))
    generator = np.random.default_rng(1)
    units, means = generator.integers(10_000, 100_000, len(keys)), generator.uniform(0.9, 1.1, len(keys))
    return {
        key: (n, int(n * mean), int(n * mean * (3 * mean + 1)))
        for key, n, mean in zip(keys, units.tolist(), means.tolist(), strict=True)
    }


def _aggregate(arms: dict[tuple[str, str, str], Sums3]) -> Aggregate:
    """All of it in one units partition."""
    sums = [
        Sums(metric, 1, reading, 0, variant, "all", n, n // 2, [exact(total)], [exact(squares)])
        for (metric, reading, variant), (n, total, squares) in arms.items()
    ]
    units = [ArmCount(0, variant, 100_000) for variant in VARIANTS]
    return Aggregate(
        flag="flag", run="run", partition=0, offset=1, watermark=1, catalog=1, arms=units, sums=sums, metrics=[]
    )


def _columns(cells: list[Cell]) -> tuple[Any, ...]:
    """What evidence and lift are computed from."""
    return tuple(
        np.array([getattr(cell, name) for cell in cells], np.float64)
        for name in ("estimate", "standard_error", "n", "control_n", "control_mean")
    )


def _kernel(difference: Any, error: Any, n: Any, control_n: Any, control_mean: Any) -> object:
    variance = np.square(error)
    said = mixture.evidence(difference, variance, mixture.mixing_ratio(n + control_n, 10_000, 0.05), 0.05)
    return said, fieller(difference, variance, control_mean, variance / 2.0, said.multiplier)
