"""The console in a real Chromium: what a person sees, does and hears, over a server that wants keys."""

import csv
import re
from dataclasses import replace

import httpx
import msgspec
import pytest
from playwright.sync_api import Page, Route, expect

from evaluation.catalog.lifecycle import apply_definition, pause, start, take_step
from evaluation.significance.look import encode_look
from pipeline.http.callers.keys import Keys
from schemas.aggregate import MetricHealth
from schemas.catalog import Condition, Flag, Goal, Segment, Variant
from schemas.notification import HandedOver, Notification
from schemas.plan import Evidence, Plan
from schemas.topics import DELIVERIES, NOTIFICATIONS, RESULTS
from tests.pipeline.http.console.console import CONFIGS, EXPERIMENT, Console


def test_one_signs_in_once_for_every_tab_and_no_address_and_no_script_sees_the_key(console: Console):
    console.browser.clear_cookies()
    page, tab = console.browser.new_page(), console.browser.new_page()
    asked: list[str] = []
    for each in (page, tab):
        each.on("request", lambda request: asked.append(request.url))
        each.goto("/")
        expect(each.get_by_role("heading", name="Sign in")).to_be_visible()

    page.get_by_role("main").get_by_role("button", name="Sign in").click()
    page.get_by_role("textbox", name="Key").fill("viewer-nobody")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("is not known")
    page.get_by_role("textbox", name="Key").fill(console.key)
    page.keyboard.press("Enter")

    for each in (page, tab):
        expect(each.get_by_role("link", name=EXPERIMENT)).to_be_visible()
        expect(each.get_by_text("Live", exact=True)).to_be_visible()
    kept = page.evaluate("JSON.stringify([{ ...sessionStorage }, { ...localStorage }])")
    assert not [each for each in (*asked, kept) if console.key in each]
    assert page.evaluate("document.cookie") == ""

    tab.get_by_role("button", name="ann").click()
    expect(tab.get_by_role("dialog")).to_contain_text(re.compile("Your role is admin. You are signed in until"))
    tab.get_by_role("button", name="Sign out").click()
    for each in (page, tab):
        expect(each.get_by_role("heading", name="Sign in")).to_be_visible()


def test_every_flag_is_listed_and_found_from_the_keyboard(console: Console):
    page = console.open()
    expect(page.locator(".rows > li")).to_have_count(
        len([*CONFIGS.glob("flags/*.yaml"), *CONFIGS.glob("experiments/*.yaml")])
    )

    page.keyboard.press("/")
    page.keyboard.type("dark design")
    expect(page.locator(".rows > li")).to_have_count(1)
    expect(page.locator("#row-dark-mode")).to_contain_text(re.compile("50%.*once it starts"))
    page.get_by_role("link", name="dark-mode").focus()
    page.keyboard.press("Enter")

    expect(page.get_by_role("heading", level=1)).to_have_text("Dark mode")
    expect(page.locator("#main")).to_be_focused()
    expect(page.locator("#variant-black")).to_contain_text('{"background":"#000000"}')


def test_a_catalog_without_flags_says_what_makes_one(console: Console):
    def without_flags(route: Route) -> None:
        told = route.fetch().json()
        told["flags"] = [flag for flag in told["flags"] if flag["metrics"]]
        route.fulfill(json=told)

    console.browser.route("**/api/1/overview", without_flags)
    page = console.open()
    console.browser.unroute("**/api/1/overview")

    expect(page.get_by_text("There are no flags yet. A flag switches something on or off")).to_be_visible()
    expect(page.get_by_role("link", name="A flag", exact=True)).to_have_attribute("href", "#/new/flag")
    page.keyboard.press("/")
    page.keyboard.type("nothing is called so")
    expect(page.get_by_text("No experiment matches.")).to_be_visible()


def test_a_look_before_there_are_watermarks_is_as_of_no_time(console: Console):
    looks = "**/results/looks/1?*"
    console.browser.route(looks, lambda route: route.fulfill(json=route.fetch().json() | {"time": 0}))
    page = console.experiment()

    page.get_by_role("slider").focus()
    page.keyboard.press("Home")

    expect(page.locator(".timeline")).to_contain_text("as of not known yet")
    console.browser.unroute(looks)


