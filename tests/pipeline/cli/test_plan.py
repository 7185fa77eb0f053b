"""`peekproof plan` as a person uses it, and the flag's own commands about a plan."""

from pathlib import Path

import pytest

from pipeline.errors import PeekproofError
from pipeline.settings import Settings
from tests.pipeline.shop import Shop

PLAN = """\
plan:
  steps:
    - { rollout: 1, for: 1h }
    - { rollout: 50 }
sticky: true
"""


@pytest.fixture
def shop(tmp_path: Path, deployment: Settings) -> Shop:
    return Shop(tmp_path / "configs", deployment)


def test_a_plan_is_paused_by_a_person_or_an_edit_and_goes_on(shop: Shop):
    shop.rewrite("rollout: 50\n", PLAN)
    shop.apply()
    shop.call("experiment", "start", "button")
    assert shop.told("experiment", "list")[0]["rollout"] == 1

    told = shop.call("plan", "pause", "button", "--reason", "a holiday", "--author", "ann").stdout
    assert "button: version 3, the plan is paused (asked)" in told
    assert "  the plan is paused at step 1 of 2: everybody who has a variant keeps it, and nobody else gets one" in told
    assert "running, step 1 of 2, plan paused (asked)" in shop.call("experiment", "list").stdout
    shown = shop.call("flag", "show", "button").stdout
    assert "# plan: step 1 of 2 since " in shown
    assert "(asked)\n# rollout: 0 %\n" in shown
    assert "rollout: 1\n" in shown
    shop.apply()
    assert shop.told("flag", "show", "button")["version"] == 3
    assert shop.told("plan", "resume", "button")["version"] == 4
    shop.rewrite("rollout: 50", "rollout: 60")
    assert "the plan is paused at step 1 of 2, as the flag is edited" in shop.apply().stdout
    shop.call("plan", "resume", "button")
    assert [each["changed"] for each in shop.told("flag", "history", "button")][1:] == [
        ["exp-1 is running", "step 1 of 2 is in force"],
        ["the plan is paused (asked)"],
        ["the plan goes on"],
        ["plan", "the plan is paused (edited)"],
        ["the plan goes on"],
    ]


def test_whoever_asks_for_a_samples_size_is_told_where_that_is(shop: Shop):
    for argument in ("--baseline", "button"):
        with pytest.raises(PeekproofError, match=rf"asked by `peekproof sample-size {argument} …`"):
            shop.call("plan", argument, "0.12")


def test_nobody_signs_as_a_plan(shop: Shop):
    shop.apply()

    for command in (
        ("apply", str(shop.directory)),
        ("experiment", "start", "button"),
        ("flag", "create", "x", "--owner", "me"),
    ):
        with pytest.raises(PeekproofError, match="'Plan ' is how versions are signed that a flag's plan writes"):
            shop.call(*command, "--author", "Plan ")
    with pytest.raises(PeekproofError, match="'plan' signs the versions that a flag's plan writes by itself"):
        shop.call("key", "create", "admin", "--name", "plan")
