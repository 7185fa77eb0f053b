"""Management: Amplitude's API makes the documents that the command line makes, and tells them as Amplitude does."""

from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import pytest

from pipeline.catalog.topic import read_catalog
from pipeline.http.callers.keys import Keys
from pipeline.settings import Settings
from schemas.catalog import Flag
from tests.conftest import deployed
from tests.pipeline.http.server import serving
from tests.pipeline.shop import Shop


class Api:
    """The API with a key of an experimenter, over a shop with an experiment."""

    def __init__(self, settings: Settings, address: str) -> None:
        self.settings, self.address = settings, f"{address}/api/1/"
        keys = Keys(settings.data)
        self.experimenter, self.admin = keys.create("experimenter", "ann")[1], keys.create("admin", "root")[1]

    def call(self, method: str, path: str, body: Any = None, code: int = 200, key: str | None = None) -> Any:
        headers = {"authorization": f"Bearer {key or self.experimenter}"}
        answer = httpx.request(method, self.address + path, json=body, headers=headers, timeout=20)
        assert answer.status_code == code, answer.text
        return answer.json()

    def definition(self, key: str) -> Flag:
        return read_catalog(self.settings).newest.flags[key].definition


@pytest.fixture(scope="module")
def api(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    directory = tmp_path_factory.mktemp("shop")
    with deployed(broker, directory / "data") as settings:
        Shop(directory / "configs", settings).apply()
        with serving(settings, is_open=False) as server:
            yield Api(settings, server.address)


SEGMENT = {
    "name": "Pros",
    "conditions": [
        {"prop": "gp:plan", "op": "is", "type": "property", "values": ["pro"]},
        {"prop": "country", "op": "is not", "type": "property", "values": ["Chile"]},
    ],
    "percentage": 25,
    "rolloutWeights": {"red": 1, "blue": 3},
}
BANNER = {
    "key": "banner",
    "name": "Banner",
    "bucketingKey": "device_id",
    "variants": [{"key": "red", "payload": {"a": [1]}}, {"key": "blue"}],
    "targetSegments": [SEGMENT],
}


def test_a_flag_is_created_edited_and_led_as_amplitude_does(api: Api):
    created = api.call("POST", "flags", BANNER | {"projectId": api.settings.prefix})
    assert (created["id"], created["state"], created["enabled"], created["version"]) == ("banner", "planning", False, 1)
    assert created["targetSegments"] == [SEGMENT | {"bucketingKey": None}]
    assert created["rolloutWeights"] == {"red": 1, "blue": 1}
    assert (created["createdBy"], created["owner"], created["bucketingKey"]) == ("ann", "ann", "device_id")
    assert api.definition("banner").segments[0].conditions[0].property == "user_properties.plan"

    change = {"rolloutWeights": {"red": 9}, "stickyBucketing": True, "description": "Red or blue"}
    edited = api.call("PATCH", "flags/banner", change)
    assert (edited["rolloutWeights"], edited["stickyBucketing"], edited["version"]) == ({"red": 9, "blue": 0}, True, 2)
    assert edited["variants"][0]["payload"] == {"a": [1]}
    assert api.call("PATCH", "flags/banner", change)["version"] == 2
    mixed = api.call("PATCH", "flags/banner", {"enabled": True, "name": "x"}, 400)
    assert "a step (start) goes alone" in mixed["error"]
    started = api.call("PATCH", "flags/banner", {"enabled": True})
    assert (started["state"], started["enabled"], len(started["bucketingSalt"])) == ("running", True, 8)
    refused = api.call("PATCH", "flags/banner", {"bucketingKey": "user_id"}, 409)
    assert "unit of 'banner' would change from device_id to user_id while exp-1 runs" in refused["error"]
    decision = {"decision": "rollout", "rolledOutVariant": "blue", "decisionReason": "it is blue"}
    out = api.call("PATCH", "flags/banner", decision)
    assert (out["state"], out["decision"], out["rolledOutVariant"]) == ("decision-made", "rollout", "blue")
    assert out["decisionReason"] == "it is blue"
    assert api.call("PATCH", "flags/banner", {"archive": True}, 409)["consequences"]
    assert api.call("PATCH", "flags/banner", {"archive": True, "yes": True})["archived"] is True
    assert api.call("GET", "flags")["flags"] == []
    assert [flag["key"] for flag in api.call("GET", "flags?includeArchived=true")["flags"]] == ["banner"]


def test_what_a_definition_may_not_be_is_said_with_its_place(api: Api):
    for body, place in (
        ({"key": "Bad Key"}, "key: 'Bad Key' is not allowed"),
        (
            {"key": "a", "rolloutPercentage": 101},
            "rollout: 101 is not allowed; it must be a number from 0 to 100 with at most two decimal places",
        ),
        ({"key": "a", "rolloutWeights": {"blue": 1}}, "'blue' is no variant; the variants are on"),
        ({"key": "a", "projectId": "other"}, "there is one project here"),
        ({"key": "a", "colour": "red"}, "unknown field `colour`"),
        ({"key": "a", "targetSegments": [{"name": "x", "bucketingKey": "device_id"}]}, "leave it out"),
    ):
        assert place in api.call("POST", "flags", body, 400)["error"]
    orphan = {"key": "a", "parentDependencies": {"flags": {"x": []}}}
    assert "'x' is no flag" in api.call("POST", "flags", orphan, 409)["error"]
    assert "flag 'button' exists already" in api.call("POST", "flags", {"key": "button"}, 409)["error"]
    assert "'nobody' is no flag" in api.call("GET", "flags/nobody", code=404)["error"]


def test_what_others_need_is_ended_by_no_way_without_a_yes(api: Api):
    api.call("POST", "flags", {"key": "base"})
    api.call("POST", "flags", {"key": "kid", "parentDependencies": {"flags": {"base": ["on"]}}})
    (note,) = api.call("PATCH", "flags/kid", {"enabled": True})["notes"]
    assert note.endswith("gets 'off': it needs on of 'base', which gives 'off' to everybody (draft)")
    api.call("PATCH", "flags/base", {"enabled": True})
    assert api.call("GET", "flags/kid")["notes"] == []

    for method, path, body in (
        ("PATCH", "flags/base", {"enabled": False}),
        ("PATCH", "flags/base", {"decision": "rollback"}),
        ("PATCH", "flags/base", {"rolloutPercentage": 0}),
        ("POST", "flags/base/actions/complete", {"reason": "done"}),
        ("POST", "flags/base/actions/rollback", {"reason": "done"}),
    ):
        refused = api.call(method, path, body, 409)
        assert "'kid' gives 'off' to everybody" in " ".join(refused["consequences"]), body
    assert api.call("PATCH", "flags/base", {"enabled": False, "yes": True})["enabled"] is False
    (told,) = [each for each in api.call("GET", "overview")["flags"] if each["key"] == "kid"]
    assert told["problem"] == "it needs on of 'base', which gives 'off' to everybody (rolled back)"


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (
            '{"variants": [{"key": "on", "payload": {"d": 0.1234567890123456789}}]}',
            "variants[0].payload.d: 0.12345678901",
        ),
        (
            '{"variants": [{"key": "on", "payload": {"dup": 1, "dup": 2}}]}',
            "variants[0].payload.dup: stands here twice",
        ),
        (
            '{"rolloutPercentage": 5, "rolloutPercentage": 6}',
            "rolloutPercentage: stands here twice; keep one of the two",
        ),
        ('{"rolloutPercentage": "5"}', 'rolloutPercentage is "5", a text; it must be a number'),
        ('{"variants": "on"}', 'variants is "on", a text; it must be a list'),
        ('{"yes": "true", "name": "x"}', 'yes is "true", a text; it must be true or false'),
        (
            '{"variants": [{"key": "on", "payload": ["\\ud83d"]}]}',
            "variants[0].payload[0]: the text has \\ud83d, half of",
        ),
        ('{"variants": [{"key": "on", "payload": [{"n": 1e400}]}]}', "variants[0].payload[0].n: 1e400 is too large"),
        ('{"rolloutPercentage": 1', "the request is no JSON: Expecting ',' delimiter (line 1, column 24)"),
    ],
)
def test_what_a_document_would_not_keep_is_refused_over_http_too_with_its_place(api: Api, body: str, fault: str):
    if "exact" not in {flag["key"] for flag in api.call("GET", "flags")["flags"]}:
        api.call("POST", "flags", {"key": "exact"})
    headers = {"authorization": f"Bearer {api.experimenter}", "content-type": "application/json"}

    answer = httpx.request("PATCH", f"{api.address}flags/exact", content=body, headers=headers, timeout=20)

    assert (answer.status_code, answer.json()["error"][: len(fault)]) == (400, fault)
    assert api.call("GET", "flags/exact")["version"] == 1


