"""One journey through the whole, with an outage on the way: what unmodified SDKs were told is what a look says.

Users are evaluated, exposed, and buy, while the broker is killed: evaluations go on, and every acknowledged event
counts once. The suite has time for few requests; `--outage=30` is the full size, which also checks their rate.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipeline.kafka import topics
from pipeline.kafka.reading import read_topic
from pipeline.local_kafka.broker import Broker
from pipeline.processes.supervisor import SupervisedProcess
from pipeline.settings import Settings
from schemas.catalog import Metric
from schemas.topics import EVENTS
from tests.live import wait_for
from tests.pipeline.http import node_clients
from tests.pipeline.http.catalog import BUTTON, publish
from tests.pipeline.http.server import serving

REPOSITORY = Path(__file__).parents[4]
EVALUATED, UPLOADED = "/sdk/v2/vardata", "/2/httpapi"
FULL_SECONDS = 30.0  # of an outage in full size
FULL_RATE, SUITE_RATE = 500, 40  # requests a second
BEFORE_SECONDS, AFTER_SECONDS = 1.0, 1.0
DASHBOARD = {*re.findall(r"(?:peekproof|process)_[a-z_]+[a-z]", (REPOSITORY / "configs" / "grafana.json").read_text())}
STAGES = ("assignment", "aggregation", "significance")
PURCHASES = Metric(key="purchase", owner="shop", type="count", event="purchase", window="1h", scale=0)


class Shoppers:
    """Processes of clients, each in its own language, that share a rate."""

    def __init__(self, address: str, rate: float) -> None:
        commands = {"python": [sys.executable, "-m", "tests.pipeline.http.shoppers"]}
        if node_clients.is_there():
            commands["node"] = node_clients.command("shoppers.cjs")
        self._processes = [
            subprocess.Popen(
                [*command, name, address, str(rate / len(commands))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for name, command in commands.items()
        ]

    def end(self) -> list[dict[str, Any]]:
        """What each process has heard, when all of its events were answered."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.close()
            process.stdin = None
        told = [process.communicate(timeout=120)[0] for process in self._processes]
        assert {process.returncode for process in self._processes} == {0}
        return [json.loads(each) for each in told]

    def kill(self) -> None:
        """End those that are still there."""
        for process in self._processes:
            process.kill()
            process.wait()


def metrics(server: str) -> str:
    """What it has done, as Prometheus reads it."""
    return httpx.get(f"{server}/metrics", timeout=30).text


def answered(server: str) -> Counter[tuple[str, str]]:
    """How many requests the server has answered, by route and status."""
    pattern = r'peekproof_http_requests_total{.*route="(.*?)",status="(\d+)"} (\S+)'
    found: Counter[tuple[str, str]] = Counter()
    for route, status, count in re.findall(pattern, metrics(server)):  # one of each method
        found[route, status] += int(float(count))
    return found


@contextmanager
def shopping(server: str, rate: float) -> Iterator[Shoppers]:
    """Shoppers, of whom nobody stays."""
    shoppers = Shoppers(server, rate)
    try:
        wait_for(lambda: answered(server)[UPLOADED, "200"] > 0, what="an upload")
        yield shoppers
    finally:
        shoppers.kill()


@contextmanager
def working(settings: Settings) -> Iterator[None]:
    """The stages that make looks, as processes."""
    logs = settings.data / "logs"  # where the server's is
    workers = [
        SupervisedProcess(stage, 0, ["worker", stage], logs, os.environ | settings.environment()) for stage in STAGES
    ]
    try:
        yield
    finally:
        for worker in workers:
            worker.process.send_signal(signal.SIGTERM)
        try:
            codes = [worker.process.wait(30) for worker in workers]
        finally:
            for worker in workers:
                worker.process.kill()
    assert codes == [0] * len(workers)


def newest_look(server: str) -> dict[str, Any]:
    """What it says; empty: there is none."""
    answer = httpx.get(f"{server}/api/1/experiments/button/results", timeout=30)
    return answer.json() if answer.status_code == 200 else {}


def covers(look: dict[str, Any], units: int, events: int) -> bool:
    """Whether the look was made of all units and of all events, be they counted or known already."""
    health = look.get("health", {"arms": []})
    covered = sum(arm["units"] for arm in health["arms"])
    return covered == units and health["counted_events"] + health["duplicate_events"] == events


def test_evaluations_go_on_and_every_acknowledged_event_counts_once(tmp_path: Path, pytestconfig: pytest.Config):
    outage = pytestconfig.getoption("--outage")
    is_full = outage >= FULL_SECONDS
    with Broker(tmp_path / "broker") as broker:
        settings = Settings(bootstrap_servers=broker.bootstrap_servers, data=tmp_path / "data", units_partitions=4)
        topics.create(settings)
        publish(settings, [PURCHASES, BUTTON])
        with serving(settings) as (server, _):
            with shopping(server, 1.1 * FULL_RATE if is_full else SUITE_RATE) as shoppers:
                time.sleep(BEFORE_SECONDS)
                broker.kill()
                began, before = time.monotonic(), answered(server)
                time.sleep(outage)
                meanwhile, seconds = answered(server) - before, time.monotonic() - began
                broker.start()
                with working(settings):
                    time.sleep(AFTER_SECONDS)
                    told = shoppers.end()
                    lines = [line for record in read_topic(settings, EVENTS) for line in record.value.splitlines()]
                    met = {user: arm for each in told for user, arm in each["met"].items()}
                    wait_for(lambda: covers(newest_look(server), len(met), len(lines)), what="a look of everything")
                    look, ever = newest_look(server), answered(server)
                    names = re.compile(r"^[a-z_]+", re.MULTILINE)
                    wait_for(lambda: {*names.findall(metrics(server))} >= DASHBOARD, what="all that dashboards show")
                    assert 'peekproof_lag{partition="0",stage="aggregation",topic="units"} ' in metrics(server)
            broker.kill()  # and the server ends well without

    assert meanwhile[EVALUATED, "200"] > 0 < meanwhile[UPLOADED, "503"]
    assert {status for route, status in ever if route == EVALUATED} == {"200"}
    assert {status for route, status in ever if route == UPLOADED} == {"200", "503"}

    sent = [tuple(event) for each in told for event in each["sent"]]
    assert {status for *_, status in sent} == {200}  # in the end
    found = [(event["insert_id"], event["user_id"], event["time"]) for event in map(json.loads, lines)]
    assert {*found} == {event[:3] for event in sent}

    bought = Counter(user for _, user, *_ in sent)
    (cell,) = [each for each in look["cells"] if each["reading"] == "live" and each["segment"] == "all"]
    for arm, of in (("treatment", ""), ("control", "control_")):
        counts = [bought[user] for user, variant in met.items() if variant == arm]
        sums = (len(counts), sum(map(bool, counts)), sum(counts), sum(count**2 for count in counts))
        assert tuple(cell[of + name] for name in ("n", "nonzero", "sum", "sum_squares")) == sums
    assert look["health"]["counted_events"] == len(sent)
    assert look["health"]["duplicate_events"] == len(found) - len(sent) > 0

    rate = sum(meanwhile.values()) / seconds
    print(f"{rate:.0f} requests a second were answered while the broker was away, {len(met)} users were evaluated,")
    print(f"{len(sent)} events were acknowledged; {len(found) - len(sent)} stand twice on the topic and count once")
    if is_full:
        assert rate >= FULL_RATE
