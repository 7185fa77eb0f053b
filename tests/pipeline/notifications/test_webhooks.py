"""Webhooks, verified by the official package: signatures, rotation, and what each answer means."""

import asyncio
import json
from email.utils import formatdate
from pathlib import Path
from time import time

import pytest
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from pipeline.notifications import webhooks
from pipeline.notifications.attempts import Attempt
from pipeline.notifications.webhooks import Webhooks, body_of
from schemas.duration import DAY_MS
from schemas.notification import Notification, SecretAt, Webhook
from tests.pipeline.notifications.receivers import Receiver

OLD, NEW = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_plJ3nmyCDGBKInavdOK15jsl0123456789ab"
SAID = Notification(
    id="4f2a", rule="leads", event="verdict changed", subject="flag/a", time=1_767_225_600_000, sentence="ship it"
)


def send(to: Webhook) -> Attempt:
    async def sent() -> Attempt:
        async with Webhooks() as client:
            return await client.send(SAID, to)

    return asyncio.run(sent())


def test_every_secret_signs_while_one_takes_the_place_of_another(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OLD", OLD)
    (tmp_path / "new").write_text(f"{NEW}\n")
    secrets = (SecretAt(env="OLD"), SecretAt(file=str(tmp_path / "new")))

    assert send(Webhook(url=receiver.url(), secrets=secrets)) == Attempt()

    (came,) = receiver.came
    assert came.headers["webhook-id"] == SAID.id
    for secret in (OLD, NEW):
        assert Verifier(secret).verify(came.body, came.headers) == came.told
    with pytest.raises(WebhookVerificationError):
        Verifier(OLD).verify(came.body + b" ", came.headers)
    assert came.told["type"] == "verdict_changed"
    assert came.told["timestamp"] == "2026-01-01T00:00:00.000+00:00"
    assert came.told["data"] == json.loads(body_of(SAID))["data"]


def test_a_file_that_was_renewed_is_seen(receiver: Receiver, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    to = Webhook(url=receiver.url(), secrets=(SecretAt(file=str(file)),))
    for secret in (OLD, NEW):
        file.write_text(secret)
        send(to)
        Verifier(secret).verify(receiver.came[-1].body, receiver.came[-1].headers)


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        (204, {}, Attempt()),
        (302, {"Location": "/elsewhere"}, None),
        (404, {}, Attempt(error="it answers 404")),
        (500, {"Retry-After": "30"}, Attempt(error="it answers 500")),
        (503, {"Retry-After": "30"}, Attempt(error="it answers 503, and asks to be left alone for 30 s", pause=30_000)),
        (429, {"Retry-After": "soon"}, Attempt(error="it answers 429")),
        (
            429,
            {"Retry-After": "9" * 400},
            Attempt(error="it answers 429, and asks to be left alone for 86400 s", pause=DAY_MS),
        ),
    ],
)
def test_what_an_answer_means(
    receiver: Receiver, status: int, headers: dict[str, str], expected: Attempt | None
) -> None:
    receiver.answers.append((status, headers))

    attempt = send(Webhook(url=receiver.url()))

    assert len(receiver.came) == 1  # a redirect is not followed
    if expected is None:
        assert attempt.error is not None
        assert "redirects are not followed" in attempt.error
    else:
        assert attempt == expected


def test_a_place_may_ask_to_be_left_alone_until_a_date(receiver: Receiver) -> None:
    receiver.answers.append((429, {"Retry-After": formatdate(time() + 60, usegmt=True)}))
    assert 50_000 < send(Webhook(url=receiver.url())).pause <= 60_000


def test_a_place_that_is_gone_is_asked_no_more(receiver: Receiver) -> None:
    receiver.answers.append((410, {}))
    assert send(Webhook(url=receiver.url())).is_last


def test_a_place_that_is_slow_or_away_has_not_heard(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "TIMEOUT_SECONDS", 0.2)
    receiver.silence = 1.0
    assert "no answer" in (send(Webhook(url=receiver.url())).error or "")
    receiver.down()
    assert send(Webhook(url=receiver.url())).error == "it cannot be reached (Connection refused)"
    receiver.up()


@pytest.mark.parametrize(
    "url", ["http://secret-host.invalid/secret", "secret://x", "http://127.0.0.1:1/secret", "secret"]
)
def test_errors_hold_no_url(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK", url)
    error = send(Webhook(url=SecretAt(env="HOOK"))).error
    assert error is not None
    assert "secret" not in error


@pytest.mark.parametrize("held", ["whsec_c2hvcnQ=", "whsec_no base64!", "", " "])
def test_a_secret_that_is_none_is_told_by_its_place(
    receiver: Receiver, held: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGNING", held)
    error = send(Webhook(url=receiver.url(), secrets=(SecretAt(env="SIGNING"),))).error
    assert error is not None
    assert "SIGNING" in error
    assert held.strip() == "" or held not in error
    assert not receiver.came


def test_a_file_that_is_not_there_is_named(receiver: Receiver, tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    error = send(Webhook(url=receiver.url(), secrets=(SecretAt(file=str(missing)),))).error
    assert error is not None
    assert str(missing) in error
