"""Flags as they are served: what a client is not shown decides about its answers too."""

import pytest
from msgspec.structs import replace

from evaluation.catalog.lifecycle import apply_definition, roll_back, start
from pipeline.http.evaluate.flags import FlagMemory, ServedFlags
from schemas.brief import Brief
from schemas.catalog import Cohort, Deployment, Exempt, Flag, Group, GroupSlot, Membership, Metric, Spec, Variant
from schemas.comment import Comment
from tests.evaluation.catalogs import in_force

HOLDOUT = Group(key="holdout", owner="shop", type="holdout", slots=(GroupSlot(percentage=10),))
TESTERS = Cohort(key="testers", owner="shop", ids=("ann",))
METRIC = Metric(key="purchase", owner="shop", type="conversion", event="purchase", window="1s")
PARENT = Flag(key="parent", owner="shop", variants=(Variant(key="on"),), deployments=("backend",))
CHILD = Flag(
    key="child",
    owner="shop",
    variants=(Variant(key="on"),),
    prerequisites={"parent": ("on",)},
    groups=(Membership(group="holdout"),),
)
DRAFTS = [apply_definition(None, flag, 1) for flag in (PARENT, CHILD)]
STARTED = [start(draft, 2, draft.definition.key) for draft in DRAFTS]
Version = tuple[str, str, int, Spec]
VERSIONS: list[Version] = [
    ("group", "holdout", 1, HOLDOUT),
    ("cohort", "testers", 1, TESTERS),
    ("metric", "purchase", 1, METRIC),
    ("deployment", "backend", 1, Deployment(key="backend", owner="shop", type="server")),
    *(("flag", state.definition.key, 1, state) for state in DRAFTS),
    *(("flag", state.definition.key, 2, state) for state in STARTED),
]


def served(*edits: Version) -> ServedFlags:
    """What a client of `web` is served, after some edits."""
    memory = FlagMemory()
    memory.take(in_force([*VERSIONS, *edits]).newest)
    return memory.of("web", is_client=True)


@pytest.mark.parametrize(
    "edit",
    [
        ("group", "holdout", 2, replace(HOLDOUT, exempt=Exempt(users=("bob",)))),
        ("cohort", "testers", 2, replace(TESTERS, ids=("ann", "bob"))),
        ("flag", "parent", 3, roll_back(STARTED[0], 3)),
    ],
    ids=["a holdout", "a cohort", "a prerequisite"],
)
def test_what_answers_rest_on_is_another_version_of_flags_that_look_the_same(edit: Version):
    before, after = served(), served(edit)

    assert after.json == before.json
    assert after.version != before.version


def test_other_documents_are_none():
    assert served(("metric", "purchase", 2, replace(METRIC, description="a word"))).version == served().version


def test_nobody_waits_for_a_comment_or_a_brief_to_settle():
    said = [
        ("comment", "child", 1, Comment(key="child", text="!")),
        ("brief", "child", 1, Brief(key="child", owner="a")),
    ]
    history, memory = in_force([*VERSIONS, *said]), FlagMemory()

    assert memory.take(history.states[-3])
    settled_at, served_before = memory.settled_at, memory.of("web", is_client=True)
    assert not memory.take(history.newest)
    assert memory.settled_at == settled_at
    assert memory.of("web", is_client=True) is served_before


@pytest.mark.parametrize(
    ("payloads", "values"),
    [
        ({"on": None}, {"on": True, "off": False}),
        ({"control": None, "treatment": None}, {"control": "control", "treatment": "treatment", "off": "off"}),
        ({"control": None, "b": {"a": 1}}, {"control": {}, "b": {"a": 1}, "off": {}}),
        ({"on": [1]}, {"on": [1], "off": []}),
        ({"a": 1, "b": 2.5, "c": None}, {"a": 1.0, "b": 2.5, "c": 0.0, "off": 0.0}),
        ({"a": 1, "b": None}, {"a": 1, "b": 0, "off": 0}),
        ({"a": True, "b": None}, {"a": True, "b": False, "off": False}),
        ({"a": "Buy now", "b": None}, {"a": "Buy now", "b": "b", "off": "off"}),
        ({"a": "Buy now", "b": 1, "c": None}, {"a": "Buy now", "b": 1, "c": "c", "off": "off"}),
    ],
)
def test_f06_every_variant_has_a_value_of_the_flags_type(payloads: dict[str, object], values: dict[str, object]):
    variants = tuple(Variant(key=key, payload=payload) for key, payload in payloads.items())
    draft = apply_definition(None, Flag(key="flag", owner="shop", variants=variants), 1)

    told = served(("flag", "flag", 1, draft)).values["flag"]

    assert told == values
    assert [type(each) for each in told.values()] == [type(each) for each in values.values()]
