"""What the API gives as YAML is, as files, what the catalog holds: `apply` finds nothing to change."""

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from evaluation.catalog.history import History
from pipeline.catalog import editing
from pipeline.catalog.documents import read_documents
from pipeline.catalog.editing import Signature, in_order
from pipeline.http.documents.bodies import read_value, read_yaml, yaml_of
from pipeline.http.documents.reading import as_sent
from schemas.catalog import WRITTEN, WrittenKind

ANN = Signature("ann", "a test")
TEXTS = st.text(min_size=1, max_size=30) | st.sampled_from(["on", "~", "007", "1.50", "1e3", "- a", "a: b", "# c"])
IDS = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=12)
LISTED = st.lists(IDS, max_size=4, unique=True)
SHARES = st.floats(0.001, 0.2)
NUMBERS = st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False)
PAYLOADS = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
Fields = st.SearchStrategy[dict[str, Any]]


def some(**fields: st.SearchStrategy[Any]) -> Fields:
    """Any of these fields."""
    return st.fixed_dictionaries({}, optional=fields)


def whole(*parts: Fields, **said: Any) -> Fields:
    """Fields of all parts, and what is said."""
    return st.tuples(*parts).map(lambda each: {name: value for part in each for name, value in part.items()} | said)


OWNED = st.fixed_dictionaries({"owner": TEXTS})
NAMED = whole(OWNED, some(name=TEXTS, description=st.text(max_size=60)))
TAGGED = whole(NAMED, some(tags=st.lists(TEXTS, max_size=2)))
CONDITIONS = st.fixed_dictionaries(
    {
        "property": st.sampled_from(["country", "user_properties.plan"]),
        "op": st.sampled_from(["is", "set contains"]),
        "values": st.lists(TEXTS, min_size=1, max_size=3),
    }
)
WHERE = st.lists(CONDITIONS, max_size=2)
HYPOTHESES = st.fixed_dictionaries(dict.fromkeys(("problem", "solution", "prediction"), TEXTS))
SEGMENTS = whole(
    st.fixed_dictionaries({"name": TEXTS.map("of {}".format)}), some(conditions=WHERE, rollout=st.integers(0, 100))
)
ANALYSES = some(alpha=SHARES, cuped=st.booleans(), planned_units=st.integers(4, 10**12), sided=st.just("one"))
PLANS = whole(
    some(end=st.just("2031-02-03"), timezone=st.just("Europe/Berlin"), hours=st.just({"days": ["mon"]})),
    steps=[{"rollout": 1.5, "for": "1h"}, {"rollout": 50, "at": "2031-01-02"}],
)
FLAG_FIELDS = some(
    hypothesis=HYPOTHESES,
    unit=st.sampled_from(["user_id", "device_id", "groups.Org Unit", "user_properties.e mail"]),
    segments=st.lists(SEGMENTS, max_size=2),
    sticky=st.booleans(),
    deployments=st.just(["web"]),
    groups=st.just([{"group": "held"}]),
    exposure_event=st.fixed_dictionaries({"event": TEXTS, "where": WHERE}),
    breakdowns=st.just([{"property": "country", "values": ["AT", "007"]}]),
    analysis=ANALYSES,
    plan=PLANS,
)
CONTROL = whole(some(payload=PAYLOADS, name=TEXTS), key="control", cohorts=["friends"])
OTHER = whole(some(payload=PAYLOADS, users=LISTED, devices=LISTED), key="other", weight=3)
VARIANTS = st.fixed_dictionaries({"variants": st.tuples(CONTROL, OTHER).map(list)})
GOALS = st.builds(
    lambda effect, margin: [
        {"metric": "spent", "role": "primary", "minimum_effect": effect},
        {"metric": "steps", "role": "guardrail", "margin": margin},
    ],
    SHARES,
    SHARES,
)
CATALOG: list[tuple[WrittenKind, Fields]] = [
    ("cohort", whole(TAGGED, some(ids=LISTED), key="friends")),
    ("deployment", whole(TAGGED, key="web", type="client")),
    (
        "group",
        whole(TAGGED, some(exempt=some(users=LISTED)), key="held", type="holdout", slots=[{"percentage": 0.25}]),
    ),
    (
        "metric",
        whole(
            NAMED,
            some(scale=st.integers(0, 6), cap=st.integers(1, 1_000), where=WHERE, log=st.booleans()),
            key="spent",
            type="sum",
            event="buy",
            property="price",
            window="7d",
        ),
    ),
    ("metric", whole(NAMED, key="steps", type="funnel", window="none", steps=[{"event": "a"}, {"event": "b"}])),
    ("flag", whole(TAGGED, FLAG_FIELDS, VARIANTS, key="plain")),
    (
        "flag",
        whole(
            TAGGED,
            FLAG_FIELDS,
            VARIANTS,
            st.fixed_dictionaries({"metrics": GOALS}),
            key="tested",
            prerequisites={"plain": ["control"]},
        ),
    ),
    (
        "notification",
        whole(
            TAGGED,
            some(about=some(owners=st.lists(TEXTS, max_size=2)), template=st.just("{sentence}\n\n{link} ")),
            key="told",
            when=[{"event": "no exposures", "for": "2h"}],
            to=[{"name": "mail", "people": {"env": "MAIL"}}],
        ),
    ),
    (
        "template",
        whole(
            TAGGED,
            st.fixed_dictionaries({"values": whole(FLAG_FIELDS, some(hypothesis=some(problem=TEXTS), rollout=SHARES))}),
            key="begin",
            of="experiment",
        ),
    ),
    ("brief", whole(OWNED, some(background=TEXTS, learning=st.text(max_size=200)), key="tested")),
]


@settings(max_examples=15, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=[*HealthCheck])
@given(values=st.tuples(*(fields for _, fields in CATALOG)))
def test_files_of_the_yaml_of_any_documents_are_what_the_catalog_holds(values: tuple[dict[str, Any], ...]):
    read = [read_value(kind, value) for (kind, _), value in zip(CATALOG, values, strict=True)]
    assert [each.faults for each in read if each.faults] == []
    history = History()
    found = editing.foresee(in_order([each.definition for each in read if each.definition]), history, ANN)
    assert [each.violations for each in found if each.violations] == []

    with tempfile.TemporaryDirectory() as directory:
        for kind in WRITTEN:
            folder = Path(directory, f"{kind}s")
            folder.mkdir()
            for key, standing in history.newest.of(kind).items():
                text = yaml_of(as_sent(standing.definition))
                assert read_yaml(kind, text, key).definition == standing.definition
                (folder / f"{key}.yaml").write_text(text, encoding="utf-8", newline="")
        documents = read_documents(Path(directory))
        assert sum(1 for _ in documents) == len(CATALOG)
        assert editing.changes(documents, history) == []
