"""Origins: which web pages may use the server. SDKs in browsers may come from any; nothing else from another one.

A key is shown by whoever has it; a cookie is sent by the browser, whichever page has it ask. So a cookie counts only
where a page of our own asks: a page of another port of the same host, too, is another.

An open server believes nobody: a page of any origin, or a name that suddenly leads to loopback, could edit flags. It
listens to pages of loopback alone.
"""

import re
from collections.abc import Mapping

from litestar.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.http.callers.access import LOOPBACK

FOREIGN = "a page of another address has your browser ask this, and your session is none of its business"
FOR_BROWSERS = ("/sdk/v2/", "/sdk/stream/", "/v1/", "/ofrep/", "/2/httpapi", "/batch", "/identify", "/groupidentify")

_ASKED = [
    (b"access-control-allow-methods", b"GET, POST, OPTIONS"),
    (
        b"access-control-allow-headers",
        b"authorization, x-api-key, content-type, content-encoding, if-none-match, x-amp-exp-user, "
        b"x-amp-exp-flag-keys, x-amp-exp-track, x-amp-exp-exposure-track, x-amp-exp-library",
    ),
    (b"access-control-max-age", b"86400"),
]


class Origins:
    """Wraps the application: answers what browsers ask before a request (CORS), and turns away what must not come."""

    def __init__(self, app: ASGIApp, is_open: bool) -> None:
        self._app = app
        self._is_open = is_open

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or have it answered."""
        headers = dict(scope["headers"])
        origin = headers.get(b"origin", b"").decode("latin-1")
        host = headers.get(b"host", b"").decode("latin-1")
        if self._is_open and not (_is_loopback(host) and (not origin or _is_loopback(origin.partition("://")[2]))):
            await answer(
                send,
                403,
                [(b"content-type", b"application/json")],
                b'{"error":"without keys only pages of this machine are listened to"}',
            )
            return
        if not origin or not scope["path"].startswith(FOR_BROWSERS):
            await self._app(scope, receive, send)
            return
        allowed = [
            (b"access-control-allow-origin", origin.encode("latin-1") if self._is_open else b"*"),
            (b"access-control-expose-headers", b"etag, retry-after"),
        ]
        if scope["method"] == "OPTIONS":  # type: ignore[typeddict-item]  # no websockets
            await answer(send, 204, [*allowed, *_ASKED])
            return

        async def allow(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *allowed]
            await send(message)

        await self._app(scope, receive, allow)


def is_foreign(method: str, headers: Mapping[bytes, bytes]) -> bool:
    """Whether a page of another origin has a browser ask this, or may have: what changes something must say whence.

    Browsers say `Sec-Fetch-Site` over TLS and on loopback, and `Origin` of all that changes something.
    """
    if (site := headers.get(b"sec-fetch-site")) is not None:
        return site not in {b"same-origin", b"none"}
    if (origin := headers.get(b"origin")) is not None:
        return origin.partition(b"://")[2] != headers.get(b"host")
    return method not in {"GET", "HEAD"}


def _is_loopback(authority: str) -> bool:
    host = re.sub(r":\d*$", "", authority)
    return host.strip("[]") in LOOPBACK


async def answer(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes = b"") -> None:
    """Answer without the application."""
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length] if body else headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
