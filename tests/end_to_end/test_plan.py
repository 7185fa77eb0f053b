"""A plan from its first step to harm, while stages are killed: rolled back in seconds, by one version, told once."""

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from kafka import KafkaProducer

from evaluation.catalog.history import DocumentVersion
from evaluation.catalog.in_force import SETTLING
from evaluation.significance.look import decode_look
from peekproof import load_flags
from pipeline.catalog.topic import read_catalog
from pipeline.kafka.clients import kafka_python_arguments
from pipeline.kafka.reading import read_topic
from pipeline.listening import HOME, address, with_free_port
from pipeline.processes.supervisor import SupervisedProcess, Supervisor
from pipeline.settings import Settings
from schemas.look import Look, Offsets
from schemas.plan import AUTHOR
from schemas.topics import EVENTS, EXPOSURES, RESULTS
from tests.conftest import deployed
from tests.live import wait_for
from tests.pipeline.notifications.receivers import mail, receiving
from tests.pipeline.shop import Shop

GUARDRAIL = "key: app_error\nowner: shop\ntype: conversion\nevent: app_error\nwindow: 1s\n"
PLAN = """\
plan:
  steps: [{rollout: 1, for: 1s}, {rollout: 10, for: 1h, until: {safe: [app_error]}}, {rollout: 50}]
  on_harm: roll back
"""
GOAL = "metrics: [{metric: app_error, role: guardrail, direction: decrease, margin: 0.3}]\n"
RULE = """\
key: leads
owner: shop
settle: 1s
when: [{event: guardrail harmed}, {event: plan step taken}, {event: plan acted on alarm}]
to:
  - {name: hook, webhook: {url: {env: HOOK}}}
  - {name: chat, people: {env: CHAT}}
  - {name: post, people: {env: POST}}
"""
USERS = [f"u{number}" for number in range(3_000)]
OFTEN = 0.05  # seconds

Given = dict[str, str]  # the variant of each user who has one


class FlagStream:
    """What a producer that follows the server's stream gives to every user, and since when (seconds)."""

    def __init__(self, url: str, directory: Path) -> None:
        self.heard: list[tuple[float, Given]] = []
        self._file = directory / "flags.json"
        self._client = httpx.Client(base_url=url, timeout=30)
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    @property
    def given(self) -> Given:
        """The newest."""
        return self.heard[-1][1] if self.heard else {}

    def close(self) -> None:
        self._client.close()
        self._thread.join(10)

    def _follow(self) -> None:
        with suppress(httpx.TransportError), self._client.stream("GET", "/sdk/stream/v1/flags") as stream:
            for line in stream.iter_lines():
                if line.startswith("data: ["):
                    now = time.time()
                    self._file.write_text(line.removeprefix("data: "))
                    flags = load_flags(self._file)
                    answers = {user: flags.evaluate({"user_id": user}).get("button") for user in USERS}
                    given = {user: answer.key for user, answer in answers.items() if answer}
                    self.heard.append((now, {user: key for user, key in given.items() if key != "off"}))


