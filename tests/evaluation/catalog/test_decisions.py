"""What counts as a decision, and over which run it was made."""

from itertools import count

import msgspec

from evaluation.catalog.decisions import Decisions
from evaluation.catalog.history import History
from evaluation.catalog.lifecycle import (
    apply_definition,
    archive,
    complete,
    restart,
    restore,
    roll_back,
    roll_out,
    start,
)
from schemas.catalog import Document, Flag, FlagState, Variant
from schemas.plan import AUTHOR, Evidence, Plan, PlanStep

BUTTON = Flag(
    key="button",
    owner="shop",
    variants=(Variant(key="control"), Variant(key="treatment")),
    plan=Plan(steps=(PlanStep(rollout=50),)),
)


def test_steps_that_decide_are_told_with_the_run_that_they_ended():
    history, decisions, versions = History(), Decisions(), count(1)

    def publish(state: FlagState, author: str = "ann") -> FlagState:
        version = next(versions)
        spec = msgspec.Raw(msgspec.json.encode(state))
        said = {"kind": "flag", "key": "button", "version": version, "base": version - 1, "author": author, "time": 0}
        document = Document(**said, reason=f"because of {version}", spec=spec)
        history.append(version, version * 1_000, msgspec.json.encode(document))
        assert not history.rejected
        return state

    state = publish(apply_definition(None, BUTTON, 1))
    state = publish(start(state, 2, "a"))
    state = publish(restart(state, 3, "b"))
    state = publish(complete(state, 4))
    state = publish(roll_out(state, 5, "control"))
    decisions.read(history)
    state = publish(roll_out(state, 6, "treatment"))
    state = publish(archive(state, ()))
    state = publish(restore(state))
    state = publish(restart(state, 9, "c"))
    state = publish(roll_back(state, 10, Evidence(version=10, time=5, run="exp-3", look=7)), AUTHOR)
    decisions.read(history)

    told = decisions.of["button"]
    assert [(each.version, each.step, each.variant, each.run) for each in told] == [
        (3, "restart", None, "exp-1"),
        (4, "complete", None, "exp-2"),
        (5, "rollout", "control", "exp-2"),
        (6, "rollout", "treatment", "exp-2"),
        (7, "archive", None, "exp-2"),
        (9, "restart", None, "exp-2"),
        (10, "rollback", None, "exp-3"),
    ]
    assert [each.noted for each in told if each.by_plan] == [7]
    assert [each.author for each in told] == ["ann"] * 6 + [AUTHOR]
    assert (told[0].reason, told[0].time) == ("because of 3", 3_000)
