"""Authoring in a real Chromium: documents that people make and edit there are what they typed, and nothing else."""

import re
from typing import Any

import httpx
from playwright.sync_api import FilePayload, expect

from pipeline.http.callers.keys import Keys
from tests.pipeline.http.console.console import Console
from tests.pipeline.http.console.keyboard import fill, go, reach

EVIL = "<img src=x onerror=\"document.title='evil'\"><script>document.title='evil'</script>"
BUSY = {"units": 7_000, "daily": 1_000.0, "mean": 0.123456, "deviation": 0.3}  # as an archive would have it


def call(console: Console, method: str, path: str, body: object = None) -> Any:
    answer = httpx.request(
        method, f"{console.address}/api/1/{path}", headers={"authorization": f"Bearer {console.key}"}, json=body
    )
    assert answer.status_code in (200, 201), answer.text
    return answer.json()


def test_an_experiment_is_made_by_keyboard_alone_and_is_what_was_typed(console: Console):
    page = console.open("new/experiment")
    page.locator("#main").focus()

    fill(page, Key="basket hint", Name=EVIL, Owner="shop", Tags="basket\ncheckout")
    key = page.get_by_label("Key", exact=True)
    expect(key).to_have_accessible_description(re.compile("'basket hint' is not allowed"))
    fill(page, Description=f"It says {EVIL}", Problem=EVIL, Solution="A hint.", Prediction="5 % more purchases")
    go(page, "Next: Metrics and guardrails")

    fill(page, **{"Add a metric: find it by key, name or owner": "something"})
    reach(page, "Add purchase")
    page.keyboard.press("Enter")
    expect(page.locator("fieldset fieldset")).to_contain_text("Whether a unit sent ‘purchase’. Counted within 10s")
    expect(page.get_by_label("Role")).to_have_value("primary")
    reach(page, "Minimum effect, as a share", back=True)
    page.keyboard.type("0.05")
    go(page, "Next: Variants")

    reach(page, "Payload")
    page.keyboard.type('{"label": 12345678901234567890, "other":')
    payload = page.get_by_label("Payload").first
    expect(payload).to_have_accessible_description(re.compile("this is no JSON: line 1, column 41: it ends too early"))
    page.keyboard.type(" 1.0}")
    reach(page, "Format Payload")
    page.keyboard.press("Enter")
    expect(payload).to_have_value('{\n  "label": 12345678901234567890,\n  "other": 1.0\n}')
    go(page, "Next: Who sees it")

    reach(page, "Add a segment")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Name")).to_be_focused()
    page.keyboard.type(EVIL)
    reach(page, "Add a condition")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Property")).to_be_focused()
    page.keyboard.type("country")
    fill(page, Operator="is", Values="AT\nCH")
    fill(page, **{"Rollout, %": "12.5", "Rollout of all others, %": "0"})
    go(page, "Next: Analysis")

    fill(page, Alpha="0.1", **{"Planned units": "20000"})
    go(page, "Next: Plan")
    go(page, "Next: Review")

    reach(page, "key")  # the one fault
    page.keyboard.press("Enter")
    expect(key).to_be_focused()
    page.keyboard.press("ControlOrMeta+A")
    page.keyboard.type("basket-hint")
    page.reload()
    expect(page.get_by_text("Your draft of")).to_be_visible()
    expect(key).to_have_value("basket-hint")
    page.locator("#main").focus()
    go(page, "7. Review")
    expect(page.locator("pre")).to_contain_text(EVIL)
    console.is_accessible(page, "review")
    fill(page, **{"Reason, for the history": "let us see"})
    reach(page, "Save and start")
    page.keyboard.press("Enter")

    expect(page.get_by_role("heading", level=1)).to_have_text(EVIL)
    assert "evil" not in page.title()
    stands = call(console, "GET", "documents/flag/basket-hint")
    assert stands["definition"] == {
        "key": "basket-hint",
        "name": EVIL,
        "description": f"It says {EVIL}",
        "hypothesis": {"problem": EVIL, "solution": "A hint.", "prediction": "5 % more purchases"},
        "owner": "shop",
        "tags": ["basket", "checkout"],
        "variants": [
            {"key": "control", "payload": {"label": 12345678901234567890, "other": 1.0}},
            {"key": "treatment"},
        ],
        "rollout": 0,
        "segments": [
            {
                "name": EVIL,
                "conditions": [{"property": "country", "op": "is", "values": ["AT", "CH"]}],
                "rollout": 12.5,
            }
        ],
        "metrics": [{"metric": "purchase", "role": "primary", "minimum_effect": 0.05}],
        "analysis": {"alpha": 0.1, "planned_units": 20_000},
    }
    assert stands["status"] == "running"


