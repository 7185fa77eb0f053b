"""Documents over HTTP: read, checked and published by the functions behind `peekproof apply`."""

from typing import Any

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


def put(api: Api, kind: str, definition: dict[str, Any], base: int = 0, code: int = 200, **more: Any) -> Any:
    body = {"definition": definition, "base": base, "reason": "a test"} | more
    return api.call("PUT", f"documents/{kind}/{definition['key']}", body, code)


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
