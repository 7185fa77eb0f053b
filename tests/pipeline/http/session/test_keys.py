"""Keys over HTTP, and what asks with them."""

import httpx

from pipeline.http.callers.programs import LONGEST_NAME, MOST_LIBRARIES, UNNAMED, Programs, library_in
from tests.live import wait_for
from tests.pipeline.http.session.people import People


def test_an_admin_makes_a_key_for_a_deployment_sees_what_asks_with_it_and_revokes_it(people: People):
    first = people.call("POST", "deployments", "admin", label="backend", type="server")["key"]
    made = people.call("POST", "keys", "admin", role="server", deployment="backend")
    listed = people.call("GET", "keys?deployment=backend", "admin")["keys"]
    assert [first.startswith(listed[0]["id"]), listed[1]["id"]] == [True, made["id"]]
    assert made["key"] not in str(listed)
    assert (made["name"], listed[1]["last"]) == ("admin ann", None)
    assert people.call("GET", "deployments/backend/connections")["programs"] == []

    headers = {"authorization": f"Api-Key {made['key']}", "x-amp-exp-library": "experiment-python-server/1.13.0"}
    with httpx.stream("GET", f"{people.address}/sdk/stream/v1/flags", headers=headers) as told:
        lines = told.iter_lines()
        assert next(lines).startswith("data: [")
        (program,) = people.call("GET", "deployments/backend/connections")["programs"]
        assert (program["library"], program["key"]) == ("experiment-python-server/1.13.0", made["id"])
        assert (program["requests"], program["open"]) == (1, 1)
    wait_for(lambda: not people.call("GET", "deployments/backend/connections")["programs"][0]["open"], what="its end")
    httpx.post(f"{people.address}/batch", json={"api_key": made["key"], "events": []})
    newest = people.call("GET", "deployments/backend/connections")["programs"][0]
    assert newest["library"].startswith("python-httpx/")

    assert people.call("DELETE", f"keys/{made['id']}", "admin")["last"] == newest["last"]
    assert httpx.get(f"{people.address}/sdk/v2/flags", headers=headers).status_code == 401
    people.call("DELETE", f"keys/{made['id']}", "admin", code=404)


def test_only_an_admin_makes_keys_and_only_such_as_fit(people: People):
    people.call("POST", "keys", "experimenter", code=403, role="viewer")
    people.call("GET", "keys", "viewer", code=403)
    for body, code, why in (
        ({"role": "client", "deployment": "nosuch"}, 404, "'nosuch' is no deployment"),
        ({"role": "client"}, 400, "belongs to a deployment"),
        ({"role": "viewer", "deployment": "nosuch"}, 400, "belongs to no deployment"),
        ({"role": "viewer", "name": "plan"}, 400, "signs the versions"),
        ({"role": "king"}, 400, "king"),
    ):
        assert why in people.call("POST", "keys", "admin", code=code, **body)["error"]
    people.call("GET", "deployments/nosuch/connections", code=404)


def test_what_programs_say_of_themselves_takes_little_room():
    now = 5
    programs = Programs(lambda: now)
    for number in range(MOST_LIBRARIES + 1):
        now += 1
        with programs.hearing("web", "client-1", {b"user-agent": b"%d" % number}):
            pass
    heard = programs.of("web")

    assert [each.library for each in heard] == [str(number) for number in range(MOST_LIBRARIES, 0, -1)]
    assert programs.last("web") == programs.last_of("client-1") == now
    assert programs.last("backend") is programs.last_of("client-2") is None
    assert library_in({}) == library_in({b"user-agent": b"\x00 "}) == UNNAMED
    assert library_in({b"user-agent": b"x" * 1_000}) == "x" * LONGEST_NAME
