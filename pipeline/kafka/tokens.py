"""Tokens: what lets us in by OAUTHBEARER, from an OpenID provider or from AWS. One at a time for a whole process."""

import asyncio
import base64
import ssl
import threading
import time
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, NamedTuple
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import msgspec
from aiokafka.abc import AbstractTokenProvider

from pipeline.errors import PeekproofError
from pipeline.settings import Settings

if TYPE_CHECKING:
    import kafka.net.sasl.oauth

PROVIDER_SECONDS = 10.0  # for the provider to answer
WINDOW = 0.8  # of its life a token is used; Kafka's own clients do so too
UNSAID = 60.0  # seconds that a token lives whose provider does not say how long


class TokenError(PeekproofError, OSError):
    """There is no token now. Clients try again, as where a broker cannot be reached."""


class Token(NamedTuple):
    """A token, and for how many seconds it lets in."""

    text: str
    seconds: float


class _Answer(msgspec.Struct):
    """RFC 6749, 5.1."""

    access_token: str
    expires_in: float = UNSAID


class Tokens:
    """The newest token, and another one before it expires; safe for threads."""

    def __init__(self, fetch: Callable[[], Token], clock: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._clock = clock
        self._lock = threading.Lock()
        self._text = ""
        self._renewed = self._expires = 0.0

    def token(self) -> str:
        """A token that lets in for a while yet. Raises TokenError where there is none to be had."""
        with self._lock:
            now = self._clock()
            if not self._text or now >= self._renewed:
                try:
                    fetched = self._fetch()
                except TokenError:
                    if not self._text or now >= self._expires:
                        raise
                else:
                    self._text = fetched.text
                    self._renewed, self._expires = now + WINDOW * fetched.seconds, now + fetched.seconds
            return self._text


@cache
def tokens_of(settings: Settings) -> Tokens:
    """The tokens of an installation's user."""
    return Tokens(lambda: _of_aws(settings) if settings.sasl_oauth_aws_region else _of_provider(settings))


class Provider(AbstractTokenProvider):  # type: ignore[misc]
    """As aiokafka and Faust ask for tokens."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    async def token(self) -> str:
        """A token."""
        return await asyncio.to_thread(self._tokens.token)


def provider_of_kafka_python(tokens: Tokens) -> "kafka.net.sasl.oauth.AbstractTokenProvider":
    """As kafka-python asks for tokens."""
    from kafka.net.sasl.oauth import AbstractTokenProvider as TheirProvider  # noqa: PLC0415 (slow to import)

    class ProviderOfKafkaPython(TheirProvider):  # type: ignore[misc]
        def token(self) -> str:
            return tokens.token()

    return ProviderOfKafkaPython()


def _of_provider(settings: Settings) -> Token:
    """By client credentials (RFC 6749, 4.4)."""
    asked = {"grant_type": "client_credentials"}
    if settings.sasl_oauth_scope:
        asked["scope"] = settings.sasl_oauth_scope
    credentials = base64.b64encode(f"{settings.sasl_oauth_client_id}:{settings.sasl_oauth_client_secret}".encode())
    request = Request(
        settings.sasl_oauth_url or "",
        data=urlencode(asked).encode(),
        headers={"authorization": f"Basic {credentials.decode()}", "accept": "application/json"},
    )
    try:
        context = ssl.create_default_context(cafile=settings.sasl_oauth_cafile)
        with urlopen(request, timeout=PROVIDER_SECONDS, context=context) as response:
            answer = msgspec.json.decode(response.read(), type=_Answer, strict=False)
    except HTTPError as error:
        said = error.read(1_000).decode(errors="replace")
        raise TokenError(f"{settings.sasl_oauth_url} answers {error.code} {error.reason}: {said}") from None
    except (OSError, ValueError) as error:  # msgspec's errors too
        raise TokenError(f"{settings.sasl_oauth_url} gives no token: {error}") from error
    return Token(answer.access_token, answer.expires_in)


def _of_aws(settings: Settings) -> Token:
    """By AWS's signer, from the credentials that AWS's tools find: environment, profile, role."""
    try:
        from aws_msk_iam_sasl_signer import MSKAuthTokenProvider  # type: ignore[import-not-found]  # noqa: PLC0415 (an extra)
    except ImportError as error:
        raise PeekproofError(
            f"sasl_oauth_aws_region is {settings.sasl_oauth_aws_region}, and the signer of AWS is not there: "
            "`pip install 'peekproof[aws]'`"
        ) from error
    try:
        text, expires = MSKAuthTokenProvider.generate_auth_token(settings.sasl_oauth_aws_region)
    except Exception as error:  # botocore has a hundred
        raise TokenError(f"AWS gives no token: {error}") from error
    return Token(text, expires / 1_000 - time.time())
