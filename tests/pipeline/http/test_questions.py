"""Questions over HTTP: what a unit gets, as OFREP says it, and what the archive holds of it."""

import re
import time
from typing import Any

import httpx
import pytest

from evaluation.catalog.history import History
from pipeline.kafka.reading import read_topic
from pipeline.settings import Settings
from schemas.topics import CATALOG, EVENTS, EXPOSURES
from tests.live import wait_for
from tests.pipeline.http.server import Server
from tests.pipeline.questions.world import World


class Asker:
    """An open server over the tests' catalog, and an archive that the pure stages made by the same catalog."""

    def __init__(self, settings: Settings, address: str) -> None:
        self.client = httpx.Client(base_url=address, timeout=90)
        self.settings = settings

    def post(self, path: str, body: dict[str, Any], code: int = 200) -> Any:
        answer = self.client.post(path, json=body)
        assert answer.status_code == code, answer.text
        return answer.json()

    def get(self, path: str, code: int = 200, **query: Any) -> Any:
        answer = self.client.get(path, params=query)
        assert answer.status_code == code, answer.text
        return answer.json()


@pytest.fixture(scope="module")
def asker(shop: Settings, open_server: Server) -> Asker:
    history = History()
    for record in read_topic(shop, CATALOG):
        history.append(record.offset, record.timestamp, record.value)
    world = World(shop.data / "archive", history)
    now = world.run.started + 3_000
    users = [f"u{number}" for number in range(40)]
    exposures = [
        {"flag_key": "button", "variant": "treatment" if i % 2 else "control", "user_id": user, "time": now + i}
        for i, user in enumerate(users)
    ]
    world.send(EXPOSURES, exposures, [now + i for i in range(40)])
    events = [
        {
            "event_type": "purchase",
            "user_id": user,
            "time": now + 200 + i,
            "user_properties": {"plan": "pro" if i % 4 == 0 else "free"},
        }
        for i, user in enumerate(users[::3])
    ]
    world.send(EVENTS, events, [now + 200 + i for i in range(len(events))])
    world.flush(now + 5_000)
    wait_for(lambda: time.time_ns() // 1_000_000 > now + 5_000, what="the archive to be of the past")
    return Asker(shop, open_server.address)


def test_a_unit_gets_what_ofrep_gives_it_and_nothing_is_tracked(asker: Asker) -> None:
    for number in range(100):
        unit = {"user_id": "ann" if number == 7 else f"unit-{number}", "country": ("AT", "CH", None)[number % 3]}
        told = asker.post("/api/1/units", {"user_id": unit["user_id"], "fields": {"country": unit["country"]}})
        context = {"targetingKey": unit["user_id"], "country": unit["country"]}
        flags = asker.post("/ofrep/v1/evaluate/flags", {"context": context})["flags"]

        variants = {flag["key"]: (flag["variant"], flag["metadata"].get("segmentName")) for flag in flags}
        assert {flag["key"]: (flag["variant"], flag["segment"]) for flag in told["flags"]} == variants
    ann = asker.post("/api/1/units", {"user_id": "ann"})
    assert ann["cohorts"] == ["testers"]
    beta, for_backend = (next(f for f in ann["flags"] if f["key"] == key) for key in ("beta", "for-backend"))
    assert (beta["variant"], beta["reason"], beta["segment"]) == ("on", "segment", "Testers")
    assert for_backend["groups"] == [{"group": "slots", "type": "mutual-exclusion", "slot": "slot-1", "is_in": True}]
    hashed = {flag["key"]: flag["hashed"] and flag["hashed"]["unit"] for flag in ann["flags"]}
    assert hashed == {"button": "ann", "sticky": "ann", "beta": None, "for-backend": None}  # the last two split nobody


def test_the_archive_tells_what_a_unit_did_and_what_it_contributes(asker: Asker) -> None:
    told = asker.post("/api/1/units/records", {"user_id": "u3"})

    assert [(each["topic"], each["name"], each["variant"]) for each in told["records"]] == [
        ("events", "purchase", None),
        ("exposures", "button", "treatment"),
    ]
    assert told["records"][0]["message"]["user_properties"] == {"plan": "free"}
    (contribution,) = told["contributions"]
    assert (contribution["experiment"], contribution["variant"]) == ("button", "treatment")
    assert contribution["metrics"] == [{"metric": "purchase", "numbers": [1.0], "steps": None}]
    assert told["notes"] == []
    assert told["as_of"] >= told["records"][0]["append_time"]
    assert asker.post("/api/1/units/records", {"user_id": "nobody"})["records"] == []
    assert "nobody is named" in asker.post("/api/1/units/records", {}, 400)["error"]


def test_a_drawer_is_read_by_another_process_and_kept_for_a_while(asker: Asker) -> None:
    drawn = asker.get("/api/1/experiments/button/metrics/purchase/drawer")

    assert {arm["variant"]: (arm["units"], arm["mean"]) for arm in drawn["arms"]} == {
        "control": (20, 0.35),
        "treatment": (20, 0.35),
    }
    assert asker.get("/api/1/experiments/button/metrics/purchase/drawer") == drawn
    for query, error in (({"run": "exp-9"}, "no run"), ({"segment": "country=DE"}, "no segment")):
        assert error in asker.get("/api/1/experiments/button/metrics/purchase/drawer", 404, **query)["error"]


def test_a_run_is_asked_anything_and_many_questions_are_warned_of(asker: Asker) -> None:
    path = "/api/1/experiments/button/explore"
    question = {"any_event": ["purchase:count"], "by": [["day"]], "reading": "live"}
    assert asker.get(path) == {"questions": 0, "comparisons": 0, "warning": None}

    told = asker.post(path, question)
    asker.post(path, question)

    cells = told["answer"]["cells"]
    assert [(each["metric"], each["by"], each["cell"]["n"], each["cell"]["control_n"]) for each in cells] == [
        ("purchase:count", [], 20, 20),
        ("purchase:count", ["day"], 20, 20),
    ]
    assert sum(cells[0]["cell"][name] for name in ("sum", "control_sum")) == 14
    assert told["answer"]["family"]["comparisons"] == 2
    assert asker.get(path)["questions"] == 1
    for most in range(1, 9):
        told = asker.post(path, {**question, "most": most})
    assert told["asked"]["questions"] == 9 - 1  # eight of them keep as many slices as nobody asked for
    told = asker.post(path, {**question, "most": 9})
    assert "9 different questions" in told["asked"]["warning"]


def test_what_cannot_be_explored_is_refused(asker: Asker) -> None:
    path = "/api/1/experiments/button/explore"
    for question, why in (
        ({"metrics": ["spend"]}, "'spend' is no metric"),
        ({"any_event": ["purchase"]}, "EVENT:TYPE"),
        ({"by": [["event_properties.x"]]}, "by_event"),
        ({"where": [{"property": "country", "op": "regex match", "values": ["("]}]}, "country|regex|paren|missing"),
    ):
        assert re.search(why, str(asker.post(path, question, code=400)["error"]))
    assert "no run" in asker.post(f"{path}?run=exp-9", {}, code=404)["error"]