def test_a_whole_percentage_may_be_written_in_any_way(api: Api):
    api.call("POST", "flags", {"key": "whole"})
    headers = {"authorization": f"Bearer {api.experimenter}", "content-type": "application/json"}
    for text, read in (("1e1", 10), ("50.0", 50), ("-0.0", 0)):
        body = f'{{"rolloutPercentage": {text}, "targetSegments": [{{"name": "all", "percentage": {text}}}]}}'
        answer = httpx.request("PATCH", f"{api.address}flags/whole", content=body, headers=headers, timeout=20)
        assert answer.json()["rolloutPercentage"] == read
        assert isinstance(api.definition("whole").rollout, int)


def test_what_is_allowed_and_may_not_be_meant_is_noted_as_on_the_command_line(api: Api):
    assert api.call("POST", "flags", {"key": "noted"})["notes"] == []
    segments = [{"name": "x"}, {"name": "x", "conditions": [{"prop": "country", "op": "is", "values": ["AT"]}]}]
    edited = api.call("PATCH", "flags/noted", {"targetSegments": segments})
    assert edited["notes"] == [
        "segments[1].name: 'x' is the name of two segments, and answers say it; name them apart",
        "segments[1]: 'x' is never reached: 'x' comes before it and has no conditions",
    ]

    paid = api.call("PATCH", "flags/noted/variants/on", {"payload": {"n": 2**53 + 1}})

    assert "variants[0].payload: 9007199254740993 is beyond 2^53" in paid["notes"][-1]
    assert api.call("GET", "flags/noted")["notes"] == paid["notes"]


