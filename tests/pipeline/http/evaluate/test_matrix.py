"""One answer from every client: forty users, 25 flags, unmodified SDKs of three languages, remote and local."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest
from amplitude_experiment import LocalEvaluationClient, RemoteEvaluationClient, RemoteEvaluationConfig, User
from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext

from evaluation.catalog.configs import flags_in_force
from pipeline.catalog.topic import read_catalog
from pipeline.http.callers.keys import Keys
from pipeline.settings import Settings
from schemas.catalog import (
    Cohort,
    Condition,
    Definition,
    Deployment,
    Flag,
    Group,
    GroupSlot,
    Membership,
    Segment,
    Variant,
)
from tests.conftest import deployed
from tests.pipeline.http import jvm_clients, node_clients
from tests.pipeline.http.catalog import publish
from tests.pipeline.http.evaluate.test_clients import Guarded, local
from tests.pipeline.http.server import serving

ON = (Variant(key="on"),)
Answers = Mapping[str, Mapping[str, str]]  # by user and flag, the variant


def flag(key: str, variants: tuple[Variant, ...] = ON, **fields: Any) -> Flag:
    return Flag(key=key, owner="shop", variants=variants, **fields)


def where(key: str, prop: str, op: Any, *values: str) -> Flag:
    """On for those who satisfy the condition."""
    condition = Condition(property=prop, op=op, values=values)
    return flag(key, segments=(Segment(name="some", conditions=(condition,)),), rollout=0)


def of_payloads(*payloads: object) -> tuple[Variant, ...]:
    """A control without payload, and a variant with each."""
    return Variant(key="control"), *(Variant(key=f"v{i}", payload=each) for i, each in enumerate(payloads))


FLAGS: tuple[tuple[Flag, str], ...] = (  # and the type of its values
    (flag("everybody"), "boolean"),
    (flag("nobody", rollout=0), "boolean"),
    (flag("half", rollout=50), "boolean"),
    (flag("fraction", rollout=33.33), "boolean"),
    (flag("thirds", (Variant(key="a"), Variant(key="b"), Variant(key="c"))), "string"),
    (flag("object", of_payloads({"label": "Buy now"})), "object"),
    (flag("number", of_payloads(1, 2.5)), "number"),
    (flag("truth", of_payloads(True, False)), "boolean"),
    (flag("text", of_payloads("Buy now", "Pay"), rollout=90), "string"),
    (where("plan", "user_properties.plan", "regex match", "pro|max"), "boolean"),
    (where("no-plan", "user_properties.plan", "regex does not match", "pro|max"), "boolean"),
    (where("mail", "user_properties.mail", "glob match", "*@shop.example"), "boolean"),
    (where("alpine", "country", "is", "AT", "CH"), "boolean"),
    (where("abroad", "country", "is not", "AT"), "boolean"),
    (where("old", "version", "version less", "4.2.0"), "boolean"),
    (where("minor", "user_properties.age", "less", "18"), "boolean"),
    (where("tagged", "user_properties.tags", "set contains any", "a", "b"), "boolean"),
    (where("tester", "cohort", "set contains any", "testers"), "boolean"),
    (flag("device", unit="device_id", rollout=50), "boolean"),
    (flag("company", unit="groups.company", rollout=50), "boolean"),
    (flag("unheld", groups=(Membership(group="held"),)), "boolean"),
    (flag("slotted", groups=(Membership(group="slots", slots=(2,)),)), "boolean"),
    (flag("child", prerequisites={"half": ("on",)}), "boolean"),
    (flag("listed", (Variant(key="on", users=("user-1", "user-2"), devices=("phone-3",)),), rollout=0), "boolean"),
)
DRAFT = flag("draft", (Variant(key="on", users=("user-1",)),))
KINDS = {each.key: kind for each, kind in FLAGS} | {"draft": "boolean"}
DOCUMENTS: tuple[Definition, ...] = (
    Cohort(key="testers", owner="shop", ids=("user-1", "user-4")),
    Deployment(key="web", owner="shop", type="client"),
    Deployment(key="backend", owner="shop", type="server"),
    Group(key="held", owner="shop", type="holdout", slots=(GroupSlot(percentage=20.5),)),
    Group(
        key="slots", owner="shop", type="mutual-exclusion", slots=(GroupSlot(percentage=30), GroupSlot(percentage=60))
    ),
    *(each for each, _ in FLAGS),
)
OTHERWISE: dict[tuple[str, str], list[tuple[str, object]]] = {  # of whom Amplitude's own engines say something else
    ("python local", "minor"): [("age", 0)],  # 0 is no property there
    ("python local", "no-plan"): [("plan", None)],  # what is missing meets no condition on a pattern there
    ("node local", "no-plan"): [("plan", None)],
    ("jvm remote", "tagged"): [("tags", ["a", "c"])],  # it sends a list as a text that is no JSON
}


def users() -> dict[str, dict[str, Any]]:
    """Forty by name: without ids, with some, with numbers for groups; properties of every kind."""
    found: dict[str, dict[str, Any]] = {}
    for i in range(40):
        properties: dict[str, Any] = {"mail": f"u{i}@{'shop' if i % 2 else 'other'}.example", "age": 10 + i}
        if i % 7:
            properties["plan"] = ("pro", "max", "promax", "a pro", "free")[i % 5]
        if i % 3:
            properties["tags"] = ["a", "c"] if i % 2 else ["c"]
        user: dict[str, Any] = {"country": ("AT", "CH", "DE")[i % 3], "version": f"4.{i % 4}.0"}
        user["user_properties"] = properties
        if i % 10 != 9:
            user["user_id"] = f"user-{i}"
        if i % 4 != 2 and i != 39:
            user["device_id"] = f"phone-{i}"
        if i % 3 == 1:
            user["groups"] = {"company": [i if i % 2 else f"company-{i}"]}
        found[f"{i}"] = user
    found["7"]["user_properties"]["age"] = 0
    return found


USERS = users()


@pytest.fixture(scope="module")
def matrix(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, Guarded]]:
    with deployed(broker, tmp_path_factory.mktemp("matrix")) as settings:
        publish(settings, DOCUMENTS)
        publish(settings, [DRAFT], start=False)
        keys = Keys(settings.data)
        _, server_key = keys.create("server", "tests", "backend")
        _, client_key = keys.create("client", "tests", "web")
        with serving(settings, is_open=False) as server:
            yield settings, Guarded(server.address, server_key, client_key)


@pytest.fixture(scope="module")
def expected(matrix: tuple[Settings, Guarded]) -> Answers:
    """What the engine says, of the flags alone."""
    flags = flags_in_force(read_catalog(matrix[0]).newest)
    given = {name: flags.evaluate(user) for name, user in USERS.items()}
    return {name: {key: each[key].key for key in KINDS} for name, each in given.items()}


@pytest.fixture(scope="module")
def unanswered(matrix: tuple[Settings, Guarded]) -> set[tuple[str, str]]:
    """Users and flags of which the unit is missing."""
    flags = flags_in_force(read_catalog(matrix[0]).newest)
    given = {name: flags.evaluate(user) for name, user in USERS.items()}
    return {(name, key) for name, each in given.items() for key in KINDS if each[key].reason == "no unit"}


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The file that tells clients of other languages what to ask."""
    file = tmp_path_factory.mktemp("asked") / "asked.json"
    file.write_text(json.dumps({"users": USERS, "flags": KINDS}))
    return str(file)