def test_every_number_of_the_look_stands_in_the_scorecard_and_its_meaning_beside_it(console: Console):
    page = console.experiment()
    assert console.last is not None
    cell = next(each for each in console.last.cells if each.metric == "purchase" and each.segment == "all")

    row = page.locator("#cell-purchase-treatment")
    expect(row).to_contain_text(f"{cell.nonzero:,} of {cell.n:,}")
    ends = [f"{abs(end or 0.0) * 100:.1f}%" for end in (cell.running_relative_lower, cell.running_relative_upper)]
    expect(row).to_contain_text("sequential")  # how it is tested
    expect(row.get_by_role("img")).to_have_attribute("aria-label", re.compile(".*".join(map(re.escape, ends))))
    expect(page.locator("[id='segment-platform=iOS-treatment']")).to_contain_text("to watch")

    page.locator("#scorecard + .choices, thead").get_by_role("button", name="p", exact=True).first.focus()
    page.keyboard.press("Enter")
    meaning = page.get_by_text("The smallest always-valid p-value of all looks so far")
    expect(meaning).to_be_visible()
    page.keyboard.press("Escape")
    expect(meaning).to_be_hidden()
    expect(page.locator("#reading")).to_contain_text("deciding: settled once enough, else live")
    page.locator("#reading").select_option("live")
    page.locator("#absolute").check()
    expect(page.locator("#cell-app_error-treatment")).to_contain_text("its interval is of the lift")
    for width in (390, 768, 1_000):
        page.set_viewport_size({"width": width, "height": 844})
        assert page.locator(".wide").first.evaluate("table => table.scrollWidth <= table.clientWidth"), width


def test_one_can_go_back_to_any_look(console: Console):
    page = console.experiment()
    newest = console.last.look if console.last else 0
    slider = page.get_by_role("slider")
    expect(slider).to_have_value(str(newest))

    slider.focus()
    page.keyboard.press("Home")

    expect(page.get_by_text(f"Look 1 of {newest}")).to_be_visible()
    expect(page.locator("#cell-purchase-treatment")).to_contain_text("too few units yet")
    page.get_by_role("button", name="Back to the newest").click()
    expect(page.get_by_text(f"Look {newest} of {newest}")).to_be_visible()

    page.evaluate("run => { location.hash += `/${run}/2`; }", console.last.run if console.last else "")
    expect(page.get_by_text(f"Look 2 of {newest}")).to_be_visible()


def test_charts_of_a_look_of_the_past_are_drawn_once(console: Console):
    page = console.experiment()
    page.get_by_role("slider").fill("5")
    expect(page.get_by_text(re.compile("Look 5 of"))).to_be_visible()
    expect(page.locator("#chart-units")).to_have_attribute("aria-label", re.compile("control 750"))

    drawn = page.evaluate(
        """async () => {
            let drawn = 0;
            const seen = new MutationObserver((changes) => { drawn += changes.length; });
            for (const chart of document.querySelectorAll(".chart")) {
                seen.observe(chart, { attributeFilter: ["aria-label"] });
            }
            dispatchEvent(new Event("resize")); // the page is drawn again
            for (let frames = 0; frames < 3; frames++) await new Promise(requestAnimationFrame);
            return drawn;
        }"""
    )

    assert drawn == 0


def test_the_server_says_by_which_words_and_bounds_it_is_told(console: Console):
    def tell_otherwise(route: Route) -> None:
        told = route.fetch().json()
        told["split_alpha"] = 2
        told["fields"]["Health.srm_running_p_value"]["meaning"] = "Below 2 it is broken."
        told["fields"]["Health.jumpers"]["title"] = "who jumped"
        told["decisions"]["keep running"]["says"] = "Wait"
        told["defaults"]["analysis"]["alpha"] = 0.07
        told["steps"]["complete"] = []
        route.fulfill(json=told)

    console.browser.route("**/api/1/vocabulary", tell_otherwise)
    page = console.experiment()
    console.browser.unroute("**/api/1/vocabulary")

    expect(page.get_by_text("The split is broken")).to_be_visible()
    page.get_by_role("button", name="split", exact=True).click()
    expect(page.get_by_text("Below 2 it is broken.")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".health").get_by_role("button", name="who jumped")).to_be_visible()
    expect(page.get_by_role("region", name="Verdict")).to_contain_text("Wait")
    expect(page.locator(".again")).to_contain_text("alpha 0.07")
    expect(page.get_by_role("button", name="Complete")).to_have_count(0)


