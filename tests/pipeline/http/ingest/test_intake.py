"""Intake, with a server that wants keys: what SDKs send is on the topics when they hear so, or not at all."""

import gzip
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from amplitude import Amplitude, BaseEvent, EventOptions, Identify
from amplitude import Config as AmplitudeConfig

from pipeline.http.callers.keys import Keys
from pipeline.http.ingest.intake import LARGEST_BATCH, LARGEST_UPLOAD
from pipeline.kafka.reading import headers_of, read_topic
from pipeline.settings import Settings
from schemas.topics import EVENTS, EXPOSURES
from tests.conftest import deployed
from tests.pipeline.http.server import serving

EVENT = {"event_type": "purchase", "user_id": "user-1", "time": 1_700_000_000_000, "insert_id": "i"}


class Shop:
    """A server that wants keys, its keys, and what its deployment's topics hold."""

    def __init__(self, settings: Settings, address: str) -> None:
        self.settings, self.address = settings, address
        keys = Keys(settings.data)
        self.client, self.server = keys.create("client", "web", "web")[1], keys.create("server", "shop", "shop")[1]
        self.admin = keys.create("admin", "ann")[1]
        self._seen = {EVENTS: 0, EXPOSURES: 0}

    def post(self, path: str = "/2/httpapi", **arguments: Any) -> httpx.Response:
        return httpx.post(self.address + path, timeout=20, **arguments)

    def send(self, *events: Any, key: str | None = None, path: str = "/2/httpapi") -> httpx.Response:
        return self.post(path, json={"api_key": key or self.server, "events": events})

    def news(self, topic: str = EVENTS) -> list[dict[str, Any]]:
        """The messages of a topic that came since the last question."""
        records = sorted(read_topic(self.settings, topic), key=lambda record: record.timestamp)
        lines = [line for record in records for line in record.value.split(b"\n")]
        seen, self._seen[topic] = self._seen[topic], len(lines)
        return [json.loads(line) for line in lines[seen:]]


