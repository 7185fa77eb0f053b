"""What is read in the console, and by whom: results, what arrives, deployments, on call; links, and other origins."""

import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import httpx
import msgspec
import pytest
from kafka import KafkaProducer
from playwright.sync_api import expect

from evaluation.catalog.lifecycle import apply_definition, start
from evaluation.significance.look import encode_look
from pipeline.http.callers.keys import Keys
from pipeline.kafka.clients import kafka_python_arguments
from pipeline.kafka.reading import read_topic
from schemas.arrivals import Arrivals, ArrivedSample, DeadLettersArrived, EventsArrived, ExposuresArrived
from schemas.catalog import Condition, Segment
from schemas.dead_letter import DeadLetter, to_headers
from schemas.duration import MINUTE_MS
from schemas.look import DataFault
from schemas.topics import ARRIVALS, DEAD_LETTERS, EVENTS, EXPOSURES, RESULTS
from tests.pipeline.http.console.console import EXPERIMENT, Console
from tests.pipeline.questions.world import World

EVIL = "<img src=x onerror='document.title=1'>"
# What stands beyond the right edge of the window, and in nothing that scrolls.
TOO_WIDE = """[...document.querySelectorAll("body *")].filter(each => each.getBoundingClientRect().right > innerWidth
    && !each.closest("#pages, .wide, pre, .unseen")).map(each => each.outerHTML.slice(0, 200))"""


def test_what_is_seen_has_an_address_that_opens_it_again(console: Console):
    page = console.experiment()
    expect(page).to_have_url(re.compile(f"#/experiments/{EXPERIMENT}$"))
    page.locator("#reading").select_option("live")
    page.locator("#metric").select_option("revenue, treatment")
    page.locator("#segment").select_option("platform=iOS")
    page.locator("#absolute").check()
    page.get_by_role("slider").fill("5")
    expect(page.get_by_text(re.compile("Look 5 of"))).to_be_visible()
    query = "metric=revenue&variant=treatment&reading=live&segment=platform%3DiOS&absolute=true"
    expect(page).to_have_url(re.compile(re.escape(f"#/experiments/{EXPERIMENT}/{console.run.key}/5?{query}") + "$"))

    other = page.context.new_page()
    other.goto(page.url)
    page.reload()

    for each in (page, other):
        expect(each.get_by_text(re.compile("Look 5 of"))).to_be_visible()
        expect(each.locator("#reading")).to_have_value("live")
        expect(each.locator("#absolute")).to_be_checked()
        expect(each.locator("#metric")).to_have_value("revenue, treatment")
        expect(each.locator("#segment")).to_have_value("platform=iOS")
        expect(each.locator("#chart-intervals-read")).to_contain_text("Look 5, ")
    page.goto("/#/?text=dark+design&state=draft")
    expect(page.locator(".rows > li")).to_have_count(1)
    page.goto(f"/#/experiments/{EXPERIMENT}/exp-9")
    expect(page.get_by_text("There is no run exp-9; this is the newest.")).to_be_visible()


def test_charts_say_what_they_show_at_the_cursor_in_step_and_in_the_readers_time(console: Console):
    context = console.browser.browser.new_context(
        base_url=console.address, timezone_id="Asia/Tokyo", reduced_motion="reduce"
    )
    page = console.open(f"experiments/{EXPERIMENT}", context=context)
    read = [page.locator(f"#chart-{name}-read") for name in ("intervals", "units")]
    newest = console.last.look if console.last else 0
    for each in read:
        expect(each).to_contain_text(re.compile(rf"Look {newest}, \d{{4}}-.* GMT\+9"))
    expect(page.locator(".timeline")).to_contain_text("GMT+9")

    page.locator("#chart-units").focus()
    page.keyboard.press("Home")

    expect(read[0]).to_contain_text(re.compile("Look 1, .* 270 units: no interval yet"))
    expect(read[1]).to_contain_text(re.compile("Look 1, .*: control 150, treatment 150"))
    page.keyboard.press("ArrowRight")
    for each in read:
        expect(each).to_contain_text("Look 2, ")
    page.locator("#numbers-units summary").click()
    expect(page.locator("#numbers-units")).to_contain_text("as of (Asia/Tokyo)")
    context.close()


