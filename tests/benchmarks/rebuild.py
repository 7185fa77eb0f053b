"""Rebuild: what it costs to make the state of aggregation anew, from archived `units` and from exposures and events.

The archive is that of a stream of 5,000 records a second, which assignment gathered ten times a second: units enter
evenly, one exposure and four purchases each, with a conversion and a sum in a window of ten minutes, and a horizon as
long. Making the archive is not counted; reading it, folding, and the bytes of the checkpoints are. Each figure comes
from a process of its own.
"""

import resource
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evaluation.assignment.routing import assign
from evaluation.catalog.history import History
from evaluation.catalog.lifecycle import apply_definition, start
from pipeline.recovery.rebuild import Rebuild, UnitsLog, UnitsLogs
from pipeline.settings import Settings
from pipeline.stages.gathering import Gathering
from pipeline.storage.archive import Archive
from schemas.catalog import Document, Flag, FlagState, Goal, Metric, Variant
from schemas.records import Records
from schemas.topics import EVENTS, EXPOSURES, UNITS
from schemas.units import Source

RATE = 5_000  # records a second
TICK = 100  # ms
EVENTS_EACH = 4  # of a unit
OF_TOPIC = 2  # source partitions
PARTITIONS = 16
MINUTES = 600_000  # ms: ten
BEGAN = 1_764_000_000_000  # ms UTC
MADE_OF = ((UNITS,), (EXPOSURES, EVENTS))


def measure(records: int) -> dict[str, dict[str, float]]:
    """CPU and wall seconds, and the peak of the process, by what the state is made of."""
    with tempfile.TemporaryDirectory() as directory:
        print(f"  archiving {records:,} records …", file=sys.stderr, flush=True)
        archived = _archive(Path(directory), records)
        measured = {}
        for made_of in MADE_OF:
            name = " and ".join(made_of)
            print(f"  {name} …", file=sys.stderr, flush=True)
            if made_of != (UNITS,):
                (Path(directory) / UNITS).rename(Path(directory) / "away")
            with ProcessPoolExecutor(1, get_context("forkserver")) as process:
                measured[name] = process.submit(_figures, Path(directory), records, archived).result()
    return measured


def show(measured: dict[str, dict[str, float]]) -> str:
    """A table of the figures."""
    lines = [f"{'made of':22}{'CPU s':>9}{'wall s':>9}{'us CPU/record':>15}{'peak MB':>10}"]
    for name, its in measured.items():
        lines.append(
            f"{name:22}{its['cpu_seconds']:9.1f}{its['wall_seconds']:9.1f}"
            f"{1e6 * its['cpu_seconds'] / its['records']:15.3f}{its['peak_bytes'] / 1e6:10,.0f}"
        )
    return "\n".join(lines)


