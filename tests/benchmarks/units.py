"""Units: what an event and a unit cost the store of one units partition, however many units there are, by metric type.

Two days of traffic, whatever their number: units enter evenly, and send events from six hours before their entry to the
end of their window, so that an event finds its unit in no cache. A horizon of an hour is kept, and after each message
the partition settles whom it can and tells its sums, as the stage does. Making the messages is not counted.

An event is what one record tells, an exposure too; for a ratio it is two rows. Bytes of memory are those of the arrays,
room to grow included; the peak is that of a process which folds all of it and makes a checkpoint (and needs some 200 MB
for itself). Each figure comes from a process of its own.
"""

import resource
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import msgspec
import numpy as np

from evaluation.catalog.in_force import Catalog, FlagInForce, MetricInForce, RunInForce
from evaluation.metrics.partition import Partition
from schemas.catalog import Allocation, Flag, Metric, Variant
from schemas.units import Arm, Header, RowKind, Source, encode_units

SIZES = (10_000, 100_000, 1_000_000, 10_000_000)  # units
OF_TYPES = 1_000_000  # units with which the types are compared
EVENTS = 4  # of a unit
MESSAGE = 10_000  # events, exposures among them
REPEATED = 200_000  # units: smaller sizes are folded again until there were so many

HOUR = 3_600_000  # ms
HORIZON, WINDOW, BEFORE, TRAFFIC = HOUR, 24 * HOUR, 6 * HOUR, 48 * HOUR
START = 1_700_000_000_000  # ms UTC
VARIANTS = ("control", "treatment")

PLAIN = "conversion"
TYPES: dict[str, dict[str, Any]] = {
    PLAIN: {"type": "conversion", "event": "buy"},
    "count": {"type": "count", "event": "buy"},
    "sum": {"type": "sum", "event": "buy", "property": "price"},
    "mean": {"type": "mean", "event": "buy", "property": "price"},
    "ratio": {"type": "ratio", "numerator": "sum", "denominator": "count"},
    "funnel": {"type": "funnel", "steps": [{"event": "view"}, {"event": "buy"}]},
    "retention": {"type": "retention", "start": {"event": "view"}, "event": "buy", "period": "6h"},
    "percentile of units": {"type": "percentile", "percentile": 90, "of": "units", "event": "buy", "property": "price"},
    "percentile of events": {"type": "percentile", "percentile": 90, "event": "buy", "property": "price"},
    "distinct": {"type": "distinct", "event": "buy", "property": "price"},
    "sum with CUPED": {"type": "sum", "event": "buy", "property": "price", "cuped": {"lookback": "14h"}},
}


def measure(most: int) -> dict[str, dict[str, dict[str, float]]]:
    """CPU and wall seconds per event, bytes per unit and the peak: by size up to `most` units, and by metric type."""
    sizes = [size for size in SIZES if size <= most] or [most]
    return {
        "sizes": {f"{size:,}": _alone(PLAIN, size) for size in sizes},
        "types": {name: _alone(name, min(OF_TYPES, sizes[-1])) for name in TYPES},
    }


def show(measured: dict[str, dict[str, dict[str, float]]]) -> str:
    """Two tables of the figures, with ratios to the smallest size and to a plain conversion."""
    lines = []
    for title, figures in measured.items():
        lines.append(
            f"{title:22}{'us CPU/event':>14}{'us wall/event':>15}{'ratio':>8}"
            f"{'bytes/unit: memory':>20}{'checkpoint':>12}{'peak MB':>10}"
        )
        first = next(iter(figures.values()))["cpu_seconds"]
        for name, its in figures.items():
            cpu, wall = its["cpu_seconds"], its["wall_seconds"]
            lines.append(
                f"{name:22}{1e6 * cpu:14.3f}{1e6 * wall:15.3f}{cpu / first:7.2f}x"
                f"{its['memory_bytes']:20.0f}{its['checkpoint_bytes']:12.0f}{its['peak_bytes'] / 1e6:10,.0f}"
            )
    return "\n".join(lines)


def _alone(name: str, units: int) -> dict[str, float]:
    """The figures, from a process of its own (a fork server's, whose peak begins at nothing)."""
    print(f"  {units:,} units, {name} …", file=sys.stderr, flush=True)
    with ProcessPoolExecutor(1, get_context("forkserver")) as process:
        return process.submit(_figures, name, units).result()


