"""Connection: whether the cluster lets us in, and which setting mends it where it does not.

Clients go on trying for as long as they may, and then say no more than that they could not. So whoever is about to make
one asks here first, where one try tells the cause.
"""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from aiokafka import errors
from aiokafka.conn import create_conn
from aiokafka.protocol.metadata import MetadataRequest

from pipeline.errors import PeekproofError
from pipeline.settings import PROTOCOLS, Settings


class UnreachableError(PeekproofError):
    """The cluster does not let us in, or does not do what is asked."""


TIMEOUT_MS = 5_000  # of one server
_NAMED_DIFFERENTLY = (62, 64)  # OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH


async def connect(settings: Settings) -> None:
    """Connect once, to the first of the bootstrap servers that lets us in.

    Raises UnreachableError, naming the setting to mend, where none does.
    """
    arguments = settings.aiokafka_arguments()
    servers = arguments.pop("bootstrap_servers").split(",")
    failures: list[Exception] = []
    for server in servers:
        host, port = server.split(":")
        try:
            connection = await create_conn(host, int(port), request_timeout_ms=TIMEOUT_MS, **arguments)
            try:
                await connection.send(MetadataRequest([]))  # the first request that a broker has to authorize
                return
            finally:
                connection.close()
        except (OSError, errors.KafkaError) as error:
            alert = error.__cause__  # the broker's, where aiokafka only says that the connection was closed
            failures.append(alert if isinstance(alert, ssl.SSLError) else error)
    telling = min(failures, key=_is_silence)
    raise UnreachableError(
        f"Kafka at {settings.servers()} does not let us in ({_text(telling)}); {_remedy(settings, telling)}"
    ) from telling


@contextmanager
def answering(settings: Settings) -> Iterator[None]:
    """Turns what a client raises later, aiokafka's or kafka-python's, into an UnreachableError."""
    from kafka.errors import KafkaError  # noqa: PLC0415 (slow to import)

    try:
        yield
    except (errors.KafkaError, KafkaError) as error:
        raise UnreachableError(
            f"Kafka at {settings.servers()} does not do what is asked ({_text(error)}); "
            f"see whether its brokers are well, and the user has the rights that the README names"
        ) from error


def _is_silence(error: Exception) -> bool:
    """Whether nobody answered; what a broker objects to says more."""
    return isinstance(error, OSError) and not isinstance(error, ssl.SSLError | ConnectionResetError)


def _text(error: Exception) -> str:
    said = error.args[-1] if error.args else None  # aiokafka also gives the connection itself
    return f"{type(error).__name__}: {said}" if isinstance(said, str) else type(error).__name__


def _remedy(settings: Settings, error: Exception) -> str:
    match error:
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
                f"{wanted}"
            )
    return "check PEEKPROOF_BOOTSTRAP_SERVERS, and see whether the brokers are up"