def test_the_second_of_two_editors_is_told_and_loses_nothing(console: Console):
    page = console.open("edit/flag/dark-mode")
    before = call(console, "GET", "documents/flag/dark-mode")["definition"]
    page.get_by_label("Owner").fill("design")
    page.get_by_label("Name").fill("Mine")
    meanwhile = before | {"name": "Theirs", "description": "Theirs, too"}
    said = {"definition": meanwhile, "base": 1, "reason": f"quicker {EVIL}"}
    call(console, "PUT", "documents/flag/dark-mode", said)

    page.get_by_label("Owner").fill("designers")

    told = page.get_by_role("region", name="ann has published version 2 meanwhile")
    expect(told).to_contain_text(f"quicker {EVIL}")
    expect(told.locator("tr", has_text=re.compile("^nameDark mode"))).to_contain_text("TheirsMine")
    expect(told.get_by_label("name: which goes on")).to_have_value("yours")
    expect(told.get_by_label("description: which goes on")).to_have_value("theirs")
    console.is_accessible(page, "conflict")
    told.get_by_label("name: which goes on").select_option("theirs")
    page.reload()  # the draft was of the version before
    expect(page.get_by_label("Name", exact=True)).to_have_value("Mine")
    told.get_by_role("button", name="Go on upon version 2").click()
    expect(page.get_by_label("Owner")).to_have_value("designers")
    expect(page.get_by_label("Description")).to_have_value("Theirs, too")
    page.get_by_role("button", name="5. Review").click()
    expect(page.locator("tr", has_text=re.compile("^name"))).to_contain_text("TheirsMine")
    page.get_by_label("Reason").fill("both of it")
    page.get_by_role("button", name="Save as draft").click()

    expect(page.locator(".versions > li").first).to_contain_text("both of it")
    stands = call(console, "GET", "documents/flag/dark-mode")
    assert stands["definition"] == meanwhile | {"name": "Mine", "owner": "designers"}

    eve = Keys(console.settings.data).create("viewer", "eve")[1]
    page = console.open("edit/flag/dark-mode", eve)
    expect(page.locator("pre")).to_contain_text("owner: designers")
    expect(page.get_by_role("textbox")).to_have_count(0)
    page.get_by_role("link", name="Experiments and flags").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Experiments and flags")
    expect(page.get_by_role("link", name="New experiment")).to_have_count(0)


def test_other_documents_follow_their_schema_and_yaml_goes_out_and_comes_in(console: Console):
    page = console.open("new/metric")
    page.set_viewport_size({"width": 390, "height": 844})
    page.get_by_label("Key", exact=True).fill("basket")
    page.get_by_label("Owner").fill("shop")
    expect(page.get_by_label("Property")).to_have_count(0)
    page.get_by_label("Type").select_option("sum")
    page.get_by_label("Event").fill("basket")
    page.get_by_label("Property").fill("value")
    page.get_by_label("Window").fill("1 day")
    page.get_by_label("Scale").focus()
    expect(page.get_by_label("Window")).to_have_accessible_description(re.compile("'1 day' is not allowed"))
    page.get_by_label("Window").fill("24h")
    console.is_accessible(page, "metric-form")
    page.wait_for_function("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_role("button", name="Next: Review").click()
    expect(page.locator("pre")).to_contain_text("window: 24h")
    yaml = page.locator("pre").text_content() or ""

    page.goto("/#/new/cohort")
    page.get_by_label("Key", exact=True).fill("testers")
    page.get_by_label("Owner").fill("shop")
    table: FilePayload = {
        "name": "ids.csv",
        "mimeType": "text/csv",
        "buffer": b'name,user_id\n"Ann, A.",u1\nBob,u2\nBob,u2\n',
    }
    page.get_by_label("A file of ids").set_input_files(table)
    expect(page.get_by_text("2 ids of ids.csv, each once; 1 stood there again")).to_be_visible()
    expect(page.get_by_label("Ids", exact=True)).to_have_value("u1\nu2")
    page.get_by_role("button", name="Next: Review").click()
    page.get_by_label("Reason").fill("to try")
    page.get_by_role("button", name="Publish", exact=True).click()
    expect(page).to_have_url(re.compile("cohorts/testers"))
    assert call(console, "GET", "documents/cohort/testers")["definition"]["ids"] == ["u1", "u2"]

    page.goto("/#/new/experiment?from=new-player")
    expect(page.get_by_label("Owner")).to_have_value("platform-team")
    expect(page.get_by_label("Key", exact=True)).to_have_value("")
    page.get_by_label("Key", exact=True).fill("newer-player")
    page.route("**/baseline?*", lambda route: route.fulfill(json=route.fetch().json() | BUSY))
    page.get_by_role("button", name="5. Analysis").click()
    sample = page.get_by_role("region", name="How long it takes")
    expect(sample).to_contain_text("7,000 units (user_id) came, 1,000 a day")
    sample.get_by_role("button", name="Take it as the baseline").click()
    expect(page.get_by_label("Mean")).to_have_value("0.1235")
    expect(sample).to_contain_text(re.compile(r"about \d+ days.*The smallest effects that 4 weeks can show: .*%"))

    standing = call(console, "GET", "documents/metric/purchase")["yaml"]
    page.goto("/#/import")
    page.get_by_label("YAML").fill(f"{standing}---\n{yaml.replace('24h', 'a day')}")
    expect(page.get_by_role("region", name="metric purchase")).to_contain_text("stands as it is")
    expect(page.get_by_role("region", name="metric basket")).to_contain_text("'a day' is not allowed")
    expect(page.get_by_role("button", name="Publish 1 of 2")).to_be_disabled()
    page.get_by_label("YAML").fill(f"{standing}---\n{yaml}")
    expect(page.get_by_role("region", name="metric basket")).not_to_contain_text("not allowed")
    page.get_by_label("Reason").fill("more numbers")
    console.is_accessible(page, "import")
    page.get_by_role("button", name="Publish 1 of 2").click()
    expect(page.get_by_role("alert")).to_contain_text("These stand: metric basket.")
    expect(page.get_by_role("region", name="metric basket")).to_contain_text("stands as it is")
    assert call(console, "GET", "documents/metric/basket")["yaml"] == yaml