def test_an_experiment_keeps_what_amplitude_has_no_fields_for(api: Api):
    (found,) = api.call("GET", "experiments")["experiments"]
    assert (found["key"], found["experimentType"], found["metrics"][0]["metric"]) == ("button", "a-b-test", "purchase")

    before = api.definition("button")
    event = {"event_type": "seen", "filters": [{"subprop_key": "where", "subprop_op": "is", "subprop_value": ["top"]}]}
    edited = api.call("PATCH", "experiments/button", {"exposureEvent": event, "tags": ["checkout"]})
    after = api.definition("button")

    assert edited["exposureEvent"]["filters"][0]["subprop_type"] == "event"
    assert after.exposure_event.where[0].property == "event_properties.where"
    assert msgspec.structs.replace(after, exposure_event=None, tags=()) == before
    goals = [{"metric": "purchase", "role": "primary", "minimum_effect": 0.1}]
    created = api.call("POST", "experiments", {"key": "second", "metrics": goals})
    assert [variant["key"] for variant in created["variants"]] == ["control", "treatment"]
    assert created["metrics"][0]["minimum_effect"] == 0.1
    page = api.call("GET", "experiments?limit=1")
    assert ([each["key"] for each in page["experiments"]], page["nextCursor"]) == (["button"], "button")
    rest = api.call("GET", "experiments?limit=1&cursor=button")
    assert ([each["key"] for each in rest["experiments"]], "nextCursor" in rest) == (["second"], False)


def test_variants_and_those_who_always_get_them(api: Api):
    api.call("POST", "flags", {"key": "panel"})
    added = api.call("POST", "flags/panel/variants", {"key": "wide", "rolloutWeight": 3, "payload": 1})
    assert added["rolloutWeights"] == {"on": 1, "wide": 3}
    api.call("PATCH", "flags/panel/variants/wide", {"name": "Wide", "rolloutWeight": 2})
    assert api.call("GET", "flags/panel/variants/wide") == {
        "key": "wide",
        "name": "Wide",
        "description": None,
        "payload": 1,
    }
    api.call("POST", "flags/panel/variants/wide/users", {"inclusions": ["ann", "bob", "eve"]})
    assert api.definition("panel").variants[1].devices == ("ann", "bob", "eve")
    api.call("DELETE", "flags/panel/variants/wide/users/1")
    api.call("DELETE", "flags/panel/variants/wide/bulk-delete-users", {"users": ["ann"]})
    assert api.call("GET", "flags/panel/variants/wide/users") == ["eve"]
    assert api.call("DELETE", "flags/panel/variants/wide/users/1", code=404)["error"]
    refused = api.call("POST", "flags/panel/variants/wide/cohorts", {"inclusions": ["staff"]}, 409)
    assert "'staff' is no cohort" in refused["error"]
    api.call("DELETE", "flags/panel/variants/wide/users")
    assert api.call("DELETE", "flags/panel/variants/on")["rolloutWeights"] == {"wide": 2}
    assert "there are none" in api.call("DELETE", "flags/panel/variants/wide", code=409)["error"]