def _figures(name: str, units: int) -> dict[str, float]:
    _fold(name, 1_000)  # loads the kernels
    repeats = max(1, REPEATED // units)
    cpu, wall = 0.0, 0.0
    for _ in range(repeats):
        partition, its_cpu, its_wall = _fold(name, units)
        cpu, wall = cpu + its_cpu, wall + its_wall
    stores = (*(run.store for run in partition._runs), *partition._lookbacks, partition._recent)
    arrays = [each for store in stores for each in vars(store).values() if isinstance(each, np.ndarray)]
    events = repeats * units * (1 + EVENTS)
    return {
        "cpu_seconds": cpu / events,
        "wall_seconds": wall / events,
        "memory_bytes": sum(array.nbytes for array in arrays) / units,
        "checkpoint_bytes": len(partition.save()) / units,
        "peak_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    }


def _fold(name: str, units: int) -> tuple[Partition, float, float]:
    """A partition after all of the traffic, and the CPU and wall seconds that it took."""
    catalog = _catalog(name)
    partition = Partition(0, HORIZON)
    cpu, wall = 0.0, 0.0
    for offset, message in enumerate(_messages(catalog, name, units)):
        started = time.process_time(), time.monotonic()
        partition.fold(offset, message, lambda _: catalog)
        aggregates = partition.aggregates()
        cpu, wall = cpu + time.process_time() - started[0], wall + time.monotonic() - started[1]
    assert sum(arm.units for arm in aggregates[0].arms) == units
    return partition, cpu, wall


def _messages(catalog: Catalog, name: str, units: int) -> Iterator[bytes]:
    """The traffic. Of the event types that the metric reads a unit sends each as often."""
    facts = catalog.flags["flag"].runs[0].metrics[name].facts
    types = sorted({fact.event for fact in facts})
    codes = np.array([[code for code, fact in enumerate(facts) if fact.event == each] for each in types], np.uint16)
    is_priced = np.array([fact.property is not None for fact in facts])
    random = np.random.default_rng(1)
    entering = MESSAGE // (1 + EVENTS)
    for begin in range(0, units, entering):
        entered = np.arange(begin, min(begin + entering, units))
        happened = np.repeat(entered, EVENTS)
        since = random.integers(-units * BEFORE // TRAFFIC, units * WINDOW // TRAFFIC, len(happened))
        code = codes[random.integers(0, len(types), len(happened))]
        value = np.where(is_priced[code], random.integers(100, 10_000, (len(happened), 1)), 1)

        rows = codes.shape[1]  # of an event
        unit = np.concatenate((entered, np.repeat((happened - since) % units, rows)))
        time_of = START + np.concatenate((entered, np.repeat(happened, rows))) * TRAFFIC // units
        first, end = begin * (1 + EVENTS), (begin + len(entered)) * (1 + EVENTS)
        record = np.arange(first, end)
        offset = np.concatenate((record[: len(entered)], np.repeat(record[len(entered) :], rows)))
        columns = {
            "source": np.zeros(len(unit), np.uint16),
            "offset": offset,
            "kind": np.repeat(np.array([RowKind.EXPOSURE, 0], np.uint8), (len(entered), value.size)),
            "code": np.concatenate(((entered % len(VARIANTS)).astype(np.uint16), code.reshape(-1))),
            "unit": unit.astype(np.uint64),
            "time": time_of,
            "id": offset.astype(np.uint64),
            "value": np.concatenate((np.zeros(len(entered), np.int64), value.reshape(-1))),
        }
        header = Header(
            catalog=catalog.offset,
            horizon=HORIZON,
            sources=[Source("events", 0, first, end, START + int(entered[-1]) * TRAFFIC // units)],
            arms=[Arm("flag", "run", 0, variant) for variant in VARIANTS],
            facts=[fact.key for fact in facts],
            expected=1,
        )
        yield encode_units(columns, header)


def _catalog(name: str) -> Catalog:
    """A run with one metric of this type."""
    definition = Flag(key="flag", owner="x", variants=tuple(Variant(key=key) for key in VARIANTS))
    parts = tuple(_metric(TYPES[name][part]) for part in ("numerator", "denominator") if part in TYPES[name])
    run = RunInForce(
        flag="flag",
        key="run",
        salt="salt",
        allocations=(Allocation(flag_version=1, rollout=100, weights=dict.fromkeys(VARIANTS, 1)),),
        started=0,
        completed=None,
        since={name: 0},
        definition=definition,
        metrics={name: MetricInForce(_metric(name), 1, 0, parts)},
    )
    return Catalog(1, 0, {"flag": FlagInForce(definition, "running", 1, 0, (run,))})


def _metric(name: str) -> Metric:
    key = name.lower().replace(" ", "-")
    return msgspec.convert({"key": key, "owner": "x", "window": f"{WINDOW}ms", **TYPES[name]}, Metric)
