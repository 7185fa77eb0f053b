"""Deciding and remembering in the console: what was decided, said and learned; and texts of people are only texts."""

import re
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
from playwright.sync_api import Page, expect

from pipeline.http.callers.keys import Keys
from schemas.notification import Notification
from schemas.topics import NOTIFICATIONS
from tests.pipeline.http.console.console import EXPERIMENT, Console

EVIL = "<img src=x onerror=alert(1)><script>alert(1)</script>"
FOREIGN = "main :is(img, script, iframe, object, embed, [onerror], [onclick]), #notifications :is(img, script)"
PROSE = "Visitors reach the last page, do not see the button and leave; support hears of it every single week. " * 12


def call(console: Console, method: str, path: str, body: dict[str, Any]) -> Any:
    headers = {"authorization": f"Bearer {console.key}"}
    answer = httpx.request(method, f"{console.address}/api/1/{path}", json=body, headers=headers, timeout=20)
    assert answer.status_code == 200, answer.text
    return answer.json()


def fits_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.set_viewport_size({"width": 1_280, "height": 800})


def test_what_is_decided_and_said_of_an_experiment_is_remembered(console: Console):
    page = console.experiment()
    newest = console.last.look if console.last else 0
    page.get_by_label("Your comment, in Markdown").fill(f"This is **it**. {EVIL}")
    expect(page.locator(".preview strong")).to_have_text("it")
    page.get_by_role("button", name="Comment", exact=True).click()
    comment = page.locator("#comment-1")
    expect(comment).to_contain_text("ann, ")
    expect(comment).to_contain_text(EVIL)
    expect(comment.get_by_role("link", name=f"look {newest} of exp-1")).to_be_visible()
    expect(page.get_by_label("Your comment, in Markdown")).to_have_value("")

    taking = {"variant": "treatment", "reason": f"it sells {EVIL}", "yes": True}
    call(console, "POST", f"experiments/{EXPERIMENT}/actions/rollout", taking)
    console.publish(3_000)
    page.reload()
    decision = page.get_by_role("region", name="Decision")
    expect(decision).to_contain_text("Rolled out: treatment")
    expect(decision).to_contain_text(f"it sells {EVIL}")
    expect(decision).to_contain_text("by ann, ")
    expect(page.get_by_role("region", name="Verdict")).to_have_count(0)
    console.is_accessible(page, "decided", ".decided-on")
    expect(decision.get_by_role("link", name=f"look {newest} of exp-1")).to_have_attribute(
        "href", f"#/experiments/{EXPERIMENT}/exp-1/{newest}"
    )
    page.get_by_role("link", name="brief", exact=True).click()

    expect(page.get_by_role("heading", name="Result")).to_be_visible()
    page.get_by_role("button", name="Edit").click()
    for name in ("Background", "Decision", "Learning"):
        page.get_by_label(re.compile(f"^{name}: "), exact=False).first.fill(f"## {name}!\n\n{PROSE}\n\n- {EVIL}")
    page.get_by_label("Reason, for the history").fill("for those who come after us")
    expect(page.locator(".preview h3")).to_have_count(3)
    console.is_accessible(page, "brief-form", ".brief-form")
    fits_a_phone(page)
    page.get_by_role("button", name="Save").click()

    expect(page.get_by_role("heading", name="Learning!")).to_be_visible()
    expect(page.locator(".brief")).to_contain_text(EVIL)
    expect(page.locator(".brief .decisions")).to_contain_text("Rolled out: treatment")
    expect(page.locator(".brief tbody")).to_contain_text("purchase")
    assert page.locator(FOREIGN).count() == 0
    console.is_accessible(page, "brief")
    fits_a_phone(page)
    printed = page.pdf(prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) == 2

    page.get_by_role("link", name="Briefs").click()
    page.get_by_label("Decision").select_option("rollout")
    page.get_by_label("Search the texts of briefs").fill("every single week")
    expect(page.locator(".rows > li")).to_have_count(1)
    expect(page.locator(f"#row-{EXPERIMENT}")).to_contain_text("Rolled out: treatment")
    console.is_accessible(page, "briefs")
    page.get_by_label("Search the texts of briefs").fill("nobody wrote so")
    expect(page.get_by_text("No brief matches.")).to_be_visible()
    page.goto("/#/")
    expect(page.locator(f"#row-{EXPERIMENT}")).to_contain_text("Rolled out: treatment")
    page.goto(f"/#/experiments/{EXPERIMENT}")
    page.get_by_role("button", name="Withdraw").click()
    expect(page.locator("#comment-1")).to_contain_text("Withdrawn by ann")
    expect(page.locator("#comment-1")).not_to_contain_text("This is it.")
    page.close()

    viewer = console.experiment(Keys(console.settings.data).create("viewer", "eve")[1])
    expect(viewer.locator("#comment-1")).to_contain_text("Withdrawn by ann")
    expect(viewer.get_by_role("button", name="Withdraw")).to_have_count(0)
    expect(viewer.get_by_label("Your comment, in Markdown")).to_have_count(0)


