"""What every edit has in common, whatever it edits."""

from typing import Any

from pipeline.catalog.topic import read_catalog
from pipeline.http.callers.keys import Keys
from tests.pipeline.http.management.api import Api


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
