"""From an empty catalog to a brief that others find, in a browser, by keyboard alone; then the command line agrees."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from playwright.sync_api import BrowserContext, Page, expect, sync_playwright

from evaluation.catalog.in_force import SETTLING
from peekproof import load_flags
from pipeline.http.callers.keys import Keys
from pipeline.listening import HOME, address, with_free_port
from pipeline.processes.supervisor import Supervisor
from pipeline.settings import Settings
from tests.conftest import deployed
from tests.live import wait_for
from tests.pipeline.http.console.console import SCREENSHOTS
from tests.pipeline.http.console.keyboard import fill, go, press, reach
from tests.pipeline.shop import Shop

SOON = 60_000  # ms, in which a loaded machine shows what an idle one shows at once
ARRIVES = 3_000  # ms, in which what came is on the page
PAYLOAD = '{"label": "Buy now", "price": 12345678901234567890}'
EXPERIMENT = {
    "key": "buy-button",
    "name": "A button that says what happens",
    "owner": "shop",
    "tags": ["checkout"],
    "hypothesis": {
        "problem": "Visitors do not see how to buy.",
        "solution": "The button says so.",
        "prediction": "20 % more purchases",
    },
    "metrics": [
        {"metric": "purchase", "role": "primary", "minimum_effect": 0.2},
        {"metric": "app-error", "role": "guardrail", "direction": "decrease", "margin": 0.5},
    ],
    "variants": [{"key": "control"}, {"key": "treatment", "payload": json.loads(PAYLOAD)}],
    "segments": [{"name": "Austria", "conditions": [{"property": "country", "op": "is", "values": ["AT", "CH"]}]}],
    "rollout": 50,
    "analysis": {"alpha": 0.1},
}
LEARNT = "Words beat colours."


@pytest.fixture(autouse=True)
def patience() -> Iterator[None]:
    """What is expected of a page may take long on a loaded machine."""
    expect.set_options(timeout=SOON)
    yield
    expect.set_options(timeout=5_000)


def test_an_experiment_lives_from_an_empty_catalog_to_its_brief_by_keyboard_alone(
    broker: str, chromium: str, tmp_path: Path
) -> None:
    made = {"http_port": 0, "horizon": 1_000, "tolerance": 1_000, "archive_interval": 1_000}
    with deployed(broker, tmp_path / "data", **made) as deployment, running(deployment) as settings:
        url = address(HOME, settings.http_port)
        keys = {name: Keys(settings.data).create(role, name)[1] for role, name in (("admin", "ann"), ("viewer", "eve"))}
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            ann = Visitor(browser.new_context(base_url=url, reduced_motion="reduce"))
            ann.sign_in(keys["ann"])
            key = deployment_and_its_key(ann)
            metrics(ann)
            experiment(ann)
            program = Program(url, key, tmp_path)
            arrives(ann, program)
            works(ann, program)
            looked_up(ann, program)
            eve = Visitor(browser.new_context(base_url=url, reduced_motion="reduce"))
            eve.sign_in(keys["eve"])
            reads_alone(eve)
            two_edit(ann)
            decided(ann)
            brief(ann)
            as_yaml(ann, tmp_path / "configs")
            browser.close()
        assert ann.faults == eve.faults == []
        shop = Shop(tmp_path / "nothing", settings)
        shown = shop.call("experiment", "show", "buy-button").stdout
        assert yaml.safe_load(shown) == EXPERIMENT | {"owner": "shop and app"}
        applied = shop.call("apply", str(tmp_path / "configs")).stdout
        assert "the catalog holds them as they are" in applied


@contextmanager
def running(deployment: Settings) -> Iterator[Settings]:
    """Every stage and a server that wants keys, all at work."""
    settings = with_free_port(deployment)
    with Supervisor(settings, is_open=False):
        wait_for(lambda: is_ready(address(HOME, settings.http_port)), what="every stage", often=0.1)
        yield settings


def is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").is_success
    except httpx.TransportError:
        return False


class Visitor:
    """Somebody before a browser, without a mouse and without a shell."""

    def __init__(self, context: BrowserContext) -> None:
        context.set_default_timeout(SOON)
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        self.context = context
        self.faults: list[str] = []
        self.page = self.open()

    def open(self, path: str = "/") -> Page:
        """Another tab."""
        page = self.context.new_page()
        page.on("console", lambda said: said.type in ("error", "warning") and self.faults.append(said.text))
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.goto(path)
        return page

    def sign_in(self, key: str) -> None:
        page = self.page
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        self.shows("sign-in")
        page.locator("#main").focus()
        press(page, "Sign in")
        page.keyboard.type(key)
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text("Experiments and flags")
        self.faults[:] = [fault for fault in self.faults if "401" not in fault]

    def goes_to(self, page: str, heading: str | None = None) -> None:
        """By the head of the page that is open."""
        self.page.locator("body").press("Home")
        press(self.page, page, back=True)
        expect(self.page.get_by_role("heading", level=1)).to_have_text(heading or page)

    def shows(self, name: str) -> None:
        """Keeps what it looks like, by day and by night."""
        for scheme in ("light", "dark"):
            self.page.emulate_media(color_scheme=scheme)
            self.page.screenshot(path=SCREENSHOTS / f"journey-{name}-{scheme}.png", full_page=True)

    def has_a_phone(self, name: str) -> None:
        size = self.page.viewport_size
        self.page.set_viewport_size({"width": 390, "height": 844})
        assert self.page.evaluate("document.documentElement.scrollWidth") <= 390
        self.page.screenshot(path=SCREENSHOTS / f"journey-{name}-phone.png", full_page=True)
        self.page.set_viewport_size(size)


class Program:
    """What asks for the flags and sends what its users do, with the key that the page showed."""

    def __init__(self, url: str, key: str, directory: Path) -> None:
        self._http = httpx.Client(base_url=url, timeout=30)
        self._key = key
        self._file = directory / "flags.json"
        self.given: dict[str, str] = {}

    def meet(self, users: range) -> None:
        """Everybody gets a variant; of control 20 % buy, of treatment 40 %, and in either one of three fails."""
        asked = self._http.get("/sdk/v2/flags", headers={"authorization": f"Api-Key {self._key}"})
        self._file.write_text(asked.raise_for_status().text)
        flags = load_flags(self._file)
        now = time.time_ns() // 1_000_000
        events = []
        for number in users:
            user = f"user-{number}"
            answer = flags.evaluate({"user_id": user, "country": "AT"})["buy-button"]
            self.given[user] = answer.key
            said = {"flag_key": "buy-button", "variant": answer.key}
            events.append(event("$exposure", user, now, event_properties=said))
            buys = number % 10 < (4 if answer.key == "treatment" else 2)
            events += [event("purchase", user, now + 100)] if buys else []
            events += [event("app_error", user, now + 200)] if number % 3 == 0 else []
        for first in range(0, len(events), 2_000):
            assert self.send(events[first : first + 2_000]).status_code == 200

    def send(self, events: list[dict[str, Any]]) -> httpx.Response:
        return self._http.post("/2/httpapi", json={"api_key": self._key, "events": events})


def event(name: str, user: str, time: int, **more: Any) -> dict[str, Any]:
    return {"event_type": name, "user_id": user, "time": time, "insert_id": f"{name}/{user}"} | more


def deployment_and_its_key(ann: Visitor) -> str:
    page = ann.page
    ann.shows("empty")
    ann.goes_to("Deployments")
    press(page, "New deployment")
    expect(page.get_by_role("heading", level=1)).to_have_text("New deployment")
    fill(page, Key="shop-server", Owner="shop", Type="server")
    ann.shows("new-deployment")
    go(page, "Next: Review")
    publishes(page, "we begin")
    expect(page.get_by_role("heading", level=1)).to_have_text("shop-server")
    press(page, "New key")
    shown = page.locator(".made pre").first
    expect(shown).to_contain_text("server-")
    key = shown.inner_text()
    ann.shows("deployment")
    ann.has_a_phone("deployment")
    page.reload()
    expect(page.get_by_text(f"{key[:15]}…", exact=False).first).to_be_visible()
    expect(page.get_by_text(key)).to_have_count(0)
    return key


def publishes(page: Page, reason: str, name: str = "Publish") -> None:
    fill(page, **{"Reason, for the history": reason})
    expect(page.get_by_role("button", name=name, exact=True)).to_be_enabled()
    press(page, name)


def metrics(ann: Visitor) -> None:
    page = ann.page
    for key, sent in (("purchase", "purchase"), ("app-error", "app_error")):
        ann.goes_to("Metrics")
        press(page, "New metric")
        expect(page.get_by_role("heading", level=1)).to_have_text("New metric")
        fill(page, Key=key, Owner="shop", Type="conversion", Event=sent, Window="1s")
        if key == "purchase":
            ann.shows("new-metric")
        go(page, "Next: Review")
        publishes(page, "to measure by")
        expect(page.get_by_role("heading", level=1)).to_have_text(key)
    ann.shows("metric")


def experiment(ann: Visitor) -> None:
    page = ann.page
    ann.goes_to("Experiments and flags")
    press(page, "New experiment")
    expect(page.get_by_role("heading", level=1)).to_have_text("New experiment")
    why = EXPERIMENT["hypothesis"]
    fill(page, Key="buy-button", Name=EXPERIMENT["name"], Owner="shop", Tags="checkout")
    fill(page, Problem=why["problem"], Solution=why["solution"], Prediction=why["prediction"])
    ann.shows("hypothesis")
    ann.has_a_phone("hypothesis")
    go(page, "Next: Metrics and guardrails")
    press(page, "Add purchase")
    fill(page, **{"Minimum effect, as a share": "0.2"})
    press(page, "Add app-error")
    reach(page, "Role", back=True)
    page.keyboard.type("guardrail")
    fill(page, Direction="decrease", **{"Margin: acceptable loss, as a share": "0.5"})
    ann.shows("goals")
    go(page, "Next: Variants")
    reach(page, "Payload")
    reach(page, "Payload")
    page.keyboard.type(PAYLOAD)
    ann.shows("variants")
    page.reload()
    expect(page.get_by_role("heading", level=2)).to_have_text("Variants")
    expect(page.get_by_label("Payload", exact=True).nth(1)).to_have_value(json.dumps(json.loads(PAYLOAD), indent=2))
    other = ann.open(page.url[page.url.index("/#/") :])
    expect(other.get_by_role("heading", level=2)).to_have_text("Variants")
    other.close()
    go(page, "Next: Who sees it")
    press(page, "Add a segment")
    expect(page.get_by_label("Name")).to_be_focused()
    page.keyboard.type("Austria")
    press(page, "Add a condition")
    expect(page.get_by_label("Property")).to_be_focused()
    page.keyboard.type("country")
    fill(page, Operator="is", Values="AT\nCH")
    fill(page, **{"Rollout, %": "100", "Rollout of all others, %": "50"})
    ann.shows("audience")
    go(page, "Next: Analysis")
    fill(page, Alpha="0.1")
    ann.shows("analysis")
    go(page, "Next: Plan")
    ann.shows("plan")
    go(page, "Next: Review")
    expect(page.get_by_role("region", name="It cannot be published yet")).to_have_count(0)
    ann.shows("review")
    publishes(page, "let us see", "Save and start")
    expect(page.get_by_role("heading", level=1)).to_have_text(EXPERIMENT["name"])
    checklist = page.get_by_role("region", name="Launch checklist")
    expect(checklist).to_contain_text("'purchase' did not come")
    expect(checklist.locator("li", has_text="An exposure was seen")).to_contain_text("None in the last hour.")
    ann.shows("started")
    ann.has_a_phone("started")


def arrives(ann: Visitor, program: Program) -> None:
    page = ann.page
    ann.goes_to("Arriving")
    time.sleep(1.2 * SETTLING / 1_000)
    program.meet(range(2_000))
    expect(page.get_by_role("region", name="Exposures")).to_contain_text("buy-button", timeout=ARRIVES)
    assert program.send([{"event_type": "purchase"}]).status_code == 400
    expect(page.get_by_role("region", name="Refused by this server")).to_contain_text("user_id", timeout=ARRIVES)
    far = time.time_ns() // 1_000_000 + 10 * 86_400_000
    assert program.send([event("purchase", "user-9", far)]).status_code == 200
    expect(page.get_by_role("region", name="Could not be used")).to_contain_text("purchase", timeout=ARRIVES)
    ann.shows("arriving")
    ann.has_a_phone("arriving")


def works(ann: Visitor, program: Program) -> None:
    page = ann.page
    ann.goes_to("Experiments and flags")
    press(page, "buy-button")
    program.meet(range(2_000, 4_000))
    checklist = page.get_by_role("region", name="Launch checklist")
    expect(checklist.get_by_role("heading")).to_have_text("Launch checklist: 8 of 8")
    verdict = page.get_by_role("region", name="Verdict")
    expect(verdict).to_contain_text("treatment improves purchase")
    ann.shows("verdict")
    ann.has_a_phone("verdict")


def looked_up(ann: Visitor, program: Program) -> None:
    page = ann.page
    ann.goes_to("Units", "Look up a unit")
    reach(page, "user_id")
    page.keyboard.type("user-1")
    fill(page, **{"Properties, groups and other fields, as JSON": '{"country": "AT"}'})
    press(page, "Look up")
    flags = page.get_by_role("group", name="What each flag yields")
    expect(flags.get_by_role("row", name="buy-button")).to_contain_text(program.given["user-1"])
    records = page.locator(".unit-records > li")
    expect(records).to_have_count(2)
    expect(records.first).to_contain_text("sent purchase")
    expect(records.last).to_contain_text("met buy-button")
    while not page.locator(".contribution").count():  # what it says that it doesn't know yet
        expect(page.get_by_role("main")).to_contain_text("what came since is not in them yet")
        press(page, "Look up")
        expect(page.get_by_role("status")).to_contain_text("Records found: 2.")
    expect(page.locator(".contribution")).to_contain_text(f"in {program.given['user-1']} since")
    ann.shows("unit")


def reads_alone(eve: Visitor) -> None:
    """A viewer."""
    page = eve.page
    press(page, "buy-button")
    expect(page.get_by_role("region", name="Verdict")).to_be_visible()
    eve.shows("viewer")
    buttons = ("Edit", "Duplicate", "Roll out …", "Complete …", "Share …", "Comment", "Make a plan")
    for name in buttons:
        for role in ("button", "link"):
            expect(page.get_by_role(role, name=name, exact=True)).to_have_count(0)
    for where, hidden in (
        ("Deployments", ("New deployment", "Import YAML")),
        ("Metrics", ("New metric", "Import YAML")),
        ("Arriving", ("Send again …",)),
        ("Experiments and flags", ("New experiment", "New flag", "Import YAML")),
    ):
        eve.goes_to(where)
        for name in hidden:
            expect(page.get_by_text(name, exact=True)).to_have_count(0)


def two_edit(ann: Visitor) -> None:
    """The same document in two tabs: the second is told."""
    page = ann.page
    ann.goes_to("Experiments and flags")
    press(page, "buy-button")
    press(page, "Edit")
    expect(page.get_by_role("heading", level=1)).to_have_text("Edit buy-button")
    other = ann.open(page.url[page.url.index("/#/") :])
    expect(other.get_by_role("heading", level=1)).to_have_text("Edit buy-button")
    reach(other, "Owner")
    other.keyboard.type("shop and app")
    go(other, "7. Review")
    publishes(other, "both of us", "Publish version 3")
    expect(other.get_by_role("heading", level=1)).to_have_text(EXPERIMENT["name"])
    other.close()
    reach(page, "Name")
    page.keyboard.press("End")
    page.keyboard.type("!")
    told = page.get_by_role("region", name="ann has published version 3 meanwhile")
    expect(told).to_contain_text("both of us")
    ann.shows("conflict")
    press(page, "Discard it", back=True)


def decided(ann: Visitor) -> None:
    page = ann.page
    ann.goes_to("Experiments and flags")
    press(page, "buy-button")
    press(page, "Roll out …")
    fill(page, **{"Reason, for the history": "it sells"})
    ann.shows("roll-out")
    page.keyboard.press("Enter")
    decision = page.get_by_role("region", name="Decision")
    expect(decision).to_contain_text("Rolled out: treatment")
    expect(decision).to_contain_text("it sells")
    expect(decision).to_contain_text("by ann, ")
    expect(decision.get_by_role("link", name=re.compile("look .* of exp-1"))).to_be_visible()
    ann.shows("decided")
    ann.has_a_phone("decided")


def brief(ann: Visitor) -> None:
    page = ann.page
    fill(page, **{"Your comment, in Markdown": "Well **done**."})
    press(page, "Comment")
    expect(page.locator("#comment-1")).to_contain_text("Well done.")
    press(page, "brief", back=True)
    press(page, "Write")
    for field, text in (("Background", "They left."), ("Decision", "Everybody."), ("Learning", LEARNT)):
        label = page.get_by_label(re.compile(f"^{field}: "), exact=False).first
        reach(page, label.evaluate("field => field.labels[0].textContent.trim().slice(0, 70)"))
        page.keyboard.type(text)
    ann.shows("brief-form")
    go(page, "Next: Review")
    publishes(page, "for others")
    expect(page.get_by_role("heading", name="Learning")).to_be_visible()
    ann.shows("brief")
    ann.has_a_phone("brief")
    ann.goes_to("Briefs")
    page.keyboard.press("/")
    page.keyboard.type("beat colours")
    expect(page.locator("#row-buy-button")).to_contain_text("Rolled out: treatment")
    ann.shows("briefs")
    page.reload()
    expect(page.get_by_label("Search the texts of briefs")).to_have_value("beat colours")
    expect(page.locator("#row-buy-button")).to_contain_text(LEARNT)


def as_yaml(ann: Visitor, directory: Path) -> None:
    """Every document as its page copies it, as files."""
    page = ann.page
    places = {
        ("Experiments and flags", "buy-button"): "experiments",
        ("Metrics", "purchase"): "metrics",
        ("Metrics", "app-error"): "metrics",
        ("Deployments", "shop-server"): "deployments",
    }
    for (listed, key), folder in places.items():
        ann.goes_to(listed)
        if key == "buy-button":
            ann.shows("list")
            ann.has_a_phone("list")
        press(page, key)
        press(page, "Copy as YAML")
        expect(page.get_by_text("Copied.")).to_be_visible()
        (directory / folder).mkdir(parents=True, exist_ok=True)
        (directory / folder / f"{key}.yaml").write_text(page.evaluate("navigator.clipboard.readText()"))
