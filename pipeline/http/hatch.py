"""Hatch: what is said without the application: that the process is there, that it is ready, that a key is missing."""

import msgspec
from litestar.types import ASGIApp, Receive, Scope, Send

from pipeline.http.backend import Backend
from pipeline.http.callers.access import CARRIERS, unknown
from pipeline.http.callers.front import FRONT, has_key_in_body
from pipeline.http.callers.origins import answer
from pipeline.http.callers.tickets import PATH
from pipeline.http.ingest.uploads import Refusal

SIGN_IN = "/api/1/session"
SESSION_ENDED = (
    "the session has ended: it lives for 7 days (12 hours where a provider let you in), and no longer than its key; "
    "sign in again"
)
HEALTHZ, READYZ = "/healthz", "/readyz"
PROBES = (HEALTHZ, READYZ)
OF_KEYS = ("/api/", "/sdk/", "/v1/", "/ofrep/")
TEXT = (b"content-type", b"text/plain; charset=utf-8")
JSON = (b"content-type", b"application/json")
_NOT_IN_FRONT = Refusal(
    code=401,  # with these words SDKs give up
    error=f"Invalid API key: no key that is known (any more) stands in the first {FRONT} bytes; write api_key before "
    "the events, or send the key as 'Authorization: Bearer KEY'",
)


class Hatch:
    """Wraps the application, within the door."""

    def __init__(self, app: ASGIApp, backend: Backend) -> None:
        self._app = app
        self._backend = backend

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or have it answered."""
        path = scope["path"]
        if path in PROBES and scope["method"] in {"GET", "HEAD"}:  # type: ignore[typeddict-item]  # no websockets
            scope["path_template"] = path
            fault = self._backend.fault if path == READYZ else None
            await answer(send, 503 if fault else 200, [TEXT], (fault or "ok").encode())
        elif scope["state"]["caller"] is None and wants_key(path):
            is_shown = any(name.decode("latin-1") in CARRIERS for name, _ in scope["headers"])
            why = unknown(is_shown)
            if not is_shown and self._backend.access.had_session(_cookies(scope)):
                why = SESSION_ENDED
            refusal = _NOT_IN_FRONT if has_key_in_body(path) else {"error": why}
            await answer(send, 401, [JSON, (b"www-authenticate", b"Bearer")], msgspec.json.encode(refusal))
        else:
            await self._app(scope, receive, send)


def wants_key(path: str) -> bool:
    """Whether nobody is answered there without a key.

    A ticket of a stream that is not known is told otherwise, and who signs in has no session yet.
    """
    return has_key_in_body(path) or (path.startswith(OF_KEYS) and path not in {PATH, SIGN_IN})


def _cookies(scope: Scope) -> str:
    return dict(scope["headers"]).get(b"cookie", b"").decode("latin-1")
