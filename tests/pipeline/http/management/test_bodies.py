"""What requests say is read as documents are."""

import httpx
import pytest

from pipeline.http.callers.keys import Keys
from tests.pipeline.http.management.api import Api


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
