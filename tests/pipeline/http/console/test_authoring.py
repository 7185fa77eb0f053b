"""What is asked, made and decided in the console: the archive, documents, and what is remembered of them."""

import re
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient, NewTopic
from playwright.sync_api import FilePayload, Page, expect

from pipeline.http.callers.keys import Keys
from pipeline.kafka.clients import kafka_python_arguments
from schemas.arrivals import Arrivals, EventsArrived
from schemas.health import PartitionHealth, WorkerHealth
from schemas.notification import Notification
from schemas.topics import ARRIVALS, EVENTS, EXPOSURES, HEALTH, NOTIFICATIONS
from tests.pipeline.http.console.console import EXPERIMENT, Console
from tests.pipeline.http.console.keyboard import fill, go, press, reach
from tests.pipeline.questions.world import World

READING = 60_000  # ms, in which a process begins that reads the archive
EVIL = "<img src=x onerror=\"document.title='evil'\"><script>document.title='evil'</script>"
BUSY = {"units": 7_000, "daily": 1_000.0, "mean": 0.123456, "deviation": 0.3}  # as an archive would have it
XSS = "<img src=x onerror=alert(1)><script>alert(1)</script>"
FOREIGN = "main :is(img, script, iframe, object, embed, [onerror], [onclick]), #notifications :is(img, script)"
PROSE = "Visitors reach the last page, do not see the button and leave; support hears of it every single week. " * 12


@pytest.fixture(scope="module")
def asked(console: Console) -> Console:
    """An archive beside it: sixty units were exposed, and some bought."""
    world = World(console.settings.data / "archive", console.catalog, EXPERIMENT)
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
            "event_properties": {"revenue": 5 + i, "note": XSS},
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
    expect(records.first).to_contain_text(XSS)  # as text
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
    fill(page, Operator="i", Values="AT\nCH")
    expect(page.get_by_label("Rollout of all others, %")).to_have_accessible_description(
        re.compile("0 leaves them out")
    )
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
    stands = console.call("GET", "documents/flag/basket-hint")
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

    definition = stands["definition"] | {"breakdowns": [{"property": "platform", "values": ["iOS"]}]}
    said = {"definition": definition, "base": stands["version"], "reason": "by platform", "yes": True}
    console.call("PUT", "documents/flag/basket-hint", said)
    page = console.open("edit/flag/basket-hint")
    page.get_by_label("Description").fill("It says more")
    page.get_by_role("button", name="7. Review").click()
    page.get_by_label("Reason, for the history").fill("and of all units")
    page.get_by_label("Runs count what is added from their start").check()
    page.get_by_role("button", name="Publish version 4").click()
    expect(page.get_by_role("region", name="From the start")).to_contain_text("It is counted again from its start")


