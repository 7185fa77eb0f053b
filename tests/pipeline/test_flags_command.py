"""`peekproof flag` and `experiment` as a person uses them: the life of a flag from its draft to its end."""

from pathlib import Path

import pytest

from pipeline.catalog import read_catalog
from pipeline.errors import PeekproofError
from pipeline.settings import Settings
from tests.pipeline.shop import Shop


@pytest.fixture
def shop(tmp_path: Path, deployment: Settings) -> Shop:
    return Shop(tmp_path / "configs", deployment)


def test_an_experiment_is_started_completed_and_started_again(shop: Shop):
    shop.apply()

    first = shop.told("experiment", "start", "button", "--author", "ann", "--reason", "it is time")
    assert (first["run"], first["status"], first["version"], len(first["salt"])) == ("exp-1", "running", 2, 8)
    assert "button: version 3, exp-1 is complete" in shop.call("experiment", "complete", "button").stdout
    second = shop.told("experiment", "start", "button")
    assert second["run"] == "exp-2"
    assert second["salt"] != first["salt"]

    told = shop.told("experiment", "history", "button")
    assert [each["version"] for each in told] == [1, 2, 3, 4]
    assert [each["changed"] for each in told] == [
        ["created"],
        ["exp-1 is running"],
        ["exp-1 is complete"],
        ["exp-2 is running"],
    ]
    assert (told[1]["author"], told[1]["reason"]) == ("ann", "it is time")
    assert "exp-1 is complete" in shop.call("experiment", "history", "button").stdout


def test_list_and_show_tell_the_state_and_the_dates_that_have_passed(shop: Shop):
    assert "the catalog holds none; `peekproof apply` publishes" in shop.call("experiment", "list").stdout
    shop.rewrite("rollout: 50", "rollout: 50\nstart: 2020-01-01\nend: 2020-02-01")
    shop.apply()

    (summary,) = shop.told("experiment", "list")
    assert (summary["key"], summary["status"], summary["run"]) == ("button", "draft", None)
    assert summary["overdue"] == "start date 2020-01-01 has passed"
    shop.call("experiment", "start", "button")
    (summary,) = shop.told("experiment", "list")
    assert (summary["run"], summary["overdue"]) == ("exp-1", "end date 2020-02-01 has passed")
    assert "running, end date 2020-02-01 has passed" in shop.call("experiment", "list").stdout

    shown = shop.call("experiment", "show", "button").stdout
    assert "# version 2, running, end date 2020-02-01 has passed\n# exp-1: 20" in shown
    assert "rollout: 50\n" in shown
    state = shop.told("experiment", "show", "button")["state"]
    assert state["runs"][0]["allocations"][0]["weights"] == {"control": 1, "treatment": 1}


def test_a_step_that_is_refused_says_why_and_publishes_nothing(shop: Shop, deployment: Settings):
    shop.apply()

    with pytest.raises(PeekproofError, match=r"'button' is not running \(draft\); start it first"):
        shop.call("experiment", "complete", "button")
    shop.call("experiment", "start", "button")
    with pytest.raises(PeekproofError, match=r"'button' is running already \(exp-1\)"):
        shop.call("experiment", "start", "button")
    with pytest.raises(PeekproofError, match="'buton' is no flag of the catalog; did you mean 'button'"):
        shop.call("experiment", "start", "buton")

    assert read_catalog(deployment).newest.offset == 3