def test_what_people_and_producers_write_is_text_on_every_page(console: Console):
    def put(kind: str, definition: dict[str, Any]) -> None:
        said = {"definition": definition, "base": 0, "reason": EVIL, "yes": True}
        call(console, "PUT", f"documents/{kind}/{definition['key']}", said)

    written = {"name": EVIL, "description": EVIL, "owner": EVIL, "tags": [EVIL]}
    variants = [{"key": "control", "name": EVIL, "description": EVIL, "payload": EVIL, "users": [EVIL]}, {"key": "new"}]
    segment = {"name": EVIL, "conditions": [{"property": "country", "op": "is", "values": [EVIL]}]}
    hypothesis = {"problem": EVIL, "solution": EVIL, "prediction": EVIL}
    metric = {"name": EVIL, "description": EVIL, "owner": EVIL, "type": "conversion", "event": EVIL, "window": "1h"}
    put("metric", {**metric, "key": "evil-metric"})
    put("cohort", {**written, "key": "evil-cohort", "ids": [EVIL]})
    put("deployment", {**written, "key": "evil-web", "type": "client"})
    put("group", {**written, "key": "evil-group", "type": "holdout", "slots": [{"percentage": 1, "users": [EVIL]}]})
    flag = {**written, "variants": variants, "segments": [segment], "hypothesis": hypothesis}
    put("flag", {**flag, "key": "evil-flag"})
    put("flag", {**flag, "key": "evil", "metrics": [{"metric": "evil-metric", "role": "primary"}]})
    texts = {"background": EVIL, "decision": f"# {EVIL}", "learning": f"[x](javascript:alert(1)) {EVIL}"}
    put("brief", {"key": "evil", "owner": EVIL, "tags": [EVIL], **texts})
    for key, steps in {"evil": ("start", "complete"), "evil-flag": ("start",)}.items():
        for step in steps:
            call(console, "POST", f"flags/{key}/actions/{step}", {"reason": EVIL, "yes": True})
        call(console, "POST", f"flags/{key}/comments", {"text": f"{EVIL} [y](data:text/html,{EVIL})"})
    told = Notification(
        id="evil", rule=EVIL, event="test", subject=EVIL, time=1, sentence=EVIL, link="javascript:alert(1)"
    )
    console.send(NOTIFICATIONS, EVIL, msgspec.json.encode(told))

    page = console.open()
    seen, due = set[str](), ["#/", f"#/experiments/evil?metric={quote(EVIL)}", f"#/{quote(EVIL)}"]
    asked: list[str] = []
    page.on("dialog", lambda dialog: asked.append(dialog.message) or dialog.dismiss())
    while due:
        address = due.pop(0)
        seen.add(address)
        page.goto(f"/{address}")
        expect(page.locator("main h1").first).to_be_visible()
        expect(page.locator("main")).not_to_have_text("Reading …")
        if re.match("#/(experiments|flags|briefs|metrics|cohorts)/evil", address):
            expect(page.locator("main")).to_contain_text(EVIL)
        assert page.locator(FOREIGN).count() == 0, address
        links = page.eval_on_selector_all("a[href]", "found => found.map(each => each.getAttribute('href'))")
        assert not [each for each in links if not re.match("#|/|https?:|mailto:", each)], address
        due += [each for each in dict.fromkeys(links) if is_evil(each) and each not in (*seen, *due)]
    assert {"#/experiments/evil", "#/flags/evil-flag", "#/briefs/evil", "#/briefs"} <= seen
    page.get_by_role("button", name="Notifications").click()
    expect(page.locator("#notifications")).to_contain_text(EVIL)
    assert page.locator(FOREIGN).count() == 0
    assert asked == []


def is_evil(address: str) -> bool:
    """Whether it is one of the pages of this catalog, or a page that has no key."""
    return address.startswith("#/") and ("evil" in address or address.count("/") == 1)