def test_a_slider_that_is_dragged_reads_one_look_after_the_other(console: Console):
    page = console.experiment()
    network = page.context.new_cdp_session(page)
    slow = {"offline": False, "latency": 200, "downloadThroughput": -1, "uploadThroughput": -1}
    network.send("Network.emulateNetworkConditions", slow)
    under_way: set[str] = set()
    most: list[int] = []
    page.on("request", lambda request: "/looks/" in request.url and under_way.add(request.url))
    page.on("request", lambda _: most.append(len(under_way)))
    page.on("requestfinished", lambda request: under_way.discard(request.url))
    box = page.get_by_role("slider").bounding_box()
    assert box is not None

    page.mouse.move(box["x"] + box["width"] - 8, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] - 20, box["y"] + box["height"] / 2, steps=40)

    expect(page.get_by_text(re.compile("Look 1 of"))).to_be_visible()
    page.mouse.up()
    assert max(most) == 1
    page.get_by_role("button", name="Back to the newest").click()
    expect(page.get_by_role("button", name="Back to the newest")).to_be_hidden()

    # As by a finger, which in some browsers does not focus what it moves.
    network.send("Network.emulateNetworkConditions", slow | {"latency": 1_000})
    moved = page.get_by_role("slider").evaluate_handle(
        "slider => { slider.value = 5; slider.dispatchEvent(new Event('input')); return slider; }"
    )
    page.wait_for_timeout(300)  # the page is drawn again
    assert moved.evaluate("slider => slider.value") == "5"
    expect(page.get_by_text(re.compile("Look 5 of"))).to_be_visible()


@pytest.mark.parametrize("name", ["list", "experiment", "flag"])
def test_it_hides_nothing_from_anybody_by_day_by_night_and_on_a_phone(console: Console, name: str):
    routes = {"list": "", "experiment": f"experiments/{EXPERIMENT}", "flag": "flags/dark-mode"}
    page = console.experiment() if name == "experiment" else console.open(routes[name])
    console.is_accessible(page, name)
    page.set_viewport_size({"width": 1_100, "height": 844})
    assert page.locator("#pages").evaluate("links => links.scrollWidth <= links.clientWidth")  # on one line

    page.set_viewport_size({"width": 390, "height": 844})

    page.wait_for_function("document.documentElement.scrollWidth <= innerWidth")
    console.shows(page, f"{name}-phone")


def test_a_key_that_was_revoked_is_told_where_it_is_missed(console: Console):
    keys = Keys(console.settings.data)
    key, text = keys.create("viewer", "eve")
    page = console.experiment(text)

    keys.revoke(key.id)
    console.publish(3_000)

    expect(page.get_by_text("Signed out")).to_be_visible()
    page.get_by_role("button", name="CSV").click()
    expect(page.get_by_text(re.compile("the session has ended")).first).to_be_visible()
    page.get_by_text("What version 1 changed").click()
    expect(page.locator("#version-1 details")).to_contain_text("the session has ended")
    console.faults[:] = [fault for fault in console.faults if "of 401" not in fault]


def test_of_seven_tabs_the_one_that_is_shown_is_live_and_has_caught_up(console: Console):
    def is_hidden(page: Page, hidden: bool) -> None:  # Playwright has every tab believe that it is shown
        page.evaluate(
            """(hidden) => {
                Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
                document.dispatchEvent(new Event("visibilitychange"));
            }""",
            hidden,
        )

    tabs = [console.experiment()]
    for route in ["", f"experiments/{EXPERIMENT}", "arriving"] * 2:
        is_hidden(tabs[-1], True)
        tabs.append(console.open(route))
    console.publish(3_000)
    newest = console.last.look if console.last else 0
    is_hidden(tabs[-1], True)
    is_hidden(tabs[0], False)
    expect(tabs[0].get_by_text(f"Look {newest} of {newest}")).to_be_visible()

    for tab in tabs:
        is_hidden(tab, False)
        tab.get_by_role("link", name="Metrics").click()
        expect(tab.get_by_role("heading", level=1)).to_have_text("Metrics")
        tab.go_back()
        expect(tab.get_by_text("Live", exact=True)).to_be_visible()
        is_hidden(tab, True)


