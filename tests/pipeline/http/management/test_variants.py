"""Variants over HTTP, and those who always get them."""

from tests.pipeline.http.management.api import Api


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
