"""A backup that is taken while everything runs, and the deployment that goes on from it elsewhere."""

import json
import re
from pathlib import Path

import pytest

from pipeline.errors import PeekproofError
from pipeline.http.callers.keys import Keys
from pipeline.http.callers.sessions import BY_KEY, Sessions
from pipeline.http.callers.shares import ExperimentShares
from pipeline.kafka.reading import read_topic
from pipeline.recovery.manifest import PRIVATE
from pipeline.storage.archived import chain, partitions
from schemas.topics import CATALOG, EVENTS, EXPOSURES
from tests.conftest import deployed
from tests.end_to_end.test_lost_logs import Deployment
from tests.end_to_end.test_sources import topics
from tests.live import ask, wait_for

SHORT = {"units_partitions": 2, "horizon": 20_000, "tolerance": 20_000, "checkpoint_interval": 2_000}


def test_a_backup_taken_while_everything_runs_goes_on_elsewhere(broker: str, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    with (
        deployed(broker, tmp_path / "data", archive_interval=1_000, **SHORT) as settings,
        deployed(broker, tmp_path / "elsewhere", archive_interval=1_000, **SHORT) as new_settings,
        topics(settings, orders={"message.timestamp.type": "LogAppendTime"}) as names,
    ):
        old = Deployment(settings, tmp_path / "shop", orders=names["orders"])
        key = json.loads(old.shop.call("key", "create", "viewer", "--name", "ann", "--json").stdout)["key"]
        ann = Keys(settings.data).find(key)
        cookie = Sessions(Keys(settings.data)).begin(ann, BY_KEY)[1]
        share, link = ExperimentShares(settings.data).create("button", "eve", "ann", ann.created + BY_KEY)
        with old.working("archive", "storage"):
            old.send(500)
            old.wait_for(500)
            first = old.shop.told("backup", str(kept))
            looks = old.look().look
            old.send(200)
            second = old.shop.told("backup", str(kept))
            old.send(100)
            old.wait_for(800)
        assert second["waiting"] == 0
        assert first["bytes"] == first["added"]
        assert second["added"] < second["bytes"]
        assert _offsets(kept, EVENTS) + _offsets(kept, f"@{names['orders']}") >= 700

        elsewhere = Deployment(new_settings, tmp_path / "new-shop", sent=800, orders=names["orders"])
        restored = elsewhere.shop.told("restore", str(kept))

        assert {EXPOSURES, EVENTS, CATALOG} <= set(restored["made_anew"])
        assert [_of(record) for record in read_topic(new_settings, CATALOG)][:-1] == [
            _of(record) for record in read_topic(settings, CATALOG)
        ]
        assert Keys(new_settings.data).find(key) == ann
        assert Sessions(Keys(new_settings.data)).find(cookie).name == "ann"
        assert ExperimentShares(new_settings.data).find(link) == share
        for name in PRIVATE:
            assert (new_settings.data / name).stat().st_mode & 0o777 == 0o600
        with elsewhere.working("archive", "storage"):
            elsewhere.send(300)
            elsewhere.wait_for(1_000)
            look = elsewhere.look()
            assert look.look > looks
            assert {gap.topic for gap in look.health.gaps} == {EXPOSURES, EVENTS}
            assert re.search(
                "an unknown number of records of events and exposures were lost and are in no number "
                r"\(restored from a backup of \d{4}-", look.verdict.reason
            )  # fmt: skip
            wait_for(lambda: (ask(new_settings.snapshot, "SELECT count(*) FROM exposures") or 0) >= 1_000)
            wait_for(lambda: bool(ask(new_settings.snapshot, "SELECT count(*) FROM results")))
        replayed = elsewhere.shop.told("replay")
        assert set(replayed["outcomes"]) <= {"same", "not yet archived"}
        assert replayed["outcomes"]["same"] >= looks
        assert "holds the state of an installation already" in _refused(elsewhere, "restore", str(kept))

        # Where only the catalog is gone, the data directory has it.
        old.make_anew(CATALOG)
        assert f"`peekproof restore {settings.data}` brings the former catalog back" in old.refused("aggregation")
        assert "must come first" in _refused(old, "recover", "accept-gap")
        assert old.shop.told("restore", str(settings.data))["made_anew"] == [CATALOG]
        with old.working():
            old.send(200)
            old.wait_for(1_000)
            assert "lost" not in old.look().verdict.reason


def _refused(deployment: Deployment, *arguments: str) -> str:
    with pytest.raises(PeekproofError) as refusal:
        deployment.shop.call(*arguments)
    return str(refusal.value)


def _of(record: object) -> tuple[int, int, bytes]:
    return record.offset, record.timestamp, record.value


def _offsets(data: Path, topic: str) -> int:
    archive = data / "archive"
    return sum(chain(archive, topic, number)[-1].end for number in partitions(archive, topic))
