"""What a backup holds, and what is refused; with a broker, but without stages (see end_to_end for those)."""

from pathlib import Path

import msgspec
import pytest
from kafka import KafkaProducer

from evaluation.metrics.partition import Partition
from pipeline.errors import PeekproofError
from pipeline.kafka import topics
from pipeline.kafka.clients import kafka_python_arguments
from pipeline.kafka.reading import read_topic
from pipeline.recovery.manifest import MANIFEST, UNFINISHED, read_manifest
from pipeline.recovery.restore import RESTORING, Restore
from pipeline.settings import Settings
from pipeline.storage.archive import Archive
from pipeline.storage.archived import expired, read
from pipeline.storage.checkpoints import Checkpoints
from pipeline.storage.store import Store
from schemas.topics import CATALOG, EXPOSURES
from tests.conftest import deployed
from tests.pipeline.shop import Shop
from tests.pipeline.slices import records

HOUR = 3_600_000


def shop(settings: Settings, directory: Path) -> Shop:
    found = Shop(directory, settings)
    found.apply()
    return found


def refusal(shop: Shop, *arguments: str) -> str:
    with pytest.raises(PeekproofError) as refused:
        shop.call(*arguments)
    return str(refused.value)


def catalog(settings: Settings) -> list[tuple[int, int, bytes]]:
    return [(record.offset, record.timestamp, record.value) for record in read_topic(settings, CATALOG)]


def inodes(directory: Path) -> dict[str, int]:
    return {path.name: path.stat().st_ino for path in directory.rglob("*.parquet")}


def test_it_holds_the_archive_and_what_only_the_log_holds_and_a_second_one_adds_what_is_new(
    deployment: Settings, tmp_path: Path
) -> None:
    ours, kept = shop(deployment, tmp_path / "shop"), tmp_path / "kept"
    producer = KafkaProducer(**kafka_python_arguments(deployment))
    for number in range(20):
        producer.send(deployment.topic(EXPOSURES), str(number).encode(), partition=3)
    producer.flush()
    archive = Archive(deployment.data / "archive", HOUR)
    archive.append(records(EXPOSURES, 3, 0, [str(number).encode() for number in range(5)]))
    archive.advance(EXPOSURES, 3, HOUR)
    Checkpoints(deployment.checkpoint_location).write(0, 7, Partition(0, HOUR).save(), "cluster", "log")

    first = ours.told("backup", str(kept))

    assert first["waiting"] == 20  # no stage ever ran
    there = [record.value for record in read(kept / "archive", EXPOSURES, 3)]
    assert there == [str(number).encode() for number in range(20)]
    assert [(each.offset, each.append_time, each.value) for each in read(kept / "archive", CATALOG, 0)] == catalog(
        deployment
    )
    assert (kept / "checkpoints" / "0" / f"{7:020}.arrow").read_bytes() == (
        Path(deployment.checkpoint_location) / "0" / f"{7:020}.arrow"
    ).read_bytes()
    mine = deployment.data / "archive" / EXPOSURES / "3"
    assert inodes(mine).items() <= inodes(kept).items()  # one file under two names
    assert not {path.stat().st_mode & 0o077 for path in [kept, kept / MANIFEST]} - {0}

    ours.rewrite("rollout: 50", "rollout: 60")
    ours.apply()
    producer.send(deployment.topic(EXPOSURES), b"20", partition=3)
    producer.close()
    archive.append(records(EXPOSURES, 3, 5, [str(number).encode() for number in range(5, 21)], HOUR))
    archive.advance(EXPOSURES, 3, 50 * HOUR)
    archive.append(records(EXPOSURES, 3, 21, [b"21"], 60 * HOUR))
    archive.compact()
    before = {file.path for file in read_manifest(kept).files}
    second = ours.told("backup", str(kept))

    after = {file.path for file in read_manifest(kept).files}
    assert first["added"] == first["bytes"]
    assert 0 < second["added"] < second["bytes"]
    assert {path for path in before & after if CATALOG in path}
    assert [record.value for record in read(kept / "archive", EXPOSURES, 3)] == [b"%d" % each for each in range(21)]
    assert {str(path.relative_to(kept)) for path in kept.rglob("*/*/*/*") if path.is_file()} | {
        str(path.relative_to(kept)) for path in (kept / "checkpoints").rglob("*.arrow")
    } == {path for path in after if "/" in path}
    assert not (kept / UNFINISHED).exists()


def test_it_keeps_nothing_longer_than_the_archive_does(deployment: Settings, tmp_path: Path) -> None:
    ours, kept = shop(deployment, tmp_path / "shop"), tmp_path / "kept"
    producer = KafkaProducer(**kafka_python_arguments(deployment))
    archive = Archive(deployment.data / "archive", HOUR)
    for number in range(6):
        producer.send(deployment.topic(EXPOSURES), b"%d" % number, partition=0).get(10)
        archive.append(records(EXPOSURES, 0, number, [b"%d" % number], number * HOUR))
        if number == 2:
            ours.call("backup", str(kept))
    producer.close()
    assert [record.offset for record in read(kept / "archive", EXPOSURES, 0)] == [0, 1, 2]

    archive.expire(HOUR, 6 * HOUR)
    ours.call("backup", str(kept))

    left = expired(deployment.data / "archive", EXPOSURES, 0)
    assert left is not None
    assert left.before > 3
    assert expired(kept / "archive", EXPOSURES, 0) == left
    assert [record.offset for record in read(kept / "archive", EXPOSURES, 0)] == list(range(left.before, 6))
    with deployed(deployment.bootstrap_servers, tmp_path / "elsewhere") as settings:
        Shop(tmp_path / "other", settings).call("restore", str(kept))
        assert expired(settings.data / "archive", EXPOSURES, 0) == left


