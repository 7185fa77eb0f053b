"""`python -m tests.pictures` makes the pictures of the console in `docs/images` anew, of a demo that runs meanwhile."""

import base64
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from typing import NamedTuple

import httpx
import msgspec
from playwright.sync_api import BrowserContext, expect, sync_playwright

from pipeline.listening import console, with_free_port
from pipeline.settings import Settings
from tests.conftest import CHROMIUMS, PEEKPROOF
from tests.live import wait_for
from tests.pipeline.http.console.console import EXPERIMENT, HOME

IMAGES = HOME / "docs" / "images"
WIDTH = 1_200  # pixels
QUALITY = 80  # per cent, of WebP
TRAFFIC = ("--seconds=900", "--events-per-second=5000")  # which a busy machine can do; it ends with the pictures
PATIENCE = 300_000  # ms
MARGIN = 10  # pixels below the last thing that is shown
# Of all pictures it is the day of the tutorial.
ON_ONE_DAY = """new MutationObserver(() => {
    const today = new Date().toISOString().slice(0, 10);
    const texts = document.createTreeWalker(document, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const text = texts.currentNode;
        if (text.data.includes(today)) text.data = text.data.replaceAll(today, "2026-03-02");
    }
}).observe(document, { childList: true, characterData: true, subtree: true });"""


class Picture(NamedTuple):
    """A page down to its `last` element, once what is `awaited` is there; what would be too long is folded."""

    name: str
    address: str
    awaited: str
    last: str
    folded: str | None = None


PICTURES = (
    Picture("experiments", "", f"#row-{EXPERIMENT} :text('Ship')", ".rows.experiments"),
    Picture(
        "experiment",
        f"experiments/{EXPERIMENT}",
        "[aria-labelledby=launch]",
        "[aria-labelledby=scorecard] table",
        folded="[aria-labelledby=launch] summary",
    ),
    Picture("arriving", "arriving", "#flag-no-such-flag", "[aria-labelledby=exposures]"),
    Picture(
        "authoring",
        f"new/experiment?from={EXPERIMENT}&step=metrics",
        ".rows-form li:nth-child(3) .preview:text('Counted within')",
        ".rows-form li:nth-child(3)",
    ),
)


def main() -> None:
    """Make all of them."""
    chromium = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    if chromium is None:
        sys.exit("there is no Chromium to make pictures with; `apt-get install chromium` brings one")
    expect.set_options(timeout=PATIENCE)
    settings = with_free_port(msgspec.structs.replace(Settings.read(), http_port=0))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped, and the demo with it"))
    with tempfile.TemporaryDirectory() as data, sync_playwright() as playwright:
        own = {"PEEKPROOF_DATA": data, "PEEKPROOF_HTTP_PORT": str(settings.http_port)}
        demo = subprocess.Popen(
            [PEEKPROOF, "demo", "--json", *TRAFFIC], env=os.environ | own, stdout=subprocess.DEVNULL
        )
        try:
            wait_for(lambda: demo.poll() is not None or is_there(console(settings)), what="the demo's server")
            assert demo.poll() is None, "the demo ended; what it says stands above"
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            context = browser.new_context(base_url=console(settings), color_scheme="light", timezone_id="UTC")
            context.set_default_timeout(PATIENCE)
            context.add_init_script(ON_ONE_DAY)
            for picture in PICTURES:
                make(picture, context)
            browser.close()
        finally:
            demo.terminate()
            demo.wait()


def is_there(url: str) -> bool:
    """Whether the demo has come so far that its server answers."""
    try:
        return httpx.get(url).is_success
    except httpx.TransportError:
        return False


def make(picture: Picture, browser: BrowserContext) -> None:
    """Take one, and tell how large it is."""
    page = browser.new_page()
    page.set_viewport_size({"width": WIDTH, "height": WIDTH})
    page.goto(f"/#/{picture.address}")
    expect(page.locator(picture.awaited).first).to_be_visible()
    if picture.folded:
        page.locator(picture.folded).click()
    place = page.locator(picture.last).first.bounding_box()
    assert place is not None, f"{picture.address} has no {picture.last}"
    page.set_viewport_size({"width": WIDTH, "height": round(place["y"] + place["height"]) + MARGIN})
    said = {"format": "webp", "quality": QUALITY}  # which Playwright's own screenshots have not
    image = base64.b64decode(browser.new_cdp_session(page).send("Page.captureScreenshot", said)["data"])
    (IMAGES / f"{picture.name}.webp").write_bytes(image)
    print(f"{picture.name}: {len(image):,} bytes")
    page.close()


if __name__ == "__main__":
    main()