def test_a_verdict_arrives_on_the_open_page_without_a_reload(console: Console):
    page, listed = console.experiment(), console.open()
    verdict, row = page.get_by_role("region", name="Verdict"), listed.locator(f"#row-{EXPERIMENT}")
    expect(verdict).to_contain_text("Keep running")
    expect(row).to_contain_text("Keep running")
    page.evaluate("window.stands = true")

    console.publish(24_000)

    expect(verdict).to_contain_text("Ship")
    assert console.last is not None
    expect(verdict).to_contain_text(console.last.verdict.reason)
    expect(row).to_contain_text("Ship")
    expect(page.locator("#said")).to_contain_text("Verdict: ship.")
    expect(page.locator("#cell-purchase-treatment")).to_contain_text("better")
    guardrails = page.locator("tbody:has(#cell-app_error-treatment)")
    ends = [guardrails.locator(each).bounding_box() for each in (".note", ".running", ".ground")]
    margin, loss, ground = (box["x"] + box["width"] for box in ends if box)
    assert loss < margin < ground - 20  # 30 % are within the scale
    page.get_by_text("The same numbers as a table").first.click()
    expect(page.locator("details[open] tbody tr").first).to_contain_text("43,200")
    assert page.evaluate("window.stands")


def test_a_roll_out_is_clicked_and_shows_in_history(console: Console):
    page = console.experiment()

    page.get_by_role("button", name="Roll out …").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Variant")).to_have_value("treatment")
    dialog.get_by_label("Reason").fill("it sells more")
    page.keyboard.press("Enter")

    newest = page.locator(".versions > li").first
    expect(newest).to_contain_text("treatment is rolled out")
    expect(newest).to_contain_text("it sells more")
    expect(page.get_by_text("rolled out: everybody gets 'treatment'")).to_be_visible()
    expect(page.locator("#variant-treatment")).to_contain_text("100.0%")
    newest.get_by_text("What version 3 changed").click()
    expect(newest.get_by_role("row", name="rolled_out – treatment")).to_be_visible()
    told = httpx.get(
        f"{console.address}/api/1/experiments/{EXPERIMENT}/versions", headers={"authorization": f"Bearer {console.key}"}
    ).json()["versions"]
    assert (told[-1]["reason"], told[-1]["author"]) == ("it sells more", "ann")


def test_what_is_risky_wants_a_second_click_and_what_is_refused_is_said_in_the_servers_words(console: Console):
    page = console.open("experiments/new-player")
    expect(page.get_by_text("Nobody meets it yet.")).to_be_visible()
    expect(page.get_by_role("region", name="To be measured")).to_contain_text("predicts 5% or more")
    page.get_by_role("button", name="Roll out …").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Reason").fill("we like it")
    dialog.get_by_role("button", name="Roll out").click()
    expect(dialog.get_by_role("alert")).to_contain_text("no run has measured that it is better")
    expect(page.locator(".versions > li")).to_have_count(1)

    faster = httpx.post(
        f"{console.address}/api/1/experiments/new-player/actions/start",
        headers={"authorization": f"Bearer {console.key}"},
        json={"reason": "faster"},
    )
    assert faster.status_code == 200
    dialog.get_by_role("button", name="Roll out nevertheless").click()

    expect(dialog.get_by_role("alert")).to_contain_text("version 2 of flag 'new-player' stands, and not version 1")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page.locator(".versions > li")).to_have_count(2)
    console.faults[:] = [fault for fault in console.faults if "of 409" not in fault]  # the two refusals


def test_f01_a_flag_that_cannot_be_evaluated_says_why_and_f02_payloads_keep_their_digits(console: Console):
    segment = Segment(name="s", conditions=(Condition(property="country", op="regex match", values=("(?!AT)",)),))
    variants = (Variant(key="on", payload={"id": 12345678901234567890123}),)
    draft = apply_definition(None, Flag(key="abroad", owner="shop", variants=variants, segments=(segment,)), 1)
    console.write("abroad", draft, start(draft, 2, "salt0001"))

    page = console.open("flags/abroad")

    expect(page.get_by_text("everybody gets off: segment 's', country: '(?!AT)' is no regular")).to_be_visible()
    expect(page.locator("#variant-on")).to_contain_text('{"id":12345678901234567890123}')
    page.get_by_text("What version 1 changed").click()
    expect(page.locator("#version-1")).to_contain_text('"id":12345678901234567890123')
    page.get_by_role("link", name="Experiments and flags").click()
    expect(page.locator("#row-abroad")).to_contain_text("everybody gets off")