def test_what_does_not_come_is_said_before_any_number_and_segments_have_their_rollout(console: Console):
    segment = Segment(name="beta", conditions=(Condition(property="country", op="is", values=("AT",)),))
    definition = msgspec.structs.replace(
        console.run.definition, key="parted", rollout=0, segments=(segment,), breakdowns=()
    )
    draft = apply_definition(None, definition, 1)
    console.write("parted", draft, start(draft, 2, "salt0001"))
    shown = console.look(replace(console.run, flag="parted", definition=definition), 1_560)
    fault = DataFault(
        kind="event never came",
        says="no 'purchase' has come for 20 minutes, while 'Purchase' does",
        metric="purchase",
        event="purchase",
        since=shown.time,
        near=["Purchase"],
    )
    health = msgspec.structs.replace(shown.health, data=[fault])
    console.send(RESULTS, "parted/exp-1", encode_look(msgspec.structs.replace(shown, health=health)))

    now = time.time_ns() // 1_000_000
    said = {"flag": "parted", "run": "exp-1", "last": now}
    exposures = [
        ExposuresArrived(variant="control", segment="beta", count=30, **said),
        ExposuresArrived(variant="treatment", segment="beta", count=10, **said),
        ExposuresArrived(variant="treatment", count=5, **said),
    ]
    arrived = Arrivals(worker="host/1", part=0, minute=now - now % MINUTE_MS, exposures=exposures)
    console.send(ARRIVALS, arrived.key, msgspec.json.encode(arrived))

    page = console.open("experiments/parted")

    faults = page.get_by_role("region", name="Data do not come as they should")
    expect(faults).to_contain_text("No 'purchase' has come for 20 minutes, while 'Purchase' does.")
    expect(faults).to_contain_text(re.compile("The last one came .* UTC"))
    expect(page.locator("#cell-purchase-treatment")).to_contain_text("! event never came")
    expect(page.locator("#variant-treatment td").first).to_have_text("50.0% 25.0% measured")
    expect(page.locator("#variant-treatment td").nth(1)).to_have_text("0.0%")
    split = page.get_by_role("region", name="Who gets what")
    expect(split).to_contain_text(re.compile("the 40 exposures of the last hour that say theirs.* 5 say none"))
    console.is_accessible(page, "data-faults")
    page.goto("/#/?text=parted")
    expect(page.locator("#row-parted")).to_contain_text("beta 100% · others 0%")


def test_a_drawer_opens_below_a_metric_and_tells_its_units_from_the_archive(console: Console):
    world, begin = World(console.settings.data / "archive", console.catalog), console.run.started + 3_000
    users, variants = [f"unit-{number}" for number in range(40)], ("control", "treatment")
    exposures = [
        {"flag_key": EXPERIMENT, "variant": variants[at % 2], "user_id": user, "time": begin + at}
        for at, user in enumerate(users)
    ]
    world.send(EXPOSURES, exposures, [begin + at for at in range(40)])
    events = [
        {"event_type": "purchase", "user_id": user, "time": begin + 100, "event_properties": {"revenue": 10 + at}}
        for at, user in enumerate(users[::4])
    ]
    world.send(EVENTS, events, [begin + 100] * len(events))
    world.flush(begin + 200)
    viewer = Keys(console.settings.data).create("viewer", "vera")[1]
    page = console.experiment(viewer)

    page.get_by_role("button", name="what is behind revenue").click()

    drawer = page.locator("#drawer-revenue")
    expect(drawer).to_contain_text("40 units of the archive, up to ", timeout=60_000)  # a process is begun for it
    by_number = drawer.get_by_role("group", name="Units by their number and arm")
    expect(by_number.get_by_role("row", name=re.compile("^0 "))).to_contain_text(re.compile("10.*50.0%.*20.*100.0%"))
    expect(page).to_have_url(re.compile("drawer=revenue"))
    console.is_accessible(page, "drawer", "#drawer-revenue")
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_function("document.documentElement.scrollWidth <= innerWidth")
    console.shows(page, "drawer-phone")
    expect(page.get_by_role("group", name="Actions")).to_have_count(0)  # of a viewer, who may take no step
    expect(page.get_by_role("link", name="Make a plan")).to_have_count(0)

    page.get_by_role("link", name="explore revenue").click()
    page.get_by_role("textbox", name="Metrics, or any event").fill("revenue\npurchase:count")
    page.get_by_role("textbox", name="Split units by").fill("day")
    page.get_by_role("checkbox", name="Also units whose window is still open").check()
    page.get_by_role("button", name="Ask", exact=True).click()
    answer = page.get_by_role("group", name="Comparisons by slice")
    everybody = answer.get_by_role("row", name=re.compile("everybody purchase:count"))
    expect(everybody).to_contain_text(re.compile("treatment.*20.*20"), timeout=60_000)
    expect(page.get_by_text(re.compile("4 comparisons were asked for, corrected by"))).to_be_visible()
    expect(page).to_have_url(re.compile("#/explore/checkout-button.*by=day"))
    console.is_accessible(page, "explore")
    console.fits_a_phone(page)
    page.reload()  # its address asks again
    expect(everybody).to_be_visible()


