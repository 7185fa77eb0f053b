"""The doctor before deployments that are wrong in one way each: it is found, named, and a command goes on."""

import asyncio
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import duckdb
import msgspec
import pytest
from click.testing import CliRunner
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.structs import OffsetAndMetadata

from evaluation.metrics.packing import pack
from evaluation.metrics.partition import Partition
from pipeline.catalog.topic import CatalogWriter
from pipeline.cli import command
from pipeline.doctor import CHECKS, Finding, examine, worst
from pipeline.doctor.sight import Sight
from pipeline.http.callers.keys import Keys
from pipeline.kafka.clients import kafka_python_arguments
from pipeline.kafka.logs import ClusterTopics, first
from pipeline.owner import own
from pipeline.processes.supervisor import Supervisor
from pipeline.settings import Settings
from pipeline.stages import STAGES
from pipeline.storage.archive import Archive
from pipeline.storage.checkpoints import Checkpoints
from pipeline.storage.store import Store
from schemas.health import PartitionHealth, WorkerHealth
from schemas.topics import CATALOG, EVENTS, EXPOSURES, HEALTH, UNITS
from tests.live import wait_for
from tests.pipeline.slices import records


def look(settings: Settings, area: str) -> list[Finding]:
    """One check, by itself. Every command that it names exists."""
    sight = Sight(settings)
    try:
        found = list(CHECKS[area](sight))
    finally:
        sight.close()
    for finding in found:
        assert finding.area == area
        if finding.command:
            require_command(finding.command)
    return found


def require_command(text: str) -> None:
    """Fail unless the command line has it, down to its last word that is no argument."""
    program, *words = shlex.split(text)
    assert program == "peekproof"
    here: click.Command = command
    for word in words:
        if isinstance(here, click.Group):
            found = here.get_command(click.Context(here), word)
            assert found is not None, text
            here = found


def told(found: list[Finding], status: str) -> list[str]:
    return [finding.what for finding in found if finding.status == status]


@pytest.fixture
def admin(deployment: Settings) -> Iterator[KafkaAdminClient]:
    client = KafkaAdminClient(**kafka_python_arguments(deployment))
    yield client
    client.close()


def send(settings: Settings, topic: str, values: list[bytes], partition: int = 0) -> None:
    producer = KafkaProducer(**kafka_python_arguments(settings))
    for value in values:
        producer.send(settings.topic(topic), value, partition=partition)
    producer.close()


def say(settings: Settings, **said: object) -> None:
    """A worker's word on the topic."""
    given = {"stage": "assignment", "worker": "host/1", "started": 1, "cpu_seconds": 1.0, "peak_memory": 1}
    send(settings, HEALTH, [msgspec.json.encode(msgspec.convert(given | said, WorkerHealth))])


def note_logs(settings: Settings, **ids: str) -> None:
    """Note in the catalog which logs there are, as the first worker does; some of them with other ids."""
    sight = Sight(settings)
    found = sight.found()
    sight.close()

    async def note() -> None:
        async with CatalogWriter(settings) as writer:
            spec = first(ClusterTopics(found.cluster, found.topics | ids))
            await writer.publish(writer.next_version(spec, "test", "the logs"))

    asyncio.run(note())


def test_all_is_well_and_then_everybody_has_ended(deployment: Settings) -> None:
    Keys(deployment.data).create("admin", "ann")
    settings = msgspec.structs.replace(deployment, archive_interval=1_000)

    looks: list[tuple[int, dict[str, list[dict[str, str]]]]] = []

    def is_well() -> bool:
        result = CliRunner().invoke(command, ["doctor", "--json"], env=settings.environment())
        looks.append((result.exit_code, json.loads(result.stdout)))
        return result.exit_code == 0

    with Supervisor(settings):
        wait_for(is_well, seconds=180, what="all being well")
        shown = CliRunner().invoke(command, ["doctor"], env=settings.environment())
    ended = [each for each in examine(settings, patience=60) if each.status == "wrong"]
    with own(settings.data / "logs"):
        starting = told(look(settings, "stages"), "unknown")
        os.utime(settings.data / "logs" / "lock", (0, 0))
        supervised = [each for each in look(settings, "stages") if each.status == "wrong"]

    assert {code for code, _ in looks[:-1]} <= {1}
    assert {finding["area"] for finding in looks[-1][1]["findings"]} == CHECKS.keys()
    assert "assignment:" in shown.stdout
    assert [each.command for each in ended] == ["peekproof up"] * len(STAGES)
    assert all("as it was asked to" in each.what for each in ended)
    assert [each.partition(": ")[0] for each in starting] == [*STAGES]
    assert all("it is being started: `peekproof up`, process" in each for each in starting)
    assert len(supervised) == len(STAGES)
    assert all(each.what.endswith("starts it again") and each.command is None for each in supervised)
    assert len(supervised) == len(STAGES)


