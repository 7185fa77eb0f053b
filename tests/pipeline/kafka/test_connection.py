"""A cluster with TLS, passwords and rights, set as its user sets it: all works, or says which setting doesn't."""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
from click.testing import CliRunner
from cryptography.hazmat.primitives import serialization
from kafka import KafkaProducer
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    KafkaAdminClient,
    NewTopic,
    ResourcePattern,
    ResourceType,
    UserScramCredentialUpsertion,
)

from pipeline.cli import command
from pipeline.errors import PeekproofError
from pipeline.kafka import topics
from pipeline.kafka.clients import kafka_python_arguments
from pipeline.kafka.connection import TIMEOUT_MS, connect
from pipeline.local_kafka.broker import Broker
from pipeline.processes.supervisor import Supervisor
from pipeline.settings import Settings
from pipeline.stages import STAGES
from schemas.topics import EVENTS, EXPOSURES
from tests.live import ask, wait_for, wait_for_catalog

PREFIX = "shop"
# Ada has the rights that docs/operate/kafka.md and docs/sources.md ask for, Eve none. Who comes without a password may
# do anything.
TOPIC_RIGHTS = ("READ", "WRITE", "DESCRIBE_CONFIGS", "CREATE", "DELETE", "ALTER", "ALTER_CONFIGS")
ORDERS = "their.orders"
SOURCE = f"""\
key: orders
owner: shop
topic: {ORDERS}
as: event
map: {{event_type: = purchase, user_id: $key, time: at}}
"""
PROPERTIES = """
listeners=PLAINTEXT://127.0.0.1:{{port}},CONTROLLER://127.0.0.1:{{controller}},SASL_SSL://127.0.0.1:{password},SSL://127.0.0.1:{certificate}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL
ssl.keystore.type=PEM
ssl.keystore.location={directory}/broker.pem
ssl.truststore.type=PEM
ssl.truststore.location={directory}/authority.pem
listener.name.ssl.ssl.client.auth=required
listener.name.sasl_ssl.sasl.enabled.mechanisms=SCRAM-SHA-512,PLAIN
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_ssl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_ada="wonder" user_eve="drop";
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
"""  # noqa: E501


@dataclass(frozen=True)
class Cluster:
    """A broker that asks for a password at one port, for a certificate at another, and for nothing at a third."""

    directory: Path
    password: int
    certificate: int
    nothing: int

    def environment(self, **changes: str | None) -> dict[str, str]:
        """What Ada sets. `changes` go before it and may name the fields above; None takes a setting out."""
        given = {
            "bootstrap_servers": "127.0.0.1:{password}",
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_username": "ada",
            "sasl_password": "wonder",
            "ssl_cafile": "{directory}/authority.pem",
            "prefix": PREFIX,
            "units_partitions": "4",
            "http_port": "0",
        }
        settings = {name: text.format_map(vars(self)) for name, text in (given | changes).items() if text is not None}
        return {f"PEEKPROOF_{name.upper()}": text for name, text in settings.items()}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    directory = tmp_path_factory.mktemp("secured")
    _write_certificates(directory)
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        password, certificate = one.getsockname()[1], other.getsockname()[1]
    properties = PROPERTIES.format(password=password, certificate=certificate, directory=directory)
    with Broker(directory / "broker", properties=properties) as broker:
        admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
        for user, secret in (("ada", "wonder"), ("eve", "drop")):
            assert admin.alter_user_scram_credentials([UserScramCredentialUpsertion(user, "SCRAM-SHA-512", secret)])
        admin.create_acls(
            [_right(ResourceType.TOPIC, name) for name in TOPIC_RIGHTS] + [_right(ResourceType.GROUP, "READ")]
        )
        admin.create_topics([NewTopic(ORDERS, 2, 1, topic_configs={"message.timestamp.type": "LogAppendTime"})])
        theirs = ResourcePattern(ResourceType.TOPIC, ORDERS)
        rights = ("READ", "DESCRIBE")
        admin.create_acls(
            [ACL("User:ada", "*", ACLOperation[each], ACLPermissionType.ALLOW, theirs) for each in rights]
        )
        admin.close()
        yield Cluster(directory, password, certificate, broker.port)


