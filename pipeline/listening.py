"""Listening: the server's port, had or told about."""

import os
import socket
import ssl

import msgspec

from pipeline.errors import PeekproofError
from pipeline.settings import Settings

HOME = "127.0.0.1"


def everywhere() -> str:
    """What stands for every address of this machine."""
    return "::" if socket.has_dualstack_ipv6() else "0.0.0.0"


def listen(host: str, port: int, setting: str = "--port or PEEKPROOF_HTTP_PORT") -> socket.socket:
    """A socket that listens there. Raises PeekproofError, which names the setting that says so."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    except OSError as error:
        raise PeekproofError(
            f"'{host}' is no address of this machine ({error.strerror}); say another by --host"
        ) from None
    both = host == "::" and socket.has_dualstack_ipv6()  # by IPv4 too, as programs beside us understand it
    try:
        return socket.create_server((host, port), family=family, dualstack_ipv6=both)
    except OSError as error:
        raise PeekproofError(
            f"port {port} of '{host}' cannot be had ({os.strerror(error.errno or 0)}); choose another by {setting}, "
            "or stop the program that has it"
        ) from None


def with_free_port(settings: Settings) -> Settings:
    """These settings, with a port of which a server can begin to make use now. Raises PeekproofError."""
    with listen(HOME, settings.http_port) as listening:
        return msgspec.structs.replace(settings, http_port=listening.getsockname()[1])


def tls(settings: Settings) -> ssl.SSLContext | None:
    """By what the server proves who it is; None: it doesn't. Raises PeekproofError for files that are of no use."""
    if settings.http_certfile is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(settings.http_certfile, settings.http_keyfile, password="")  # ask nobody
    except (OSError, ValueError) as error:
        files = " with ".join(str(file) for file in (settings.http_certfile, settings.http_keyfile) if file)
        raise PeekproofError(
            f"'{files}' is of no use for TLS ({error}); set PEEKPROOF_HTTP_CERTFILE to a certificate and "
            "PEEKPROOF_HTTP_KEYFILE to its key, both PEM, the key without a password"
        ) from None
    return context


def console(settings: Settings) -> str:
    """Where a browser on this machine finds it."""
    return address(HOME, settings.http_port, settings.http_certfile is not None)


def base_url(settings: Settings) -> str:
    """Where people reach the console from elsewhere, as far as anybody has said; without a slash at the end."""
    return (settings.url or console(settings)).rstrip("/")


def address(host: str, port: int, is_secure: bool = False) -> str:
    """As a browser wants it."""
    return f"http{'s' if is_secure else ''}://{f'[{host}]' if ':' in host else host}:{port}"