def test_brokers_that_are_away_hide_what_they_hold_and_nothing_else(tmp_path: Path) -> None:
    settings = Settings(bootstrap_servers="127.0.0.1:1", data=tmp_path / "nothing")
    began = time.monotonic()

    found = examine(settings)

    assert time.monotonic() - began < 20
    assert worst(found) == "wrong"
    of = {area: [finding for finding in found if finding.area == area] for area in CHECKS}
    assert "PEEKPROOF_BOOTSTRAP_SERVERS" in of["brokers"][0].what
    for area in ("topics", "identities", "catalog", "stages"):
        assert [finding.status for finding in of[area]] == ["unknown"], of[area]
    for area in ("checkpoints", "archive", "snapshot", "disk", "keys", "versions"):
        assert of[area][0].status in {"ok", "warning"}, of[area]
    assert not (tmp_path / "nothing").exists()


def test_a_broker_of_our_own_that_does_not_run_is_started_by_a_command(tmp_path: Path) -> None:
    [finding] = look(Settings(data=tmp_path), "brokers")

    assert (finding.status, finding.command) == ("wrong", "peekproof broker")


def test_a_check_that_takes_too_long_is_told_and_keeps_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(CHECKS, "disk", lambda _: time.sleep(60) or [])
    monkeypatch.setitem(CHECKS, "keys", lambda _: [1 // 0])

    found = examine(Settings(bootstrap_servers="127.0.0.1:1", data=tmp_path), patience=3)

    of = {finding.area: finding for finding in found}
    assert of["disk"] == Finding("disk", "unknown", "no answer within 3 s")
    assert "ZeroDivisionError" in of["keys"].what
    assert of["archive"].status == "ok"


def test_topics_that_do_not_fit_are_named_with_what_mends_them(deployment: Settings, admin: KafkaAdminClient) -> None:
    admin.delete_topics([deployment.topic(EVENTS)])
    wrong = msgspec.structs.replace(deployment, units_partitions=8)
    wait_for(lambda: deployment.topic(EVENTS) not in admin.list_topics())

    found = look(wrong, "topics")

    assert {(finding.status, finding.command) for finding in found} == {
        ("wrong", "peekproof topics"),
        ("wrong", None),
    }
    assert any("events does not exist" in what for what in told(found, "wrong"))
    assert any("set units_partitions (PEEKPROOF_UNITS_PARTITIONS) to 4" in what for what in told(found, "wrong"))


def test_a_topic_that_was_made_anew_is_found_with_both_ids(deployment: Settings) -> None:
    assert told(look(deployment, "identities"), "wrong") == []
    note_logs(deployment, events="a-former-log")

    [finding] = [each for each in look(deployment, "identities") if each.status == "wrong"]

    assert f"{deployment.topic(EVENTS)} was made anew" in finding.what
    assert "a-former-log" in finding.what
    assert finding.command == "peekproof recover accept-gap"


def test_arrivals_made_anew_stop_nobody(deployment: Settings) -> None:
    note_logs(deployment, arrivals="a-former-log")

    assert told(look(deployment, "identities"), "wrong") == []


def test_records_of_the_catalog_that_changed_nothing_are_told(deployment: Settings) -> None:
    note_logs(deployment)
    send(deployment, CATALOG, [b"hello"])

    found = look(deployment, "catalog")

    assert told(found, "ok")[0].startswith("2 records, ")
    assert told(found, "ok")[0].endswith(" 0 notification rules, 0 sources")
    assert "1 record changed nothing; the last one, at offset 1" in told(found, "warning")[0]


def test_what_a_start_would_refuse_is_told_before(deployment: Settings, admin: KafkaAdminClient) -> None:
    places = {topic: TopicPartition(deployment.topic(topic), 0) for topic in (EXPOSURES, EVENTS, UNITS)}
    for topic in places:
        send(deployment, topic, [b"{}"] * 10)
    admin.delete_records(dict.fromkeys(places.values(), 7))
    group = deployment.group("assignment")
    consumer = KafkaConsumer(group_id=group, enable_auto_commit=False, **kafka_python_arguments(deployment))
    consumer.assign([places[EXPOSURES]])
    consumer.commit({places[EXPOSURES]: OffsetAndMetadata(3, "", -1)})
    consumer.close()

    found = look(deployment, "stages")

    wrong = "\n".join(told(found, "wrong"))
    assert f"assignment: {places[EXPOSURES].topic}/0 must be read from offset 3 on, but its log begins at 7" in wrong
    assert f"aggregation: {places[UNITS].topic}/0 must be read from offset 0 on, but its log begins at 7" in wrong
    assert any("has no offset" in what and places[EVENTS].topic in what for what in told(found, "warning"))
    assert "archive: 9 records wait for it" in told(found, "warning")
    assert {each.command for each in found} >= {"peekproof recover accept-gap", "peekproof up"}


def test_a_state_beyond_the_end_of_its_log_is_found(deployment: Settings) -> None:
    archive = Archive(deployment.data / "archive", 1_000)
    archive.append(records(EVENTS, 3, 0, [b"{}"] * 5))
    archive.advance(EVENTS, 3, 10_000)

    wrong = told(look(deployment, "stages"), "wrong")

    assert any(
        f"{deployment.topic(EVENTS)}/3 must be read from offset 5 on, but its log ends at 0" in what for what in wrong
    )


def test_an_archive_of_another_life_is_not_taken_for_ours(deployment: Settings) -> None:
    archive = deployment.data / "archive"
    archive.mkdir(parents=True)
    (archive / "logs.json").write_bytes(msgspec.json.encode(ClusterTopics("another", {EVENTS: "a-log"})))

    refused = [each for each in look(deployment, "stages") if "before its topics were deleted" in each.what]

    assert [(each.status, each.command) for each in refused] == [("wrong", "peekproof restore")]
    assert f"'{archive}' belongs to the log a-log" in refused[0].what


def test_workers_that_fell_that_ended_and_that_are_gone_are_told_apart(
    deployment: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.doctor.health.LISTEN_SECONDS", 0.5)
    monkeypatch.setattr("pipeline.doctor.health.FRESH_MS", 0)
    say(
        deployment, stage="aggregation", worker="host/2", ended=True, error="the way out is `peekproof recover rebuild`"
    )
    say(deployment, stage="archive", worker="host/3", ended=True)
    say(deployment, stage="storage", worker="host/4")
    logs = deployment.data / "logs"
    logs.mkdir(parents=True)
    (logs / "significance-0.log").write_text("[INFO] so far\nOSError: no room\n[INFO] Closing\n")

    found = look(deployment, "stages")

    wrong = {what.split(":")[0]: what for what in told(found, "wrong")}
    assert "host/2 ended" in wrong["aggregation"]
    assert wrong["aggregation"].endswith("ago: the way out is `peekproof recover rebuild`")
    assert [each.command for each in found if each.what == wrong["aggregation"]] == ["peekproof recover rebuild"]
    assert "as it was asked to" in wrong["archive"]
    assert "it was killed, hangs or is cut off" in wrong["storage"]
    assert "significance-0.log says: OSError: no room" in wrong["significance"]


def test_a_living_stage_tells_its_lag_its_falls_and_who_holds_back_the_watermark(
    deployment: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.doctor.health.LISTEN_SECONDS", 0.0)
    monkeypatch.setattr("pipeline.doctor.health.FRESH_MS", 600_000)
    now = time.time_ns() // 1_000_000
    reads = [PartitionHealth(topic, number, 5, 0, now) for topic in (EXPOSURES, EVENTS) for number in range(8)]
    reads[9] = PartitionHealth(EVENTS, 1, 5, 200_000, now - 300_000)
    say(deployment, worker="host/0", ended=True, error="no way out")
    say(
        deployment,
        partitions=[msgspec.to_builtins(each) for each in reads[:-1]],
        counts={"rows": 7, "dead letters": 3, "set aside: units": 2, "acts that were refused": 4},
    )

    found = look(deployment, "stages")

    warned = "\n".join(told(found, "warning"))
    assert (
        "assignment: host/1 works, 200000 records behind, 4 acts that were refused, 3 dead letters, 2 set aside: units"
        in warned
    )
    assert "1 worker fell" in warned
    assert "no way out" in warned
    assert f"nobody reads {deployment.topic(EVENTS)}/7" in warned
    holds_back = (
        f"the results of every run wait: {deployment.topic(EVENTS)}/1 holds it back, of which 200000 records wait"
    )
    assert holds_back in warned
    say(
        deployment,
        partitions=[msgspec.to_builtins(PartitionHealth("@orders", 3, 5, 9, now - 400_000))],
        waiting={"@orders": "no registry answers"},
    )
    (held,) = [what for what in told(look(deployment, "stages"), "wrong") if "holds it back" in what]
    assert held.endswith(
        "results of every run wait: orders/3 holds it back, of which 9 records wait: no registry answers"
    )


def test_the_threads_of_checks_find_kafkas_client_loaded() -> None:
    told = """
import sys
from pipeline import doctor
doctor.CHECKS = {"versions": lambda _: [doctor.Finding("versions", "ok", str("kafka.admin" in sys.modules))]}
print(doctor.examine(doctor.Settings())[0].what)
"""

    assert subprocess.run([sys.executable, "-c", told], check=True, capture_output=True, text=True).stdout == "True\n"


def test_of_an_installation_that_is_new_nothing_was_heard_yet(
    deployment: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.doctor.health.LISTEN_SECONDS", 0.0)

    wrong = told(look(deployment, "stages"), "wrong")

    assert "assignment: nobody works on it; nothing was heard of it yet" in wrong


def state(offset: int, horizon: int) -> bytes:
    partition = Partition(0, horizon)
    partition.offset = offset
    return partition.save()


def test_a_damaged_checkpoint_is_named_and_left_where_it_is(deployment: Settings) -> None:
    checkpoints = Checkpoints(deployment.checkpoint_location)
    for offset in (3, 5):
        checkpoints.write(0, offset, state(offset, deployment.horizon), "cluster", "log")
    older, newer = (Path(deployment.checkpoint_location) / "0" / f"{offset:020d}.arrow" for offset in (3, 5))

    newer.write_bytes(newer.read_bytes()[:-1])
    [warning] = [each for each in look(deployment, "checkpoints") if each.status == "warning"]
    older.write_bytes(b"")
    wrong = [each for each in look(deployment, "checkpoints") if each.status == "wrong"]

    assert f"checkpoint {newer} of units/0 is damaged" in warning.what
    assert "the one that reaches offset 3 stands in" in warning.what
    assert [each.command for each in wrong] == ["peekproof recover rebuild"] * 2
    assert {path.name for path in newer.parent.iterdir()} == {older.name, newer.name}


def test_checkpoints_of_another_version_horizon_or_log_are_told(deployment: Settings) -> None:
    checkpoints = Checkpoints(deployment.checkpoint_location)
    checkpoints.write(0, 5, state(5, deployment.horizon), "another", "another-log")
    checkpoints.write(1, 5, state(5, deployment.horizon + 1), "", "")
    (Path(deployment.checkpoint_location) / "2").mkdir()
    (Path(deployment.checkpoint_location) / "2" / f"{9:020d}.arrow").write_bytes(pack({}, {}))
    checkpoints.write(3, 5, pack({}, {b"peekproof": b'{"format":4,"horizon":1,"clock":1}'}), "", "")

    wrong = told(look(deployment, "checkpoints"), "wrong")
    refused = told(look(deployment, "stages"), "wrong")

    assert any("set PEEKPROOF_HORIZON to the one that the installation began with" in what for what in wrong)
    assert any("written by an earlier version" in what and "(and 1 more partitions)" in what for what in wrong)
    assert any("belongs to the log another-log" in what for what in refused)


def test_an_archive_with_a_hole_is_found(deployment: Settings) -> None:
    archive = Archive(deployment.data / "archive", 1_000)
    for begin in (2, 4, 6):
        archive.append(records(EVENTS, 0, begin, [b"{}"] * 2, begin * 1_000))
        archive.advance(EVENTS, 0, (begin + 1) * 1_000)
    (begun,) = told(look(deployment, "archive"), "warning")
    sorted((deployment.data / "archive" / EVENTS / "0").iterdir())[1].unlink()

    [finding] = [each for each in look(deployment, "archive") if each.status == "wrong"]

    assert "events/0 begins at offset 2" in begun
    assert "the archive of events/0 has a hole from offset 4 to 6" in finding.what
    assert finding.command == "peekproof restore"


def test_an_archive_that_falls_behind_is_told(deployment: Settings) -> None:
    archive = Archive(deployment.data / "archive", deployment.archive_interval)
    archive.append(records(EVENTS, 0, 0, [b"{}"] * 2, 60_000))
    archive.advance(EVENTS, 0, 3_600_000)
    send(deployment, EVENTS, [b"{}"] * 5)

    [finding] = [each for each in look(deployment, "archive") if each.status == "warning"]

    assert "events/0 is archived up to" in finding.what
    assert "3 records wait" in finding.what


def test_a_snapshot_or_store_that_cannot_be_read_is_told(deployment: Settings) -> None:
    Store(deployment.data / "store").close()
    assert told(look(deployment, "snapshot"), "wrong") == []
    deployment.snapshot.write_bytes(b"no database")
    (deployment.data / "store" / "private.duckdb").write_bytes(b"no database either" * 1_000)

    found = look(deployment, "snapshot")

    assert len(told(found, "wrong")) == 2
    assert {finding.command for finding in found} == {"peekproof up"}


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.mark.parametrize(("free", "status"), [(50 << 30, "ok"), (3 << 30, "warning"), (40 << 20, "wrong")])
def test_a_disk_that_fills_is_told(free: int, status: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(100 << 30, 0, free))
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "file").write_bytes(b"x" * 2_048_000)

    [finding] = look(Settings(data=tmp_path), "disk")

    assert finding.status == status
    assert "which holds archive 2.0 MB" in finding.what


def test_what_a_disk_holds_is_counted_without_the_holes_of_files(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)
    (settings.data / "broker").mkdir(parents=True)
    for sparse in (settings.data / "broker" / "00000000000000000000.index", settings.snapshot):
        with sparse.open("wb") as file:
            file.write(b"x" * 2_048_000)
            file.truncate(1 << 30)

    [finding] = look(settings, "disk")

    assert "broker 2.0 MB" in finding.what
    assert "snapshot 2.0 MB" in finding.what


def test_keys_that_nobody_has_or_that_belong_to_nothing_are_told(deployment: Settings) -> None:
    [none] = look(deployment, "keys")
    made, _ = Keys(deployment.data).create("client", "ann", "nosuch")
    of_nothing = look(deployment, "keys")
    (deployment.data / "keys.json").write_text("{}")
    [damaged] = look(deployment, "keys")

    assert (none.status, none.command) == ("warning", "peekproof key create admin")
    assert [each.command for each in of_nothing] == [None, f"peekproof key revoke {made.id}"]
    assert damaged.status == "wrong"
    assert "holds no keys" in damaged.what


def test_versions_are_told(deployment: Settings) -> None:
    ours, kafka = look(deployment, "versions")

    assert f"DuckDB {duckdb.__version__}" in ours.what
    assert "Kafka" in kafka.what