def _figures(directory: Path, records: int, logs: UnitsLogs) -> dict[str, float]:
    began = time.process_time(), time.monotonic()
    units, size = 0, 0
    for state in Rebuild(directory, _history(), _settings(), logs).states():
        size += len(state.save())
        units += sum(arm.units for each in state.aggregates() for arm in each.arms)
    assert units == records // (1 + EVENTS_EACH)
    return {
        "records": records,
        "cpu_seconds": time.process_time() - began[0],
        "wall_seconds": time.monotonic() - began[1],
        "checkpoint_bytes": size,
        "peak_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    }


def _archive(directory: Path, records: int) -> UnitsLogs:
    """Archive the sources and `units`; what Kafka would say of a log that begins where its archive ends."""
    history, archive = _history(), Archive(directory)
    sources = [(topic, number) for topic in (EXPOSURES, EVENTS) for number in range(OF_TOPIC)]
    gathering = Gathering(PARTITIONS, MINUTES, len(sources))
    ends = dict.fromkeys(sources, 0)
    for source in sources:
        gathering.begin(source, 0)
    entering = RATE * TICK // 1_000 // (1 + EVENTS_EACH)
    units, offset, now = records // (1 + EVENTS_EACH), 0, BEGAN
    for first in range(0, units, entering):
        now += TICK
        entered = np.arange(first, min(first + entering, units))
        happened = np.repeat(entered, EVENTS_EACH)
        for source, values in zip(sources, [*_shown(entered, now), *_bought(happened, now)], strict=True):
            slice_ = _records(source, ends[source], values, now)
            ends[source] = slice_.end
            archive.append(slice_)
            for assigned in assign(slice_, history, MINUTES, MINUTES):
                gathering.add(source, assigned)
        for number, message in enumerate(gathering.cut()[1]):
            archive.append(_records((UNITS, number), offset, pa.array([message], pa.binary()), now))
        offset += 1
    for source in (*sources, *((UNITS, number) for number in range(PARTITIONS))):
        archive.advance(*source, now + MINUTES)
    heads = {source: Source(*source, end, end, now) for source, end in ends.items()}
    return UnitsLogs([UnitsLog(offset, offset, heads) for _ in range(PARTITIONS)], len(sources))


def _shown(units: np.ndarray, now: int) -> list[pa.Array]:
    user = pc.cast(pa.array(units), pa.string())
    variant = pa.array(np.array(["control", "treatment"])[units % 2])
    said = pc.binary_join_element_wise(
        '{"flag_key":"flag","variant":"',
        variant,
        '","user_id":"u',
        user,
        f'","time":{now},"insert_id":"x',
        user,
        '"}',
        "",
    )
    return [said.filter(pa.array(units % OF_TOPIC == number)) for number in range(OF_TOPIC)]


def _bought(units: np.ndarray, now: int) -> list[pa.Array]:
    user = pc.cast(pa.array(units), pa.string())
    name = pc.cast(pa.array(units * EVENTS_EACH + np.arange(len(units)) % EVENTS_EACH), pa.string())
    price = pc.cast(pa.array((units % 900 + 100) / 10), pa.string())
    said = pc.binary_join_element_wise(
        '{"event_type":"buy","user_id":"u', user, f'","time":{now},"insert_id":"e', name,
        '","user_properties":{"plan":"pro"},"event_properties":{"currency":"EUR","price":', price, "}}", "",
    )  # fmt: skip
    return [said.filter(pa.array(units % OF_TOPIC == number)) for number in range(OF_TOPIC)]


def _records(source: tuple[str, int], begin: int, values: pa.Array, time_of: int) -> Records:
    length = pc.binary_length(values).to_numpy(zero_copy_only=False).astype(np.int64)
    return Records(
        topic=source[0],
        partition=source[1],
        begin=begin,
        end=begin + len(values),
        offset=np.arange(begin, begin + len(values)),
        append_time=np.full(len(values), time_of),
        start=np.cumsum(length) - length,
        length=length,
        data=memoryview(b"".join(value.as_buffer() for value in values)),
    )


def _settings() -> Settings:
    return Settings(units_partitions=PARTITIONS, horizon=MINUTES, tolerance=MINUTES)


def _history() -> History:
    """One experiment that runs."""
    metrics = [
        Metric(key="buyers", owner="-", type="conversion", event="buy", window="10m"),
        Metric(key="revenue", owner="-", type="sum", event="buy", property="price", window="10m"),
    ]
    goals = tuple(Goal(metric=metric.key) for metric in metrics)
    variants = (Variant(key="control"), Variant(key="treatment"))
    draft = apply_definition(None, Flag(key="flag", owner="-", variants=variants, metrics=goals, rollout=100), 1)
    history = History()
    specs: list[tuple[str, int, Metric | FlagState]] = [(metric.key, 1, metric) for metric in metrics]
    for offset, (key, version, spec) in enumerate([*specs, ("flag", 1, draft), ("flag", 2, start(draft, 2, "salt"))]):
        kind = "metric" if isinstance(spec, Metric) else "flag"
        raw = msgspec.Raw(msgspec.json.encode(spec))
        document = Document(
            kind=kind, key=key, version=version, base=version - 1, author="-", time=0, reason="-", spec=raw
        )  # type: ignore[arg-type]
        history.append(offset, BEGAN - 10_000, msgspec.json.encode(document))
        assert not history.rejected
    return history