def test_what_arrives_is_seen_and_what_nobody_can_use_is_sent_again(console: Console):
    xss = "<img src=x onerror=alert(1)>"
    now = time.time_ns() // 1_000_000
    flag, run = console.run.flag, console.run.key
    sample = json.dumps({"event_type": "Purchased", "event_properties": {"price": 7.5, xss: xss}})
    told = Arrivals(
        worker="host/1",
        part=0,
        minute=now - now % 60_000,
        events=[
            EventsArrived(name="Purchased", library="amplitude-ts/2.1", count=120, last=now),
            EventsArrived(name=xss, library=xss, count=1, last=now),
        ],
        exposures=[
            ExposuresArrived(flag=flag, variant="control", run=run, count=30, last=now),
            ExposuresArrived(flag=flag, variant="treatment", run="exp-0", count=10, last=now),
            ExposuresArrived(flag=xss, variant=xss, count=1, last=now),
        ],
        dead_letters=[
            DeadLettersArrived(
                topic="events",
                reason="not json",
                count=3,
                last=now,
                detail=f"it is {xss}",
                origin="events/0/1",
                value=xss,
            )
        ],
        samples=[ArrivedSample(topic="events", name="Purchased", time=now, value=sample)],
    )
    console.send(ARRIVALS, told.key, msgspec.json.encode(told))
    page = console.open("arriving")

    events, exposures = (page.get_by_role("region", name=name) for name in ("Events", "Exposures"))
    expect(events.get_by_role("row").filter(has_text="Purchased")).to_contain_text(
        re.compile("120.*amplitude-ts/2.1no metric")
    )
    expect(events.get_by_role("row").filter(has_text=xss)).to_have_count(1)
    expect(page.get_by_role("region", name="Counted, but never came")).to_contain_text(
        re.compile("purchase counts purchase, which did not come in the last two days. Is it Purchased")
    )
    expect(exposures.get_by_role("row").filter(has_text=flag)).to_contain_text(
        re.compile(f"control 75%treatment 25%.*{run} 75%exp-0 25%.*an older run")
    )
    expect(exposures.get_by_role("row").filter(has_text=xss)).to_contain_text("no such flag")
    console.is_accessible(page, "arriving")
    events.get_by_role("button", name="Sample of Purchased").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("row").filter(has_text="event_properties.price")).to_contain_text("number (1)7.5")
    expect(dialog.get_by_role("row").filter(has_text=xss)).to_have_count(1)
    assert dialog.evaluate("its => its.scrollWidth <= its.clientWidth")
    page.keyboard.press("Escape")

    unusable = page.get_by_role("region", name="Could not be used")
    expect(unusable).to_contain_text(f"it is {xss}")
    dead_letter = DeadLetter(
        reason="not json", detail="it is {", topic=EVENTS, partition=0, offset=0, append_time=now, value=b"{ again"
    )
    producer = KafkaProducer(**kafka_python_arguments(console.settings))
    producer.send(
        console.settings.topic(DEAD_LETTERS), dead_letter.value, key=b"not json", headers=to_headers(dead_letter)
    )
    producer.close()
    tail = page.get_by_role("region", name="As it comes")
    tail.get_by_role("searchbox").fill("somebody")
    page.keyboard.press("Enter")
    expect(tail.get_by_role("status")).to_contain_text("Watching ‘somebody’: nothing has come yet.")
    unusable.get_by_role("button", name="Send again").click()
    dialog.get_by_role("button", name="Send again").click()
    expect(dialog.get_by_role("status")).to_contain_text("1 of the last 48 hours were sent again.", timeout=40_000)
    page.keyboard.press("Escape")
    with ThreadPoolExecutor() as beside:  # the browser's loop
        sent = beside.submit(lambda: [record.value for record in read_topic(console.settings, EVENTS)])
    assert sent.result() == [b"{ again"]
    console.send(EVENTS, None, *(b'{"event_type":"view","user_id":"%b"}' % user for user in (b"other", b"somebody")))
    expect(tail.get_by_role("listitem")).to_have_count(1)
    expect(tail.get_by_role("listitem")).to_contain_text('"user_id":"somebody"')
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate(TOO_WIDE) == []
    console.shows(page, "arriving-phone")

    viewer = console.open("arriving", Keys(console.settings.data).create("viewer", "vic")[1])
    expect(viewer.get_by_role("region", name="Could not be used")).to_contain_text(f"it is {xss}")
    expect(viewer.get_by_role("button", name="Send again")).to_have_count(0)
    viewer.goto(f"/#/experiments/{flag}")
    launch = viewer.get_by_role("region", name="Launch checklist")
    expect(launch.get_by_role("listitem").filter(has_text="An exposure was seen")).to_contain_text("✓done")
    expect(launch.get_by_role("listitem").filter(has_text="Metric 'purchase' has events")).to_contain_text(
        "Is 'Purchased' meant, which does come?"
    )
    console.is_accessible(viewer, "launch", "[aria-labelledby=launch]")


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
    expect(made.locator("pre").last).to_contain_text('send("$exposure", exposure)')
    expect(made.get_by_text("It asks only")).to_have_count(0)
    expect(made.locator("pre").first).to_be_focused()
    made.get_by_role("combobox").select_option("evaluate")
    expect(made.get_by_text("It asks only")).to_be_visible()
    expect(made.locator("pre").last).to_contain_text(f"curl '{console.address}/sdk/v2/vardata'")
    expect(made.locator("pre").last).to_contain_text(f"Api-Key {key}")
    console.is_accessible(page, "deployment")
    console.fits_a_phone(page)

    headers = {"authorization": f"Api-Key {key}", "x-amp-exp-library": EVIL}
    assert httpx.post(f"{console.address}/sdk/v2/vardata", json={"user_id": "u"}, headers=headers).status_code == 200
    page.reload()
    connected = page.get_by_role("region", name="Connected")
    expect(connected).to_contain_text(EVIL)
    expect(connected).to_contain_text("1 request with")
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
    console.fits_a_phone(page)


