"""OFREP, request by request."""

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from evaluation.catalog.lifecycle import apply_definition, start
from pipeline.catalog.topic import CatalogWriter
from pipeline.http.evaluate.ofrep import FIELDS
from pipeline.settings import Settings
from schemas.catalog import Condition, Flag, Segment, Variant
from tests.pipeline.http.catalog import BETA, TESTERS, edit
from tests.pipeline.http.server import Server, serving

ONE = "/ofrep/v1/evaluate/flags/{}"
ALL = "/ofrep/v1/evaluate/flags"


@pytest.fixture
def client(open_server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=open_server.address, timeout=30) as asking:
        yield asking


def context(key: str = "ann", **others: object) -> dict[str, Any]:
    return {"context": {"targetingKey": key, **others}}


def words_of(told: httpx.Response) -> Iterator[dict[str, Any]]:
    """What a stream says; it fails when that is nothing but its sign of life."""
    for line in told.iter_lines():
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))
        assert line != ":", "the stream had nothing to say"


def test_one_flag_says_variant_value_reason_and_what_an_exposure_needs(client: httpx.Client):
    told = client.post(ONE.format("button"), json=context("ann")).json()

    assert told["key"] == "button"
    assert told["reason"] == "SPLIT"
    assert told["metadata"]["experimentKey"] == "exp-1"
    assert told["metadata"]["flagVersion"] == 2
    assert told["value"] == {"control": {}, "treatment": {"label": "Buy now"}}[told["variant"]]


def test_a_flag_that_is_only_on_or_off_is_true_or_false_and_others_are_their_variant(client: httpx.Client):
    assert client.post(ONE.format("beta"), json=context("ann")).json()["value"] is True
    assert client.post(ONE.format("beta"), json=context("bob")).json()["value"] is False
    sticky = client.post(ONE.format("sticky"), json=context("ann")).json()
    assert sticky["value"] == sticky["variant"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "PARSE_ERROR"),
        (b'{"context": []}', "PARSE_ERROR"),
        (b'{"context": {"targetingKey": ["ann"]}}', "INVALID_CONTEXT"),
        (b'{"context": {"targetingKey": "ann", "device_id": 1.5}}', "INVALID_CONTEXT"),
    ],
)
def test_contexts_that_cannot_be_evaluated_have_a_code(client: httpx.Client, body: bytes, code: str):
    for path in (ONE.format("button"), ALL):
        answer = client.post(path, content=body)
        assert answer.status_code == 400
        assert answer.json()["errorCode"] == code
    unknown = client.post(ONE.format("buton"), json=context())
    assert (unknown.status_code, unknown.json()["errorCode"]) == (404, "FLAG_NOT_FOUND")


@pytest.mark.parametrize("body", [{}, {"context": {}}, {"context": {"device_id": "phone"}}])
def test_f05_who_has_no_targeting_key_is_answered_wherever_nobody_is_split(client: httpx.Client, body: dict[str, Any]):
    known = client.post(ALL, json=context("bob"))
    everything = client.post(ALL, json=body, headers={"If-None-Match": known.headers["etag"]})
    told = {flag["key"]: flag for flag in everything.json()["flags"]}
    split, whole = (client.post(ONE.format(key), json=body) for key in ("button", "beta"))

    assert {key: flag.get("errorCode") for key, flag in told.items()} == {
        "button": "TARGETING_KEY_MISSING",
        "sticky": "TARGETING_KEY_MISSING",
        "for-backend": "TARGETING_KEY_MISSING",  # it depends on slots, which are split by user
        "beta": None,
    }
    assert (split.status_code, split.json()) == (400, told["button"])
    assert (whole.status_code, whole.json()) == (200, told["beta"])
    assert "split by user_id" in told["button"]["errorDetails"]
    assert told["beta"]["value"] is False


def test_f05_numbers_are_ids_like_any_other(client: httpx.Client):
    def told(said: dict[str, Any]) -> dict[str, Any]:
        return {flag["key"]: flag["variant"] for flag in client.post(ALL, json=said).json()["flags"]}

    texts = told(context("19"))
    assert told({"context": {"targetingKey": 19}}) == texts
    assert told(context("other", user_id=19)) == texts


