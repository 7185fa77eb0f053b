"""People, by services that listen on loopback: JSON, Mattermost's (Slack's shape), and mail. Errors hold no secret.

Apprise's own `slack://` has no address but Slack's.
"""

import asyncio
import logging
from collections.abc import Iterator
from io import StringIO

import pytest

from pipeline.notifications.attempts import Attempt
from pipeline.notifications.people import People
from schemas.notification import SecretAt
from tests.pipeline.notifications.receivers import Receiver, mail

TOKEN = "correcthorsebatterystaple"


@pytest.fixture
def logged() -> Iterator[StringIO]:
    """All that is logged. (pytest's own handler also hears loggers that tell the root nothing.)"""
    text, root = StringIO(), logging.getLogger()
    handler, level = logging.StreamHandler(text), root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield text
    root.removeHandler(handler)
    root.setLevel(level)


def send(url: str, monkeypatch: pytest.MonkeyPatch) -> Attempt:
    monkeypatch.setenv("PEOPLE", url)

    async def sent() -> Attempt:
        people = People()
        try:
            return await people.send("ship checkout", "It wins.\nhttp://127.0.0.1/#checkout", SecretAt(env="PEOPLE"))
        finally:
            people.stop()

    return asyncio.run(sent())


def test_a_chat_is_told_in_the_shape_of_slack(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    assert send(receiver.url(f"/{TOKEN}", "mmost"), monkeypatch) == Attempt()
    (came,) = receiver.came
    assert came.path == f"/hooks/{TOKEN}"
    assert came.told["text"].split() == ["ship", "checkout", "It", "wins.", "http://127.0.0.1/#checkout"]


def test_a_mail_has_a_subject_and_a_text(monkeypatch: pytest.MonkeyPatch) -> None:
    with mail() as (mailbox, port):
        url = f"mailto://localhost:{port}?smtp=127.0.0.1&from=peekproof@example.org&to=team@example.org&mode=insecure"
        assert send(url, monkeypatch) == Attempt()
    (came,) = mailbox.came
    assert came.rcpt_tos == ["team@example.org"]
    assert b"Subject: ship checkout" in came.content
    assert b"It wins." in came.content


@pytest.mark.parametrize("status", [401, 404, 500])
def test_what_a_service_said_is_told_without_its_secret(
    receiver: Receiver, status: int, monkeypatch: pytest.MonkeyPatch, logged: StringIO
) -> None:
    receiver.answers.append((status, {}))

    error = send(receiver.url(f"/{TOKEN}", "json"), monkeypatch).error

    assert error is not None
    assert f"error={status}" in error
    assert TOKEN not in error
    assert TOKEN not in logged.getvalue()


@pytest.mark.parametrize("url", [f"nothing://{TOKEN}", TOKEN, f"mailto://user:{TOKEN}@", f"json://127.0.0.1:1/{TOKEN}"])
def test_a_url_that_is_of_no_use_is_told_by_its_place(
    url: str, monkeypatch: pytest.MonkeyPatch, logged: StringIO
) -> None:
    error = send(url, monkeypatch).error
    assert error is not None
    assert TOKEN not in error
    assert TOKEN not in logged.getvalue()
