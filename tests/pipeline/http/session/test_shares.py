"""Links that show one experiment: what they open, and what they never do."""

import time
from pathlib import Path

import httpx
import msgspec
import pytest

from evaluation.catalog.lifecycle import apply_definition, roll_out, start
from pipeline.errors import PeekproofError
from pipeline.http.callers.shares import (
    DAY,
    LONGEST_LIFE,
    MOST_OF_AN_EXPERIMENT,
    REMEMBERED,
    ExperimentShares,
    without_people,
)
from schemas.catalog import Flag, Variant
from tests.pipeline.http.session.people import People

EXPERIMENT = "button"
OTHERS = {  # in which `{key}` is the experiment that is shared: no edits, no other experiments, no notifications
    "GET": [
        *("overview", "notifications", "notifications/stream", "results/stream", "versions", "flags", "experiments"),
        *("overview/other", "experiments/other/results", "results/stream?experiment=other", "keys", "deployments"),
        *("results/stream?experiment=button&experiment=other", "results/stream?experiment=other&experiment=button"),
        *("experiments/button/shares", "flags/button", "documents", "arriving", "briefs", "briefs/other"),
        "experiments/button/versions/1",
    ],
    "POST": ["experiments/button/actions/start", "experiments/button/shares", "experiments/button/comments"],
    "DELETE": ["experiments/button/plan"],
}


def test_a_link_shows_its_experiment_and_nothing_else_until_it_is_revoked(people: People):
    until = time.time_ns() // 1_000_000 + DAY
    made = people.call("POST", f"experiments/{EXPERIMENT}/shares", "experimenter", name="the board", expires=until)
    with httpx.Client(
        base_url=f"{people.address}/api/1/", headers={"authorization": f"Bearer {made['key']}"}, timeout=20
    ) as reader:
        me = reader.get("me").json()
        assert (me["may"], me["experiment"], me["expires"], me["name"]) == (["read"], EXPERIMENT, until, "the board")
        for path in (
            f"overview/{EXPERIMENT}",
            f"experiments/{EXPERIMENT}/versions",
            f"briefs/{EXPERIMENT}",
            "vocabulary",
        ):
            assert reader.get(path).status_code == 200
        assert "has not started" in reader.get(f"experiments/{EXPERIMENT}/results").text
        with reader.stream("GET", f"results/stream?experiment={EXPERIMENT}") as told:
            assert told.status_code == 200

        found = {
            (method, path): reader.request(method, path).status_code for method, of in OTHERS.items() for path in of
        }
        assert {each: status for each, status in found.items() if status != 403} == {}
        assert httpx.get(f"{people.address}/sdk/v2/flags", headers=reader.headers).status_code == 403
        assert reader.post("session", json={"key": made["key"]}, headers={"origin": people.address}).status_code == 401

        listed = people.call("GET", f"experiments/{EXPERIMENT}/shares", "experimenter")["shares"]
        assert [(each["id"], each["by"]) for each in listed] == [(made["id"], "experimenter ann")]
        people.call("GET", f"experiments/{EXPERIMENT}/shares", "viewer", code=403)
        people.call("DELETE", f"experiments/other/shares/{made['id']}", "admin", code=404)
        people.call("DELETE", f"experiments/{EXPERIMENT}/shares/{made['id']}", "experimenter")
        assert reader.get("me").status_code == 401


def test_a_link_tells_nobodys_ids_and_no_salt():
    variants = (
        Variant(key="control", users=("ann@shop.example",), cohorts=("staff",)),
        Variant(key="on", devices=("d",)),
    )
    flag = Flag(key="button", owner="shop", variants=variants)
    state = roll_out(start(apply_definition(None, flag, 1), 2, "the salt"), 3, "on")

    told = msgspec.json.encode(without_people(state)).decode()

    assert "staff" in told
    assert not [secret for secret in ("ann@", '"d"', "the salt") if secret in told]


def test_a_link_that_has_expired_says_so(people: People):
    until = time.time_ns() // 1_000_000 + 300
    made = people.call("POST", f"experiments/{EXPERIMENT}/shares", "experimenter", name="a minute", expires=until)
    time.sleep(0.3)

    told = httpx.get(f"{people.address}/api/1/me", headers={"authorization": f"Bearer {made['key']}"})

    assert told.status_code == 403
    assert told.json()["error"] == "the link has expired; ask experimenter ann, who made it, for another"
    late = {"name": "x", "expires": until}
    assert "next 366 days" in people.call("POST", f"experiments/{EXPERIMENT}/shares", "admin", 409, **late)["error"]
    people.call("POST", "experiments/nosuch/shares", "admin", 404, **late)


def test_links_are_bounded_and_forgotten_a_while_after_they_expired(tmp_path: Path):
    now = 1_000
    shares = ExperimentShares(tmp_path, lambda: now)
    first, text = shares.create("a", "x", "ann", now + 1)
    for _ in range(MOST_OF_AN_EXPERIMENT - 1):
        shares.create("a", "x", "ann", now + LONGEST_LIFE)
    with pytest.raises(PeekproofError, match="'a' has 50 links; revoke one"):
        shares.create("a", "x", "ann", now + 1)
    with pytest.raises(PeekproofError, match="next 366 days"):
        shares.create("b", "x", "ann", now + LONGEST_LIFE + 1)

    now += 1
    assert (shares.find(text), shares.is_over(first), shares.holds(first)) == (first, True, False)
    assert len(shares.of("a")) == MOST_OF_AN_EXPERIMENT - 1
    assert shares.revoke("b", first.id) is None
    now += REMEMBERED
    shares.create("b", "x", "ann", now + 1)
    assert shares.find(text) is None
    assert (tmp_path / "shares.json").stat().st_mode & 0o777 == 0o600
