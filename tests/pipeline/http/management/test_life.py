"""Steps, versions and plans over HTTP: the same refusals and the same words as on the command line."""

from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from pipeline.catalog.topic import read_catalog
from pipeline.http.callers.keys import Keys
from tests.live import wait_for
from tests.pipeline.http.management.api import Api
from tests.pipeline.shop import Shop

STEPS = [{"rollout": 20, "for": "1h"}, {"rollout": 50}]


def test_an_experiment_is_led_from_its_start_to_its_roll_out(api: Api):
    viewer = Keys(api.settings.data).create("viewer", "eve")[1]

    def act(step: str, code: int = 200, key: str | None = None, **body: Any) -> dict[str, Any]:
        return api.call("POST", f"experiments/button/actions/{step}", {"reason": "it is time"} | body, code, key)

    assert "this wants experimenter or admin" in act("start", 403, key=viewer)["error"]
    assert "the key is not known" in act("start", 401, key="none")["error"]
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

    assert "'buton' is no flag" in api.call("GET", "flags/buton/versions", code=404)["error"]
    assert "launch" in api.call("POST", "flags/button/actions/launch", {"reason": "x"}, 400)["error"]
    assert "reason" in api.call("POST", "flags/button/actions/start", {"variant": "x"}, 400)["error"]
    told = api.call("GET", "experiments/button/versions", key=viewer)["versions"]
    assert [(each["version"], each["author"]) for each in told][1:] == [(2, "ann"), (3, "ann"), (4, "ann")]
    shown = api.call("GET", "experiments/button/versions/4", key=viewer)
    assert {"path": "status", "before": "running", "after": "rolled out"} in shown["differences"]
    assert shown["state"]["runs"][1]["completed"] == 4
    for number in (0, 9):
        assert (
            f"has no version {number};" in api.call("GET", f"experiments/button/versions/{number}", code=404)["error"]
        )

    assert read_catalog(api.settings).newest.version_of("flag", "button") == 4


def test_what_people_say_stands_until_they_withdraw_it(api: Api):
    keys = Keys(api.settings.data)
    viewer, tom = keys.create("viewer", "eve")[1], keys.create("experimenter", "tom")[1]
    version = read_catalog(api.settings).newest.version_of("flag", "button")

    def say(code: int = 200, key: str | None = None, **said: Any) -> dict[str, Any]:
        return api.call("POST", "experiments/button/comments", {"text": "**so** <b>what</b>"} | said, code, key)

    def withdraw(number: int, code: int = 200, key: str | None = None) -> dict[str, Any]:
        return api.call("DELETE", f"experiments/button/comments/{number}", code=code, key=key)

    assert "this wants experimenter or admin" in say(403, key=viewer)["error"]
    assert "'button' has no run 'exp-7'" in say(400, run="exp-7")["error"]
    assert "'sales' is no metric" in say(400, metric="sales")["error"]
    assert "say which" in say(400, look=7)["error"]
    assert "text" in say(400, text="")["error"]
    (first,) = say(key=tom, run="exp-2", look=7, metric="purchase")["comments"]
    assert first["html"] == "<p><strong>so</strong> &lt;b&gt;what&lt;/b&gt;</p>\n"
    assert (first["author"], first["run"], first["look"], first["metric"]) == ("tom", "exp-2", 7, "purchase")
    say(text="mine")

    assert "is by 'ann', who may withdraw it, or an admin" in withdraw(2, 403, tom)["error"]
    assert "has no comment 9" in withdraw(9, 404)["error"]
    withdraw(1, key=tom)
    first, second = withdraw(1, key=api.admin)["comments"]
    assert (first["text"], first["html"], first["withdrawn_by"]) == (None, None, "tom")
    told = api.call("GET", "flags/button/comments", key=tom)["comments"]
    assert [(each["text"], each["may_withdraw"]) for each in told] == [(None, False), ("mine", False)]
    assert second["may_withdraw"]
    assert read_catalog(api.settings).newest.version_of("flag", "button") == version


def test_a_brief_holds_all_that_is_remembered_and_is_found_by_its_words(api: Api, tmp_path: Path):
    def found(**asked: str) -> list[str]:
        briefs = api.call("GET", f"briefs?{urlencode(asked)}")["briefs"]
        return [each["key"] for each in briefs]

    shop = Shop(tmp_path, api.settings)
    (tmp_path / "briefs").mkdir()
    brief = tmp_path / "briefs" / "button.yaml"
    brief.write_text("key: buton\nowner: ann\ntags: [checkout]\nlearning: Bigger is *better*\n")
    assert "'buton' is no flag; a brief has the key of its experiment" in shop.apply(code=2).stderr
    brief.write_text(brief.read_text().replace("buton", "button"))
    assert "brief button: version 1, new" in shop.apply().stdout
    wait_for(lambda: api.call("GET", "briefs/button")["version"] == 1)

    told = api.call("GET", "briefs/button")
    assert told["learning"] == {"markdown": "Bigger is *better*", "html": "<p>Bigger is <em>better</em></p>\n"}
    assert told["background"] == {"markdown": "", "html": ""}
    assert told["experiment"]["state"]["definition"]["metrics"][0]["metric"] == "purchase"
    assert [each["step"] for each in told["experiment"]["decisions"]] == ["restart", "rollout"]
    assert told["look"] is None
    assert "'buton' is no flag" in api.call("GET", "briefs/buton", code=404)["error"]

    assert found() == found(text="BIGGER button") == found(tag="checkout") == ["button"]
    assert found(metric="purchase", owner="shop", decision="rollout") == ["button"]
    assert found(text="smaller") == found(tag="x") == found(metric="x") == found(owner="x") == []
    assert found(decision="none") == []
    assert "'rolout' is none; did you mean 'rollout'" in api.call("GET", "briefs?decision=rolout", code=400)["error"]
    assert api.call("POST", "markdown", {"markdown": "<i>"}) == {"html": "<p>&lt;i&gt;</p>\n"}