def compare(client: str, given: Answers, expected: Answers, unanswered: set[tuple[str, str]]) -> None:
    """Every answer is the engine's, but for the differences that are listed."""
    for name, answers in given.items():
        properties = USERS[name]["user_properties"]
        for key in KINDS:
            answer = answers.get(key, "off")  # some leave defaults out
            if "openfeature" in client and (name, key) in unanswered:
                has_user = "user_id" in USERS[name]
                codes = {"INVALID_CONTEXT"} if has_user else {"TARGETING_KEY_MISSING", "INVALID_CONTEXT"}
                assert answer in codes, (client, name, key)
            elif any(properties.get(prop) == value for prop, value in OTHERWISE.get((client, key), ())):
                assert answer != expected[name][key], (client, name, key)
            else:
                assert answer == expected[name][key], (client, name, key)


def test_the_matrix_has_every_kind_of_answer(expected: Answers, unanswered: set[tuple[str, str]]):
    assert (len(USERS), len(KINDS)) == (40, 25)
    assert {key for key in KINDS if len({each[key] for each in expected.values()}) == 1} == {"everybody", "nobody"}
    assert {key for _, key in unanswered} >= {"half", "device", "company", "unheld", "slotted", "child"}


@pytest.mark.parametrize(
    ("key", "user", "reason"),
    [
        ("everybody", {}, "STATIC"),
        ("nobody", {}, "STATIC"),
        ("half", {"targetingKey": "ann"}, "SPLIT"),
        ("half", {"targetingKey": "bob"}, "SPLIT"),
        ("alpine", {"country": "AT"}, "TARGETING_MATCH"),
        ("alpine", {"country": "DE"}, "DEFAULT"),
        ("listed", {"targetingKey": "user-1"}, "TARGETING_MATCH"),
        ("draft", {"targetingKey": "user-1"}, "TARGETING_MATCH"),
        ("draft", {"targetingKey": "user-2"}, "DISABLED"),
    ],
)
def test_f16_a_reason_means_what_the_protocol_says(
    matrix: tuple[Settings, Guarded], key: str, user: dict[str, str], reason: str
):
    guarded = matrix[1]
    address, headers = f"{guarded.address}/ofrep/v1/evaluate/flags", {"X-API-Key": guarded.server_key}

    one, every = (
        httpx.post(path, json={"context": user}, headers=headers, timeout=30).json()
        for path in (f"{address}/{key}", address)
    )

    assert one["reason"] == reason
    assert one in every["flags"]