@pytest.mark.parametrize(
    ("lost", "says"),
    [
        (MetricHealth("revenue", 958, 0, 0, 42, 0, example='"EUR 7"'), 'unusable, 4.2%, such as "EUR 7"'),
        (MetricHealth("revenue", 1_000, 0, 0, 0, withheld=1), "withheld"),
    ],
)
def test_a_metric_that_says_nothing_is_told_so_without_the_numbers_of_earlier_looks(
    console: Console, lost: MetricHealth, says: str
):
    sizes = (30_000, 40_000) if lost.withheld else (50_000, 60_000)
    console.publish(sizes[0])
    console.publish(sizes[1], metrics=[lost])
    assert console.last is not None
    before = next(each for each in console.last.cells if each.metric == "revenue" and each.segment == "all")
    assert before.running_p_value is not None
    assert before.running_p_value < 0.0001
    page = console.experiment()

    row = page.locator("#cell-revenue-treatment")
    expect(row).to_contain_text(f"! {says}")
    expect(row.locator("svg")).to_have_count(0)
    for number in ("< 0.0001", "+1", "["):
        expect(row).not_to_contain_text(number)
    page.locator("#metric").select_option("revenue, treatment")
    expect(page.get_by_text(f"! revenue at this look: {says}")).to_be_visible()
    page.locator("#numbers-intervals summary").click()
    newest, former = (page.locator("#numbers-intervals tbody tr").nth(at) for at in (0, 1))
    expect(former).to_contain_text("< 0.0001")
    expect(newest).not_to_contain_text("< 0.0001")
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_function("document.documentElement.scrollWidth <= innerWidth")
    console.shows(page, f"{'withheld' if lost.withheld else 'unusable'}-phone")

    address = f"{console.address}/api/1/experiments/{EXPERIMENT}/results.csv"
    text = httpx.get(address, headers={"authorization": f"Bearer {console.key}"}).text
    (told,) = (
        row
        for row in csv.DictReader(text.splitlines())
        if (row["metric"], row["reading"], row["segment"]) == ("revenue", "settled", "all")
    )
    assert told["status"] == says.partition(",")[0]
    for name in ("p_value", "adjusted_p_value", "lower", "relative_upper", "relative_estimate"):
        assert told[name] == ""


def test_whom_a_draft_lists_is_no_part_of_everybody(console: Console):
    variants = (Variant(key="on", users=("ann@shop.example",)),)
    console.write("tried", apply_definition(None, Flag(key="tried", owner="shop", variants=variants), 1))

    page = console.open("flags/tried")

    expect(page.get_by_text("Everybody but those listed gets 'off': it is a draft.")).to_be_visible()
    expect(page.locator("#variant-on")).to_contain_text("1 user")


