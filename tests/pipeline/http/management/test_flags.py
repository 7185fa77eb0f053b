"""Flags and experiments over HTTP: the documents that the command line makes, told as Amplitude tells them."""

import httpx
import msgspec

from pipeline.http.callers.keys import Keys
from tests.pipeline.http.management.api import Api

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


PLAN = {"steps": [{"rollout": 1, "for": "1h"}, {"rollout": 10, "segments": {"Pros": 60}}], "end": "2090-01-01"}


def test_a_flag_with_a_plan_is_told_as_it_is_in_force_and_sent_back_as_it_was_told(api: Api):
    created = api.call(
        "POST", "flags", {"key": "ramp", "targetSegments": [SEGMENT | {"rolloutWeights": {}}], "plan": PLAN}
    )
    assert (created["rolloutPercentage"], created["targetSegments"][0]["percentage"]) == (1, 1)
    assert (created["startDate"], created["endDate"], created["plan"]) == (None, "2090-01-01", PLAN)
    started = api.call("PATCH", "flags/ramp", {"enabled": True})
    same = {
        name: started[name] for name in ("rolloutPercentage", "targetSegments", "startDate", "endDate", "plan", "key")
    }
    del same["key"]

    assert api.call("PATCH", "flags/ramp", same)["version"] == 2
    assert api.definition("ramp").segments[0].rollout == 25
    for field, value in (("rolloutPercentage", 100), ("startDate", "2080-01-01"), ("endDate", None)):
        refused = api.call("PATCH", "flags/ramp", {field: value}, 400)["error"]
        assert f"{field}: {value} is said, and the plan of 'ramp' says " in refused
    paused = api.call("POST", "flags/ramp/actions/pause", {"reason": "a holiday"})
    assert paused["steps"] == ["the plan is paused (asked)"]
    assert api.call("POST", "flags/ramp/actions/resume", {"reason": "back"})["steps"] == ["the plan goes on"]
    assert "not paused" in api.call("POST", "flags/ramp/actions/resume", {"reason": "back"}, 409)["error"]
    alone = {"plan": None, "rolloutPercentage": 5, "endDate": None}
    assert api.call("PATCH", "flags/ramp", alone, 409)["consequences"]
    by_hand = api.call("PATCH", "flags/ramp", alone | {"yes": True})
    assert (by_hand["rolloutPercentage"], by_hand["targetSegments"][0]["percentage"], by_hand["plan"]) == (5, 25, None)


def test_a_draft_that_its_plan_starts_at_once_wants_a_yes(api: Api):
    late = {"key": "late", "plan": PLAN | {"steps": [{"rollout": 1}], "start": "2020-01-01"}}

    (consequence,) = api.call("POST", "flags", late, 409)["consequences"]

    assert consequence == "late: its plan starts it at once, for its start, 2020-01-01, has passed"
    assert api.call("POST", "flags", late | {"yes": True})["state"] == "planning"


def test_a_key_that_is_called_as_plans_sign_edits_nothing(api: Api):
    keys = Keys(api.settings.data)
    key, text = keys.create("experimenter", "somebody")
    file = api.settings.data / "keys.json"
    file.write_text(file.read_text().replace('"somebody"', '"plan"'))

    assert "sign by another name" in api.call("PATCH", "flags/button", {"name": "x"}, 409, text)["error"]
    keys.revoke(key.id)
