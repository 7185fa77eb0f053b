"""Documents over HTTP: read, checked and published by the functions behind `peekproof apply`."""

import asyncio
import time
from typing import Any

import httpx

from pipeline.catalog.topic import read_catalog
from tests.pipeline.http.management.api import Api

REVENUE = {
    "key": "revenue",
    "owner": "shop",
    "type": "sum",
    "event": "purchase",
    "property": "price",
    "window": "7d",
}

TEXT = """\
key: signup
owner: shop
hypothesis: { problem: p, solution: s, prediction: p }
variants: [{ key: control }, { key: treatment, payload: { id: 12345678901234567890123 } }]
metrics: [{ metric: signups, role: primary }]
segments: [{ name: Friends, conditions: [{ property: cohort, op: set contains any, values: [pals] }] }]
---
# yaml-language-server: $schema=../schemas/cohort.json
key: pals
owner: shop
---
key: signups
owner: shop
type: conversion
event: signup
window: 1d
---
"""


def put(
    api: Api, kind: str, definition: dict[str, Any], *, base: int = 0, code: int = 200, who: str | None = None
) -> Any:
    body = {"definition": definition, "base": base, "reason": "a test"}
    return api.call("PUT", f"documents/{kind}/{definition['key']}", body, code, who)


def test_a_document_is_checked_published_read_in_any_version_and_edited_by_its_yaml(api: Api):
    checked = api.call("POST", "documents/metric/check", {"definition": REVENUE, "base": 0})
    assert (checked["faults"], checked["version"], checked["definition"]["scale"]) == ([], 0, 6)
    assert {"path": "window", "before": None, "after": "7d"} in checked["differences"]
    assert "revenue" not in read_catalog(api.settings).newest.metrics

    assert put(api, "metric", REVENUE) == {"kind": "metric", "key": "revenue", "version": 1, "consequences": []}
    shown = api.call("GET", "documents/metric/revenue")
    assert (shown["definition"], shown["author"], shown["reason"]) == (checked["definition"], "ann", "a test")

    other = shown["yaml"].replace("window: 7d", "window: 14d")
    said = {"yaml": other, "base": 1, "reason": "longer"}
    assert api.call("POST", "documents/metric/check", {"yaml": other})["differences"] == [
        {"path": "window", "before": "7d", "after": "14d"}
    ]
    assert api.call("PUT", "documents/metric/revenue", said)["version"] == 2
    assert (
        "version 2 of metric 'revenue' stands, and not version 1"
        in api.call("PUT", "documents/metric/revenue", said, 409)["error"]
    )
    assert api.call("GET", "documents/metric/revenue?version=1")["definition"]["window"] == "7d"
    assert "exists already (version 2)" in put(api, "metric", REVENUE, code=409)["error"]
    assert put(api, "metric", checked["definition"] | {"window": "14d"}, base=2)["version"] == 2, "as it is"
    again = api.call("POST", "documents/metric/check", {"definition": REVENUE | {"window": "14d"}})
    assert (again["differences"], again["definition"]["scale"]) == ([], 6), "what says no scale keeps that which stands"


def test_a_cohort_of_100000_ids_is_edited_while_others_are_answered_at_once(api: Api):
    ids = [f"user-{number}@shop.example" for number in range(100_000)]
    cohort = {"key": "many", "owner": "shop", "ids": ids}
    calls: list[tuple[str, str, Any]] = [
        ("PUT", "documents/cohort/many", {"definition": cohort, "base": 0, "reason": "many"}),
        ("GET", "documents/cohort/many", None),
        ("POST", "documents/cohort/check", {"definition": cohort | {"ids": ["new", *ids[1:]]}}),
    ]

    async def call_and_ask_meanwhile() -> tuple[list[Any], float]:
        answers, waited = [], 0.0
        async with httpx.AsyncClient(timeout=60, headers={"authorization": f"Bearer {api.experimenter}"}) as client:
            for method, path, body in calls:
                work = asyncio.create_task(client.request(method, api.address + path, json=body))
                while not work.done():
                    begin = time.monotonic()
                    await client.get(f"{api.address}me")
                    waited = max(waited, time.monotonic() - begin)
                    await asyncio.sleep(0.01)
                answers.append((await work).json())
        return answers, waited

    (published, shown, checked), waited = asyncio.run(call_and_ask_meanwhile())

    assert (published["version"], shown["definition"]["ids"]) == (1, ids)
    assert checked["differences"] == [
        {
            "path": "ids",
            "before": "100,000 entries, of which 1 go: user-0@shop.example",
            "after": "100,000 entries, of which 1 come: new",
        }
    ]
    assert waited < 3.0, "a tenth of a second where nothing else is at work; by turns it would be all the time"
    (item,) = api.call("GET", "cohorts")["cohorts"]
    assert (item["key"], item["ids"]) == ("many", 100_000)


