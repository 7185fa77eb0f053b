"""Notifications over HTTP: the newest, page by page, and each as it comes."""

import json
from collections.abc import Iterator

import httpx
import pytest

from pipeline.http.callers.keys import Keys
from pipeline.settings import Settings
from schemas.notification import HandedOver
from tests.conftest import deployed
from tests.pipeline.http.server import serving
from tests.pipeline.notifications.words import say, word


@pytest.fixture(scope="module")
def told(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, httpx.Client]]:
    """A server over five notifications, of which one was delivered; whoever asks may read."""
    with deployed(broker, tmp_path_factory.mktemp("told")) as settings:
        done = HandedOver(id="word 3", rule="all", place="hook", outcome="delivered", attempts=1, time=2)
        say(settings, *(word(f"word {number}") for number in range(5)), done, word("word 1"))
        _, viewer = Keys(settings.data).create("viewer", "ann")
        with serving(settings, is_open=False) as server:
            headers = {"authorization": f"Bearer {viewer}"}
            with httpx.Client(base_url=server.address, headers=headers, timeout=20) as client:
                yield settings, client


def test_the_newest_come_first_and_page_by_page(told: tuple[Settings, httpx.Client]) -> None:
    _, client = told

    first = client.get("/api/1/notifications", params={"limit": 2}).json()["notifications"]
    rest = client.get("/api/1/notifications", params={"after": "word 3"}).json()["notifications"]

    assert [each["notification"]["id"] for each in (*first, *rest)] == [f"word {number}" for number in (4, 3, 2, 1, 0)]
    assert [[each["place"] for each in page["deliveries"]] for page in first] == [[], ["hook"]]
    assert "no notification 'x'" in client.get("/api/1/notifications?after=x").json()["error"]
    assert client.get("/api/1/notifications?limit=0").status_code == 400


def test_each_that_comes_is_streamed_once(told: tuple[Settings, httpx.Client]) -> None:
    settings, client = told
    with client.stream("GET", "/api/1/notifications/stream") as answer:
        arriving = answer.iter_lines()
        assert next(arriving) == ": notifications follow"
        say(settings, word("word 4"), word("word 5"), word("word 6"))
        data = (json.loads(line.removeprefix("data: ")) for line in arriving if line.startswith("data: "))
        assert [next(data)["notification"]["id"] for _ in range(2)] == ["word 5", "word 6"]


def test_only_those_who_may_read_are_told(told: tuple[Settings, httpx.Client]) -> None:
    settings, client = told
    _, key = Keys(settings.data).create("server", "shop", "web")
    for path in ("notifications", "notifications/stream"):
        for headers, status in (({"authorization": "Bearer nothing"}, 401), ({"authorization": f"Bearer {key}"}, 403)):
            assert client.get(f"/api/1/{path}", headers=headers).status_code == status
