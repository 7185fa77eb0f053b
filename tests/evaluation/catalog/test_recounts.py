"""A run that is counted again: two generations beside each other, and what is exploratory of the second."""

from dataclasses import replace

import msgspec
import pytest

from evaluation.catalog.in_force import SETTLING, RunInForce
from evaluation.catalog.lifecycle import apply_definition, complete, restart, start
from evaluation.catalog.recounts import coming, consequences_of, short_of
from schemas.catalog import Breakdown, FlagState, Goal
from schemas.recount import Recount
from tests.evaluation.catalog.test_history import BUTTON, PURCHASE, REVENUE, Topic

PLATFORM = Breakdown(property="platform", values=("ios",))
WITH_REVENUE = (*BUTTON.metrics, Goal(metric="revenue"))


@pytest.fixture
def topic() -> Topic:
    topic = Topic()
    for metric in (PURCHASE, REVENUE):
        topic.publish("metric", metric, 1)
    return topic


def begin(topic: Topic, *definitions: object) -> FlagState:
    """A running experiment: the last of these drafts is the one that it starts with."""
    state: FlagState | None = None
    for version, definition in enumerate(definitions or (BUTTON,), 1):
        state = apply_definition(state, definition, version)  # type: ignore[arg-type]
        topic.publish("flag", state, version)
    assert state is not None
    state = start(state, len(definitions or (BUTTON,)) + 1, "s1")
    topic.publish("flag", state, len(definitions or (BUTTON,)) + 1)
    return state


def edit(topic: Topic, state: FlagState, **fields: object) -> FlagState:
    version = topic.history.newest.version_of("flag", "button") + 1
    state = apply_definition(state, msgspec.structs.replace(state.definition, **fields), version)
    topic.publish("flag", state, version)
    return state


def recount(topic: Topic, version: int, state: str = "begun") -> RunInForce:
    topic.publish("recount", Recount(key="button", run="exp-1", state=state), version)  # type: ignore[arg-type]
    assert not topic.history.rejected
    return topic.history.newest.flags["button"].runs[-1]


def test_what_comes_late_is_of_all_units_in_the_generation_that_is_coming(topic: Topic) -> None:
    state = begin(topic)
    edit(topic, state, metrics=WITH_REVENUE, breakdowns=(PLATFORM,))
    flag = topic.history.newest.flags["button"]
    assert short_of(flag) == ["revenue", "platform"]
    offset = topic.history.newest.offset

    run = recount(topic, 1)

    assert run.coming is not None
    assert (run.generation, run.coming.generation) == (0, offset)
    assert (run.definition.breakdowns, run.coming.definition.breakdowns) == ((), (PLATFORM,))
    assert run.since["revenue"] > run.started == run.coming.since["revenue"]
    assert (run.told, run.coming.told) == ("exp-1", f"{offset}~exp-1")
    assert coming(topic.history.newest) == {offset: run.coming}

    counted = recount(topic, 2, "complete")
    assert (counted.generation, counted.coming) == (offset, None)
    assert short_of(topic.history.newest.flags["button"]) == []


def test_both_generations_follow_the_documents(topic: Topic) -> None:
    state = begin(topic)
    recount(topic, 1)
    at = topic.publish("metric", msgspec.structs.replace(PURCHASE, window="20s"), 2)
    state = edit(topic, state, metrics=WITH_REVENUE)

    run = topic.history.newest.flags["button"].runs[-1]
    assert run.coming is not None
    for each in run.generations:
        assert each.metrics["purchase"].version == 2
        assert each.since["purchase"] == at + SETTLING
        assert each.since["revenue"] > each.started

    topic.publish("flag", complete(state, 4), 4)
    run = topic.history.newest.flags["button"].runs[-1]
    assert run.coming is not None
    assert run.completed == run.coming.completed is not None
    assert recount(topic, 2, "complete").completed == run.completed


