"""The stage of notifications: what stands on the topic comes to every place, on a real broker, whatever happens."""

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from kafka import KafkaProducer
from standardwebhooks import Webhook as Verifier

from pipeline.kafka.clients import kafka_python_arguments
from pipeline.kafka.reading import read_topic
from pipeline.processes.template import ForkedProcess
from pipeline.settings import Settings
from pipeline.stages.notifications import NotificationsStage
from schemas.notification import About, HandedOver, NotificationRule, Place, SecretAt, Webhook
from schemas.topics import CATALOG, DELIVERIES, HEALTH, NOTIFICATIONS, RESULTS
from tests.conftest import deployed
from tests.live import wait_for
from tests.pipeline.conftest import look
from tests.pipeline.notifications.receivers import Mailbox, Receiver, mail, receiving
from tests.pipeline.notifications.words import apply, say, word
from tests.pipeline.notifications.words import rule as rule_of
from tests.pipeline.shop import Shop

SIGNING = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
TOKEN, PASSWORD = "chattokenthatnobodymayknow", "mailpasswordthatnobodymayknow"


class Installation:
    """A deployment with a worker of the stage, which is killed and started again."""

    def __init__(self, settings: Settings, log: Path, secrets: dict[str, str]) -> None:
        self.settings, self.log, self._secrets = settings, log, secrets
        self._worker: ForkedProcess | None = None

    def start(self) -> None:
        environment = os.environ | self.settings.environment() | self._secrets
        self._worker = ForkedProcess(["worker", "notifications"], self.log, environment)

    def kill(self) -> None:
        if self._worker:
            self._worker.kill()
            self._worker.wait()

    def end(self) -> None:
        assert self._worker is not None
        self._worker.terminate()
        assert self._worker.wait(20) == 0

    def apply(self, rule: NotificationRule) -> None:
        apply(self.settings, rule)

    def say(self, rule: str, *words: str, subject: str = "flag/a") -> None:
        """Put words on the topic, whose ids are what they say."""
        say(self.settings, *(word(each, rule, subject) for each in words))

    def outcomes(self, *words: str) -> list[HandedOver]:
        """What stands on `deliveries` of these, in order."""
        records = [msgspec.json.decode(each.value, type=HandedOver) for each in read_topic(self.settings, DELIVERIES)]
        return sorted((each for each in records if each.id in words), key=lambda each: each.time)

    def wait_for(self, outcome: str, number: int, *words: str) -> list[HandedOver]:
        def found() -> list[HandedOver]:
            return [each for each in self.outcomes(*words) if each.outcome == outcome]

        wait_for(lambda: len(found()) >= number, 30, f"{words} {outcome}; see {self.log.read_text()}", 0.1)
        return found()


@pytest.fixture(scope="module")
def hook() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture(scope="module")
def chat() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture(scope="module")
def post() -> Iterator[tuple[Mailbox, int]]:
    with mail() as found:
        yield found


@pytest.fixture(scope="module")
def installation(
    broker: str,
    tmp_path_factory: pytest.TempPathFactory,
    hook: Receiver,
    chat: Receiver,
    post: tuple[Mailbox, int],
) -> Iterator[Installation]:
    directory = tmp_path_factory.mktemp("notifications")
    secrets = {
        "SIGNING": SIGNING,
        "CHAT": chat.url(f"/{TOKEN}", "mmost"),
        "MAIL": f"mailto://localhost:{post[1]}?smtp=127.0.0.1&from=us@example.org&to=team@example.org&mode=insecure",
        "HOOK": hook.url(f"/{PASSWORD}"),
    }
    with deployed(broker, directory / "data") as settings:
        made = Installation(
            msgspec.structs.replace(settings, url="https://console.example/"), directory / "log", secrets
        )
        try:
            made.apply(rule("hook", "chat", "mail"))
            made.apply(rule("hook", key="hooks"))
            made.start()
            yield made
        finally:
            made.kill()


PLACES: dict[str, Any] = {
    "hook": {"webhook": Webhook(url=SecretAt(env="HOOK"), secrets=(SecretAt(env="SIGNING"),))},
    "chat": {"people": SecretAt(env="CHAT")},
    "mail": {"people": SecretAt(env="MAIL")},
    "keyless": {"webhook": Webhook(url=SecretAt(env="HOOK"), secrets=(SecretAt(env="NOT_SET"),))},
}


def rule(*names: str, key: str = "all", **more: Any) -> NotificationRule:
    return rule_of(*(Place(name=name, **PLACES[name]) for name in names), key=key, **more)


@pytest.fixture
def producer_of_looks(installation: Installation, tmp_path: Path) -> Callable[[int, str], None]:
    """Publishes the looks of an experiment that runs, by number and decision."""
    shop = Shop(tmp_path / "configs", installation.settings)
    shop.apply()
    shop.call("experiment", "start", "button")
    producer = KafkaProducer(**kafka_python_arguments(installation.settings))

    def publish(number: int, decision: str) -> None:
        value = look(number).replace(b'"checkout"', b'"button"').replace(b'"keep running"', f'"{decision}"'.encode())
        producer.send(installation.settings.topic(RESULTS), value, key=b"button/exp-1").get()

    return publish