def test_a_plan_is_made_in_the_place_of_the_rollout_paused_and_resumed(console: Console):
    page = console.open("flags/faster-images")
    plan = page.get_by_role("region", name="Plan")
    expect(plan).to_contain_text("None: its percentages change by hand alone.")

    plan.get_by_role("link", name="Make a plan").click()
    page.get_by_role("button", name="Make a plan").click()
    expect(page.get_by_role("button", name="Remove the plan")).to_be_focused()
    page.get_by_label(re.compile("^Start")).fill("2020-03-02T08:00")
    page.get_by_label("Time zone").fill("Europe/Berlin")
    expect(page.get_by_label("Rollout, %")).to_have_value("10")
    expect(page.get_by_label("On harm")).to_have_count(0)
    lasts = page.get_by_label("For at least")
    lasts.fill("1 hour")
    expect(lasts).to_have_attribute("aria-invalid", "true")
    expect(lasts).to_have_accessible_description(re.compile("'1 hour' is not allowed; it must be a duration"))
    lasts.fill("1h")
    page.get_by_role("button", name="Add a step").click()
    expect(page.get_by_label("Rollout, %").nth(1)).to_be_focused()
    page.keyboard.type("50")
    expect(page.locator(".fault")).to_have_count(0)
    console.is_accessible(page, "plan-form", ".authoring")
    console.fits_a_phone(page)
    page.get_by_role("button", name="Next: Review").click()
    follows = page.get_by_role("region", name="This follows from it")
    expect(follows).to_contain_text("its plan starts it at once, for its start, 2020-03-02T08:00")
    page.get_by_label("Reason, for the history").fill("slowly")
    page.get_by_role("button", name="Save as draft").click()
    page.get_by_role("button", name="Save as draft nevertheless").click()

    expect(plan.locator("ol > li")).to_have_count(3)
    expect(plan).to_contain_text("Nobody acts by it: nobody works on plans")
    expect(page.locator(".versions > li").first).to_contain_text("slowly")
    page.get_by_role("button", name="Start …").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Reason").fill("it is time")
    page.keyboard.press("Enter")
    expect(plan.locator("[aria-current=step]")).to_contain_text(re.compile("10%.*Step 1, in force since .* by ann"))
    plan.get_by_role("button", name="Pause …").click()
    expect(dialog).to_contain_text("It stops nobody")
    dialog.get_by_label("Reason").fill("a holiday")
    page.keyboard.press("Enter")
    expect(plan).to_contain_text(re.compile("Paused since .*: ann asked for it .version 4, “?a holiday"))
    plan.get_by_role("button", name="Resume …").click()
    dialog.get_by_label("Reason").fill("it is over")
    page.keyboard.press("Enter")
    expect(plan.get_by_role("button", name="Pause …")).to_be_visible()
    plan.get_by_role("link", name="Change").click()
    expect(page.get_by_label(re.compile("^Start"))).to_have_value("2020-03-02T08:00")
    expect(page.get_by_role("button", name="Remove the plan")).to_have_count(0)  # of what runs it is a step of its own
    page.go_back()
    plan.get_by_role("button", name="Remove …").click()
    dialog.get_by_label("Reason").fill("by hand")
    page.keyboard.press("Enter")
    dialog.get_by_role("button", name="Remove the plan nevertheless").click()
    expect(plan.get_by_role("link", name="Make a plan")).to_be_visible()
    expect(page.locator("#variant-on")).to_contain_text("10.0%")
    console.faults[:] = [fault for fault in console.faults if not re.search("of 40[09]", fault)]  # the refusals


def slow(key: str) -> Flag:
    """An experiment that a plan rolls out."""
    plan = {
        "steps": [
            {"rollout": 1, "segments": {"beta": 100}, "for": "1h"},
            {"rollout": 10, "segments": {"beta": 100}, "until": {"units": 5_000, "safe": ["app_error"]}},
            {"rollout": 50, "segments": {"beta": 100}},
        ],
        "end": "2099-03-30",
        "timezone": "Asia/Tokyo",
        "on_harm": "pause",
        "on_broken_split": "roll back",
        "then": {"on_win": "roll out"},
    }
    guardrail = Goal(metric="app_error", role="guardrail", direction="decrease", margin=0.3)
    return Flag(
        key=key,
        owner="shop",
        variants=(Variant(key="control"), Variant(key="treatment")),
        segments=(Segment(name="beta", conditions=(Condition(property="country", op="is", values=("AT",)),)),),
        metrics=(Goal(metric="purchase", role="primary"), guardrail),
        sticky=True,
        plan=msgspec.convert(plan, Plan),
    )


def test_who_resumes_a_plan_that_harm_paused_overrules_the_alarm(console: Console):
    draft = apply_definition(None, slow("harmed-basket"), 1)
    running, evidence = start(draft, 2, "salt0001"), Evidence(version=3, time=1, run="exp-1", look=1)
    console.write("harmed-basket", draft, running, pause(running, 3, "harm", ("app_error/treatment",), evidence))
    page = console.open("experiments/harmed-basket")
    plan = page.get_by_role("region", name="Plan")
    expect(plan).to_contain_text(re.compile(r"Paused since .*: harm, app_error/treatment \(version 3\)\."))
    expect(plan).to_contain_text("Everybody who has a variant keeps it, and nobody else gets one.")

    plan.get_by_role("button", name="Resume …").click()
    page.get_by_role("dialog").get_by_label("Reason").fill("a false alarm")
    page.keyboard.press("Enter")

    expect(plan.get_by_role("button", name="Pause …")).to_be_visible()
    expect(plan.locator(".facts")).to_contain_text("app_error/treatment")

    def alarm(route: Route) -> None:
        told = route.fetch().json()
        of = {"why": "harm", "act": "tell", "is_overruled": False}
        told["now"]["alarms"] = [{"name": "purchase/treatment", "text": "purchase is worse", **of}]
        route.fulfill(json=told)

    page.route("**/harmed-basket/plan", alarm)
    page.reload()
    expect(plan).to_contain_text("purchase is worse; the plan only tells of it, and takes no further step until")
    expect(plan.get_by_role("button", name="Resume …")).to_be_visible()


