"""What the console asks of the archive, in a browser: a unit, a metric, a cohort."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from playwright.sync_api import Page, expect

from pipeline.catalog.topic import read_catalog
from schemas.topics import EVENTS, EXPOSURES
from tests.pipeline.http.console.console import EXPERIMENT, Console
from tests.pipeline.questions.world import World

READING = 60_000  # ms, in which a process begins that reads the archive
EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def asked(console: Console) -> Console:
    """An archive beside it: sixty units were exposed, and some bought."""
    with ThreadPoolExecutor() as thread:  # its loop beside Playwright's
        history = thread.submit(read_catalog, console.settings).result()
    world = World(console.settings.data / "archive", history, EXPERIMENT)
    now = world.run.started + 2_000
    arms = ("control", "treatment")
    exposures = [
        {"flag_key": EXPERIMENT, "variant": arms[i % 2], "user_id": f"s{i}", "time": now + i} for i in range(60)
    ]
    events = [
        {
            "event_type": "purchase",
            "user_id": f"s{i}",
            "time": now + 500 + i,
            "event_properties": {"revenue": 5 + i, "note": EVIL},
        }
        for i in range(0, 60, 3)
    ]
    world.send(EXPOSURES, exposures, [each["time"] for each in exposures])
    world.send(EVENTS, events, [each["time"] for each in events])
    world.flush(now + 5_000)
    time.sleep(max(0.0, now / 1_000 + 5 - time.time()))
    return console


def opened(console: Console, route: str) -> Page:
    page = console.open()
    page.goto(f"/#/{route}")
    return page


def test_a_unit_is_looked_up_from_the_keyboard_and_its_address_opens_it_again(asked: Console) -> None:
    page = opened(asked, "unit")
    page.get_by_label("user_id").focus()
    page.keyboard.type("s3")
    page.keyboard.press("Enter")

    flags = page.get_by_role("group", name="What each flag yields")
    expect(flags.get_by_role("row", name=EXPERIMENT)).to_contain_text("of 0–99")
    records = page.locator(".unit-records > li")
    expect(records).to_have_count(2, timeout=READING)
    expect(records.first).to_contain_text("sent purchase")
    expect(page.locator(".contribution")).to_contain_text("in treatment since")
    expect(page.locator(".contribution")).to_contain_text("revenue8")
    records.first.get_by_text("events/0/").click()
    expect(records.first).to_contain_text(EVIL)  # as text
    asked.is_accessible(page, "unit")
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    asked.shows(page, "unit-phone")

    assert page.url.endswith("#/unit?user_id=s3")
    page.reload()
    expect(page.locator(".unit-records > li")).to_have_count(2, timeout=READING)
    page.get_by_label("Properties").fill("[")
    page.get_by_role("button", name="Look up").click()
    expect(page.get_by_role("alert")).to_contain_text("no JSON")


def test_a_metric_tells_its_definition_its_users_and_what_units_come_to(asked: Console) -> None:
    page = opened(asked, "metrics")
    page.get_by_role("link", name="Revenue per visitor").click()

    expect(page.get_by_text("The total of ‘revenue’ over a unit's ‘purchase’. Counted within 10s")).to_be_visible()
    expect(page.get_by_role("region", name="Used by").get_by_role("link")).not_to_have_count(0)
    expect(page.get_by_role("row", name="purchase")).to_contain_text("none came")
    expect(page.get_by_role("img", name="Units' numbers")).to_be_visible(timeout=READING)
    expect(page.get_by_text("20 units; 0 (0.0%) have 0")).to_be_visible()
    expect(page.get_by_text("units a daynot known yet")).to_be_visible()  # of less than an hour
    asked.is_accessible(page, "metric")


def test_a_cohort_says_who_is_in_it(asked: Console) -> None:
    page = opened(asked, "cohorts")
    page.get_by_role("link", name="They asked to try what is new").click()

    expect(page.get_by_text("4 by user_id.")).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("u7")
    expect(page.get_by_text("‘u7’ is a member.")).to_be_visible()
    page.keyboard.type("7")
    expect(page.get_by_text("‘u77’ is no member.")).to_be_visible()
    asked.is_accessible(page, "cohort")