def test_a_plan_comes_to_a_flag_and_goes_and_moves_nobody(api: Api):
    def put(code: int = 200, **body: Any) -> dict[str, Any]:
        plan = {"steps": STEPS, "timezone": "Europe/Berlin"} | body.pop("plan", {})
        return api.call("PUT", "flags/slow/plan", {"plan": plan, "reason": "slowly"} | body, code)

    def in_force() -> float:
        return read_catalog(api.settings).newest.flags["slow"].runs[-1].allocations[-1].rollout

    api.call("POST", "flags", {"key": "slow", "rolloutPercentage": 20, "endDate": "2030-01-01"})
    api.call("POST", "flags/slow/actions/start", {"reason": "let us see"})

    assert "and not version 1 any more" in put(409, base=1)["error"]
    assert put(base=2)["version"] == 3
    assert put(base=3)["version"] == 3  # nothing is another
    definition = api.definition("slow")
    assert (definition.rollout, definition.end, in_force()) == (100, None, 20)
    shown = api.call("GET", "flags/slow/plan")
    assert [(each["rollout"], each["state"]) for each in shown["steps"]] == [(20, "in force"), (50, "ahead")]
    assert (shown["paused"]["why"], shown["asks"], shown["timezone"]) == ("edited", None, "Europe/Berlin")
    assert "nobody works on plans" in shown["idle"]
    assert api.call("POST", "flags/slow/actions/pause", {"reason": "wait"})["steps"] == ["the plan is paused (asked)"]
    assert api.call("POST", "flags/slow/actions/resume", {"reason": "go"})["steps"] == ["the plan goes on"]

    unsure = api.call("DELETE", "flags/slow/plan?reason=x&base=5", code=409)
    assert "no step is taken any more" in unsure["consequences"][0]
    assert "base" in api.call("DELETE", "flags/slow/plan?reason=x&yes=true", code=400)["error"]
    ended = api.call("DELETE", "flags/slow/plan?reason=by+hand&base=5&yes=true")

    assert ended["version"] == 6
    assert (api.definition("slow").plan, api.definition("slow").rollout, in_force()) == (None, 20, 20)
    assert "'slow' has no plan" in api.call("GET", "flags/slow/plan", code=404)["error"]
    assert "'slower' is no flag" in api.call("DELETE", "flags/slower/plan?reason=none&base=1", code=404)["error"]
    viewer = Keys(api.settings.data).create("viewer", "eve")[1]
    assert "wants experimenter" in api.call("DELETE", "flags/slow/plan?reason=x&base=6", code=403, key=viewer)["error"]


def test_what_is_wrong_with_a_plan_is_told_by_field(api: Api):
    api.call("POST", "flags", {"key": "wrong"})

    def faults(code: int, base: int = 1, **plan: Any) -> dict[str, str]:
        body = {"plan": {"steps": STEPS} | plan, "reason": "slowly", "base": base}
        told = api.call("PUT", "flags/wrong/plan", body, code)
        return {each["path"]: each["error"] for each in told["faults"]}

    mistyped = faults(400, steps=[{"rollout": 120, "for": "1 hour"}], timezone=7)
    assert mistyped.keys() == {"plan.steps[0].rollout", "plan.steps[0].for", "plan.timezone"}
    assert mistyped["plan.steps[0].for"] == (
        "'1 hour' is not allowed; it must be a duration, for example 500ms, 10s, 30m, 24h or 7d"
    )
    broken = faults(409, steps=[*STEPS, {"rollout": 10}], end="tomorrow", timezone="Mars", on_broken_split="pause")
    assert broken.keys() >= {"plan.steps[2]", "plan.end", "plan.timezone", "plan.on_broken_split"}
    api.call("PUT", "flags/wrong/plan", {"plan": {"steps": STEPS}, "reason": "slowly", "base": 1})
    api.call("POST", "flags/wrong/actions/start", {"reason": "let us see"})
    assert faults(409, 3, steps=[{"rollout": 30}]).keys() == {"plan.steps"}
    assert "reason" in api.call("PUT", "flags/wrong/plan", {"plan": {"steps": STEPS}, "base": 3}, 400)["error"]
    assert "base" in api.call("PUT", "flags/wrong/plan", {"plan": {"steps": STEPS}, "reason": "slowly"}, 400)["error"]