def _write_certificates(directory: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(directory / "authority.pem"))
    trustme.CA().cert_pem.write_to_path(str(directory / "stranger.pem"))
    broker = authority.issue_cert("127.0.0.1")
    key = serialization.load_pem_private_key(broker.private_key_pem.bytes(), None).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )  # the format that Java reads
    (directory / "broker.pem").write_bytes(key + b"".join(pem.bytes() for pem in broker.cert_chain_pems))
    client = authority.issue_cert("ada@example.org")
    client.private_key_pem.write_to_path(str(directory / "client.key"))
    client.cert_chain_pems[0].write_to_path(str(directory / "client.pem"))


def _right(resource: ResourceType, operation: str) -> ACL:
    pattern = ResourcePattern(resource, f"{PREFIX}.", ACLResourcePatternType.PREFIXED)
    return ACL("User:ada", "*", ACLOperation[operation], ACLPermissionType.ALLOW, pattern)


def test_every_stage_and_command_works_with_tls_a_password_and_just_the_rights_of_the_readme(
    cluster: Cluster, tmp_path: Path
) -> None:
    environment = cluster.environment(data=str(tmp_path), archive_interval="1s")
    settings = Settings.read(environment)

    def call(*arguments: str) -> str:
        result = CliRunner().invoke(command, arguments, env=environment, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout

    documents = tmp_path / "documents"
    shutil.copytree("configs", documents)
    (documents / "sources" / "orders.yaml").write_text(SOURCE)
    call("topics")
    call("apply", str(documents))
    call("experiment", "start", "checkout-button")
    assert "checkout-button" in call("experiment", "list")
    wait_for_catalog(settings)
    with Supervisor(settings):
        producer = KafkaProducer(**kafka_python_arguments(settings))
        for number in range(40):
            said = {"user_id": f"visitor-{number}", "time": time.time_ns() // 1_000_000}
            producer.send(settings.topic(EXPOSURES), json.dumps(said | {"flag_key": "checkout-button"}).encode())
            producer.send(settings.topic(EVENTS), json.dumps(said | {"event_type": "purchase"}).encode())
        producer.send(settings.topic(EVENTS), b"no JSON")
        producer.close()
        others = KafkaProducer(bootstrap_servers=f"127.0.0.1:{cluster.nothing}")
        for number in range(30):
            others.send(ORDERS, b'{"at":%d}' % (time.time_ns() // 1_000_000), b"visitor-%d" % number)
        others.close()

        wait_for(lambda: '"exposures":40' in call("results", "--json"))
        wait_for(lambda: len(call("dead-letters", "--json").splitlines()) == 1)
        assert "sent 1 dead letters" in call("dead-letters", "--resend")
        stages = "SELECT count(DISTINCT stage) FROM pipeline_health"
        wait_for(lambda: ask(settings.snapshot, stages) == len(STAGES))
        wait_for(lambda: "same" in call("replay"))
        wait_for(lambda: '"state":"read","why":null,"lag":0,"taken":30' in call("sources", "--json"))
        assert '"counts":{"made":20' in call("sources", "try", "orders", "--json")
    topics.delete(settings)
    assert {difference.found for difference in topics.check(settings)} == {topics.MISSING}


WITHOUT_PASSWORD = {"sasl_mechanism": None, "sasl_username": None, "sasl_password": None}
WITHOUT_TLS = {"ssl_cafile": None}
TLS_ALONE = WITHOUT_PASSWORD | {"security_protocol": "SSL"}
OF_CERTIFICATES = TLS_ALONE | {"bootstrap_servers": "127.0.0.1:{certificate}"}


@pytest.mark.parametrize(
    "changes",
    [
        {"sasl_mechanism": "PLAIN"},
        {"bootstrap_servers": "127.0.0.1:1,127.0.0.1:{password}"},
        OF_CERTIFICATES | {"ssl_certfile": "{directory}/client.pem", "ssl_keyfile": "{directory}/client.key"},
    ],
    ids=["plain", "one server is down", "a certificate of ours"],
)
def test_other_ways_are_open_too(cluster: Cluster, changes: dict[str, str | None]) -> None:
    asyncio.run(connect(Settings.read(cluster.environment(**changes))))


@pytest.mark.parametrize(
    ("changes", "cause", "setting"),
    [
        ({"sasl_password": "guess"}, "SaslAuthenticationFailed", r"SASL_USERNAME \('ada'\), PEEKPROOF_SASL_PASSWORD"),
        ({"sasl_mechanism": "PLAIN", "sasl_password": "guess"}, "Invalid username or password", "SASL_USERNAME"),
        ({"sasl_mechanism": "SCRAM-SHA-256"}, "UnsupportedSaslMechanism", r"SASL_MECHANISM \(SCRAM-SHA-256\)"),
        (
            {"ssl_cafile": "{directory}/stranger.pem"},
            "local issuer",
            r"SSL_CAFILE must hold .* it is '/.*stranger\.pem'",
        ),
        (WITHOUT_TLS, "local issuer", "SSL_CAFILE must hold .* without it the system's hold"),
        ({"bootstrap_servers": "localhost:{password}"}, "Hostname mismatch", "BOOTSTRAP_SERVERS as their certificate"),
        (TLS_ALONE, "closed", "SECURITY_PROTOCOL is SSL"),
        (TLS_ALONE | WITHOUT_TLS | {"security_protocol": "PLAINTEXT"}, "closed", "SECURITY_PROTOCOL is PLAINTEXT"),
        (WITHOUT_TLS | {"security_protocol": "SASL_PLAINTEXT"}, "closed", "SECURITY_PROTOCOL is SASL_PLAINTEXT"),
        (TLS_ALONE | {"bootstrap_servers": "127.0.0.1:{nothing}"}, "Error", "SECURITY_PROTOCOL is SSL"),
        (OF_CERTIFICATES, "CERTIFICATE_REQUIRED|Connection", "SSL_CERTFILE"),  # the alert may be lost
        ({"bootstrap_servers": "127.0.0.1:1"}, "Connect call failed", "BOOTSTRAP_SERVERS, and see whether"),
    ],
)
def test_what_keeps_us_out_is_named_at_once_with_its_setting(
    cluster: Cluster, changes: dict[str, str | None], cause: str, setting: str
) -> None:
    settings = Settings.read(cluster.environment(**changes))
    began = time.monotonic()

    with pytest.raises(PeekproofError, match=rf"does not let us in \(.*{cause}.*\); .*PEEKPROOF_{setting}"):
        asyncio.run(connect(settings))

    assert time.monotonic() - began < TIMEOUT_MS / 1_000


@pytest.mark.parametrize(
    "arguments",
    [
        ("topics",),
        ("apply",),
        ("experiment", "list"),
        ("results",),
        ("dead-letters",),
        *(("worker", stage) for stage in STAGES),
        ("up",),
    ],
    ids=" ".join,
)
def test_no_command_goes_on_with_a_wrong_password(cluster: Cluster, arguments: tuple[str, ...], tmp_path: Path) -> None:
    environment = cluster.environment(sasl_password="guess", data=str(tmp_path))

    with pytest.raises(PeekproofError, match="check PEEKPROOF_SASL_USERNAME"):
        CliRunner().invoke(command, arguments, env=environment, catch_exceptions=False)


@pytest.mark.parametrize("program", ["pipeline.cli demo", "pipeline.demo.traffic"])
def test_programs_say_it_in_one_message(cluster: Cluster, program: str, tmp_path: Path) -> None:
    environment = os.environ | cluster.environment(ssl_cafile="{directory}/stranger.pem", data=str(tmp_path))

    ended = subprocess.run(
        [sys.executable, "-m", *program.split()], env=environment, capture_output=True, text=True, check=False
    )

    assert ended.returncode in {1, 2}
    assert "PEEKPROOF_SSL_CAFILE must hold" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_the_doctor_says_what_it_may_not_see(cluster: Cluster, tmp_path: Path) -> None:
    eve = cluster.environment(sasl_username="eve", sasl_password="drop", data=str(tmp_path))

    result = CliRunner().invoke(command, ["doctor", "--json"], env=eve)

    assert result.exit_code == 1
    told = {each["area"]: each for each in json.loads(result.stdout)["findings"]}
    assert told["brokers"]["status"] == "ok"
    for area in ("topics", "catalog", "stages"):
        assert told[area]["status"] == "unknown"
    assert f"{PREFIX}.events" in told["topics"]["what"]
    assert "needs the rights that the documentation of a secured Kafka names" in told["topics"]["what"]
    assert "TopicAuthorizationFailed" in told["catalog"]["what"]


def test_a_right_that_is_missing_is_said(cluster: Cluster) -> None:
    eve = cluster.environment(sasl_username="eve", sasl_password="drop")

    with pytest.raises(
        PeekproofError, match=r"\(.*TopicAuthorizationFailed.*\); see whether .* the user has the rights"
    ):
        CliRunner().invoke(command, ["topics"], env=eve, catch_exceptions=False)
