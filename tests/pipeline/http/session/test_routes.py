"""Signing in: a cookie takes a key's place, for pages of our own alone."""

import httpx

from tests.pipeline.http.session.people import People

EXPERIMENT = "button"


def test_whoever_gives_a_key_once_is_signed_in_and_is_told_what_that_one_may(people: People):
    key = people.keys.create("experimenter", "ann")[0]
    browser = people.browser()
    before = browser.get("me")
    assert (before.status_code, "the key is missing" in before.text) == (401, True)

    begun = browser.post("session", json={"key": people.texts["experimenter"]})

    assert begun.status_code == 200
    assert "HttpOnly; SameSite=Strict" in begun.headers["set-cookie"]
    assert "Secure" not in begun.headers["set-cookie"]
    me = browser.get("me").json()
    assert me == begun.json()
    assert (me["name"], me["role"], me["may"]) == ("experimenter ann", "experimenter", ["read", "edit"])
    assert people.call("GET", "me", "experimenter") == me | {"expires": None}
    assert key.id != me["id"]

    copied = people.browser()
    copied.cookies.update(browser.cookies)
    assert browser.delete("session").status_code == 200
    assert not browser.cookies
    told = copied.get("me")
    assert told.status_code == 401
    assert told.json()["error"].startswith("the session has ended: it lives for 7 days")


def test_over_tls_the_cookie_is_for_tls_alone_also_where_a_proxy_speaks_it(people: People):
    host = people.address.removeprefix("http://")
    begun = people.browser(origin=f"https://{host}").post("session", json={"key": people.texts["viewer"]})

    assert begun.headers["set-cookie"].startswith("__Host-peekproof-")
    assert begun.headers["set-cookie"].endswith("; Secure")


def test_nobody_signs_in_with_what_is_no_persons_key(people: People):
    program, text = people.keys.create("server", "ann", "web")
    browser = people.browser()

    for key, status, why in ((text, 403, "sign in with one of the roles"), ("admin-nobody", 401, "is not known")):
        refused = browser.post("session", json={"key": key})
        assert (refused.status_code, why in refused.text) == (status, True)
        assert "set-cookie" not in refused.headers
    people.keys.revoke(program.id)


def test_a_revoked_key_ends_its_sessions(people: People):
    key, text = people.keys.create("viewer", "bob")
    browser = people.browser()
    assert browser.post("session", json={"key": text}).json()["id"] == key.id

    people.keys.revoke(key.id)

    assert browser.get("overview").status_code == 401


def test_a_page_of_another_origin_neither_signs_in_nor_reads_nor_changes_anything_by_a_cookie(people: People):
    browser = people.browser("admin")
    browser.headers["origin"] = "http://127.0.0.1:9"
    taking = {"reason": "to see"}

    asked = [
        browser.get("overview"),
        browser.get("results/stream"),
        browser.post(f"experiments/{EXPERIMENT}/actions/start", json=taking),
        browser.post("session", json={"key": people.texts["admin"]}),
        people.browser(origin="http://evil.example").post("session", json={"key": people.texts["admin"]}),
        browser.delete("session"),
    ]

    assert [each.status_code for each in asked] == [403] * len(asked)
    assert all("another address" in each.json()["error"] for each in asked)
    assert not any(name.startswith("access-control") for each in asked for name in each.headers)
    del browser.headers["origin"]  # as no browser does
    assert browser.post(f"experiments/{EXPERIMENT}/actions/start", json=taking).status_code == 403
    assert browser.get("overview").status_code == 200


def test_a_cookie_opens_nothing_where_programs_show_keys(people: People):
    browser = people.browser("admin")

    with httpx.Client(cookies=browser.cookies, headers={"origin": people.address}) as client:
        for path in ("/sdk/v2/flags", "/sdk/v1/cohort/beta", "/ofrep/v1/evaluate/flags", "/v1/flags"):
            assert client.post(people.address + path, json={}).status_code == 401
        assert client.post(people.address + "/batch", json={"events": []}).status_code == 401
        wrong = {"authorization": "Bearer admin-nobody"}
        assert (
            client.get(f"{people.address}/api/1/me", headers=wrong).status_code == 401
        )  # what is shown is what counts
        basic = {"authorization": "Basic YTpi"}  # of a proxy before us
        assert client.get(f"{people.address}/api/1/me", headers=basic).status_code == 200
