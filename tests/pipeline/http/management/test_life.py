"""Steps and versions over HTTP: the same refusals and the same words as on the command line."""

from pathlib import Path
from typing import Any

import httpx

from pipeline.catalog.topic import read_catalog
from pipeline.http.callers.keys import Keys
from pipeline.settings import Settings
from tests.pipeline.http.server import serving
from tests.pipeline.shop import Shop


def test_an_experiment_is_led_from_its_start_to_its_roll_out(tmp_path: Path, deployment: Settings):
    shop = Shop(tmp_path / "configs", deployment)
    shop.apply("--author", "bob")
    keys = Keys(deployment.data)
    ann, viewer = keys.create("experimenter", "ann")[1], keys.create("viewer", "eve")[1]

    with serving(deployment, is_open=False) as server:

        def call(method: str, path: str, code: int = 200, key: str | None = ann, **body: Any) -> dict[str, Any]:
            headers = {"authorization": f"Bearer {key}"} if key else {}
            answer = httpx.request(
                method, f"{server.address}/api/1/{path}", json=body or None, headers=headers, timeout=20
            )
            assert answer.status_code == code, answer.text
            return answer.json()

        def act(step: str, code: int = 200, **body: Any) -> dict[str, Any]:
            return call("POST", f"experiments/button/actions/{step}", code, **{"reason": "it is time"} | body)

        assert "the key is missing" in act("start", 401, key=None)["error"]
        assert "this wants experimenter or admin" in act("start", 403, key=viewer)["error"]
        assert act("complete", 409)["error"] == "'button' is not running (draft); start it first"
        assert "version 1 of flag 'button' stands" in act("start", 409, base=7)["error"]
        started = act("start", base=1)
        assert (started["version"], started["status"], started["run"]) == (2, "running", "exp-1")

        risky = act("restart", 409)
        (consequence,) = risky["consequences"]
        assert consequence.startswith("button: exp-1 takes no more units")
        assert act("restart", yes=True)["run"] == "exp-2"
        assert "known: control, treatment" in act("rollout", 409, variant="blue")["error"]
        assert act("rollout", variant="treatment")["steps"] == ["exp-2 is complete", "treatment is rolled out"]

        assert "'buton' is no flag" in call("GET", "flags/buton/versions", 404)["error"]
        assert "launch" in call("POST", "flags/button/actions/launch", 400, reason="x")["error"]
        assert "reason" in call("POST", "flags/button/actions/start", 400, variant="x")["error"]
        told = call("GET", "experiments/button/versions", key=viewer)["versions"]
        assert [(each["version"], each["author"]) for each in told] == [(1, "bob"), (2, "ann"), (3, "ann"), (4, "ann")]
        shown = call("GET", "experiments/button/versions/4", key=viewer)
        assert {"path": "status", "before": "running", "after": "rolled out"} in shown["differences"]
        assert shown["state"]["runs"][1]["completed"] == 4
        for number in (0, 9):
            assert f"has no version {number};" in call("GET", f"experiments/button/versions/{number}", 404)["error"]

    assert read_catalog(deployment).newest.version_of("flag", "button") == 4
