"""`peekproof plan preview` as a person uses it, of files and on a real broker."""

from collections.abc import Callable
from pathlib import Path

import pytest
from kafka import KafkaProducer

from pipeline.errors import PeekproofError
from pipeline.settings import Settings
from schemas.topics import RESULTS
from tests.pipeline.shop import Shop

PLAN = """\
plan:
  timezone: Europe/Berlin
  steps:
    - { rollout: 10, for: 1h, until: { units: 5000 } }
    - { rollout: 50 }
"""


def planned(directory: Path, settings: Settings | None = None) -> Shop:
    shop = Shop(directory / "configs", settings)
    shop.rewrite("rollout: 50\n", PLAN)
    return shop


def test_the_plan_of_a_file_that_is_not_applied_is_previewed_without_a_broker(tmp_path: Path) -> None:
    shop = planned(tmp_path)

    told = shop.told("plan", "preview", "button", "--catalog", str(shop.directory))
    shown = shop.call("plan", "preview", "button", "--catalog", str(shop.directory)).stdout

    first, second = told["steps"]
    assert (told["status"], first["state"], first["rollout"]) == ("draft", "ahead", 10)
    assert second["earliest"] - first["earliest"] == 3_600_000
    waits = "started, on its page or by `peekproof experiment start button`"
    assert shown.startswith("button: draft (times of Europe/Berlin)\n")
    assert f"now: nothing is to be done: step 1 of 2 (10 %) waits for: {waits}" in " ".join(shown.split())
    assert "1 ██░░░░░░░░░░░░░░░░░░ 10 %  at the earliest" in shown
    assert "· 0 of 5,000 units" in shown


def test_what_cannot_be_previewed_says_why(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "configs")

    with pytest.raises(PeekproofError, match="'button' has no plan; write one into its definition"):
        shop.call("plan", "preview", "button", "--catalog", str(shop.directory))
    with pytest.raises(PeekproofError, match=r"there is no flag 'buton' in .*; did you mean 'button'"):
        shop.call("plan", "preview", "buton", "--catalog", str(shop.directory))
    shop.rewrite("rollout: 50\n", PLAN.replace("50 }", "5 }"))
    assert (
        "percentages never fall"
        in shop.call("plan", "preview", "button", "--catalog", str(shop.directory), code=2).output
    )


def test_a_plan_in_force_is_previewed_by_the_newest_look(
    tmp_path: Path, deployment: Settings, producer: KafkaProducer, looks: Callable[..., list[tuple]]
) -> None:
    shop = planned(tmp_path, deployment)
    shop.apply()
    shop.call("experiment", "start", "button")
    for run, published in (("exp-1", looks(1, 2)), ("exp-2", looks(9, 9, run="exp-2"))):
        for _, _, _, value in published:
            of_button = value.replace(b'"checkout"', b'"button"')
            producer.send(deployment.topic(RESULTS), of_button, f"button/{run}".encode())
    producer.flush()

    told = shop.told("plan", "preview", "button")
    shown = shop.call("plan", "preview", "button").stdout

    assert (told["run"], told["look"], told["steps"][0]["state"]) == ("exp-1", 2, "in force")
    assert "button: running, exp-1, look 2 (times of Europe/Berlin)" in shown
    assert "▶   1 ██░░░░░░░░░░░░░░░░░░ 10 %  in force since " in shown
    assert "· 400 of 5,000 units" in shown
    with pytest.raises(PeekproofError, match="there is no flag 'banner' in the catalog; known: button"):
        shop.call("plan", "preview", "banner")
