"""A replay explains every step that plans took by themselves: by the look on which it rested, at that time."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from click.testing import CliRunner

from evaluation.catalog import lifecycle
from evaluation.significance.look import encode_look
from pipeline.cli import command
from pipeline.offline.plan_steps import explained_steps
from pipeline.settings import Settings
from pipeline.storage.archive import Archive
from schemas.look import Look
from tests.evaluation.plans.conftest import Stage, at, make_cell, make_look
from tests.pipeline.cli.calling import call, lines
from tests.pipeline.slices import records

HOUR = 3_600_000
BEGAN = at("2026-03-02T08:00")
PLAN = {
    "start": "2026-03-02T08:00",
    "steps": [{"rollout": 1, "for": "1h"}, {"rollout": 10, "until": {"units": 50}}, {"rollout": 50}],
    "on_harm": "pause",
    "end": "2026-03-05",
    "then": {"on_win": "roll out", "on_nothing": "roll back"},
}
LOOKS = [
    make_look(look=1),
    make_look(look=2, units=60),
    make_look((make_cell("fails", "red", "harmed"),), look=3, units=60),
    make_look(look=4, units=60, ships=("red",)),
]


@pytest.fixture
def stage() -> Stage:
    """A flag that its plan alone has led to its end."""
    stage = Stage(PLAN)

    def do(step, time, *arguments, look=None):
        stage.do(step, time, *arguments, evidence=stage.evidence(time, look))

    do(lifecycle.start, BEGAN, "salt")
    do(lifecycle.take_step, BEGAN + HOUR, 2, look=LOOKS[0])
    do(lifecycle.take_step, BEGAN + 2 * HOUR, 3, look=LOOKS[1])
    do(lifecycle.pause, BEGAN + 3 * HOUR, "harm", ("fails/red",), look=LOOKS[2])
    stage.do(lifecycle.resume, BEGAN + 4 * HOUR)  # by somebody
    do(lifecycle.roll_out, BEGAN + 70 * HOUR, "red", look=LOOKS[3])
    return stage


def archive(directory: Path, stage: Stage, looks: Iterable[Look]) -> Path:
    """What the archive's worker would have kept of it."""
    kept = Archive(directory / "archive", 10_000)
    for offset, (time, value) in enumerate(stage.written):
        kept.append(records("catalog", 0, offset, [value], time))
    kept.advance("catalog", 0, BEGAN * 2)
    for offset, each in enumerate(looks):
        kept.append(records("results", 0, offset, [encode_look(each)], BEGAN + offset))
    kept.advance("results", 0, BEGAN * 2)
    return directory / "archive"


def test_every_step_is_explained_by_the_look_on_which_it_rests(tmp_path: Path, stage: Stage) -> None:
    steps = explained_steps(archive(tmp_path, stage, LOOKS))

    assert [(each.version, each.did, each.look, each.outcome) for each in steps] == [
        (2, "start it", None, "explained"),
        (3, "take step 2", 1, "explained"),
        (4, "take step 3", 2, "explained"),
        (5, "pause it (harm: fails/red)", 3, "explained"),
        (7, "roll out red", 4, "explained"),
    ]


def test_a_step_that_its_look_does_not_demand_is_different(tmp_path: Path, stage: Stage) -> None:
    few = make_look(look=2, units=49)
    steps = explained_steps(archive(tmp_path, stage, [LOOKS[0], few, *LOOKS[2:]]))

    (different,) = (each for each in steps if each.outcome != "explained")
    assert (different.version, different.outcome) == (4, "different")
    assert different.says == "do nothing: step 3 of 3 (50 %) waits for: 49 of 50 units"


def test_a_step_whose_look_is_not_in_the_archive_says_so(tmp_path: Path, stage: Stage) -> None:
    steps = explained_steps(archive(tmp_path, stage, [LOOKS[0], LOOKS[2]]))

    assert [each.outcome for each in steps[1:]] == ["explained", "lost to the archive", "explained", "not yet archived"]


def test_the_first_of_two_looks_with_one_number_counts(tmp_path: Path, stage: Stage) -> None:
    steps = explained_steps(archive(tmp_path, stage, [*LOOKS[:2], make_look(look=2, units=1), *LOOKS[2:]]))

    assert {each.outcome for each in steps} == {"explained"}


def test_replay_tells_of_the_steps_and_ends_as_for_looks_that_differ(tmp_path: Path, stage: Stage) -> None:
    settings = Settings(bootstrap_servers="localhost:1", data=tmp_path)
    archive(tmp_path, stage, LOOKS[:1])

    told = call(settings, "replay").stdout
    (as_json,) = lines(call(settings, "replay", "--json"))

    assert "basket version 3: take step 2 by look 1 of exp-1: explained\n" in told
    assert "basket version 4: take step 3 by look 2 of exp-1: not yet archived\n" in told
    assert as_json["steps"][1] == {
        "flag": "basket",
        "version": 3,
        "did": "take step 2",
        "run": "exp-1",
        "look": 1,
        "outcome": "explained",
        "says": None,
    }

    archive(tmp_path / "other", stage, [LOOKS[0], make_look(look=2), *LOOKS[2:]])
    ended = CliRunner().invoke(command, ["replay"], env={"PEEKPROOF_DATA": str(tmp_path / "other")})
    assert ended.exit_code == 1
    assert "take step 3 by look 2 of exp-1: different; the plan says: do nothing: step 3 of 3" in ended.stdout
