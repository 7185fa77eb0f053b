"""The examples, each as a newcomer runs it, beside a deployment at work."""

import asyncio
import json
import os
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.demo.session import begin_experiments
from pipeline.http.callers.keys import Keys
from pipeline.kafka.reading import read_topic
from pipeline.listening import with_free_port
from pipeline.processes.supervisor import Supervisor
from pipeline.settings import Settings
from schemas.topics import DEAD_LETTERS, EVENTS, EXPOSURES
from tests.conftest import deployed
from tests.live import ask, wait_for
from tests.pipeline.http.topics import said_of

EXAMPLES = Path(__file__).parents[1] / "examples"
VISITORS = 3_000
CLOSED = """
SELECT count(*) FROM results
WHERE metric = 'purchase' AND experiment = 'checkout-button' AND reading = 'live' AND relative_lower IS NOT NULL
AND n + control_n >= 3000
"""


@pytest.fixture(scope="module")
def shop(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A deployment at work, in which the demo's experiments run, and a producer that sent its visitors."""
    with deployed(broker, tmp_path_factory.mktemp("shop")) as made:
        settings = with_free_port(made)
        asyncio.run(begin_experiments(settings))
        _, key = Keys(settings.data).create("server", "tests", "backend")
        server = {"PEEKPROOF_KEY": key, "PEEKPROOF_SERVER": f"http://127.0.0.1:{settings.http_port}"}
        with pytest.MonkeyPatch.context() as environment, Supervisor(settings) as supervisor:
            for name, value in server.items():
                environment.setenv(name, value)
            log = supervisor.workers[-1].log
            wait_for(lambda: "Peekproof answers" in log.read_text(), what="the server", often=0.1)
            yield settings
            supervisor.stop(patience=0)


def environment(settings: Settings) -> dict[str, str]:
    return os.environ | settings.environment()


def run(name: str, settings: Settings, *arguments: str) -> str:
    """What an example says, called as its first lines say."""
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    return subprocess.run(command, env=environment(settings), stdout=subprocess.PIPE, text=True, check=True).stdout


def test_a_producer_evaluates_and_sends_and_a_dashboard_hears_of_it(shop: Settings):
    said = run("producer.py", shop, str(VISITORS))

    assert said.startswith(f"{VISITORS} visitors met {{")
    command = [sys.executable, str(EXAMPLES / "dashboard.py")]
    with subprocess.Popen(command, env=environment(shop), stdout=subprocess.PIPE, text=True) as dashboard:
        assert dashboard.stdout is not None
        look = next(line for line in dashboard.stdout if line.startswith("checkout-button (exp-1, look"))
        lifts = (line for line in dashboard.stdout if line.startswith("  purchase, treatment against control: +"))
        assert any("%], p " in line for line in lifts)  # of the first units nothing bounds the lift yet
        dashboard.terminate()
    assert ": keep running: " in look
    assert not list(read_topic(shop, DEAD_LETTERS))


@pytest.mark.parametrize(
    ("low", "high", "says"),
    [
        (0.01, 0.09, "+5.0% [+1.0%, +9.0%], p 0.03"),
        (0.01, None, "+5.0% at least +1.0%, with no upper bound, p 0.03"),
        (None, 0.09, "+5.0% at most +9.0%, with no lower bound, p 0.03"),
        (None, None, "+5.0% with no bound on either side, p 0.03"),
    ],
)
def test_a_dashboard_says_what_an_open_end_means(low: float | None, high: float | None, says: str):
    cell = {"status": "ok", "relative_estimate": 0.05, "running_p_value": 0.03, "n": 70, "control_n": 80}
    ends = {"running_relative_lower": low, "running_relative_upper": high}
    dashboard = runpy.run_path(str(EXAMPLES / "dashboard.py"))

    assert dashboard["interval"](cell | ends) == says
    assert "80 units, no interval yet (too few)" in dashboard["interval"](cell | ends | {"status": "too few"})


def test_a_notebook_draws_the_intervals(shop: Settings, monkeypatch: pytest.MonkeyPatch):
    wait_for(lambda: ask(shop.snapshot, CLOSED) == 1, what="an interval")
    monkeypatch.setenv("PEEKPROOF_DATA", str(shop.data))
    cells = json.loads((EXAMPLES / "results.ipynb").read_text())["cells"]
    named: dict[str, Any] = {}

    for cell in cells:
        if cell["cell_type"] == "code":
            assert not cell["outputs"]
            exec("".join(cell["source"]), named)

    assert "checkout-button" in named["look"]._repr_html_()
    drawn = named["picture"].to_dict()
    told = [row["label"] for row in drawn["datasets"][drawn["data"]["name"]]]
    assert told[0] == "purchase"
    assert named["course"].to_arrow().num_rows >= 1


def test_amplitudes_sdks_evaluate_and_send_events(shop: Settings):
    said = run("sdk.py", shop, "ann", "bob")

    ann, bob = said.splitlines()
    for user, line in (("ann", ann), ("bob", bob)):
        wait_for(lambda user=user: said_of(shop, EXPOSURES, user), what="an exposure")
        (exposure,) = said_of(shop, EXPOSURES, user)
        assert exposure["flag_key"] == "checkout-button"
        assert line.split()[:2] == [f"{user}:", exposure["variant"]]
        (purchase,) = said_of(shop, EVENTS, user)
        assert purchase["event_type"] == "purchase"


def test_every_example_says_in_its_first_lines_how_it_is_run_and_stands_in_the_list():
    listed = (EXAMPLES / "README.md").read_text()

    for example in EXAMPLES.iterdir():
        if example.suffix in (".py", ".ipynb"):
            assert f"[{example.name}](./{example.name})" in listed
            assert f"examples/{example.name}" in "".join(example.read_text().splitlines(keepends=True)[:20])