def test_clients_in_python_agree(matrix: tuple[Settings, Guarded], expected: Answers, unanswered: set[tuple[str, str]]):
    guarded = matrix[1]
    people = {name: User(**user) for name, user in USERS.items()}
    config = RemoteEvaluationConfig(server_url=guarded.address, fetch_retries=0)
    with RemoteEvaluationClient(guarded.server_key, config) as client:
        remote = {name: client.fetch_v2(user) for name, user in people.items()}
    with LocalEvaluationClient(guarded.server_key, local(guarded, stream=False)) as client:
        client.start()
        by_itself = {name: client.evaluate_v2(user) for name, user in people.items()}
    for name, told in (("python remote", remote), ("python local", by_itself)):
        given = {user: {key: each.key for key, each in answers.items()} for user, answers in told.items()}
        compare(name, given, expected, unanswered)

    headers = {"Authorization": f"Bearer {guarded.server_key}"}
    api.set_provider(OFREPProvider(guarded.address, headers_factory=lambda: headers))
    asking = api.get_client()
    details = {
        "boolean": lambda *asked: asking.get_boolean_details(asked[0], False, asked[1]),
        "string": lambda *asked: asking.get_string_details(asked[0], "none", asked[1]),
        "number": lambda *asked: asking.get_float_details(asked[0], -1.0, asked[1]),
        "object": lambda *asked: asking.get_object_details(asked[0], {}, asked[1]),
    }
    given = {}
    for name, user in USERS.items():
        context = EvaluationContext(user.get("user_id"), {key: each for key, each in user.items() if key != "user_id"})
        found = {key: details[kind](key, context) for key, kind in KINDS.items()}
        given[name] = {key: each.error_code.value if each.error_code else each.variant for key, each in found.items()}
    compare("python openfeature", given, expected, unanswered)


def test_clients_in_javascript_agree(
    matrix: tuple[Settings, Guarded], expected: Answers, unanswered: set[tuple[str, str]], asked: str
):
    told = node_clients.ask("matrix.cjs", *matrix[1], asked)

    assert told.keys() == {"node remote", "node local", "browser", "node openfeature", "web openfeature"}
    for client, given in told.items():
        assert given.keys() == USERS.keys()
        compare(client, given, expected, unanswered)


def test_clients_on_the_jvm_agree(
    matrix: tuple[Settings, Guarded], expected: Answers, unanswered: set[tuple[str, str]], asked: str
):
    told = jvm_clients.ask("matrix", matrix[1].address, matrix[1].server_key, asked)

    assert told["jvm openfeature"].keys() == USERS.keys()
    assert len(told["jvm remote"]) > 20  # of who has no groups, which it doesn't know
    for client, given in told.items():
        compare(client, given, expected, unanswered)
