"""Console: a server over the examples of `configs/`, and a browser in which a test opens pages of it."""

import math
from pathlib import Path
from typing import Any

import httpx
import msgspec
from axe_playwright_python.sync_playwright import Axe
from kafka import KafkaProducer
from playwright.sync_api import Browser, BrowserContext, Page, expect

from evaluation.catalog.history import History
from evaluation.catalog.in_force import RunInForce
from evaluation.significance.look import encode_look, look
from pipeline.http.callers.keys import Keys
from pipeline.kafka.clients import kafka_python_arguments
from pipeline.settings import Settings
from schemas.catalog import Document, FlagState
from schemas.look import Look
from schemas.plan import AUTHOR as PLAN
from schemas.topics import CATALOG, RESULTS
from tests.evaluation.significance.conftest import make_aggregate

HOME = Path(__file__).parents[4]
CONFIGS = HOME / "configs"
SCREENSHOTS = HOME / "build" / "screenshots"  # of every page: by day, by night, on a phone
EXPERIMENT = "checkout-button"


class Console:
    """A server over the examples of `configs/`, of which one experiment runs, and a browser in which it is open."""

    def __init__(self, settings: Settings, catalog: History, address: str, browser: Browser) -> None:
        self.settings, self.address = settings, address
        self.browser = browser.new_context(base_url=address, reduced_motion="reduce")
        self.browser.set_default_timeout(15_000)
        self.key = Keys(settings.data).create("admin", "ann")[1]
        self.faults: list[str] = []
        self.last: Look | None = None
        self.catalog = catalog  # as it was then
        self.run: RunInForce = catalog.newest.flags[EXPERIMENT].runs[-1]

    def publish(self, *sizes: int, **fields: Any) -> None:
        """Looks of the real inference, each with so many units in either arm: a lift of 15 % of purchases.

        `fields` are those of the aggregate.
        """
        looks = []
        for n in sizes:
            self.last = self.look(self.run, n, self.last, **fields)
            looks.append(encode_look(self.last))
        self.send(RESULTS, f"{EXPERIMENT}/{self.run.key}", *looks)

    def look(self, run: RunInForce, n: int, last: Look | None = None, **fields: Any) -> Look:
        """The look at a run after its last one."""
        aggregate = make_aggregate(_sums(n), flag=run.flag, watermark=run.started + 20 * n, **fields)
        return look(run, [aggregate], last)

    def send(self, topic: str, key: str | None, *values: bytes, partition: int | None = None) -> None:
        producer = KafkaProducer(**kafka_python_arguments(self.settings))
        for value in values:
            producer.send(self.settings.topic(topic), value, key=key.encode() if key else None, partition=partition)
        producer.close()

    def write(self, key: str, *states: FlagState) -> None:
        """Versions of a flag, whatever the rules say of them; the plan signs what it has evidence of."""
        documents = []
        for version, state in enumerate(states, 1):
            is_planned = state.progress and state.progress.evidence and state.progress.evidence.version == version
            who = {"author": PLAN if is_planned else "ann", "reason": "before there was a rule"}
            spec = msgspec.Raw(msgspec.json.encode(state))
            documents.append(
                Document(kind="flag", key=key, version=version, base=version - 1, time=0, spec=spec, **who)
            )
        self.send(CATALOG, None, *map(msgspec.json.encode, documents), partition=0)

    def call(self, method: str, path: str, body: object = None) -> Any:
        """What a route says to an admin, whom it does not refuse."""
        headers = {"authorization": f"Bearer {self.key}"}
        answer = httpx.request(method, f"{self.address}/api/1/{path}", json=body, headers=headers, timeout=20)
        assert answer.is_success, answer.text
        return answer.json()

    def open(self, route: str = "", key: str | None = None, context: BrowserContext | None = None) -> Page:
        """A page, signed in with a key before."""
        browser, origin, body = context or self.browser, {"origin": self.address}, {"key": key or self.key}
        assert browser.request.post("/api/1/session", data=body, headers=origin).ok
        page = browser.new_page()
        self.watch(page)
        page.goto(f"/#/{route}")
        expect(page.get_by_text("Live", exact=True)).to_be_visible()
        return page

    def watch(self, page: Page) -> None:
        """Note what goes wrong in a page, and at which address."""
        kinds = ("error", "warning")
        page.on("console", lambda said: said.type in kinds and self.faults.append(f"{said.text} {said.location}"))
        page.on("pageerror", lambda error: self.faults.append(str(error)))

    def experiment(self, key: str | None = None) -> Page:
        page = self.open(f"experiments/{EXPERIMENT}", key)
        expect(page.locator("#chart-units canvas")).to_be_visible()
        return page

    def fits_a_phone(self, page: Page) -> None:
        """It is as wide as a phone, and nothing stands beyond that."""
        before = page.viewport_size
        page.set_viewport_size({"width": 390, "height": 844})
        page.wait_for_function("document.documentElement.scrollWidth <= innerWidth")
        if before:
            page.set_viewport_size(before)

    def is_accessible(self, page: Page, name: str, part: str | None = None) -> None:
        """By day and by night, all of it or a part; keeps what it looks like."""
        for scheme, rules in (("light", {}), ("dark", {"runOnly": ["color-contrast"]})):  # the others see no colour
            page.emulate_media(color_scheme=scheme)
            found = Axe().run(page, context=part, options=rules)
            assert found.violations_count == 0, found.generate_report()
            self.shows(page, f"{name}-{scheme}")

    def shows(self, page: Page, name: str) -> None:
        """Keep what it looks like."""
        page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


def _sums(n: int) -> dict[tuple[object, ...], tuple[int, int, int, int]]:
    """What so many units in either arm did: of all, of those who settled, and by platform."""
    sums: dict[tuple[object, ...], tuple[int, int, int, int]] = {}
    parts = [("settled", n * 9 // 10, "all"), ("live", n, "all")]
    parts += [(reading, units // 3, f"platform={each}") for each in ("iOS", "Android") for reading, units, _ in parts]
    for reading, units, segment in parts:
        bought = [round(units * rate + math.sqrt(units) * 0.2 * math.sin(n)) for rate in (0.12, 0.138)]
        for variant, buyers in zip(("control", "treatment"), bought, strict=True):
            arm = (reading, variant, 0, segment)
            sums["purchase", *arm] = (units, buyers, buyers, buyers)
            sums["revenue", *arm] = (units, buyers, buyers * 5_000, buyers * 30_000_000)
            failed = round(units * 0.02)
            sums["app_error", *arm] = (units, failed, failed, failed)
    return sums