@pytest.fixture(scope="module")
def shop(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with (
        deployed(broker, tmp_path_factory.mktemp("data")) as settings,
        serving(settings, is_open=False) as server,
    ):
        yield Shop(settings, server.address)


def test_an_unmodified_sdk_sends_events_and_hears_that_they_are_there(shop: Shop):
    heard: list[tuple[str, int, str]] = []
    client = Amplitude(
        shop.server,
        AmplitudeConfig(
            server_url=f"{shop.address}/2/httpapi",
            flush_queue_size=20,
            callback=lambda event, code, message: heard.append((event.event_type, code, message)),
        ),
    )
    for i in range(30):
        client.track(BaseEvent("purchase", user_id=f"user-{i}", event_properties={"revenue": i}))
    client.identify(Identify().set("plan", "pro"), EventOptions(user_id="user-1"))
    client.shutdown()

    found = shop.news()

    assert sorted(each["event_properties"]["revenue"] for each in found if each["event_type"] == "purchase") == [
        *range(30)
    ]
    (identified,) = [each for each in found if each["event_type"] == "$identify"]
    assert identified["user_properties"] == {"$set": {"plan": "pro"}}
    assert sorted(set(heard)) == [
        ("$identify", 200, "Event sent successfully."),
        ("purchase", 200, "Event sent successfully."),
    ]


def test_an_unmodified_sdk_with_a_wrong_key_gives_up(shop: Shop):
    client = Amplitude("server-unknown", AmplitudeConfig(server_url=f"{shop.address}/batch", flush_max_retries=1))
    client.track(BaseEvent("purchase", user_id="user-1"))
    client.shutdown()

    assert shop.news() == []


def test_exposures_and_events_of_one_request_go_to_their_topics(shop: Shop):
    said = {"flag_key": "button", "variant": "treatment"}

    answer = shop.send(EVENT, EVENT | {"event_type": "$exposure", "event_properties": said}, path="/batch")

    assert answer.status_code == 200
    assert answer.json() == {
        "code": 200,
        "events_ingested": 2,
        "payload_size_bytes": len(answer.request.content),
        "server_upload_time": answer.json()["server_upload_time"],
    }
    assert shop.news() == [EVENT]
    (exposure,) = shop.news(EXPOSURES)
    assert (exposure["flag_key"], exposure["variant"], exposure["user_id"]) == ("button", "treatment", "user-1")


def test_many_events_are_one_record(shop: Shop):
    shop.send(*[EVENT | {"insert_id": str(i)} for i in range(500)], path="/batch")

    record = max(read_topic(shop.settings, EVENTS), key=lambda record: record.timestamp)
    assert headers_of(record) == [("content-type", b"application/x-ndjson")]
    assert len(shop.news()) == 500


def test_a_refused_request_names_fields_and_events_and_nothing_of_it_is_written(shop: Shop):
    answer = shop.send(EVENT, EVENT | {"user_id": 7}, EVENT, EVENT | {"time": -1})

    assert answer.status_code == 400
    assert answer.json()["code"] == 400
    assert answer.json()["events_with_invalid_fields"] == {"user_id": [1], "time": [3]}
    assert shop.news() == []


def test_gzip_is_unpacked_within_bounds(shop: Shop):
    def send(content: bytes, encoding: str = "gzip") -> int:
        return shop.post(content=content, headers={"content-encoding": encoding}).status_code

    body = json.dumps({"api_key": shop.client, "events": [EVENT]}).encode()

    assert send(gzip.compress(body)) == 200
    assert send(gzip.compress(body)[:-4]) == send(gzip.compress(body) + b"x") == send(body) == 400
    assert send(body, "br") == 415
    assert shop.news() == [EVENT]


@pytest.mark.parametrize(("path", "most"), [("/2/httpapi", LARGEST_UPLOAD), ("/batch", LARGEST_BATCH)])
def test_a_request_is_bounded_to_the_byte_as_it_comes_and_unpacked(shop: Shop, path: str, most: int):
    def send(size: int, encoding: str) -> int:
        text = json.dumps({"api_key": shop.client, "events": [EVENT]}).encode()
        text += b" " * (size - len(text))
        content = gzip.compress(text) if encoding == "gzip" else text
        return shop.post(path, content=content, headers={"content-encoding": encoding}).status_code

    assert [send(most, encoding) for encoding in ("identity", "gzip")] == [200, 200]
    assert [send(most + 1, encoding) for encoding in ("identity", "gzip")] == [413, 413]
    assert shop.news() == [EVENT] * 2


@pytest.mark.parametrize("key", ["", "server-1234567890", "admin"])
def test_nothing_is_written_without_a_key_of_a_deployment(shop: Shop, key: str):
    answer = shop.send(EVENT, key=shop.admin if key == "admin" else key or "nobody")

    assert answer.status_code == answer.json()["code"] == (403 if key == "admin" else 401)
    assert shop.news() == []


def test_pages_of_any_origin_send_with_a_client_key(shop: Shop):
    page = {"origin": "https://shop.example"}
    asked = httpx.options(f"{shop.address}/2/httpapi", headers=page)
    assert asked.status_code == 204
    assert asked.headers["access-control-allow-origin"] == "*"
    assert "content-encoding" in asked.headers["access-control-allow-headers"]

    sent = shop.post(json={"api_key": shop.client, "events": [EVENT]}, headers=page)
    assert (sent.status_code, sent.headers["access-control-allow-origin"]) == (200, "*")
    assert len(shop.news()) == 1


def test_forms_identify_users_and_groups(shop: Shop):
    user = {"user_id": "user-1", "user_properties": {"plan": "pro"}}
    group = {"group_type": "org", "group_value": "acme", "group_properties": {"size": 3}}

    for path, said in (("/identify", [user]), ("/groupidentify", group)):
        form = {"api_key": shop.server, "identification": json.dumps(said)}
        assert shop.post(path, data=form).json()["events_ingested"] == 1

    found = sorted(shop.news(), key=lambda each: each["event_type"])
    assert [each["event_type"] for each in found] == ["$groupidentify", "$identify"]
    assert found[0]["group_properties"] == {"org": {"acme": {"size": 3}}}
