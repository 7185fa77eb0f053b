"""`peekproof explore`: what is asked in words, and told as a table, JSON, CSV and a picture."""

import csv
import io
import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from evaluation.catalog.history import History
from evaluation.catalog.lifecycle import apply_definition, start
from pipeline.cli.explore import explore
from pipeline.errors import PeekproofError
from pipeline.storage.archive import Archive
from schemas.catalog import Spec
from schemas.records import Records
from schemas.topics import CATALOG
from tests.pipeline.questions.conftest import world
from tests.pipeline.questions.world import FLAG, METRICS, SHOP, World

__all__ = ["world"]
ASKED = ("button", "--metric", "spent", "--any-event", "view:count", "--by", "country", "--live")


@pytest.fixture
def data(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory with the world's archive, and the catalog that it was made by."""
    archive = Archive(tmp_path / "archive", 60_000)
    for topic in ("exposures", "events", "@shop"):
        (tmp_path / "archive" / topic).symlink_to(world.directory / topic)
    history, started = History(), world.run.started
    draft = apply_definition(None, FLAG, 1)
    specs: list[tuple[Spec, int]] = [(each, started - 60_000) for each in (SHOP, *METRICS, draft)]
    for offset, (spec, time) in enumerate([*specs, (start(draft, 2, "salt"), started)]):
        value = msgspec.json.encode(history.next_version(spec, "-", "-", 0))
        history.append(offset, time, value)
        one = np.array([0], np.int64)
        archive.append(
            Records(CATALOG, 0, offset, offset + 1, one + offset, one + time, one, one + len(value), memoryview(value))
        )
    archive.advance(CATALOG, 0, started + 600_000)
    monkeypatch.setenv("PEEKPROOF_DATA", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def call(*words: str) -> str:
    result = CliRunner().invoke(explore, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_an_answer_is_a_table_json_csv_and_a_picture(data: Path) -> None:
    table, told = call(*ASKED), json.loads(call(*ASKED, "--json"))
    rows = [*csv.DictReader(io.StringIO(call(*ASKED, "--csv")))]
    call(*ASKED, "--plot", str(data / "slices.json"))

    assert [each["slice"] for each in told["cells"]] == 2 * [[], ["CH"], ["AT"]]
    assert [each["metric"] for each in told["cells"]] == [*["spent"] * 3, *["view:count"] * 3]
    assert "country=AT" in table
    assert "6 comparisons were asked for, corrected by bonferroni" in table
    assert [(row["metric"], row["slice"], int(row["n"])) for row in rows] == [
        (each["metric"], "".join(f"country={value}" for value in each["slice"]), each["cell"]["n"])
        for each in told["cells"]
    ]
    assert len(json.loads((data / "slices.json").read_text())["data"]["values"]) == 6


def test_who_asks_often_is_warned_before_the_tenth_question(data: Path) -> None:
    for most in range(1, 10):
        result = CliRunner().invoke(explore, ("button", "--metric", "views", "--most", str(most)))
        assert "different questions" not in result.stderr
    call("button", "--metric", "views", "--most", "9")  # asked before

    result = CliRunner().invoke(explore, ("button", "--metric", "views", "--most", "10"))

    assert "you have put 9 different questions to this run, 9 comparisons" in result.stderr
    assert (data / "explored" / "button" / "exp-1.ndjson").exists()


def test_a_question_that_cannot_be_read_says_how_to_ask(data: Path) -> None:
    del data
    for words, why in (
        (("button", "--where", "plan=pro"), "PROPERTY OPERATOR VALUE"),
        (("button", "--metric", "spend"), "did you mean"),
        (("buttons",), "did you mean"),
        (("button", "--run", "exp-7"), "no run"),
    ):
        with pytest.raises(PeekproofError, match=why):
            call(*words)
    assert "none of" in call("button", "--split")