def test_what_was_chosen_after_the_start_is_exploratory_unless_a_draft_had_listed_it(topic: Topic) -> None:
    drafts = (
        msgspec.structs.replace(BUTTON, breakdowns=(PLATFORM,)),
        msgspec.structs.replace(BUTTON, metrics=WITH_REVENUE),
        BUTTON,
    )
    state = begin(topic, *drafts)
    state = edit(topic, state, metrics=WITH_REVENUE, breakdowns=(PLATFORM,))
    assert recount(topic, 1).coming.exploratory == {"revenue": 2, "platform": 1}  # type: ignore[union-attr]

    topic.publish("metric", msgspec.structs.replace(REVENUE, cap=50.0), 2)  # another than was planned
    topic.publish("metric", msgspec.structs.replace(PURCHASE, window="20s"), 2)
    other = Breakdown(property="platform", values=("ios", "web"))
    edit(topic, state, breakdowns=(other,))
    assert recount(topic, 2).coming.exploratory == {"purchase": 0, "revenue": 0, "platform": 0}  # type: ignore[union-attr]


def test_a_recount_that_is_stopped_leaves_the_run_as_it_was(topic: Topic) -> None:
    begin(topic)
    before = topic.history.newest.flags["button"].runs[-1]
    recount(topic, 1)
    assert recount(topic, 2, "stopped") == before


def test_a_recount_of_the_next_run_gives_up_one_that_is_on_its_way(topic: Topic) -> None:
    state = begin(topic)
    recount(topic, 1)
    topic.publish("flag", restart(state, 3, "s2"), 3)
    before = topic.history.newest.flags["button"]
    assert before.runs[0].coming

    topic.publish("recount", Recount(key="button", run="exp-2", state="begun"), 2)

    first, second = topic.history.newest.flags["button"].runs
    assert second.coming
    assert first == replace(before.runs[0], coming=None)
    assert "the recount of exp-1 that is on its way is given up" in "\n".join(consequences_of(before, second.coming))


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (Recount(key="button", run="exp-2", state="begun"), "has no run 'exp-2' that is its newest"),
        (Recount(key="menu", run="exp-1", state="begun"), "there is no flag 'menu' to recount"),
        (Recount(key="button", run="exp-1", state="complete"), "is not being recounted: nothing is complete"),
    ],
)
def test_a_recount_of_nothing_is_ignored_with_the_reason(topic: Topic, said: Recount, why: str) -> None:
    begin(topic)

    topic.publish("recount", said, 1, key=said.key)

    assert why in topic.history.rejected[0].reason


def test_a_complete_run_keeps_what_it_had_and_counts_what_is_added(topic: Topic) -> None:
    state = complete(begin(topic), 3)
    topic.publish("flag", state, 3)
    had = topic.history.newest.flags["button"].runs[-1]
    topic.publish("metric", msgspec.structs.replace(PURCHASE, window="20s"), 2)  # which is for later runs
    goals = (msgspec.structs.replace(BUTTON.metrics[0], direction="decrease"), Goal(metric="revenue"))
    edit(topic, state, metrics=goals, breakdowns=(PLATFORM,))
    assert short_of(topic.history.newest.flags["button"]) == ["revenue", "platform"]

    coming = recount(topic, 1).coming

    assert coming is not None
    assert coming.completed == had.completed is not None
    assert coming.metrics["purchase"] == had.metrics["purchase"]
    assert coming.definition.metrics == WITH_REVENUE
    assert coming.exploratory == {"revenue": 0, "platform": 0}
    assert recount(topic, 2, "complete") == coming


def test_a_complete_run_is_not_counted_again_without_what_it_had(topic: Topic) -> None:
    state = complete(begin(topic), 3)
    topic.publish("flag", state, 3)
    edit(topic, state, metrics=(Goal(metric="revenue"),))

    topic.publish("recount", Recount(key="button", run="exp-1", state="begun"), 1)

    assert "the document no longer lists 'purchase'; list that again" in topic.history.rejected[0].reason


def test_a_run_with_an_identity_is_asked_by_explore(topic: Topic) -> None:
    begin(topic, msgspec.structs.replace(BUTTON, unit="device_id", identity="user_id"))

    topic.publish("recount", Recount(key="button", run="exp-1", state="begun"), 1)

    assert "ask `peekproof explore button`, which answers for it too" in topic.history.rejected[0].reason
