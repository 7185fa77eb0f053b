"""The words, signs and bounds that the console is told: of everything that can be, and as the rules have them."""

from collections.abc import Callable
from typing import Any, get_args

import httpx
import pytest

from evaluation.catalog import lifecycle
from evaluation.catalog.lifecycle import LifecycleError
from pipeline.catalog.editing import OFFERED, StepName
from pipeline.http.callers.keys import Keys
from pipeline.http.results.vocabulary import VOCABULARY
from pipeline.settings import Settings
from schemas.catalog import Analysis, Flag, FlagState, FlagStatus, GoalRole, Removal, Variant
from schemas.fields import fields
from schemas.look import TOLD, Caveat, Cell, Decision, Judgement, Method, Prediction, Status
from schemas.plan import Plan, PlanStep
from tests.pipeline.http.server import serving

STATES = (*get_args(FlagStatus), "archived")
TAKE: dict[StepName, Callable[[FlagState], FlagState]] = {
    "start": lambda state: lifecycle.start(state, 9, "s"),
    "rollout": lambda state: lifecycle.roll_out(state, 9, "other"),
    "rollback": lambda state: lifecycle.roll_back(state, 9),
    "complete": lambda state: lifecycle.complete(state, 9),
    "restart": lambda state: lifecycle.restart(state, 9, "s"),
    "pause": lambda state: lifecycle.pause(state, 9),
    "resume": lambda state: lifecycle.resume(lifecycle.pause(state, 9), 10),
    "archive": lambda state: lifecycle.archive(state, ()),
    "restore": lifecycle.restore,
}


def _in(status: FlagStatus | Removal) -> FlagState:
    variants = (Variant(key="one"), Variant(key="other"))
    plan = Plan(steps=(PlanStep(rollout=1),))
    draft = lifecycle.apply_definition(None, Flag(key="button", owner="shop", variants=variants, plan=plan), 1)
    running = lifecycle.start(draft, 2, "s")
    return {
        "draft": draft,
        "running": running,
        "complete": lifecycle.complete(running, 3),
        "rolled out": lifecycle.roll_out(running, 3, "one"),
        "rolled back": lifecycle.roll_back(running, 3),
        "archived": lifecycle.archive(draft, ()),
    }[status]


@pytest.mark.parametrize(
    ("told", "of"),
    [
        (VOCABULARY.decisions, Decision),
        (VOCABULARY.judgements, Judgement),
        (VOCABULARY.predictions, Prediction),
        (VOCABULARY.statuses, Status),
        (VOCABULARY.methods, Method),
        (VOCABULARY.caveats, Caveat),
        (VOCABULARY.goal_roles, GoalRole),
        (VOCABULARY.steps, StepName),
        (VOCABULARY.states, str),
    ],
)
def test_whatever_can_be_said_has_its_word(told: Any, of: Any):
    assert {*told} == {*(get_args(of) or STATES)}


@pytest.mark.parametrize("status", STATES)
@pytest.mark.parametrize("step", TAKE)
def test_a_step_is_offered_where_it_may_be_taken(step: StepName, status: FlagStatus | Removal):
    state = _in(status)
    if status in OFFERED[step]:
        TAKE[step](state)
    elif (step, status) not in {("start", "complete"), ("start", "rolled back")}:  # which is to restart it
        with pytest.raises(LifecycleError):
            TAKE[step](state)


def test_what_a_status_leaves_unsaid_are_fields_of_a_cell():
    for status in VOCABULARY.statuses.values():
        assert {*status.unsaid} <= {*Cell.__struct_fields__}


def test_fields_are_just_those_of_what_looks_consist_of():
    assert [*VOCABULARY.fields] == [f"{struct.__name__}.{name}" for struct in TOLD for name in struct.__struct_fields__]
    for struct in TOLD:
        for name, field in fields(struct).items():
            told = VOCABULARY.fields[f"{struct.__name__}.{name}"]
            assert (told.title, told.unit) == (field.title, field.unit)
            assert told.meaning.startswith(field.description)


def test_it_is_told_to_those_who_may_read(deployment: Settings):
    _, viewer = Keys(deployment.data).create("viewer", "ann")
    with serving(deployment, is_open=False) as server:
        address = f"{server.address}/api/1/vocabulary"
        assert httpx.get(address).status_code == 401
        reads = httpx.Client(headers={"authorization": f"Bearer {viewer}"})
        told = reads.get(address).json()
        schema, unknown = (reads.get(f"{server.address}/api/1/schemas/{kind}") for kind in ("metric", "metrik"))

    assert told["split_alpha"] == 0.01
    assert told["defaults"]["analysis"]["alpha"] == Analysis().alpha
    assert told["defaults"]["variant"]["weight"] == 1
    assert "relative_estimate" in told["statuses"]["unusable"]["unsaid"]
    assert told["metric_fields"]["sum"][:3] == ["event", "property", "cap"]
    assert told["presets"]["debezium"]["where"][1] == {"property": "op", "op": "is", "values": ["c", "(none)"]}
    assert told["presets"]["posthog"]["map"]["time"] == {"path": "timestamp", "unit": "iso8601"}
    assert schema.json()["$defs"]["Metric"]["required"] == ["key", "owner", "type", "window"]
    assert (unknown.status_code, "did you mean 'metric'" in unknown.json()["error"]) == (404, True)