def test_groups_take_their_experiments_with_them_or_nothing(api: Api):
    for key in ("left", "right"):
        api.call("POST", "flags", {"key": key})
    slots = [{"percentage": 60, "experiments": ["left"]}, {"percentage": 40, "individuals": ["ann"]}]
    unknown = {"key": "m", "slots": [{"percentage": 1, "experiments": ["lefty"]}]}
    assert "'lefty' is no flag" in api.call("POST", "mutexes", unknown, 400)["error"]
    too_many = {"key": "m", "slots": [*slots, {"percentage": 1}]}
    assert "the percentages sum to 101" in api.call("POST", "mutexes", too_many, 409)["error"]

    held = {"key": "m", "slots": [{"percentage": 9, "holdouts": ["h"]}]}
    assert "name those of the holdout" in api.call("POST", "mutexes", held, 400)["error"]

    created = api.call("POST", "mutexes", {"key": "m", "slots": slots})
    assert created["slots"] == [
        {"percentage": 60, "experiments": ["left"], "holdouts": [], "individuals": []},
        {"percentage": 40, "experiments": [], "holdouts": [], "individuals": ["ann"]},
    ]
    edited = api.call("PATCH", "mutexes/m/slots/2", {"experiments": ["left", "right"]})
    assert [slot["experiments"] for slot in edited["slots"]] == [["left"], ["left", "right"]]
    assert api.definition("left").groups[0].slots == (1, 2)
    api.call("PATCH", "mutexes/m/slots/1", {"experiments": []})
    assert api.definition("left").groups[0].slots == (2,)
    assert api.call("PATCH", "mutexes/m/slots/3", {"experiments": []}, 404)["error"]

    held = {"key": "h", "holdoutPercentage": 5, "experiments": ["right"], "individualExclusion": ["ann"]}
    held = api.call("POST", "holdouts", held)
    assert (held["holdoutPercentage"], held["experiments"]) == (5, ["right"])
    assert (held["individualInclusion"], held["individualExclusion"]) == ([], ["ann"])
    assert [each["id"] for each in api.call("GET", "holdouts")["holdouts"]] == ["h"]
    assert [each["id"] for each in api.call("GET", "mutexes")["mutexes"]] == ["m"]
    edited = api.call("PATCH", "holdouts/h", {"experiments": [], "name": "Held out", "individualExclusion": ["bob"]})
    assert (edited["name"], edited["individualExclusion"]) == ("Held out", ["bob"])
    assert [each.group for each in api.definition("right").groups] == ["m"]


def test_a_deployment_comes_with_a_key_that_is_told_once(api: Api):
    assert "wants admin" in api.call("POST", "deployments", {"label": "web", "type": "client"}, 403)["error"]

    made = api.call("POST", "deployments", {"label": "web", "type": "client"}, key=api.admin)

    assert made["key"].startswith("client-")
    assert Keys(api.settings.data).find(made["key"]).deployment == "web"
    (listed,) = api.call("GET", "deployments")["deployments"]
    assert listed["key"] == made["key"][:15] + "…"
    api.call("POST", "flags", {"key": "served", "deployments": ["web"]})
    assert api.call("GET", "flags/served/deployments") == {"deployments": ["web"]}
    assert "the last deployment" in api.call("DELETE", "flags/served/deployments/web", code=409)["error"]
    assert api.call("PATCH", "deployments/web", {"label": "Browser"}, key=api.admin)["label"] == "Browser"


def test_every_edit_takes_a_reason_and_what_is_risky_a_yes(api: Api):
    deployment = {"label": "backend", "type": "server", "reason": "it opens"}
    api.call("POST", "deployments", deployment, key=api.admin)
    goals = [{"metric": "purchase"}]
    api.call("POST", "experiments", {"key": "risky", "deployments": ["backend"], "metrics": goals, "reason": "an idea"})
    api.call("POST", "experiments/risky/actions/start", {"reason": "let us see"})
    treatment = "experiments/risky/variants/treatment"

    refused = api.call("PATCH", treatment, {"rolloutWeight": 2}, 409)
    assert "exp-1 goes on with weights control 1, treatment 2 instead of" in refused["consequences"][0]
    assert refused["error"].endswith('to do it nevertheless, say "yes": true (?yes=true where there is no body)')
    edits: list[tuple[str, str, Any]] = [
        ("PATCH", treatment, {"rolloutWeight": 2, "yes": True, "reason": "more of it"}),
        ("POST", f"{treatment}/users", {"inclusions": ["ann", "bob", "eve"], "reason": "testers"}),
        ("DELETE", f"{treatment}/bulk-delete-users", {"users": ["eve"], "reason": "not Eve"}),
        ("DELETE", f"{treatment}/users/1?reason=not+Bob", None),
        ("DELETE", f"{treatment}/users?reason=nobody", None),
        ("POST", "experiments/risky/deployments", {"deployments": ["web"], "reason": "in browsers"}),
        ("DELETE", "experiments/risky/deployments/web?reason=only+there", None),
        ("POST", "flags/risky/actions/complete", {"reason": "enough"}),
        ("POST", "experiments/risky/variants", {"key": "third", "reason": "another idea"}),
        ("DELETE", "experiments/risky/variants/third?reason=a+bad+one", None),
    ]
    for edit in edits:
        api.call(*edit)
    said = [body["reason"] if body else path.partition("=")[2].replace("+", " ") for _, path, body in edits]
    told = [each["reason"] for each in api.call("GET", "flags/risky/versions")["versions"]]
    assert told == ["an idea", "let us see", *said]
    assert "reason" in api.call("DELETE", f"{treatment}/users?reason={'x' * 1_025}", code=400)["error"]