def test_the_second_of_two_editors_is_told_and_loses_nothing(console: Console):
    page = console.open("edit/flag/dark-mode")
    before = console.call("GET", "documents/flag/dark-mode")["definition"]
    page.get_by_label("Owner").fill("design")
    page.get_by_label("Name").fill("Mine")
    meanwhile = before | {"name": "Theirs", "description": "Theirs, too"}
    said = {"definition": meanwhile, "base": 1, "reason": f"quicker {EVIL}"}
    console.call("PUT", "documents/flag/dark-mode", said)

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
    stands = console.call("GET", "documents/flag/dark-mode")
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
    expect(page.get_by_label("Type")).to_have_accessible_description(re.compile("ratio: the total of one metric by"))
    page.get_by_label("Type").select_option("sum")
    expect(page.get_by_label("Type")).to_have_accessible_description("the total of a property")
    expect(page.get_by_label("Window")).to_have_accessible_description(re.compile("^how long after .*: a duration"))
    now = time.time_ns() // 1_000_000
    came = Arrivals(
        worker="w", part=0, minute=now - now % 60_000, events=[EventsArrived(name="basket", count=1, last=now)]
    )
    console.send(ARRIVALS, came.key, msgspec.json.encode(came))
    expect(page.locator("#known-event option[value=basket]")).to_have_count(1, timeout=20_000)
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
    expect(page.get_by_text("2 ids of ids.csv, each once; 1 stood there again.")).to_be_visible()
    expect(page.get_by_label("Ids", exact=True)).to_have_value("u1\nu2")
    page.get_by_label("Ids", exact=True).fill("u1\nu2\nu1")
    page.get_by_role("button", name="Next: Review").click()
    page.get_by_label("Reason").fill("to try")
    page.get_by_role("button", name="Publish", exact=True).click()
    expect(page).to_have_url(re.compile("cohorts/testers"))
    expect(page.get_by_role("region", name="Members")).to_contain_text("2 by user_id.The list has 1 of them again")
    (listed,) = [each for each in console.call("GET", "documents?kind=cohort")["documents"] if each["key"] == "testers"]
    assert listed["ids"] == 2

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

    standing = console.call("GET", "documents/metric/purchase")["yaml"]
    page.goto("/#/import")
    page.get_by_label("YAML").fill(f"{standing}---\n{yaml.replace('24h', 'a day')}")
    expect(page.get_by_role("region", name="metric purchase")).to_contain_text("stands as it is")
    expect(page.get_by_role("region", name="metric basket")).to_contain_text("'a day' is not allowed")
    expect(page.get_by_role("button", name="Publish", exact=True)).to_be_disabled()
    expect(page.get_by_text("1 of 2 would be refused, so none is published.")).to_be_visible()
    page.get_by_label("YAML").fill(f"{standing}---\n{yaml}")
    expect(page.get_by_role("region", name="metric basket")).not_to_contain_text("not allowed")
    page.get_by_label("Reason").fill("more numbers")
    console.is_accessible(page, "import")
    page.get_by_role("button", name="Publish 1 of 2").click()
    expect(page.get_by_role("alert")).to_contain_text("These stand: metric basket.")
    expect(page.get_by_role("region", name="metric basket")).to_contain_text("stands as it is")
    assert console.call("GET", "documents/metric/basket")["yaml"] == yaml
    expect(page.get_by_label("Runs count what is added from their start")).to_have_count(
        0
    )  # nothing is another version

    page.get_by_label("YAML").fill(standing.replace("Share of visitors", "Share of those"))
    page.get_by_label("Runs count what is added from their start").check()
    with page.expect_request("**/api/1/documents") as asked:
        page.get_by_role("button", name="Publish 1 of 1").click()
    assert asked.value.post_data_json["from_start"]
    expect(page.get_by_role("alert")).to_contain_text("These stand: metric purchase.")

    begins = {"key": "aa", "owner": "shop", "of": "experiment", "values": {"name": "Nothing new"}}
    console.call("PUT", "documents/template/aa", {"definition": begins, "base": 0, "reason": "to begin with"})
    page.goto("/#/new/flag")
    expect(page.get_by_label("Key", exact=True)).to_be_visible()
    expect(page.get_by_label("Begin from a template").get_by_role("option", name="aa")).to_have_count(0)
    page.goto("/#/documents")
    page.locator("#template-aa").get_by_role("link", name="Begin a new experiment with it").click()
    expect(page.get_by_label("Name")).to_have_value("Nothing new")


@pytest.fixture
def orders(console: Console) -> Iterator[str]:
    """A topic of somebody else with two orders, of which one is paid, and one that names nobody."""
    name, arguments = f"orders-{uuid.uuid4().hex[:8]}", kafka_python_arguments(console.settings)
    admin = KafkaAdminClient(**arguments)
    admin.create_topics([NewTopic(name, 1, 1, topic_configs={"message.timestamp.type": "LogAppendTime"})])
    with closing(KafkaProducer(**arguments)) as producer:
        for number, (status, customer) in enumerate(
            [("PAID", {"id": 7}), ("OPEN", {"id": 8}), ("PAID", {"note": XSS})]
        ):
            order = {"id": f"o{number}", "status": status, "customer": customer, "totals": {"gross": 12.5}}
            producer.send(name, msgspec.json.encode({"order": order}))
    try:
        yield name
    finally:
        admin.delete_topics([name])
        admin.close()


