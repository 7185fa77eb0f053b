"""Workers of storage and archive, each with a directory of its own, on a real broker."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
import pytest
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient

from pipeline.kafka.clients import kafka_python_arguments
from pipeline.processes.template import ForkedProcess
from pipeline.settings import Settings
from pipeline.storage.archived import read
from schemas.topics import RESULTS
from tests.live import ask, wait_for
from tests.pipeline.conftest import look

LOOKS = 40


@contextmanager
def working(stage: str, settings: Settings, log: Path) -> Iterator[ForkedProcess]:
    """A worker, which is killed at the end where it runs yet."""
    worker = ForkedProcess(["worker", stage], log, os.environ | settings.environment())
    try:
        yield worker
    finally:
        worker.kill()
        worker.wait()


@contextmanager
def both(stage: str, settings: Settings, tmp_path: Path) -> Iterator[list[tuple[Settings, ForkedProcess]]]:
    """Two workers of one stage with a directory for each."""
    with ExitStack() as stack:
        made = []
        for name in ("first", "second"):
            own = msgspec.structs.replace(settings, data=tmp_path / name)
            made.append((own, stack.enter_context(working(stage, own, tmp_path / f"{name}.log"))))
        yield made


def publish(settings: Settings, first: int, last: int) -> None:
    """Looks of one run on each partition of `results`."""
    producer = KafkaProducer(**kafka_python_arguments(settings))
    for number in range(first, last + 1):
        for partition in range(4):
            producer.send(settings.topic(RESULTS), look(number, f"exp-{partition}"), key=b"run", partition=partition)
    producer.flush()
    producer.close()


def stored(settings: Settings) -> object:
    return ask(settings.snapshot, "SELECT count(DISTINCT (run, look)) FROM results_history")


def archived(settings: Settings) -> int:
    return sum(1 for partition in range(4) for _ in read(settings.data / "archive", RESULTS, partition))


def committed(settings: Settings) -> list[object]:
    """What the groups of this installation have committed: a broker forgets one without members that has nothing."""
    admin = KafkaAdminClient(**kafka_python_arguments(settings))
    try:
        groups = [group["group_id"] for group in admin.list_groups() if group["group_id"].startswith(settings.prefix)]
        assert len(groups) == 3
        return [offsets for offsets in admin.list_group_offsets(groups).values() if offsets]
    finally:
        admin.close()


@pytest.mark.parametrize(("stage", "kept"), [("storage", stored), ("archive", archived)])
def test_two_workers_with_directories_of_their_own_are_both_whole(
    deployment: Settings, tmp_path: Path, stage: str, kept: Callable[[Settings], object]
) -> None:
    quick = msgspec.structs.replace(deployment, archive_interval=1_000)
    publish(quick, 1, LOOKS)

    with both(stage, quick, tmp_path) as ((first, killed), (second, other)):
        wait_for(lambda: kept(first) == kept(second) == 4 * LOOKS)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        publish(quick, LOOKS + 1, 2 * LOOKS)
        with working(stage, first, tmp_path / "third.log"):
            wait_for(lambda: kept(first) == kept(second) == 8 * LOOKS)
        other.terminate()
        assert other.wait(30) == 0, (tmp_path / "second.log").read_text()
    assert committed(quick) == []


def test_a_second_worker_of_one_directory_is_refused(deployment: Settings, tmp_path: Path) -> None:
    lock = deployment.data / "archive" / "lock"
    with working("archive", deployment, tmp_path / "first.log") as first:
        wait_for(lambda: lock.exists() and str(first.pid) in lock.read_text())
        with working("archive", deployment, tmp_path / "second.log") as second:
            assert second.wait(60) == 1

    assert f"archive belongs to process {first.pid} on" in (tmp_path / "second.log").read_text()


def test_a_damaged_store_is_made_anew_by_its_worker_and_one_of_another_life_is_not_mended(
    deployment: Settings, tmp_path: Path
) -> None:
    quick = msgspec.structs.replace(deployment, archive_interval=1_000)
    publish(quick, 1, LOOKS)
    with (
        working("storage", quick, tmp_path / "first.log") as first,
        working("archive", quick, tmp_path / "archive.log"),
    ):
        wait_for(lambda: stored(quick) == 4 * LOOKS and archived(quick) == 4 * LOOKS)
        first.terminate()
        first.wait()
    file = quick.data / "store" / "private.duckdb"
    file.write_bytes(file.read_bytes()[:100_000])
    note = quick.data / "archive" / "logs.json"
    ours = note.read_bytes()
    note.write_bytes(ours.replace(msgspec.json.decode(ours)[1]["results"].encode(), b"AAAAAAAAAAAAAAAAAAAAAA"))

    with working("storage", quick, tmp_path / "refused.log") as refused:
        assert refused.wait(60) == 1
    assert "which this installation never had" in (tmp_path / "refused.log").read_text()

    note.write_bytes(ours)
    publish(quick, LOOKS + 1, LOOKS + 1)
    with working("storage", quick, tmp_path / "second.log"):
        wait_for(lambda: stored(quick) == 4 * (LOOKS + 1))
    assert "is damaged" in str(ask(quick.snapshot, "SELECT restored FROM about"))
    assert f"the store in {quick.data / 'store'} is damaged" in (tmp_path / "second.log").read_text()
