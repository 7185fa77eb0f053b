"""Deployments, links, on call, and pages of other origins, in a real Chromium."""

import json
import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import httpx
import pytest
from playwright.sync_api import Page, expect

from pipeline.http.callers.keys import Keys
from tests.live import wait_for
from tests.pipeline.http.console.console import EXPERIMENT, Console

EVIL = "<img src=x onerror='document.title=1'>"


@pytest.fixture
def other_port() -> Iterator[str]:
    """A page that somebody else serves on this host."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><link rel=icon href=data:,><title>evil</title>")

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def is_on_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    wait_for(lambda: page.evaluate("document.documentElement.scrollWidth <= innerWidth"), what="a narrow page")


def test_a_key_is_made_copied_seen_in_use_and_revoked(console: Console):
    page = console.open("deployments")
    page.get_by_role("link", name="The shop in a browser").click()
    expect(page.get_by_text("No program has asked or sent anything")).to_be_visible()

    page.get_by_role("button", name="New key").focus()
    page.keyboard.press("Enter")
    made = page.locator(".made")
    expect(made.get_by_text("shown this once")).to_be_visible()
    key = made.locator("pre").first.inner_text()
    assert key.startswith("client-")
    made.get_by_role("combobox").select_option("evaluate")
    expect(made.locator("pre").last).to_contain_text(f"curl '{console.address}/sdk/v2/vardata'")
    expect(made.locator("pre").last).to_contain_text(f"Api-Key {key}")
    console.is_accessible(page, "deployment")
    is_on_a_phone(page)

    headers = {"authorization": f"Api-Key {key}", "x-amp-exp-library": EVIL}
    assert httpx.post(f"{console.address}/sdk/v2/vardata", json={"user_id": "u"}, headers=headers).status_code == 200
    page.reload()
    connected = page.get_by_role("region", name="Connected")
    expect(connected).to_contain_text(EVIL)
    expect(connected).to_contain_text("1 requests")
    expect(page.get_by_text(key)).to_have_count(0)

    page.get_by_role("button", name=f"Revoke {key[:15]}").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(page.locator(f"[id='{key[:15]}']")).to_have_count(0)
    assert httpx.post(f"{console.address}/sdk/v2/vardata", json={}, headers=headers).status_code == 401
    assert page.title() != "1"


def test_on_call_sees_what_does_not_work_and_what_mends_it(console: Console):
    page = console.open("on-call")

    expect(page.locator("#stage-assignment")).to_contain_text("nobody works on it")
    expect(page.locator("#stage-assignment")).to_contain_text("peekproof worker assignment")
    expect(page.get_by_role("region", name="Standing")).to_contain_text("nobody works on assignment")
    doctor = page.get_by_role("region", name="What the doctor says")
    expect(doctor).to_contain_text(re.compile("keys: ok.*admin"), timeout=60_000)
    expect(doctor).to_contain_text("assignment: nobody works on it")
    console.is_accessible(page, "on-call")
    is_on_a_phone(page)


def test_a_link_shows_one_experiment_to_whoever_has_it_and_a_viewer_sees_no_button(console: Console):
    page = console.experiment()
    page.get_by_role("button", name="Share …").click()
    page.get_by_label("For whom").fill(EVIL)
    page.keyboard.press("Enter")
    link = page.get_by_role("dialog").locator("pre").inner_text()
    assert link.startswith(f"{console.address}/#/experiments/{EXPERIMENT}?link=share-")
    expect(page.get_by_role("list", name="Links")).to_contain_text(EVIL)
    console.is_accessible(page, "share", "dialog")

    assert console.browser.browser is not None
    stranger = console.browser.browser.new_context()
    guest = stranger.new_page()
    guest.on("console", lambda said: said.type == "error" and console.faults.append(said.text))
    guest.goto(link)
    expect(guest.get_by_role("region", name="Verdict")).to_be_visible()
    expect(guest.get_by_text("Live", exact=True)).to_be_visible()
    assert "share-" not in guest.url
    for hidden in ("Start", "Complete …", "Share …", "Edit", "Make a plan …", "Notifications"):
        expect(guest.get_by_role("button", name=hidden, exact=True)).to_have_count(0)
    expect(guest.get_by_role("navigation", name="Pages").get_by_role("link")).to_have_count(0)
    guest.reload()
    expect(guest.get_by_role("region", name="Verdict")).to_be_visible()
    guest.goto(f"{console.address}/#/flags/dark-mode")
    expect(guest.get_by_text(f"the link shows the experiment '{EXPERIMENT}' and nothing else")).to_be_visible()
    page.get_by_role("button", name=f"Revoke the link for {EVIL}").click()
    expect(page.get_by_role("list", name="Links")).to_have_count(0)
    guest.goto("about:blank")
    guest.goto(link)
    expect(guest.get_by_role("heading", name="Sign in")).to_be_visible()
    stranger.close()
    console.faults[:] = [fault for fault in console.faults if "401" not in fault and "403" not in fault]

    viewer = console.experiment(Keys(console.settings.data).create("viewer", "eve")[1])
    expect(viewer.get_by_role("group", name="Actions")).to_have_count(0)
    expect(viewer.get_by_role("button", name="Share …")).to_have_count(0)


def test_a_page_of_another_port_gets_nothing_by_the_cookie(console: Console, other_port: str):
    console.open()
    page = console.browser.new_page()
    page.goto(other_port)  # the same site, so the browser does send the cookie
    sent: dict[str, int] = {}
    page.on("response", lambda answer: sent.update({answer.request.method + " " + answer.url: answer.status}))
    asked = [
        ["GET", "overview"],
        ["GET", "results/stream"],
        ["POST", f"experiments/{EXPERIMENT}/actions/complete"],
        ["POST", "session"],
    ]

    answers = page.evaluate(
        """async ([address, asked, body]) => {
            const answers = [];
            for (const [method, path] of asked) {
                const request = { method, credentials: "include", mode: "no-cors", ...(method === "POST" && { body }) };
                const answer = await fetch(`${address}/api/1/${path}`, request).catch((error) => error);
                answers.push(answer.type ?? String(answer));
            }
            return answers;
        }""",
        [console.address, asked, json.dumps({"reason": "evil", "yes": True})],
    )

    assert set(answers) == {"opaque"}
    assert {f"{method} {console.address}/api/1/{path}": 403 for method, path in asked} == sent
    key = {"authorization": f"Bearer {console.key}"}
    assert httpx.get(f"{console.address}/api/1/overview/{EXPERIMENT}", headers=key).json()["status"] == "running"
