"""Listening: the server's port, had or told about."""

import os
import socket

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


def address(host: str, port: int) -> str:
    """As a browser wants it."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
