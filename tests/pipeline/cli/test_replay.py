"""`peekproof replay` as a person uses it."""

from pathlib import Path

import pytest

from pipeline.errors import PeekproofError
from pipeline.settings import Settings
from tests.pipeline.cli.calling import call, lines


def test_replay_of_an_empty_archive_says_so(tmp_path: Path) -> None:
    settings = Settings(bootstrap_servers="localhost:1", data=tmp_path)
    archive = tmp_path / "archive"

    with pytest.raises(PeekproofError, match=f"there is no archive in '{archive}'; .* PEEKPROOF_DATA=data/demo"):
        call(settings, "replay")
    archive.mkdir()

    assert call(settings, "replay").stdout == f"the archive in '{archive}' holds no published look yet\n"
    assert lines(call(settings, "replay", "--json")) == [{"looks": 0, "outcomes": {}, "replayed": [], "steps": []}]
