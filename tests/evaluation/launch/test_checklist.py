"""What is there of an experiment before it starts and in its first hour, and what is to be done."""

import msgspec

from evaluation.arrivals.recent import Recent
from evaluation.launch.checklist import KeysHeard, KeyUse, checklist
from schemas.arrivals import Arrivals, EventsArrived, ExposuresArrived
from schemas.catalog import Deployment, Goal
from tests.evaluation.assignment.routed import BUTTON, NOW, shop

MINUTE = 60_000
GOALS = (
    Goal(metric="purchase", role="primary", minimum_effect=0.05),
    Goal(metric="views", role="guardrail"),
)
READY = msgspec.structs.replace(BUTTON, metrics=GOALS)


def states(*, starts=True, flag=READY, events=(), exposures=(), uses=(), heard=0):
    topic = shop()
    topic._append("deployment", "web", Deployment(key="web", owner="shop", type="client"))
    topic.apply(flag)
    if starts:
        topic.start("button")
    recent, minute = Recent(), NOW - NOW % MINUTE
    recent.take(
        Arrivals(
            worker="host/1",
            part=0,
            minute=minute,
            events=[EventsArrived(name=each, count=1, last=NOW) for each in events],
            exposures=[
                ExposuresArrived(flag="button", variant=variant, run=run, count=1, last=NOW)
                for variant, run in exposures
            ],
        )
    )
    catalog = topic.history.newest
    found = checklist(catalog.flags["button"], catalog, recent, KeysHeard(heard, uses), None, now=NOW)
    return {each.item: each for each in found.items}


def test_of_a_draft_that_nobody_asks_for_everything_is_missing_and_says_what_to_do():
    found = states(starts=False)

    assert found["A key is in use"].state == "missing"
    assert found["An exposure was seen"].state == "missing"
    assert "List yourself" in found["An exposure was seen"].todo
    assert found["Each variant was seen"].state == "unknown"
    assert found["Metric 'purchase' has events"].state == "missing"
    assert found["The split is as promised"].state == "unknown"
    assert found["A prediction is written down"].state == "done"
    assert found["Guardrails have a margin"].state == "missing"
    assert all(each.todo for each in found.values() if each.state in {"missing", "wrong"})


def test_of_a_run_to_which_everything_comes_all_that_can_be_told_is_done():
    goals = (GOALS[0], msgspec.structs.replace(GOALS[1], margin=0.02))
    found = states(
        flag=msgspec.structs.replace(READY, metrics=goals),
        events=["purchase", "view"],
        exposures=[("control", "exp-1"), ("treatment", "exp-1")],
        uses=[KeyUse("web", NOW - 3_000, "amplitude-ts/2.1")],
    )

    assert {item: each.state for item, each in found.items() if each.state != "done"} == {
        "The split is as promised": "unknown"
    }
    assert found["A key is in use"].says == "'amplitude-ts/2.1' asked with a key of 'web' 3 s ago."


def test_what_comes_but_is_something_else_is_wrong():
    found = states(events=["Purchased"], exposures=[("blue", "exp-1"), ("control", "exp-1")])

    assert found["Metric 'purchase' has events"].state == "wrong"
    assert "'Purchased'" in found["Metric 'purchase' has events"].todo
    assert found["Each variant was seen"].state == "wrong"
    assert "'blue'" in found["Each variant was seen"].says
    assert states(exposures=[("control", "exp-0")])["An exposure was seen"].state == "wrong"
    assert states(exposures=[("control", "exp-1")])["Each variant was seen"].state == "missing"


def test_a_server_that_has_just_begun_does_not_say_that_no_key_is_in_use():
    assert states(heard=NOW - 5_000)["A key is in use"].state == "unknown"
    assert states(uses=[KeyUse("web", NOW - 3_600_000, "x")])["A key is in use"].state == "missing"