def test_a_source_is_tried_while_it_is_made_and_then_seen_where_it_is_read(console: Console, orders: str):
    page = opened(console, "new/source")
    fill(page, Topic=orders, What_its_records_make="e", Key="orders", Owner="shop")
    go(page, "Next: What is taken of it")
    press(page, "Add a condition")
    expect(page.get_by_label("Path", exact=True)).to_be_focused()
    page.keyboard.type("order.status")
    fill(page, Operator="i", Values="PAID")
    fill(page, Event_type="= purchase", User_id="order.customer.id or order.guest", Insert_id="order.id")
    fill(page, Event_properties="revenue: order.totals.gross", Device_id="'this or that'.id or $key")
    press(page, "Try it with the newest 10 records")

    tried = page.get_by_role("region", name="What comes of it")
    expect(tried.get_by_role("status")).to_contain_text("1 made, 1 left out, 1 dead letter")
    rows = tried.get_by_role("row")
    expect(rows.filter(has_text='"o0"')).to_contain_text(
        re.compile(r'✓made.*"user_id": "7".*"revenue": 12.5', re.DOTALL)
    )
    expect(rows.filter(has_text='"o1"')).to_contain_text("–left outit does not satisfy `where`")
    expect(rows.filter(has_text='"o2"')).to_contain_text(re.compile("no unit: .*nothing stands at order.customer.id"))
    assert page.locator("#paths-that-came option").evaluate_all("all => all.map(each => each.value)") == [
        *("order", "order.customer", "order.customer.id", "order.customer.note"),
        *("order.id", "order.status", "order.totals", "order.totals.gross"),
    ]
    console.is_accessible(page, "source-form")
    console.fits_a_phone(page)
    page.get_by_label("Insert id").fill("order.number")
    expect(tried.get_by_role("status")).to_contain_text("It has changed since it was tried.")
    page.get_by_label("Insert id").fill("order.id")

    go(page, "Next: Review")
    expect(page.locator("pre")).to_contain_text("- order.customer.id")
    reach(page, "Reason, for the history")
    page.keyboard.type("orders are purchases")
    press(page, "Publish")
    expect(page).to_have_url(re.compile("#/documents$"))
    document = page.locator("#source-orders")
    expect(document).to_contain_text("no worker of assignment works")
    definition = console.call("GET", "documents/source/orders")["definition"]
    assert definition["map"] == {
        "event_type": "= purchase",
        "user_id": ["order.customer.id", "order.guest"],
        "device_id": ["'this or that'.id", "$key"],
        "insert_id": "order.id",
        "event_properties": {"revenue": "order.totals.gross"},
    }

    counts = {"source orders: taken": 1_234, "source orders: excluded": 12, "source orders: dead letters": 3}
    partitions = [PartitionHealth(f"@{orders}", 0, 1_249, 0)]
    said = {"stage": "assignment", "worker": "host/1", "started": 0, "cpu_seconds": 0, "peak_memory": 0}
    health = WorkerHealth(**said, partitions=partitions, counts=counts)
    console.send(HEALTH, health.name, msgspec.json.encode(health))
    page.reload()
    expect(document).to_contain_text(f"read {orders}: 1,234 taken, 12 left out, 3 dead letters")
    page.goto("/#/arriving")
    sources = page.get_by_role("region", name="Sources")
    expect(sources.get_by_role("row").filter(has_text=orders)).to_contain_text(re.compile("events01,234123$"))
    expect(sources.get_by_role("row").filter(has_text="shop.orders")).to_contain_text("paused")
    console.is_accessible(page, "sources", "[aria-labelledby=sources]")
    page.goto("/#/edit/source/orders?step=map")
    expect(page.get_by_label("User id")).to_have_value("order.customer.id or order.guest")
    expect(page.get_by_label("Event properties")).to_have_value("revenue: order.totals.gross")
    expect(page.get_by_label("Device id")).to_have_value("'this or that'.id or $key")

    page.goto("/#/new/source")
    page.get_by_label("Preset").select_option("debezium")
    page.get_by_role("button", name="Next: What is taken of it").click()
    expect(page.get_by_label("Event properties")).to_have_attribute("placeholder", "payload.after\nafter")
    expect(page.get_by_label("Event type")).to_have_attribute("placeholder", re.compile("source.table or source.table"))
    expect(page.get_by_text("The preset’s: payload.op is c, (none), and op is c, (none).")).to_be_visible()


