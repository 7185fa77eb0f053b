"""Sign-in by a provider: the browser leaves for it, and comes back with a code that becomes a session."""

import html
import string
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import msgspec
from litestar import Request, Response, Router, get

from pipeline.errors import PeekproofError
from pipeline.http.backend import Backend
from pipeline.http.callers.sessions import BY_PROVIDER
from pipeline.listening import base_url
from pipeline.settings import Settings

if TYPE_CHECKING:
    from pipeline.http.session.provider import OpenIdProvider

PATH = "/sign-in"
UNDER_WAY = 600_000  # ms that a sign-in may take
COOKIE = "peekproof-sign-in"
LONGEST_PAGE = 1_000  # characters of an address within the console: a browser drops a cookie of more than 4,096

AnyRequest = Request[Any, Any, Any]


def provider_of(settings: Settings) -> "OpenIdProvider | None":
    """The provider that lets people in; None: keys alone do. Raises PeekproofError where its library is missing."""
    if settings.oidc_issuer is None:
        return None
    try:
        from pipeline.http.session.provider import OpenIdProvider  # noqa: PLC0415 (half a second, for those who want it)
    except ImportError as error:
        raise PeekproofError(
            f"oidc_issuer is set, but {error.name} is not installed; `pip install 'peekproof[oidc]'`"
        ) from None
    return OpenIdProvider(settings)


@get("/", include_in_schema=False)
async def leave(request: AnyRequest, backend: Backend, to: str = "#/") -> Response[Any]:
    """Send the browser to the provider; afterwards it comes to this page of the console."""
    provider: OpenIdProvider | None = request.app.state.provider
    if provider is None:
        return _page(404, "This server asks no provider. Sign in with a key.")
    from pipeline.http.session.provider import Leaving  # noqa: PLC0415

    try:
        asked = await provider.leave()
    except PeekproofError as error:
        return _page(503, str(error))
    leaving = Leaving(
        state=asked.state,
        nonce=asked.nonce,
        verifier=asked.verifier,
        to=page_of(to),
        expires=_now() + UNDER_WAY,
    )
    kept = backend.access.sessions.signed("sign-in", msgspec.json.encode(leaving))
    return _away(asked.address, _cookie(backend, kept, UNDER_WAY // 1_000))


@get("/callback", include_in_schema=False)
async def arrive(request: AnyRequest, backend: Backend) -> Response[Any]:
    """Begin a session for whoever the provider says has come back."""
    provider: OpenIdProvider | None = request.app.state.provider
    if provider is None:
        return _page(404, "This server asks no provider. Sign in with a key.")
    from pipeline.http.session.provider import ForgedError, Leaving, ProviderError  # noqa: PLC0415

    said = backend.access.sessions.unsigned("sign-in", request.cookies.get(COOKIE, ""))
    leaving = msgspec.json.decode(said, type=Leaving) if said else None
    if leaving is None or leaving.expires < _now():
        return _page(400, "No sign-in began in this browser within the last ten minutes. Begin it again.")
    try:
        person = await provider.arrive(leaving, dict(request.query_params), _now())
    except ForgedError as error:
        return _page(400, str(error))
    except ProviderError as error:
        return _page(502, str(error))
    except PeekproofError as error:
        return _page(403, str(error))
    _, text = backend.access.sessions.begin(person, BY_PROVIDER)
    cookie = backend.access.sessions.cookie(text, BY_PROVIDER // 1_000, _is_secure(backend))
    return _away(f"/{leaving.to}", cookie)


def page_of(to: str) -> str:
    """The page of the console that this is, as a header may hold it; the first one where it is none."""
    page = quote(to, safe=string.punctuation)
    return page if page.startswith("#/") and len(page) <= LONGEST_PAGE else "#/"


sign_in = Router(PATH, route_handlers=[leave, arrive])


def _away(address: str, cookie: str) -> Response[Any]:
    return Response(None, status_code=303, headers={"Location": address, "Set-Cookie": cookie})


def _cookie(backend: Backend, text: str, seconds: int) -> str:
    """Not of pages of ours alone: the browser comes back from another."""
    kept = f"{COOKIE}={text}; Path={PATH}; Max-Age={seconds}; HttpOnly; SameSite=Lax"
    return f"{kept}; Secure" if _is_secure(backend) else kept


def _is_secure(backend: Backend) -> bool:
    return urlsplit(base_url(backend.settings)).scheme == "https"


def _page(status: int, why: str) -> Response[Any]:
    """A page that says why nobody is signed in."""
    text = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Not signed in – Peekproof</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><link rel="stylesheet" href="/console.css"></head>'
        f'<body><main><div class="refused"><h1>Not signed in</h1><p>{html.escape(why)}</p>'
        '<p><a href="/#/">Back to the console</a></p></div></main></body></html>'
    )
    return Response(text, status_code=status, media_type="text/html")


def _now() -> int:
    return time.time_ns() // 1_000_000
