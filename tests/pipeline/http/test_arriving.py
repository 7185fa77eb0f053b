"""What arrives over HTTP, from a real stage that counts it: within seconds, under load, and once."""

import json
import os
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest
from kafka import KafkaProducer

from evaluation.catalog.in_force import SETTLING
from pipeline.http.arriving.heard import APART_SECONDS, IDLE_SECONDS
from pipeline.kafka.clients import kafka_python_arguments
from pipeline.kafka.reading import read_topic
from pipeline.processes.template import ForkedProcess
from pipeline.settings import Settings
from schemas.topics import DEAD_LETTERS
from tests.end_to_end.test_sources import topics
from tests.live import wait_for
from tests.pipeline.http.server import Server


class Watcher:
    """A console that follows a stream: what it was told, and when."""

    def __init__(self, address: str, path: str) -> None:
        self.told: list[tuple[float, Any]] = []
        self._ends = False
        self.begun = threading.Event()
        self._thread = threading.Thread(target=self._follow, args=(f"{address}{path}",), daemon=True)
        self._thread.start()
        assert self.begun.wait(30)

    def close(self) -> None:
        self._ends = True
        self._thread.join(30)

    def until(self, holds: Any, seconds: float = 20) -> float:
        """When it was told that it holds."""
        wait_for(lambda: any(holds(told) for _, told in [*self.told]), seconds, "what is awaited", often=0.02)
        return next(at for at, told in self.told if holds(told))

    def _follow(self, url: str) -> None:
        with httpx.stream("GET", url, timeout=60) as answer:
            for line in answer.iter_lines():
                if line.startswith(": ") and "follow" not in line:
                    self.begun.set()
                if line.startswith("data: "):
                    self.told.append((time.monotonic(), json.loads(line[6:])))
                    self.begun.set()
                if self._ends:
                    return


@pytest.fixture(scope="module")
def worker(shop: Settings) -> Iterator[ForkedProcess]:
    log = shop.data / "logs" / "assignment.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    process = ForkedProcess(["worker", "assignment"], log, os.environ | shop.environment())
    yield process
    process.terminate()
    try:
        assert process.wait(60) == 0, log.read_text()
    finally:
        process.kill()


@pytest.fixture(scope="module")
def client(open_server: Server, worker: ForkedProcess) -> Iterator[httpx.Client]:
    assert worker.poll() is None
    with httpx.Client(base_url=open_server.address, timeout=60) as client:
        yield client


def send(client: httpx.Client, *events: dict[str, Any], code: int = 200) -> None:
    answer = client.post("/2/httpapi", json={"api_key": "any", "events": events})
    assert answer.status_code == code, answer.text


def named(told: dict[str, Any], name: str) -> dict[str, Any]:
    return next((event for event in told["events"] if event["name"] == name), {"hour": 0})


def counts(told: dict[str, Any]) -> list[tuple[str, int]]:
    return [(event["name"], event["hour"]) for event in told["events"]]


def seconds(times: Collection[int]) -> float:
    return (max(times) - min(times)) / 1_000


def exposure(flag: str, variant: str, **fields: Any) -> dict[str, Any]:
    properties = {"flag_key": flag, "variant": variant} | fields
    return {
        "event_type": "$exposure",
        "user_id": "somebody",
        "library": "amplitude-ts/2.1",
        "event_properties": properties,
    }


def test_what_is_sent_is_told_within_three_seconds_and_what_is_bad_with_its_reason(
    client: httpx.Client, open_server: Server, shop: Settings
) -> None:
    event = {"user_id": "somebody", "event_type": "purchase", "event_properties": {"price": 7.5, "items": ["a"]}}
    send(client, event | {"library": "amplitude-ts/2.1"}, event | {"event_type": "Purchased!"})
    wait_for(lambda: named(client.get("/api/1/arriving").json(), "purchase")["hour"], what="the first event")

    with (
        closing(Watcher(open_server.address, "/api/1/arriving/stream")) as watcher,
        closing(Watcher(open_server.address, "/api/1/arriving/tail?unit=somebody")) as tail,
    ):
        sent = time.monotonic()
        send(client, exposure("button", "blue"), exposure("button", "control"))
        send(client, {"user_id": "somebody"}, event, code=400)
        send(client, {"user_id": "somebody"}, code=400)
        told_dead = watcher.until(lambda told: told["dead_letters"])
        told_refused = watcher.until(lambda told: told["refused"])
        tail.until(lambda told: any("button" in each["value"] for each in told["messages"]))
    told = client.get("/api/1/arriving").json()

    assert max(told_dead, told_refused) - sent < 3.0
    (dead,) = told["dead_letters"]
    assert (dead["reason"], dead["topic"], dead["hour"]) == ("unknown variant", "exposures", 1)
    assert "blue" in dead["detail"]
    assert "blue" in dead["value"]
    (refused,) = told["refused"]
    assert "event_type" in refused["error"]
    assert (refused["events"], refused["requests"], refused["value"]) == (3, 2, '{"user_id":"somebody"}')
    assert [(each["name"], each["hour"]) for each in named(told, "purchase")["libraries"]] == [("amplitude-ts/2.1", 1)]
    assert named(told, "purchase")["metrics"]
    assert named(told, "Purchased!")["metrics"] == []
    (flag,) = told["flags"]
    assert (flag["flag"], flag["hour"], [each["name"] for each in flag["runs"]]) == ("button", 2, [None])
    shares = client.get("/api/1/arriving/flags/button").json()
    assert (shares["exposures"], shares["shares"]) == (2, {"blue": 0.5, "control": 0.5})
    seen = client.get("/api/1/arriving/messages", params={"name": "purchase"}).json()
    assert seen["read"] == len(seen["samples"]) == 1
    kinds = {each["path"]: each["kinds"] for each in seen["properties"]}
    assert kinds["event_properties.price"] == {"number": 1}
    assert kinds["event_properties.items"] == {"list": 1}
    assert client.get("/api/1/arriving/messages", params={"name": "never"}).status_code == 404

    again = client.post("/api/1/arriving/dead-letters/send", json={"reason": "unknown variant"})

    assert again.status_code == 200, again.text
    assert again.json()["number"] == 1
    wait_for(lambda: len([*read_topic(shop, DEAD_LETTERS)]) == 2, what="the dead letter again")