@pytest.mark.parametrize("user_id", [None, ""])
def test_the_targeting_key_is_the_user_where_the_context_names_none(client: httpx.Client, user_id: str | None):
    told = client.post(ONE.format("beta"), json=context("ann", user_id=user_id))

    assert told.json().get("value") is True


def test_all_flags_come_again_only_when_an_answer_is_another(client: httpx.Client):
    first = client.post(ALL, json=context("bob"))
    assert {flag["key"] for flag in first.json()["flags"]} == {"button", "sticky", "beta", "for-backend"}
    known = {"If-None-Match": first.headers["etag"]}

    again = client.post(ALL, json=context("bob"), headers=known)
    of_another = client.post(ALL, json=context("ann"), headers=known)

    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert of_another.status_code == 200


def test_whoever_has_a_ticket_of_a_server_that_is_gone_gets_another(client: httpx.Client, shop: Settings):
    with serving(shop) as gone:
        before = httpx.post(gone.address + ALL, json=context("bob"))

    again = client.post(ALL, json=context("bob"), headers={"If-None-Match": before.headers["etag"]})

    assert again.json()["flags"] == before.json()["flags"]
    with client.stream("GET", again.json()["eventStreams"][0]["endpoint"]["requestUri"]) as told:
        assert next(words_of(told))["type"] == "refetchEvaluation"


def test_whoever_fetched_all_flags_hears_of_a_change(client: httpx.Client, shop: Settings):
    first = client.post(ALL, json=context("bob"))
    (stream,) = first.json()["eventStreams"]
    assert client.get("/ofrep/v1/stream?ticket=none").status_code == 401

    with client.stream("GET", stream["endpoint"]["requestUri"]) as told:
        words = words_of(told)
        at_once = next(words)
        edit(shop, replace(BETA, description="one more word"))
        afterwards = next(words)

    assert at_once["type"] == afterwards["type"] == "refetchEvaluation"
    assert at_once["etag"] != afterwards["etag"]
    again = client.post(ALL, json=context("bob"), headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 200


def test_whoever_joins_a_cohort_hears_that_answers_are_others(client: httpx.Client, shop: Settings):
    first = client.post(ALL, json=context("eve")).json()
    (stream,) = first["eventStreams"]

    with client.stream("GET", stream["endpoint"]["requestUri"]) as told:
        words = words_of(told)
        next(words)
        edit(shop, replace(TESTERS, ids=(*TESTERS.ids, "eve")))
        assert next(words)["type"] == "refetchEvaluation"

    def value(answer: dict[str, Any]) -> Any:
        return {flag["key"]: flag["value"] for flag in answer["flags"] if "value" in flag}["beta"]

    assert (value(first), value(client.post(ALL, json=context("eve")).json())) == (False, True)


def test_f01_a_running_flag_that_cannot_be_evaluated_is_off_and_says_why(deployment: Settings):
    flag = Flag(
        key="mail",
        owner="shop",
        variants=(Variant(key="on", users=("ann",)),),
        segments=(
            Segment(name="s", conditions=(Condition(property="country", op="regex match", values=("(?!AT)",)),)),
        ),
    )

    async def write() -> None:
        draft = apply_definition(None, flag, 1)
        async with CatalogWriter(deployment) as writer:
            for state in (draft, start(draft, 2, "salt0001")):
                await writer.publish(writer.next_version(state, "ann", "before there was this rule"))

    asyncio.run(write())
    with serving(deployment) as server:
        told = httpx.post(server.address + ONE.format("mail"), json=context("ann"))
        shown = httpx.get(server.address + "/sdk/v2/flags", headers={"authorization": "Api-Key x"}).json()
        overview = httpx.get(server.address + "/api/1/overview/mail").json()

    assert (told.status_code, told.json()["variant"], told.json()["reason"]) == (200, "off", "DISABLED")
    assert "'(?!AT)' is no regular expression of RE2" in told.json()["metadata"]["problem"]
    assert shown[0]["segments"][0]["variant"] == "off"
    assert "'(?!AT)' is no regular expression of RE2" in overview["problem"]


def test_f11_it_is_written_where_each_attribute_of_a_context_lands():
    page = (Path(__file__).parents[4] / "docs/evaluate.md").read_text().replace("\n", " ")
    _, _, written = page.partition("Of its context")

    assert set(re.findall(r"`(\w+)`", written.partition("are what they")[0].partition("and any other")[0])) == FIELDS
