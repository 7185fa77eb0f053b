"""`peekproof notifications`: what was told, where it arrived, and whether a rule's places can be reached."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from click.testing import CliRunner, Result
from standardwebhooks import Webhook as Verifier

from pipeline.cli import command
from pipeline.errors import PeekproofError
from pipeline.settings import Settings
from schemas.notification import HandedOver, Place, SecretAt, Webhook
from tests.pipeline.cli.calling import call, lines
from tests.pipeline.notifications.receivers import receiving
from tests.pipeline.notifications.words import apply, rule, say, word

SIGNING = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def outcome(identity: str, place: str, outcome: Any, attempts: int = 1, error: str | None = None) -> HandedOver:
    return HandedOver(id=identity, rule="all", place=place, outcome=outcome, attempts=attempts, time=2, error=error)


def test_the_newest_are_listed_with_where_they_arrived_and_followed(deployment: Settings) -> None:
    assert "there are none yet" in call(deployment, "notifications").stdout
    say(
        deployment,
        word("one"),
        word("two"),
        word("two"),
        outcome("one", "hook", "failed", 1, "it answers 500"),
        outcome("one", "chat", "delivered"),
        outcome("two", "hook", "failed", 1, "it answers 500"),
        outcome("two", "hook", "delivered", 2),
    )

    table = call(deployment, "notifications").stdout.splitlines()
    one, two = lines(call(deployment, "notifications", "--json"))

    assert [line.split()[3] for line in table[1:]] == ["verdict", "verdict"]
    assert "one wins" in table[1]
    assert "chat, hook (failed after 1: it answers 500)" in table[1]
    assert table[2].split()[-2:] == ["wins", "hook"]
    assert [each["place"] for each in two["deliveries"]] == ["hook"]  # type: ignore[union-attr]
    assert one["notification"]["sentence"] == "one wins"  # type: ignore[index]
    following = subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli", "notifications", "--follow", "--json"],
        env=os.environ | deployment.environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert following.stdout is not None
    try:
        before = [json.loads(following.stdout.readline())["notification"]["id"] for _ in range(2)]
        say(deployment, word("three"))
        assert [*before, json.loads(following.stdout.readline())["notification"]["id"]] == ["one", "two", "three"]
    finally:
        following.kill()
        following.wait()
        following.stdout.close()


def test_a_rule_is_tried_at_each_of_its_places(deployment: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as receiver:
        monkeypatch.setenv("SIGNING", SIGNING)
        monkeypatch.setenv("CHAT", receiver.url("/token", "mmost"))
        hook = Place(name="hook", webhook=Webhook(url=receiver.url(), secrets=(SecretAt(env="SIGNING"),)))
        apply(deployment, rule(hook, Place(name="chat", people=SecretAt(env="CHAT"))))
        apply(deployment, rule(hook, Place(name="mail", people=SecretAt(env="NOT_SET")), key="half"))
        apply(deployment, rule(key="bell"))

        both = call(deployment, "notifications", "test", "all").stdout
        half = tried(deployment, "half", "--json")

        assert both.splitlines()[1:] == ["hook   delivered", "chat   delivered"]
        assert half.exit_code == 1
        assert [each["outcome"] for each in lines(half)] == ["delivered", "failed"]
        assert "NOT_SET" in half.stdout
        hooked = next(each for each in receiver.came if each.path == "/hook")
        assert Verifier(SIGNING).verify(hooked.body, hooked.headers)["type"] == "test"
        assert "sends to no place" in call(deployment, "notifications", "test", "bell").stdout
        with pytest.raises(PeekproofError, match="there are all, bell, half"):
            tried(deployment, "every")


def tried(settings: Settings, *arguments: str) -> Result:
    return CliRunner().invoke(
        command, ["notifications", "test", *arguments], env=settings.environment(), catch_exceptions=False
    )