def test_a_plan_is_read_at_a_glance_and_says_who_took_its_steps(console: Console):
    definition = slow("slow-basket")
    draft = apply_definition(None, definition, 1)
    running = start(draft, 2, "salt0001")
    console.write(
        "slow-basket", draft, running, take_step(running, 3, 2, Evidence(version=3, time=1, run="exp-1", look=1))
    )
    first = console.look(replace(console.run, flag="slow-basket", definition=definition), 1_560)
    console.send(RESULTS, "slow-basket/exp-1", encode_look(first))

    page = console.open("experiments/slow-basket")

    shown = page.get_by_role("region", name="Plan")
    first, second, third, end = (shown.locator("ol.plan > li").nth(at) for at in range(4))
    expect(first).to_contain_text("1% · beta 100%")
    expect(first).to_contain_text(re.compile("Step 1, done; it began .*, by ann"))
    expect(second).to_contain_text(re.compile("Step 2, in force since .*, by the plan .version 3"))
    expect(third).to_contain_text("3,120 of 5,000 units")
    expect(third).to_contain_text("app_error is not proved safe yet: treatment")
    expect(end).to_contain_text("Where one has won: roll out the winner; where none has: tell of it")
    expect(end).to_contain_text("2099-03-30 00:00")  # in Tokyo
    expect(end.locator("time")).to_have_attribute("title", re.compile("2099-03-29 15:00 UTC"))
    expect(shown).to_contain_text("times in")
    second.get_by_role("link", name="version 3").click()
    expect(page.locator("#version-3")).to_be_focused()
    console.is_accessible(page, "plan", "[aria-labelledby=plan]")
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_function("document.documentElement.scrollWidth <= innerWidth")
    console.shows(page, "plan-phone")


def test_the_bell_tells_what_came_since_this_browser_looked_and_where_it_was_delivered(console: Console):
    page = console.open()
    bell, told = page.locator("#bell"), page.get_by_role("region", name="Notifications")
    bell.click()
    expect(told).to_contain_text("There are none yet. A notification rule says what is told")
    page.keyboard.press("Escape")
    sentences = ["'checkout-button' should ship", "dark-mode's plan takes step 2"]
    links = [f"#/experiments/{EXPERIMENT}", "#/flags/dark-mode"]
    words = [
        Notification(
            id=link, rule="leads", event="verdict changed", subject="flag/a", time=1, sentence=sentence, link=link
        )
        for link, sentence in zip(links, sentences, strict=True)
    ]
    handed = [
        HandedOver(id=links[0], rule="leads", place="chat", outcome="delivered", attempts=1, time=2),
        HandedOver(id=links[0], rule="leads", place="mail", outcome="failed", attempts=3, time=2, error="no answer"),
    ]

    console.send(DELIVERIES, "a", *map(msgspec.json.encode, handed))
    console.send(NOTIFICATIONS, "a", *map(msgspec.json.encode, words))

    expect(bell).to_have_accessible_name("Notifications: 2 unread", timeout=15_000)
    expect(page.get_by_role("status")).to_contain_text("Notification: dark-mode's plan takes step 2")
    bell.focus()
    page.keyboard.press("Enter")
    newest, first = (told.get_by_role("listitem").nth(at) for at in (0, 1))
    expect(newest).to_contain_text(re.compile("new: dark-mode's plan takes step 2.*UTC · verdict changed · rule leads"))
    expect(first).to_contain_text("delivered to chat · !mail: failed after 3 attempts, no answer")
    expect(bell).to_have_accessible_name("Notifications")
    console.is_accessible(page, "bell", "body > header, #notifications")
    newest.get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Dark mode")
    expect(told).to_be_hidden()
    page.reload()
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    bell.click()
    expect(told.get_by_role("listitem")).to_have_count(2)
    expect(told).not_to_contain_text("new:")
    page.set_viewport_size({"width": 390, "height": 844})
    box = told.bounding_box()
    assert box is not None
    assert 0 <= box["x"] <= 390 - box["width"]
