"""What tests share: what stands on topics, who writes there, and documents of experiments that files are about."""

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from kafka import KafkaProducer

from pipeline.kafka.clients import kafka_python_arguments
from pipeline.settings import Settings
from schemas.health import PartitionHealth, WorkerHealth
from schemas.look import ArmHealth, Cell, Health, Look, Verdict
from tests.pipeline.analyzing import describe

Record = tuple[int, int, int, bytes | None]
SUM_SQUARES = 2**100 + 1  # beyond 64 bits and beyond what a float holds


def look(number: int, run: str = "exp-1", metrics: int = 2) -> bytes:
    """The bytes of one look with two variants beside control."""
    cells = [
        Cell(
            metric=f"metric-{metric}",
            metric_version=1,
            variant=variant,
            control="control",
            reading="live",
            segment="all",
            method="sequential",
            alternative="two-sided",
            status="ok",
            judgement=None,
            caveat=None,
            n=100 + number,
            nonzero=50,
            sum=number,
            sum_squares=str(SUM_SQUARES + number),
            control_n=100,
            control_nonzero=40,
            control_sum=-(2**40),
            control_sum_squares=7,
            scale=2,
            mean=0.5,
            estimate=0.1,
            lower=-0.5,
            upper=0.75,
            p_value=0.25,
            running_lower=-0.25,
            running_upper=0.5,
            running_p_value=0.125,
            relative_upper=1.75,
            running_relative_upper=1.5,
            alpha=0.05,
        )
        for metric in range(metrics)
        for variant in ("treatment", "other")
    ]
    arms = [ArmHealth("control", 100, 0.5), ArmHealth("treatment", 300, 0.5)]
    return msgspec.json.encode(
        Look(
            experiment="checkout",
            run=run,
            look=number,
            revision=0,
            time=1_700_000_000_000 + number,
            catalog_version=3,
            offsets={"0": number},
            health=Health(arms=arms, exposures=401, srm_p_value=0.5),
            verdict=Verdict("keep running", "it's early"),
            cells=cells,
        )
    )


def health(worker: str, clock: int) -> bytes:
    """The bytes of one worker's health."""
    partitions = [PartitionHealth("events", 0, 10, 2, clock), PartitionHealth("events", 1, 5, 0)]
    return msgspec.json.encode(
        WorkerHealth(
            stage="assignment",
            worker=worker,
            started=1,
            cpu_seconds=1.5,
            peak_memory=10,
            partitions=partitions,
            counts={"rows": 4},
        )
    )


@pytest.fixture
def looks() -> Callable[..., list[Record]]:
    """Records of `results`: looks `first` to `last` of one run, at offsets from `offset` on."""

    def records(first: int, last: int, offset: int = 0, run: str = "exp-1", partition: int = 0) -> list[Record]:
        return [
            (partition, offset + at, 1_700_000_005_000 + number, look(number, run))
            for at, number in enumerate(range(first, last + 1))
        ]

    return records


@pytest.fixture
def beat() -> Callable[[str, int], bytes]:
    """A worker's health by its name and clock."""
    return health


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    """The documents that files of `analyzing` are about."""
    return describe(tmp_path / "catalog")


@pytest.fixture
def producer(deployment: Settings) -> Iterator[KafkaProducer]:
    """Writes to the topics of the test's deployment."""
    made = KafkaProducer(**kafka_python_arguments(deployment))
    yield made
    made.close()
