"""Connection: whether the cluster lets us in, and which setting mends it where it does not.

Clients go on trying for as long as they may, and then say no more than that they could not. So whoever is about to make
one asks here first, where one try tells the cause; and whoever waits for one asks again from time to time.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from time import monotonic

from aiokafka import errors
from aiokafka.conn import collect_hosts, create_conn
from aiokafka.protocol.metadata import MetadataRequest

from pipeline.errors import PeekproofError
from pipeline.kafka.clients import aiokafka_arguments
from pipeline.kafka.tokens import TokenError
from pipeline.settings import OAUTH, PROTOCOLS, Settings


class UnreachableError(PeekproofError):
    """The cluster does not let us in, or does not do what is asked."""


TIMEOUT_MS = 5_000  # of one server
AWAY_SECONDS = 10.0  # a broker that fell is named for nine by the others, and one that starts again takes a few
AGAIN_SECONDS = 0.5  # from one try to the next
METADATA_MS = 4_000  # after which partitions are noticed that were added to a topic
WATCH_SECONDS = 3.0
RIGHTS = "the documentation of a secured Kafka"  # docs/operate/kafka.md
_log = logging.getLogger(__name__)
_NAMED_DIFFERENTLY = (62, 64)  # OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH

Address = tuple[str, int]
Failures = dict[Address, Exception]


async def connect(settings: Settings) -> None:
    """Connect once, to the first of the bootstrap servers that lets us in, and to every broker that it names.

    Raises UnreachableError, naming the setting to mend, where none does, or where a broker is not where it says.
    """
    deadline = monotonic() + AWAY_SECONDS
    while True:
        brokers = await _brokers(settings)
        tried = await asyncio.gather(*(_failure(settings, address) for address in brokers))
        failures = {address: error for address, error in zip(brokers, tried, strict=True) if error}
        if not failures:
            return
        if len(failures) == len(brokers) or monotonic() > deadline:
            raise _unreached(settings, failures)
        await asyncio.sleep(AGAIN_SECONDS)


async def advertised(settings: Settings) -> dict[str, str | None]:
    """Where each broker says that it is, and what keeps us from there, null where nothing does: one try.

    Raises UnreachableError, naming the setting to mend, where no bootstrap server lets us in.
    """
    brokers = await _brokers(settings)
    tried = await asyncio.gather(*(_failure(settings, address) for address in brokers))
    return {
        _place(address): str(_unreached(settings, {address: error})) if error else None
        for address, error in zip(brokers, tried, strict=True)
    }


async def remain(settings: Settings) -> None:
    """Return when the cluster lets us in. Raises UnreachableError when it has not for some seconds: longer than a
    broker takes to start again."""
    deadline = monotonic() + AWAY_SECONDS
    while True:
        try:
            return await connect(settings)
        except UnreachableError:
            if monotonic() > deadline:
                raise
        await asyncio.sleep(AGAIN_SECONDS)


@asynccontextmanager
async def attended(settings: Settings) -> AsyncIterator[None]:
    """Ends what is done within by an UnreachableError when the cluster has been away for some seconds.

    For commands, which somebody waits for. The clients wait for ever, as stages and the server want it.
    """
    task = asyncio.current_task()
    assert task is not None

    async def watch() -> None:
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            await remain(settings)

    watching = asyncio.create_task(watch(), name="watch the cluster")
    watching.add_done_callback(lambda done: done.cancelled() or task.cancel())
    try:
        with answering(settings):
            yield
    except asyncio.CancelledError:
        if watching.done() and not watching.cancelled():
            task.uncancel()
            watching.result()
        raise
    finally:
        watching.cancel()


def _bootstrap(settings: Settings) -> list[Address]:
    return [(host, port) for host, port, _ in collect_hosts(settings.servers(), randomize=False)]


async def tell_when_away(settings: Settings) -> None:
    """Look from time to time, for ever, whether the cluster lets us in; log once why it no longer does."""
    said = None
    while True:
        await asyncio.sleep(AWAY_SECONDS)
        try:
            await connect(settings)
            said = None
        except PeekproofError as error:
            if str(error) != said:
                said = str(error)
                _log.warning("%s; what needs it waits", error)


async def _brokers(settings: Settings) -> list[Address]:
    """Where the brokers of the cluster say that they are."""
    failures: Failures = {}
    for address in _bootstrap(settings):
        try:
            named = await _ask(settings, address)
        except (OSError, errors.KafkaError) as error:
            failures[address] = _cause(error)
        else:
            return named
    raise _shut(settings, min(failures.values(), key=_is_silence))


async def _failure(settings: Settings, address: Address) -> Exception | None:
    """Why it can't be asked, if it can't."""
    try:
        await _ask(settings, address)
    except (OSError, errors.KafkaError) as error:
        return _cause(error)
    return None


async def _ask(settings: Settings, address: Address) -> list[Address]:
    arguments = aiokafka_arguments(settings)
    del arguments["bootstrap_servers"]
    connection = await create_conn(*address, request_timeout_ms=TIMEOUT_MS, **arguments)
    try:
        answer = await connection.send(MetadataRequest([]))  # the first request that a broker has to authorize
    finally:
        connection.close()
    if (
        not answer.brokers and settings.sasl_mechanism == OAUTH
    ):  # aiokafka takes the refusal for a challenge, and goes on
        raise errors.SaslAuthenticationFailed("the token was refused")
    return [(host, port) for _, host, port, *_ in answer.brokers]


def _shut(settings: Settings, error: Exception) -> UnreachableError:
    return UnreachableError(
        f"Kafka at {settings.servers()} does not let us in ({_text(error)}); {_remedy(settings, error)}"
    )


def _unreached(settings: Settings, failures: Failures) -> UnreachableError:
    address, error = next(iter(failures.items()))
    if address in _bootstrap(settings):
        return _shut(settings, error)  # it has gone since
    of_name = "resolves" if isinstance(error, socket.gaierror) else "can reach"
    return UnreachableError(
        f"Kafka at {settings.servers()} lets us in, but its broker advertises itself as '{_place(address)}', which "
        f"cannot be used from here ({_text(error)}); set that broker's advertised.listeners to an address that this "
        f"machine {of_name}, or see whether the broker is well"
    )


def _place(address: Address) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _cause(error: Exception) -> Exception:
    """What the broker said, where aiokafka only says that the connection was closed."""
    alert = error.__cause__
    return alert if isinstance(alert, ssl.SSLError) else error


@contextmanager
def answering(settings: Settings) -> Iterator[None]:
    """Turns what a client raises later, aiokafka's or kafka-python's, into an UnreachableError."""
    from kafka.errors import KafkaError  # noqa: PLC0415 (slow to import)

    try:
        yield
    except (errors.KafkaError, KafkaError) as error:
        raise _refused(settings, error) from error


def explain(settings: Settings, error: BaseException) -> str | None:
    """An error that a person can mend as a sentence; None for others."""
    from kafka.errors import KafkaError  # noqa: PLC0415

    if isinstance(error, errors.KafkaError | KafkaError):
        return str(_refused(settings, error))
    return str(error) if isinstance(error, PeekproofError) else None


def _refused(settings: Settings, error: Exception) -> UnreachableError:
    return UnreachableError(
        f"Kafka at {settings.servers()} does not do what is asked ({_text(error)}); "
        f"see whether its brokers are well, and the user has the rights that {RIGHTS} names"
    )


def _is_silence(error: Exception) -> bool:
    """Whether nobody answered; what a broker objects to says more."""
    return isinstance(error, OSError) and not isinstance(error, ssl.SSLError | ConnectionResetError)


def _text(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer for {TIMEOUT_MS / 1_000:.0f} s"
    said = error.args[-1] if error.args else None  # aiokafka also gives the connection itself
    return f"{type(error).__name__}: {said}" if isinstance(said, str) else type(error).__name__


def _remedy(settings: Settings, error: Exception) -> str:  # noqa: PLR0911 (one for each cause)
    is_by_token = settings.sasl_mechanism == OAUTH
    match error:
        case TokenError() if settings.sasl_oauth_aws_region:
            return "see whether AWS's tools find credentials here, and the region is right"
        case TokenError():
            return (
                "check PEEKPROOF_SASL_OAUTH_URL, PEEKPROOF_SASL_OAUTH_CLIENT_ID "
                f"('{settings.sasl_oauth_client_id}'), PEEKPROOF_SASL_OAUTH_CLIENT_SECRET and "
                "PEEKPROOF_SASL_OAUTH_CAFILE"
            )
        case errors.SaslAuthenticationFailed() | errors.KafkaConnectionError() if is_by_token:
            return (
                "see whether the brokers accept such tokens: their issuer, audience and scope "
                f"(PEEKPROOF_SASL_OAUTH_SCOPE), and PEEKPROOF_SECURITY_PROTOCOL ({settings.security_protocol})"
            )
        case errors.SaslAuthenticationFailed() | errors.UnsupportedSaslMechanismError():
            return (
                f"check PEEKPROOF_SASL_USERNAME ('{settings.sasl_username}'), PEEKPROOF_SASL_PASSWORD and "
                f"PEEKPROOF_SASL_MECHANISM ({settings.sasl_mechanism})"
            )
        case ssl.SSLCertVerificationError(verify_code=code) if code in _NAMED_DIFFERENTLY:
            return "name the brokers in PEEKPROOF_BOOTSTRAP_SERVERS as their certificate does"
        case ssl.SSLCertVerificationError():
            given = f"it is '{settings.ssl_cafile}'" if settings.ssl_cafile else "without it the system's hold"
            return f"PEEKPROOF_SSL_CAFILE must hold the authority that signed the brokers' certificate; {given}"
        case ssl.SSLError(reason=reason) if reason and ("CERTIFICATE" in reason or "CA" in reason):
            return "PEEKPROOF_SSL_CERTFILE and PEEKPROOF_SSL_KEYFILE must be a certificate that the brokers accept"
        case ConnectionResetError() | ssl.SSLError() | errors.KafkaError():
            wanted = f"{', '.join(PROTOCOLS)}; SSL may want a certificate of ours (PEEKPROOF_SSL_CERTFILE)"
            return (
                f"PEEKPROOF_SECURITY_PROTOCOL is {settings.security_protocol}, and this port seems to speak another of "
                f"{wanted}; or the broker was just ending"
            )
    return "check PEEKPROOF_BOOTSTRAP_SERVERS, and see whether the brokers are up"