def test_every_kind_is_edited_by_who_may_and_tells_who_names_it(api: Api):
    who = {"owner": "shop"}
    put(api, "cohort", who | {"key": "friends", "ids": ["ann", "tom"]})
    put(api, "group", who | {"key": "held", "type": "holdout", "slots": [{"percentage": 5, "cohorts": ["friends"]}]})
    deployment = who | {"key": "shop-web", "type": "client"}
    rule = who | {"key": "told", "when": [{"event": "run final"}], "about": {"keys": ["tried"]}}
    for kind, definition in (("deployment", deployment), ("notification", rule)):
        assert "wants admin" in put(api, kind, definition, code=403)["error"]
        assert put(api, kind, definition, who=api.admin)["version"] == 1
    values = {"metrics": [{"role": "primary", "metric": "purchase"}], "hypothesis": {"problem": "…"}}
    put(api, "template", who | {"key": "begin", "of": "experiment", "values": values})
    huge = 12345678901234567890123
    tried = who | {
        "key": "tried",
        "variants": [{"key": "on", "payload": {"id": huge}, "cohorts": ["friends"]}, {"key": "other"}],
        "metrics": [{"metric": "purchase"}],
        "groups": [{"group": "held"}],
        "deployments": ["shop-web"],
    }
    put(api, "flag", tried)
    put(api, "brief", who | {"key": "tried", "learning": "Nothing yet."})

    def names(kind: str, key: str) -> list[tuple[str, str]]:
        return [(each["kind"], each["key"]) for each in api.call("GET", f"documents/{kind}/{key}")["used_by"]]

    assert names("metric", "purchase") == [("flag", "button"), ("flag", "tried"), ("template", "begin")]
    assert names("cohort", "friends") == [("flag", "tried"), ("group", "held")]
    assert names("group", "held") == names("deployment", "shop-web") == [("flag", "tried")]
    assert names("flag", "tried") == [("brief", "tried"), ("notification", "told")]
    shown = api.call("GET", "documents/flag/tried")
    assert (shown["definition"]["variants"][0]["payload"], f"id: {huge}" in shown["yaml"]) == ({"id": huge}, True)
    found = (
        api.call("GET", "documents?text=nothing+yet")["documents"]
        + api.call("GET", "documents?owner=nobody")["documents"]
    )
    assert [(each["kind"], each["key"]) for each in found] == [("brief", "tried")]
    begin = values | {"metrics": [{"metrc": "purchase"}], "key": "x"}
    said = {"definition": who | {"key": "begin", "of": "flag", "values": begin}}
    fault = "is no field of this document; did you mean 'metric'?"
    assert api.call("POST", "documents/template/check", said)["faults"] == [
        {"path": "values.metrics[0].metrc", "error": fault}
    ]
    said["definition"]["values"]["metrics"] = [{}]
    faults = api.call("POST", "documents/template/check", said)["faults"]
    assert [each["path"] for each in faults] == ["values.key", "values.metrics"]


def test_typed_routes_of_metrics_and_cohorts_do_the_same(api: Api):
    metric = {"key": "visits", "owner": "shop", "type": "count", "event": "visit", "window": "1d"}
    said = {"definition": metric, "base": 0, "reason": "typed"}
    assert "is not 'other'" in api.call("PUT", "metrics/other", said, 400)["faults"][0]["error"]
    assert api.call("PUT", "metrics/visits", said)["version"] == 1
    shown = api.call("GET", "metrics/visits")
    assert shown == {"key": "visits", "version": 1, "definition": metric, "used_by": []}
    assert "visits" in [each["key"] for each in api.call("GET", "metrics")["metrics"]]
    cohort: dict[str, Any] = {"key": "few", "owner": "shop", "file": "few.txt"}
    assert api.call("PUT", "cohorts/few", said | {"definition": cohort}, 400)["faults"][0]["path"] == "file"
    assert (
        api.call("PUT", "cohorts/few", said | {"definition": cohort | {"file": None, "ids": ["ann"]}})["version"] == 1
    )
    assert api.call("GET", "cohorts/few")["definition"]["ids"] == ["ann"]
    assert "did you mean 'few'?" in api.call("GET", "cohorts/fewe", code=404)["error"]


