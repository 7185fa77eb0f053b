"""Several documents in one text."""

from pipeline.catalog.topic import read_catalog
from tests.pipeline.http.management.api import Api

TEXT = """\
key: signup
owner: shop
hypothesis: { problem: p, solution: s, prediction: p }
variants: [{ key: control }, { key: treatment, payload: { id: 12345678901234567890123 } }]
metrics: [{ metric: signups, role: primary }]
segments: [{ name: Friends, conditions: [{ property: cohort, op: set contains any, values: [friends] }] }]
---
# yaml-language-server: $schema=../schemas/cohort.json
key: friends
owner: shop
---
key: signups
owner: shop
type: conversion
event: signup
window: 1d
---
"""


def test_an_experiment_comes_with_its_new_metric_and_cohort_in_one_go(api: Api):
    found = api.call("POST", "documents/import", {"yaml": TEXT})["documents"]
    assert [(each["line"], each["kind"], each["key"], each["faults"]) for each in found] == [
        (1, "flag", "signup", []),
        (9, "cohort", "friends", []),
        (12, "metric", "signups", []),
    ]
    assert "it is a draft" in found[0]["consequences"][0]

    broken = TEXT.replace("window: 1d", "window: 1 d")
    flag, _, metric = api.call("POST", "documents/import", {"yaml": broken})["documents"]
    assert [(each["path"], each["line"]) for each in metric["faults"]] == [("window", 16)]
    assert flag["faults"][0]["error"].startswith("names metric 'signups', which cannot be published as it comes")
    said = {"reason": "begin", "bases": [{"kind": "flag", "key": "signup", "base": 0}]}
    assert api.call("PUT", "documents", {"yaml": broken} | said, 400)["faults"][0]["path"] == "window"
    assert "signup" not in read_catalog(api.settings).newest.flags

    published = api.call("PUT", "documents", {"yaml": TEXT} | said)["documents"]
    assert [each["key"] for each in published] == ["friends", "signups", "signup"]
    payload = read_catalog(api.settings).newest.flags["signup"].definition.variants[1].payload
    assert payload == {"id": 12345678901234567890123}
    assert "exists already" in api.call("PUT", "documents", {"yaml": TEXT} | said, 409)["error"]
    again = api.call("PUT", "documents", {"yaml": TEXT, "reason": "again"})["documents"]
    assert [each["version"] for each in again] == [1, 1, 1]
    assert len(read_catalog(api.settings).versions_of("flag", "signup")) == 1


def test_what_a_text_may_hold_is_said(api: Api):
    web_alone = "key: web\nowner: shop\ntype: client\n"
    both = f"key: a\nowner: b\n---\nkey: purchase\nowner: c\nkey: a\n---\n{web_alone}"
    cohort_or_brief, twice, web = api.call("POST", "documents/import", {"yaml": both})["documents"]
    assert (cohort_or_brief["kind"], cohort_or_brief["faults"][0]["line"]) == (None, 1)
    assert cohort_or_brief["faults"][0]["error"].startswith("it may be cohort or brief; say of what kind it is")
    assert "stands in line" in str(twice["faults"]) or twice["kind"] is None
    assert (web["kind"], web["faults"]) == ("deployment", [])
    assert "wants admin" in api.call("PUT", "documents", {"yaml": web_alone, "reason": "-"}, 403)["error"]
    assert "is empty" in api.call("POST", "documents/import", {"yaml": "# nothing\n"}, 400)["error"]
