"""Sizes: what deployments need, computed from what was measured, for the page that tells it.

The figures are those of one machine with two cores (2.1 GHz, of a cloud) when it was quiet; see CONTRIBUTING.md for how
each is measured again.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

from schemas.duration import DAY_MS
from schemas.topics import EVENTS, RESULTS, UNITS, topics

# Seconds of one core a second: of `--part live`, all processes but the broker's.
IDLE = 0.12
ALIVE = 0.28  # beside that, as soon as records come, whatever their number
EXPERIMENT = 0.02  # for each experiment that looks are made of, with the demo's metrics: 18 cells
# us of a core for each record, of the same, between 1,000 and 20,000 a second.
ASSIGNING, AGGREGATING, KEEPING = 1.7, 2.4, 1.1
BUSY = 0.6  # of a core that one worker should take at most, so that it also catches up
# Bytes: of `--part live`, for a record of 170 bytes of JSON, as producers pack them; a second, as soon as records come;
# and a second and experiment, in `results` and `aggregates`.
SOURCE_LOG, UNITS_LOG, ARCHIVED = 41, 24, 61
SOURCE_FIXED, UNITS_FIXED = 68_000, 86_000
RESULTS_LOG, AGGREGATES_LOG = 1_700, 3_600
PROCESSES = 0.9  # GB of memory of `up` without units
UNIT = 220  # bytes of memory for each unit of an open run: `--part units`, a sum with CUPED
CHECKPOINT = 110  # bytes on disk of the same, in each of two checkpoints
LARGEST_WORKER = 16e9  # bytes of memory that one worker should take at most
READERS = 3  # of a topic of sources: assignment, archive, and Kafka's own replication to a second broker


class Deployment(NamedTuple):
    """Records a second, all the time; experiments that run; units in the open runs, counted once for each."""

    rate: int
    experiments: int
    units: int


SIZES = (
    Deployment(1_000, 5, 1_000_000),
    Deployment(20_000, 20, 10_000_000),
    Deployment(100_000, 50, 100_000_000),
    Deployment(1_000_000, 100, 1_000_000_000),
)


def cores(size: Deployment) -> float:
    """Of all processes but the brokers'."""
    return IDLE + ALIVE + EXPERIMENT * size.experiments + 1e-6 * size.rate * (ASSIGNING + AGGREGATING + KEEPING)


def workers(size: Deployment) -> tuple[int, int, int]:
    """Of assignment, aggregation and significance."""
    rate = 1e-6 * size.rate / BUSY
    return (
        max(1, math.ceil(rate * ASSIGNING)),
        max(1, math.ceil(rate * AGGREGATING), math.ceil(2 * size.units * UNIT / LARGEST_WORKER)),
        max(1, math.ceil(EXPERIMENT / 2 * size.experiments / BUSY)),
    )


def memory(size: Deployment) -> tuple[float, float]:
    """GB, and with the arrays at twice their size, while they grow."""
    state = size.units * UNIT / 1e9
    return PROCESSES + state, PROCESSES + 2 * state


def kafka(size: Deployment) -> tuple[float, float, float]:
    """MB a second that brokers take, and give; GB that they keep, in one copy."""
    sources, units = SOURCE_FIXED + size.rate * SOURCE_LOG, UNITS_FIXED + size.rate * UNITS_LOG
    taken = sources + units + size.experiments * (RESULTS_LOG + AGGREGATES_LOG)
    kept = sources * _seconds(EVENTS) + units * _seconds(UNITS) + size.experiments * RESULTS_LOG * _seconds(RESULTS)
    return taken / 1e6, READERS * taken / 1e6, kept / 1e9


def archive(size: Deployment) -> float:
    """GB a day."""
    return size.rate * ARCHIVED * DAY_MS / 1e12


def _seconds(topic: str) -> float:
    """For how long it keeps everything."""
    config = next(each for each in topics(1) if each.name == topic).config
    return int(config.get("retention.ms") or config["min.compaction.lag.ms"]) / 1_000


def rows() -> Iterator[tuple[str, ...]]:
    """The page's table."""
    for size in SIZES:
        few, most = memory(size)
        taken, given, kept = kafka(size)
        yield (
            f"{size.rate:,}",
            f"{size.experiments:,}",
            f"{size.units:,}",
            f"{cores(size):.1f}",
            " + ".join(map(str, workers(size))),
            f"{few:,.1f} to {most:,.1f}",
            f"{taken:,.1f} / {given:,.1f}",
            f"{kept:,.0f}",
            f"{archive(size):,.1f}",
        )
