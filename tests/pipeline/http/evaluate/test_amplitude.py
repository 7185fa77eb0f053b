"""Amplitude's protocol, request by request: what its SDKs send, and what they are answered."""

import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from evaluation.catalog.configs import flag_configs
from evaluation.catalog.in_force import SETTLING
from evaluation.flags.engine import Flags
from pipeline.catalog.topic import read_catalog
from pipeline.kafka.reading import read_topic
from pipeline.settings import Settings
from schemas.topics import ASSIGNMENTS, EXPOSURES
from tests.live import wait_for
from tests.pipeline.http.catalog import BETA, STICKY, edit
from tests.pipeline.http.server import Server, serving
from tests.pipeline.http.topics import said_of

NO_TRACK = {"X-Amp-Exp-Track": "no-track"}


def wrapped(value: object) -> str:
    """As SDKs put JSON into a header: base64 of the URL's alphabet, without padding."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@pytest.fixture
def client(open_server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=open_server.address, timeout=30) as asking:
        yield asking


def variants(client: httpx.Client, user: dict[str, Any], **headers: str) -> dict[str, Any]:
    answer = client.post("/sdk/v2/vardata?v=0", json=user, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_user_in_a_body_and_in_a_header_gets_what_the_engine_says(client: httpx.Client, shop: Settings):
    engine = Flags(flag_configs(read_catalog(shop).newest))
    for number in range(20):
        user = {"user_id": f"user-{number}", "device_id": None, "country": "AT", "library": "x"}

        given = variants(client, user, **NO_TRACK)

        header = {"X-Amp-Exp-User": wrapped(user), **NO_TRACK}
        assert client.get("/sdk/v2/vardata?v=0&eval_mode=remote", headers=header).json() == given
        assert given.keys() == {"button", "sticky", "beta", "for-backend"}
        expected = engine.evaluate(user)
        for key, variant in given.items():
            assert variant["key"] == expected[key].key
            assert variant.get("value") == expected[key].value
            assert variant.get("payload") == expected[key].payload
        assert given["beta"]["metadata"]["default"] is True
        assert "value" not in given["beta"]
        assert given["button"]["metadata"]["experimentKey"] == "exp-1"
        assert given["button"]["metadata"]["flagVersion"] == 2


def test_a_member_of_a_cohort_and_the_flags_that_are_asked_for(client: httpx.Client):
    given = variants(client, {"user_id": "ann"}, **{"X-Amp-Exp-Flag-Keys": wrapped(["beta", "no-such-flag"])})

    assert {key: variant["key"] for key, variant in given.items()} == {"beta": "on"}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'{"user_id": 7.5}', "user_id is neither a text nor a whole number"),
        (b'{"user_id": 123456789012345678901234567890}', "write it in quotes"),
        (b"[]", "cannot be read"),
        (b'{"user_id": "\xff"}', "cannot be read"),
        (b'{"user_id": "u", "user_properties": ' + b'{"a":' * 5_000 + b"1" + b"}" * 5_001, "nested too deeply"),
    ],
)
def test_a_user_that_cannot_be_evaluated_is_refused_with_the_reason(client: httpx.Client, body: bytes, says: str):
    answer = client.post("/sdk/v2/vardata", content=body)

    assert answer.status_code == 400
    assert says in answer.json()["error"]


def test_f05_a_visitor_without_ids_is_answered_and_nothing_is_written(client: httpx.Client, shop: Settings):
    given = variants(client, {}, **{"X-Amp-Exp-Exposure-Track": "track"})

    assert {key: (each["key"], each["metadata"].get("reason")) for key, each in given.items()} == {
        "button": ("off", "no unit"),
        "sticky": ("off", "no unit"),
        "for-backend": ("off", "no unit"),
        "beta": ("off", None),
    }
    texts = {key: each["key"] for key, each in variants(client, {"user_id": "19"}).items()}
    assert {key: each["key"] for key, each in variants(client, {"user_id": 19}).items()} == texts
    variants(client, {"user_id": "the-next-one"})
    wait_for(lambda: said_of(shop, ASSIGNMENTS, "the-next-one"), what="assignments")
    told = [json.loads(record.value) for topic in (ASSIGNMENTS, EXPOSURES) for record in read_topic(shop, topic)]
    assert all(each.get("user_id") for each in told)
    assert "19" in {each["user_id"] for each in told}


def test_headers_that_are_no_base64_and_bodies_that_are_too_large_are_refused(client: httpx.Client):
    assert client.get("/sdk/v2/vardata", headers={"X-Amp-Exp-User": "%%%"}).status_code == 400
    flags = {"X-Amp-Exp-User": wrapped({"user_id": "u"}), "X-Amp-Exp-Flag-Keys": wrapped({"a": 1})}
    assert client.get("/sdk/v2/vardata", headers=flags).status_code == 400
    assert client.post("/sdk/v2/vardata", content=b" " * 70_000).status_code == 413


def test_the_plain_protocol_leaves_defaults_out(client: httpx.Client):
    by_query = client.get("/v1/vardata", params={"user_id": "ann", "flag_keys": "beta,button"}).json()
    context = json.dumps({"user_id": "ann", "country": "AT"})

    assert by_query["beta"] == {"key": "on", "expKey": "exp-1"}
    assert by_query["button"]["key"] in {"control", "treatment"}
    assert client.get("/v1/vardata", params={"context": context, "flag_key": "beta"}).json().keys() == {"beta"}
    assert client.post("/v1/vardata", json={"user_id": "bob", "flag_keys": ["beta"]}).json() == {}
    assert client.get("/v1/vardata", params={"context": "{"}).status_code == 400
    assert client.get("/v1/vardata").json() == {}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"flag_keys": 5}, "$.flag_keys"),
        ({"flag_keys": ["beta", 5]}, "$.flag_keys[1]"),
        ({"context": []}, "$.context"),
        ({"context": {"device_id": 5.5}}, "device_id"),
        ({"user_id": [5]}, "$.user_id"),
    ],
)
def test_a_body_of_the_plain_protocol_is_refused_by_the_field_that_is_wrong(
    client: httpx.Client, body: dict[str, Any], field: str
):
    answer = client.post("/v1/vardata", json={"user_id": "ann"} | body)

    assert answer.status_code == 400
    assert field in answer.json()["error"]


def test_a_deployment_is_served_its_flags_and_a_client_no_rules(client: httpx.Client):
    def told(name: str) -> dict[str, Any]:
        flags = client.get("/sdk/v2/flags?v=0", headers={"Authorization": f"Api-Key {name}"}).json()
        return {flag["key"]: flag for flag in flags}

    of_backend, of_web, of_all = told("backend"), told("web"), told("any")

    assert of_all == of_backend
    assert of_backend.keys() == {"slots", "button", "sticky", "beta", "for-backend"}
    assert of_backend["slots"]["metadata"]["deployed"] is False
    assert of_backend["for-backend"]["dependencies"] == ["slots"]
    assert not any("deployments" in flag["metadata"] for flag in of_backend.values())
    assert of_web.keys() == {"button", "sticky", "beta"}
    assert {flag["metadata"]["evaluationMode"] for flag in of_web.values()} == {"remote"}
    assert "testers" not in json.dumps(of_web)
    assert variants(client, {"user_id": "ann"}, Authorization="Api-Key web").keys() == of_web.keys()
    some = client.get("/v1/flags?flag_keys=for-backend").json()
    assert {flag["key"] for flag in some} == {"slots", "for-backend"}


def test_assignments_and_exposures_are_written_once_as_the_headers_ask(client: httpx.Client, shop: Settings):
    ann = {"user_id": "tracked", "country": "CH", "user_properties": {"secret": "x"}}
    given = variants(client, ann, **{"X-Amp-Exp-Exposure-Track": "track"})
    variants(client, ann, **{"X-Amp-Exp-Exposure-Track": "track"})
    for track in ("no-track", "read-only"):
        variants(client, {"user_id": track}, **{"X-Amp-Exp-Track": track})
    wait_for(lambda: len(said_of(shop, EXPOSURES, "tracked")) >= 3, what="three exposures")

    assert not said_of(shop, ASSIGNMENTS, "no-track")
    assert not said_of(shop, ASSIGNMENTS, "read-only")
    assigned = {each["flag_key"]: each for each in said_of(shop, ASSIGNMENTS, "tracked")}
    assert assigned.keys() == {"button", "sticky", "for-backend"}
    assert assigned["button"]["variant"] == given["button"]["key"]
    assert assigned["button"]["reason"] == "segment"
    exposures = said_of(shop, EXPOSURES, "tracked")
    assert len(exposures) == 3
    (exposure,) = (each for each in exposures if each["flag_key"] == "button")
    assert exposure["variant"] == given["button"]["key"]
    assert exposure["experiment_key"] == "exp-1"
    assert exposure["metadata"] == {"flagVersion": 2, "segmentName": "All Other Users"}
    assert exposure["country"] == "CH"  # the results are broken down by it, and by nothing else
    assert "user_properties" not in exposure
    assert abs(exposure["time"] - time.time() * 1_000) < 60_000


def test_an_exposure_is_not_written_before_the_version_that_it_names_is_in_force(client: httpx.Client, shop: Settings):
    edit(shop, replace(BETA, description="a version of this moment"))
    version = read_catalog(shop).newest.flags["beta"]
    headers = {"X-Amp-Exp-Exposure-Track": "track", "X-Amp-Exp-Flag-Keys": wrapped(["beta"])}
    wait_for(lambda: variants(client, {"user_id": "x"})["beta"]["metadata"]["flagVersion"] == version.version)

    users = [f"held-{number}" for number in range(5)]
    for user in users:
        variants(client, {"user_id": user, "cohort_ids": ["testers"]}, **headers)

    def written() -> list[Any]:
        return [record for record in read_topic(shop, EXPOSURES) if b'"held-' in record.value]

    wait_for(lambda: len(written()) >= len(users), what="exposures")
    assert sorted(json.loads(record.value)["user_id"] for record in written()) == users
    assert min(record.timestamp for record in written()) >= version.append_time + SETTLING
    assert all(len(said_of(shop, ASSIGNMENTS, user)) == 1 for user in users)


def test_a_unit_keeps_the_variant_of_a_sticky_flag_whatever_the_weights_become(client: httpx.Client, shop: Settings):
    users = [{"user_id": f"sticky-{number}"} for number in range(10)]
    before = [variants(client, user)["sticky"]["key"] for user in users]
    assert set(before) == {"control", "treatment"}

    heavier = tuple(replace(variant, weight=int(variant.key == "control")) for variant in STICKY.variants)
    edit(shop, replace(STICKY, variants=heavier))
    wait_for(lambda: variants(client, {"user_id": "x"})["sticky"]["metadata"]["flagVersion"] == 3)

    assert [variants(client, user)["sticky"]["key"] for user in users] == before
    with serving(shop) as another, httpx.Client(base_url=another.address, timeout=30) as asking:
        assert [variants(asking, user)["sticky"]["key"] for user in users] == before  # it has read the assignments
    new = [variants(client, {"user_id": f"new-{number}"})["sticky"]["key"] for number in range(10)]
    assert set(new) == {"control"}


def test_a_cohort_is_told_to_whoever_has_the_secret(client: httpx.Client):
    told = client.get("/sdk/v1/cohort/testers?maxCohortSize=100", auth=("api-key", "secret")).json()

    assert (told["cohortId"], told["groupType"], told["size"]) == ("testers", "User", 2)
    assert told["memberIds"] == ["ann", "tom"]
    since = f"maxCohortSize=100&lastModified={told['lastModified']}"
    assert client.get(f"/sdk/v1/cohort/testers?{since}").status_code == 204
    assert client.get("/sdk/v1/cohort/testers?maxCohortSize=1").status_code == 413
    assert client.get("/sdk/v1/cohort/nobody?maxCohortSize=1").status_code == 404


def test_the_stream_begins_with_every_flag_and_tells_every_change(client: httpx.Client, shop: Settings):
    with client.stream("GET", "/sdk/stream/v1/flags") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = (line for line in stream.iter_lines() if line.startswith("data: ["))
        flags = {flag["key"]: flag for flag in json.loads(next(lines).removeprefix("data: "))}
        version = flags["beta"]["metadata"]["flagVersion"]

        edit(shop, replace(BETA, description="another word"))
        flags = {flag["key"]: flag for flag in json.loads(next(lines).removeprefix("data: "))}

    assert flags["beta"]["metadata"]["flagVersion"] == version + 1


def test_browsers_may_ask_from_pages_of_this_machine_and_from_no_other(client: httpx.Client):
    here, there = {"Origin": "http://localhost:3000"}, {"Origin": "https://evil.example"}
    asked = client.options("/sdk/v2/vardata", headers=here | {"Access-Control-Request-Method": "GET"})

    assert asked.status_code == 204
    assert asked.headers["access-control-allow-origin"] == "http://localhost:3000"
    assert "x-amp-exp-user" in asked.headers["access-control-allow-headers"]
    assert "access-control-allow-origin" in client.get("/sdk/v2/flags", headers=here).headers
    assert client.get("/sdk/v2/flags", headers=there).status_code == 403
    assert client.get("/sdk/v2/flags", headers={"Host": "evil.example:8080"}).status_code == 403
