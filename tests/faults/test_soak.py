"""Some minutes of the soak."""

from pathlib import Path

import pytest

from tests.faults.soak import Soak


@pytest.mark.timeout(1_200)
def test_faults_of_every_kind_lose_nothing_and_count_nothing_twice(tmp_path: Path) -> None:
    outcome = Soak(tmp_path / "soak", seconds=60, rate=1_000, seed=20261129, tell=print).run()

    assert outcome.is_good, "\n".join(outcome.lines)
    assert outcome.judgement.records > 40_000
    assert outcome.judgement.cells == 86  # 19 readings in 4 segments, and 10 of everybody
    assert outcome.judgement.looks["same"] >= 20
