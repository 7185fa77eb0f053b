"""What the tests of the console share: a server that wants keys, and a real Chromium in which it is open.

Screenshots of its pages are left in `build/screenshots`.
"""

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import sync_playwright

from pipeline.catalog.topic import read_catalog
from tests.conftest import deployed
from tests.pipeline.http.console.console import CONFIGS, EXPERIMENT, Console
from tests.pipeline.http.server import serving
from tests.pipeline.shop import Shop

BREAKDOWN = "breakdowns:\n  - property: platform\n    values: [iOS, Android]\n"


@pytest.fixture(scope="module")
def console(broker: str, chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    directory = tmp_path_factory.mktemp("console")
    with deployed(broker, directory / "data") as settings:
        shutil.copytree(CONFIGS, directory / "configs")
        with (directory / "configs" / "experiments" / f"{EXPERIMENT}.yaml").open("a") as file:
            file.write(BREAKDOWN)
        shop = Shop(directory / "shop", settings)
        shop.call("apply", str(directory / "configs"), "--reason", "the shop's examples")
        shop.call("experiment", "start", EXPERIMENT, "--reason", "let us see")
        catalog = read_catalog(settings)
        # Playwright's loop runs from here on, and none of ours can.
        with serving(settings, is_open=False) as server, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            made = Console(settings, catalog, server.address, browser)
            made.publish(*range(150, 3_000, 150))
            yield made
            browser.close()


@pytest.fixture(autouse=True)
def no_fault(console: Console) -> Iterator[None]:
    """Nothing that went wrong in a page goes unseen."""
    console.faults.clear()
    yield
    for page in console.browser.pages:
        page.close()
    assert console.faults == []