def test_two_thousand_events_a_second_are_counted_once_each_while_ten_watch(
    client: httpx.Client, open_server: Server
) -> None:
    batch = [{"user_id": f"user-{i}", "event_type": f"event {i % 40}", "library": f"sdk/{i % 3}"} for i in range(1_000)]

    def came() -> int:
        return sum(event["hour"] for event in client.get("/api/1/arriving").json()["events"])

    before, watchers = came(), [Watcher(open_server.address, "/api/1/arriving/stream") for _ in range(10)]
    for _ in range(6):
        began = time.monotonic()
        send(client, *batch)
        time.sleep(max(0, 0.5 - (time.monotonic() - began)))
    wait_for(lambda: came() >= before + 6_000, what="every event")
    time.sleep(3)  # nothing is new
    for watcher in watchers:
        watcher.close()

    assert came() == before + 6_000
    frames = {told["time"]: counts(told) for watcher in watchers for _, told in watcher.told}
    same = [time for time, said in frames.items() if said == frames[max(frames)]]
    assert len(frames) <= seconds(frames) / APART_SECONDS + 2  # the same ones for all who watch
    assert len(same) <= seconds(same) / IDLE_SECONDS + 2  # of which seldom one says nothing new


ORDERS: dict[str, Any] = {
    "key": "orders",
    "owner": "shop",
    "as": "event",
    "map": {"event_type": "= ordered", "user_id": "order.buyer", "device_id": "$key", "groups": "order.teams"},
}


def test_a_source_is_tried_and_what_comes_by_its_topic_is_told(
    client: httpx.Client, open_server: Server, shop: Settings
) -> None:
    with topics(shop, orders={"message.timestamp.type": "LogAppendTime"}) as names:
        source, producer = ORDERS | {"topic": names["orders"]}, KafkaProducer(**kafka_python_arguments(shop))

        def order(buyer: object, key: str = "phone", **more: Any) -> None:
            value = json.dumps({"order": {"buyer": buyer} | more}).encode()
            producer.send(names["orders"], value, key.encode(), partition=0).get()

        order(41)
        tried = client.post("/api/1/sources/try", json={"definition": source}).json()
        (made,) = tried["records"]
        assert (made["outcome"], made["made"]["user_id"], made["made"]["device_id"]) == ("made", "41", "phone")
        wrong = source | {"map": {"event_type": "= ordered", "user_id": "order..buyer"}}
        refused = client.post("/api/1/sources/try", json={"definition": wrong})
        assert refused.status_code == 400, refused.text
        assert "map.user_id" in refused.text
        nowhere = client.post("/api/1/sources/try", json={"definition": source | {"topic": "nowhere"}})
        assert "topic 'nowhere': there is no such topic" in nowhere.json()["error"]

        put = client.put("/api/1/documents/source/orders", json={"definition": source, "base": 0, "reason": "a test"})
        assert put.status_code == 200, put.text
        time.sleep(SETTLING / 1_000)
        with closing(Watcher(open_server.address, "/api/1/arriving/tail?unit=42")) as tail:
            for said in ({"buyer": "42"}, {"buyer": 3, "key": "42"}, {"buyer": 42}, {"buyer": 4}):
                order(**said)
            order(5, teams={"a": 1, "b": ["y", "42"]})
            wait_for(lambda: sum(len(each["messages"]) for _, each in [*tail.told]) == 4, what="those of 42")
        assert {each["topic"] for _, told in tail.told for each in told["messages"]} == {f"@{names['orders']}"}
        wait_for(lambda: named(client.get("/api/1/arriving").json(), "ordered")["hour"] == 5, what="what was ordered")