def test_every_version_of_everything_is_told_in_order(api: Api):
    first = api.call("GET", "versions?limit=1")
    rest = api.call("GET", f"versions?cursor={first['nextCursor']}")

    told = [(each["kind"], each["key"], each["version"]) for each in first["versions"] + rest["versions"]]
    assert told[:2] == [("metric", "purchase", 1), ("flag", "button", 1)]
    assert len(told) == len(read_catalog(api.settings).versions)
    assert api.call("GET", "versions?end=1")["versions"] == []


def test_f01_a_condition_that_cannot_be_evaluated_is_refused(api: Api):
    api.call("POST", "flags", {"key": "mail"})
    for op, value in (("regex match", "(?!a)"), ("version less", "10"), ("greater", "1,000")):
        segments = [{"name": "s", "conditions": [{"prop": "gp:mail", "op": op, "values": [value]}]}]
        told = api.call("PATCH", "flags/mail", {"targetSegments": segments}, 409)
        assert f"segments[0].conditions[0].values[0]: '{value}' is no " in told["error"]


def test_f11_a_property_with_a_dot_in_its_name_stays_one(api: Api):
    segment = {"name": "s", "conditions": [{"prop": "gp:address.city", "op": "is", "values": ["Wien"]}]}
    created = api.call("POST", "flags", {"key": "dotted", "bucketingKey": "gp:household.id"})
    assert (created["bucketingKey"], api.definition("dotted").unit) == (
        "gp:household.id",
        r"user_properties.household\.id",
    )

    edited = api.call("PATCH", "flags/dotted", {"targetSegments": [segment]})

    assert edited["targetSegments"][0]["conditions"][0]["prop"] == "gp:address.city"
    assert api.definition("dotted").segments[0].conditions[0].property == r"user_properties.address\.city"


def test_f02_a_number_keeps_its_digits_on_its_way_through(api: Api):
    number = 12345678901234567890123
    api.call("POST", "flags", {"key": "digits", "variants": [{"key": "on", "payload": {"id": number}}]})
    started = api.call("PATCH", "flags/digits", {"enabled": True})

    assert started["variants"][0]["payload"] == {"id": number}
    assert api.definition("digits").variants[0].payload == {"id": number}
    key = {"authorization": f"Bearer {Keys(api.settings.data).create('server', 'backend', 'backend')[1]}"}
    address = api.address.removesuffix("api/1/")
    told = httpx.post(f"{address}ofrep/v1/evaluate/flags/digits", json={"context": {"targetingKey": "u"}}, headers=key)
    fetched = httpx.post(f"{address}sdk/v2/vardata", json={"user_id": "u"}, headers=key)
    assert (told.json()["value"], fetched.json()["digits"]["payload"]) == ({"id": number}, {"id": number})


def test_f13_keys_with_capitals_are_answered_and_told_apart(api: Api):
    api.call("POST", "flags", {"key": "NewSearch", "variants": [{"key": "On", "payload": 1}]})
    api.call("PATCH", "flags/NewSearch", {"enabled": True})
    key = {"authorization": f"Bearer {Keys(api.settings.data).create('server', 'backend', 'backend')[1]}"}
    asked = f"{api.address.removesuffix('api/1/')}ofrep/v1/evaluate/flags/"
    context = {"context": {"targetingKey": "u"}}

    assert httpx.post(f"{asked}NewSearch", json=context, headers=key).json()["variant"] == "On"
    assert httpx.post(f"{asked}newsearch", json=context, headers=key).status_code == 404
    assert "differ by case alone" in api.call("POST", "flags", {"key": "newsearch"}, 409)["error"]
    assert "differ by case alone" in api.call("POST", "flags/NewSearch/variants", {"key": "on"}, 409)["error"]