def test_an_experiment_comes_with_its_new_metric_and_cohort_in_one_go(api: Api):
    found = api.call("POST", "documents/import", {"yaml": TEXT})["documents"]
    assert [(each["line"], each["kind"], each["key"], each["faults"]) for each in found] == [
        (1, "flag", "signup", []),
        (9, "cohort", "pals", []),
        (12, "metric", "signups", []),
    ]
    assert "it is a draft" in found[0]["consequences"][0]

    broken = TEXT.replace("window: 1d", "window: 1 d")
    flag, _, metric = api.call("POST", "documents/import", {"yaml": broken})["documents"]
    assert [(each["path"], each["line"]) for each in metric["faults"]] == [("window", 16)]
    assert flag["faults"][0]["error"].startswith("names metric 'signups', which cannot be published as it comes")
    bases = [{"kind": each["kind"], "key": each["key"], "base": 0} for each in found]
    said = {"reason": "begin", "bases": bases}
    assert api.call("PUT", "documents", {"yaml": broken} | said, 400)["faults"][0]["path"] == "window"
    assert "signup" not in read_catalog(api.settings).newest.flags

    published = api.call("PUT", "documents", {"yaml": TEXT} | said)["documents"]
    assert [each["key"] for each in published] == ["pals", "signups", "signup"]
    payload = read_catalog(api.settings).newest.flags["signup"].definition.variants[1].payload
    assert payload == {"id": 12345678901234567890123}
    assert "exists already" in api.call("PUT", "documents", {"yaml": TEXT} | said, 409)["error"]
    refused = api.call("PUT", "documents", {"yaml": TEXT, "reason": "again", "bases": bases[1:]}, 400)["error"]
    assert refused.startswith("bases: say the version that flag 'signup' rests on, 0 where it is new")
    standing = [each | {"base": 1} for each in bases]
    again = api.call("PUT", "documents", {"yaml": TEXT, "reason": "again", "bases": standing})["documents"]
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
    assert "wants admin" in api.call("PUT", "documents", {"yaml": web_alone, "reason": "-", "bases": []}, 403)["error"]
    assert "is empty" in api.call("POST", "documents/import", {"yaml": "# nothing\n"}, 400)["error"]


def test_a_key_may_be_called_as_a_route_is(api: Api):
    for key in ("check", "yaml", "import"):
        metric = REVENUE | {"key": key}
        assert put(api, "metric", metric)["version"] == 1
        assert api.call("GET", f"documents/metric/{key}")["key"] == key


def test_what_is_added_to_a_run_counts_from_its_start_where_that_is_asked(api: Api):
    def recount(method: str, code: int = 200, **said: Any) -> Any:
        query = "?reason=enough" if method == "DELETE" else ""
        return api.call(method, f"experiments/hint/recount{query}", said or None, code)

    views = REVENUE | {"key": "views", "type": "count", "event": "view"}
    views.pop("property")
    put(api, "metric", views)
    put(api, "metric", views | {"key": "late", "event": "read"})
    flag = {"key": "hint", "owner": "shop", "variants": [{"key": "control"}, {"key": "treatment"}]}
    put(api, "flag", flag | {"metrics": [{"metric": "views"}]})
    api.call("POST", "experiments/hint/actions/start", {"reason": "let us see"})
    assert recount("GET") == {"short_of": [], "recount": None}

    with_late = flag | {"metrics": [{"metric": "views"}, {"metric": "late"}]}
    said = {"definition": with_late, "base": 2, "reason": "late", "from_start": True}
    told = api.call("PUT", "documents/flag/hint", said)
    assert any("is counted again from its start, by" in each for each in told["consequences"])
    shown = recount("GET")
    assert (shown["short_of"], shown["recount"]["state"]) == (["late"], "begun")
    assert shown["recount"]["waiting"] == "for a worker of the archive: none speaks of it"
    assert recount("DELETE")["recount"]["state"] == "stopped"
    recount("DELETE", 404)

    api.call("POST", "experiments/hint/actions/complete", {"reason": "it is over"})
    assert recount("POST", reason="all of it")["recount"]["state"] == "begun", "a complete run, too"
    (run,) = read_catalog(api.settings).newest.flags["hint"].runs
    assert run.coming is not None
    assert (run.coming.completed, list(run.coming.since.values())) == (run.completed, [run.started] * 2)
    put(api, "flag", flag | {"metrics": [{"metric": "late"}]}, base=4)
    assert "keeps what it had, but the document no longer lists 'views'" in recount("POST", 409, reason="x")["error"]