def test_what_is_decided_and_said_of_an_experiment_is_remembered(console: Console):
    page = console.experiment()
    newest = console.last.look if console.last else 0
    page.get_by_label("Your comment, in Markdown").fill(f"This is **it**. {XSS}")
    expect(page.locator(".preview strong")).to_have_text("it")
    page.get_by_role("button", name="Comment", exact=True).click()
    comment = page.locator("#comment-1")
    expect(comment).to_contain_text("ann, ")
    expect(comment).to_contain_text(XSS)
    expect(comment.get_by_role("link", name=f"look {newest} of exp-1")).to_be_visible()
    expect(page.get_by_label("Your comment, in Markdown")).to_have_value("")

    taking = {"variant": "treatment", "reason": f"it sells {XSS}", "yes": True}
    console.call("POST", f"experiments/{EXPERIMENT}/actions/rollout", taking)
    console.publish(3_000)
    page.reload()
    decision = page.get_by_role("region", name="Decision")
    expect(decision).to_contain_text("Rolled out: treatment")
    expect(decision).to_contain_text(f"it sells {XSS}")
    expect(decision).to_contain_text("by ann, ")
    expect(page.get_by_role("region", name="Verdict")).to_have_count(0)
    console.is_accessible(page, "decided", ".decided-on")
    expect(decision.get_by_role("link", name=f"look {newest} of exp-1")).to_have_attribute(
        "href", f"#/experiments/{EXPERIMENT}/exp-1/{newest}"
    )
    page.get_by_role("link", name="brief", exact=True).click()

    expect(page.get_by_role("heading", name="Result")).to_be_visible()
    page.get_by_role("link", name="Edit").click()
    for name in ("Background", "Decision", "Learning"):
        page.get_by_label(re.compile(f"^{name}: "), exact=False).first.fill(f"## {name}!\n\n{PROSE}\n\n- {XSS}")
    expect(page.locator(".preview h3")).to_have_count(3)
    console.is_accessible(page, "brief-form", ".authoring")
    console.fits_a_phone(page)
    page.get_by_role("button", name="Next: Review").click()
    page.get_by_label("Reason, for the history").fill("for those who come after us")
    page.get_by_role("button", name="Publish version 2").click()

    expect(page.get_by_role("heading", name="Learning!")).to_be_visible()
    expect(page.locator(".brief")).to_contain_text(XSS)
    expect(page.locator(".brief .decisions")).to_contain_text("Rolled out: treatment")
    expect(page.locator(".brief tbody")).to_contain_text("purchase")
    assert page.locator(FOREIGN).count() == 0
    console.is_accessible(page, "brief")
    console.fits_a_phone(page)
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
        said = {"definition": definition, "base": 0, "reason": XSS, "yes": True}
        console.call("PUT", f"documents/{kind}/{definition['key']}", said)

    written = {"name": XSS, "description": XSS, "owner": XSS, "tags": [XSS]}
    variants = [{"key": "control", "name": XSS, "description": XSS, "payload": XSS, "users": [XSS]}, {"key": "new"}]
    segment = {"name": XSS, "conditions": [{"property": "country", "op": "is", "values": [XSS]}]}
    hypothesis = {"problem": XSS, "solution": XSS, "prediction": XSS}
    metric = {"name": XSS, "description": XSS, "owner": XSS, "type": "conversion", "event": XSS, "window": "1h"}
    put("metric", {**metric, "key": "evil-metric"})
    put("cohort", {**written, "key": "evil-cohort", "ids": [XSS]})
    put("deployment", {**written, "key": "evil-web", "type": "client"})
    put("group", {**written, "key": "evil-group", "type": "holdout", "slots": [{"percentage": 1, "users": [XSS]}]})
    flag = {**written, "variants": variants, "segments": [segment], "hypothesis": hypothesis}
    put("flag", {**flag, "key": "evil-flag"})
    put("flag", {**flag, "key": "evil", "metrics": [{"metric": "evil-metric", "role": "primary"}]})
    texts = {"background": XSS, "decision": f"# {XSS}", "learning": f"[x](javascript:alert(1)) {XSS}"}
    put("brief", {"key": "evil", "owner": XSS, "tags": [XSS], **texts})
    for key, steps in {"evil": ("start", "complete"), "evil-flag": ("start",)}.items():
        for step in steps:
            console.call("POST", f"flags/{key}/actions/{step}", {"reason": XSS, "yes": True})
        console.call("POST", f"flags/{key}/comments", {"text": f"{XSS} [y](data:text/html,{XSS})"})
    told = Notification(
        id="evil", rule=XSS, event="test", subject=XSS, time=1, sentence=XSS, link="javascript:alert(1)"
    )
    console.send(NOTIFICATIONS, XSS, msgspec.json.encode(told))

    page = console.open()
    seen, due = set[str](), ["#/", f"#/experiments/evil?metric={quote(XSS)}", f"#/{quote(XSS)}"]
    asked: list[str] = []
    page.on("dialog", lambda dialog: asked.append(dialog.message) or dialog.dismiss())
    while due:
        address = due.pop(0)
        seen.add(address)
        page.goto(f"/{address}")
        expect(page.locator("main h1").first).to_be_visible()
        expect(page.locator("main")).not_to_have_text("Reading …")
        if re.match("#/(experiments|flags|briefs|metrics|cohorts)/evil", address):
            expect(page.locator("main")).to_contain_text(XSS)
        assert page.locator(FOREIGN).count() == 0, address
        links = page.eval_on_selector_all("a[href]", "found => found.map(each => each.getAttribute('href'))")
        assert not [each for each in links if not re.match("#|/|https?:|mailto:", each)], address
        due += [each for each in dict.fromkeys(links) if is_evil(each) and each not in (*seen, *due)]
    assert {"#/experiments/evil", "#/flags/evil-flag", "#/briefs/evil", "#/briefs"} <= seen
    page.get_by_role("button", name="Notifications").click()
    expect(page.locator("#notifications")).to_contain_text(XSS)
    assert page.locator(FOREIGN).count() == 0
    assert asked == []


def is_evil(address: str) -> bool:
    """Whether it is one of the pages of this catalog, or a page that has no key."""
    return address.startswith("#/") and ("evil" in address or address.count("/") == 1)