def test_word_comes_to_webhook_chat_and_mail_once(
    installation: Installation, hook: Receiver, chat: Receiver, post: tuple[Mailbox, int]
) -> None:
    installation.say("all", "first", "first")

    installation.wait_for("delivered", 3, "first")

    (came,) = hook.came
    assert Verifier(SIGNING).verify(came.body, came.headers)["data"]["link"] == "https://console.example/#/a"
    assert came.headers["webhook-id"] == "first"
    assert "first wins" in chat.came[0].told["text"]
    assert b"first wins" in post[0].came[0].content
    assert len(installation.outcomes("first")) == 3


def test_what_was_not_recorded_when_the_worker_was_killed_comes_again_and_nothing_else(
    installation: Installation, hook: Receiver
) -> None:
    hook.silence, before = 30.0, len(hook.came)
    installation.say("hooks", "second", "third")
    hook.wait(before + 1)
    installation.kill()  # the receiver has it, and nobody knows
    hook.silence = 0.0
    installation.start()

    installation.wait_for("delivered", 2, "second", "third")
    installation.kill()
    installation.start()
    installation.say("hooks", "fourth")
    installation.wait_for("delivered", 1, "fourth")

    assert [came.headers["webhook-id"] for came in hook.came[before:]] == ["second", "second", "third", "fourth"]


def test_a_place_that_was_away_hears_all_in_order_when_it_is_back(installation: Installation, hook: Receiver) -> None:
    before = len(hook.came)
    hook.down()
    installation.say("hooks", "fifth", "sixth")
    installation.say("hooks", "seventh", subject="flag/b")
    failed = installation.wait_for("failed", 2, "fifth", "seventh")
    assert {each.error for each in failed} == {"it cannot be reached (Connection refused)"}
    hook.up()

    installation.wait_for("delivered", 3, "fifth", "sixth", "seventh")

    came = [each.headers["webhook-id"] for each in hook.came[before:]]
    assert sorted(came) == ["fifth", "seventh", "sixth"]
    assert came.index("fifth") < came.index("sixth")
    assert not [each for each in installation.outcomes("sixth") if each.outcome == "failed"]


def test_a_place_that_wants_no_more_is_given_up(installation: Installation, hook: Receiver) -> None:
    installation.apply(rule("hook", key="gone"))
    before = len(hook.came)
    hook.answers.append((410, {}))
    installation.say("gone", "eighth", "ninth")

    installation.wait_for("given up", 2, "eighth", "ninth")

    assert len(hook.came) == before + 1
    log = installation.log.read_text()
    assert "notification eighth to 'hook' of rule 'gone' is given up" in log


def test_a_secret_that_is_not_there_holds_up_its_place_alone_and_is_named(installation: Installation) -> None:
    installation.apply(rule("keyless", "hook", key="keyless"))
    installation.say("keyless", "tenth")

    installation.wait_for("delivered", 1, "tenth")
    (failed, *_) = installation.wait_for("failed", 1, "tenth")

    assert failed.place == "keyless"
    assert "NOT_SET" in (failed.error or "")


def test_a_verdict_that_stands_is_told_once_whatever_happens(
    installation: Installation, hook: Receiver, producer_of_looks: Callable[[int, str], None]
) -> None:
    before = len(hook.came)
    producer_of_looks(1, "keep running")
    installation.apply(rule("hook", key="verdicts", settle="1s", about=About(keys=("button",))))
    producer_of_looks(2, "ship")

    (came,) = hook.wait(before + 1)[before:]
    told = came.told["data"]
    installation.wait_for("delivered", 1, told["id"])
    installation.kill()
    installation.start()
    producer_of_looks(3, "ship")
    installation.say("hooks", "eleventh")
    installation.wait_for("delivered", 1, "eleventh")

    assert (told["rule"], told["experiment"], told["state"]) == ("verdicts", "button", "ship")
    assert told["link"].startswith("https://console.example/#")
    assert [each.headers["webhook-id"] for each in hook.came[before:]] == [told["id"], "eleventh"]


def test_secrets_stand_in_no_log_and_no_record_and_health_counts(installation: Installation) -> None:
    installation.end()  # its last words are said
    texts = [installation.log.read_text()]
    for topic in (CATALOG, DELIVERIES, HEALTH, NOTIFICATIONS):
        texts += [(record.value or b"").decode() for record in read_topic(installation.settings, topic)]
    for secret in (SIGNING, SIGNING.removeprefix("whsec_"), TOKEN, PASSWORD):
        assert not [text for text in texts if secret in text]
    counts = [msgspec.json.decode(each.value)["counts"] for each in read_topic(installation.settings, HEALTH)]
    assert any(each.get("handovers given up") == 2 for each in counts)


def test_all_times_are_the_brokers() -> None:
    stage = NotificationsStage(Settings(bootstrap_servers="127.0.0.1:1"))  # which it does not reach
    for time in (5_000, 6_000):
        asyncio.run(stage.beat(time))  # years before this machine's clock

    assert (stage._work.watched, stage._work.now) == (5_000, 5_000)  # and on as workers are heard