class Traffic:
    """Users who meet their variant, and fail where they are told to."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer = KafkaProducer(**kafka_python_arguments(settings), linger_ms=20)
        self._met: set[str] = set()

    def meet(self, given: Given, failing: str = "nobody") -> None:
        """Those who have not yet; of two who have a variant that fails, one fails, of others one in 20."""
        now = time.time_ns() // 1_000_000
        for number, (user, variant) in enumerate(sorted(given.items() - self._met_of(given))):
            who = {"user_id": user, "time": now}
            self._send(EXPOSURES, who | {"flag_key": "button", "variant": variant})
            if number % (2 if variant == failing else 20) == 0:
                self._send(EVENTS, who | {"event_type": "app_error"})
        self._met |= given.keys()
        self._producer.flush()

    def close(self) -> None:
        self._producer.close()

    def _met_of(self, given: Given) -> set[tuple[str, str]]:
        return {(user, variant) for user, variant in given.items() if user in self._met}

    def _send(self, topic: str, message: dict[str, object]) -> None:
        said = json.dumps(message | {"insert_id": f"{topic}/{message['user_id']}"}).encode()
        self._producer.send(self._settings.topic(topic), said, key=str(message["user_id"]).encode())


def test_harm_is_rolled_back_and_told_though_the_stages_are_killed(
    broker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = {"http_port": 0, "horizon": 1_000, "tolerance": 1_000}
    with ExitStack() as stack:
        hook, chat = stack.enter_context(receiving()), stack.enter_context(receiving())
        mailbox, port = stack.enter_context(mail())
        monkeypatch.setenv("HOOK", hook.url())
        monkeypatch.setenv("CHAT", chat.url("/token", "mmost"))
        monkeypatch.setenv(
            "POST", f"mailto://localhost:{port}?smtp=127.0.0.1&from=us@a.org&to=team@a.org&mode=insecure"
        )
        deployment = stack.enter_context(deployed(broker, tmp_path / "data", **made))
        settings, killed, telling, stream = stack.enter_context(running(deployment))
        shop = Shop(tmp_path / "documents", settings)
        (shop.directory / "notifications").mkdir()
        (shop.directory / "notifications" / "leads.yaml").write_text(RULE)
        (shop.directory / "metrics" / "a.yaml").write_text(GUARDRAIL)
        shop.rewrite("rollout: 50\n", PLAN)
        shop.rewrite("metrics:\n  - metric: purchase\n", GOAL)
        shop.apply()
        shop.call("experiment", "start", "button")
        traffic = Traffic(settings)
        wait_for(lambda: stream.given, what="step 1", often=OFTEN)
        one_percent = stream.given
        time.sleep(1.2 * SETTLING / 1_000)  # who is met before belongs to no run
        traffic.meet(one_percent)
        kill(killed)
        kill(telling)

        wait_for(lambda: len(stream.given) > 5 * len(one_percent), what="step 2", often=OFTEN)
        ten_percent = stream.given
        time.sleep(1.2 * SETTLING / 1_000)
        kill(killed)
        kill(killed)
        ready = rf"\[{killed.process.pid}\] .*: Worker ready"
        wait_for(lambda: re.search(ready, killed.log.read_text()), what="the stage", often=OFTEN)
        traffic.meet(ten_percent, failing="treatment")
        wait_for(lambda: not stream.given, 60, "the roll-back", often=OFTEN)
        traffic.close()
        came = [each.told["data"] for each in hook.wait(3, 60)]
        chat.wait(3)
        wait_for(lambda: len(mailbox.came) >= 3, what="the mails", often=OFTEN)

        step, roll_back = plans_versions(settings)
        shown = harm(settings)
        heard_at = stream.heard[-1][0] * 1_000
    assert one_percent.items() <= ten_percent.items()
    assert len(ten_percent) < 0.2 * len(USERS)
    assert step.document.reason.startswith("step 2 of 3 (10 %); step 1 in force for 1s, since ")
    assert roll_back.append_time - min(when for when, _ in shown) < 5_000
    assert heard_at - roll_back.append_time < 1_000
    told = roll_back.document.reason
    assert re.match(r"treatment harms app_error.*: .+, (exact )?p [<=] 0\.\d+; ", told)
    assert any(told.endswith(f"; look {each.look} of exp-1 at offsets {says(each.offsets)}") for _, each in shown)
    assert killed.restarts == 3
    assert sorted(each["event"] for each in came) == ["guardrail harmed", "plan acted on alarm", "plan step taken"]
    assert sorted(each["version"] for each in came if each["event"].startswith("plan")) == [
        each.document.version for each in (step, roll_back)
    ]
    assert len({each["id"] for each in came}) == len(hook.came) == len(chat.came) == len(mailbox.came) == 3


@contextmanager
def running(deployment: Settings) -> Iterator[tuple[Settings, SupervisedProcess, SupervisedProcess, FlagStream]]:
    """Every stage and the server, all at work; those that act and tell, and what a follower of the stream hears."""
    settings = with_free_port(deployment)
    url = address(HOME, settings.http_port)
    with Supervisor(settings, is_open=True) as supervisor:
        plans, telling = [worker for worker in supervisor.workers if worker.name in ("plans", "notifications")]
        wait_for(lambda: is_ready(url), what="every stage", often=OFTEN)
        stream = FlagStream(url, settings.data)
        try:
            yield settings, plans, telling, stream
        finally:
            stream.close()


def is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").is_success
    except httpx.TransportError:
        return False


def kill(worker: SupervisedProcess) -> None:
    """At once, and wait until another has been started."""
    before = worker.process.pid
    worker.process.kill()
    wait_for(lambda: worker.process.pid != before, what="another worker", often=OFTEN)


def plans_versions(settings: Settings) -> list[DocumentVersion]:
    """Those that the plan wrote."""
    return [each for each in read_catalog(settings).versions if each.document.author == AUTHOR]


def says(offsets: Offsets) -> str:
    return " ".join(f"{partition}:{offset}" for partition, offset in offsets.items())


def harm(settings: Settings) -> list[tuple[int, Look]]:
    """The looks that show it, with their append times (ms UTC)."""
    looks = [(record.timestamp, decode_look(record.value)) for record in read_topic(settings, RESULTS)]
    return [each for each in looks if any(cell.judgement == "harmed" for cell in each[1].cells)]
