"""Tokens: an OpenID provider of the test's own, a real broker that asks it for its keys, and everything in between."""

import asyncio
import base64
import json
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import parse_qs

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from kafka import KafkaProducer

from pipeline.cli import command
from pipeline.errors import PeekproofError
from pipeline.kafka.clients import aiokafka_arguments, faust_broker_credentials, kafka_python_arguments
from pipeline.kafka.connection import connect
from pipeline.kafka.tokens import WINDOW, Token, TokenError, Tokens, provider_of_kafka_python, tokens_of
from pipeline.local_kafka.broker import Broker
from pipeline.processes.supervisor import Supervisor
from pipeline.settings import Secret, Settings
from pipeline.stages import STAGES
from schemas.topics import EXPOSURES
from tests.live import ask, wait_for, wait_for_catalog
from tests.pipeline.kafka.test_advertised import free_port

LIFE = 6  # seconds, of a token
PROPERTIES = """
listeners=PLAINTEXT://127.0.0.1:{{port}},CONTROLLER://127.0.0.1:{{controller}},TOKEN://127.0.0.1:{token}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,TOKEN:SASL_PLAINTEXT
listener.name.token.sasl.enabled.mechanisms=OAUTHBEARER
listener.name.token.oauthbearer.sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;
listener.name.token.oauthbearer.sasl.server.callback.handler.class=org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler
listener.name.token.oauthbearer.sasl.oauthbearer.jwks.endpoint.url={provider}/keys
listener.name.token.oauthbearer.sasl.oauthbearer.expected.issuer=provider
listener.name.token.oauthbearer.sasl.oauthbearer.expected.audience=kafka
listener.name.token.oauthbearer.connections.max.reauth.ms=60000
"""  # noqa: E501


def encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


class Provider:
    """Gives the client `shop` tokens, which are signed, live for some seconds, and are for the scope's audience."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(65_537, 2_048)
        self.given = 0
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(200, provider.keys())

            def do_POST(self) -> None:
                asked = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
                right = f"Basic {base64.b64encode(b'shop:hunter2').decode()}"
                if self.headers["authorization"] != right or asked["grant_type"] != ["client_credentials"]:
                    self._answer(401, {"error": "invalid_client"})
                else:
                    token = provider.token(asked["scope"][0])
                    self._answer(200, {"access_token": token, "token_type": "bearer", "expires_in": LIFE})

            def _answer(self, status: int, content: Any) -> None:
                self.send_response(status)
                self.end_headers()
                self.wfile.write(json.dumps(content).encode())

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def keys(self) -> dict[str, Any]:
        numbers = self._key.public_key().public_numbers()
        n, e = (encoded(value.to_bytes((value.bit_length() + 7) // 8, "big")) for value in (numbers.n, numbers.e))
        return {"keys": [{"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "one", "n": n, "e": e}]}

    def token(self, audience: str) -> str:
        self.given += 1
        now = int(time.time())
        claims = {"iss": "provider", "sub": "shop", "aud": audience, "scope": audience, "iat": now, "exp": now + LIFE}
        parts = [json.dumps(part).encode() for part in ({"alg": "RS256", "kid": "one"}, claims)]
        signed = ".".join(map(encoded, parts))
        return f"{signed}.{encoded(self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    provider = Provider()
    yield provider
    provider.server.shutdown()


@pytest.fixture(scope="module")
def server(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a broker asks for a token."""
    token = free_port()
    properties = PROPERTIES.format(token=token, provider=provider.address)
    with pytest.MonkeyPatch.context() as patch:
        allowed = f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={provider.address}/keys"
        patch.setenv("JAVA_TOOL_OPTIONS", allowed)
        with Broker(tmp_path_factory.mktemp("token"), properties=properties):
            yield f"127.0.0.1:{token}"


def settings_of(provider: str, server: str = "127.0.0.1:1", data: Path = Path("data"), **changes: Any) -> Settings:
    given = {
        "bootstrap_servers": server,
        "data": data,
        "http_port": 0,
        "units_partitions": 2,
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "OAUTHBEARER",
        "sasl_oauth_url": f"{provider}/token",
        "sasl_oauth_client_id": "shop",
        "sasl_oauth_client_secret": Secret("hunter2"),
        "sasl_oauth_scope": "kafka",
    }
    return Settings(**given | changes)


