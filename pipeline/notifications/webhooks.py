"""Webhooks: word to programs, as Standard Webhooks 1.0 has it: an id that stays the same, the time, and signatures."""

import base64
import binascii
import hmac
import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from hashlib import sha256
from importlib.metadata import version
from typing import Any, Self

import aiohttp
import msgspec

from pipeline.notifications.attempts import Attempt
from pipeline.notifications.secrets import SecretError, place_of, reveal
from schemas.duration import DAY_MS
from schemas.notification import Notification, SecretAt, Webhook

TIMEOUT_SECONDS = 20.0
PREFIX = "whsec_"
KEY_BYTES = range(24, 65)  # as the specification has it
GONE = 410
SPARING = (429, 503)  # whose Retry-After counts


class Webhooks:
    """Sends: `async with Webhooks() as webhooks: …`. Proxies are those that the environment names."""

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS),
            headers={"User-Agent": f"Peekproof/{version('peekproof')}"},
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=True,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def send(self, notification: Notification, to: Webhook) -> Attempt:
        """Send once. No redirect is followed, and of the answer nothing but its status is told."""
        try:
            url = to.url if isinstance(to.url, str) else reveal(to.url)
            keys = [_key(secret) for secret in to.secrets]
        except SecretError as error:
            return Attempt(error=str(error))
        body = body_of(notification)
        try:
            async with self._session.post(
                url, data=body, headers=headers_of(notification.id, body, keys, int(time.time())), allow_redirects=False
            ) as answer:
                return _judged(answer.status, answer.headers.get("Retry-After"))
        except Exception as error:  # whose own words may hold the URL
            return Attempt(error=_reason(error))


def body_of(notification: Notification) -> bytes:
    """The notification as its event's type, its time and its data."""
    told: dict[str, Any] = {
        "type": notification.event.replace(" ", "_"),
        "timestamp": datetime.fromtimestamp(notification.time / 1_000, UTC).isoformat(timespec="milliseconds"),
        "data": notification,
    }
    return msgspec.json.encode(told)


def headers_of(identity: str, body: bytes, keys: Sequence[bytes], now: int) -> dict[str, str]:
    """The headers of one attempt at that time (s UTC): each key signs, so that one can be changed for another."""
    headers = {"Content-Type": "application/json", "webhook-id": identity, "webhook-timestamp": str(now)}
    if keys:
        signed = f"{identity}.{now}.".encode() + body
        signatures = (base64.b64encode(hmac.digest(key, signed, sha256)).decode() for key in keys)
        headers["webhook-signature"] = " ".join(f"v1,{signature}" for signature in signatures)
    return headers


def _key(secret: SecretAt) -> bytes:
    try:
        key = base64.b64decode(reveal(secret).removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) not in KEY_BYTES:
        raise SecretError(
            f"{place_of(secret)} is no secret of a webhook; write {PREFIX} and then {KEY_BYTES.start} to "
            f"{KEY_BYTES.stop - 1} random bytes in base64, as in: echo {PREFIX}$(openssl rand -base64 32)"
        )
    return key


def _judged(status: int, retry_after: str | None) -> Attempt:
    if status // 100 == 2:
        return Attempt()
    if status == GONE:
        return Attempt(error="it answers 410: it wants no more of this; edit the rule to send again", is_last=True)
    asked = _milliseconds(retry_after) if status in SPARING and retry_after else 0
    waits = f", and asks to be left alone for {asked / 1_000:.0f} s" if asked else ""
    redirects = "; redirects are not followed: give the address that it leads to" if status // 100 == 3 else ""
    return Attempt(error=f"it answers {status}{waits}{redirects}", pause=asked)


def _milliseconds(retry_after: str) -> int:
    """As long as the header says, in seconds or as a date, at most a day; 0 where it says neither."""
    try:
        seconds = float(retry_after) if retry_after.strip().isdigit() else _until(retry_after)
    except ValueError:
        return 0
    return int(min(max(0.0, seconds * 1_000), DAY_MS))


def _until(date: str) -> float:
    return parsedate_to_datetime(date).timestamp() - time.time()


def _reason(error: Exception) -> str:
    """What failed, without the words of the client, which hold the address."""
    match error:
        case TimeoutError():
            return f"it gives no answer within {TIMEOUT_SECONDS:.0f} s"
        case aiohttp.ClientConnectorCertificateError():
            return "its certificate is not one that this machine trusts"
        case aiohttp.ClientConnectorDNSError():
            return "its host is not known here"
        case aiohttp.ClientConnectorError():
            why = os.strerror(number) if (number := error.os_error.errno) else type(error.os_error).__name__
            return f"it cannot be reached ({why})"
        case aiohttp.InvalidURL() | ValueError():
            return "its address is no URL; write https://…"
    return f"it cannot be reached ({type(error).__name__})"
