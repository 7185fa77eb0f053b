"""Clients: where and how each kind of client connects to the cluster."""

import ssl
from typing import TYPE_CHECKING, Any

from pipeline.errors import PeekproofError
from pipeline.settings import OAUTH, Settings

if TYPE_CHECKING:
    from faust.types.auth import CredentialsT

    from pipeline.kafka.tokens import Provider

# Of a client that reads: for so long a fetch waits for a single record. It hears of all else that it waits for.
IDLE_MS = 2_000
BOOTSTRAP_TIMEOUT_MS = 10_000  # they have answered just before


def aiokafka_arguments(settings: Settings) -> dict[str, Any]:
    """Where and how an aiokafka client connects."""
    arguments = _arguments(settings) | {"bootstrap_servers": settings.servers()}
    if settings.sasl_mechanism == OAUTH:
        arguments["sasl_oauth_token_provider"] = _token_provider(settings)
    return arguments


def kafka_python_arguments(settings: Settings) -> dict[str, Any]:
    """Where and how a kafka-python client connects."""
    arguments = _arguments(settings) | {
        "bootstrap_servers": settings.servers().split(","),
        "bootstrap_timeout_ms": BOOTSTRAP_TIMEOUT_MS,
    }
    if settings.sasl_mechanism == OAUTH:
        from pipeline.kafka.tokens import provider_of_kafka_python, tokens_of  # noqa: PLC0415 (slow to import)

        arguments["sasl_oauth_token_provider"] = provider_of_kafka_python(tokens_of(settings))
    return arguments


def faust_broker_credentials(settings: Settings) -> "CredentialsT | None":
    """How a Faust app connects: its setting `broker_credentials`."""
    from faust.auth import OAuthCredentials, SASLCredentials, SSLCredentials  # noqa: PLC0415 (slow to import)

    if settings.sasl_mechanism == OAUTH:
        context = _ssl_context(settings) if settings.has_tls else None
        return OAuthCredentials(oauth_cb=_token_provider(settings), ssl_context=context)
    if settings.has_sasl:
        return SASLCredentials(
            username=settings.sasl_username,
            password=str(settings.sasl_password),
            mechanism=settings.sasl_mechanism,
            ssl_context=_ssl_context(settings) if settings.has_tls else None,
        )
    return SSLCredentials(_ssl_context(settings)) if settings.has_tls else None


def _arguments(settings: Settings) -> dict[str, Any]:
    arguments: dict[str, Any] = {"security_protocol": settings.security_protocol}
    if settings.has_sasl:
        arguments["sasl_mechanism"] = settings.sasl_mechanism
    if settings.has_sasl and settings.sasl_mechanism != OAUTH:
        arguments["sasl_plain_username"] = settings.sasl_username
        arguments["sasl_plain_password"] = str(settings.sasl_password)
    if settings.has_tls:
        arguments["ssl_context"] = _ssl_context(settings)
    return arguments


def _token_provider(settings: Settings) -> "Provider":
    from pipeline.kafka.tokens import Provider, tokens_of  # noqa: PLC0415 (slow to import)

    return Provider(tokens_of(settings))


def _ssl_context(settings: Settings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.ssl_cafile)
        if settings.ssl_certfile is not None:
            context.load_cert_chain(settings.ssl_certfile, settings.ssl_keyfile)
    except (OSError, ssl.SSLError) as error:
        raise PeekproofError(
            f"the certificates cannot be used ({error}): ssl_cafile '{settings.ssl_cafile}', ssl_certfile "
            f"'{settings.ssl_certfile}' and ssl_keyfile '{settings.ssl_keyfile}' must be PEM files that fit together"
        ) from error
    return context