def test_every_client_gets_in_by_tokens_and_goes_on_when_they_expire(
    provider: Provider, server: str, tmp_path: Path
) -> None:
    settings = settings_of(provider.address, server, tmp_path)

    def call(*arguments: str) -> str:
        result = CliRunner().invoke(command, arguments, env=settings.environment(), catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout

    call("topics")
    call("apply")
    call("experiment", "start", "checkout-button")
    wait_for_catalog(settings)
    with Supervisor(settings, is_open=True) as supervisor:
        stages = "SELECT count(DISTINCT stage) FROM pipeline_health"
        wait_for(lambda: ask(settings.snapshot, stages) == len(STAGES))
        before = provider.given
        producer = KafkaProducer(**kafka_python_arguments(settings))
        for number in range(40):
            said = {"user_id": f"visitor-{number}", "time": time.time_ns() // 1_000_000, "flag_key": "checkout-button"}
            producer.send(settings.topic(EXPOSURES), json.dumps(said).encode())
            time.sleep(2 * LIFE / 40)  # each connection is broken off when its token expires
        producer.close()

        wait_for(lambda: '"exposures":40' in call("results", "--json"))
        assert call("dead-letters", "--json") == ""
        assert provider.given >= before + len(STAGES)
        assert [worker.restarts for worker in supervisor.workers] == [0] * len(supervisor.workers)


@pytest.mark.parametrize(
    ("changes", "cause", "remedy"),
    [
        ({"sasl_oauth_client_secret": Secret("guess")}, "/token answers 401 .*invalid_client", "OAUTH_CLIENT_SECRET"),
        ({"sasl_oauth_url": "http://127.0.0.1:1/token"}, "/token gives no token: .*refused", "OAUTH_URL"),
        ({"sasl_oauth_scope": "elsewhere"}, "the token was refused", "SASL_OAUTH_SCOPE"),
    ],
    ids=["secret", "provider", "audience"],
)
def test_what_keeps_us_out_is_named(
    provider: Provider, server: str, changes: dict[str, Any], cause: str, remedy: str
) -> None:
    settings = settings_of(provider.address, server, **changes)

    with pytest.raises(PeekproofError, match=rf"does not let us in \(.*({cause}).*\); .*{remedy}"):
        asyncio.run(connect(settings))


def test_a_token_is_replaced_before_it_expires_and_kept_while_there_is_no_other() -> None:
    now = 0.0
    fetched = iter(["one", "two", None, "three"])

    def fetch() -> Token:
        if (text := next(fetched)) is None:
            raise TokenError("the provider is away")
        return Token(text, 100)

    tokens = Tokens(fetch, clock=lambda: now)
    assert tokens.token() == tokens.token() == "one"
    now = 100 * WINDOW
    assert tokens.token() == "two"
    now += 99
    assert tokens.token() == "two"
    assert tokens.token() == "three"


def test_an_expired_token_is_not_used_any_more() -> None:
    now = 0.0
    fetched = iter([Token("one", 100)])

    def fetch() -> Token:
        for token in fetched:
            return token
        raise TokenError("the provider is away")

    tokens = Tokens(fetch, clock=lambda: now)
    assert tokens.token() == "one"
    now = 100

    with pytest.raises(TokenError, match="is away"):
        tokens.token()


def test_all_clients_of_a_process_share_a_token(provider: Provider) -> None:
    settings = settings_of(provider.address)
    before = provider.given

    tokens = {
        provider_of_kafka_python(tokens_of(settings)).token(),
        asyncio.run(aiokafka_arguments(settings)["sasl_oauth_token_provider"].token()),
        asyncio.run(faust_broker_credentials(settings).oauth_cb.token()),
    }

    assert len(tokens) == provider.given - before == 1


AWS = {"sasl_oauth_url": None, "sasl_oauth_client_id": None, "sasl_oauth_client_secret": None, "sasl_oauth_scope": None}


def test_tokens_of_aws_are_signed_by_its_own_signer(monkeypatch: pytest.MonkeyPatch) -> None:
    class Signer:
        @staticmethod
        def generate_auth_token(region: str) -> tuple[str, int]:
            return f"signed for {region}", int((time.time() + 900) * 1_000)

    module = ModuleType("aws_msk_iam_sasl_signer")
    module.MSKAuthTokenProvider = Signer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "aws_msk_iam_sasl_signer", module)

    settings = settings_of("", **AWS, sasl_oauth_aws_region="eu-central-1")

    assert tokens_of(settings).token() == "signed for eu-central-1"


def test_without_the_signer_of_aws_it_is_said_how_to_install_it(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aws_msk_iam_sasl_signer", None)

    with pytest.raises(PeekproofError, match=r"the signer of AWS is not there: `pip install 'peekproof\[aws\]'`"):
        asyncio.run(connect(settings_of("", server, **AWS, sasl_oauth_aws_region="eu-west-1")))