def test_a_link_shows_one_experiment_to_whoever_has_it_and_a_viewer_sees_no_button(console: Console):
    page = console.experiment()
    page.get_by_role("button", name="Share …").click()
    page.get_by_label("For whom").fill(EVIL)
    page.keyboard.press("Enter")
    shown = page.get_by_role("dialog").locator("pre")
    expect(shown).to_be_focused()
    link = shown.inner_text()
    assert link.startswith(f"{console.address}/#/experiments/{EXPERIMENT}?link=share-")
    expect(page.get_by_role("list", name="Links")).to_contain_text(EVIL)
    console.is_accessible(page, "share", "dialog")

    assert console.browser.browser is not None
    stranger = console.browser.browser.new_context()
    guest = stranger.new_page()
    console.watch(guest)
    guest.goto(link)
    expect(guest.get_by_role("region", name="Verdict")).to_be_visible()
    expect(guest.get_by_text("Live", exact=True)).to_be_visible()
    assert "share-" not in guest.url
    for hidden in ("Start", "Complete …", "Share …", "Edit", "Make a plan", "Notifications"):
        for role in ("button", "link"):
            expect(guest.get_by_role(role, name=hidden, exact=True)).to_have_count(0)
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
    console.faults[:] = [fault for fault in console.faults if "of 401" not in fault and "of 403" not in fault]

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
