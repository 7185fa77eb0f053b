"""Provider: an organisation's own sign-in, by OpenID Connect: authorization code with PKCE, state and nonce.

Discovery and keys are read when somebody signs in, and anew after an hour; a token that is signed with a key that is
not known has them read at once, as providers change theirs. Nothing else of the server waits for a provider.
"""

import hmac
import time
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx2
import msgspec
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.base_client import BaseApp
from authlib.integrations.base_client.async_app import AsyncOAuth2Mixin
from authlib.integrations.base_client.async_openid import AsyncOpenIDMixin
from authlib.integrations.httpx_client import AsyncOAuth2Client
from joserfc.errors import JoseError

from pipeline.errors import PeekproofError
from pipeline.http.callers.keys import Key
from pipeline.http.session.roles import claim_of, person_of, read_roles
from pipeline.listening import base_url
from pipeline.settings import Settings

CALLBACK = "/sign-in/callback"
ANSWER_SECONDS = 10.0  # for one answer of the provider
FRESH_SECONDS = 3_600.0  # after which discovery and keys are read anew


class ProviderError(PeekproofError):
    """The provider does not answer, or not as OpenID Connect says."""


class ForgedError(PeekproofError):
    """What comes back does not belong to a sign-in that began here, in this browser, a moment ago."""


class Leaving(msgspec.Struct, frozen=True, kw_only=True):
    """What is remembered, in the browser, of a sign-in that is under way. `to`: the console's page where it began."""

    state: str
    nonce: str
    verifier: str
    to: str
    expires: int  # ms UTC


class Departure(NamedTuple):
    """Where the browser goes, and what proves, when it comes back, that it left from here."""

    address: str
    state: str
    nonce: str
    verifier: str


class _App(AsyncOAuth2Mixin, AsyncOpenIDMixin, BaseApp):  # type: ignore[misc]  # the library is not typed
    client_cls = AsyncOAuth2Client


class OpenIdProvider:
    """The provider that the settings name."""

    def __init__(self, settings: Settings) -> None:
        self.issuer = (settings.oidc_issuer or "").rstrip("/")
        self.name = urlsplit(self.issuer).hostname or self.issuer
        self._settings = settings
        self._roles = read_roles(settings.oidc_roles or "")
        self._home = base_url(settings)
        self._known, self._known_since = self._made(), 0.0

    async def leave(self) -> Departure:
        """Begin a sign-in. Raises ProviderError."""
        app = await self._app()
        try:
            begun = await app.create_authorization_url(self._home + CALLBACK)
        except (AuthlibBaseError, httpx2.HTTPError, RuntimeError) as error:
            raise self._failed(error) from None
        return Departure(begun["url"], begun["state"], begun["nonce"], begun["code_verifier"])

    async def arrive(self, leaving: Leaving, answer: dict[str, str], now: int) -> Key:
        """Who has come back with this answer. Raises ForgedError, ProviderError, NoRoleError."""
        if not hmac.compare_digest(leaving.state.encode(), answer.get("state", "").encode()):
            raise ForgedError("this is not the sign-in that began here; begin it again")
        if answer.get("iss", self.issuer).rstrip("/") != self.issuer:
            raise ForgedError(f"'{answer['iss']}' is not the provider that this server asks; begin again")
        if "code" not in answer:
            why = answer.get("error_description") or answer.get("error") or "it does not say why"
            raise ProviderError(f"{self.name} did not let you in: {why}")
        app = await self._app()
        try:
            token = await app.fetch_access_token(
                redirect_uri=self._home + CALLBACK, code=answer["code"], code_verifier=leaving.verifier
            )
            client = self._settings.oidc_client_id
            rules = {
                "iss": {"essential": True, "value": self._issuer_of(app)},
                "aud": {"essential": True, "value": client},
            }
            claims = await app.parse_id_token(token, leaving.nonce, claims_options=rules)
            if claims is None:
                raise ProviderError(f"{self.name} told no ID token; have the scope openid among oidc_scopes")
            claims = {**await self._more(app, token, claims), **claims}
        except (AuthlibBaseError, JoseError, httpx2.HTTPError, RuntimeError, ValueError, KeyError) as error:
            raise self._failed(error) from None
        return person_of(claims, self._roles, self._settings.oidc_role_claim, self._settings.oidc_name_claim, now)

    async def farewell(self) -> str | None:
        """Where the browser ends the provider's own session, and comes back from; None: nobody knows."""
        try:
            app = await self._app()
            ends = await app.create_logout_url(self._home + "/", client_id=self._settings.oidc_client_id)
        except (ProviderError, AuthlibBaseError, httpx2.HTTPError, RuntimeError):
            return None
        return str(ends["url"])

    async def _more(self, app: Any, token: Any, claims: Any) -> dict[str, Any]:
        """What the provider tells of somebody elsewhere, where the token does not say all that is asked for."""
        wanted = (self._settings.oidc_role_claim, self._settings.oidc_name_claim)
        metadata = await app.load_server_metadata()
        if all(claim_of(claims, name) is not None for name in wanted) or not metadata.get("userinfo_endpoint"):
            return {}
        told = await app.userinfo(token=token)
        if told.get("sub") != claims["sub"]:
            raise ProviderError(f"{self.name} told of somebody else than of whoever signed in")
        return dict(told)

    async def _app(self) -> Any:
        """The client, with what the provider said of itself within the last hour. Raises ProviderError."""
        if time.monotonic() - self._known_since < FRESH_SECONDS and self._known_since:
            return self._known
        app = self._made()
        try:
            metadata = await app.load_server_metadata()
            self._issuer_of(app)
            signs = metadata.get("id_token_signing_alg_values_supported") or []
            metadata["id_token_signing_alg_values_supported"] = [each for each in signs if each != "none"]
        except (httpx2.HTTPError, ValueError, KeyError, AttributeError) as error:
            raise self._failed(error) from None
        self._known, self._known_since = app, time.monotonic()
        return app

    def _issuer_of(self, app: Any) -> str:
        issuer = app.server_metadata["issuer"]
        if issuer.rstrip("/") != self.issuer:
            raise ProviderError(f"'{self.issuer}' says that it is '{issuer}'; write that as oidc_issuer")
        return str(issuer)

    def _made(self) -> Any:
        return _App(
            None,
            client_id=self._settings.oidc_client_id,
            client_secret=self._settings.oidc_client_secret,
            server_metadata_url=f"{self.issuer}/.well-known/openid-configuration",
            client_kwargs={
                "scope": self._settings.oidc_scopes,
                "code_challenge_method": "S256",
                "timeout": ANSWER_SECONDS,
            },
        )

    def _failed(self, error: Exception) -> ProviderError:
        return ProviderError(
            f"{self.name}, which lets people in here, does not answer as it should ({type(error).__name__}: {error}); "
            "try again, or sign in with a key. Whoever is signed in stays so"
        )