def test_what_is_damaged_is_named_and_nothing_restored(deployment: Settings, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    shop(deployment, tmp_path / "shop").call("backup", str(kept))
    (file,) = (kept / "archive" / CATALOG).rglob("*.parquet")
    content = bytearray(file.read_bytes())
    content[50] ^= 1
    file.write_bytes(content)
    with deployed(deployment.bootstrap_servers, tmp_path / "elsewhere") as settings:
        elsewhere = Shop(tmp_path / "other", settings)

        assert f"{file} does not have the digest that it was kept with" in refusal(elsewhere, "restore", str(kept))
        file.write_bytes(content[:-1])
        assert f"{file} has {len(content) - 1:,} bytes instead of {len(content):,}" in refusal(
            elsewhere, "restore", str(kept)
        )
        file.unlink()
        assert f"{file} is missing" in refusal(elsewhere, "restore", str(kept))
        assert catalog(settings) == []
        assert not settings.data.exists()


def test_one_that_was_not_finished_is_no_backup(tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    (tmp_path / UNFINISHED).touch()
    settings = Settings(data=tmp_path / "data")

    with pytest.raises(PeekproofError, match="was not finished: take it again"):
        Restore(settings, tmp_path)
    (tmp_path / UNFINISHED).unlink()
    (tmp_path / MANIFEST).write_text("{")
    with pytest.raises(PeekproofError, match="is damaged"):
        Restore(settings, tmp_path)
    with pytest.raises(PeekproofError, match="neither a backup nor a data directory"):
        Restore(settings, tmp_path / "archive")


def test_a_directory_that_holds_something_else_is_left_alone(deployment: Settings, tmp_path: Path) -> None:
    ours, kept = shop(deployment, tmp_path / "shop"), tmp_path / "kept"
    kept.mkdir()
    (kept / "thesis.tex").touch()

    assert "holds thesis.tex, and is no backup" in refusal(ours, "backup", str(kept))
    deployment.data.mkdir(exist_ok=True)
    assert "a place of its own" in refusal(ours, "backup", str(deployment.data))
    assert "a place of its own" in refusal(ours, "backup", str(deployment.data / "kept"))


def test_another_horizon_or_number_of_partitions_is_refused_and_what_else_differs_told(
    deployment: Settings, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    shop(deployment, tmp_path / "shop").call("backup", str(kept))

    for name, value, way_out in (("units_partitions", 2, "_PARTITIONS=4"), ("horizon", HOUR * 2, "_HORIZON=3600000ms")):
        with pytest.raises(PeekproofError, match=f"{name} is {value}, and was .* PEEKPROOF.*{way_out}"):
            Restore(msgspec.structs.replace(deployment, **{name: value}), kept)
    with deployed(deployment.bootstrap_servers, tmp_path / "elsewhere") as settings:
        told = Shop(tmp_path / "other", settings).told("restore", str(kept))
    (difference,) = told["differences"]
    assert difference.startswith(f"prefix is '{settings.prefix}', and was '{deployment.prefix}'")


def test_a_restore_that_was_broken_off_goes_on_and_one_beside_another_catalog_is_refused(
    deployment: Settings, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    ours = shop(deployment, tmp_path / "shop")
    ours.call("backup", str(kept))
    manifest = read_manifest(kept)
    with deployed(deployment.bootstrap_servers, tmp_path / "elsewhere") as settings:
        elsewhere = Shop(tmp_path / "other", settings)
        topics.take_times(settings, CATALOG, "CreateTime")
        producer = KafkaProducer(**kafka_python_arguments(settings))
        _, time, value = catalog(deployment)[0]
        producer.send(settings.topic(CATALOG), value, timestamp_ms=time)
        producer.close()
        settings.data.mkdir()
        (settings.data / RESTORING).write_bytes((kept / MANIFEST).read_bytes())
        ours.rewrite("rollout: 50", "rollout: 60")  # and applied after the backup

        assert elsewhere.told("restore", str(kept))["catalog"] == len(catalog(deployment)) - 1

        assert catalog(settings) == catalog(deployment)
        assert topics.check(settings) == []
        assert not (settings.data / RESTORING).exists()
        assert "holds the state of an installation already (archive)" in refusal(elsewhere, "restore", str(kept))
    ours.apply()
    with deployed(deployment.bootstrap_servers, tmp_path / "third") as settings:
        third = shop(settings, tmp_path / "third-shop")
        assert "holds another catalog: its record 0 is of" in refusal(third, "restore", str(kept))
    assert read_manifest(kept) == manifest


def test_a_lost_catalog_comes_back_from_archive_and_store(deployment: Settings, tmp_path: Path) -> None:
    ours = shop(deployment, tmp_path / "shop")
    lost = catalog(deployment)
    archive = Archive(deployment.data / "archive")
    archive.append(records(CATALOG, 0, 0, [lost[0][2]], lost[0][1]))
    archive.advance(CATALOG, 0, 1 << 50)
    with Store(deployment.data / "store") as store:
        store.add_catalog((0, *record) for record in lost)
        store.flush()
    with deployed(deployment.bootstrap_servers, deployment.data) as settings:
        anew = Shop(tmp_path / "anew", settings)

        with Store(settings.data / "store"):
            assert "stop the worker of storage" in refusal(anew, "restore", str(settings.data))
        assert anew.told("restore", str(settings.data))["catalog"] == len(lost) == 2

        assert catalog(settings) == lost
    (deployment.data / "archive" / CATALOG / "0").rename(tmp_path / "away")
    (deployment.data / "store").rename(tmp_path / "away" / "store")
    assert "holds no record of the catalog" in refusal(ours, "restore", str(deployment.data))
